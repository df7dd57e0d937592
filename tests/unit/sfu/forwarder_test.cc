#include "gateway/sfu/forwarder.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "gateway/base/archive.h"
#include "gateway/base/rng.h"
#include "gtest/gtest.h"

namespace vigil::sfu {
namespace {

constexpr uint32_t kClock = 90'000;

Timestamp At(int64_t ms) { return Timestamp::FromNanos(1'000'000'000 + ms * 1'000'000); }

const uint8_t kPayload[4] = {1, 2, 3, 4};

rtp::TrackPacket Picture(int64_t sequence, bool key = false, int64_t timestamp = 0) {
  rtp::TrackPacket packet;
  packet.kind = rtp::MediaKind::kVideo;
  packet.codec.type = rtp::CodecType::kH264;
  packet.sequence = sequence;
  packet.timestamp = timestamp;
  packet.payload = kPayload;
  packet.content.starts_keyframe = key;
  return packet;
}

rtp::TrackPacket Padding(int64_t sequence) {
  rtp::TrackPacket packet = Picture(sequence);
  packet.payload = {};
  return packet;
}

rtp::TrackPacket Vp8(int64_t sequence, bool key, rtp::Vp8Descriptor descriptor) {
  rtp::TrackPacket packet = Picture(sequence, key);
  packet.content.descriptor = descriptor;
  return packet;
}

// A forwarder and the last rewrite it made.
struct Sender {
  explicit Sender(rtp::MediaKind kind = rtp::MediaKind::kVideo, uint16_t first = 1000)
      : forwarder(kind, first, 5000) {}

  std::optional<DropReason> Forward(const rtp::TrackPacket& packet, Timestamp now = At(0)) {
    rewrite = {};
    return forwarder.Forward(packet, kClock, now, rewrite);
  }
  // The outgoing sequence number; -1 if the packet was dropped.
  int64_t Sequence(const rtp::TrackPacket& packet, Timestamp now = At(0)) {
    return Forward(packet, now) ? -1 : rewrite.sequence;
  }

  Forwarder forwarder;
  rtp::Rewrite rewrite;
};

TEST(Forwarder, WithoutASourceNothingIsForwarded) {
  Sender sender;
  EXPECT_EQ(sender.Forward(Picture(1, true)), DropReason::kNoSubscriber);
  sender.forwarder.Begin();
  EXPECT_TRUE(sender.forwarder.waiting());
  EXPECT_FALSE(sender.Forward(Picture(1, true)));
  sender.forwarder.Stop();
  EXPECT_EQ(sender.Forward(Picture(2)), DropReason::kNoSubscriber);
}

TEST(Forwarder, APictureBeginsWithAKeyframe) {
  Sender sender;
  sender.forwarder.Begin();
  EXPECT_EQ(sender.Forward(Picture(10)), DropReason::kWaitingForKeyframe);
  EXPECT_EQ(sender.Forward(Padding(11)), DropReason::kPaddingOnly);
  EXPECT_EQ(sender.Sequence(Picture(12, true)), 1000);
  EXPECT_TRUE(sender.rewrite.first_of_feed);
  EXPECT_EQ(sender.Sequence(Picture(13)), 1001);
  EXPECT_FALSE(sender.rewrite.first_of_feed);
}

TEST(Forwarder, SoundBeginsWithAnyPacket) {
  Sender sender(rtp::MediaKind::kAudio);
  sender.forwarder.Begin();
  EXPECT_EQ(sender.Sequence(Picture(77)), 1000);
}

TEST(Forwarder, LossAndReorderingPassThrough) {
  Sender sender;
  sender.forwarder.Begin();
  EXPECT_EQ(sender.Sequence(Picture(100, true)), 1000);
  EXPECT_EQ(sender.Sequence(Picture(103)), 1003);
  EXPECT_EQ(sender.Sequence(Picture(101)), 1001);
  EXPECT_EQ(sender.Sequence(Picture(104)), 1004);
  EXPECT_EQ(sender.forwarder.next_sequence(), 1005);
}

TEST(Forwarder, WhatComesFromBeforeTheSwitchIsTooOld) {
  Sender sender;
  sender.forwarder.Begin();
  sender.Forward(Picture(100, true));
  EXPECT_EQ(sender.Forward(Picture(99)), DropReason::kTooOld);
  sender.Forward(Picture(105));
  // Another layer of the same feed, with numbers of its own.
  sender.forwarder.Begin();
  EXPECT_EQ(sender.Sequence(Picture(40'000, true)), 1006);
  EXPECT_EQ(sender.Forward(Picture(39'999)), DropReason::kTooOld);
  EXPECT_EQ(sender.Sequence(Picture(40'002)), 1008);
  EXPECT_EQ(sender.Sequence(Picture(40'001)), 1007);
}

TEST(Forwarder, TimestampsFollowTheClockOverASwitch) {
  Sender sender;
  sender.forwarder.Begin();
  sender.Forward(Picture(1, true, 1'000'000), At(0));
  EXPECT_EQ(sender.rewrite.timestamp, 5000u + 900u);  // The least step of 10 ms.
  sender.Forward(Picture(2, false, 1'003'000), At(33));
  EXPECT_EQ(sender.rewrite.timestamp, 8900u);
  sender.forwarder.Begin();
  sender.Forward(Picture(900, true, 77), At(533));
  EXPECT_EQ(sender.rewrite.timestamp, 8900u + 45'000u);
  EXPECT_EQ(sender.forwarder.timestamp_offset(), 8900 + 45'000 - 77);
  sender.Forward(Picture(901, false, 77 + 3000), At(566));
  EXPECT_EQ(sender.rewrite.timestamp, 8900u + 48'000u);
}

TEST(Forwarder, TwoSourcesNeverShareATimestamp) {
  Sender sender;
  sender.forwarder.Begin();
  sender.Forward(Picture(1, true, 0), At(0));
  const uint32_t last = sender.rewrite.timestamp;
  sender.forwarder.Begin();
  sender.Forward(Picture(1, true, 0), At(0));
  EXPECT_EQ(sender.rewrite.timestamp, last + 900);
}

TEST(Forwarder, PaddingLeavesTheStream) {
  Sender sender;
  sender.forwarder.Begin();
  EXPECT_EQ(sender.Sequence(Picture(10, true)), 1000);
  EXPECT_EQ(sender.Forward(Padding(11)), DropReason::kPaddingOnly);
  EXPECT_EQ(sender.Forward(Padding(12)), DropReason::kPaddingOnly);
  EXPECT_EQ(sender.Sequence(Picture(13)), 1001);
  EXPECT_EQ(sender.Sequence(Picture(14)), 1002);
}

TEST(Forwarder, PaddingThatComesLateIsForwardedBecauseItsNumberIsMissed) {
  Sender sender;
  sender.forwarder.Begin();
  sender.Forward(Picture(10, true));
  EXPECT_EQ(sender.Sequence(Picture(12)), 1002);
  EXPECT_EQ(sender.Sequence(Padding(11)), 1001);
}

TEST(Forwarder, ManyDropsForgetTheOldestNumbersOnly) {
  Sender sender;
  sender.forwarder.Begin();
  sender.Forward(Picture(0, true));
  // 1 is missing; then one padding packet after each picture packet.
  for (int64_t s = 2; s < 60; s += 2) {
    sender.Forward(Picture(s));
    sender.Forward(Padding(s + 1));
  }
  EXPECT_EQ(sender.Forward(Picture(1)), DropReason::kTooOld);
  EXPECT_EQ(sender.Sequence(Picture(60)), 1000 + 60 - 29);
}

TEST(Forwarder, ALeapOfTheSourceBeginsAnewWithAKeyframe) {
  Sender sender;
  sender.forwarder.Begin();
  sender.Forward(Picture(0, true));
  EXPECT_EQ(sender.Sequence(Picture(1025)), 2025);  // 1024 are missing.
  EXPECT_EQ(sender.Sequence(Picture(600)), 1600);
  EXPECT_EQ(sender.Forward(Picture(33'000)), DropReason::kWaitingForKeyframe);
  EXPECT_TRUE(sender.forwarder.waiting());
  EXPECT_EQ(sender.Sequence(Picture(33'001, true)), 2026);
  EXPECT_TRUE(sender.rewrite.first_of_feed);
  EXPECT_EQ(sender.Forward(Picture(1026)), DropReason::kTooOld);
  EXPECT_EQ(sender.Sequence(Picture(33'002)), 2027);
  EXPECT_EQ(sender.Forward(Padding(64'000)), DropReason::kPaddingOnly);
  EXPECT_EQ(sender.Sequence(Picture(64'001, true)), 2028);
}

TEST(Forwarder, SoundGoesOnOverALeap) {
  Sender sender(rtp::MediaKind::kAudio);
  sender.forwarder.Begin();
  EXPECT_EQ(sender.Sequence(Picture(0)), 1000);
  EXPECT_EQ(sender.Sequence(Picture(20'000)), 1001);
  EXPECT_EQ(sender.Sequence(Picture(20'001)), 1002);
}

TEST(Forwarder, ManySmallLeapsAreOneLargeOne) {
  for (const int64_t step : {2, 40, 300, 1'000, 1'025, 20'000}) {
    Sender sender(rtp::MediaKind::kAudio);
    sender.forwarder.Begin();
    const int64_t packets = 5'000;
    for (int64_t i = 0; i < packets; ++i) ASSERT_FALSE(sender.Forward(Picture(i * step)));
    // One number of a gap for each packet, and what there was to begin with.
    EXPECT_LE(sender.forwarder.next_sequence(), 1000 + 2 * packets + Forwarder::kMaxGap)
        << "steps of " << step;
  }
}

TEST(Forwarder, WhatMayBeMissingSurvivesAnExport) {
  Sender sender(rtp::MediaKind::kAudio);
  sender.forwarder.Begin();
  sender.Forward(Picture(0));
  EXPECT_EQ(sender.Sequence(Picture(1000)), 2000);
  sender.forwarder = *ReadArchive<Forwarder>(WriteArchive(sender.forwarder, At(0)), At(0));
  EXPECT_EQ(sender.Sequence(Picture(1100)), 2001) << "begins anew: 99 are too many now";
}

TEST(Forwarder, ANumberThatWasNotSentIsUsedByTheNext) {
  Sender sender;
  sender.forwarder.Begin();
  EXPECT_EQ(sender.Sequence(Picture(0, true)), 1000);
  EXPECT_EQ(sender.Sequence(Picture(1)), 1001);
  EXPECT_EQ(sender.Sequence(Picture(3)), 1003);
  sender.forwarder.TakeBack(1001);
  EXPECT_EQ(sender.Sequence(Picture(4)), 1004) << "not the newest: a gap as any other";
  sender.forwarder.TakeBack(1004);
  EXPECT_EQ(sender.Forward(Picture(5)), DropReason::kWaitingForKeyframe);
  for (int64_t i = 6; i < 70'000; ++i) {
    ASSERT_EQ(sender.Sequence(Picture(i, true)), 1004);
    sender.forwarder.TakeBack(1004);
  }
  EXPECT_EQ(sender.Sequence(Picture(70'000, true)), 1004);
  EXPECT_EQ(sender.Sequence(Picture(70'001)), 1005);
}

TEST(Forwarder, ASkipJumpsOverNumbersAndNeverBack) {
  Sender sender;
  sender.forwarder.SkipTo(2000);
  sender.forwarder.Begin();
  EXPECT_EQ(sender.Sequence(Picture(10, true)), 2000);
  EXPECT_EQ(sender.Sequence(Picture(12)), 2002);
  sender.forwarder.SkipTo(1500);
  EXPECT_EQ(sender.Sequence(Picture(13)), 2003);
  sender.forwarder.SkipTo(7000);
  // A number from before the jump may have been used by the former owner.
  EXPECT_EQ(sender.Forward(Picture(11)), DropReason::kTooOld);
  EXPECT_EQ(sender.Forward(Padding(14)), DropReason::kPaddingOnly);
  EXPECT_EQ(sender.Sequence(Picture(15)), 7000);
  EXPECT_EQ(sender.Sequence(Picture(17)), 7002);
}

// ---- Picture counters ----

rtp::Vp8Descriptor Vp8Counters(uint16_t id, bool wide, uint8_t tl0, uint8_t key) {
  return {.picture_id = id,
          .picture_id_is_15_bits = wide,
          .tl0_picture_index = tl0,
          .temporal_id = uint8_t{0},
          .key_index = key};
}

TEST(Forwarder, PictureCountersContinueOverASwitch) {
  Sender sender;
  sender.forwarder.Begin();
  sender.Forward(Vp8(1, true, Vp8Counters(32767, true, 255, 31)));
  const rtp::PictureCounters first = sender.rewrite.counters;
  EXPECT_TRUE(sender.rewrite.has_counters);
  sender.Forward(Vp8(2, false, Vp8Counters(0, true, 0, 0)));
  EXPECT_EQ(sender.rewrite.counters.picture_id, first.picture_id + 1);
  EXPECT_EQ(sender.rewrite.counters.tl0_picture_index, first.tl0_picture_index + 1);
  EXPECT_EQ(sender.rewrite.counters.key_index, first.key_index + 1);
  sender.forwarder.Begin();
  sender.Forward(Vp8(500, true, Vp8Counters(9000, true, 7, 3)));
  EXPECT_EQ(sender.rewrite.counters.picture_id, first.picture_id + 2);
  EXPECT_EQ(sender.rewrite.counters.tl0_picture_index, first.tl0_picture_index + 2);
  EXPECT_EQ(sender.rewrite.counters.key_index, first.key_index + 2);
  sender.Forward(Vp8(501, false, Vp8Counters(9001, true, 7, 3)));
  EXPECT_EQ(sender.rewrite.counters.picture_id, first.picture_id + 3);
  EXPECT_EQ(sender.rewrite.counters.tl0_picture_index, first.tl0_picture_index + 2);
}

TEST(Forwarder, ALatePacketHasTheCountersOfItsPicture) {
  Sender sender;
  sender.forwarder.Begin();
  sender.Forward(Vp8(1, true, Vp8Counters(100, true, 10, 1)));
  sender.Forward(Vp8(4, false, Vp8Counters(102, true, 12, 1)));
  EXPECT_EQ(sender.rewrite.counters.picture_id, 2);
  sender.Forward(Vp8(3, false, Vp8Counters(101, true, 11, 1)));
  EXPECT_EQ(sender.rewrite.counters.picture_id, 1);
  EXPECT_EQ(sender.rewrite.counters.tl0_picture_index, 1);
  sender.Forward(Vp8(5, false, Vp8Counters(103, true, 13, 1)));
  EXPECT_EQ(sender.rewrite.counters.picture_id, 3);
  EXPECT_EQ(sender.rewrite.counters.tl0_picture_index, 3);
}

TEST(Forwarder, SevenBitPictureIdsAreCountedOnInFifteen) {
  Sender sender;
  sender.forwarder.Begin();
  for (int i = 0; i < 1000; ++i) {
    sender.Forward(Vp8(i, i == 0, {.picture_id = static_cast<uint16_t>((i + 90) & 0x7f)}));
    ASSERT_EQ(sender.rewrite.counters.picture_id, i);
  }
  // Half the range and more is lost: sequence numbers tell that it goes forward.
  sender.Forward(Vp8(1100, false, {.picture_id = static_cast<uint16_t>((1100 + 90) & 0x7f)}));
  EXPECT_EQ(sender.rewrite.counters.picture_id, 1100);
  sender.Forward(Vp8(1020, false, {.picture_id = static_cast<uint16_t>((1020 + 90) & 0x7f)}));
  EXPECT_EQ(sender.rewrite.counters.picture_id, 1020);
}

TEST(Forwarder, ASwitchBetweenWidthsOfPictureIdsCountsOn) {
  Sender sender;
  sender.forwarder.Begin();
  sender.Forward(Vp8(1, true, {.picture_id = uint16_t{20'000}, .picture_id_is_15_bits = true}));
  sender.Forward(Vp8(2, false, {.picture_id = uint16_t{20'001}, .picture_id_is_15_bits = true}));
  sender.forwarder.Begin();
  sender.Forward(Vp8(1, true, {.picture_id = uint16_t{127}}));
  EXPECT_EQ(sender.rewrite.counters.picture_id, 2);
  sender.Forward(Vp8(2, false, {.picture_id = uint16_t{0}}));
  EXPECT_EQ(sender.rewrite.counters.picture_id, 3);
}

TEST(Forwarder, Vp9CountersAreMappedToo) {
  Sender sender;
  sender.forwarder.Begin();
  rtp::TrackPacket packet = Picture(1, true);
  packet.content.descriptor = rtp::Vp9Descriptor{.picture_id = uint16_t{32'767},
                                                 .picture_id_is_15_bits = true,
                                                 .tl0_picture_index = uint8_t{255}};
  sender.Forward(packet);
  packet = Picture(2);
  packet.content.descriptor = rtp::Vp9Descriptor{
      .picture_id = uint16_t{0}, .picture_id_is_15_bits = true, .tl0_picture_index = uint8_t{0}};
  sender.Forward(packet);
  EXPECT_TRUE(sender.rewrite.has_counters);
  EXPECT_EQ(sender.rewrite.counters.picture_id, 1);
  EXPECT_EQ(sender.rewrite.counters.tl0_picture_index, 1);
}

TEST(Forwarder, Av1FrameNumbersContinueOverASwitch) {
  Sender sender;
  sender.forwarder.Begin();
  const uint8_t last[] = {0xc0, 0xff, 0xff};
  const uint8_t wrapped[] = {0xc0, 0x00, 0x00};
  const uint8_t other[] = {0xc0, 0x12, 0x34};
  rtp::TrackPacket packet = Picture(1, true);
  packet.extensions.dependency_descriptor = last;
  sender.Forward(packet);
  EXPECT_EQ(sender.rewrite.frame_number, 0);
  packet = Picture(2);
  packet.extensions.dependency_descriptor = wrapped;
  sender.Forward(packet);
  EXPECT_EQ(sender.rewrite.frame_number, 1);
  sender.forwarder.Begin();
  packet = Picture(1, true);
  packet.extensions.dependency_descriptor = other;
  sender.Forward(packet);
  EXPECT_EQ(sender.rewrite.frame_number, 2);
  EXPECT_FALSE(sender.rewrite.has_counters);
}

// ---- Against a slow model ----

// Source packets in random order with losses, padding, switches and restores. The model: between
// switches, outgoing = source order without the padding that was dropped. So numbers never repeat,
// and a number is missing exactly when a source packet that was not dropped has not come.
TEST(Forwarder, NumbersAreUniqueOrderedAndGapFreeUnderReordering) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    Rng rng(seed);
    Sender sender(rtp::MediaKind::kVideo, static_cast<uint16_t>(rng.Below(0x8000)));
    std::set<int64_t> used;
    int64_t first_of_source = sender.forwarder.next_sequence();
    for (int source = 0; source < 5; ++source) {
      sender.forwarder.Begin();
      const int64_t start = rng.Between(-100, 100'000);
      std::vector<std::pair<int64_t, rtp::TrackPacket>> arrivals;  // By time.
      for (int64_t i = 0; i < 600; ++i) {
        const bool padding = i > 0 && rng.Chance(0.1);
        const int64_t late = i > 0 && rng.Chance(0.2) ? rng.Between(0, 8) : 0;
        arrivals.push_back({i + late, padding ? Padding(start + i) : Picture(start + i, i == 0)});
      }
      std::stable_sort(arrivals.begin(), arrivals.end(),
                       [](const auto& a, const auto& b) { return a.first < b.first; });
      std::map<int64_t, int64_t> out;  // By source.
      std::set<int64_t> dropped;
      for (const auto& [time, packet] : arrivals) {
        if (packet.sequence != start && rng.Chance(0.03)) continue;  // Lost.
        const auto reason = sender.Forward(packet, At(time));
        if (reason == DropReason::kPaddingOnly) {
          ASSERT_TRUE(packet.payload.empty());
          dropped.insert(packet.sequence);
        } else if (reason) {
          ASSERT_EQ(reason, DropReason::kTooOld);  // Reordered over more drops than are kept.
        } else {
          ASSERT_TRUE(used.insert(sender.rewrite.sequence).second) << "seed " << seed;
          out[packet.sequence] = sender.rewrite.sequence;
        }
        if (rng.Chance(0.01)) {
          Forwarder restored(rtp::MediaKind::kVideo, 1, 0);
          const auto bytes = WriteArchive(sender.forwarder, At(time));
          ArchiveReader reader(bytes, At(time));
          reader(restored);
          ASSERT_TRUE(reader.ok() && restored.IsConsistent());
          sender.forwarder = restored;
        }
      }
      for (const auto& [from, to] : out) {
        const auto before = std::distance(dropped.begin(), dropped.lower_bound(from));
        ASSERT_EQ(to, first_of_source + (from - start) - before) << "seed " << seed;
      }
      first_of_source = sender.forwarder.next_sequence();
    }
  }
}

TEST(Forwarder, RandomSourcesNeverRepeatANumberNorLeapFar) {
  for (uint64_t seed = 100; seed < 120; ++seed) {
    Rng rng(seed);
    Sender sender(rtp::MediaKind::kAudio);
    std::set<int64_t> used;
    std::set<int64_t> seen;
    sender.forwarder.Begin();
    int64_t source = 0;
    int64_t newest = sender.forwarder.next_sequence();
    for (int i = 0; i < 5000; ++i) {
      if (rng.Chance(0.01)) {
        sender.forwarder.Begin();
        seen.clear();
      }
      if (rng.Chance(0.005)) sender.forwarder.SkipTo(newest + rng.Between(-50, 3000));
      source += rng.Chance(0.05) ? rng.Between(-32'767, 32'767) : rng.Between(-5, 6);
      if (!seen.insert(source).second) continue;
      const int64_t before = sender.forwarder.next_sequence();
      if (sender.Forward(rng.Chance(0.1) ? Padding(source) : Picture(source))) continue;
      ASSERT_TRUE(used.insert(sender.rewrite.sequence).second);
      ASSERT_LE(sender.rewrite.sequence, before + Forwarder::kMaxGap);
      newest = std::max(newest, sender.rewrite.sequence);
      ASSERT_EQ(sender.forwarder.next_sequence(), newest + 1);
    }
  }
}

}  // namespace
}  // namespace vigil::sfu
