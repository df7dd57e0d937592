#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "gateway/control/api.h"
#include "gateway/control/grpc_front.h"
#include "gateway/control/tls_files.h"

namespace vigil::control {

struct GrpcServerOptions {
  std::string address = "127.0.0.1";
  uint16_t port = 50051;  // 0: any free one.
  TlsFiles tls;
  std::function<void(const absl::Status&)> on_unusable = [](const absl::Status&) {};
  bool reflection = false;
  // Calls and streams that a network may begin; who begins more is answered later.
  double calls_per_second = 2'000;
  double calls_at_once = 4'000;
  // Of one message; gRPC itself refuses what is larger, without a reason. Twice what the Api takes,
  // which tells why it does not.
  int max_message_bytes = 1024 * 1024;
  // Memory for all calls; beyond, connections are shed.
  size_t memory_bytes = 128 * 1024 * 1024;
};

// vigil.v1 and grpc.health.v1 by gRPC. Its own threads only carry messages: what is asked is posted
// to the control thread, and the answer comes from there.
class GrpcServer {
 public:
  using Post = std::function<void(std::function<void()>)>;

  // `api` and what `post` runs on outlive the server. ALREADY_EXISTS when the port is taken,
  // INVALID_ARGUMENT for certificates that cannot be read.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Open(const GrpcServerOptions& options,
                                                          Api& api, Post post);
  virtual ~GrpcServer() = default;

  virtual uint16_t port() const = 0;
  virtual GrpcFrontCounters counters() const = 0;
  // What grpc.health.v1.Health answers.
  virtual void SetServing(bool serving) = 0;
  // Ends streams whose client does not read; call about once a second, on the control thread.
  virtual void OnTick() = 0;
  // Refuses what is new, gives what runs so long, then cancels it. Blocks while the control thread
  // goes on: to be called from another one.
  virtual void Shutdown(std::chrono::milliseconds grace) = 0;
};

}  // namespace vigil::control
