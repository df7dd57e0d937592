#include "gateway/control/grpc_server.h"

#include <atomic>
#include <cstddef>
#include <cstdio>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gateway/control/api_error.h"
#include "gateway/control/grpc_front.h"
#include "google/protobuf/stubs/logging.h"
#include "grpc/support/log.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/impl/server_builder_option.h"
#include "grpcpp/impl/server_builder_plugin.h"
#include "grpcpp/resource_quota.h"
#include "grpcpp/server_posix.h"
#include "vigil/v1/media.grpc.pb.h"
#include "vigil/v1/node.grpc.pb.h"

namespace vigil::control {
namespace {

using google::protobuf::Message;

// Streams of one connection. A console has a few, a service one for each thing it watches.
constexpr int kStreamsPerConnection = 1'200;
// How long a client may take to read one message of a stream, as on the HTTP port.
constexpr TimeDelta kWriteTimeout = TimeDelta::Seconds(20);
constexpr std::chrono::milliseconds kLastWords{2'000};
// Calls and streams that are under way at a time, of all connections: the streams that the API
// takes, and as many calls as the control thread answers in a moment. Beyond, a call is refused
// where it came in: the front bounds what one address may have, this is for all of them together.
constexpr size_t kCallsUnderWay = 6'000;

// gRPC writes lines of its own to stderr, beside our log, of what clients do and of what its calls
// return. Only the last words of a process that it ends are worth that.
void LogDisasters(gpr_log_func_args* line) {
  if (std::string_view(line->message).starts_with("assertion failed")) {
    std::fprintf(stderr, "%s:%d: %s\n", line->file, line->line, line->message);
  }
}

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const google::rpc::Status rpc = ToRpcStatus(status);
  return {static_cast<grpc::StatusCode>(rpc.code()), rpc.message(), rpc.SerializeAsString()};
}

absl::Status NoRoom() {
  return WithRetryDelay(
      ApiError(v1::ERROR_REASON_RATE_LIMITED, "too many calls at once, of all callers"), 1);
}

std::string TokenOf(const grpc::CallbackServerContext& context) {
  const auto& metadata = context.client_metadata();
  const auto it = metadata.find("authorization");
  if (it == metadata.end()) return "";
  return BearerOf({it->second.data(), it->second.size()});
}

// Whose connection gRPC has under which descriptor. Any thread.
class Clients {
 public:
  void Set(int fd, const std::string& address) {
    const std::lock_guard lock(mutex_);
    addresses_[absl::StrCat("fd:", fd)] = address;
  }
  // `peer`: as gRPC names it, "fd:7".
  std::string AddressOf(const std::string& peer) const {
    const std::lock_guard lock(mutex_);
    const auto it = addresses_.find(peer);
    return it == addresses_.end() ? peer : it->second;
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::string> addresses_;  // Of descriptors that were ever used: few.
};

// A message is on its way to a client.
struct Writing {
  grpc::CallbackServerContext* context = nullptr;
  Timestamp since;
};

// What every call needs; outlives all of them.
struct Ground {
  Api& api;
  GrpcServer::Post post;
  Clients clients = {};
  // Streams whose client has a message to read. Control thread.
  mutable std::map<const void*, Writing> writing = {};
  // Calls that have begun and not ended, those that their client has reset among them. The last of
  // them end with what is posted and not run, behind this.
  std::shared_ptr<std::atomic<size_t>> under_way = std::make_shared<std::atomic<size_t>>(0);

  Api::Request RequestOf(const char* service, const char* method,
                         const grpc::CallbackServerContext& context, const Message& message) const {
    return {.method = api.Find(absl::StrCat("vigil.v1.", service), method),
            .token = TokenOf(context),
            .client_ip = clients.AddressOf(context.peer()),
            .message = &message};
  }
};

// Counts a call for as long as it lives.
class UnderWay {
 public:
  explicit UnderWay(const Ground& ground) : count_(ground.under_way) {
    count_->fetch_add(1, std::memory_order_relaxed);
  }
  ~UnderWay() { count_->fetch_sub(1, std::memory_order_relaxed); }
  UnderWay(const UnderWay&) = delete;
  UnderWay& operator=(const UnderWay&) = delete;

 private:
  const std::shared_ptr<std::atomic<size_t>> count_;
};

// One unary call. Made on a thread of gRPC, answered on the control thread, deletes itself.
class UnaryCall final : public grpc::ServerUnaryReactor {
 public:
  static UnaryCall* Start(const Ground& ground, Api::Request request, Message* response) {
    UnaryCall* call = std::make_unique<UnaryCall>(ground).release();
    if (ground.under_way->load(std::memory_order_relaxed) > kCallsUnderWay) {
      call->Finish(ToGrpc(NoRoom()));
      return call;
    }
    const auto answer = std::make_shared<Answer>(call, response);
    ground.post([&ground, request = std::move(request), answer] {
      ground.api.Call(request, [answer](absl::StatusOr<MessagePtr> message) {
        answer->Give(std::move(message));
      });
    });
    return call;
  }

