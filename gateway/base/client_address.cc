#include "gateway/base/client_address.h"

#include <algorithm>
#include <cstdio>

namespace vigil {

bool ClientAddress::IsV4() const {
  return std::all_of(ip.begin(), ip.begin() + 10, [](uint8_t b) { return b == 0; }) &&
         ip[10] == 0xff && ip[11] == 0xff;
}

std::string ClientAddress::ToString() const {
  const char* name = transport == Transport::kUdp ? "udp" : "tcp";
  char text[80];
  if (IsV4()) {
    std::snprintf(text, sizeof text, "%s %u.%u.%u.%u:%u", name, ip[12], ip[13], ip[14], ip[15],
                  port);
    return text;
  }
  int n = std::snprintf(text, sizeof text, "%s [", name);
  for (size_t i = 0; i < 16; i += 2) {
    n += std::snprintf(text + n, sizeof text - static_cast<size_t>(n), i == 0 ? "%x" : ":%x",
                       ip[i] << 8 | ip[i + 1]);
  }
  std::snprintf(text + n, sizeof text - static_cast<size_t>(n), "]:%u", port);
  return text;
}

}  // namespace vigil
