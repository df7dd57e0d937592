// vigil-gateway: opens what the configuration names, wires it, and runs the control thread.

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "boost/asio/io_context.hpp"
#include "boost/asio/ip/address.hpp"
#include "boost/asio/signal_set.hpp"
#include "gateway/app/config.h"
#include "gateway/app/control_plane.h"
#include "gateway/app/log.h"
#include "gateway/app/metrics_server.h"
#include "gateway/app/shutdown.h"
#include "gateway/edge/local_edge.h"
#include "gateway/io/clock.h"
#include "gateway/io/poller.h"
#include "gateway/io/socket_address.h"
#include "gateway/transport/dtls_context.h"
#include "gateway/transport/evp_cipher.h"
#include "gateway/worker/node.h"

namespace vigil::app {
namespace {

// What the control plane's threads are nicer than the media threads by. A flood of calls then gets
// what media leaves over, also on a machine with few cores. Higher starves calls beside a busy
// neighbour, lower lets them add to the packets' dwell.
constexpr int kControlNice = 10;

// HTTP, gRPC and ICE-TCP at their bounds together.
constexpr rlim_t kDescriptors = 32'768;

bool IsLoopback(const std::string& address) {
  boost::system::error_code error;
  const auto parsed = boost::asio::ip::make_address(address, error);
  return !error && parsed.is_loopback();
}

absl::StatusOr<worker::WorkerGround> OpenGround(const Config& config, uint32_t index) {
  worker::WorkerGround ground;
  ground.group = GroupId(index + 1);
  absl::StatusOr<std::unique_ptr<io::Poller>> poller = io::Poller::Open();
  if (!poller.ok()) return poller.status();
  ground.poller = *std::move(poller);
  edge::LocalEdgeOptions options;
  for (const std::string& text : config.media.addresses) {
    const auto address = io::ParseIp(text);
    if (!address || io::IsWildcard(*address)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "media.addresses: ", text, " is not allowed; allowed: an IP address that clients reach"));
    }
    options.addresses.push_back(*address);
  }
  options.tcp = config.media.tcp;
  options.port = config.media.port == 0 ? 0 : static_cast<uint16_t>(config.media.port + index);
  absl::StatusOr<std::unique_ptr<edge::LocalEdge>> edge =
      edge::LocalEdge::Open(options, *ground.poller);
  if (!edge.ok()) return NamingKeys("media.addresses, media.port", edge.status());
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
  const TimeDelta ntp = wall_clock.At(io::MonotonicNow()).SinceEpoch();
  auto dtls = transport::DtlsContext::Create(
      {.wall_seconds = static_cast<int64_t>((ntp - io::kUnixEpochInNtp).seconds())});
  if (!dtls.ok()) return dtls.status();
  std::vector<worker::WorkerGround> grounds;
  for (uint32_t i = 0; i < config.node.workers; ++i) {
    absl::StatusOr<worker::WorkerGround> ground = OpenGround(config, i);
    if (!ground.ok()) return ground.status();
    grounds.push_back(*std::move(ground));
  }
  return std::make_unique<worker::Node>(
      worker::NodeOptions{
          .wall_clock = wall_clock, .random = io::FillRandom, .packets = config.node.packets},
      std::move(grounds), *std::move(dtls), control);
}

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "vigil-gateway: %s\n", std::string(status.message()).c_str());
  return 2;
}

// Without a login nobody but this machine may come in.
absl::Status CheckLogin(const Config& config) {
  if (config.auth.mode != "none") return absl::OkStatus();
  for (const auto& [key, address] : {std::pair("http.address", config.http.address),
                                     std::pair("grpc.address", config.grpc.address)}) {
    if (!IsLoopback(address)) {
      return absl::InvalidArgumentError(
          absl::StrCat(key, ": ", address,
                       " is not allowed; allowed: a loopback address, because "
                       "auth.mode is none"));
    }
  }
  return absl::OkStatus();
}

void PrintReady(const Config& config, const ControlPlane& plane, const worker::Node& node,
                const MetricsServer& metrics) {
  std::printf("ready http=%s grpc=%s media=%s metrics=%s\n",
              io::WithPort(config.http.address, plane.http_port()).c_str(),
              io::WithPort(config.grpc.address, plane.grpc_port()).c_str(),
              absl::StrJoin(MediaAddresses(config, node), ",").c_str(),
              io::WithPort(config.metrics.address, metrics.port()).c_str());
  std::fflush(stdout);
}

