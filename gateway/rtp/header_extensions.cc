#include "gateway/rtp/header_extensions.h"

#include <algorithm>

namespace vigil::rtp {
namespace {

// In the order of ExtensionType.
constexpr std::array<std::string_view, kExtensionTypeCount> kUris = {
    "urn:ietf:params:rtp-hdrext:sdes:mid",
    "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
    "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
    "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
    "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
    "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
    "urn:3gpp:video-orientation",
    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
};

constexpr bool IsAlphaNumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

// RFC 4566, 9: printable ASCII less separators.
constexpr bool IsTokenChar(char c) {
  if (IsAlphaNumeric(c)) return true;
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`{|}~";
  return kMarks.find(c) != std::string_view::npos;
}

constexpr bool IsRidChar(char c) { return IsAlphaNumeric(c) || c == '-' || c == '_'; }

template <typename Predicate>
bool IsName(std::string_view text, Predicate is_allowed) {
  return !text.empty() && text.size() <= kMaxStreamNameSize &&
         std::all_of(text.begin(), text.end(), is_allowed);
}

}  // namespace

std::string_view UriOf(ExtensionType type) {
  const auto i = static_cast<size_t>(type);
  return i < kUris.size() ? kUris[i] : std::string_view();
}

std::optional<ExtensionType> ExtensionFromUri(std::string_view uri) {
  for (size_t i = 0; i < kUris.size(); ++i) {
    if (kUris[i] == uri) return static_cast<ExtensionType>(i);
  }
  return std::nullopt;
}

bool ExtensionMap::Add(ExtensionType type, uint8_t id) {
  const auto i = static_cast<size_t>(type);
  if (id == 0 || id == 15 || i >= ids_.size()) return false;
  if (ids_[i] == id) return true;
  if (ids_[i] != 0 || TypeOf(id)) return false;
  ids_[i] = id;
  return true;
}

std::optional<ExtensionType> ExtensionMap::TypeOf(uint8_t id) const {
  if (id == 0) return std::nullopt;
  for (size_t i = 0; i < ids_.size(); ++i) {
    if (ids_[i] == id) return static_cast<ExtensionType>(i);
  }
  return std::nullopt;
}

ExtensionForm ExtensionMap::form() const {
  if (allow_mixed_) return ExtensionForm::kMixed;
  const bool wide =
      std::any_of(ids_.begin(), ids_.end(), [](uint8_t id) { return id > kMaxOneByteId; });
  return wide ? ExtensionForm::kTwoByte : ExtensionForm::kOneByte;
}

bool IsMid(std::string_view text) { return IsName(text, IsTokenChar); }

bool IsRid(std::string_view text) { return IsName(text, IsRidChar); }

bool HeaderExtensions::operator==(const HeaderExtensions& other) const {
  return mid == other.mid && rid == other.rid && repaired_rid == other.repaired_rid &&
         abs_send_time == other.abs_send_time && transport_sequence == other.transport_sequence &&
         audio_level == other.audio_level && playout_delay == other.playout_delay &&
         abs_capture_time == other.abs_capture_time &&
         video_orientation == other.video_orientation &&
         std::equal(dependency_descriptor.begin(), dependency_descriptor.end(),
                    other.dependency_descriptor.begin(), other.dependency_descriptor.end());
}

uint32_t ToAbsSendTime(NtpTime ntp) {
  // 32.32 to 6.18 fixed point: 14 fraction bits and 26 bits of seconds go.
  return static_cast<uint32_t>(ntp.value() >> 14) & 0xffffff;
}

}  // namespace vigil::rtp
