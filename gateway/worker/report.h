#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "gateway/base/drop_reason.h"
#include "gateway/base/strong_id.h"
#include "gateway/base/time.h"
#include "gateway/peer/media_receiver.h"
#include "gateway/peer/peer.h"
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
};

struct PeerReport {
  PeerId peer;
  SiteId site;
  FeedId publishes;
  peer::Peer::Phase phase = peer::Peer::Phase::kConnecting;
  std::optional<ClientAddress> selected;
  TimeDelta publisher_round_trip;
  std::vector<peer::MediaReceiver::StreamReport> received;
  struct Sent {
    uint8_t slot = 0;
    FeedId feed;
    rtp::MediaKind kind = rtp::MediaKind::kAudio;
    uint32_t ssrc = 0;
    stream::OutboundCounters counters;
    TimeDelta round_trip;
    Timestamp confirmed_at = Timestamp::LongAgo();
    Timestamp last_sent_at = Timestamp::LongAgo();
  };
  std::vector<Sent> sent;
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
  std::vector<PeerReport> peers;
};

}  // namespace vigil::worker
