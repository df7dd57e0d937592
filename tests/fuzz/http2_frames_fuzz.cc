#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <vector>

#include "gateway/base/check.h"
#include "gateway/control/http2_frames.h"

// The first byte is the length of the pieces in which the bytes of either side arrive, the second
// and third the length of the client's; the server's are what follows. However a connection is cut,
// the same streams come out of it, and those that a plain reading of the whole finds.

namespace {

using vigil::control::Http2Frames;
using vigil::control::Http2Streams;
using Bytes = std::span<const uint8_t>;

void FeedInPieces(Http2Frames& frames, Bytes bytes, size_t piece, Http2Streams& streams) {
  for (size_t at = 0; at < bytes.size(); at += piece) {
    frames.Inspect(bytes.subspan(at, std::min(piece, bytes.size() - at)), streams);
    VIGIL_CHECK(streams.open.size() <= streams.opened);
    VIGIL_CHECK(streams.open.empty() || *streams.open.rbegin() <= streams.last_opened);
  }
}

Http2Streams Feed(Bytes client, Bytes server, size_t piece) {
  Http2Streams streams;
  Http2Frames from_client(Http2Frames::Sender::kClient);
  FeedInPieces(from_client, client, piece, streams);
  VIGIL_CHECK(from_client.past_preface() == (client.size() >= 24));
  Http2Frames from_server(Http2Frames::Sender::kServer);
  FeedInPieces(from_server, server, piece, streams);
  return streams;
}

struct Frame {
  uint8_t type = 0;
  bool ends = false;
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
    frames.push_back({header[3], (header[4] & 1) != 0, stream % (uint32_t{1} << 31)});
    const size_t length = size_t{header[0]} * 65'536 + size_t{header[1]} * 256 + header[2];
    at += std::min(9 + length, bytes.size() - at);
  }
  return frames;
}

Http2Streams Plain(Bytes client, Bytes server) {
  Http2Streams streams;
  for (const Frame& frame : FramesOf(client.subspan(std::min<size_t>(24, client.size())))) {
    if (frame.type == 1 && frame.stream > streams.last_opened) {
      streams.last_opened = frame.stream;
      ++streams.opened;
      streams.open.insert(frame.stream);
    } else if (frame.type == 3) {
      ++streams.resets;
      streams.open.erase(frame.stream);
    }
  }
  for (const Frame& frame : FramesOf(server)) {
    if (frame.type == 3) ++streams.resets;
    if (frame.type == 3 || (frame.ends && frame.type <= 1)) streams.open.erase(frame.stream);
  }
  return streams;
}

void CheckSame(const Http2Streams& a, const Http2Streams& b) {
  VIGIL_CHECK(a.open == b.open);
  VIGIL_CHECK(a.last_opened == b.last_opened);
  VIGIL_CHECK(a.opened == b.opened);
  VIGIL_CHECK(a.resets == b.resets);
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
  CheckSame(in_pieces, Plain(client, server));
  return 0;
}
