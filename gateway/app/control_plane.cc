#include "gateway/app/control_plane.h"

#include <unistd.h>

#include <chrono>
#include <future>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "boost/asio/post.hpp"
#include "gateway/app/log.h"
#include "gateway/app/metrics_snapshot.h"
#include "gateway/control/media_service.h"
#include "gateway/control/node_service.h"
#include "gateway/io/clock.h"
#include "gateway/io/socket_address.h"
#include "gateway/metrics/exporter.h"

namespace vigil::app {
namespace {

// Heartbeats of watches, and a look at the token files.
constexpr std::chrono::seconds kTick{1};
// How long calls that are under way may take to end when the process does.
constexpr std::chrono::seconds kCallGrace{2};

// Callers that make as many calls as they may, behind one address: more than those, and calls that
// are refused anyway, wait before they cost anything.
constexpr double kCallersOfAddress = 4;

// Between two readings of both clocks lie some nanoseconds, other ones each time. What happened
// once is to have one time, whoever asks and when: so the last reading stands until the wall clock
// has really been set, which shows as more than this.
constexpr TimeDelta kClockSet = TimeDelta::Millis(1);

control::ControlClock MakeClock() {
  return {
      .now = io::MonotonicNow,
      .unix_nanos = [zero = std::make_shared<TimeDelta>(io::NtpAtMonotonicZero())](Timestamp at) {
        const TimeDelta now = io::NtpAtMonotonicZero();
        if (now - *zero > kClockSet || *zero - now > kClockSet) *zero = now;
        return (*zero + TimeDelta::Nanos(at.ns()) - io::kUnixEpochInNtp).ns();
      }};
}

control::ApiLimits LimitsOf(const Config& config) {
  control::ApiLimits limits;
  limits.calls_per_second = config.limits.calls_per_second;
  limits.calls_at_once = config.limits.calls_at_once;
  limits.streams_per_caller = config.limits.streams_per_caller;
  return limits;
}

control::WhipOptions WhipOptionsOf(const Config& config) {
  control::WhipOptions options{.ice_servers = {}, .redirect_url = config.http.redirect_url};
  for (const std::string& text : config.media.ice_servers) {
    const std::vector<std::string> parts = absl::StrSplit(text, ' ', absl::SkipEmpty());
    control::IceServer server{
        .url = parts.empty() ? "" : parts[0], .username = {}, .credential = {}};
    if (parts.size() > 1) server.username = parts[1];
    if (parts.size() > 2) server.credential = parts[2];
    options.ice_servers.push_back(std::move(server));
  }
  return options;
}

control::ConnectApi::SetAlarm AlarmsOf(boost::asio::io_context& context) {
  return [&context](TimeDelta delay, std::function<void()> what) {
    auto timer = std::make_shared<boost::asio::steady_timer>(context);
    timer->expires_after(std::chrono::nanoseconds(delay.ns()));
    timer->async_wait([what = std::move(what)](const boost::system::error_code& error) {
      if (!error) what();
    });
    return timer;
  };
}

void LogCertificate(const absl::Status& read) {
  if (read.ok()) return LogInfo("certificate read");
  LogWarning("certificate not read; the old one stands", {{"why", std::string(read.message())}});
}

// What is wrong with a certificate names its own key.
absl::Status OpenError(const std::string& section, const absl::Status& status) {
  if (status.code() == absl::StatusCode::kInvalidArgument) return status;
  return NamingKeys(absl::StrCat(section, ".address, ", section, ".port"), status);
}

void LogUnusable(const absl::Status& status) {
  LogWarning("gRPC: certificate not read; the old one stands",
             {{"why", std::string(status.message())}});
}

control::TlsFiles TlsOf(const Config& config) {
  return {.certificate = config.tls.certificate, .key = config.tls.key, .client_ca = {}};
}

}  // namespace

std::vector<std::string> MediaAddresses(const Config& config, const worker::Node& node) {
  std::vector<std::string> all;
  for (uint32_t i = 0; i < node.size(); ++i) {
    for (const std::string& address : config.media.addresses) {
      all.push_back(io::WithPort(address, node.media_port(i)));
    }
  }
  return all;
}

ControlPlane::ControlPlane(const Config& config, worker::Node& node, io::Poller& poller,
                           boost::asio::io_context& context, control::Authenticator authenticator)
    : config_(config),
      node_(node),
      poller_(poller),
      context_(context),
      clock_(MakeClock()),
      authenticator_(std::move(authenticator)),
      token_files_(config.auth.keys_dir, config.auth.revoked_file),
      watches_(
          node.Random64(), sites_, clock_,
          [&context](std::function<void()> what) { boost::asio::post(context, std::move(what)); }),
      media_({.media_addresses = config.media.addresses,
              .tcp = config.media.tcp,
              .peers_per_participant = config.limits.peers_per_participant},
             node, sites_, clock_, watches_),
      api_(authenticator_, clock_, LimitsOf(config)),
      whip_(api_, media_, WhipOptionsOf(config)),
      connect_(api_, AlarmsOf(context)),
      poller_ready_(context, dup(poller.fd())),
      tick_(context) {
  watches_.SetState(media_.directory(), media_.messages());
  control::NodeIdentity identity{
      .name = config.node.name,
      .version = VIGIL_VERSION,
      .started_at = clock_.now(),
      .media_addresses = MediaAddresses(config, node),
      .certificate_expires = [this] { return http_->counters().certificate_expires_unix_seconds; }};
  start_unix_seconds_ = static_cast<double>(clock_.unix_nanos(identity.started_at)) / 1e9;
  control::AddMediaService(api_, media_, watches_);
  control::AddNodeService(api_, media_, std::move(identity), [this](bool draining) {
    LogInfo(draining ? "draining" : "serving again");
    grpc_->SetServing(!draining);
    on_serving_(!draining);
  });
}

ControlPlane::~ControlPlane() = default;

absl::StatusOr<std::unique_ptr<ControlPlane>> ControlPlane::Open(const Config& config,
                                                                 worker::Node& node,
                                                                 io::Poller& poller,
                                                                 boost::asio::io_context& context) {
  control::Authenticator authenticator = control::Authenticator::WithoutLogin();
  TokenFiles files(config.auth.keys_dir, config.auth.revoked_file);
  if (config.auth.mode == "jwt") {
    absl::StatusOr<control::TokenKeys> keys = files.Read();
    if (!keys.ok()) return keys.status();
    authenticator = control::Authenticator(config.auth.audience, *std::move(keys));
  }
  auto plane =
      std::make_unique<ControlPlane>(config, node, poller, context, std::move(authenticator));
  plane->token_files_ = std::move(files);  // They have been read just now.
  const absl::Status open = plane->OpenHttp();
  if (!open.ok()) return open;
  plane->WatchPoller();
  plane->Tick();
  return plane;
}

absl::Status ControlPlane::OpenHttp() {
  auto console = control::HttpApi::ReadConsole(config_.console_dir);
  if (!console.ok()) return NamingKeys("console_dir", console.status());
  http_api_ = std::make_unique<control::HttpApi>(
      control::HttpApiOptions{
          .loopback_only = authenticator_.without_login(),
          .cors_origins = {config_.http.cors_origins.begin(), config_.http.cors_origins.end()}},
      whip_, connect_, *std::move(console));
  auto http = control::HttpServer::Open(
      {.address = config_.http.address,
       .port = config_.http.port,
       .tls = TlsOf(config_),
       .on_certificate = LogCertificate,
       .unix_seconds = [this] { return clock_.UnixSeconds(); },
       .now = clock_.now},
      context_, [this](const control::HttpRequest& request, control::HttpServer::Respond respond) {
        http_api_->Handle(request, std::move(respond));
      });
  if (!http.ok()) return OpenError("http", http.status());
  http_ = *std::move(http);
  return absl::OkStatus();
}

absl::Status ControlPlane::OpenGrpc() {
  control::TlsFiles tls = TlsOf(config_);
  tls.client_ca = config_.tls.client_ca;
  control::GrpcServerOptions options{.address = config_.grpc.address,
                                     .port = config_.grpc.port,
                                     .tls = tls,
                                     .on_unusable = LogUnusable,
                                     .reflection = config_.grpc.reflection};
  options.calls_per_second =
      std::max(options.calls_per_second, kCallersOfAddress * config_.limits.calls_per_second);
  options.calls_at_once =
      std::max(options.calls_at_once, kCallersOfAddress * config_.limits.calls_at_once);
  auto grpc = control::GrpcServer::Open(options, api_, [this](std::function<void()> what) {
    boost::asio::post(context_, std::move(what));
  });
  if (!grpc.ok()) return OpenError("grpc", grpc.status());
  grpc_ = *std::move(grpc);
  grpc_->SetServing(true);
  return absl::OkStatus();
}

// Keeps one wait pending on the control poller, which is readable when a worker has something.
void ControlPlane::WatchPoller() {
  poller_ready_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                           [this](const boost::system::error_code& error) {
                             if (error) return;
                             poller_.Wait(TimeDelta::Zero());
                             media_.Pump();
                             WatchPoller();
                           });
}

