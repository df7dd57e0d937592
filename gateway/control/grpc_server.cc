#include "gateway/control/grpc_server.h"

#include <cstdio>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gateway/control/api_error.h"
#include "gateway/control/grpc_credentials.h"
#include "grpc/support/log.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/impl/server_builder_option.h"
#include "grpcpp/impl/server_builder_plugin.h"
#include "grpcpp/resource_quota.h"
#include "vigil/v1/media.grpc.pb.h"
#include "vigil/v1/node.grpc.pb.h"

namespace vigil::control {
namespace {

using google::protobuf::Message;

// Streams of one connection. A console has a few, a service one for each thing it watches.
constexpr int kStreamsPerConnection = 1'200;

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

std::string TokenOf(const grpc::CallbackServerContext& context) {
  const auto& metadata = context.client_metadata();
  const auto it = metadata.find("authorization");
  if (it == metadata.end()) return "";
  return BearerOf({it->second.data(), it->second.size()});
}

// "ipv4:192.0.2.1:4711" without the port.
std::string AddressOf(const grpc::CallbackServerContext& context) {
  const std::string peer = context.peer();
  return peer.substr(0, peer.rfind(':'));
}

// What every call needs; outlives all of them.
struct Ground {
  Api& api;
  GrpcServer::Post post;

  Api::Request RequestOf(const char* service, const char* method,
                         const grpc::CallbackServerContext& context, const Message& message) const {
    return {.method = api.Find(absl::StrCat("vigil.v1.", service), method),
            .token = TokenOf(context),
            .client_ip = AddressOf(context),
            .message = &message};
  }
};

// One unary call. Made on a thread of gRPC, answered on the control thread, deletes itself.
class UnaryCall final : public grpc::ServerUnaryReactor {
 public:
  static UnaryCall* Start(const Ground& ground, Api::Request request, Message* response) {
    UnaryCall* call = std::make_unique<UnaryCall>().release();
    const auto answer = std::make_shared<Answer>(call, response);
    ground.post([&ground, request = std::move(request), answer] {
      ground.api.Call(request, [answer](absl::StatusOr<MessagePtr> message) {
        answer->Give(std::move(message));
      });
    });
    return call;
  }

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
};

// One server stream: pulls the next message when the last one is on its way. All but the reactions,
// which only post, happens on the control thread; deletes itself there.
template <typename Response>
class StreamCall final : public grpc::ServerWriteReactor<Response> {
 public:
  static StreamCall* Start(const Ground& ground, Api::Request request) {
    StreamCall* call = std::make_unique<StreamCall>(ground).release();
    ground.post([call, request = std::move(request)] { call->Open(request); });
    return call;
  }

  explicit StreamCall(const Ground& ground) : ground_(ground) {}

  void OnWriteDone(bool ok) override {
    ground_.post([this, ok] {
      writing_ = false;
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
        ground_, ground_.RequestOf("MediaService", "WatchMedia", *context, *request));
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
    credentials_ = grpc::InsecureServerCredentials();
    if (options.tls.enabled()) {
      auto tls = TlsCredentials(options.tls, options.on_unusable);
      if (!tls.ok()) return tls.status();
      credentials_ = *std::move(tls);
    }
    grpc::EnableDefaultHealthCheckService(true);
    gpr_set_log_function(LogDisasters);
    if (options.reflection) grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::ServerBuilder builder;
    if (!options.reflection) builder.SetOption(std::make_unique<WithoutReflection>());
    int port = 0;
    const bool v6 = options.address.find(':') != std::string::npos;
    builder.AddListeningPort(
        absl::StrCat(v6 ? "[" : "", options.address, v6 ? "]:" : ":", options.port), credentials_,
        &port);
    builder.RegisterService(&media_);
    builder.RegisterService(&node_);
    builder.SetMaxReceiveMessageSize(options.max_message_bytes);
    // Above the longest token, which is refused with a reason if it is longer than allowed.
    builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE,
                               static_cast<int>(2 * Authenticator::kMaxToken));
    builder.SetResourceQuota(grpc::ResourceQuota("vigil").Resize(options.memory_bytes));
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kStreamsPerConnection);
    // The port belongs to one process: a second one is to hear of it.
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || port == 0) {
      return absl::AlreadyExistsError(
          absl::StrCat("cannot listen on ", options.address, ":", options.port));
    }
    port_ = static_cast<uint16_t>(port);
    return absl::OkStatus();
  }

  uint16_t port() const override { return port_; }
  void SetServing(bool serving) override {
    // Who watches it is told of each setting, also of one that changes nothing.
    if (std::exchange(serving_, serving) == serving) return;
    grpc::HealthCheckServiceInterface& health = *server_->GetHealthCheckService();
    // The server as a whole, which is all names that were set before, so those come first.
    health.SetServingStatus(v1::MediaService::service_full_name(), serving);
    health.SetServingStatus(v1::NodeService::service_full_name(), serving);
    health.SetServingStatus(serving);
  }
  void Shutdown(std::chrono::milliseconds grace) override {
    // A span counts from when it is looked at.
    server_->Shutdown(gpr_time_from_millis(grace.count(), GPR_TIMESPAN));
  }

 private:
  Ground ground_;
  MediaGrpc media_;
  NodeGrpc node_;
  std::shared_ptr<grpc::ServerCredentials> credentials_;
  std::unique_ptr<grpc::Server> server_;
  std::optional<bool> serving_;
  uint16_t port_ = 0;
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
