#include "gateway/control/http2_frames.h"

#include <algorithm>

namespace vigil::control {
namespace {

// RFC 9113, 6 and 11.2.
constexpr uint8_t kData = 0;
constexpr uint8_t kHeaders = 1;
constexpr uint8_t kRstStream = 3;
constexpr uint8_t kEndStream = 0x1;

}  // namespace

void Http2Frames::Inspect(std::span<const uint8_t> bytes, Http2Streams& streams) {
  while (!bytes.empty()) {
    const size_t skipped = std::min(skip_, bytes.size());
    skip_ -= skipped;
    bytes = bytes.subspan(skipped);
    if (skip_ > 0) return;
    past_preface_ = true;
    const size_t taken = std::min(kFrameHeader - have_, bytes.size());
    std::copy_n(bytes.begin(), taken, header_ + have_);
    have_ += taken;
    bytes = bytes.subspan(taken);
    if (have_ < kFrameHeader) return;
    have_ = 0;
    skip_ =
        static_cast<size_t>(header_[0]) << 16 | static_cast<size_t>(header_[1]) << 8 | header_[2];
    OnFrame(streams);
  }
}

void Http2Frames::OnFrame(Http2Streams& streams) const {
  const uint8_t type = header_[3];
  const uint8_t flags = header_[4];
  const uint32_t stream =
      (static_cast<uint32_t>(header_[5]) << 24 | static_cast<uint32_t>(header_[6]) << 16 |
       static_cast<uint32_t>(header_[7]) << 8 | header_[8]) &
      0x7fffffff;
  if (type == kRstStream) {
    ++streams.resets;
    streams.open.erase(stream);
  } else if (sender_ == Sender::kClient) {
    // Ids only rise; a lower one is that of trailers.
    if (type != kHeaders || stream <= streams.last_opened) return;
    streams.last_opened = stream;
    ++streams.opened;
    streams.open.insert(stream);
  } else if ((type == kHeaders || type == kData) && (flags & kEndStream) != 0) {
    streams.open.erase(stream);
  }
}

}  // namespace vigil::control
