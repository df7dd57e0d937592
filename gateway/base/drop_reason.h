#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace vigil {

// Why a datagram or a packet was dropped. One list for the whole node: it is the `reason` label
// of vigil_packets_dropped_total, and every run must satisfy in = forwarded + dropped by reason.
enum class DropReason : uint8_t {
  kMalformed,            // not a datagram of any protocol we speak, or cut short
  kOversized,            // longer than Packet::kMaxReceived
  kUnknownSource,        // no authenticated check ever came from this address
  kUnknownUfrag,         // a STUN check for a peer that is not here
  kStunUnauthenticated,  // bad or missing MESSAGE-INTEGRITY or FINGERPRINT
  kStunUnexpected,       // well-formed STUN that an ICE-lite responder has no use for
  kDtlsNotReady,         // SRTP before the handshake ended, or DTLS after it failed
  kDtlsError,            // a record libssl refused
  kSrtpAuth,             // authentication failed
  kSrtpReplay,           // replayed, or older than the replay window
  kUnknownSsrc,          // authentic, but of no negotiated stream
  kUnknownPayloadType,   // authentic, but of no negotiated payload type
  kDuplicate,            // the packet was here before (RTX and original both came)
  kTooOld,               // older than what can still be rewritten
  kPaddingOnly,          // a probe: fed to the estimator, of no use to a receiver
  kRtcpMalformed,        // an RTCP compound that does not parse
  kNoSubscriber,         // received, and nobody is subscribed (PARKED)
  kWaitingForKeyframe,   // the subscription has not begun: no keyframe yet
  kLayerNotWanted,       // another simulcast layer is being forwarded
  kCodecMismatch,        // the feed's codec is not one the slot was negotiated for
  kPeerNotConnected,     // the subscriber has no keys or no address yet
  kPoolExhausted,        // no free packet
  kQueueFull,            // a bounded queue (outbox, cross-worker ring) was full
  kSendFailed,           // the kernel refused to send it (no route, filtered, too long)
  kSrtpIndexReserve,     // outgoing SRTP index at its reserved limit (takeover safety)
  kWrongEpoch,           // edge datagram of another epoch
  kWrongGroup,           // edge datagram for a group that is not here
  kEdgeUnsupported,      // edge datagram of a version or type not spoken here
  kDraining,             // new peers are refused
  kStunReplay,           // a check that came from another address before
  kSrtpIndexMismatch,    // a packet's index is not the one that SRTP would take it for
  kPoolReserve,          // picture, when the packets left are for sound, checks and what comes in
  kAddressInUse,         // an authentic check, from an address that another peer is alive on
  kCount
};

constexpr size_t kDropReasonCount = static_cast<size_t>(DropReason::kCount);

// snake_case, as in the metric label.
std::string_view ToString(DropReason reason);

// Counters by reason; a plain struct that its owner fills and copies out.
struct DropCounters {
  void Add(DropReason reason, uint64_t n = 1) { counts[static_cast<size_t>(reason)] += n; }
  uint64_t Get(DropReason reason) const { return counts[static_cast<size_t>(reason)]; }
  DropCounters& operator+=(const DropCounters& other) {
    for (size_t i = 0; i < counts.size(); ++i) counts[i] += other.counts[i];
    return *this;
  }

  std::array<uint64_t, kDropReasonCount> counts{};

  template <typename F>
  void Fields(F&& f) {
    f(counts);
  }
};

}  // namespace vigil
