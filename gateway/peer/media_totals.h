#pragma once

#include <cstdint>

#include "gateway/base/histogram.h"
#include "gateway/rtp/codec.h"

namespace vigil::peer {

// What went in and out of all peers of one worker since it began, those that are gone among them.
// Counted where it happens, because a peer takes its own counters with it.
struct MediaTotals {
  struct Flow {
    uint64_t packets = 0;  // RTP. In: each once, however it came. Out: without retransmissions.
    uint64_t bytes = 0;    // Of these, from the RTP header to the end of the payload.
    // Interarrival jitter (RFC 3550, 6.4.1) as of each report: ours about what comes in, the
    // clients' about what went out.
    DurationHistogram jitter;
  };
  struct Direction {
    Flow audio;
    Flow video;
    // Sequence numbers asked for again: by us of a publisher, or by a client of us.
    uint64_t nacks = 0;
    // Keyframe requests (PLI and FIR): sent by us to a publisher, or by a client to us.
    uint64_t keyframe_requests = 0;
    // Packets that never came, as far as it is known.
    uint64_t lost = 0;

    Flow& Of(rtp::MediaKind kind) { return kind == rtp::MediaKind::kAudio ? audio : video; }
  };
  Direction in;                // From publishers, and what we ask of them.
  Direction out;               // To receivers, and what they ask of us.
  uint64_t retransmitted = 0;  // Packets sent again.
};

}  // namespace vigil::peer
