#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "gateway/base/client_address.h"
#include "gateway/io/fd.h"
#include "gateway/io/socket_address.h"

namespace vigil::io {

struct TcpListenerOptions {
  IpAddress address{};
  uint16_t port = 0;  // 0: any free one.
  uint8_t local = 0;  // ClientAddress::local of what is accepted here.
  // Connections the kernel holds until they are accepted. Higher lets a reconnect of a whole site
  // through in one go, lower sheds a flood earlier.
  int backlog = 256;
};

// A non-blocking listening socket. Belongs to one thread.
class TcpListener {
 public:
  struct Accepted {
    Fd fd;  // Non-blocking.
    ClientAddress client;
  };

  // Errors: those of socket(2), bind(2) and listen(2); kAlreadyExists when the port is taken.
  static absl::StatusOr<std::unique_ptr<TcpListener>> Open(const TcpListenerOptions& options);

  // The next waiting connection; nothing when there is none. When the process is out of
  // descriptors the waiting connection is closed and counted: left in the queue it would make the
  // poller report it for ever.
  std::optional<Accepted> Accept();

  int fd() const { return fd_.get(); }
  uint16_t port() const { return port_; }
  uint64_t shed_count() const { return shed_count_; }

 private:
  TcpListener(Fd fd, Fd spare, uint8_t local);
  void ShedOne();

  Fd fd_;
  Fd spare_;  // Given up for a moment to accept and close a connection when there is no other.
  uint8_t local_;
  uint16_t port_;
  uint64_t shed_count_ = 0;
};

}  // namespace vigil::io