void ControlPlane::Tick() {
  tick_.expires_after(kTick);
  tick_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    watches_.OnTick();
    if (grpc_ != nullptr) grpc_->OnTick();
    if (!authenticator_.without_login() && token_files_.HaveChanged()) ReloadTokenKeys();
    Tick();
  });
}

void ControlPlane::ReloadTokenKeys() {
  absl::StatusOr<control::TokenKeys> keys = token_files_.Read();
  if (!keys.ok()) {
    // What is half written is right the next time; until then the old keys stand.
    LogWarning("token keys not read", {{"why", std::string(keys.status().message())}});
    return;
  }
  LogInfo("token keys read", {{"keys", absl::StrCat(keys->public_keys.size())},
                              {"revoked", absl::StrCat(keys->revoked.size())}});
  authenticator_.SetKeys(*std::move(keys));
}

void ControlPlane::SetDraining(bool draining) {
  media_.SetDraining(draining);
  grpc_->SetServing(!draining);
  on_serving_(!draining);
}

void ControlPlane::SetTerminating() {
  media_.SetTerminating();
  SetDraining(true);
}

void ControlPlane::CollectMetrics(std::function<void(std::string)> done) {
  boost::asio::post(context_, [this, done = std::move(done)] {
    media_.Counters([this, done](const control::MediaControl::Reports& reports) {
      done(metrics::ToText(metrics::Exporter(
          MakeSnapshot(reports, media_,
                       {.api = api_.Counters(),
                        .http = http_->counters(),
                        .grpc = grpc_ == nullptr ? control::GrpcFrontCounters() : grpc_->counters(),
                        .start_unix_seconds = start_unix_seconds_}))));
    });
  });
}

void ControlPlane::CloseServers() {
  std::promise<void> closed;
  boost::asio::post(context_, [this, &closed] {
    http_->Close();
    closed.set_value();
  });
  closed.get_future().wait();
  grpc_->Shutdown(kCallGrace);
}

}  // namespace vigil::app
