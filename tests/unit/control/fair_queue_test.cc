#include "gateway/control/fair_queue.h"

#include <functional>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace vigil::control {
namespace {

class FairQueueTest : public testing::Test {
 protected:
  bool Add(const std::string& tenant) {
    return queue_.Add(tenant, [this, tenant](std::function<void()> done) {
      begun_.push_back(tenant);
      done_ = std::move(done);
    });
  }
  // The piece that is under way is done.
  void Done() {
    const std::function<void()> done = std::move(done_);
    done();
  }

  FairQueue queue_;
  std::vector<std::string> begun_;
  std::function<void()> done_;
};

TEST_F(FairQueueTest, OnePieceAtATimeOfEachTenantInTurn) {
  for (int i = 0; i < 3; ++i) Add("greedy");
  Add("modest");
  Add("other");
  EXPECT_EQ(begun_, (std::vector<std::string>{"greedy"}));
  for (int i = 0; i < 4; ++i) Done();
  EXPECT_EQ(begun_, (std::vector<std::string>{"greedy", "modest", "other", "greedy", "greedy"}));
  Done();
  Add("modest");
  EXPECT_EQ(begun_.size(), 6u) << "an idle queue begins at once";
}

TEST_F(FairQueueTest, ATenantWaitsForItselfAndIsRefusedInTheEnd) {
  EXPECT_TRUE(Add("greedy"));  // Under way: it does not wait.
  for (size_t i = 0; i < FairQueue::kMaxWaiting; ++i) ASSERT_TRUE(Add("greedy"));
  EXPECT_FALSE(Add("greedy"));
  EXPECT_TRUE(Add("modest"));
  Done();
  EXPECT_EQ(begun_.back(), "modest");
}

TEST_F(FairQueueTest, WhatIsDoneAtOnceMakesNoDeepStack) {
  Add("first");
  int done = 0;
  for (size_t i = 0; i < FairQueue::kMaxWaiting; ++i) {
    queue_.Add("quick", [&done](const std::function<void()>& next) {
      ++done;
      next();
    });
  }
  Done();
  EXPECT_EQ(done, static_cast<int>(FairQueue::kMaxWaiting));
}

}  // namespace
}  // namespace vigil::control
