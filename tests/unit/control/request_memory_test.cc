#include "gateway/control/request_memory.h"

#include <string>
#include <vector>

#include "gateway/base/archive.h"
#include "gtest/gtest.h"

namespace vigil::control {
namespace {

using Claim = RequestMemory::Claim;

const RequestMemory::Key kKey{"tech-1", "Publish", "id-1"};
const RequestMemory::Digest kDigest{1};

Timestamp At(int64_t seconds) { return Timestamp::FromNanos(seconds * 1'000'000'000); }

class RequestMemoryTest : public testing::Test {
 protected:
  Claim Begin(const RequestMemory::Key& key, const RequestMemory::Digest& digest, Timestamp now) {
    return memory_.Begin(
        key, digest, now,
        [this](const absl::StatusOr<std::string>& answer) { told_.push_back(answer); }, answer_);
  }

  RequestMemory memory_;
  std::string answer_;
  std::vector<absl::StatusOr<std::string>> told_;
};

TEST_F(RequestMemoryTest, ARetryGetsTheFirstAnswer) {
  EXPECT_EQ(Begin(kKey, kDigest, At(0)), Claim::kFirst);
  memory_.Finish(kKey, "done", At(1));
  EXPECT_EQ(Begin(kKey, kDigest, At(2)), Claim::kAnswered);
  EXPECT_EQ(answer_, "done");
}

TEST_F(RequestMemoryTest, ARetryMeanwhileWaitsForIt) {
  EXPECT_EQ(Begin(kKey, kDigest, At(0)), Claim::kFirst);
  EXPECT_EQ(Begin(kKey, kDigest, At(0)), Claim::kWaits);
  EXPECT_EQ(Begin(kKey, kDigest, At(0)), Claim::kWaits);
  EXPECT_TRUE(told_.empty());
  memory_.Finish(kKey, "done", At(1));
  ASSERT_EQ(told_.size(), 2u);
  EXPECT_EQ(*told_[1], "done");
}

TEST_F(RequestMemoryTest, TheSameIdForSomethingElseIsRefused) {
  EXPECT_EQ(Begin(kKey, kDigest, At(0)), Claim::kFirst);
  EXPECT_EQ(Begin(kKey, {2}, At(0)), Claim::kReused);
  memory_.Finish(kKey, "done", At(1));
  EXPECT_EQ(Begin(kKey, {2}, At(0)), Claim::kReused);
}

TEST_F(RequestMemoryTest, CallersAndMethodsHaveIdsOfTheirOwn) {
  EXPECT_EQ(Begin(kKey, kDigest, At(0)), Claim::kFirst);
  EXPECT_EQ(Begin({"tech-2", "Publish", "id-1"}, {2}, At(0)), Claim::kFirst);
  EXPECT_EQ(Begin({"tech-1", "Close", "id-1"}, {2}, At(0)), Claim::kFirst);
}

TEST_F(RequestMemoryTest, WhatFailedMayBeTriedAgain) {
  EXPECT_EQ(Begin(kKey, kDigest, At(0)), Claim::kFirst);
  memory_.Finish(kKey, absl::UnavailableError("full"), At(1));
  EXPECT_EQ(Begin(kKey, kDigest, At(2)), Claim::kFirst);
  EXPECT_EQ(memory_.bytes(), 0u);
}

TEST_F(RequestMemoryTest, ADayLaterItIsForgotten) {
  EXPECT_EQ(Begin(kKey, kDigest, At(0)), Claim::kFirst);
  memory_.Finish(kKey, "done", At(0));
  EXPECT_EQ(Begin(kKey, kDigest, At(24 * 3600 - 1)), Claim::kAnswered);
  EXPECT_EQ(Begin(kKey, kDigest, At(24 * 3600)), Claim::kFirst);
}

TEST_F(RequestMemoryTest, ItsSizeIsBoundedAndTheOldestGoFirst) {
  const std::string large(1024 * 1024, 'x');
  for (int i = 0; i < 100; ++i) {
    const RequestMemory::Key key{"tech-1", "Publish", std::to_string(i)};
    EXPECT_EQ(Begin(key, kDigest, At(i)), Claim::kFirst);
    memory_.Finish(key, large, At(i));
    EXPECT_LE(memory_.bytes(), RequestMemory::kMaxBytes);
  }
  EXPECT_EQ(Begin({"tech-1", "Publish", "99"}, kDigest, At(100)), Claim::kAnswered);
  EXPECT_EQ(Begin({"tech-1", "Publish", "0"}, kDigest, At(100)), Claim::kFirst);
}

TEST_F(RequestMemoryTest, WhoMakesManyCallsForgetsItsOwn) {
  EXPECT_EQ(Begin(kKey, kDigest, At(0)), Claim::kFirst);
  memory_.Finish(kKey, "done", At(0));
  for (int i = 0; i < 100; ++i) {
    const RequestMemory::Key key{"greedy", "Publish", std::to_string(i)};
    EXPECT_EQ(Begin(key, kDigest, At(1 + i)), Claim::kFirst);
    memory_.Finish(key, std::string(1024 * 1024, 'x'), At(1 + i));
  }
  EXPECT_GT(memory_.forgotten_early(), 30u);
  EXPECT_EQ(Begin(kKey, kDigest, At(101)), Claim::kAnswered);
}

TEST_F(RequestMemoryTest, ASuccessorKnowsWhatWasAnswered) {
  EXPECT_EQ(Begin(kKey, kDigest, At(10)), Claim::kFirst);
  memory_.Finish(kKey, "done", At(10));
  EXPECT_EQ(Begin({"tech-1", "Publish", "on its way"}, kDigest, At(10)), Claim::kFirst);
  const std::vector<uint8_t> bytes = WriteArchive(memory_.Export(), At(20));
  const auto state = ReadArchive<RequestMemory::State>(bytes, At(1'020));
  ASSERT_TRUE(state.has_value());
  RequestMemory successor;
  successor.Restore(*state);
  std::string answer;
  EXPECT_EQ(successor.Begin(kKey, kDigest, At(1'021), nullptr, answer), Claim::kAnswered);
  EXPECT_EQ(answer, "done");
  EXPECT_EQ(successor.size(), 1u);
}

}  // namespace
}  // namespace vigil::control
