#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "boost/asio/io_context.hpp"
#include "boost/asio/posix/stream_descriptor.hpp"
#include "boost/asio/steady_timer.hpp"
#include "gateway/app/config.h"
#include "gateway/app/token_files.h"
#include "gateway/control/api.h"
#include "gateway/control/authenticator.h"
#include "gateway/control/connect_api.h"
#include "gateway/control/grpc_server.h"
#include "gateway/control/http_api.h"
#include "gateway/control/http_server.h"
#include "gateway/control/media_control.h"
#include "gateway/control/media_watches.h"
#include "gateway/control/whip_api.h"
#include "gateway/io/poller.h"
#include "gateway/worker/node.h"

namespace vigil::app {

// Where clients reach the media of the node: every address of each worker, in order.
std::vector<std::string> MediaAddresses(const Config& config, const worker::Node& node);

// Everything that runs on the control thread, wired: the one that runs `context`.
class ControlPlane {
 public:
  // `node`, `poller` (which the workers wake) and `context` outlive this. Errors name what could
  // not be opened.
  static absl::StatusOr<std::unique_ptr<ControlPlane>> Open(const Config& config,
                                                            worker::Node& node, io::Poller& poller,
                                                            boost::asio::io_context& context);
  // Wired, but serving nobody: use Open().
  ControlPlane(const Config& config, worker::Node& node, io::Poller& poller,
               boost::asio::io_context& context, control::Authenticator authenticator);
  ~ControlPlane();

  uint16_t http_port() const { return http_->port(); }
  uint16_t grpc_port() const { return grpc_->port(); }
  control::MediaControl& media() { return media_; }
  control::Api& api() { return api_; }
  // Calls `done` on the control thread, with the metrics in Prometheus's text format. Any thread.
  void CollectMetrics(std::function<void(std::string)> done);
  // Is told on the control thread when the node begins or ends to take new work.
  void SetOnServing(std::function<void(bool)> on_serving) { on_serving_ = std::move(on_serving); }
  const control::HttpServer& http() const { return *http_; }
  size_t watches() const { return watches_.size(); }

  // Last of all that may fail: its threads take calls from then on, and it ends only while the
  // control thread runs.
  absl::Status OpenGrpc();

  // Takes nothing new. What runs goes on.
  void SetDraining(bool draining);
  // The process is about to end: draining is not taken back.
  void SetTerminating();
  // Ends the servers; to be called from another thread than the control thread, which goes on
  // meanwhile. Blocks for at most some seconds.
  void CloseServers();

 private:
  absl::Status OpenHttp();
  void WatchPoller();
  void Tick();
  void ReloadTokenKeys();

  Config config_;
  std::function<void(bool)> on_serving_ = [](bool) {};
  worker::Node& node_;
  io::Poller& poller_;
  boost::asio::io_context& context_;
  control::ControlClock clock_;
  control::Authenticator authenticator_;
  TokenFiles token_files_;
  control::SiteTable sites_;
  control::MediaWatches watches_;
  control::MediaControl media_;
  control::Api api_;
  control::WhipApi whip_;
  control::ConnectApi connect_;
  std::unique_ptr<control::HttpApi> http_api_;
  std::unique_ptr<control::HttpServer> http_;
  std::unique_ptr<control::GrpcServer> grpc_;
  boost::asio::posix::stream_descriptor poller_ready_;
  boost::asio::steady_timer tick_;
  double start_unix_seconds_ = 0;
};

}  // namespace vigil::app
