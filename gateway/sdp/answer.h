#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/rtp/codec.h"
#include "gateway/rtp/parameters.h"
#include "gateway/sdp/session_description.h"

// The answerer's half of offer/answer (RFC 3264, RFC 8829) for an ICE-lite gateway on one BUNDLE
// transport (RFC 8843), as a pure function.

namespace vigil::sdp {

enum class Role : uint8_t {
  kPublish,  // The client sends to us: WHIP.
  kPlay,     // The client receives from us: WHEP.
};

// More simulcast streams of one picture track than this are not accepted (the first ones are).
constexpr size_t kMaxSimulcastLayers = 4;

// The SSRCs of one track that we will send.
struct SendSsrcs {
  uint32_t ssrc = 0;
  uint32_t rtx_ssrc = 0;  // 0: this track is answered without RTX.
};

// What the answer says about us.
struct AnswerOptions {
  Role role = Role::kPublish;
  uint64_t session_id = 0;  // For o=; RFC 8829, 5.2.1 wants it below 2^63.
  std::string ice_ufrag;
  std::string ice_password;
  Fingerprint fingerprint;
  std::vector<Candidate> candidates;  // All of ours: the answer says end-of-candidates.
  // kPlay: the n-th accepted m-line sends with the n-th of these. It is also the limit: an offer
  // that wants more tracks is refused.
  std::vector<SendSsrcs> send_ssrcs;
  uint32_t local_ssrc = 1;  // Sender of our RTCP when no track of ours lends its SSRC.
  std::string cname;
  std::vector<rtp::CodecType> allowed_codecs = {rtp::CodecType::kOpus, rtp::CodecType::kVp8,
                                                rtp::CodecType::kVp9, rtp::CodecType::kAv1,
                                                rtp::CodecType::kH264};
};

// The fingerprints of the strongest hash function that an offer has any of. The client shows a
// certificate that has one of them (RFC 8122, 5).
struct RemoteFingerprints {
  HashFunction hash = HashFunction::kSha256;
  std::vector<uint8_t> digest;  // DigestSizeOf(hash) bytes of each, one behind the other.

  bool operator==(const RemoteFingerprints&) const = default;
  template <typename F>
  void Fields(F&& f) {
    f(hash, digest);
  }
};

// What the offer says about the other end of the transport. The DTLS roles are always the same:
// the client is the DTLS client, we are `a=setup:passive`.
struct RemoteTransport {
  std::string ice_ufrag;
  std::string ice_password;
  RemoteFingerprints fingerprint;
  bool trickle = false;       // More candidates may follow by PATCH (RFC 8838).
  bool renomination = false;  // The client would re-nominate; our answer does not take it up.

  bool operator==(const RemoteTransport&) const = default;
  template <typename F>
  void Fields(F&& f) {
    f(ice_ufrag, ice_password, fingerprint, trickle, renomination);
  }
};

struct Answer {
  SessionDescription description;
  rtp::MediaParameters media;
  RemoteTransport remote;
};

// Errors are one sentence, fit for a response body:
//   InvalidArgument     the offer breaks a rule of WebRTC, or lacks BUNDLE, rtcp-mux, ICE
//                       credentials or a fingerprint. HTTP: 400.
//   FailedPrecondition  the offer is well-formed, but none of it, or not as much as it asks, can
//                       be carried: no common codec, a second picture, SSRC-based simulcast, more
//                       tracks than send_ssrcs. HTTP: 406 from WHIP and WHEP (RFC 9725, 4.2), 422
//                       where the API has no 406.
absl::StatusOr<Answer> MakeAnswer(const SessionDescription& offer, const AnswerOptions& options);

}  // namespace vigil::sdp
