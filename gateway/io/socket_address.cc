#include "gateway/io/socket_address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "absl/strings/str_cat.h"
#include "gateway/io/fd.h"

namespace vigil::io {
namespace {

constexpr std::array<uint8_t, 12> kV4Prefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

IpAddress FromV4(const in_addr& address) {
  IpAddress ip{};
  std::copy(kV4Prefix.begin(), kV4Prefix.end(), ip.begin());
  std::memcpy(ip.data() + kV4Prefix.size(), &address, 4);
  return ip;
}

IpAddress FromV6(const in6_addr& address) {
  IpAddress ip{};
  std::memcpy(ip.data(), &address, ip.size());
  return ip;
}

bool IsLinkLocal(const IpAddress& ip) {
  if (IsV4(ip)) return ip[12] == 169 && ip[13] == 254;
  return ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80;
}

}  // namespace

bool IsV4(const IpAddress& ip) {
  return std::equal(kV4Prefix.begin(), kV4Prefix.end(), ip.begin());
}

bool IsWildcard(const IpAddress& ip) {
  return ip == IpAddress{} || ip == FromV4(in_addr{.s_addr = INADDR_ANY});
}

std::optional<IpAddress> ParseIp(const std::string& text) {
  in_addr v4{};
  if (inet_pton(AF_INET, text.c_str(), &v4) == 1) return FromV4(v4);
  in6_addr v6{};
  if (inet_pton(AF_INET6, text.c_str(), &v6) == 1) return FromV6(v6);
  return std::nullopt;
}

std::string ToString(const IpAddress& ip) {
  char text[INET6_ADDRSTRLEN] = "";
  if (IsV4(ip)) {
    inet_ntop(AF_INET, ip.data() + kV4Prefix.size(), text, sizeof text);
  } else {
    inet_ntop(AF_INET6, ip.data(), text, sizeof text);
  }
  return text;
}

std::string WithPort(const std::string& ip, uint16_t port) {
  // RFC 3986, 3.2.2.
  const bool brackets = ip.find(':') != std::string::npos;
  return absl::StrCat(brackets ? "[" : "", ip, brackets ? "]:" : ":", port);
}

absl::StatusOr<std::vector<IpAddress>> InterfaceAddresses() {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return SystemError(errno, "getifaddrs");
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owner(list, &freeifaddrs);
  std::vector<IpAddress> found;
  std::vector<IpAddress> loopback;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr || (entry->ifa_flags & IFF_UP) == 0) continue;
    SocketAddress address{};
    if (entry->ifa_addr->sa_family == AF_INET) {
      std::memcpy(&address, entry->ifa_addr, sizeof(sockaddr_in));
    } else if (entry->ifa_addr->sa_family == AF_INET6) {
      std::memcpy(&address, entry->ifa_addr, sizeof(sockaddr_in6));
    }
    ClientAddress read;
    if (!ReadSocketAddress(address, read) || IsLinkLocal(read.ip)) continue;
    ((entry->ifa_flags & IFF_LOOPBACK) != 0 ? loopback : found).push_back(read.ip);
  }
  found.insert(found.end(), loopback.begin(), loopback.end());
  return found;
}

socklen_t WriteSocketAddress(const IpAddress& ip, uint16_t port, int family, SocketAddress& out) {
  if (family == AF_INET) {
    if (!IsV4(ip)) return 0;
    out.v4 = {};
    out.v4.sin_family = AF_INET;
    out.v4.sin_port = htons(port);
    std::memcpy(&out.v4.sin_addr, ip.data() + kV4Prefix.size(), 4);
    return sizeof(sockaddr_in);
  }
  out.v6 = {};
  out.v6.sin6_family = AF_INET6;
  out.v6.sin6_port = htons(port);
  std::memcpy(&out.v6.sin6_addr, ip.data(), ip.size());
  return sizeof(sockaddr_in6);
}

bool ReadSocketAddress(const SocketAddress& from, ClientAddress& out) {
  if (from.any.sa_family == AF_INET) {
    out.ip = FromV4(from.v4.sin_addr);
    out.port = ntohs(from.v4.sin_port);
    return true;
  }
  if (from.any.sa_family == AF_INET6) {
    out.ip = FromV6(from.v6.sin6_addr);
    out.port = ntohs(from.v6.sin6_port);
    return true;
  }
  return false;
}

uint16_t BoundPort(int fd) {
  SocketAddress address{};
  socklen_t length = sizeof address;
  ClientAddress read;
  if (getsockname(fd, &address.any, &length) != 0 || !ReadSocketAddress(address, read)) return 0;
  return read.port;
}

}  // namespace vigil::io
