#include "gateway/stream/loss_list.h"

#include <map>
#include <vector>

#include "gateway/base/rng.h"
#include "gtest/gtest.h"

namespace vigil::stream {
namespace {

constexpr size_t kNoLimit = 1000;
constexpr TimeDelta kRtt = TimeDelta::Millis(40);

Timestamp At(int64_t ms) { return Timestamp::FromNanos(1'000'000'000 + ms * 1'000'000); }

std::vector<uint16_t> Due(LossList& list, Timestamp now, TimeDelta rtt = kRtt,
                          size_t limit = kNoLimit) {
  std::vector<uint16_t> due;
  list.TakeDue(now, rtt, limit, due);
  return due;
}

TEST(LossList, AnEmptyListHasNothingToWaitFor) {
  LossList list;
  EXPECT_TRUE(list.NextDeadline().IsNever());
  EXPECT_TRUE(Due(list, At(0)).empty());
}

TEST(LossList, APacketThatIsMerelyOvertakenIsNotAskedFor) {
  LossList list;
  ASSERT_TRUE(list.OnGap(10, 12, At(0)));
  EXPECT_EQ(list.NextDeadline(), At(5));
  EXPECT_TRUE(Due(list, At(4)).empty());
  EXPECT_TRUE(list.OnArrival(10));
  EXPECT_EQ(Due(list, At(5)), std::vector<uint16_t>({11}));
}

TEST(LossList, ASecondRequestWaitsForTheFirstOnesAnswer) {
  LossList list;
  list.OnGap(7, 8, At(0));
  EXPECT_EQ(Due(list, At(5), TimeDelta::Millis(200)).size(), 1u);
  EXPECT_EQ(list.NextDeadline(), At(210));
  EXPECT_TRUE(Due(list, At(209)).empty());
  EXPECT_EQ(Due(list, At(210), TimeDelta::Millis(200)).size(), 1u);
}

TEST(LossList, OnAVeryShortPathRequestsKeepADistance) {
  LossList list;
  list.OnGap(7, 8, At(0));
  EXPECT_EQ(Due(list, At(5), TimeDelta::Micros(50)).size(), 1u);
  EXPECT_EQ(list.NextDeadline(), At(20));
}

TEST(LossList, AnArrivalIsOnTheListOnce) {
  LossList list;
  list.OnGap(100, 103, At(0));
  EXPECT_TRUE(list.OnArrival(101));
  EXPECT_FALSE(list.OnArrival(101));
  EXPECT_FALSE(list.OnArrival(99));
  EXPECT_FALSE(list.OnArrival(103));
  EXPECT_TRUE(list.OnArrival(100));
  EXPECT_TRUE(list.OnArrival(102));
  EXPECT_EQ(list.size(), 0u);
  EXPECT_TRUE(list.NextDeadline().IsNever());
}

TEST(LossList, APacketIsGivenUpAfterASecond) {
  LossList list;
  list.OnGap(7, 8, At(0));
  std::vector<uint16_t> due;
  // A round trip so long that only the first request goes out in time.
  EXPECT_EQ(list.TakeDue(At(5), TimeDelta::Seconds(3), kNoLimit, due), 0u);
  EXPECT_EQ(list.NextDeadline(), At(1000));
  EXPECT_EQ(list.TakeDue(At(1000), TimeDelta::Seconds(3), kNoLimit, due), 1u);
  EXPECT_EQ(due.size(), 1u);
  EXPECT_EQ(list.size(), 0u);
  EXPECT_TRUE(list.NextDeadline().IsNever());
}

TEST(LossList, APacketIsGivenUpAfterTenRequests) {
  LossList list;
  list.OnGap(7, 8, At(0));
  size_t asked = 0;
  size_t given_up = 0;
  while (!list.NextDeadline().IsNever()) {
    std::vector<uint16_t> due;
    const Timestamp now = list.NextDeadline();
    given_up += list.TakeDue(now, TimeDelta::Millis(10), kNoLimit, due);
    asked += due.size();
    ASSERT_LT(now, At(1001));
  }
  EXPECT_EQ(asked, 10u);
  EXPECT_EQ(given_up, 1u);
}

TEST(LossList, AGapWiderThanTheListClearsIt) {
  LossList list;
  ASSERT_TRUE(list.OnGap(0, 200, At(0)));
  EXPECT_FALSE(list.OnGap(300, 401, At(1)));
  EXPECT_EQ(list.size(), 0u);
  EXPECT_TRUE(list.NextDeadline().IsNever());
  EXPECT_TRUE(list.OnGap(500, 800, At(2)));
  EXPECT_EQ(list.size(), LossList::kMaxMissing);
}

TEST(LossList, WhatALimitLeavesOutStaysDue) {
  LossList list;
  list.OnGap(0, 5, At(0));
  EXPECT_EQ(Due(list, At(5), kRtt, 2), std::vector<uint16_t>({0, 1}));
  EXPECT_LE(list.NextDeadline(), At(5));
  EXPECT_EQ(Due(list, At(5), kRtt, 2), std::vector<uint16_t>({2, 3}));
  EXPECT_EQ(Due(list, At(5), kRtt, 2), std::vector<uint16_t>({4}));
  EXPECT_GT(list.NextDeadline(), At(5));
}

// A list whose deadline lies in the past after it was served keeps its thread busy for nothing.
TEST(LossList, AfterBeingServedTheNextDeadlineIsLater) {
  Rng rng(20);
  for (int round = 0; round < 50; ++round) {
    LossList list;
    Timestamp now = At(0);
    int64_t next = 0;
    std::map<int64_t, int> requests;
    for (int step = 0; step < 400; ++step) {
      now = now + TimeDelta::Micros(rng.Between(0, 20'000));
      if (rng.Chance(0.5)) {
        const int64_t end = next + rng.Between(1, 40);
        // The kernel's stamp may be older than the turn.
        if (!list.OnGap(next, end, now - TimeDelta::Millis(rng.Between(0, 30)))) requests.clear();
        next = end + 1;
      }
      list.OnArrival(next - rng.Between(1, 60));
      std::vector<uint16_t> due;
      const TimeDelta rtt = TimeDelta::Micros(rng.Between(0, 400'000));
      list.TakeDue(now, rtt, kNoLimit, due);
      ASSERT_GT(list.NextDeadline(), now);
      ASSERT_EQ(list.NextDeadline().IsNever(), list.size() == 0);
      ASSERT_LE(list.size(), LossList::kMaxMissing);
      for (const uint16_t sequence : due) ASSERT_LE(++requests[sequence], LossList::kMaxRequests);
    }
  }
}

}  // namespace
}  // namespace vigil::stream
