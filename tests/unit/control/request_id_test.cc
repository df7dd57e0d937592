#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gateway/control/api.h"
#include "gtest/gtest.h"
#include "vigil/v1/media.pb.h"

// What a request id does, from the call to the answer: the memory itself has tests of its own.

namespace vigil::control {
namespace {

constexpr char kId[] = "7a1f2f57-9d1c-4f4e-8a39-0d6f3f0f3c11";
constexpr char kOtherId[] = "7a1f2f57-9d1c-4f4e-8a39-0d6f3f0f3c12";

class RequestIdTest : public testing::Test {
 protected:
  using PublishDone = Done<v1::PublishResponse>;

  RequestIdTest() {
    api_.AddUnary<v1::PublishRequest, v1::PublishResponse>(
        "MediaService.Publish", [](const Caller&) { return absl::OkStatus(); },
        [this](const CallContext&, const v1::PublishRequest&, const PublishDone& done) {
          carried_out_.push_back(done);
        });
  }

  void Publish(const std::string& request_id, const std::string& feed = "patient") {
    v1::PublishRequest message;
    message.set_request_id(request_id);
    message.set_feed(feed);
    api_.Call({.method = api_.Find("vigil.v1.MediaService", "Publish"),
               .token = "",
               .client_ip = "127.0.0.1",
               .message = &message},
              [this](absl::StatusOr<MessagePtr> answer) {
                if (!answer.ok()) return answers_.push_back(answer.status().ToString());
                answers_.push_back(static_cast<v1::PublishResponse&>(**answer).peer());
              });
  }
  // Ends the n-th call that reached the handler.
  void Answer(size_t n, const std::string& peer) {
    v1::PublishResponse response;
    response.set_peer(peer);
    carried_out_.at(n)(std::move(response));
  }

  Timestamp now_ = Timestamp::FromNanos(1'000'000'000);
  Authenticator authenticator_ = Authenticator::WithoutLogin();
  Api api_{authenticator_,
           {.now = [this] { return now_; }, .unix_nanos = [](Timestamp at) { return at.ns(); }},
           ApiLimits{}};
  std::vector<PublishDone> carried_out_;
  std::vector<std::string> answers_;
};

TEST_F(RequestIdTest, ARetryGetsTheAnswerAndHasNoEffect) {
  Publish(kId);
  Answer(0, "peer-1");
  Publish(kId);
  EXPECT_EQ(carried_out_.size(), 1u);
  EXPECT_EQ(answers_, (std::vector<std::string>{"peer-1", "peer-1"}));
}

TEST_F(RequestIdTest, ARetryWhileItIsCarriedOutWaitsForTheSameAnswer) {
  Publish(kId);
  Publish(kId);
  EXPECT_TRUE(answers_.empty());
  ASSERT_EQ(carried_out_.size(), 1u);
  Answer(0, "peer-1");
  EXPECT_EQ(answers_, (std::vector<std::string>{"peer-1", "peer-1"}));
}

TEST_F(RequestIdTest, AFailedCallIsTriedAgain) {
  Publish(kId);
  carried_out_.at(0)(absl::UnavailableError("draining"));
  Publish(kId);
  ASSERT_EQ(carried_out_.size(), 2u);
  Answer(1, "peer-2");
  EXPECT_EQ(answers_.back(), "peer-2");
}

TEST_F(RequestIdTest, AnIdIsOfOneRequestOnly) {
  Publish(kId);
  Answer(0, "peer-1");
  Publish(kId, "injector");
  EXPECT_EQ(carried_out_.size(), 1u);
  EXPECT_NE(answers_.back().find("request_id"), std::string::npos);
  Publish(kOtherId, "injector");
  EXPECT_EQ(carried_out_.size(), 2u);
}

TEST_F(RequestIdTest, CapitalsMakeNoOtherId) {
  constexpr char kCapitals[] = "7A1F2F57-9D1C-4F4E-8A39-0D6F3F0F3C11";
  Publish(kId);
  Answer(0, "peer-1");
  Publish(kCapitals);
  EXPECT_EQ(answers_, (std::vector<std::string>{"peer-1", "peer-1"}));
  Publish(kCapitals, "injector");
  EXPECT_EQ(carried_out_.size(), 1u);
}

TEST_F(RequestIdTest, WithoutOneEachCallHasItsEffect) {
  Publish("");
  Publish("");
  EXPECT_EQ(carried_out_.size(), 2u);
}

TEST_F(RequestIdTest, WhatIsNoUuidIsRefused) {
  constexpr const char* kWrong[] = {"1", "7a1f2f57-9d1c-4f4e-8a39-0d6f3f0f3c1",
                                    "7a1f2f57x9d1c-4f4e-8a39-0d6f3f0f3c11"};
  for (const char* text : kWrong) {
    Publish(text);
    EXPECT_NE(answers_.back().find("must be a UUID"), std::string::npos) << text;
  }
  EXPECT_TRUE(carried_out_.empty());
}

}  // namespace
}  // namespace vigil::control
