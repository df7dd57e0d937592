#include "gateway/base/sequence.h"

#include "gateway/base/rng.h"
#include "gtest/gtest.h"

namespace vigil {
namespace {

TEST(Sequence, NewerIsModular) {
  EXPECT_TRUE(IsNewer<uint16_t>(1, 0));
  EXPECT_TRUE(IsNewer<uint16_t>(0, 0xffff));
  EXPECT_FALSE(IsNewer<uint16_t>(0xffff, 0));
  EXPECT_FALSE(IsNewer<uint16_t>(5, 5));
  EXPECT_NE(IsNewer<uint16_t>(0x8000, 0), IsNewer<uint16_t>(0, 0x8000));
}

TEST(Unwrapper, FollowsAWrappingCounterThroughReordering) {
  Rng rng(1);
  SequenceUnwrapper unwrapper;
  int64_t truth = 65'000;
  for (int i = 0; i < 200'000; ++i) {
    const int64_t shown = truth - static_cast<int64_t>(rng.Below(100));
    EXPECT_EQ(unwrapper.Peek(static_cast<uint16_t>(shown)),
              i == 0 ? static_cast<uint16_t>(shown) : shown);
    unwrapper.Unwrap(static_cast<uint16_t>(shown));
    if (unwrapper.last() != shown) break;
    truth += static_cast<int64_t>(rng.Below(200));
  }
}

TEST(Unwrapper, GoesBelowZeroBeforeTheFirstValue) {
  SequenceUnwrapper unwrapper;
  EXPECT_EQ(unwrapper.Unwrap(2), 2);
  EXPECT_EQ(unwrapper.Unwrap(0xffff), -1);
}

TEST(Unwrapper, FifteenBitCounters) {
  Unwrapper<uint16_t, 15> unwrapper;
  EXPECT_EQ(unwrapper.Unwrap(0x7ffe), 0x7ffe);
  EXPECT_EQ(unwrapper.Unwrap(1), 0x8001);
  EXPECT_EQ(unwrapper.Unwrap(0x7fff), 0x7fff);
}

}  // namespace
}  // namespace vigil
