#include "gateway/rtp/codec.h"

#include <array>
#include <cstdio>

namespace vigil::rtp {
namespace {

// One row of RFC 6184, 8.1, table 5: profile-iop bits that name a sub-profile of `profile_idc`.
struct ProfilePattern {
  uint8_t profile_idc;
  uint8_t fixed_bits;  // Bits that the row gives; the others are its "x".
  uint8_t bits;
  uint16_t canonical;
};

constexpr uint16_t kConstrainedBaseline = 0x4240;
constexpr uint16_t kBaseline = 0x4200;
constexpr uint16_t kMain = 0x4d00;
constexpr uint16_t kExtended = 0x5800;

// The High profiles have one spelling each in the table and need no row.
constexpr std::array<ProfilePattern, 7> kProfilePatterns = {{
    {0x42, 0b0100'1111, 0b0100'0000, kConstrainedBaseline},
    {0x4d, 0b1000'1111, 0b1000'0000, kConstrainedBaseline},
    {0x58, 0b1100'1111, 0b1100'0000, kConstrainedBaseline},
    {0x42, 0b0100'1111, 0b0000'0000, kBaseline},
    {0x58, 0b1100'1111, 0b1000'0000, kBaseline},
    {0x4d, 0b1010'1111, 0b0000'0000, kMain},
    {0x58, 0b1100'1111, 0b0000'0000, kExtended},
}};

// The same value for each spelling of one sub-profile; a value not in the table stands for itself.
uint16_t CanonicalH264Profile(uint16_t profile) {
  const auto idc = static_cast<uint8_t>(profile >> 8);
  const auto iop = static_cast<uint8_t>(profile);
  for (const ProfilePattern& pattern : kProfilePatterns) {
    if (idc == pattern.profile_idc && (iop & pattern.fixed_bits) == pattern.bits) {
      return pattern.canonical;
    }
  }
  return profile;
}

}  // namespace

MediaKind KindOf(CodecType type) {
  return type == CodecType::kOpus ? MediaKind::kAudio : MediaKind::kVideo;
}

uint32_t ClockRateOf(CodecType type) { return type == CodecType::kOpus ? 48'000 : 90'000; }

std::string_view NameOf(CodecType type) {
  switch (type) {
    case CodecType::kOpus:
      return "opus";
    case CodecType::kVp8:
      return "VP8";
    case CodecType::kVp9:
      return "VP9";
    case CodecType::kAv1:
      return "AV1";
    case CodecType::kH264:
      return "H264";
  }
  return "unknown";
}

bool Fits(const Codec& feed, const Codec& slot) {
  if (feed.type != slot.type) return false;
  switch (feed.type) {
    case CodecType::kOpus:
    case CodecType::kVp8:
      return true;
    case CodecType::kVp9:
    case CodecType::kAv1:
      return feed.profile == slot.profile;
    case CodecType::kH264:
      return feed.packetization_mode == slot.packetization_mode &&
             CanonicalH264Profile(feed.profile) == CanonicalH264Profile(slot.profile);
  }
  return false;
}

std::string Describe(const Codec& codec) {
  std::string text(NameOf(codec.type));
  char suffix[40];
  switch (codec.type) {
    case CodecType::kOpus:
    case CodecType::kVp8:
      return text;
    case CodecType::kVp9:
    case CodecType::kAv1:
      std::snprintf(suffix, sizeof suffix, " profile %u", codec.profile);
      break;
    case CodecType::kH264:
      std::snprintf(suffix, sizeof suffix, " profile %04x mode %u", codec.profile,
                    codec.packetization_mode);
      break;
  }
  return text + suffix;
}

}  // namespace vigil::rtp
