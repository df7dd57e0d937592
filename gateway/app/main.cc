// vigil-gateway: opens what the configuration names, wires it, and runs the control thread.

#include <sys/resource.h>

#include <csignal>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "boost/asio/io_context.hpp"
#include "boost/asio/ip/address.hpp"
#include "boost/asio/posix/stream_descriptor.hpp"
#include "boost/asio/signal_set.hpp"
#include "gateway/control/http_api.h"
#include "gateway/control/http_server.h"
#include "gateway/control/media_control.h"
#include "gateway/edge/local_edge.h"
#include "gateway/io/clock.h"
#include "gateway/io/poller.h"
#include "gateway/io/socket_address.h"
#include "gateway/transport/dtls_context.h"
#include "gateway/transport/evp_cipher.h"
#include "gateway/worker/node.h"

namespace vigil::app {
namespace {

struct Config {
  std::string http_address = "127.0.0.1";
  uint16_t http_port = 8080;
  std::vector<std::string> media_addresses = {"127.0.0.1"};
  uint16_t media_port = 7000;
  uint32_t workers = 1;
  std::string console_dir = VIGIL_CONSOLE_DIR;
};

bool IsLoopback(const std::string& address) {
  boost::system::error_code error;
  const auto parsed = boost::asio::ip::make_address(address, error);
  return !error && parsed.is_loopback();
}

// Exits 2 with one line that names the flag when something is wrong.
int ReadFlags(int argc, char** argv, Config& config) {
  CLI::App flags{"vigil-gateway: a media gateway for contrast supervision"};
  flags.set_version_flag("--version", VIGIL_VERSION);
  flags
      .add_option("--http-address", config.http_address,
                  "Address of WHIP, WHEP and the console; loopback only while there is no login")
      ->capture_default_str();
  flags.add_option("--http-port", config.http_port, "Port of the same; 0: any free one")
      ->capture_default_str();
  flags
      .add_option("--media-address", config.media_addresses,
                  "Address announced to clients for media; may be repeated")
      ->capture_default_str();
  flags
      .add_option("--media-port", config.media_port,
                  "Media port of the first worker, UDP and TCP; the next ones follow; 0: any")
      ->capture_default_str();
  flags.add_option("--workers", config.workers, "Media threads, 1 to 63")
      ->check(CLI::Range(1, 63))
      ->capture_default_str();
  flags.add_option("--console-dir", config.console_dir, "Folder of the console's files")
      ->capture_default_str();
  try {
    flags.parse(argc, argv);
  } catch (const CLI::Success& success) {
    flags.exit(success);
    return 0;
  } catch (const CLI::ParseError& error) {
    std::fprintf(stderr, "vigil-gateway: %s\n", error.what());
    return 2;
  }
  if (config.media_port != 0 && config.media_port + config.workers - 1 > 65'535) {
    std::fprintf(stderr, "vigil-gateway: --media-port %u: with %u workers it is at most %u\n",
                 config.media_port, config.workers, 65'536 - config.workers);
    return 2;
  }
  if (!IsLoopback(config.http_address)) {
    std::fprintf(stderr,
                 "vigil-gateway: --http-address %s: without a login only a loopback address is "
                 "allowed\n",
                 config.http_address.c_str());
    return 2;
  }
  return -1;
}

absl::StatusOr<worker::WorkerGround> OpenGround(const Config& config, uint32_t index) {
  worker::WorkerGround ground;
  ground.group = GroupId(index + 1);
  absl::StatusOr<std::unique_ptr<io::Poller>> poller = io::Poller::Open();
  if (!poller.ok()) return poller.status();
  ground.poller = *std::move(poller);
  edge::LocalEdgeOptions options;
  for (const std::string& text : config.media_addresses) {
    const auto address = io::ParseIp(text);
    if (!address) {
      return absl::InvalidArgumentError(
          absl::StrCat("--media-address ", text, " is no IP address"));
    }
    if (io::IsWildcard(*address)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--media-address ", text, " stands for all addresses; clients need one to send to"));
    }
    options.addresses.push_back(*address);
  }
  options.port = config.media_port == 0 ? 0 : static_cast<uint16_t>(config.media_port + index);
  absl::StatusOr<std::unique_ptr<edge::LocalEdge>> edge =
      edge::LocalEdge::Open(options, *ground.poller);
  if (!edge.ok()) return edge.status();
  const absl::StatusOr<Epoch> claimed = (*edge)->ClaimGroup(ground.group, Epoch());
  if (!claimed.ok()) return claimed.status();
  ground.media_port = (*edge)->port();
  ground.port = *std::move(edge);
  return ground;
}

absl::StatusOr<std::unique_ptr<worker::Node>> OpenNode(const Config& config,
                                                       const io::Poller& control) {
  const absl::Status srtp = transport::InitSrtp();
  if (!srtp.ok()) return srtp;
  const rtp::WallClock wall_clock{io::NtpAtMonotonicZero()};
  // NTP counts from 1900, the dates of certificates from 1970.
  const auto ntp_seconds = static_cast<int64_t>(wall_clock.At(io::MonotonicNow()).value() >> 32);
  auto dtls = transport::DtlsContext::Create({.wall_seconds = ntp_seconds - 2'208'988'800});
  if (!dtls.ok()) return dtls.status();
  std::vector<worker::WorkerGround> grounds;
  for (uint32_t i = 0; i < config.workers; ++i) {
    absl::StatusOr<worker::WorkerGround> ground = OpenGround(config, i);
    if (!ground.ok()) return ground.status();
    grounds.push_back(*std::move(ground));
  }
  return std::make_unique<worker::Node>(
      worker::NodeOptions{.wall_clock = wall_clock, .random = io::FillRandom}, std::move(grounds),
      *std::move(dtls), control);
}

// Keeps one wait on the control poller pending, which is readable when a worker has something.
void WatchControl(boost::asio::posix::stream_descriptor& descriptor, io::Poller& poller,
                  control::MediaControl& control) {
  descriptor.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                        [&](const boost::system::error_code& error) {
                          if (error) return;
                          poller.Wait(TimeDelta::Zero());
                          control.Pump();
                          WatchControl(descriptor, poller, control);
                        });
}

void PrintReady(const Config& config, const control::HttpServer& http, const worker::Node& node) {
  std::vector<std::string> media;
  for (uint32_t i = 0; i < node.size(); ++i) {
    media.push_back(absl::StrCat(config.media_addresses.front(), ":", node.media_port(i)));
  }
  std::printf("ready http=%s:%u media=%s\n", config.http_address.c_str(), http.port(),
              absl::StrJoin(media, ",").c_str());
  std::fflush(stdout);
}

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "vigil-gateway: %s\n", std::string(status.message()).c_str());
  return 2;
}

int Run(const Config& config) {
  auto console = control::HttpApi::ReadConsole(config.console_dir);
  if (!console.ok()) return Fail(console.status());
  auto control_poller = io::Poller::Open();
  if (!control_poller.ok()) return Fail(control_poller.status());
  auto node = OpenNode(config, **control_poller);
  if (!node.ok()) return Fail(node.status());

  boost::asio::io_context context(1);
  control::MediaControl media_control({.media_addresses = config.media_addresses}, **node);
  control::HttpApi api(media_control, *std::move(console));
  auto http = control::HttpServer::Open(
      {.address = config.http_address, .port = config.http_port}, context,
      [&api](const control::HttpRequest& request, control::HttpServer::Respond respond) {
        api.Handle(request, std::move(respond));
      });
  if (!http.ok()) return Fail(http.status());

  boost::asio::posix::stream_descriptor descriptor(context, dup((*control_poller)->fd()));
  WatchControl(descriptor, **control_poller, media_control);
  boost::asio::signal_set signals(context, SIGTERM, SIGINT);
  signals.async_wait([&](const boost::system::error_code&, int) { context.stop(); });

  (*node)->Start();
  PrintReady(config, **http, **node);
  context.run();
  (*http)->Close();
  (*node)->Stop();
  // Answers that will not come belong to connections of the context, which goes before the node.
  (*node)->DropWaiting();
  return 0;
}

}  // namespace
}  // namespace vigil::app

int main(int argc, char** argv) {
  // Keys live in this memory: no core file may carry them off.
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  std::signal(SIGPIPE, SIG_IGN);
  vigil::app::Config config;
  const int code = vigil::app::ReadFlags(argc, argv, config);
  return code >= 0 ? code : vigil::app::Run(config);
}
