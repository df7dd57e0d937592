#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <utility>

#include "gateway/base/packet_pool.h"
#include "gateway/io/clock.h"
#include "gateway/io/fd.h"
#include "gateway/io/poller.h"
#include "gateway/io/socket_address.h"
#include "gtest/gtest.h"

namespace vigil::io {

inline IpAddress Loopback4() { return *ParseIp("127.0.0.1"); }
inline IpAddress Loopback6() { return *ParseIp("::1"); }

// Waits on `poller` until `done()` or until 20 s are over, which only a broken test reaches.
template <typename Done>
bool PollUntil(Poller& poller, Done done) {
  const Timestamp deadline = MonotonicNow() + TimeDelta::Seconds(20);
  while (!done()) {
    const Timestamp now = MonotonicNow();
    if (now >= deadline) return false;
    poller.Wait(deadline - now);
  }
  return true;
}

inline std::unique_ptr<Poller> OpenPoller() {
  auto poller = Poller::Open();
  EXPECT_TRUE(poller.ok());
  return std::move(*poller);
}

inline PacketRef MakePacket(PacketPool& pool, size_t size, uint8_t fill) {
  PacketRef packet = pool.Take();
  packet->size = static_cast<uint16_t>(size);
  std::memset(packet->data.data(), fill, size);
  return packet;
}

// A plain blocking socket: the client's side, connected to `port` of the loopback.
inline Fd ConnectedSocket(int type, const IpAddress& ip, uint16_t port) {
  const int family = IsV4(ip) ? AF_INET : AF_INET6;
  Fd fd(socket(family, type, 0));
  SocketAddress address;
  const socklen_t length = WriteSocketAddress(ip, port, family, address);
  EXPECT_EQ(connect(fd.get(), &address.any, length), 0) << std::strerror(errno);
  return fd;
}

inline bool SendAll(const Fd& fd, std::span<const uint8_t> bytes) {
  return send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
         static_cast<ssize_t>(bytes.size());
}

}  // namespace vigil::io