  explicit UnaryCall(const Ground& ground) : under_way_(ground) {}
  void OnDone() override { const std::unique_ptr<UnaryCall> self(this); }

 private:
  // The right to answer once. Answers by itself when it is dropped, as when the node is stopping.
  class Answer {
   public:
    Answer(UnaryCall* call, Message* response) : call_(call), response_(response) {}
    Answer(const Answer&) = delete;
    Answer& operator=(const Answer&) = delete;
    ~Answer() { Give(absl::UnavailableError("the node is stopping")); }
    void Give(absl::StatusOr<MessagePtr> message) {
      UnaryCall* call = std::exchange(call_, nullptr);
      if (call == nullptr) return;
      if (message.ok()) response_->GetReflection()->Swap(response_, message->get());
      call->Finish(ToGrpc(message.status()));
    }

   private:
    UnaryCall* call_;
    Message* response_;
  };

  const UnderWay under_way_;
};

// One server stream: pulls the next message when the last one is on its way. All but the reactions,
// which only post, happens on the control thread; deletes itself there.
template <typename Response>
class StreamCall final : public grpc::ServerWriteReactor<Response> {
 public:
  static StreamCall* Start(const Ground& ground, grpc::CallbackServerContext& context,
                           Api::Request request) {
    StreamCall* call = std::make_unique<StreamCall>(ground, context).release();
    if (ground.under_way->load(std::memory_order_relaxed) > kCallsUnderWay) {
      call->finished_ = true;
      call->Finish(ToGrpc(NoRoom()));
      return call;
    }
    ground.post([call, request = std::move(request)] { call->Open(request); });
    return call;
  }

  StreamCall(const Ground& ground, grpc::CallbackServerContext& context)
      : ground_(ground), context_(context), under_way_(ground) {}

  void OnWriteDone(bool ok) override {
    ground_.post([this, ok] {
      writing_ = false;
      ground_.writing.erase(this);
      if (!ok) end_ = absl::CancelledError("the client is gone");
      Continue();
    });
  }
  void OnCancel() override {
    ground_.post([this] {
      end_ = absl::CancelledError("the client is gone");
      Continue();
    });
  }
  void OnDone() override {
    // Ends with what is posted, also where that is dropped because the node stops.
    ground_.post([self = std::shared_ptr<StreamCall>(this)] {});
  }

 private:
  void Open(const Api::Request& request) {
    auto source = ground_.api.Open(request, [this] { ground_.post([this] { Continue(); }); });
    if (source.ok()) {
      source_ = *std::move(source);
    } else if (!end_) {
      end_ = source.status();
    }
    Continue();
  }

  // Nothing is started while a write is under way: its end comes back here.
  void Continue() {
    if (writing_ || finished_) return;
    if (!end_) Pull();
    if (!end_) return;
    finished_ = true;
    source_.reset();
    this->Finish(ToGrpc(*end_));
  }

  void Pull() {
    if (source_ == nullptr) return;
    switch (source_->Pull(message_, ground_.api.control_clock().now())) {
      case MessageSource::Next::kMessage:
        writing_ = true;
        ground_.writing[this] = {&context_, ground_.api.control_clock().now()};
        this->StartWrite(&message_);
        break;
      case MessageSource::Next::kWait:
        break;
      case MessageSource::Next::kEnd:
        end_ = source_->status();
        break;
    }
  }

  const Ground& ground_;
  grpc::CallbackServerContext& context_;
  const UnderWay under_way_;
  std::unique_ptr<MessageSource> source_;
  Response message_;
  std::optional<absl::Status> end_;
  bool writing_ = false;
  bool finished_ = false;
};

using Context = grpc::CallbackServerContext;
using Unary = grpc::ServerUnaryReactor;

class MediaGrpc final : public v1::MediaService::CallbackService {
 public:
  explicit MediaGrpc(const Ground& ground) : ground_(ground) {}

#define VIGIL_UNARY(service, method)                                                          \
  Unary* method(Context* context, const v1::method##Request* request,                         \
                v1::method##Response* response) override {                                    \
    return UnaryCall::Start(ground_, ground_.RequestOf(service, #method, *context, *request), \
                            response);                                                        \
  }
  VIGIL_UNARY("MediaService", Publish)
  VIGIL_UNARY("MediaService", Subscribe)
  VIGIL_UNARY("MediaService", RestartIce)
  VIGIL_UNARY("MediaService", ClosePeer)
  VIGIL_UNARY("MediaService", ListParticipants)
  VIGIL_UNARY("MediaService", ListFeeds)
  VIGIL_UNARY("MediaService", AssignSlot)
  VIGIL_UNARY("MediaService", SelectLayer)
  VIGIL_UNARY("MediaService", RequestKeyframe)
  VIGIL_UNARY("MediaService", CreateMix)
  VIGIL_UNARY("MediaService", UpdateMix)
  VIGIL_UNARY("MediaService", DeleteMix)
  VIGIL_UNARY("MediaService", StartIngest)
  VIGIL_UNARY("MediaService", StopIngest)
  VIGIL_UNARY("MediaService", GetStats)

  grpc::ServerWriteReactor<v1::WatchMediaResponse>* WatchMedia(
      Context* context, const v1::WatchMediaRequest* request) override {
    return StreamCall<v1::WatchMediaResponse>::Start(
        ground_, *context, ground_.RequestOf("MediaService", "WatchMedia", *context, *request));
  }

 private:
  const Ground& ground_;
};

class NodeGrpc final : public v1::NodeService::CallbackService {
 public:
  explicit NodeGrpc(const Ground& ground) : ground_(ground) {}

