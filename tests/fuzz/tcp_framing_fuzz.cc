#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "gateway/base/check.h"
#include "gateway/ice/tcp_framing.h"

// The first byte is the length of the pieces in which the rest arrives. However a stream is cut,
// the same frames and the same end come out of it.

namespace {

using vigil::ice::TcpDeframer;

struct Seen {
  std::vector<std::vector<uint8_t>> frames;
  bool oversized = false;
  bool operator==(const Seen&) const = default;
};

Seen Feed(std::span<const uint8_t> stream, size_t piece) {
  Seen seen;
  TcpDeframer deframer;
  for (size_t at = 0; at < stream.size() && !seen.oversized; at += piece) {
    std::span<const uint8_t> input = stream.subspan(at, std::min(piece, stream.size() - at));
    TcpDeframer::Result result = deframer.Next(input);
    for (; result.status == TcpDeframer::Status::kFrame; result = deframer.Next(input)) {
      VIGIL_CHECK(!result.frame.empty() && result.frame.size() <= vigil::ice::kMaxFrameSize);
      seen.frames.emplace_back(result.frame.begin(), result.frame.end());
      vigil::ice::IsFirstFrame(result.frame);
    }
    seen.oversized = result.status == TcpDeframer::Status::kOversized;
    VIGIL_CHECK(seen.oversized || input.empty());
  }
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::span<const uint8_t> stream(data + 1, size - 1);
  VIGIL_CHECK(Feed(stream, size_t{data[0]} + 1) == Feed(stream, stream.size()));
  return 0;
}
