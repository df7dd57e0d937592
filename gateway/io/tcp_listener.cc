#include "gateway/io/tcp_listener.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include <utility>

#include "absl/strings/str_cat.h"

namespace vigil::io {
namespace {

Fd OpenSpare() { return Fd(open("/dev/null", O_RDONLY | O_CLOEXEC)); }

// accept(2): errors of the connection that was waiting, after which the next one may be fine.
bool IsOfTheConnection(int error) {
  switch (error) {
    case EINTR:
    case ECONNABORTED:
    case ENETDOWN:
    case EPROTO:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
    case EPERM:
      return true;
    default:
      return false;
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<TcpListener>> TcpListener::Open(const TcpListenerOptions& options) {
  const std::string name = absl::StrCat("TCP ", ToString(options.address), " port ", options.port);
  const int family = IsV4(options.address) ? AF_INET : AF_INET6;
  Fd fd(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.is_open()) return SystemError(errno, name);
  const int on = 1;
  // Connections of an earlier process in TIME_WAIT must not keep a restarted one from its port.
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (family == AF_INET6) {
    const int v6_only = IsWildcard(options.address) ? 0 : 1;
    setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof v6_only);
  }
  SocketAddress address;
  const socklen_t length = WriteSocketAddress(options.address, options.port, family, address);
  if (bind(fd.get(), &address.any, length) != 0 || listen(fd.get(), options.backlog) != 0) {
    return SystemError(errno, name);
  }
  Fd spare = OpenSpare();
  if (!spare.is_open()) return SystemError(errno, "/dev/null");
  return std::unique_ptr<TcpListener>(
      new TcpListener(std::move(fd), std::move(spare), options.local));
}

TcpListener::TcpListener(Fd fd, Fd spare, uint8_t local)
    : fd_(std::move(fd)), spare_(std::move(spare)), local_(local), port_(BoundPort(fd_.get())) {}

std::optional<TcpListener::Accepted> TcpListener::Accept() {
  // Bounded, so that a flood of aborted connections cannot hold the turn.
  for (int attempt = 0; attempt < 16; ++attempt) {
    SocketAddress source{};
    socklen_t length = sizeof source;
    Fd fd(accept4(fd_.get(), &source.any, &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (fd.is_open()) {
      Accepted accepted{std::move(fd), {}};
      if (!ReadSocketAddress(source, accepted.client)) continue;
      accepted.client.transport = Transport::kTcp;
      accepted.client.local = local_;
      return accepted;
    }
    if (errno == EMFILE || errno == ENFILE) {
      ShedOne();
    } else if (!IsOfTheConnection(errno)) {
      return std::nullopt;
    }
  }
  return std::nullopt;
}

void TcpListener::ShedOne() {
  spare_.Reset();
  Fd shed(accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (shed.is_open()) ++shed_count_;
  shed.Reset();  // Before the spare is taken again, or there is no descriptor for it.
  spare_ = OpenSpare();
}

}  // namespace vigil::io
