#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <utility>

namespace vigil {

// How a client's datagrams reach us. A TCP client is one ICE-TCP connection (RFC 6544).
enum class Transport : uint8_t { kUdp = 0, kTcp = 1 };

// A client's 5-tuple as the edge saw it: the far end, the transport, and which of our own addresses
// it sent to. IPv4 addresses are kept in their IPv4-mapped IPv6 form, so one comparison serves
// both.
struct ClientAddress {
  std::array<uint8_t, 16> ip{};
  uint16_t port = 0;
  Transport transport = Transport::kUdp;
  // The place of our address in the edge's configured list. An answer must leave from the address
  // the question came to, or the client does not know it: two pairs of one client differ in this.
  uint8_t local = 0;

  // A UDP client.
  static ClientAddress V4(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint16_t port) {
    return {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d}, port};
  }
  bool IsV4() const;
  // For logs of the adapters and for tests: "udp 192.0.2.1:5000", "tcp [2001:db8::1]:5000".
  std::string ToString() const;

  auto operator<=>(const ClientAddress&) const = default;

  template <typename H>
  friend H AbslHashValue(H h, const ClientAddress& a) {
    return H::combine(std::move(h), a.ip, a.port, a.transport, a.local);
  }
  template <typename F>
  void Fields(F&& f) {
    f(ip, port, transport, local);
  }
};

}  // namespace vigil
