#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "gateway/base/strong_id.h"
#include "gateway/rtp/codec.h"

// Payloads whose bytes say where they come from, in the form of each codec, so that whatever comes
// out of the gateway can be compared with what went in.

namespace vigil::sim {

struct PayloadStamp {
  FeedId feed;
  rtp::MediaKind kind = rtp::MediaKind::kAudio;
  uint8_t layer = 0;
  uint8_t epoch = 0;  // Counts restarts of the sender with another SSRC.
  bool keyframe = false;
  uint8_t index = 0;     // Of the packet in its frame.
  uint8_t count = 1;     // Packets of the frame.
  int32_t sequence = 0;  // The source's, unwrapped.
  uint32_t frame = 0;
  uint32_t timestamp = 0;  // The source's RTP timestamp.
  // The source's own picture counters, 15, 8 and 16 bits.
  uint16_t picture_id = 0;
  uint8_t tl0 = 0;
  uint16_t frame_number = 0;

  bool first() const { return index == 0; }
  bool last() const { return index + 1 == count; }
  bool operator==(const PayloadStamp&) const = default;
};

// The least payload that holds a stamp in any codec's form.
constexpr size_t kLeastPayload = 64;

// Writes a payload of `size` bytes (at least kLeastPayload) for one packet of a frame.
void WritePayload(rtp::CodecType codec, const PayloadStamp& stamp, std::span<uint8_t> out);
// Empty when there is none, as in padding.
std::optional<PayloadStamp> ReadStamp(rtp::CodecType codec, std::span<const uint8_t> payload);
// VP8 and VP9 payloads differ in their counters by design: the length of what does.
size_t DescriptorSize(rtp::CodecType codec, std::span<const uint8_t> payload);

// The dependency descriptor of an AV1 packet: three bytes, and one more with the flag of a template
// structure on a keyframe's first.
struct DependencyBytes {
  std::array<uint8_t, 4> bytes{};
  size_t size = 0;
  std::span<const uint8_t> span() const { return std::span(bytes).first(size); }
};
DependencyBytes MakeDependency(const PayloadStamp& stamp);

}  // namespace vigil::sim
