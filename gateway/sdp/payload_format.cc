#include "gateway/sdp/payload_format.h"

#include <array>
#include <initializer_list>
#include <string_view>

#include "gateway/sdp/line.h"

namespace vigil::sdp {
namespace {

std::optional<uint16_t> ProfileParameter(const Payload& payload, std::string_view name) {
  const auto value = FormatParameter(payload.format, name);
  return value ? ParseNumber<uint16_t>(*value) : std::optional<uint16_t>(0);
}

// RFC 6184, 8.1: without profile-level-id the stream is baseline, level 1; without
// packetization-mode it is 0. Mode 2 (interleaved) needs reordering at the receiver; nobody in
// WebRTC speaks it.
std::optional<rtp::Codec> H264Of(const Payload& payload) {
  const std::string_view id =
      FormatParameter(payload.format, "profile-level-id").value_or("42000a");
  uint32_t bytes = 0;
  const auto [at, error] = std::from_chars(id.data(), id.data() + id.size(), bytes, 16);
  if (error != std::errc() || at != id.data() + id.size() || id.size() != 6) return std::nullopt;
  const uint32_t profile_idc = bytes >> 16;
  if (profile_idc != 0x42 && profile_idc != 0x4d && profile_idc != 0x64) return std::nullopt;
  const auto mode =
      ParseNumber<uint8_t>(FormatParameter(payload.format, "packetization-mode").value_or("0"));
  if (!mode || *mode > 1) return std::nullopt;
  return rtp::Codec{.type = rtp::CodecType::kH264,
                    .profile = static_cast<uint16_t>(bytes >> 8),
                    .packetization_mode = *mode};
}

void Add(std::string& format, std::string_view name, std::string_view value) {
  if (!format.empty()) format += ';';
  format.append(name).append("=").append(value);
}

// The named parameters as offered, in this order.
std::string Keep(const Payload& offered, std::initializer_list<std::string_view> names) {
  std::string format;
  for (const std::string_view name : names) {
    if (const auto value = FormatParameter(offered.format, name)) Add(format, name, *value);
  }
  return format;
}

// Opus parameters tell the other side what we like to receive (RFC 7587, 7). What we receive is
// what somebody else hears, so the offer's wishes are repeated, and FEC is always asked for: it
// repairs a lost packet without a round trip, and every decoder can use or skip it. Stereo is asked
// for when the client announces to send it. DTX never is: a microphone that is silent because the
// room is quiet would look like one that has died.
std::string OpusFormat(const Payload& offered, bool we_receive) {
  std::string format = Keep(
      offered, {"minptime", "maxptime", "ptime", "maxplaybackrate", "maxaveragebitrate", "cbr"});
  const bool stereo = FormatParameter(offered.format, "stereo") == "1" ||
                      (we_receive && FormatParameter(offered.format, "sprop-stereo") == "1");
  if (stereo) Add(format, "stereo", "1");
  Add(format, "useinbandfec", "1");
  if (!we_receive && FormatParameter(offered.format, "usedtx") == "1") Add(format, "usedtx", "1");
  return format;
}

// Profile and packetization mode must be as offered, levels may differ (RFC 6184, 8.2.2).
// sprop-parameter-sets and the max-* capabilities describe the offerer and are not ours to repeat.
std::string H264Format(const Payload& offered, const rtp::Codec& codec) {
  std::string format = "level-asymmetry-allowed=1";
  Add(format, "packetization-mode", codec.packetization_mode == 0 ? "0" : "1");
  if (const auto id = FormatParameter(offered.format, "profile-level-id")) {
    Add(format, "profile-level-id", *id);
  }
  return format;
}

}  // namespace

std::optional<rtp::Codec> CodecOf(const Payload& payload) {
  // 64 to 95 with the marker bit look like RTCP on a multiplexed port (RFC 5761, 4).
  if (payload.type >= 64 && payload.type <= 95) return std::nullopt;
  constexpr std::array kTypes = {rtp::CodecType::kOpus, rtp::CodecType::kVp8, rtp::CodecType::kVp9,
                                 rtp::CodecType::kAv1, rtp::CodecType::kH264};
  for (const rtp::CodecType type : kTypes) {
    if (!EqualsIgnoreCase(payload.encoding, rtp::NameOf(type))) continue;
    if (payload.clock_rate != rtp::ClockRateOf(type)) return std::nullopt;
    rtp::Codec codec{.type = type};
    switch (type) {
      case rtp::CodecType::kOpus:  // Always two channels (RFC 7587, 7).
        return payload.channels == 2 ? std::optional(codec) : std::nullopt;
      case rtp::CodecType::kVp8:
        return codec;
      case rtp::CodecType::kVp9:
        codec.profile = ProfileParameter(payload, "profile-id").value_or(1);
        return codec.profile == 0 || codec.profile == 2 ? std::optional(codec) : std::nullopt;
      case rtp::CodecType::kAv1:
        codec.profile = ProfileParameter(payload, "profile").value_or(1);
        return codec.profile == 0 ? std::optional(codec) : std::nullopt;
      case rtp::CodecType::kH264:
        return H264Of(payload);
    }
  }
  return std::nullopt;
}

std::optional<uint8_t> AptOf(const Payload& payload) {
  if (!EqualsIgnoreCase(payload.encoding, "rtx")) return std::nullopt;
  if (payload.type >= 64 && payload.type <= 95) return std::nullopt;
  const auto apt = FormatParameter(payload.format, "apt");
  return apt ? ParseNumber<uint8_t>(*apt) : std::nullopt;
}

std::string AnswerFormat(const Payload& offered, const rtp::Codec& codec, bool we_receive) {
  switch (codec.type) {
    case rtp::CodecType::kOpus:
      return OpusFormat(offered, we_receive);
    case rtp::CodecType::kVp8:
      return "";  // max-fr and max-fs are what the offerer can decode (RFC 7741, 6.1).
    case rtp::CodecType::kVp9:
      return Keep(offered, {"profile-id"});
    case rtp::CodecType::kAv1:
      return Keep(offered, {"level-idx", "profile", "tier"});
    case rtp::CodecType::kH264:
      return H264Format(offered, codec);
  }
  return "";
}

}  // namespace vigil::sdp
