#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "gateway/base/byte_io.h"
#include "gateway/rtp/rtcp.h"
#include "gtest/gtest.h"

// What the RTCP tests share.

namespace vigil::rtp {

using Bytes = std::vector<uint8_t>;

// "81c9 0007" and the like; anything but hex digits is ignored.
inline Bytes FromHex(std::string_view text) {
  Bytes digits;
  for (const char c : text) {
    const size_t digit = std::string_view("0123456789abcdef").find(c);
    if (digit != std::string_view::npos) digits.push_back(static_cast<uint8_t>(digit));
  }
  Bytes bytes(digits.size() / 2);
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<uint8_t>(digits[2 * i] << 4 | digits[2 * i + 1]);
  }
  return bytes;
}

// What `write(ByteWriter&)` appends to an empty buffer of `room` bytes; empty if it did not fit.
template <typename F>
std::optional<Bytes> WriteBytes(F&& write, size_t room = 4096) {
  Bytes buffer(room);
  ByteWriter out(buffer);
  write(out);
  if (!out.ok()) {
    EXPECT_EQ(out.position(), 0u) << "half a packet was written";
    return std::nullopt;
  }
  return Bytes(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(out.position()));
}

// Reads a datagram that must hold one well-formed packet of type T and nothing else.
template <typename T>
std::optional<T> ReadOnly(std::span<const uint8_t> datagram) {
  RtcpReader reader(datagram);
  const std::optional<RtcpPacket> packet = reader.Next();
  if (!packet || !std::holds_alternative<T>(*packet)) return std::nullopt;
  if (reader.Next() || reader.malformed()) return std::nullopt;
  return std::get<T>(*packet);
}

// How many packets a datagram gives, and whether it ends in a malformed one.
inline std::pair<int, bool> CountPackets(std::span<const uint8_t> datagram) {
  RtcpReader reader(datagram);
  int count = 0;
  while (reader.Next()) ++count;
  return {count, reader.malformed()};
}

}  // namespace vigil::rtp
