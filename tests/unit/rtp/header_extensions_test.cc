#include "gateway/rtp/header_extensions.h"

#include <set>
#include <string>
#include <vector>

#include "gateway/base/archive.h"
#include "gateway/base/rng.h"
#include "gtest/gtest.h"

namespace vigil::rtp {
namespace {

std::vector<ExtensionType> AllTypes() {
  std::vector<ExtensionType> types;
  for (size_t i = 0; i < kExtensionTypeCount; ++i) types.push_back(static_cast<ExtensionType>(i));
  return types;
}

TEST(Extensions, UrisAreDistinctAndFoundAgain) {
  std::set<std::string_view> uris;
  for (const ExtensionType type : AllTypes()) {
    EXPECT_EQ(ExtensionFromUri(UriOf(type)), type);
    uris.insert(UriOf(type));
  }
  EXPECT_EQ(uris.size(), kExtensionTypeCount);
  EXPECT_EQ(UriOf(ExtensionType::kMid), "urn:ietf:params:rtp-hdrext:sdes:mid");
  EXPECT_EQ(UriOf(ExtensionType::kVideoOrientation), "urn:3gpp:video-orientation");
}

TEST(Extensions, UnknownUrisAreNoExtension) {
  EXPECT_EQ(ExtensionFromUri(""), std::nullopt);
  EXPECT_EQ(ExtensionFromUri("urn:ietf:params:rtp-hdrext:toffset"), std::nullopt);
  // Version 2 of transport-wide-cc has another format.
  EXPECT_EQ(ExtensionFromUri("http://www.webrtc.org/experiments/rtp-hdrext/transport-wide-cc-02"),
            std::nullopt);
  EXPECT_EQ(ExtensionFromUri("URN:3gpp:video-orientation"), std::nullopt);
}

TEST(ExtensionMap, FindsBothWays) {
  ExtensionMap map;
  EXPECT_FALSE(map.Has(ExtensionType::kMid));
  EXPECT_EQ(map.IdOf(ExtensionType::kMid), 0);
  EXPECT_TRUE(map.Add(ExtensionType::kMid, 4));
  EXPECT_TRUE(map.Add(ExtensionType::kRid, 255));
  EXPECT_TRUE(map.Has(ExtensionType::kMid));
  EXPECT_EQ(map.IdOf(ExtensionType::kMid), 4);
  EXPECT_EQ(map.TypeOf(4), ExtensionType::kMid);
  EXPECT_EQ(map.TypeOf(255), ExtensionType::kRid);
  EXPECT_EQ(map.TypeOf(5), std::nullopt);
  EXPECT_EQ(map.TypeOf(0), std::nullopt);  // Not one of the types that have no id.
}

TEST(ExtensionMap, RefusedAddsChangeNothing) {
  ExtensionMap map;
  ASSERT_TRUE(map.Add(ExtensionType::kMid, 4));
  const ExtensionMap before = map;
  EXPECT_FALSE(map.Add(ExtensionType::kRid, 0));
  EXPECT_FALSE(map.Add(ExtensionType::kRid, 15));
  EXPECT_FALSE(map.Add(ExtensionType::kRid, 4));
  EXPECT_FALSE(map.Add(ExtensionType::kMid, 5));
  EXPECT_FALSE(map.Add(ExtensionType::kCount, 6));
  EXPECT_EQ(map, before);
  EXPECT_TRUE(map.Add(ExtensionType::kMid, 4));  // Said again by another m-line of the bundle.
  EXPECT_EQ(map, before);
}

TEST(ExtensionMap, HoldsEveryTypeAndSurvivesExport) {
  ExtensionMap map;
  uint8_t id = 9;
  for (const ExtensionType type : AllTypes()) {
    if (++id == 15) ++id;
    ASSERT_TRUE(map.Add(type, id));
  }
  const Timestamp now = Timestamp::FromNanos(1);
  const std::optional<ExtensionMap> back = ReadArchive<ExtensionMap>(WriteArchive(map, now), now);
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, map);
  for (const ExtensionType type : AllTypes()) EXPECT_EQ(back->TypeOf(map.IdOf(type)), type);
}

TEST(Extensions, MidIsAnyTokenAndRidIsNarrower) {
  struct Row {
    std::string text;
    bool mid;
    bool rid;
  };
  const Row kRows[] = {
      {"0", true, true},
      {"video", true, true},
      {"hi_res-2", true, true},
      {"a.b!c", true, false},
      {"", false, false},
      {"two words", false, false},
      {"a:b", false, false},
      {"a\"b", false, false},
      {std::string("a\0b", 3), false, false},
      {"\x7f", false, false},
      {"\xc3\xa4", false, false},
      {std::string(16, 'x'), true, true},
      {std::string(17, 'x'), false, false},
  };
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.text);
    EXPECT_EQ(IsMid(row.text), row.mid);
    EXPECT_EQ(IsRid(row.text), row.rid);
  }
}

