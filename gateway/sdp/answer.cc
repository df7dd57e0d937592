#include "gateway/sdp/answer.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "gateway/sdp/line.h"
#include "gateway/sdp/payload_format.h"

namespace vigil::sdp {
namespace {

// For error texts: "m-line 2 (video, mid 1)".
std::string NameOfSection(const SessionDescription& offer, size_t index) {
  const MediaSection& section = offer.media[index];
  std::string name = "m-line " + std::to_string(index + 1) + " (" + section.media;
  if (!section.mid.empty()) name += ", mid " + section.mid;
  return name + ")";
}

// Any DTLS-SRTP profile an offerer may name for the same thing (RFC 8829, 5.1.2).
bool IsDtlsSrtp(std::string_view protocol) {
  constexpr std::array<std::string_view, 6> kProtocols = {"UDP/TLS/RTP/SAVPF", "TCP/DTLS/RTP/SAVPF",
                                                          "UDP/TLS/RTP/SAVP",  "TCP/DTLS/RTP/SAVP",
                                                          "RTP/SAVPF",         "RTP/SAVP"};
  return std::find(kProtocols.begin(), kProtocols.end(), protocol) != kProtocols.end();
}

// Whether two m-lines of one BUNDLE may both use a payload type for this (RFC 8843, 9.1): same
// codec, same configuration. Levels and wishes may differ.
bool IsSamePayload(const Payload& a, const Payload& b) {
  return EqualsIgnoreCase(a.encoding, b.encoding) && a.clock_rate == b.clock_rate &&
         a.channels == b.channels && CodecOf(a) == CodecOf(b) && AptOf(a) == AptOf(b);
}

// a=extmap's direction in the answer (RFC 8285, 5): ours is the mirror of the offerer's.
std::optional<Direction> Mirror(std::optional<Direction> direction) {
  if (direction == Direction::kSendOnly) return Direction::kRecvOnly;
  if (direction == Direction::kRecvOnly) return Direction::kSendOnly;
  return direction;
}

bool HasRtx(const std::vector<rtp::PayloadMapping>& payloads) {
  return std::any_of(payloads.begin(), payloads.end(),
                     [](const rtp::PayloadMapping& p) { return p.rtx_payload_type.has_value(); });
}

rtp::ExtensionMap MapOf(const MediaSection& section) {
  rtp::ExtensionMap map;
  map.set_allow_mixed(section.extmap_allow_mixed);
  for (const HeaderExtension& extension : section.extensions) {
    // As it was kept, so it fits.
    (void)map.Add(*rtp::ExtensionFromUri(extension.uri), static_cast<uint8_t>(extension.id));
  }
  return map;
}

RemoteFingerprints StrongestOf(const std::vector<Fingerprint>& fingerprints) {
  RemoteFingerprints strongest;
  for (const Fingerprint& fingerprint : fingerprints) {
    strongest.hash = std::max(strongest.hash, fingerprint.hash);
  }
  for (const Fingerprint& fingerprint : fingerprints) {
    if (fingerprint.hash != strongest.hash) continue;
    strongest.digest.insert(strongest.digest.end(), fingerprint.digest.begin(),
                            fingerprint.digest.end());
  }
  return strongest;
}

// How one m-line of the offer is answered.
struct AnsweredSection {
  MediaSection section;
  std::vector<rtp::PayloadMapping> payloads;
  rtp::FeedbackOptions feedback;
};

class AnswerMaker {
 public:
  AnswerMaker(const SessionDescription& offer, const AnswerOptions& options)
      : offer_(offer), options_(options) {}

  absl::StatusOr<Answer> Run();

 private:
  absl::Status CheckOffer();
  absl::Status CheckPayloadTypes();
  // Why an m-line cannot be carried; empty if it can, as far as its payload types allow.
  std::string_view ReasonToReject(const MediaSection& section) const;
  absl::Status AnswerSection(size_t index);
  void Reject(size_t index, std::string_view reason);
  absl::Status CheckAccepted(size_t index) const;
  absl::Status AddReceiveTrack(size_t index, AnsweredSection& answered);
  absl::Status AddSendTrack(AnsweredSection& answered);
  size_t GroupAccepted();
  absl::Status ReadRemoteTransport(size_t tagged);
  void WriteLocalTransport(size_t tagged);

