#include "gateway/control/http2_frames.h"

#include <algorithm>

namespace vigil::control {
namespace {

// RFC 9113, 6 and 11.2.
constexpr uint8_t kData = 0;
constexpr uint8_t kHeaders = 1;
constexpr uint8_t kRstStream = 3;
constexpr uint8_t kSettings = 4;
constexpr uint8_t kPushPromise = 5;
constexpr uint8_t kContinuation = 9;
constexpr uint8_t kAck = 0x1;
constexpr uint8_t kEndStream = 0x1;
constexpr uint8_t kEndHeaders = 0x4;

}  // namespace

Http2FrameHeader Http2FrameHeader::Parse(std::span<const uint8_t, kSize> bytes) {
  const auto at = [&bytes](size_t i) { return static_cast<uint32_t>(bytes[i]); };
  return {.length = at(0) << 16 | at(1) << 8 | at(2),
          .type = bytes[3],
          .flags = bytes[4],
          // Without the reserved bit.
          .stream = (at(5) << 24 | at(6) << 16 | at(7) << 8 | at(8)) & 0x7fffffff};
}

bool Http2FrameHeader::IsSettings() const {
  return type == kSettings && (flags & kAck) == 0 && stream == 0;
}

void Http2Streams::Close(uint32_t stream) {
  const auto it = open.find(stream);
  if (it == open.end()) return;
  if (it->second.answered) --answered;
  open.erase(it);
}

void Http2Frames::Inspect(std::span<const uint8_t> bytes, Timestamp now, Http2Streams& streams) {
  while (!bytes.empty()) {
    const size_t skipped = std::min(skip_, bytes.size());
    skip_ -= skipped;
    bytes = bytes.subspan(skipped);
    const size_t taken = std::min(Http2FrameHeader::kSize - have_, bytes.size());
    std::copy_n(bytes.begin(), taken, header_ + have_);
    have_ += taken;
    bytes = bytes.subspan(taken);
    if (have_ < Http2FrameHeader::kSize) return;
    have_ = 0;
    begun_ = true;
    const Http2FrameHeader frame = Http2FrameHeader::Parse(header_);
    skip_ = frame.length;
    if (sender_ == Sender::kClient) {
      OnClientFrame(frame, now, streams);
    } else {
      OnServerFrame(frame, streams);
    }
  }
}

void Http2Frames::OnClientFrame(const Http2FrameHeader& frame, Timestamp now,
                                Http2Streams& streams) {
  // RFC 9113, 5.1 and 5.1.1: a client's streams are odd and only rise, and nothing else is said of
  // one that is not there yet; 6.10: nothing comes between the frames of a block.
  const bool of_block = frame.type == kContinuation;
  const bool of_stream =
      of_block || frame.type == kData || frame.type == kHeaders || frame.type == kRstStream;
  const bool opens = frame.type == kHeaders && frame.stream > streams.last_opened;
  if (of_block != (block_stream_ != 0) || (of_block && frame.stream != block_stream_) ||
      (of_stream && frame.stream % 2 == 0) ||
      (of_stream && frame.stream > streams.last_opened && !opens) || frame.type == kPushPromise) {
    streams.violated = true;
    return;
  }
  if (opens) {
    streams.last_opened = frame.stream;
    ++streams.opened;
    streams.open.emplace(frame.stream, Http2Streams::Stream{.opened_at = now});
  }
  if (frame.type == kHeaders || of_block) OnHeaderBlock(frame, streams);
  if (frame.type == kRstStream) {
    ++streams.resets;
    streams.Close(frame.stream);
  } else if ((frame.type == kHeaders || frame.type == kData) && (frame.flags & kEndStream) != 0) {
    const auto it = streams.open.find(frame.stream);
    if (it != streams.open.end()) it->second.finished = true;
  }
}

void Http2Frames::OnHeaderBlock(const Http2FrameHeader& frame, Http2Streams& streams) {
  if (block_stream_ == 0) block_bytes_ = block_frames_ = 0;
  block_bytes_ += frame.length;
  ++block_frames_;
  if (block_bytes_ > kMaxHeaderBlock || block_frames_ > kMaxHeaderFrames) streams.violated = true;
  block_stream_ = (frame.flags & kEndHeaders) != 0 ? 0 : frame.stream;
}

void Http2Frames::OnServerFrame(const Http2FrameHeader& frame, Http2Streams& streams) {
  if (frame.type == kRstStream) {
    ++streams.resets;
    return streams.Close(frame.stream);
  }
  if (frame.type != kHeaders && frame.type != kData) return;
  if ((frame.flags & kEndStream) != 0) return streams.Close(frame.stream);
  const auto it = streams.open.find(frame.stream);
  if (it == streams.open.end() || it->second.answered) return;
  it->second.answered = true;
  ++streams.answered;
}

}  // namespace vigil::control
