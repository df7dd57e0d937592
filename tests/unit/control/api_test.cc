#include "gateway/control/api.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gateway/control/api_error.h"
#include "gtest/gtest.h"
#include "vigil/v1/media.pb.h"

// What a call has to pass before its handler sees it, and what is counted of it.

namespace vigil::control {
namespace {

class NothingToTell final : public MessageSource {
 public:
  Next Pull(google::protobuf::Message&, Timestamp) override { return Next::kWait; }
  absl::Status status() const override { return absl::OkStatus(); }
};

class ApiTest : public testing::Test {
 protected:
  ApiTest() { Register(api_); }
  void Register(Api& api) {
    api.AddUnary<v1::ListFeedsRequest, v1::ListFeedsResponse>(
        "MediaService.ListFeeds", [this](const Caller&) { return access_; },
        [this](const CallContext&, const v1::ListFeedsRequest&,
               const Done<v1::ListFeedsResponse>& done) {
          ++handled_;
          done(v1::ListFeedsResponse());
        });
    api.AddStream<v1::WatchMediaRequest>(
        "MediaService.WatchMedia", [this](const Caller&) { return access_; },
        [](const CallContext&, const v1::WatchMediaRequest&, const MessageSource::Wake&) {
          return std::make_unique<NothingToTell>();
        });
  }

  absl::Status Call(const std::string& prefix = "") {
    v1::ListFeedsRequest message;
    message.set_name_prefix(prefix);
    absl::Status status = absl::UnknownError("no answer");
    api_.Call({.method = api_.Find("vigil.v1.MediaService", "ListFeeds"),
               .token = "",
               .client_ip = "192.0.2.1",
               .message = &message},
              [&status](absl::StatusOr<MessagePtr> answer) { status = answer.status(); });
    return status;
  }

  absl::StatusOr<std::unique_ptr<MessageSource>> Watch() { return Watch(api_); }
  static absl::StatusOr<std::unique_ptr<MessageSource>> Watch(Api& api) {
    const v1::WatchMediaRequest message;
    return api.Open({.method = api.Find("vigil.v1.MediaService", "WatchMedia"),
                     .token = "",
                     .client_ip = "192.0.2.1",
                     .message = &message},
                    [] {});
  }

  Timestamp now_ = Timestamp::FromNanos(1'000'000'000);
  absl::Status access_;
  int handled_ = 0;
  Authenticator authenticator_ = Authenticator::WithoutLogin();
  Api api_{authenticator_,
           {.now = [this] { return now_; }, .unix_nanos = [](Timestamp at) { return at.ns(); }},
           {.calls_per_second = 2,
            .calls_at_once = 4,
            .message_bytes = 1'000,
            .streams_per_caller = 2,
            .streams = 3}};
};

TEST_F(ApiTest, MethodsAreFoundByName) {
  EXPECT_NE(api_.Find("vigil.v1.MediaService", "ListFeeds"), nullptr);
  EXPECT_EQ(api_.Find("vigil.v1.MediaService", "Publish"), nullptr);
  EXPECT_EQ(api_.Find("vigil.v1.NodeService", "ListFeeds"), nullptr);
  EXPECT_EQ(api_.Find("", ""), nullptr);
}

TEST_F(ApiTest, WhoMayNotIsRefusedBeforeTheHandler) {
  access_ = ApiError(v1::ERROR_REASON_NOT_GRANTED, "no");
  EXPECT_EQ(ReasonOf(Call()), v1::ERROR_REASON_NOT_GRANTED);
  EXPECT_EQ(ReasonOf(Watch().status()), v1::ERROR_REASON_NOT_GRANTED);
  EXPECT_EQ(handled_, 0);
}

TEST_F(ApiTest, ALargeRequestIsRefusedBeforeTheHandler) {
  EXPECT_EQ(ReasonOf(Call(std::string(1'000, 'a'))), v1::ERROR_REASON_MESSAGE_TOO_LARGE);
  EXPECT_EQ(handled_, 0);
  EXPECT_TRUE(Call(std::string(900, 'a')).ok());
}

TEST_F(ApiTest, SoManyCallsAtOnceAndSoManyASecond) {
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(Call().ok());
  const absl::Status refused = Call();
  EXPECT_EQ(ReasonOf(refused), v1::ERROR_REASON_RATE_LIMITED);
  EXPECT_EQ(RetryDelayOf(refused), 1);
  // A stream is a call, too.
  EXPECT_EQ(ReasonOf(Watch().status()), v1::ERROR_REASON_RATE_LIMITED);
  now_ = now_ + TimeDelta::Seconds(1);
  EXPECT_TRUE(Call().ok());
  EXPECT_TRUE(Call().ok());
  EXPECT_FALSE(Call().ok());
}

TEST_F(ApiTest, SoManyStreamsAndTheirEndMakesRoom) {
  auto first = Watch();
  auto second = Watch();
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(ReasonOf(Watch().status()), v1::ERROR_REASON_QUOTA_EXCEEDED);
  EXPECT_EQ(api_.Counters().streams, 2u);
  first->reset();
  EXPECT_EQ(api_.Counters().streams, 1u);
  EXPECT_TRUE(Watch().ok());
}

TEST_F(ApiTest, ASiteHasItsShareOfTheStreams) {
  Api api(authenticator_, api_.control_clock(),
          {.streams_per_caller = 2, .streams_per_site = 1, .streams = 3});
  Register(api);
  auto first = Watch(api);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(ReasonOf(Watch(api).status()), v1::ERROR_REASON_QUOTA_EXCEEDED);
  first->reset();
  EXPECT_TRUE(Watch(api).ok());
}

TEST_F(ApiTest, CallsAreCountedByHowTheyEnded) {
  EXPECT_TRUE(Call().ok());
  access_ = ApiError(v1::ERROR_REASON_NOT_GRANTED, "no");
  EXPECT_FALSE(Call().ok());
  EXPECT_FALSE(Call().ok());
  const ApiCounters counters = api_.Counters();
  const ApiCounters::Method& method = counters.methods.at("MediaService/ListFeeds");
  EXPECT_EQ(method.ended.at(absl::StatusCode::kOk), 1u);
  EXPECT_EQ(method.ended.at(absl::StatusCode::kPermissionDenied), 2u);
  EXPECT_EQ(method.time.count, 3u);
  // What was never called is counted, too: as never.
  EXPECT_TRUE(counters.methods.at("MediaService/WatchMedia").ended.empty());
}

}  // namespace
}  // namespace vigil::control
