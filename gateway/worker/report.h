#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "gateway/base/drop_reason.h"
#include "gateway/base/histogram.h"
#include "gateway/base/strong_id.h"
#include "gateway/base/time.h"
#include "gateway/peer/media_receiver.h"
#include "gateway/peer/media_totals.h"
#include "gateway/peer/peer.h"
#include "gateway/sfu/event.h"
#include "gateway/stream/outbound_stream.h"

// A worker's counters and its peers' figures as values, copied out when asked for: nobody reads
// another thread's counters.

namespace vigil::worker {

struct WorkerCounters {
  uint64_t datagrams = 0;  // Everything that came in; each is in exactly one of the next five.
  uint64_t stun = 0;
  uint64_t dtls = 0;
  uint64_t rtcp = 0;
  uint64_t track_packets = 0;  // RTP that went on to the router.
  DropCounters ingress_drops;

  uint64_t relayed_in = 0;    // Track packets from other workers that went on to the router.
  uint64_t relayed_out = 0;   // Each is relayed_in, or in relay_drops, of another worker.
  uint64_t sent = 0;          // Deliveries that reached the outbox.
  DropCounters egress_drops;  // Deliveries that did not.
  // Packets that ended on arrival from another worker: no free packet, or no longer wanted; and
  // notes to other workers that found the ring full. (A packet that does is an egress drop.)
  DropCounters relay_drops;

  // Peers that are gone, by sfu::CloseReason.
  std::array<uint64_t, sfu::kCloseReasonCount> closed{};
};

// What a report tells of a peer in the peer's own words, for those who do not see peer/.
using PeerPhase = peer::Peer::Phase;
using ReceivedStream = peer::MediaReceiver::StreamReport;

struct PeerReport {
  PeerId peer;
  SiteId site;
  FeedId publishes;
  PeerPhase phase = PeerPhase::kConnecting;
  std::optional<ClientAddress> selected;
  std::optional<TimeDelta> publisher_round_trip;  // None: not measured yet.
  // When an authentic packet last came from it.
  Timestamp heard_at = Timestamp::LongAgo();
  std::vector<ReceivedStream> received;
  struct Sent {
    uint8_t slot = 0;
    FeedId feed;
    rtp::MediaKind kind = rtp::MediaKind::kAudio;
    uint32_t ssrc = 0;
    stream::OutboundCounters counters;
    std::optional<TimeDelta> round_trip;  // None: not measured yet.
    Timestamp confirmed_at = Timestamp::LongAgo();
    Timestamp last_sent_at = Timestamp::LongAgo();
    // Since when its feed flows, and what keeps it from flowing; neither if nothing is assigned.
    Timestamp flows_since = Timestamp::LongAgo();
    std::optional<DropReason> blocked;
  };
  std::vector<Sent> sent;
  // What came from the client, or was for it, and was dropped since it is here.
  uint64_t dropped = 0;
  std::optional<DropReason> last_drop;
  Timestamp last_drop_at = Timestamp::LongAgo();
};

// Which peers a report tells of, besides the worker's own counters: walking them is work that media
// has to wait for.
struct ReportScope {
  enum class Peers : uint8_t { kNone, kSome, kAll };
  Peers peers = Peers::kAll;
  std::vector<PeerId> some;  // With kSome; those that are not there are left out.
};

struct WorkerReport {
  WorkerCounters counters;
  DropCounters router_drops;
  uint64_t copies = 0;     // Packets times subscriptions.
  uint64_t delivered = 0;  // Of these, rewritten and handed to a peer or a relay.
  uint64_t subscriptions = 0;
  // What peers could not send of what is no delivery: retransmissions, RTCP, STUN, DTLS. Of those
  // that are gone, too.
  DropCounters send_drops;
  uint64_t pool_in_use = 0;
  uint64_t pool_capacity = 0;
  uint64_t peer_count = 0;
  // Of these: connected, by transport; the others are connecting.
  uint64_t connected_udp = 0;
  uint64_t connected_tcp = 0;
  peer::MediaTotals totals;
  DurationHistogram keyframe_wait;  // From a picture's assignment to its first packet.
  std::vector<PeerReport> peers;    // kAll: in the order of their ids.
};

}  // namespace vigil::worker
