#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gateway/base/histogram.h"
#include "gateway/base/time.h"
#include "gateway/control/authenticator.h"
#include "gateway/control/caller.h"
#include "gateway/control/control_clock.h"
#include "gateway/control/message_source.h"
#include "gateway/control/rate_limiter.h"
#include "gateway/control/request_memory.h"
#include "google/protobuf/message.h"

namespace vigil::control {

// One call as a handler sees it: who calls, and when.
struct CallContext {
  std::shared_ptr<const Caller> caller;
  Timestamp now;
};

using MessagePtr = std::unique_ptr<google::protobuf::Message>;
using Respond = std::function<void(absl::StatusOr<MessagePtr>)>;

struct ApiLimits {
  // Calls of one caller: on average, and at once.
  double calls_per_second = 500;
  double calls_at_once = 1'000;
  // Calls from one address that could not prove who they are.
  double failures_per_second = 5;
  double failures_at_once = 50;
  // Of one request. An SDP offer has some kilobytes.
  size_t message_bytes = 512 * 1024;
  // Streams of one caller, of all callers of a site, and of all. Half are not a single site's.
  size_t streams_per_caller = 1'100;
  size_t streams_per_site = 2'000;
  size_t streams = 4'000;
};

// How the API was called since the process started, for the metrics.
struct ApiCounters {
  struct Method {
    std::map<absl::StatusCode, uint64_t> ended;
    DurationHistogram time;  // From the call to its answer; not of streams.
  };
  std::map<std::string, Method> methods;  // "MediaService/AssignSlot"
  size_t streams = 0;
  uint64_t remembered_requests = 0;
  uint64_t remembered_bytes = 0;
  uint64_t forgotten_early = 0;
};

// The methods of vigil.v1 by name, and the way of every call to them, whatever transport it came
// by: who is it, not too often, may they, has it been done already, do it, count it. The services
// register their handlers; gRPC, Connect and SSE call. Control thread.
class Api {
 public:
  using UnaryHandler =
      std::function<void(const CallContext&, const google::protobuf::Message&, Respond)>;
  using StreamHandler = std::function<absl::StatusOr<std::unique_ptr<MessageSource>>(
      const CallContext&, const google::protobuf::Message&, MessageSource::Wake)>;
  // What a caller needs at least; what it needs of the thing itself is the handler's.
  using Access = std::function<absl::Status(const Caller&)>;

  struct Method {
    const google::protobuf::MethodDescriptor* descriptor = nullptr;
    Access access;
    UnaryHandler unary;  // One of the two.
    StreamHandler stream;
  };

  // A call as it came in.
  struct Request {
    const Method* method = nullptr;
    std::string token;      // Bearer token; may be empty.
    std::string client_ip;  // For what cannot be counted by caller.
    // Read before Call() or Open() returns: a handler keeps what it needs.
    const google::protobuf::Message* message = nullptr;
  };

  Api(Authenticator& authenticator, ControlClock clock, const ApiLimits& limits);
  Api(const Api&) = delete;
  Api& operator=(const Api&) = delete;

  // ---- For services, at start. ----

  // `Handler`: void(const CallContext&, const RequestType&, Done<ResponseType>).
  template <typename RequestType, typename ResponseType, typename Handler>
  void AddUnary(std::string_view name, Access access, Handler handler);
  template <typename RequestType, typename Handler>
  void AddStream(std::string_view name, Access access, Handler handler);

  // ---- For transports. ----

  // By "vigil.v1.MediaService" and "AssignSlot"; null: there is no such method.
  const Method* Find(std::string_view service, std::string_view method) const;
  // `respond` is called once, now or later.
  void Call(const Request& request, Respond respond);
  // A stream that is running; ends by being destroyed.
  absl::StatusOr<std::unique_ptr<MessageSource>> Open(const Request& request,
                                                      MessageSource::Wake wake);
  // For what is no method: WHIP and WHEP. Limited as one.
  absl::StatusOr<CallContext> Admit(const std::string& token, const std::string& client_ip);

  ApiCounters Counters() const;
  RequestMemory& memory() { return memory_; }
  const ControlClock& control_clock() const { return clock_; }

 private:
  class CountedSource;
  struct StreamCounts {
    size_t all = 0;
    std::map<std::string, size_t> by_caller;
    std::map<std::string, size_t> by_tenant;

    static size_t Of(const std::map<std::string, size_t>& counts, const std::string& key) {
      const auto it = counts.find(key);
      return it == counts.end() ? 0 : it->second;
    }
  };

  void AddMethod(std::string_view name, Method method);
  bool HasRoomForStream(const Caller& caller) const;
  absl::StatusOr<CallContext> Enter(const Request& request);
  void CallOnce(const CallContext& context, const Request& request, Respond respond);
  void CallOncePerId(const CallContext& context, const std::string& request_id,
                     const Request& request, Respond respond);
  Respond Counted(const Method& method, Timestamp begun, Respond respond);
  void Count(const Method& method, const absl::Status& status);

  Authenticator& authenticator_;
  ControlClock clock_;
  ApiLimits limits_;
  RateLimiter calls_;
  RateLimiter failures_;
  RequestMemory memory_;
  std::map<std::string, Method, std::less<>> methods_;  // "vigil.v1.MediaService.AssignSlot"
  std::map<std::string, ApiCounters::Method> counters_;
  std::shared_ptr<StreamCounts> streams_ = std::make_shared<StreamCounts>();
};

// What a typed handler is given to answer with.
template <typename ResponseType>
using Done = std::function<void(absl::StatusOr<ResponseType>)>;

template <typename RequestType, typename ResponseType, typename Handler>
void Api::AddUnary(std::string_view name, Access access, Handler handler) {
  AddMethod(name, {.access = std::move(access),
                   .unary = [handler](const CallContext& context,
                                      const google::protobuf::Message& message, Respond respond) {
                     handler(context, static_cast<const RequestType&>(message),
                             [respond](absl::StatusOr<ResponseType> response) {
                               if (!response.ok()) return respond(response.status());
                               respond(std::make_unique<ResponseType>(*std::move(response)));
                             });
                   }});
}

template <typename RequestType, typename Handler>
void Api::AddStream(std::string_view name, Access access, Handler handler) {
  AddMethod(
      name,
      {.access = std::move(access),
       .stream = [handler](const CallContext& context, const google::protobuf::Message& message,
                           MessageSource::Wake wake) {
         return handler(context, static_cast<const RequestType&>(message), std::move(wake));
       }});
}

}  // namespace vigil::control