  void KeepPayloads(const MediaSection& offered, bool with_rtx, AnsweredSection& answered) const;
  void KeepFeedback(const MediaSection& offered, AnsweredSection& answered) const;
  void KeepExtensions(const MediaSection& offered, MediaSection& section);
  bool AllowsMixed() const;
  void KeepSimulcast(const MediaSection& offered, MediaSection& section,
                     std::vector<std::string>& rids) const;
  bool IsBundled(std::string_view mid) const;
  const SendSsrcs* NextSendSsrcs() const;

  const SessionDescription& offer_;
  const AnswerOptions& options_;
  const Group* bundle_ = nullptr;
  Answer answer_;
  std::string rejections_;  // Why m-lines were rejected, for the case that nothing is left.
};

absl::StatusOr<Answer> AnswerMaker::Run() {
  if (absl::Status status = CheckOffer(); !status.ok()) return status;
  SessionDescription& description = answer_.description;
  description.origin.session_id = std::to_string(options_.session_id);
  description.origin.session_version = "1";
  description.ice_lite = true;
  answer_.media.local_ssrc = options_.local_ssrc;
  answer_.media.cname = options_.cname;
  for (size_t i = 0; i < offer_.media.size(); ++i) {
    if (absl::Status status = AnswerSection(i); !status.ok()) return status;
  }
  if (answer_.media.receive.empty() && answer_.media.send.empty()) {
    return absl::FailedPreconditionError("no m-line of the offer can be carried" + rejections_);
  }
  answer_.media.extensions.set_allow_mixed(AllowsMixed());
  const size_t tagged = GroupAccepted();
  if (absl::Status status = ReadRemoteTransport(tagged); !status.ok()) return status;
  WriteLocalTransport(tagged);
  return std::move(answer_);
}

absl::Status AnswerMaker::CheckOffer() {
  if (offer_.ice_lite) {
    // RFC 8445, 6.1.1 knows the case, but nobody would ever send a check.
    return absl::InvalidArgumentError("the offer is of an ICE-lite agent, and so is this gateway");
  }
  for (const Group& group : offer_.groups) {
    if (bundle_ == nullptr && group.semantics == "BUNDLE") bundle_ = &group;
  }
  if (bundle_ == nullptr) {
    return absl::InvalidArgumentError("the offer has no a=group:BUNDLE, which is required");
  }
  return CheckPayloadTypes();
}

// RFC 8843, 9.1: payload types are common to the m-lines of a BUNDLE.
absl::Status AnswerMaker::CheckPayloadTypes() {
  std::map<uint8_t, const Payload*> payloads;
  for (size_t i = 0; i < offer_.media.size(); ++i) {
    const MediaSection& section = offer_.media[i];
    if (!IsBundled(section.mid)) continue;
    for (const Payload& payload : section.payloads) {
      const auto [it, is_new] = payloads.emplace(payload.type, &payload);
      if (!is_new && !IsSamePayload(*it->second, payload)) {
        return absl::InvalidArgumentError(
            NameOfSection(offer_, i) + " uses payload type " + std::to_string(payload.type) +
            " for something else than an earlier m-line of its BUNDLE");
      }
    }
  }
  return absl::OkStatus();
}

std::string_view AnswerMaker::ReasonToReject(const MediaSection& section) const {
  if (!section.Kind()) return "is neither sound nor picture";
  if (!IsDtlsSrtp(section.protocol)) return "is not DTLS-SRTP";
  if (section.port == 0 && !section.bundle_only) return "is offered as rejected";
  if (!IsBundled(section.mid)) return "is not in the first BUNDLE group";
  if (options_.role == Role::kPublish && !Sends(section.direction)) return "does not send";
  if (options_.role == Role::kPlay && !Receives(section.direction)) return "does not receive";
  return "";
}

absl::Status AnswerMaker::AnswerSection(size_t index) {
  const MediaSection& offered = offer_.media[index];
  if (const std::string_view reason = ReasonToReject(offered); !reason.empty()) {
    Reject(index, reason);
    return absl::OkStatus();
  }
  AnsweredSection answered;
  MediaSection& section = answered.section;
  section.media = offered.media;
  section.protocol = offered.protocol;
  section.mid = offered.mid;
  const bool is_play = options_.role == Role::kPlay;
  section.direction = is_play ? Direction::kSendOnly : Direction::kRecvOnly;
  section.extmap_allow_mixed = offered.extmap_allow_mixed;
  section.rtcp_mux = true;
  section.rtcp_reduced_size = offered.rtcp_reduced_size;
  const SendSsrcs* const ssrcs = NextSendSsrcs();
  KeepPayloads(offered, !is_play || (ssrcs != nullptr && ssrcs->rtx_ssrc != 0), answered);
  if (section.payloads.empty()) {
    Reject(index, "has no codec that is carried here");
    return absl::OkStatus();
  }
  if (absl::Status status = CheckAccepted(index); !status.ok()) return status;
  KeepExtensions(offered, section);
  KeepFeedback(offered, answered);
  absl::Status status = is_play ? AddSendTrack(answered) : AddReceiveTrack(index, answered);
  if (!status.ok()) return status;
  answer_.description.media.push_back(std::move(section));
  return absl::OkStatus();
}

// a=extmap-allow-mixed is of the session in what browsers write, and may be of some m-lines only.
bool AnswerMaker::AllowsMixed() const {
  const auto& sections = answer_.description.media;
  return std::all_of(sections.begin(), sections.end(), [](const MediaSection& section) {
    return section.port == 0 || section.extmap_allow_mixed;
  });
}

// RFC 3264, 6: a rejected m-line keeps its place, its protocol and its formats.
void AnswerMaker::Reject(size_t index, std::string_view reason) {
  const MediaSection& offered = offer_.media[index];
  MediaSection section;
  section.media = offered.media;
  section.port = 0;
  section.protocol = offered.protocol;
  for (const Payload& payload : offered.payloads)
    section.payloads.emplace_back().type = payload.type;
  section.formats = offered.formats;
  section.mid = offered.mid;
  section.direction = Direction::kInactive;
  section.rtcp_mux = offered.rtcp_mux;
  answer_.description.media.push_back(std::move(section));
  if (rejections_.size() > 512) return;  // Enough said.
  rejections_ += rejections_.empty() ? ": " : ", ";
  rejections_ += NameOfSection(offer_, index) + " " + std::string(reason);
}

absl::Status AnswerMaker::CheckAccepted(size_t index) const {
  if (offer_.media[index].rtcp_mux) return absl::OkStatus();
  return absl::InvalidArgumentError(NameOfSection(offer_, index) +
                                    " has no a=rtcp-mux, which is required");
}

void AnswerMaker::KeepPayloads(const MediaSection& offered, bool with_rtx,
                               AnsweredSection& answered) const {
  const auto& allowed = options_.allowed_codecs;
  std::map<uint8_t, size_t> mapping_of;  // By payload type.
  for (const Payload& payload : offered.payloads) {
    const std::optional<rtp::Codec> codec = CodecOf(payload);
    if (!codec || rtp::KindOf(codec->type) != offered.Kind()) continue;
    if (std::find(allowed.begin(), allowed.end(), codec->type) == allowed.end()) continue;
    mapping_of[payload.type] = answered.payloads.size();
    answered.payloads.push_back({payload.type, std::nullopt, *codec});
  }
  // The answer keeps the offerer's order of all payload types, RTX in its place.
  for (const Payload& payload : offered.payloads) {
    Payload kept = payload;
    kept.feedback.clear();
    if (const auto it = mapping_of.find(payload.type); it != mapping_of.end()) {
      kept.format = AnswerFormat(payload, answered.payloads[it->second].codec,
                                 options_.role == Role::kPublish);
      answered.section.payloads.push_back(std::move(kept));
      continue;
    }
    const std::optional<uint8_t> apt = with_rtx ? AptOf(payload) : std::nullopt;
    const auto repaired = apt ? mapping_of.find(*apt) : mapping_of.end();
    if (repaired == mapping_of.end()) continue;
    rtp::PayloadMapping& mapping = answered.payloads[repaired->second];
    // RFC 4588, 8.6: an RTX stream has the clock of what it repairs.
    if (mapping.rtx_payload_type || payload.clock_rate != rtp::ClockRateOf(mapping.codec.type)) {
      continue;
    }
    mapping.rtx_payload_type = payload.type;
    kept.format = "apt=" + std::to_string(*apt);
    answered.section.payloads.push_back(std::move(kept));
  }
}

// Needs the extensions of the section: transport-cc is feedback about a header extension.
void AnswerMaker::KeepFeedback(const MediaSection& offered, AnsweredSection& answered) const {
  const auto& extensions = answered.section.extensions;
  const bool has_sequence =
      std::any_of(extensions.begin(), extensions.end(), [](const HeaderExtension& e) {
        return e.uri == rtp::UriOf(rtp::ExtensionType::kTransportSequence);
      });
  rtp::FeedbackOptions& options = answered.feedback;
  options.reduced_size = offered.rtcp_reduced_size;
  const auto offers = [&](uint8_t type) -> const std::vector<std::string>& {
    return std::find_if(offered.payloads.begin(), offered.payloads.end(),
                        [&](const Payload& p) { return p.type == type; })
        ->feedback;
  };
  for (Payload& payload : answered.section.payloads) {
    const std::vector<std::string>& list = offers(payload.type);
    const bool transport_cc =
        has_sequence && std::find(list.begin(), list.end(), "transport-cc") != list.end();
    for (const std::string& feedback : list) {
      bool* const option = feedback == "nack"                           ? &options.nack
                           : feedback == "nack pli"                     ? &options.pli
                           : feedback == "ccm fir"                      ? &options.fir
                           : feedback == "transport-cc" && transport_cc ? &options.transport_cc
                           : feedback == "goog-remb" && !transport_cc   ? &options.remb
                           : feedback == "rrtr"                         ? &options.reference_time
                                                                        : nullptr;
      if (option == nullptr) continue;
      *option = true;
      payload.feedback.push_back(feedback);
    }
  }
}

void AnswerMaker::KeepExtensions(const MediaSection& offered, MediaSection& section) {
  for (const HeaderExtension& extension : offered.extensions) {
    const std::optional<rtp::ExtensionType> type = rtp::ExtensionFromUri(extension.uri);
    if (!type || extension.id > 255) continue;
    const Direction direction = extension.direction.value_or(Direction::kSendRecv);
    const bool is_usable = options_.role == Role::kPublish ? Sends(direction) : Receives(direction);
    if (!is_usable) continue;
    const auto id = static_cast<uint8_t>(extension.id);
    rtp::ExtensionMap& map = answer_.media.extensions;
    // Ids are common to a BUNDLE (RFC 8843, 9.2), but aiortc numbers each m-line for itself. What
    // contradicts an earlier m-line is left out of this one, and so not used there.
    if (map.IdOf(*type) != id && !map.Add(*type, id)) continue;
    section.extensions.push_back({extension.id, extension.uri, Mirror(extension.direction)});
  }
}

// RFC 8853, 5.3.2: what is sent there is received here; streams and rids may be left out. Without
// the rid extension the layers could not be told apart, and one stream is all we ask for.
void AnswerMaker::KeepSimulcast(const MediaSection& offered, MediaSection& section,
                                std::vector<std::string>& rids) const {
  const std::string_view uri = rtp::UriOf(rtp::ExtensionType::kRid);
  if (std::none_of(section.extensions.begin(), section.extensions.end(),
                   [uri](const HeaderExtension& e) { return e.uri == uri; })) {
    return;
  }
  for (const SimulcastStream& stream : offered.simulcast.send) {
    SimulcastStream kept;
    for (const SimulcastRid& choice : stream) {
      const auto rid = std::find_if(offered.rids.begin(), offered.rids.end(),
                                    [&](const Rid& r) { return r.sends && r.id == choice.id; });
      if (rid == offered.rids.end() || rids.size() >= kMaxSimulcastLayers) continue;
      if (std::find(rids.begin(), rids.end(), choice.id) != rids.end()) continue;
      Rid mirrored = *rid;
      mirrored.sends = false;
      // RFC 8851, 6.2.1: only payload types that the answer keeps.
      std::erase_if(mirrored.payload_types, [&](uint8_t type) {
        return std::none_of(section.payloads.begin(), section.payloads.end(),
                            [&](const Payload& p) { return p.type == type; });
      });
      if (mirrored.payload_types.empty() != rid->payload_types.empty()) continue;
      kept.push_back(choice);
      rids.push_back(choice.id);
      section.rids.push_back(std::move(mirrored));
    }
    if (!kept.empty()) section.simulcast.receive.push_back(std::move(kept));
  }
}

absl::Status AnswerMaker::AddReceiveTrack(size_t index, AnsweredSection& answered) {
  const MediaSection& offered = offer_.media[index];
  const bool has_rtx = HasRtx(answered.payloads);
  rtp::ReceiveTrack track;
  track.kind = *offered.Kind();
  track.mid = offered.mid;
  track.payloads = std::move(answered.payloads);
  track.feedback = answered.feedback;
  for (const rtp::ReceiveTrack& other : answer_.media.receive) {
    if (other.kind != track.kind) continue;
    return absl::OutOfRangeError(NameOfSection(offer_, index) + " is a second " + offered.media +
                                 " m-line; a feed has one picture and one sound at most");
  }
  for (const SsrcGroup& group : offered.ssrc_groups) {
    // Its layers carry no rid, so they could only be told apart by guessing.
    if (group.semantics == "SIM") {
      return absl::OutOfRangeError(
          NameOfSection(offer_, index) +
          " offers simulcast by a=ssrc-group:SIM; use a=rid and a=simulcast (RFC 8853)");
    }
  }
  KeepSimulcast(offered, answered.section, track.rids);
  if (track.rids.empty() && !offered.ssrcs.empty()) {
    track.ssrc = offered.ssrcs.front().ssrc;
    for (const SsrcGroup& group : offered.ssrc_groups) {
      if (group.semantics != "FID" || group.ssrcs.size() != 2) continue;
      track.ssrc = group.ssrcs[0];
      if (has_rtx) track.rtx_ssrc = group.ssrcs[1];
      break;
    }
  }
  answer_.media.receive.push_back(std::move(track));
  return absl::OkStatus();
}

const SendSsrcs* AnswerMaker::NextSendSsrcs() const {
  const size_t next = answer_.media.send.size();
  return next < options_.send_ssrcs.size() ? &options_.send_ssrcs[next] : nullptr;
}

absl::Status AnswerMaker::AddSendTrack(AnsweredSection& answered) {
  const SendSsrcs* const ssrcs = NextSendSsrcs();
  if (ssrcs == nullptr) {
    return absl::OutOfRangeError("the offer asks for more than the " +
                                 std::to_string(options_.send_ssrcs.size()) +
                                 " tracks that can be sent to one client");
  }
  MediaSection& section = answered.section;
  const bool has_rtx = HasRtx(answered.payloads);
  rtp::SendTrack track{.kind = *section.Kind(),
                       .mid = section.mid,
                       .payloads = std::move(answered.payloads),
                       .ssrc = ssrcs->ssrc,
                       .rtx_ssrc = has_rtx ? ssrcs->rtx_ssrc : 0,
                       .feedback = answered.feedback,
                       .extensions = MapOf(section)};
  // A MediaStream for each slot: tracks of one stream would be lip-synced by the browser, and a
  // late picture would hold back the sound (and the other way round).
  const std::string name = "slot-" + std::to_string(answer_.media.send.size());
  section.msids.push_back({name, name});
  section.ssrcs.push_back({track.ssrc, options_.cname, name + " " + name});
  if (has_rtx) {
    section.ssrcs.push_back({track.rtx_ssrc, options_.cname, name + " " + name});
    section.ssrc_groups.push_back({"FID", {track.ssrc, track.rtx_ssrc}});
  }
  answer_.media.send.push_back(std::move(track));
  return absl::OkStatus();
}

bool AnswerMaker::IsBundled(std::string_view mid) const {
  return std::find(bundle_->mids.begin(), bundle_->mids.end(), mid) != bundle_->mids.end();
}

// The tagged m-section is the first of the offer's group that was accepted (RFC 8843, 7.3.2). When
// the offer's own tagged one is rejected, Chromium applies such an answer under every bundle policy
// but max-bundle, which cannot give up the m-section that its transport hangs on.
size_t AnswerMaker::GroupAccepted() {
  Group group{"BUNDLE", {}};
  size_t tagged = 0;
  for (const std::string& mid : bundle_->mids) {
    const auto it = std::find_if(offer_.media.begin(), offer_.media.end(),
                                 [&](const MediaSection& s) { return s.mid == mid; });
    const auto index = static_cast<size_t>(it - offer_.media.begin());
    if (it == offer_.media.end() || answer_.description.media[index].port == 0) continue;
    if (std::find(group.mids.begin(), group.mids.end(), mid) != group.mids.end()) continue;
    if (group.mids.empty()) tagged = index;
    group.mids.push_back(mid);
  }
  answer_.description.groups.push_back(std::move(group));
  return tagged;
}

absl::Status AnswerMaker::ReadRemoteTransport(size_t tagged) {
  size_t index = tagged;
  // A bundle-only m-section leaves the transport to the offerer's tagged one (RFC 8843, 7.2).
  if (offer_.media[tagged].ice.ufrag.empty()) {
    for (size_t i = 0; i < offer_.media.size(); ++i) {
      if (offer_.media[i].mid == bundle_->mids.front()) index = i;
    }
  }
  const MediaSection& remote = offer_.media[index];
  const std::string name = NameOfSection(offer_, index);
  if (remote.ice.ufrag.empty() || remote.ice.password.empty()) {
    return absl::InvalidArgumentError(name + " has no a=ice-ufrag or no a=ice-pwd");
  }
  if (remote.fingerprints.empty()) {
    return absl::InvalidArgumentError(name + " has no a=fingerprint of sha-256 or better");
  }
  // Without a=setup an offer means active (RFC 4145, 4).
  const Setup setup = remote.setup.value_or(Setup::kActive);
  if (setup != Setup::kActPass && setup != Setup::kActive) {
    return absl::InvalidArgumentError(name + " has a=setup:" + std::string(NameOf(setup)) +
                                      ", but the client must be the DTLS client: use actpass");
  }
  answer_.remote = {.ice_ufrag = remote.ice.ufrag,
                    .ice_password = remote.ice.password,
                    .fingerprint = StrongestOf(remote.fingerprints),
                    .trickle = remote.ice.HasOption("trickle"),
                    .renomination = remote.ice.HasOption("renomination")};
  return absl::OkStatus();
}

// RFC 8843, 7.3 wants all of this in the tagged m-section only. Credentials, fingerprint and setup
// are repeated in each, rejected ones too, as browsers do themselves: aiortc refuses an m-section
// without them.
void AnswerMaker::WriteLocalTransport(size_t tagged) {
  for (MediaSection& section : answer_.description.media) {
    section.ice.ufrag = options_.ice_ufrag;
    section.ice.password = options_.ice_password;
    // RFC 8445, 10: who follows it says so. An ICE-lite agent takes trickled candidates gladly: it
    // has no use for them.
    section.ice.options.emplace_back("ice2");
    if (answer_.remote.trickle) section.ice.options.emplace_back("trickle");
    section.fingerprints.push_back(options_.fingerprint);
    section.setup = Setup::kPassive;
  }
  IceAttributes& ice = answer_.description.media[tagged].ice;
  ice.candidates = options_.candidates;
  ice.end_of_candidates = true;
}

}  // namespace

absl::StatusOr<Answer> MakeAnswer(const SessionDescription& offer, const AnswerOptions& options) {
  return AnswerMaker(offer, options).Run();
}

}  // namespace vigil::sdp