int Run(const Config& config) {
  SetUpLog(config.log.level, config.log.format);
  if (const absl::Status login = CheckLogin(config); !login.ok()) return Fail(login);
  auto control_poller = io::Poller::Open();
  if (!control_poller.ok()) return Fail(control_poller.status());
  auto node = OpenNode(config, **control_poller);
  if (!node.ok()) return Fail(node.status());
  (*node)->Start();
  // This thread, and all that it starts from here on; the media threads are running.
  setpriority(PRIO_PROCESS, 0, kControlNice);

  boost::asio::io_context context(1);
  auto plane = ControlPlane::Open(config, **node, **control_poller, context);
  if (!plane.ok()) return Fail(plane.status());
  auto metrics = MetricsServer::Open(
      config.metrics.address, config.metrics.port,
      {.tick_age = [&node] { return io::MonotonicNow() - (*node)->OldestTurn(); },
       .metrics =
           [&plane](MetricsServer::OnText done) { (*plane)->CollectMetrics(std::move(done)); }});
  if (!metrics.ok()) return Fail(NamingKeys("metrics.address, metrics.port", metrics.status()));
  if (const absl::Status open = (*plane)->OpenGrpc(); !open.ok()) return Fail(open);
  if (config.auth.mode == "none") {
    LogWarning("no login: whoever reaches this machine's loopback may do everything");
  }
  (*plane)->SetOnServing([&metrics](bool serving) { (*metrics)->SetReady(serving); });
  (*metrics)->SetReady(true);
  {
    Shutdown shutdown(
        context,
        {.refuse_new = [&plane] { (*plane)->SetTerminating(); },
         .is_idle = [&plane] { return (*plane)->media().directory().peers().empty(); },
         .close = [&plane] { (*plane)->CloseServers(); }},
        config.shutdown.drain_seconds);
    boost::asio::signal_set signals(context, SIGTERM, SIGINT);
    std::function<void()> wait_for_signal = [&] {
      signals.async_wait([&](const boost::system::error_code& error, int) {
        if (error) return;
        shutdown.OnSignal();
        wait_for_signal();
      });
    };
    wait_for_signal();
    PrintReady(config, **plane, **node, **metrics);
    context.run();
  }
  (*node)->Stop();
  // Answers that will not come belong to connections of the context, which goes before the node.
  (*node)->DropWaiting();
  LogInfo("stopped");
  return 0;
}

int Main(int argc, char** argv) {
  CLI::App flags{"vigil-gateway: a media gateway for contrast supervision"};
  flags.set_version_flag("--version", VIGIL_VERSION);
  std::string file;
  bool print = false;
  flags.add_option(
      "--config", file,
      "YAML file; every key also as environment variable VIGIL_SECTION_KEY, which wins");
  flags.add_flag("--print-config", print, "Print the effective configuration and exit");
  try {
    flags.parse(argc, argv);
  } catch (const CLI::Success& success) {
    return flags.exit(success);
  } catch (const CLI::ParseError& error) {
    std::fprintf(stderr, "vigil-gateway: %s\n", error.what());
    return 2;
  }
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string name(*variable, std::strcspn(*variable, "="));
    if (const absl::Status known = CheckVariable(name); !known.ok()) return Fail(known);
  }
  const absl::StatusOr<Config> config = ReadConfig(
      file, [](const std::string& name) { return std::getenv(name.c_str()); }, VIGIL_CONSOLE_DIR);
  if (!config.ok()) return Fail(config.status());
  if (print) {
    std::fputs(PrintConfig(*config).c_str(), stdout);
    return 0;
  }
  return Run(*config);
}

}  // namespace
}  // namespace vigil::app

int main(int argc, char** argv) {
  // Keys live in this memory: no core file may carry them off.
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  // Each connection is a descriptor, and the usual soft limit is fewer than are served at a time.
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < vigil::app::kDescriptors) {
    files.rlim_cur = std::min<rlim_t>(vigil::app::kDescriptors, files.rlim_max);
    setrlimit(RLIMIT_NOFILE, &files);
  }
  std::signal(SIGPIPE, SIG_IGN);
  return vigil::app::Main(argc, argv);
}
