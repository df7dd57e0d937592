#include "gateway/base/byte_io.h"
#include "gateway/rtp/payload_formats.h"

namespace vigil::rtp {
namespace {

// NAL unit types (H.264, table 7-1; RFC 6184, table 1).
constexpr uint8_t kIdrSlice = 5;
constexpr uint8_t kSps = 7;
constexpr uint8_t kPps = 8;
constexpr uint8_t kLastSingleNal = 23;
constexpr uint8_t kStapA = 24;
constexpr uint8_t kFuA = 28;
constexpr uint8_t kTypeMask = 0x1f;
constexpr uint8_t kFuStart = 0x80;

bool IsSingleNal(uint8_t type) { return type >= 1 && type <= kLastSingleNal; }

// Notes a NAL unit which starts in this packet; `body` is what follows its header byte.
void OnNalStart(uint8_t type, std::span<const uint8_t> body, H264Descriptor& descriptor,
                bool& starts_keyframe) {
  switch (type) {
    case kIdrSlice:
      descriptor.has_idr = true;
      // A picture may have many slices; the first one has first_mb_in_slice 0, whose Exp-Golomb
      // code is a single 1 (H.264, 7.3.3 and 9.1).
      if (!body.empty() && (body[0] & 0x80) != 0) starts_keyframe = true;
      break;
    case kSps:
      descriptor.has_sps = true;
      starts_keyframe = true;
      break;
    case kPps:
      descriptor.has_pps = true;
      break;
    default:
      break;
  }
}

// RFC 6184, 5.7.1: one or more NAL units, each behind its 16-bit size. False if malformed.
bool WalkStapA(ByteReader& in, H264Descriptor& descriptor, bool& starts_keyframe) {
  if (in.remaining() == 0) return false;
  while (in.remaining() > 0) {
    const std::span<const uint8_t> nal = in.Bytes(in.U16());
    if (!in.ok() || nal.empty()) return false;
    const uint8_t type = nal[0] & kTypeMask;
    if (!IsSingleNal(type)) return false;
    OnNalStart(type, nal.subspan(1), descriptor, starts_keyframe);
  }
  return true;
}

// RFC 6184, 5.8: a fragment, behind the header byte that names the fragmented unit's type.
bool WalkFuA(ByteReader& in, H264Descriptor& descriptor, bool& starts_keyframe) {
  const uint8_t header = in.U8();
  const uint8_t type = header & kTypeMask;
  if (!in.ok() || !IsSingleNal(type)) return false;
  if ((header & kFuStart) != 0) OnNalStart(type, in.Rest(), descriptor, starts_keyframe);
  return true;
}

}  // namespace

std::optional<PayloadView> ParseH264(std::span<const uint8_t> payload) {
  ByteReader in(payload);
  H264Descriptor descriptor;
  descriptor.nal_type = in.U8() & kTypeMask;
  bool starts_keyframe = false;
  if (IsSingleNal(descriptor.nal_type)) {
    OnNalStart(descriptor.nal_type, in.Rest(), descriptor, starts_keyframe);
  } else if (descriptor.nal_type == kStapA) {
    if (!WalkStapA(in, descriptor, starts_keyframe)) return std::nullopt;
  } else if (descriptor.nal_type == kFuA) {
    if (!WalkFuA(in, descriptor, starts_keyframe)) return std::nullopt;
  } else {
    // STAP-B, MTAP and FU-B belong to packetization mode 2, which nobody negotiates; the rest is
    // reserved (RFC 6184, 5.4).
    return std::nullopt;
  }
  return PayloadView{.descriptor = descriptor, .starts_keyframe = starts_keyframe};
}

}  // namespace vigil::rtp