  VIGIL_UNARY("NodeService", GetVersion)
  VIGIL_UNARY("NodeService", GetNode)
  VIGIL_UNARY("NodeService", Drain)
  VIGIL_UNARY("NodeService", Undrain)
#undef VIGIL_UNARY

 private:
  const Ground& ground_;
};

// The library for reflection puts itself into every server of a process that it is linked into.
class WithoutReflection final : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    std::erase_if(*plugins, [](const auto& plugin) {
      return plugin->name().find("reflection") != std::string::npos;
    });
  }
};

class GrpcServerOnGrpc final : public GrpcServer {
 public:
  GrpcServerOnGrpc(Api& api, Post post)
      : ground_{api, std::move(post)}, media_(ground_), node_(ground_) {}

  absl::Status Listen(const GrpcServerOptions& options) {
    grpc::EnableDefaultHealthCheckService(true);
    gpr_set_log_function(LogDisasters);
    // What clients send that is no message is answered, not logged.
    google::protobuf::SetLogHandler(nullptr);
    if (options.reflection) grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::ServerBuilder builder;
    if (!options.reflection) builder.SetOption(std::make_unique<WithoutReflection>());
    builder.RegisterService(&media_);
    builder.RegisterService(&node_);
    builder.SetMaxReceiveMessageSize(options.max_message_bytes);
    // gRPC inflates a message before it looks at its size: some hundred kilobytes would become
    // hundreds of megabytes. Nothing here is worth compressing.
    builder.AddChannelArgument(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
    for (const grpc_compression_algorithm algorithm : {GRPC_COMPRESS_DEFLATE, GRPC_COMPRESS_GZIP}) {
      builder.SetCompressionAlgorithmSupportStatus(algorithm, false);
    }
    // Above the longest token, which is refused with a reason if it is longer than allowed.
    builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE,
                               static_cast<int>(2 * Authenticator::kMaxToken));
    builder.SetResourceQuota(grpc::ResourceQuota("vigil").Resize(options.memory_bytes));
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kStreamsPerConnection);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) return absl::InternalError("gRPC does not start");
    auto front = GrpcFront::Open({.address = options.address,
                                  .port = options.port,
                                  .tls = options.tls,
                                  .now = ground_.api.control_clock().now,
                                  .on_unusable = options.on_unusable,
                                  .streams_per_second = options.calls_per_second,
                                  .streams_at_once = options.calls_at_once},
                                 [this](int fd, const std::string& address) {
                                   ground_.clients.Set(fd, address);
                                   grpc::AddInsecureChannelFromFd(server_.get(), fd);
                                 });
    if (!front.ok()) return front.status();
    front_ = *std::move(front);
    return absl::OkStatus();
  }

  uint16_t port() const override { return front_->port(); }
  GrpcFrontCounters counters() const override { return front_->counters(); }
  void SetServing(bool serving) override {
    // Who watches it is told of each setting, also of one that changes nothing.
    if (std::exchange(serving_, serving) == serving) return;
    grpc::HealthCheckServiceInterface& health = *server_->GetHealthCheckService();
    // The server as a whole, which is all names that were set before, so those come first.
    health.SetServingStatus(v1::MediaService::service_full_name(), serving);
    health.SetServingStatus(v1::NodeService::service_full_name(), serving);
    health.SetServingStatus(serving);
  }
  void OnTick() override {
    const Timestamp now = ground_.api.control_clock().now();
    for (const auto& [call, writing] : ground_.writing) {
      if (now - writing.since >= kWriteTimeout) writing.context->TryCancel();
    }
  }
  void Shutdown(std::chrono::milliseconds grace) override {
    front_->StopAccepting();
    // A span counts from when it is looked at.
    server_->Shutdown(gpr_time_from_millis(grace.count(), GPR_TIMESPAN));
    // What gRPC has said last is still on its way to the clients.
    front_->AwaitEnd(kLastWords);
  }

 private:
  Ground ground_;
  MediaGrpc media_;
  NodeGrpc node_;
  std::unique_ptr<grpc::Server> server_;
  std::optional<bool> serving_;
  // Ends before the server, to which it hands clients.
  std::unique_ptr<GrpcFront> front_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Open(const GrpcServerOptions& options,
                                                             Api& api, Post post) {
  auto server = std::make_unique<GrpcServerOnGrpc>(api, std::move(post));
  const absl::Status listening = server->Listen(options);
  if (!listening.ok()) return listening;
  return server;
}

}  // namespace vigil::control
