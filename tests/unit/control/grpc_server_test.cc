#include "gateway/control/grpc_server.h"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "vigil/v1/media.grpc.pb.h"

// What gRPC's threads decide by themselves, without the control thread.

namespace vigil::control {
namespace {

constexpr std::chrono::milliseconds kPatience{60'000};
constexpr std::chrono::milliseconds kLook{10};

// A control thread that is busy with something else until it is told to go on.
class BusyThread {
 public:
  void Post(std::function<void()> what) {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(what));
  }
  size_t waiting() {
    const std::lock_guard lock(mutex_);
    return waiting_.size();
  }
  // Runs what was posted, and what comes meanwhile.
  void GoOn() {
    std::unique_lock lock(mutex_);
    while (!waiting_.empty()) {
      const std::function<void()> what = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      what();
      lock.lock();
    }
  }

 private:
  std::mutex mutex_;
  std::deque<std::function<void()>> waiting_;
};

struct ClientCall {
  grpc::ClientContext context;
  v1::ListFeedsRequest request;
  v1::ListFeedsResponse response;
};

// A client with connections of its own, and how its calls ended.
class Client {
 public:
  Client(uint16_t port, int connections) {
    for (int i = 0; i < connections; ++i) {
      grpc::ChannelArguments own;
      own.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
      stubs_.push_back(v1::MediaService::NewStub(grpc::CreateCustomChannel(
          absl::StrCat("127.0.0.1:", port), grpc::InsecureChannelCredentials(), own)));
    }
  }
  ~Client() {
    for (const auto& call : calls_) call->context.TryCancel();
    WaitFor([this] { return ended_.size() == calls_.size(); });
  }

  void CallFromEach(int times) {
    for (const auto& stub : stubs_) {
      for (int i = 0; i < times; ++i) Call(*stub);
    }
  }
  // False when `condition` does not become true; it is asked after each call that ends, and now
  // and then.
  template <typename Condition>
  bool WaitFor(Condition condition) {
    std::unique_lock lock(mutex_);
    for (int waits = 0; waits < kPatience / kLook; ++waits) {
      if (condition()) return true;
      changed_.wait_for(lock, kLook);
    }
    return condition();
  }
  std::vector<grpc::Status> ended() {
    const std::lock_guard lock(mutex_);
    return ended_;
  }
  // For conditions of WaitFor().
  size_t ended_count() const { return ended_.size(); }

 private:
  void Call(v1::MediaService::Stub& stub) {
    calls_.push_back(std::make_unique<ClientCall>());
    ClientCall& call = *calls_.back();
    stub.async()->ListFeeds(&call.context, &call.request, &call.response, [this](grpc::Status end) {
      const std::lock_guard lock(mutex_);
      ended_.push_back(std::move(end));
      changed_.notify_all();
    });
  }

  std::vector<std::unique_ptr<v1::MediaService::Stub>> stubs_;
  std::vector<std::unique_ptr<ClientCall>> calls_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<grpc::Status> ended_;
};

std::string ReasonOf(const grpc::Status& status) {
  google::rpc::Status rpc;
  google::rpc::ErrorInfo info;
  if (!rpc.ParseFromString(status.error_details())) return "";
  for (const auto& detail : rpc.details()) {
    if (detail.UnpackTo(&info)) return info.reason();
  }
  return "";
}

class GrpcServerTest : public testing::Test {
 protected:
  GrpcServerTest() {
    api_.AddUnary<v1::ListFeedsRequest, v1::ListFeedsResponse>(
        "MediaService.ListFeeds", [](const Caller&) { return absl::OkStatus(); },
        [](const CallContext&, const v1::ListFeedsRequest&,
           const Done<v1::ListFeedsResponse>& done) { done(v1::ListFeedsResponse()); });
    server_ =
        *GrpcServer::Open({.port = 0, .calls_at_once = 10'000}, api_,
                          [this](std::function<void()> what) { control_.Post(std::move(what)); });
  }
  ~GrpcServerTest() override {
    control_.GoOn();
    server_->Shutdown(std::chrono::milliseconds(0));
  }

  Authenticator authenticator_ = Authenticator::WithoutLogin();
  Api api_{authenticator_,
           {.now = [] { return Timestamp::FromNanos(1); },
            .unix_nanos = [](Timestamp at) { return at.ns(); }},
           {.calls_per_second = 100'000, .calls_at_once = 100'000}};
  BusyThread control_;
  std::unique_ptr<GrpcServer> server_;
};

TEST_F(GrpcServerTest, CallsBeyondWhatMayBeUnderWayAreRefusedAtOnce) {
  constexpr size_t kAll = 7'000;
  Client client(server_->port(), 7);
  client.CallFromEach(kAll / 7);
  // None is answered, as the control thread does not come to it.
  ASSERT_TRUE(client.WaitFor([&] { return client.ended_count() + control_.waiting() == kAll; }));
  const std::vector<grpc::Status> refused = client.ended();
  EXPECT_LE(control_.waiting(), 6'000u);
  EXPECT_GT(control_.waiting(), 5'000u);
  for (const grpc::Status& status : refused) {
    ASSERT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
    ASSERT_EQ(ReasonOf(status), "RATE_LIMITED");
  }
  // Those that were taken are answered, and make room.
  control_.GoOn();
  ASSERT_TRUE(client.WaitFor([&] { return client.ended_count() == kAll; }));
  const std::vector<grpc::Status> all = client.ended();
  for (size_t i = refused.size(); i < kAll; ++i) ASSERT_TRUE(all[i].ok()) << all[i].error_message();
  client.CallFromEach(1);
  ASSERT_TRUE(client.WaitFor([&] { return control_.waiting() == 7; }));
  control_.GoOn();
  ASSERT_TRUE(client.WaitFor([&] { return client.ended_count() == kAll + 7; }));
  EXPECT_TRUE(client.ended().back().ok());
}

}  // namespace
}  // namespace vigil::control
