#include "gateway/control/rate_limiter.h"

#include <string>

#include "gtest/gtest.h"

namespace vigil::control {
namespace {

Timestamp At(int64_t ms) { return Timestamp::FromNanos(ms * 1'000'000); }

int Admitted(RateLimiter& limiter, const std::string& key, int calls, Timestamp now) {
  int admitted = 0;
  for (int i = 0; i < calls; ++i) admitted += limiter.Admit(key, now) ? 1 : 0;
  return admitted;
}

TEST(RateLimiter, LetsSoManyAtOnceAndSoManyASecond) {
  RateLimiter limiter(10, 30);
  EXPECT_EQ(Admitted(limiter, "a", 100, At(0)), 30);
  EXPECT_EQ(Admitted(limiter, "a", 100, At(500)), 5);
  EXPECT_EQ(Admitted(limiter, "a", 100, At(100'000)), 30);  // Saves up no more than that.
}

TEST(RateLimiter, WhatCannotBeRefusedIsMadeUpForByWaiting) {
  RateLimiter limiter(10, 30);
  EXPECT_EQ(limiter.Charge("a", 30, At(0)), TimeDelta::Zero());
  EXPECT_EQ(limiter.Charge("a", 5, At(0)), TimeDelta::Millis(500));
  EXPECT_EQ(limiter.Charge("a", 5, At(0)), TimeDelta::Millis(1'000));
  EXPECT_FALSE(limiter.Admit("a", At(1'000)));
  EXPECT_TRUE(limiter.Admit("a", At(1'100)));
  EXPECT_EQ(limiter.Charge("b", 30, At(0)), TimeDelta::Zero());
  // But not for ever.
  EXPECT_EQ(limiter.Charge("b", 1'000'000, At(0)), RateLimiter::kLongestWait);
}

TEST(RateLimiter, CallersDoNotCountForEachOther) {
  RateLimiter limiter(10, 30);
  EXPECT_EQ(Admitted(limiter, "a", 100, At(0)), 30);
  EXPECT_EQ(Admitted(limiter, "b", 100, At(0)), 30);
}

TEST(RateLimiter, ACrowdOfKeysIsBoundedAndThenOneKey) {
  RateLimiter limiter(10, 30);
  for (size_t i = 0; i < RateLimiter::kMaxKeys; ++i) {
    EXPECT_TRUE(limiter.Admit("k" + std::to_string(i), At(1)));
  }
  EXPECT_EQ(Admitted(limiter, "x", 20, At(1)) + Admitted(limiter, "y", 20, At(1)), 30);
  // Who is known is not hurt by them, and who is idle makes room.
  EXPECT_TRUE(limiter.Admit("k7", At(1)));
  EXPECT_EQ(Admitted(limiter, "z", 100, At(60'000)), 30);
}

}  // namespace
}  // namespace vigil::control
