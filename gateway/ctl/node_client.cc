#include "gateway/ctl/node_client.h"

#include <future>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/ctl/call_error.h"
#include "gateway/ctl/files.h"
#include "google/protobuf/wrappers.pb.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/grpcpp.h"
#include "vigil/v1/media.grpc.pb.h"
#include "vigil/v1/node.grpc.pb.h"

namespace vigil::ctl {
namespace {

// A node that says nothing for so long is asked whether it is there, and has as long to answer.
// Lower is refused by nodes (they allow one question in 5 s), higher shows a dead one later.
constexpr int kKeepaliveMillis = 10'000;
// Between tries to connect.
constexpr int kReconnectMillis = 200;
constexpr int kMaxReconnectMillis = 2'000;
// A page of statistics of a large site.
constexpr int kMaxMessage = 64 << 20;
// Where Debian keeps whom it believes; the list that is built into gRPC is older.
constexpr char kSystemRoots[] = "/etc/ssl/certs/ca-certificates.crt";

std::string ErrorReason(const grpc::Status& status) {
  google::rpc::Status rpc;
  if (!rpc.ParseFromString(status.error_details())) return "";
  for (const google::protobuf::Any& detail : rpc.details()) {
    google::rpc::ErrorInfo info;
    if (detail.Is<google::rpc::ErrorInfo>() && detail.UnpackTo(&info)) return info.reason();
  }
  return "";
}

absl::Status ToAbsl(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  return CallError(static_cast<absl::StatusCode>(status.error_code()), status.error_message(),
                   ErrorReason(status));
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> CredentialsOf(
    const NodeClientOptions& options) {
  if (options.plaintext) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions ssl;
  const std::string ca = !options.ca.empty()        ? options.ca
                         : FileExists(kSystemRoots) ? kSystemRoots
                                                    : "";
  for (const auto& [file, text] :
       {std::pair(ca, &ssl.pem_root_certs), std::pair(options.certificate, &ssl.pem_cert_chain),
        std::pair(options.key, &ssl.pem_private_key)}) {
    if (file.empty()) continue;
    absl::StatusOr<std::string> read = ReadFile(file);
    if (!read.ok()) return read.status();
    *text = *std::move(read);
  }
  return grpc::SslCredentials(ssl);
}

grpc::ChannelArguments Arguments() {
  grpc::ChannelArguments arguments;
  // A node is reached directly: the proxy of this machine's environment is for the web.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMillis);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveMillis);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kReconnectMillis);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kReconnectMillis);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kMaxReconnectMillis);
  arguments.SetMaxReceiveMessageSize(kMaxMessage);
  return arguments;
}

}  // namespace

class NodeClient::Stubs {
 public:
  Stubs(const NodeClientOptions& options, const std::shared_ptr<grpc::Channel>& channel)
      : options_(options), media_(channel), node_(channel), health_(channel) {}

  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Unary(Stub& stub,
                                 grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                              Response*),
                                 const Request& request) {
    grpc::ClientContext context;
    if (const absl::Status ready = Prepare(context, options_.timeout); !ready.ok()) return ready;
    Response response;
    const absl::Status status = ToAbsl((stub.*method)(&context, request, &response));
    if (!status.ok()) return status;
    return response;
  }

  absl::StatusOr<bool> CheckHealth() {
    grpc::ClientContext context;
    if (const absl::Status ready = Prepare(context, options_.timeout); !ready.ok()) return ready;
    const google::protobuf::StringValue request;
    google::protobuf::Int32Value response;
    std::promise<grpc::Status> answered;
    health_.UnaryCall(&context, "/grpc.health.v1.Health/Check", grpc::StubOptions(), &request,
                      &response,
                      [&answered](grpc::Status status) { answered.set_value(std::move(status)); });
    const absl::Status status = ToAbsl(answered.get_future().get());
    if (!status.ok()) return status;
    constexpr int kServing = 1;
    return response.value() == kServing;
  }

