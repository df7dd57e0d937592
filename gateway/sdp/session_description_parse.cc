#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <utility>

#include "gateway/sdp/line.h"
#include "gateway/sdp/session_description.h"

namespace vigil::sdp {
namespace {

// What is wrong with a line, empty when nothing is. Parser::Run adds the line number.
using Complaint = std::string_view;

std::optional<Direction> DirectionFrom(std::string_view name) {
  for (const Direction d :
       {Direction::kSendRecv, Direction::kSendOnly, Direction::kRecvOnly, Direction::kInactive}) {
    if (name == NameOf(d)) return d;
  }
  return std::nullopt;
}

// RFC 8851, 10: letters, digits, hyphen and underscore.
bool IsRidId(std::string_view text) {
  return IsToken(text) && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                  c == '-' || c == '_';
         });
}

// "q;h,~h2;f" (RFC 8853, 5.1), or nothing when malformed.
std::optional<std::vector<SimulcastStream>> ParseSimulcastStreams(std::string_view list) {
  std::vector<SimulcastStream> streams;
  size_t rids = 0;
  for (std::string_view stream = NextWord(list, ';'); !stream.empty();
       stream = NextWord(list, ';')) {
    SimulcastStream& alternatives = streams.emplace_back();
    for (std::string_view id = NextWord(stream, ','); !id.empty(); id = NextWord(stream, ',')) {
      const bool paused = id.starts_with('~');
      if (paused) id.remove_prefix(1);
      if (!IsRidId(id) || ++rids > kMaxRids) return std::nullopt;
      alternatives.push_back({std::string(id), paused});
    }
    if (alternatives.empty()) return std::nullopt;
  }
  if (streams.empty()) return std::nullopt;
  return streams;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : lines_(text) {}

  absl::StatusOr<SessionDescription> Run();

 private:
  struct Attribute {
    std::string_view name;
    Complaint (Parser::*parse)(std::string_view value);
    // Also read before the first m= line, as a default for the m-sections.
    bool is_default = false;
  };
  static const std::array<Attribute, 22> kAttributes;

  Complaint ParseLine(const Line& line);
  Complaint ParseOrigin(std::string_view value);
  Complaint ParseMedia(std::string_view value);
  Complaint ParseFormats(std::string_view list);
  Complaint ParseAttribute(std::string_view text);
  bool InSection() const { return section_ != &defaults_; }
  void FinishSection();

  Complaint ParseGroup(std::string_view value);
  Complaint ParseIceLite(std::string_view value);
  Complaint ParseMid(std::string_view value);
  Complaint ParseSetup(std::string_view value);
  Complaint ParseFingerprintAttribute(std::string_view value);
  Complaint ParseExtension(std::string_view value);
  Complaint ParseAllowMixed(std::string_view value);
  Complaint ParseRtpMap(std::string_view value);
  Complaint ParseFormatParameters(std::string_view value);
  Complaint ParseFeedback(std::string_view value);
  Complaint ParseSsrc(std::string_view value);
  Complaint ParseSsrcGroup(std::string_view value);
  Complaint ParseMsid(std::string_view value);
  Complaint ParseRid(std::string_view value);
  Complaint ParseSimulcast(std::string_view value);
  Complaint ParseRtcpMux(std::string_view value);
  Complaint ParseReducedSize(std::string_view value);
  Complaint ParseBundleOnly(std::string_view value);
  template <Direction direction>
  Complaint ParseDirection(std::string_view value);

  // The payload that `rest` starts with, cut off; nullptr if the m= line does not list it.
  Payload* NextPayload(std::string_view& rest);

  LineReader lines_;
  SessionDescription description_;
  MediaSection defaults_;
  MediaSection* section_ = &defaults_;  // Where attributes go.
  std::optional<Direction> default_direction_;
  bool has_direction_ = false;                   // Whether this section has one of its own.
  std::array<Payload*, 128> payload_by_type_{};  // Of this section.
  std::vector<std::string> wildcard_feedback_;   // a=rtcp-fb:* of this section.
  std::set<std::string, std::less<>> mids_;
  bool has_origin_ = false;
};

