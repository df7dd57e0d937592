#include "gateway/sdp/session_description.h"

#include <array>
#include <initializer_list>
#include <utility>

namespace vigil::sdp {
namespace {

constexpr std::array<std::string_view, 4> kDirectionNames = {"sendrecv", "sendonly", "recvonly",
                                                             "inactive"};
constexpr std::array<std::string_view, 4> kSetupNames = {"actpass", "active", "passive",
                                                         "holdconn"};
constexpr std::array<std::string_view, 3> kHashNames = {"sha-256", "sha-384", "sha-512"};
constexpr std::array<size_t, 3> kDigestSizes = {32, 48, 64};

std::optional<uint8_t> HexDigit(char c) {
  if (c >= '0' && c <= '9') return static_cast<uint8_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<uint8_t>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<uint8_t>(c - 'A' + 10);
  return std::nullopt;
}

void Append(std::string& out, std::initializer_list<std::string_view> parts) {
  for (const std::string_view part : parts) out += part;
}

void AppendLine(std::string& out, std::initializer_list<std::string_view> parts) {
  Append(out, parts);
  out += "\r\n";
}

void WritePayload(const Payload& payload, std::string& out) {
  const std::string type = std::to_string(payload.type);
  if (!payload.encoding.empty()) {
    Append(out,
           {"a=rtpmap:", type, " ", payload.encoding, "/", std::to_string(payload.clock_rate)});
    if (payload.channels != 1) Append(out, {"/", std::to_string(payload.channels)});
    out += "\r\n";
  }
  for (const std::string& feedback : payload.feedback) {
    AppendLine(out, {"a=rtcp-fb:", type, " ", feedback});
  }
  if (!payload.format.empty()) AppendLine(out, {"a=fmtp:", type, " ", payload.format});
}

void WriteSsrcs(const MediaSection& section, std::string& out) {
  for (const SsrcGroup& group : section.ssrc_groups) {
    Append(out, {"a=ssrc-group:", group.semantics});
    for (const uint32_t ssrc : group.ssrcs) Append(out, {" ", std::to_string(ssrc)});
    out += "\r\n";
  }
  for (const SsrcAttributes& ssrc : section.ssrcs) {
    const std::string number = std::to_string(ssrc.ssrc);
    AppendLine(out, {"a=ssrc:", number, " cname:", ssrc.cname});
    if (!ssrc.msid.empty()) AppendLine(out, {"a=ssrc:", number, " msid:", ssrc.msid});
  }
}

void WriteRid(const Rid& rid, std::string& out) {
  Append(out, {"a=rid:", rid.id, rid.sends ? " send" : " recv"});
  std::string_view separator = " ";
  if (!rid.payload_types.empty()) {
    std::string_view before = " pt=";
    for (const uint8_t type : rid.payload_types) {
      Append(out, {before, std::to_string(type)});
      before = ",";
    }
    separator = ";";
  }
  if (!rid.restrictions.empty()) Append(out, {separator, rid.restrictions});
  out += "\r\n";
}

void WriteSimulcastStreams(const std::vector<SimulcastStream>& streams, std::string& out) {
  for (size_t i = 0; i < streams.size(); ++i) {
    for (size_t k = 0; k < streams[i].size(); ++k) {
      Append(out, {k > 0   ? ","
                   : i > 0 ? ";"
                           : "",
                   streams[i][k].paused ? "~" : "", streams[i][k].id});
    }
  }
}

void WriteSimulcast(const Simulcast& simulcast, std::string& out) {
  if (simulcast.IsEmpty()) return;
  out += "a=simulcast:";
  if (!simulcast.send.empty()) {
    out += "send ";
    WriteSimulcastStreams(simulcast.send, out);
  }
  if (!simulcast.receive.empty()) {
    out += simulcast.send.empty() ? "recv " : " recv ";
    WriteSimulcastStreams(simulcast.receive, out);
  }
  out += "\r\n";
}

void WriteMediaLine(const MediaSection& section, std::string& out) {
  Append(out, {"m=", section.media, " ", std::to_string(section.port), " ", section.protocol});
  for (const Payload& payload : section.payloads) Append(out, {" ", std::to_string(payload.type)});
  for (const std::string& format : section.formats) Append(out, {" ", format});
  // With ICE the address is that of a candidate; this is the one RFC 8829, 5.2.1 prescribes.
  out += "\r\nc=IN IP4 0.0.0.0\r\n";
}

void WriteSection(const MediaSection& section, std::string& out) {
  WriteMediaLine(section, out);
  WriteIceAttributes(section.ice, out);
  for (const Fingerprint& fingerprint : section.fingerprints) {
    AppendLine(out, {"a=fingerprint:", WriteFingerprint(fingerprint)});
  }
  if (section.setup) AppendLine(out, {"a=setup:", NameOf(*section.setup)});
  if (!section.mid.empty()) AppendLine(out, {"a=mid:", section.mid});
  if (section.bundle_only) AppendLine(out, {"a=bundle-only"});
  if (section.extmap_allow_mixed) AppendLine(out, {"a=extmap-allow-mixed"});
  for (const HeaderExtension& extension : section.extensions) {
    Append(out, {"a=extmap:", std::to_string(extension.id)});
    if (extension.direction) Append(out, {"/", NameOf(*extension.direction)});
    AppendLine(out, {" ", extension.uri});
  }
  AppendLine(out, {"a=", NameOf(section.direction)});
  for (const Msid& msid : section.msids) {
    AppendLine(out, {"a=msid:", msid.stream, msid.track.empty() ? "" : " ", msid.track});
  }
  if (section.rtcp_mux) AppendLine(out, {"a=rtcp-mux"});
  if (section.rtcp_reduced_size) AppendLine(out, {"a=rtcp-rsize"});
  for (const Payload& payload : section.payloads) WritePayload(payload, out);
  WriteSsrcs(section, out);
  for (const Rid& rid : section.rids) WriteRid(rid, out);
  WriteSimulcast(section.simulcast, out);
}

}  // namespace

std::string_view NameOf(Direction direction) {
  return kDirectionNames[static_cast<size_t>(direction)];
}

std::string_view NameOf(Setup setup) { return kSetupNames[static_cast<size_t>(setup)]; }

std::string_view NameOf(HashFunction hash) { return kHashNames[static_cast<size_t>(hash)]; }

size_t DigestSizeOf(HashFunction hash) { return kDigestSizes[static_cast<size_t>(hash)]; }

std::optional<Fingerprint> ParseFingerprint(std::string_view text) {
  const std::string_view name = NextWord(text);
  std::string_view digits = NextWord(text);
  Fingerprint fingerprint;
  size_t index = 0;
  while (index < kHashNames.size() && !EqualsIgnoreCase(name, kHashNames[index])) ++index;
  if (index == kHashNames.size()) return std::nullopt;
  fingerprint.hash = static_cast<HashFunction>(index);
  if (digits.size() != 3 * DigestSizeOf(fingerprint.hash) - 1) return std::nullopt;
  for (size_t i = 0; i < digits.size(); i += 3) {
    const auto high = HexDigit(digits[i]);
    const auto low = HexDigit(digits[i + 1]);
    if (!high || !low || (i + 2 < digits.size() && digits[i + 2] != ':')) return std::nullopt;
    fingerprint.digest.push_back(static_cast<uint8_t>(*high << 4 | *low));
  }
  return fingerprint;
}

std::string WriteFingerprint(const Fingerprint& fingerprint) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";  // Upper case: RFC 8122, 5.
  std::string out(NameOf(fingerprint.hash));
  char separator = ' ';
  for (const uint8_t byte : fingerprint.digest) {
    out += separator;
    out += kDigits[byte >> 4];
    out += kDigits[byte & 0xf];
    separator = ':';
  }
  return out;
}

