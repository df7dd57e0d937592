#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "gateway/rtp/ntp_time.h"

namespace vigil::rtp {

// The header extensions the gateway reads or writes.
enum class ExtensionType : uint8_t {
  kMid,                // urn:ietf:params:rtp-hdrext:sdes:mid (RFC 8843)
  kRid,                // urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id (RFC 8852)
  kRepairedRid,        // urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id (RFC 8852)
  kAbsSendTime,        // http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
  kTransportSequence,  // http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
  kAudioLevel,         // urn:ietf:params:rtp-hdrext:ssrc-audio-level (RFC 6464)
  kPlayoutDelay,       // http://www.webrtc.org/experiments/rtp-hdrext/playout-delay
  kAbsCaptureTime,     // http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time
  kVideoOrientation,   // urn:3gpp:video-orientation
  // https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension
  kDependencyDescriptor,
  kCount
};
constexpr size_t kExtensionTypeCount = static_cast<size_t>(ExtensionType::kCount);

std::string_view UriOf(ExtensionType type);
std::optional<ExtensionType> ExtensionFromUri(std::string_view uri);

// How the elements of a packet are written (RFC 8285, 4.1). A receiver that did not say
// a=extmap-allow-mixed may take one form only.
enum class ExtensionForm : uint8_t {
  kOneByte,  // What does not fit, over 16 bytes, is left out.
  kTwoByte,
  kMixed,  // One-byte where it fits, packet by packet.
};

// Which id stands for which extension on one peer; BUNDLE makes ids common to all its m-lines
// (RFC 8843, 9). Ids are 1..255; those over 14 need the two-byte form (RFC 8285).
class ExtensionMap {
 public:
  // False, and nothing changes, if the id is 0, 15, or taken by another type, or if the type has
  // another id already.
  bool Add(ExtensionType type, uint8_t id);
  // 0 when the extension was not negotiated.
  uint8_t IdOf(ExtensionType type) const { return ids_[static_cast<size_t>(type)]; }
  bool Has(ExtensionType type) const { return IdOf(type) != 0; }
  std::optional<ExtensionType> TypeOf(uint8_t id) const;
  // a=extmap-allow-mixed was agreed on.
  void set_allow_mixed(bool allow_mixed) { allow_mixed_ = allow_mixed; }
  bool allow_mixed() const { return allow_mixed_; }
  // Without allow_mixed one id over 14 puts every packet into the two-byte form.
  ExtensionForm form() const;

  bool operator==(const ExtensionMap&) const = default;
  template <typename F>
  void Fields(F&& f) {
    f(ids_, allow_mixed_);
  }

 private:
  std::array<uint8_t, kExtensionTypeCount> ids_{};
  bool allow_mixed_ = false;
};

struct AudioLevel {
  bool voice = false;
  uint8_t level = 127;  // -dBov, 127 is digital silence (RFC 6464).
  bool operator==(const AudioLevel&) const = default;
};

struct PlayoutDelay {
  uint16_t min_10ms = 0;  // Units of 10 ms, 12 bits on the wire.
  uint16_t max_10ms = 0;
  bool operator==(const PlayoutDelay&) const = default;
};

struct AbsCaptureTime {
  NtpTime capture_time;  // In the capturer's clock.
  // Q32.32 seconds: capturer's clock minus the sender's NTP clock, if the sender knows it.
  std::optional<int64_t> clock_offset;
  bool operator==(const AbsCaptureTime&) const = default;
};

constexpr uint8_t kMaxOneByteId = 14;

// The longest mid or rid that is read or written. More would not fit the one-byte form, and
// libwebrtc neither sends nor accepts more; a longer or non-token value counts as absent.
constexpr size_t kMaxStreamNameSize = 16;
// A mid: an RFC 4566 token of at most kMaxStreamNameSize bytes (RFC 5888, 4).
bool IsMid(std::string_view text);
// A rid: letters, digits, '-' and '_', at most kMaxStreamNameSize of them (RFC 8851, 10).
bool IsRid(std::string_view text);

// The mandatory fields (AV1 RTP specification, A.8.2); a shorter descriptor counts as absent.
constexpr size_t kMinDependencyDescriptorSize = 3;

// The values of one packet. Views point into the packet.
struct HeaderExtensions {
  std::string_view mid;                   // Empty when absent.
  std::string_view rid;                   // Empty when absent.
  std::string_view repaired_rid;          // Empty when absent.
  std::optional<uint32_t> abs_send_time;  // 24 bits, 6.18 fixed point seconds.
  std::optional<uint16_t> transport_sequence;
  std::optional<AudioLevel> audio_level;
  std::optional<PlayoutDelay> playout_delay;
  std::optional<AbsCaptureTime> abs_capture_time;
  std::optional<uint8_t> video_orientation;
  // Empty when absent; otherwise kMinDependencyDescriptorSize to 255 raw bytes.
  std::span<const uint8_t> dependency_descriptor;

  // Compares values, also those that views point to.
  bool operator==(const HeaderExtensions& other) const;
};

// 24-bit 6.18 seconds of an NTP time, as abs-send-time carries it.
uint32_t ToAbsSendTime(NtpTime ntp);

}  // namespace vigil::rtp
