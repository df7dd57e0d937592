#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gateway/base/time.h"
#include "gateway/control/tls_files.h"

namespace vigil::control {

struct GrpcFrontOptions {
  std::string address = "127.0.0.1";
  uint16_t port = 50051;  // 0: any free one.
  TlsFiles tls;
  std::function<Timestamp()> now;  // Any thread.
  // Is told, on a thread of the front, of files that could not be used; what was there stays in
  // use.
  std::function<void(const absl::Status&)> on_unusable = [](const absl::Status&) {};
  // What is bounded for a network is so for what one party can be assumed to control all of: an
  // IPv4 address, an IPv6 /64.
  // Connections, of all and of one network. Services hold a few each.
  size_t max_connections = 1'024;
  size_t max_connections_per_network = 256;
  // Connections that a network opens.
  double connections_per_second = 50;
  double connections_at_once = 300;
  // Streams that are open at a time, of all connections and of those of a network. gRPC needs about
  // 11 kB for each.
  size_t max_streams = 24'000;
  size_t max_streams_per_network = 12'000;
  // Streams that a network opens. Who opens more is read later.
  double streams_per_second = 2'000;
  double streams_at_once = 4'000;
  // Streams that either side resets, of a network, beyond what each connection may: a console that
  // is closed cancels all of its watches at once, a loop that resets what it has just asked for
  // never stops.
  double resets_per_second = 200;
  double resets_at_once = 5'000;
};

// How the port is used, for the metrics.
struct GrpcFrontCounters {
  uint64_t accepted = 0;
  uint64_t refused = 0;  // Connections beyond the bounds.
  uint64_t cut = 0;      // Of whoever broke HTTP/2, or reset or opened too many streams.
  uint64_t delayed = 0;  // Reads that were put off, of whoever opens too many streams a second.
};

// The public side of the gRPC port: accepts, does TLS and bounds what clients may cost; what passes
// goes on to gRPC over a pair of sockets. gRPC of this age has no bound for connections, for a
// call's header fields in many frames (CVE-2023-33953), nor for streams that are reset as soon as
// they are opened (CVE-2023-44487). Its own thread.
class GrpcFront {
 public:
  // Takes gRPC's end of the pair for a client at `address`; on the front's thread.
  using OnClient = std::function<void(int fd, const std::string& address)>;

  // INVALID_ARGUMENT for certificates or the address, ALREADY_EXISTS when the port is taken.
  static absl::StatusOr<std::unique_ptr<GrpcFront>> Open(GrpcFrontOptions options,
                                                         OnClient on_client);
  virtual ~GrpcFront() = default;

  virtual uint16_t port() const = 0;
  // Any thread.
  virtual GrpcFrontCounters counters() const = 0;
  // Accepts nothing new; what is there goes on until this is destroyed. Any thread.
  virtual void StopAccepting() = 0;
  // Blocks until no client is connected any more, or as long as that. Any other thread.
  virtual void AwaitEnd(std::chrono::milliseconds patience) = 0;
};

}  // namespace vigil::control