const std::array<Parser::Attribute, 22> Parser::kAttributes = {{
    {"group", &Parser::ParseGroup, true},
    {"ice-lite", &Parser::ParseIceLite, true},
    {"mid", &Parser::ParseMid},
    {"setup", &Parser::ParseSetup, true},
    {"fingerprint", &Parser::ParseFingerprintAttribute, true},
    {"extmap", &Parser::ParseExtension, true},
    {"extmap-allow-mixed", &Parser::ParseAllowMixed, true},
    {"rtpmap", &Parser::ParseRtpMap},
    {"fmtp", &Parser::ParseFormatParameters},
    {"rtcp-fb", &Parser::ParseFeedback},
    {"ssrc", &Parser::ParseSsrc},
    {"ssrc-group", &Parser::ParseSsrcGroup},
    {"msid", &Parser::ParseMsid},
    {"rid", &Parser::ParseRid},
    {"simulcast", &Parser::ParseSimulcast},
    {"rtcp-mux", &Parser::ParseRtcpMux},
    {"rtcp-rsize", &Parser::ParseReducedSize},
    {"bundle-only", &Parser::ParseBundleOnly},
    {"sendrecv", &Parser::ParseDirection<Direction::kSendRecv>, true},
    {"sendonly", &Parser::ParseDirection<Direction::kSendOnly>, true},
    {"recvonly", &Parser::ParseDirection<Direction::kRecvOnly>, true},
    {"inactive", &Parser::ParseDirection<Direction::kInactive>, true},
}};

absl::StatusOr<SessionDescription> Parser::Run() {
  const std::optional<Line> first = lines_.Next();
  if (!first && !lines_.status().ok()) return lines_.status();
  if (!first || first->type != 'v' || first->value != "0") {
    return LineError(first ? first->number : 1, "a session description starts with v=0");
  }
  while (const std::optional<Line> line = lines_.Next()) {
    const Complaint complaint = ParseLine(*line);
    if (!complaint.empty()) return LineError(line->number, complaint);
  }
  if (!lines_.status().ok()) return lines_.status();
  FinishSection();
  if (!has_origin_) return absl::InvalidArgumentError("the description has no o= line");
  return std::move(description_);
}

Complaint Parser::ParseLine(const Line& line) {
  switch (line.type) {
    case 'o':
      return ParseOrigin(line.value);
    case 'm':
      return ParseMedia(line.value);
    case 'a':
      return ParseAttribute(line.value);
    default:
      return "";
  }
}

Complaint Parser::ParseOrigin(std::string_view value) {
  if (has_origin_) return "is a second o= line";
  has_origin_ = true;
  Origin& origin = description_.origin;
  origin.username = NextWord(value);
  origin.session_id = NextWord(value);
  origin.session_version = NextWord(value);
  const std::string_view network = NextWord(value);
  const std::string_view family = NextWord(value);
  const std::string_view host = NextWord(value);
  if (host.empty()) return "o= does not have six fields";
  origin.address.assign(network).append(" ").append(family).append(" ").append(host);
  return "";
}

Complaint Parser::ParseMedia(std::string_view value) {
  FinishSection();
  if (description_.media.size() >= kMaxMediaSections) return "there are more than 64 m= lines";
  const std::string_view media = NextWord(value);
  std::string_view ports = NextWord(value);  // "<port>/<number of ports>"
  const auto port = ParseNumber<uint16_t>(NextWord(ports, '/'));
  const std::string_view protocol = NextWord(value);
  if (!IsToken(media) || !port || protocol.empty()) {
    return "m= is not <media> <port> <protocol> <formats>";
  }
  section_ = &description_.media.emplace_back();
  section_->media = media;
  section_->port = *port;
  section_->protocol = protocol;
  return ParseFormats(value);
}

Complaint Parser::ParseFormats(std::string_view list) {
  size_t count = 0;
  for (std::string_view word = NextWord(list); !word.empty(); word = NextWord(list)) {
    if (++count > kMaxFormats) return "m= lists more than 128 formats";
    if (!section_->IsRtp()) {
      section_->formats.emplace_back(word);
      continue;
    }
    const auto type = ParseNumber<uint8_t>(word);
    if (!type || *type > 127) return "m= has a payload type that is not 0 to 127";
    const auto& payloads = section_->payloads;
    if (std::any_of(payloads.begin(), payloads.end(),
                    [&](const Payload& p) { return p.type == *type; })) {
      return "m= lists a payload type twice";
    }
    section_->payloads.emplace_back().type = *type;
  }
  if (count == 0) return "m= lists no format";
  for (Payload& payload : section_->payloads) payload_by_type_[payload.type] = &payload;
  return "";
}

