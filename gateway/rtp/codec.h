#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace vigil::rtp {

// A picture track or a sound track; `kind` in metrics.
enum class MediaKind : uint8_t { kAudio, kVideo };

enum class CodecType : uint8_t { kOpus, kVp8, kVp9, kAv1, kH264 };

// What a payload type stands for, as far as forwarding must tell codecs apart.
struct Codec {
  CodecType type = CodecType::kOpus;
  // VP9: profile-id (0..3). AV1: profile (0..2). H.264: profile_idc << 8 | profile-iop, that is the
  // first two bytes of profile-level-id; the level is not kept, it never decides anything here.
  uint16_t profile = 0;
  // H.264 (RFC 6184, 6.2): 0 or 1.
  uint8_t packetization_mode = 0;

  bool operator==(const Codec&) const = default;
  template <typename F>
  void Fields(F&& f) {
    f(type, profile, packetization_mode);
  }
};

MediaKind KindOf(CodecType type);
// RTP clock rate in Hz: 48000 for Opus, 90000 for every picture codec.
uint32_t ClockRateOf(CodecType type);
// The SDP encoding name: "opus", "VP8", "VP9", "AV1", "H264".
std::string_view NameOf(CodecType type);

// Whether a feed's codec may be sent where `slot` was negotiated. Type and profile must match, and
// for H.264 the packetization mode; constrained baseline is recognised in each of its spellings
// (RFC 6184, 8.1, table 5); a level never matters (level-asymmetry-allowed=1).
bool Fits(const Codec& feed, const Codec& slot);

// For people: "H264 profile 42e0 mode 1", "VP9 profile 0", "opus".
std::string Describe(const Codec& codec);

}  // namespace vigil::rtp
