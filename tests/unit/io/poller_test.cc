#include "gateway/io/poller.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <utility>

#include "gateway/io/clock.h"
#include "gateway/io/fd.h"
#include "gtest/gtest.h"
#include "tests/unit/io/loopback.h"

namespace vigil::io {
namespace {

class PollerTest : public testing::TestWithParam<Poller::Timer> {
 protected:
  void SetUp() override {
    auto poller = Poller::Open(GetParam());
    ASSERT_TRUE(poller.ok());
    poller_ = std::move(*poller);
  }
  std::unique_ptr<Poller> poller_;
};

INSTANTIATE_TEST_SUITE_P(Timers, PollerTest,
                         testing::Values(Poller::Timer::kBest, Poller::Timer::kTimerFd));

TEST_P(PollerTest, ATimeoutEndsTheWaitAndNotEarly) {
  for (const int64_t micros : {0, 50, 300, 2000}) {
    const Timestamp begin = MonotonicNow();
    EXPECT_TRUE(poller_->Wait(TimeDelta::Micros(micros)).empty());
    EXPECT_GE(MonotonicNow() - begin, TimeDelta::Micros(micros));
  }
  EXPECT_TRUE(poller_->Wait(TimeDelta::Micros(-5)).empty()) << "a deadline that has passed";
}

TEST_P(PollerTest, AnExpiredTimerDoesNotEndTheNextWait) {
  poller_->Wait(TimeDelta::Nanos(1));
  const Timestamp begin = MonotonicNow();
  poller_->Wait(TimeDelta::Millis(3));
  EXPECT_GE(MonotonicNow() - begin, TimeDelta::Millis(3));
}

TEST_P(PollerTest, ReportsWhatIsReadableUnderItsToken) {
  const Fd event(eventfd(0, EFD_NONBLOCK));
  ASSERT_TRUE(poller_->Add(event.get(), 77).ok());
  EXPECT_FALSE(poller_->Add(event.get(), 78).ok()) << "it is in already";
  EXPECT_TRUE(poller_->Wait(TimeDelta::Zero()).empty());
  const uint64_t one = 1;
  ASSERT_EQ(write(event.get(), &one, sizeof one), static_cast<ssize_t>(sizeof one));
  for (int i = 0; i < 2; ++i) {
    const auto ready = poller_->Wait(TimeDelta::Infinite());
    ASSERT_EQ(ready.size(), 1u) << "level-triggered";
    EXPECT_EQ(ready[0].token, 77u);
    EXPECT_TRUE(ready[0].readable);
    EXPECT_FALSE(ready[0].writable);
  }
  poller_->WatchWritable(event.get(), 77, true);
  EXPECT_TRUE(poller_->Wait(TimeDelta::Infinite())[0].writable);
  poller_->Remove(event.get());
  EXPECT_TRUE(poller_->Wait(TimeDelta::Zero()).empty());
}

TEST_P(PollerTest, AWakeBeforeTheWaitIsNotLostAndCountsOnce) {
  poller_->Wake();
  poller_->Wake();
  poller_->Wait(TimeDelta::Infinite());
  const Timestamp begin = MonotonicNow();
  poller_->Wait(TimeDelta::Millis(2));
  EXPECT_GE(MonotonicNow() - begin, TimeDelta::Millis(2));
}

TEST_P(PollerTest, WakesFromAnotherThread) {
  // A lost wake would let a wait run into its timeout.
  constexpr int kRounds = 2'000;
  std::atomic<int> posted = 0;
  std::atomic<int> seen = 0;
  std::thread other([&] {
    for (int i = 1; i <= kRounds; ++i) {
      posted.store(i, std::memory_order_release);
      poller_->Wake();
      while (seen.load(std::memory_order_acquire) < i) std::this_thread::yield();
    }
  });
  const Timestamp begin = MonotonicNow();
  while (seen.load() < kRounds) {
    poller_->Wait(TimeDelta::Seconds(20));
    seen.store(posted.load(std::memory_order_acquire), std::memory_order_release);
  }
  EXPECT_LT(MonotonicNow() - begin, TimeDelta::Seconds(20)) << "no wait ran into its timeout";
  other.join();
}

TEST_P(PollerTest, APollerCanBeWatchedByAnother) {
  const std::unique_ptr<Poller> outer = OpenPoller();
  ASSERT_TRUE(outer->Add(poller_->fd(), 1).ok());
  EXPECT_TRUE(outer->Wait(TimeDelta::Zero()).empty());
  poller_->Wake();
  EXPECT_EQ(outer->Wait(TimeDelta::Infinite()).size(), 1u);
  poller_->Wait(TimeDelta::Zero());
  EXPECT_TRUE(outer->Wait(TimeDelta::Zero()).empty());
}

}  // namespace
}  // namespace vigil::io