// Applies what is only known at the end of a section.
void Parser::FinishSection() {
  if (InSection()) {
    MediaSection& section = *section_;
    for (Payload& payload : section.payloads) {
      for (const std::string& feedback : wildcard_feedback_) {
        auto& list = payload.feedback;
        if (std::find(list.begin(), list.end(), feedback) == list.end() &&
            list.size() < kMaxFeedbackPerPayload) {
          list.push_back(feedback);
        }
      }
    }
    if (section.ice.ufrag.empty()) section.ice.ufrag = defaults_.ice.ufrag;
    if (section.ice.password.empty()) section.ice.password = defaults_.ice.password;
    if (section.ice.options.empty()) section.ice.options = defaults_.ice.options;
    if (section.fingerprints.empty()) section.fingerprints = defaults_.fingerprints;
    if (!section.setup) section.setup = defaults_.setup;
    if (!has_direction_ && default_direction_) section.direction = *default_direction_;
    if (section.extensions.empty()) section.extensions = defaults_.extensions;
    section.extmap_allow_mixed |= defaults_.extmap_allow_mixed;
  } else {
    if (has_direction_) default_direction_ = defaults_.direction;
  }
  has_direction_ = false;
  payload_by_type_.fill(nullptr);
  wildcard_feedback_.clear();
}

Complaint Parser::ParseAttribute(std::string_view text) {
  const std::string_view name = text.substr(0, text.find(':'));
  const std::string_view value =
      name.size() < text.size() ? text.substr(name.size() + 1) : std::string_view();
  for (const Attribute& attribute : kAttributes) {
    if (attribute.name != name) continue;
    if (!InSection() && !attribute.is_default) return "";
    return (this->*attribute.parse)(value);
  }
  if (name == "rtcp-mux-only" && InSection()) return ParseRtcpMux(value);  // RFC 8858
  // The session level of a full description carries no candidates (RFC 8839, 5.1).
  if (!InSection() && (name == "candidate" || name == "end-of-candidates")) return "";
  return ParseIceAttribute(name, value, section_->ice).value_or("");
}

Complaint Parser::ParseGroup(std::string_view value) {
  if (InSection()) return "";
  if (description_.groups.size() >= kMaxGroups) return "there are more than 16 a=group lines";
  Group group;
  group.semantics = NextWord(value);
  if (!IsToken(group.semantics)) return "a=group names no semantics";
  for (std::string_view mid = NextWord(value); !mid.empty(); mid = NextWord(value)) {
    if (!IsToken(mid)) return "a=group has an identification tag that is not a token";
    if (group.mids.size() >= kMaxMediaSections) return "a=group lists more than 64 m-lines";
    group.mids.emplace_back(mid);
  }
  description_.groups.push_back(std::move(group));
  return "";
}

Complaint Parser::ParseIceLite(std::string_view) {
  description_.ice_lite = true;
  return "";
}

Complaint Parser::ParseMid(std::string_view value) {
  if (!section_->mid.empty()) return "is a second a=mid of one m-line";
  if (!IsToken(value)) return "a=mid is not a token of 1 to 64 characters";
  if (!mids_.emplace(value).second) return "a=mid is already that of another m-line";
  section_->mid = value;
  return "";
}

Complaint Parser::ParseSetup(std::string_view value) {
  for (const Setup setup : {Setup::kActPass, Setup::kActive, Setup::kPassive, Setup::kHoldConn}) {
    if (value != NameOf(setup)) continue;
    section_->setup = setup;
    return "";
  }
  return "a=setup is none of actpass, active, passive, holdconn";
}

Complaint Parser::ParseFingerprintAttribute(std::string_view value) {
  if (section_->fingerprints.size() >= kMaxFingerprints) {
    return "there are more than 8 a=fingerprint lines";
  }
  if (auto fingerprint = ParseFingerprint(value)) {
    section_->fingerprints.push_back(std::move(*fingerprint));
    return "";
  }
  // An offer may carry others too (RFC 8122, 5.1): that of a hash function that we do not take is
  // skipped, and so is not found by those who need one.
  const std::string_view hash = NextWord(value);
  for (const HashFunction known :
       {HashFunction::kSha256, HashFunction::kSha384, HashFunction::kSha512}) {
    if (EqualsIgnoreCase(hash, NameOf(known))) {
      return "a=fingerprint is not as many colon-separated hex bytes as its hash function has";
    }
  }
  return "";
}

