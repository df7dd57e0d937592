#include "gateway/base/archive.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace vigil {
namespace {

struct Inner {
  uint8_t small = 0;
  std::optional<int64_t> maybe;
  template <typename F>
  void Fields(F&& f) {
    f(small, maybe);
  }
  bool operator==(const Inner&) const = default;
};

struct Outer {
  PeerId id;
  std::string name;
  std::vector<Inner> items;
  std::map<uint32_t, Inner> by_ssrc;
  Timestamp when;
  Timestamp never = Timestamp::Never();
  Timestamp long_ago = Timestamp::LongAgo();
  TimeDelta span;
  std::array<uint8_t, 3> bytes{};
  double ratio = 0;
  template <typename F>
  void Fields(F&& f) {
    f(id, name, items, by_ssrc, when, never, long_ago, span, bytes, ratio);
  }
  bool operator==(const Outer&) const = default;
};

Outer Sample() {
  Outer outer;
  outer.id = PeerId(77);
  outer.name = "room-1";
  outer.items = {{1, -5}, {2, std::nullopt}};
  outer.by_ssrc[0xfffffffe] = {3, 9};
  outer.when = Timestamp::FromNanos(5'000);
  outer.span = TimeDelta::Millis(-7);
  outer.bytes = {1, 2, 3};
  outer.ratio = 0.25;
  return outer;
}

TEST(Archive, RoundTripsEveryKindOfField) {
  const Timestamp now = Timestamp::FromNanos(9'000);
  const std::optional<Outer> back = ReadArchive<Outer>(WriteArchive(Sample(), now), now);
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, Sample());
}

TEST(Archive, InstantsMoveToTheClockOfTheRestoringNode) {
  const auto bytes = WriteArchive(Sample(), Timestamp::FromNanos(9'000));
  const std::optional<Outer> back = ReadArchive<Outer>(bytes, Timestamp::FromNanos(109'000));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->when.ns(), 105'000);
  EXPECT_TRUE(back->never.IsNever());
  EXPECT_TRUE(back->long_ago.IsLongAgo());
}

TEST(Archive, EveryTruncationIsRefused) {
  const Timestamp now;
  const auto bytes = WriteArchive(Sample(), now);
  for (size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_FALSE(ReadArchive<Outer>(std::span(bytes).first(n), now)) << n;
  }
}

struct Old {
  uint32_t a = 0;
  template <typename F>
  void Fields(F&& f) {
    f(a);
  }
};
struct New {
  uint32_t a = 0;
  uint32_t b = 42;
  template <typename F>
  void Fields(F&& f) {
    f(a, b);
  }
};

TEST(Archive, NeighbouringVersionsReadEachOther) {
  const Timestamp now;
  const std::optional<New> newer = ReadArchive<New>(WriteArchive(Old{7}, now), now);
  ASSERT_TRUE(newer);
  EXPECT_EQ(newer->a, 7u);
  EXPECT_EQ(newer->b, 42u) << "a member the old version did not write keeps its default";
  const std::optional<Old> older = ReadArchive<Old>(WriteArchive(New{8, 9}, now), now);
  ASSERT_TRUE(older);
  EXPECT_EQ(older->a, 8u);
}

struct List {
  std::vector<uint64_t> items;
  template <typename F>
  void Fields(F&& f) {
    f(items);
  }
};

TEST(Archive, AHugeCountDoesNotAllocate) {
  std::vector<uint8_t> bytes = {0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff};
  EXPECT_FALSE(ReadArchive<List>(bytes, Timestamp()));
}

}  // namespace
}  // namespace vigil
