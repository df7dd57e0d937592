#include "gateway/control/connect_api.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gateway/control/api_error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "vigil/v1/media.pb.h"

// How long a caller waits for one answer. The rest of the protocol is tested by its own clients, in
// tests/interop.

namespace vigil::control {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ConnectApiTest : public testing::Test {
 protected:
  struct Alarm {
    TimeDelta delay;
    std::function<void()> what;
    std::weak_ptr<void> held;  // Expired: it was called off.
  };

  // A method that is answered when the test says so.
  ConnectApiTest() {
    api_.AddUnary<v1::ListFeedsRequest, v1::ListFeedsResponse>(
        "MediaService.ListFeeds", [](const Caller&) { return absl::OkStatus(); },
        [this](const CallContext&, const v1::ListFeedsRequest&, Done<v1::ListFeedsResponse> done) {
          answer_ = std::move(done);
        });
  }

  void Call(const std::string& timeout) {
    HttpRequest request{.method = "POST",
                        .target = "/vigil.v1.MediaService/ListFeeds",
                        .host = "localhost",
                        .path = "/vigil.v1.MediaService/ListFeeds",
                        .query = {},
                        .headers = {},
                        .content_type = "application/json",
                        .client_ip = "192.0.2.1",
                        .body = "{}"};
    if (!timeout.empty()) request.headers.emplace_back("connect-timeout-ms", timeout);
    connect_.Handle(request, [this](HttpResponse response) {
      statuses_.push_back(response.status);
      body_ = std::move(response.body);
    });
  }

  std::vector<unsigned> statuses_;  // Of the answers to the caller.
  std::string body_;                // Of the last.
  std::vector<Alarm> alarms_;
  Done<v1::ListFeedsResponse> answer_;
  Authenticator authenticator_ = Authenticator::WithoutLogin();
  Api api_{authenticator_,
           {.now = [] { return Timestamp::FromNanos(1'000'000'000); },
            .unix_nanos = [](Timestamp at) { return at.ns(); }},
           {}};
  ConnectApi connect_{api_, [this](TimeDelta delay, std::function<void()> what) {
                        auto alarm = std::make_shared<int>();
                        alarms_.push_back({delay, std::move(what), alarm});
                        return alarm;
                      }};
};

TEST_F(ConnectApiTest, ACallThatIsNotAnsweredInTimeIsToldSoOnce) {
  Call("20");
  ASSERT_EQ(alarms_.size(), 1u);
  EXPECT_EQ(alarms_[0].delay, TimeDelta::Millis(20));
  EXPECT_THAT(statuses_, IsEmpty());
  alarms_[0].what();
  EXPECT_THAT(statuses_, ElementsAre(504u));
  EXPECT_THAT(body_, HasSubstr(R"("code":"deadline_exceeded")"));
  // The handler knows nothing of it, and its caller hears nothing more.
  answer_(v1::ListFeedsResponse());
  EXPECT_THAT(statuses_, ElementsAre(504u));
}

TEST_F(ConnectApiTest, AnAnswerInTimeCallsTheAlarmOff) {
  Call("20");
  ASSERT_EQ(alarms_.size(), 1u);
  EXPECT_FALSE(alarms_[0].held.expired());
  answer_(v1::ListFeedsResponse());
  EXPECT_THAT(statuses_, ElementsAre(200u));
  EXPECT_TRUE(alarms_[0].held.expired());
  // It may have gone off already when it was called off.
  alarms_[0].what();
  EXPECT_THAT(statuses_, ElementsAre(200u));
}

TEST_F(ConnectApiTest, AnErrorInTimeIsAnAnswer) {
  Call("20");
  answer_(ApiError(v1::ERROR_REASON_WORKER_BUSY, "busy"));
  EXPECT_THAT(statuses_, ElementsAre(429u));
  EXPECT_TRUE(alarms_.at(0).held.expired());
}

TEST_F(ConnectApiTest, WhoNamesNoTimeWaitsForEver) {
  Call("");
  EXPECT_THAT(alarms_, IsEmpty());
  answer_(v1::ListFeedsResponse());
  EXPECT_THAT(statuses_, ElementsAre(200u));
}

TEST_F(ConnectApiTest, ATimeThatIsNoneIsRefusedBeforeTheHandler) {
  for (const char* wrong : {"x", "-1", "1.5", "12345678901"}) {
    statuses_.clear();
    Call(wrong);
    EXPECT_THAT(statuses_, ElementsAre(400u)) << wrong;
  }
  EXPECT_FALSE(answer_);
}

}  // namespace
}  // namespace vigil::control