Complaint Parser::ParseExtension(std::string_view value) {
  if (section_->extensions.size() >= kMaxExtensions) return "there are more than 64 a=extmap lines";
  std::string_view head = NextWord(value);
  HeaderExtension extension;
  const auto id = ParseNumber<uint16_t>(NextWord(head, '/'));
  if (!id || *id == 0) return "a=extmap does not start with an id of 1 or more";
  extension.id = *id;
  if (!head.empty()) {
    extension.direction = DirectionFrom(head.substr(1));
    if (!extension.direction) return "a=extmap has an unknown direction";
  }
  extension.uri = NextWord(value);
  if (extension.uri.empty()) return "a=extmap has no URI";
  for (const HeaderExtension& other : section_->extensions) {
    if (other.id == extension.id) return "a=extmap uses an id twice in one m-line";
  }
  section_->extensions.push_back(std::move(extension));
  return "";
}

Complaint Parser::ParseAllowMixed(std::string_view) {
  section_->extmap_allow_mixed = true;
  return "";
}

Payload* Parser::NextPayload(std::string_view& rest) {
  const auto type = ParseNumber<uint8_t>(NextWord(rest));
  return type && *type < payload_by_type_.size() ? payload_by_type_[*type] : nullptr;
}

Complaint Parser::ParseRtpMap(std::string_view value) {
  Payload* const payload = NextPayload(value);
  if (payload == nullptr) return "";
  std::string_view map = NextWord(value);
  const std::string_view encoding = NextWord(map, '/');
  const auto clock_rate = ParseNumber<uint32_t>(NextWord(map, '/'));
  const std::string_view channels_word = NextWord(map, '/');
  const auto channels =
      channels_word.empty() ? std::optional<uint8_t>(1) : ParseNumber<uint8_t>(channels_word);
  if (!IsToken(encoding) || !clock_rate || *clock_rate == 0 || !channels || *channels == 0) {
    return "a=rtpmap is not <payload type> <encoding>/<clock rate>[/<channels>]";
  }
  payload->encoding = encoding;
  payload->clock_rate = *clock_rate;
  payload->channels = *channels;
  return "";
}

Complaint Parser::ParseFormatParameters(std::string_view value) {
  Payload* const payload = NextPayload(value);
  if (payload == nullptr) return "";
  value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
  payload->format = value;
  return "";
}

Complaint Parser::ParseFeedback(std::string_view value) {
  const bool is_for_all = value.starts_with("* ");
  Payload* const payload = NextPayload(value);
  if (payload == nullptr && !is_for_all) return "";
  std::string feedback;
  for (std::string_view word = NextWord(value); !word.empty(); word = NextWord(value)) {
    if (!feedback.empty()) feedback += ' ';
    feedback += word;
  }
  if (feedback.empty()) return "a=rtcp-fb names no feedback";
  auto& list = is_for_all ? wildcard_feedback_ : payload->feedback;
  if (list.size() >= kMaxFeedbackPerPayload) {
    return "there are more than 16 a=rtcp-fb lines for one payload type";
  }
  list.push_back(std::move(feedback));
  return "";
}

Complaint Parser::ParseSsrc(std::string_view value) {
  const auto ssrc = ParseNumber<uint32_t>(NextWord(value));
  if (!ssrc) return "a=ssrc does not start with a 32-bit number";
  auto& ssrcs = section_->ssrcs;
  auto it = std::find_if(ssrcs.begin(), ssrcs.end(),
                         [&](const SsrcAttributes& s) { return s.ssrc == *ssrc; });
  if (it == ssrcs.end()) {
    if (ssrcs.size() >= kMaxSsrcs) return "an m-line has more than 64 SSRCs";
    it = ssrcs.insert(it, {*ssrc, "", ""});
  }
  value.remove_prefix(std::min<size_t>(value.size(), 1));
  if (value.starts_with("cname:")) it->cname = value.substr(6);
  if (value.starts_with("msid:")) it->msid = value.substr(5);
  return "";
}

