#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gateway/rtp/codec.h"
#include "gateway/rtp/header_extensions.h"

// What an offer and its answer agreed on, as plain values: made by sdp/, read by peer/ and sfu/.

namespace vigil::rtp {

struct PayloadMapping {
  uint8_t payload_type = 0;
  std::optional<uint8_t> rtx_payload_type;  // RFC 4588, apt = payload_type.
  Codec codec;

  bool operator==(const PayloadMapping&) const = default;
  template <typename F>
  void Fields(F&& f) {
    f(payload_type, rtx_payload_type, codec);
  }
};

// RTCP feedback of one m-line that both sides understand.
struct FeedbackOptions {
  bool nack = false;
  bool pli = false;
  bool fir = false;
  bool transport_cc = false;
  bool remb = false;
  bool reduced_size = false;  // a=rtcp-rsize (RFC 5506)
  // The client may ask for its round trip by receiver reference time (RFC 3611, 4.4), "rrtr".
  bool reference_time = false;

  bool operator==(const FeedbackOptions&) const = default;
  template <typename F>
  void Fields(F&& f) {
    f(nack, pli, fir, transport_cc, remb, reduced_size, reference_time);
  }
};

// A track that the client sends to us: one m-line of a WHIP offer.
struct ReceiveTrack {
  MediaKind kind = MediaKind::kAudio;
  std::string mid;
  std::vector<PayloadMapping> payloads;
  // Simulcast rids in the offerer's order (RFC 8853); empty without simulcast.
  std::vector<std::string> rids;
  // From a=ssrc and ssrc-group:FID where the offer has them; otherwise SSRCs are learned from mid
  // and rid extensions of authenticated packets.
  std::optional<uint32_t> ssrc;
  std::optional<uint32_t> rtx_ssrc;
  FeedbackOptions feedback;

  bool operator==(const ReceiveTrack&) const = default;
  template <typename F>
  void Fields(F&& f) {
    f(kind, mid, payloads, rids, ssrc, rtx_ssrc, feedback);
  }
};

// A track that we send: one m-line of a WHEP offer, one slot. Its SSRCs never change.
struct SendTrack {
  MediaKind kind = MediaKind::kAudio;
  std::string mid;
  std::vector<PayloadMapping> payloads;
  uint32_t ssrc = 0;
  uint32_t rtx_ssrc = 0;  // 0 without RTX.
  FeedbackOptions feedback;
  // Those of this m-line. Absent: all of the connection's.
  std::optional<ExtensionMap> extensions;

  bool operator==(const SendTrack&) const = default;
  template <typename F>
  void Fields(F&& f) {
    f(kind, mid, payloads, ssrc, rtx_ssrc, feedback, extensions);
  }
};

struct MediaParameters {
  ExtensionMap extensions;  // Of all m-lines together; what is received is read by it.
  std::vector<ReceiveTrack> receive;
  std::vector<SendTrack> send;
  // Our RTCP sender SSRC where no send track lends its own, and the CNAME of all we send.
  uint32_t local_ssrc = 1;
  std::string cname;

  bool operator==(const MediaParameters&) const = default;
  template <typename F>
  void Fields(F&& f) {
    f(extensions, receive, send, local_ssrc, cname);
  }
};

}  // namespace vigil::rtp