  absl::Status Watch(const v1::WatchMediaRequest& request, std::optional<TimeDelta> limit,
                     const OnWatched& on_watched) {
    grpc::ClientContext context;
    if (const absl::Status ready = Prepare(context, limit); !ready.ok()) return ready;
    {
      const std::lock_guard lock(mutex_);
      if (cancelled_) return absl::CancelledError("stopped");
      watching_ = &context;
    }
    const auto reader = media_.WatchMedia(&context, request);
    v1::WatchMediaResponse response;
    bool go_on = true;
    while (go_on && reader->Read(&response)) go_on = on_watched(response);
    if (!go_on) context.TryCancel();
    const grpc::Status end = reader->Finish();
    const std::lock_guard lock(mutex_);
    watching_ = nullptr;
    return go_on ? ToAbsl(end) : absl::OkStatus();
  }

  void CancelWatch() {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    if (watching_ != nullptr) watching_->TryCancel();
  }

  v1::MediaService::Stub& media() { return media_; }
  v1::NodeService::Stub& node() { return node_; }

 private:
  absl::Status Prepare(grpc::ClientContext& context, std::optional<TimeDelta> limit) const {
    // A span counts from when it is looked at.
    if (limit) context.set_deadline(gpr_time_from_millis(limit->ms(), GPR_TIMESPAN));
    if (options_.token_file.empty()) return absl::OkStatus();
    const absl::StatusOr<std::string> token = ReadToken(options_.token_file);
    if (!token.ok()) return token.status();
    context.AddMetadata("authorization", absl::StrCat("Bearer ", *token));
    return absl::OkStatus();
  }

  const NodeClientOptions options_;
  v1::MediaService::Stub media_;
  v1::NodeService::Stub node_;
  // HealthCheckRequest and HealthCheckResponse are on the wire what these two are, and their own
  // proto is in no package.
  grpc::TemplatedGenericStub<google::protobuf::StringValue, google::protobuf::Int32Value> health_;
  std::mutex mutex_;
  grpc::ClientContext* watching_ = nullptr;
  bool cancelled_ = false;
};

absl::StatusOr<std::unique_ptr<NodeClient>> NodeClient::Open(const NodeClientOptions& options) {
  const auto credentials = CredentialsOf(options);
  if (!credentials.ok()) return credentials.status();
  const auto channel = grpc::CreateCustomChannel(options.server, *credentials, Arguments());
  return std::unique_ptr<NodeClient>(new NodeClient(std::make_unique<Stubs>(options, channel)));
}

NodeClient::NodeClient(std::unique_ptr<Stubs> stubs) : stubs_(std::move(stubs)) {}
NodeClient::~NodeClient() = default;

#define VIGIL_CALL(service, stub, method)                                                     \
  absl::StatusOr<v1::method##Response> NodeClient::Call(const v1::method##Request& request) { \
    return stubs_->Unary(stubs_->stub(), &v1::service::Stub::method, request);                \
  }
VIGIL_CALL(MediaService, media, ListParticipants)
VIGIL_CALL(MediaService, media, ListFeeds)
VIGIL_CALL(MediaService, media, GetStats)
VIGIL_CALL(MediaService, media, AssignSlot)
VIGIL_CALL(MediaService, media, ClosePeer)
VIGIL_CALL(MediaService, media, SelectLayer)
VIGIL_CALL(MediaService, media, RequestKeyframe)
VIGIL_CALL(NodeService, node, GetNode)
VIGIL_CALL(NodeService, node, Drain)
VIGIL_CALL(NodeService, node, Undrain)
#undef VIGIL_CALL

absl::StatusOr<bool> NodeClient::CheckHealth() { return stubs_->CheckHealth(); }

absl::Status NodeClient::Watch(const v1::WatchMediaRequest& request, std::optional<TimeDelta> limit,
                               const OnWatched& on_watched) {
  return stubs_->Watch(request, limit, on_watched);
}

void NodeClient::CancelWatch() { stubs_->CancelWatch(); }

}  // namespace vigil::ctl
