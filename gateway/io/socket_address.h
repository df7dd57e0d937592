#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/base/client_address.h"

namespace vigil::io {

// As in ClientAddress: IPv4 in its IPv4-mapped IPv6 form.
using IpAddress = std::array<uint8_t, 16>;

// "192.0.2.1", "2001:db8::1"; nothing else: no names, no ports, no scopes.
std::optional<IpAddress> ParseIp(const std::string& text);
std::string ToString(const IpAddress& ip);
// "192.0.2.1:7000", "[2001:db8::1]:7000" of an address as text.
std::string WithPort(const std::string& ip, uint16_t port);
bool IsV4(const IpAddress& ip);
// 0.0.0.0 or ::.
bool IsWildcard(const IpAddress& ip);

// The addresses of the machine's interfaces that are up, without link-local ones, in the order of
// the interfaces, loopback last. Errors: kInternal with the errno text.
absl::StatusOr<std::vector<IpAddress>> InterfaceAddresses();

// Big enough for both families; recvmmsg and sendmmsg want an array of these.
union SocketAddress {
  sockaddr any;
  sockaddr_in v4;
  sockaddr_in6 v6;
};

// Writes `ip` and `port` in the form `family` (AF_INET, AF_INET6) wants. The length written, or 0
// when an IPv6 address is asked of an AF_INET socket.
socklen_t WriteSocketAddress(const IpAddress& ip, uint16_t port, int family, SocketAddress& out);
// Fills ip and port of `out`; false for any family but the two.
bool ReadSocketAddress(const SocketAddress& from, ClientAddress& out);
// The port `fd` is bound to, 0 if it is not.
uint16_t BoundPort(int fd);

}  // namespace vigil::io
