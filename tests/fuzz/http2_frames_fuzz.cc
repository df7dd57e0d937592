#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "gateway/base/check.h"
#include "gateway/control/http2_frames.h"

// The first byte is the length of the pieces in which the bytes of either side arrive, the second
// and third the length of the client's; the server's are what follows. However a connection is cut,
// the same streams come out of it, and those that a plain reading of the whole finds.

namespace {

using vigil::Timestamp;
using vigil::control::Http2Frames;
using vigil::control::Http2Streams;
using Bytes = std::span<const uint8_t>;

constexpr Timestamp kNow = Timestamp::FromNanos(1);

void FeedInPieces(Http2Frames::Sender sender, Bytes bytes, size_t piece, Http2Streams& streams) {
  Http2Frames frames(sender);
  for (size_t at = 0; at < bytes.size(); at += piece) {
    frames.Inspect(bytes.subspan(at, std::min(piece, bytes.size() - at)), kNow, streams);
    VIGIL_CHECK(streams.open.size() <= streams.opened);
    VIGIL_CHECK(streams.answered <= streams.open.size());
    VIGIL_CHECK(streams.open.empty() || streams.open.rbegin()->first <= streams.last_opened);
  }
  VIGIL_CHECK(frames.begun() == (bytes.size() >= 9));
}

Http2Streams Feed(Bytes client, Bytes server, size_t piece) {
  Http2Streams streams;
  FeedInPieces(Http2Frames::Sender::kClient, client, piece, streams);
  FeedInPieces(Http2Frames::Sender::kServer, server, piece, streams);
  return streams;
}

struct Frame {
  size_t length = 0;
  uint8_t type = 0;
  uint8_t flags = 0;
  uint32_t stream = 0;
};

// RFC 9113, 4.1, with all of it at hand.
std::vector<Frame> FramesOf(Bytes bytes) {
  std::vector<Frame> frames;
  size_t at = 0;
  while (bytes.size() - at >= 9) {
    const Bytes header = bytes.subspan(at, 9);
    uint32_t stream = 0;
    for (const uint8_t byte : header.subspan(5)) stream = stream << 8 | byte;
    const size_t length = size_t{header[0]} * 65'536 + size_t{header[1]} * 256 + header[2];
    frames.push_back({length, header[3], header[4], stream % (uint32_t{1} << 31)});
    at += std::min(9 + length, bytes.size() - at);
  }
  return frames;
}

struct Plain {
  std::map<uint32_t, bool> open;  // Whether it is answered.
  uint32_t last = 0;
  uint64_t opened = 0;
  uint64_t resets = 0;
};

// Nothing if the client broke a rule: what is counted behind it is of no interest.
bool ReadClient(Bytes bytes, Plain& plain) {
  uint32_t block = 0;
  size_t size = 0;
  size_t frames = 0;
  for (const Frame& frame : FramesOf(bytes)) {
    const bool continues = frame.type == 9;
    if (continues != (block != 0)) return false;
    if (continues && frame.stream != block) return false;
    if (frame.type == 5) return false;
    if (frame.type == 0 || frame.type == 1 || frame.type == 3) {
      if (frame.stream % 2 == 0) return false;
      if (frame.type != 1 && frame.stream > plain.last) return false;
    }
    if (frame.type == 1 && frame.stream > plain.last) {
      plain.last = frame.stream;
      ++plain.opened;
      plain.open[frame.stream] = false;
    }
    if (frame.type == 3) {
      ++plain.resets;
      plain.open.erase(frame.stream);
    }
    if (frame.type != 1 && !continues) continue;
    size = (continues ? size : 0) + frame.length;
    frames = (continues ? frames : 0) + 1;
    if (size > 32'768 || frames > 4) return false;
    block = (frame.flags & 4) != 0 ? 0 : frame.stream;
  }
  return true;
}

void ReadServer(Bytes bytes, Plain& plain) {
  for (const Frame& frame : FramesOf(bytes)) {
    if (frame.type == 3) ++plain.resets;
    const bool data = frame.type <= 1;
    if (frame.type == 3 || (data && (frame.flags & 1) != 0)) {
      plain.open.erase(frame.stream);
    } else if (data && plain.open.count(frame.stream) > 0) {
      plain.open[frame.stream] = true;
    }
  }
}

void CheckSame(const Http2Streams& a, const Http2Streams& b) {
  VIGIL_CHECK(a.violated == b.violated);
  VIGIL_CHECK(a.answered == b.answered);
  VIGIL_CHECK(a.last_opened == b.last_opened);
  VIGIL_CHECK(a.opened == b.opened);
  VIGIL_CHECK(a.resets == b.resets);
  VIGIL_CHECK(a.open.size() == b.open.size());
}

void CheckSame(const Http2Streams& streams, const Plain& plain) {
  VIGIL_CHECK(streams.last_opened == plain.last);
  VIGIL_CHECK(streams.opened == plain.opened);
  VIGIL_CHECK(streams.resets == plain.resets);
  VIGIL_CHECK(streams.open.size() == plain.open.size());
  size_t answered = 0;
  for (const auto& [stream, is_answered] : plain.open) {
    answered += is_answered ? 1 : 0;
    VIGIL_CHECK(streams.open.at(stream).answered == is_answered);
  }
  VIGIL_CHECK(streams.answered == answered);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3) return 0;
  const Bytes both(data + 3, size - 3);
  const size_t length = std::min(size_t{data[1]} << 8 | data[2], both.size());
  const Bytes client = both.first(length);
  const Bytes server = both.subspan(length);
  const Http2Streams in_pieces = Feed(client, server, size_t{data[0]} + 1);
  CheckSame(in_pieces, Feed(client, server, size));
  Plain plain;
  const bool fair = ReadClient(client, plain);
  VIGIL_CHECK(fair != in_pieces.violated);
  if (!fair) return 0;
  ReadServer(server, plain);
  CheckSame(in_pieces, plain);
  return 0;
}
