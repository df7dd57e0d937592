#include "gateway/stream/keyframe_requester.h"

#include <optional>

#include "gateway/base/archive.h"
#include "gateway/base/rng.h"
#include "gtest/gtest.h"

namespace vigil::stream {
namespace {

Timestamp At(int64_t ms) { return Timestamp::FromNanos(1'000'000'000 + ms * 1'000'000); }

TEST(KeyframeRequester, TheFirstWishIsMetAtOnce) {
  KeyframeRequester requester;
  EXPECT_FALSE(requester.TakeDue(At(0)));
  requester.Request(At(0));
  EXPECT_EQ(requester.NextDeadline(), At(0));
  EXPECT_TRUE(requester.TakeDue(At(0)));
  EXPECT_FALSE(requester.TakeDue(At(0)));
}

TEST(KeyframeRequester, ManyWishesMakeOneRequest) {
  KeyframeRequester requester;
  for (int i = 0; i < 50; ++i) requester.Request(At(i));
  EXPECT_TRUE(requester.TakeDue(At(50)));
  for (int i = 51; i < 300; ++i) {
    requester.Request(At(i));
    EXPECT_FALSE(requester.TakeDue(At(i)));
  }
  EXPECT_EQ(requester.requests_sent(), 1u);
  EXPECT_EQ(requester.wanted_since(), At(0));
}

TEST(KeyframeRequester, AKeyframeAnswersAllWishes) {
  KeyframeRequester requester;
  requester.Request(At(0));
  ASSERT_TRUE(requester.TakeDue(At(0)));
  requester.OnKeyframe();
  EXPECT_FALSE(requester.wanted());
  EXPECT_TRUE(requester.NextDeadline().IsNever());
  EXPECT_FALSE(requester.TakeDue(At(5000)));
}

TEST(KeyframeRequester, AWishRightAfterAKeyframeIsDelayedNotLost) {
  KeyframeRequester requester;
  requester.Request(At(0));
  ASSERT_TRUE(requester.TakeDue(At(0)));
  requester.OnKeyframe();
  requester.Request(At(20));
  EXPECT_FALSE(requester.TakeDue(At(309)));
  EXPECT_EQ(requester.NextDeadline(), At(310));
  EXPECT_TRUE(requester.TakeDue(At(310)));
}

TEST(KeyframeRequester, AnUnansweredRequestIsRepeatedEachSecond) {
  KeyframeRequester requester;
  requester.Request(At(0));
  ASSERT_TRUE(requester.TakeDue(At(0)));
  EXPECT_FALSE(requester.TakeDue(At(999)));
  EXPECT_TRUE(requester.TakeDue(At(1000)));
  EXPECT_TRUE(requester.TakeDue(At(2000)));
}

TEST(KeyframeRequester, AFreshWishWhileOneIsUnansweredAsksAgainSooner) {
  KeyframeRequester requester;
  requester.Request(At(0));
  ASSERT_TRUE(requester.TakeDue(At(0)));
  requester.Request(At(500));
  EXPECT_TRUE(requester.TakeDue(At(500)));
}

TEST(KeyframeRequester, AWishSurvivesARestore) {
  KeyframeRequester requester;
  requester.Request(At(0));
  ASSERT_TRUE(requester.TakeDue(At(0)));
  const auto restored =
      ReadArchive<KeyframeRequester>(WriteArchive(requester, At(400)), At(900'400));
  ASSERT_TRUE(restored);
  EXPECT_TRUE(restored->wanted());
  EXPECT_EQ(restored->NextDeadline(), At(901'000));
}

TEST(KeyframeRequester, RequestsKeepTheirDistanceAndNoWishIsForgotten) {
  Rng rng(21);
  for (int round = 0; round < 100; ++round) {
    KeyframeRequester requester;
    Timestamp now = At(0);
    std::optional<Timestamp> last_sent;
    std::optional<Timestamp> oldest_wish;
    for (int step = 0; step < 300; ++step) {
      now = now + TimeDelta::Millis(rng.Between(0, 150));
      if (rng.Chance(0.3)) {
        requester.Request(now);
        if (!oldest_wish) oldest_wish = now;
      }
      if (requester.TakeDue(now)) {
        ASSERT_TRUE(!last_sent || now - *last_sent >= KeyframeRequester::kMinInterval);
        ASSERT_TRUE(oldest_wish);
        last_sent = now;
      }
      ASSERT_GT(requester.NextDeadline(), now);
      // While somebody waits there is always a next request.
      ASSERT_EQ(requester.NextDeadline().IsNever(), !oldest_wish);
      if (rng.Chance(0.1)) {
        requester.OnKeyframe();
        oldest_wish.reset();
      }
    }
  }
}

}  // namespace
}  // namespace vigil::stream
