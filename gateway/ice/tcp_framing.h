#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "gateway/base/packet_pool.h"

// Datagrams over TCP: each is preceded by its length in two bytes (RFC 4571, section 2; used by
// ICE-TCP, RFC 6544 section 3).

namespace vigil::ice {

constexpr size_t kFrameHeaderSize = 2;
constexpr size_t kMaxFrameSize = Packet::kMaxReceived;

// `payload_size` is at most 65535.
void WriteFrameHeader(size_t payload_size, std::span<uint8_t, kFrameHeaderSize> out);

// True when `frame` may be the first one of a connection: a binding request that names a peer.
// Anything else on an ICE-TCP port is not a client of ours (RFC 6544, 7.2).
bool IsFirstFrame(std::span<const uint8_t> frame);

// Cuts one connection's byte stream into frames, with one frame of buffer and no allocation.
class TcpDeframer {
 public:
  enum class Status : uint8_t {
    kNeedMore,   // All of the input is used up.
    kFrame,      // `frame` is the next one; valid until the next call or the input goes away.
    kOversized,  // A frame longer than kMaxFrameSize: close the connection. Stays so for good.
  };
  struct Result {
    Status status = Status::kNeedMore;
    std::span<const uint8_t> frame = {};
  };

  // Takes bytes off the front of `input`. Call until it needs more. Frames of length zero carry
  // nothing and are skipped.
  Result Next(std::span<const uint8_t>& input);

 private:
  size_t FrameSize() const { return static_cast<size_t>(buffer_[0] << 8 | buffer_[1]); }
  // Moves input into the buffer until it holds `size` bytes; false when the input ran out.
  bool Fill(size_t size, std::span<const uint8_t>& input);

  std::array<uint8_t, kFrameHeaderSize + kMaxFrameSize> buffer_;
  size_t buffered_ = 0;
  bool oversized_ = false;
};

}  // namespace vigil::ice
