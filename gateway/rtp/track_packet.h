#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "gateway/base/packet_pool.h"
#include "gateway/base/time.h"
#include "gateway/rtp/codec.h"
#include "gateway/rtp/header_extensions.h"
#include "gateway/rtp/payload.h"

namespace vigil::rtp {

// A span of time in units of an RTP clock, rounded towards zero.
constexpr int64_t ToRtpUnits(TimeDelta span, uint32_t clock_rate) {
  constexpr int64_t kSecond = 1'000'000'000;
  return span.ns() / kSecond * clock_rate + span.ns() % kSecond * clock_rate / kSecond;
}

// One packet of a feed's track as forwarding sees it: authentic, not a duplicate, RTX undone,
// counters unwrapped. Views point into `packet`, which is not changed any more.
struct TrackPacket {
  PacketRef packet;
  MediaKind kind = MediaKind::kAudio;
  Codec codec;
  uint8_t layer = 0;  // Index into the track's simulcast rids; 0 without simulcast.
  bool marker = false;
  // Counts the streams that this layer has had. Where it is another than before, the sender has
  // begun anew with another SSRC, and counters have nothing to do with earlier ones. On every
  // packet, because each may be the one that gets lost between workers.
  uint32_t generation = 0;
  int64_t sequence = 0;
  int64_t timestamp = 0;  // RTP units.
  std::span<const uint8_t> payload;
  PayloadView content;
  HeaderExtensions extensions;
  Timestamp received;  // Kernel receive stamp.
};

// A source's media clock on this node's clock: its RTP timestamp `rtp` was captured at `at`.
// Derived from sender reports; common to all tracks of one publisher, so that they stay in sync.
struct ClockMapping {
  Timestamp at = Timestamp::LongAgo();
  int64_t rtp = 0;  // Unwrapped source timestamp.
  // Q32.32 seconds, publisher's clock minus ours: what abs-capture-time needs when forwarded.
  int64_t publisher_clock_offset = 0;

  bool IsKnown() const { return !at.IsLongAgo(); }
  // Where the source's media clock stands at `t`.
  int64_t RtpAt(Timestamp t, uint32_t clock_rate) const {
    return rtp + ToRtpUnits(t - at, clock_rate);
  }
  template <typename F>
  void Fields(F&& f) {
    f(at, rtp, publisher_clock_offset);
  }
};

// How one subscriber's copy differs from the source packet.
struct Rewrite {
  uint8_t payload_index = 0;  // Into the slot's payload mappings.
  int64_t sequence = 0;       // Outgoing, unwrapped; also its SRTP index.
  uint32_t timestamp = 0;
  bool has_counters = false;
  PictureCounters counters;
  uint16_t frame_number = 0;  // AV1 dependency descriptor, if the packet has one.
  // As in ClockMapping; empty while the source's clock is not known.
  std::optional<int64_t> publisher_clock_offset;
  bool first_of_feed = false;  // The slot begins to carry this feed, or another layer of it.
};

}  // namespace vigil::rtp
