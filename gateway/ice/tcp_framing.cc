#include "gateway/ice/tcp_framing.h"

#include <algorithm>
#include <cstring>

#include "gateway/base/check.h"
#include "gateway/ice/stun.h"

namespace vigil::ice {

void WriteFrameHeader(size_t payload_size, std::span<uint8_t, kFrameHeaderSize> out) {
  VIGIL_CHECK(payload_size <= 0xffff);
  out[0] = static_cast<uint8_t>(payload_size >> 8);
  out[1] = static_cast<uint8_t>(payload_size);
}

bool IsFirstFrame(std::span<const uint8_t> frame) { return PeekUsername(frame).has_value(); }

TcpDeframer::Result TcpDeframer::Next(std::span<const uint8_t>& input) {
  if (oversized_) return {.status = Status::kOversized};
  while (Fill(kFrameHeaderSize, input)) {
    const size_t size = FrameSize();
    if (size > kMaxFrameSize) {
      oversized_ = true;
      return {.status = Status::kOversized};
    }
    // The usual case, a frame that is whole in the input, is not copied.
    if (buffered_ == kFrameHeaderSize && size > 0 && input.size() >= size) {
      const std::span<const uint8_t> frame = input.first(size);
      input = input.subspan(size);
      buffered_ = 0;
      return {.status = Status::kFrame, .frame = frame};
    }
    if (!Fill(kFrameHeaderSize + size, input)) break;
    buffered_ = 0;
    if (size > 0) {
      return {.status = Status::kFrame,
              .frame = std::span<const uint8_t>(buffer_).subspan(kFrameHeaderSize, size)};
    }
  }
  return {.status = Status::kNeedMore};
}

bool TcpDeframer::Fill(size_t size, std::span<const uint8_t>& input) {
  if (buffered_ < size) {
    const size_t n = std::min(size - buffered_, input.size());
    if (n > 0) std::memcpy(buffer_.data() + buffered_, input.data(), n);
    buffered_ += n;
    input = input.subspan(n);
  }
  return buffered_ >= size;
}

}  // namespace vigil::ice