Complaint Parser::ParseSsrcGroup(std::string_view value) {
  if (section_->ssrc_groups.size() >= kMaxSsrcGroups) {
    return "an m-line has more than 16 a=ssrc-group lines";
  }
  SsrcGroup group;
  group.semantics = NextWord(value);
  if (!IsToken(group.semantics)) return "a=ssrc-group names no semantics";
  for (std::string_view word = NextWord(value); !word.empty(); word = NextWord(value)) {
    const auto ssrc = ParseNumber<uint32_t>(word);
    if (!ssrc) return "a=ssrc-group has an SSRC that is not a 32-bit number";
    if (group.ssrcs.size() >= kMaxSsrcsPerGroup) return "a=ssrc-group lists more than 16 SSRCs";
    group.ssrcs.push_back(*ssrc);
  }
  section_->ssrc_groups.push_back(std::move(group));
  return "";
}

Complaint Parser::ParseMsid(std::string_view value) {
  if (section_->msids.size() >= kMaxMsids) return "an m-line has more than 16 a=msid lines";
  Msid msid;
  msid.stream = NextWord(value);
  msid.track = NextWord(value);
  if (msid.stream.empty()) return "a=msid names no stream";
  section_->msids.push_back(std::move(msid));
  return "";
}

Complaint Parser::ParseRid(std::string_view value) {
  if (section_->rids.size() >= kMaxRids) return "an m-line has more than 16 a=rid lines";
  Rid rid;
  rid.id = NextWord(value);
  const std::string_view direction = NextWord(value);
  if (!IsRidId(rid.id) || (direction != "send" && direction != "recv")) {
    return "a=rid is not <id> send|recv [<restrictions>]";
  }
  rid.sends = direction == "send";
  for (const Rid& other : section_->rids) {
    if (other.id == rid.id) return "a=rid uses an id twice in one m-line";
  }
  std::string_view parameters = NextWord(value);
  for (std::string_view parameter = NextWord(parameters, ';'); !parameter.empty();
       parameter = NextWord(parameters, ';')) {
    if (!parameter.starts_with("pt=")) {
      if (!rid.restrictions.empty()) rid.restrictions += ';';
      rid.restrictions += parameter;
      continue;
    }
    parameter.remove_prefix(3);
    for (std::string_view word = NextWord(parameter, ','); !word.empty();
         word = NextWord(parameter, ',')) {
      const auto type = ParseNumber<uint8_t>(word);
      if (!type || *type > 127) return "a=rid has a payload type that is not 0 to 127";
      if (rid.payload_types.size() >= kMaxFormats) return "a=rid lists over 128 payload types";
      rid.payload_types.push_back(*type);
    }
  }
  section_->rids.push_back(std::move(rid));
  return "";
}

Complaint Parser::ParseSimulcast(std::string_view value) {
  constexpr Complaint kMalformed = "a=simulcast is not send|recv <rids> [send|recv <rids>]";
  if (!section_->simulcast.IsEmpty()) return "is a second a=simulcast of one m-line";
  for (std::string_view word = NextWord(value); !word.empty(); word = NextWord(value)) {
    if (word != "send" && word != "recv") return kMalformed;
    auto streams = ParseSimulcastStreams(NextWord(value));
    auto& target = word == "send" ? section_->simulcast.send : section_->simulcast.receive;
    if (!streams || !target.empty()) return kMalformed;
    target = std::move(*streams);
  }
  return section_->simulcast.IsEmpty() ? kMalformed : "";
}

Complaint Parser::ParseRtcpMux(std::string_view) {
  section_->rtcp_mux = true;
  return "";
}

Complaint Parser::ParseReducedSize(std::string_view) {
  section_->rtcp_reduced_size = true;
  return "";
}

Complaint Parser::ParseBundleOnly(std::string_view) {
  section_->bundle_only = true;
  return "";
}

template <Direction direction>
Complaint Parser::ParseDirection(std::string_view) {
  section_->direction = direction;
  has_direction_ = true;
  return "";
}

}  // namespace

absl::StatusOr<SessionDescription> Parse(std::string_view text) { return Parser(text).Run(); }

}  // namespace vigil::sdp