std::optional<std::string_view> FormatParameter(std::string_view format, std::string_view name) {
  for (std::string_view pair = NextWord(format, ';'); !pair.empty(); pair = NextWord(format, ';')) {
    std::string_view value = pair;
    std::string_view key = NextWord(value, '=');
    key = NextWord(key);  // Blanks around a name are common.
    if (!EqualsIgnoreCase(key, name)) continue;
    value.remove_prefix(value.empty() ? 0 : 1);
    while (value.ends_with(' ')) value.remove_suffix(1);
    return value;
  }
  return std::nullopt;
}

std::optional<rtp::MediaKind> MediaSection::Kind() const {
  if (media == "audio") return rtp::MediaKind::kAudio;
  if (media == "video") return rtp::MediaKind::kVideo;
  return std::nullopt;
}

std::string Write(const SessionDescription& description) {
  const Origin& origin = description.origin;
  std::string out;
  AppendLine(out, {"v=0"});
  AppendLine(out, {"o=", origin.username, " ", origin.session_id, " ", origin.session_version, " ",
                   origin.address});
  AppendLine(out, {"s=-"});
  AppendLine(out, {"t=0 0"});
  for (const Group& group : description.groups) {
    Append(out, {"a=group:", group.semantics});
    for (const std::string& mid : group.mids) Append(out, {" ", mid});
    out += "\r\n";
  }
  if (description.ice_lite) AppendLine(out, {"a=ice-lite"});
  for (const MediaSection& section : description.media) WriteSection(section, out);
  return out;
}

}  // namespace vigil::sdp