TEST(Extensions, EqualityComparesWhatViewsPointTo) {
  const std::string name = "mid";
  const std::string same_name = "mid";
  const std::vector<uint8_t> raw = {1, 2, 3};
  const std::vector<uint8_t> same_raw = {1, 2, 3};
  HeaderExtensions a;
  a.mid = name;
  a.dependency_descriptor = raw;
  HeaderExtensions b;
  b.mid = same_name;
  b.dependency_descriptor = same_raw;
  EXPECT_EQ(a, b);
  b.dependency_descriptor = std::span(same_raw).first(2);
  EXPECT_NE(a, b);
  b.dependency_descriptor = same_raw;
  b.audio_level = AudioLevel{};
  EXPECT_NE(a, b);
}

TEST(NtpTime, AbsSendTimeIsSixDotEighteenAndWrapsEach64Seconds) {
  EXPECT_EQ(ToAbsSendTime(NtpTime(0)), 0u);
  EXPECT_EQ(ToAbsSendTime(NtpTime(uint64_t{1} << 32)), 1u << 18);
  EXPECT_EQ(ToAbsSendTime(NtpTime(uint64_t{1} << 31)), 1u << 17);
  EXPECT_EQ(ToAbsSendTime(NtpTime(uint64_t{63} << 32 | 0xffffffff)), 0xffffffu);
  EXPECT_EQ(ToAbsSendTime(NtpTime(uint64_t{64} << 32)), 0u);
  EXPECT_EQ(ToAbsSendTime(NtpTime(~uint64_t{0})), 0xffffffu);
}

TEST(NtpTime, NanosecondsSurviveTheFixedPointForm) {
  Rng rng(3);
  for (int i = 0; i < 10'000; ++i) {
    const TimeDelta t =
        TimeDelta::Nanos(static_cast<int64_t>(rng.Below(4'200'000'000'000'000'000)));
    EXPECT_EQ(NtpTime::FromDelta(t).SinceEpoch(), t);
  }
}

TEST(NtpTime, CompactFormCountsSixteenBitFractions) {
  EXPECT_EQ(NtpTime(0x1234'5678'9abc'def0).Compact(), 0x5678'9abcu);
  EXPECT_EQ(ToCompactNtp(TimeDelta::Millis(1'500)), 0x0001'8000u);
  EXPECT_EQ(FromCompactNtp(0x0001'8000), TimeDelta::Millis(1'500));
}

TEST(NtpTime, WallClockMapsBothWays) {
  const WallClock clock{.ntp_at_zero = TimeDelta::Seconds(3'900'000'000)};
  const Timestamp t = Timestamp::FromNanos(123'456'789'012);
  EXPECT_EQ(clock.ToTimestamp(clock.At(t)), t);
  EXPECT_EQ(clock.At(Timestamp()).value() >> 32, 3'900'000'000u);
}

}  // namespace
}  // namespace vigil::rtp
