#include "gateway/rtp/codec.h"

#include <string_view>
#include <vector>

#include "gtest/gtest.h"

namespace vigil::rtp {
namespace {

constexpr Codec kOpus{.type = CodecType::kOpus};
constexpr Codec kVp8{.type = CodecType::kVp8};

constexpr Codec Vp9(uint16_t profile) { return {.type = CodecType::kVp9, .profile = profile}; }
constexpr Codec Av1(uint16_t profile) { return {.type = CodecType::kAv1, .profile = profile}; }
constexpr Codec H264(uint16_t profile, uint8_t mode = 1) {
  return {.type = CodecType::kH264, .profile = profile, .packetization_mode = mode};
}

TEST(Codec, KindClockRateAndName) {
  struct Row {
    CodecType type;
    MediaKind kind;
    uint32_t clock_rate;
    std::string_view name;
  };
  const Row kRows[] = {
      {CodecType::kOpus, MediaKind::kAudio, 48'000, "opus"},
      {CodecType::kVp8, MediaKind::kVideo, 90'000, "VP8"},
      {CodecType::kVp9, MediaKind::kVideo, 90'000, "VP9"},
      {CodecType::kAv1, MediaKind::kVideo, 90'000, "AV1"},
      {CodecType::kH264, MediaKind::kVideo, 90'000, "H264"},
  };
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.name);
    EXPECT_EQ(KindOf(row.type), row.kind);
    EXPECT_EQ(ClockRateOf(row.type), row.clock_rate);
    EXPECT_EQ(NameOf(row.type), row.name);
  }
}

TEST(Codec, DescribesForPeople) {
  EXPECT_EQ(Describe(kOpus), "opus");
  EXPECT_EQ(Describe(kVp8), "VP8");
  EXPECT_EQ(Describe(Vp9(2)), "VP9 profile 2");
  EXPECT_EQ(Describe(Av1(0)), "AV1 profile 0");
  EXPECT_EQ(Describe(H264(0x42e0)), "H264 profile 42e0 mode 1");
  EXPECT_EQ(Describe(H264(0x4200, 0)), "H264 profile 4200 mode 0");
}

TEST(Codec, FitsByTypeAndProfile) {
  struct Row {
    Codec feed;
    Codec slot;
    bool fits;
  };
  Codec vp8_with_stray_profile = kVp8;
  vp8_with_stray_profile.profile = 3;
  const Row kRows[] = {
      {kOpus, kOpus, true},
      {kVp8, kVp8, true},
      {kVp8, vp8_with_stray_profile, true},  // VP8 has no profiles in SDP.
      {Vp9(0), Vp9(0), true},
      {Vp9(0), Vp9(2), false},
      {Av1(0), Av1(0), true},
      {Av1(1), Av1(0), false},
      {kVp8, Vp9(0), false},
      {Vp9(0), Av1(0), false},
      {kOpus, kVp8, false},
      {H264(0x42e0), kVp8, false},
      {H264(0x42e0, 0), H264(0x42e0, 1), false},
      {H264(0x42e0, 1), H264(0x42e0, 0), false},
      {H264(0x42e0, 0), H264(0x42e0, 0), true},
  };
  for (const Row& row : kRows) {
    SCOPED_TRACE(Describe(row.feed) + " in " + Describe(row.slot));
    EXPECT_EQ(Fits(row.feed, row.slot), row.fits);
    EXPECT_EQ(Fits(row.slot, row.feed), row.fits);
  }
}

// RFC 6184, 8.1, table 5. Every spelling of one group fits every other, and none of another group.
TEST(Codec, FitsAcrossTheSpellingsOfAnH264Profile) {
  const std::vector<std::vector<uint16_t>> kGroups = {
      // Constrained baseline: 42 with set1, 4D with set0, 58 with set0 and set1.
      {0x4240, 0x42c0, 0x42e0, 0x42f0, 0x4d80, 0x4dc0, 0x4de0, 0x58c0, 0x58e0, 0x58f0},
      {0x4200, 0x4280, 0x42a0, 0x42b0, 0x5880, 0x58a0},  // Baseline.
      {0x4d00, 0x4d40, 0x4d50},                          // Main.
      {0x5800, 0x5820, 0x5830},                          // Extended.
      {0x6400},                                          // High.
      {0x640c},                                          // Constrained high.
      {0xf400},                                          // High 4:4:4 predictive.
      {0x4d20},                                          // In no row: stands for itself.
      {0x4248},                                          // Reserved bits set: stands for itself.
  };
  for (size_t i = 0; i < kGroups.size(); ++i) {
    for (size_t j = 0; j < kGroups.size(); ++j) {
      for (const uint16_t feed : kGroups[i]) {
        for (const uint16_t slot : kGroups[j]) {
          SCOPED_TRACE(Describe(H264(feed)) + " in " + Describe(H264(slot)));
          EXPECT_EQ(Fits(H264(feed), H264(slot)), i == j);
        }
      }
    }
  }
}

}  // namespace
}  // namespace vigil::rtp
