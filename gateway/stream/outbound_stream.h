#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gateway/base/packet_pool.h"
#include "gateway/base/sequence.h"
#include "gateway/base/time.h"
#include "gateway/rtp/packet.h"
#include "gateway/rtp/parameters.h"
#include "gateway/rtp/rtcp.h"
#include "gateway/rtp/track_packet.h"
#include "gateway/stream/round_trip.h"

namespace vigil::stream {

struct OutboundCounters {
  uint64_t packets = 0;  // Composed, without retransmissions.
  uint64_t bytes = 0;    // Payload only.
  uint64_t retransmitted = 0;
  uint64_t retransmitted_bytes = 0;
  uint64_t nacked = 0;        // Sequence numbers the receiver asked for.
  uint64_t nack_missed = 0;   // Of these: no longer, or never, in the history.
  uint64_t nack_refused = 0;  // Of these: asked again too early, too often, or over the budget.
  // From the receiver's reports.
  int32_t reported_lost = 0;  // May fall, after a takeover.
  uint8_t reported_fraction_lost = 0;
  uint32_t reported_jitter = 0;   // RTP units.
  uint32_t reported_highest = 0;  // Extended sequence number.
  // Packets that have a number of the stream but were not sent: no free packet, no room in a queue,
  // refused by SRTP. Gaps to the receiver; those that were composed can be retransmitted.
  uint64_t unsent = 0;
  // The most that a report called lost, and no more than was sent: it never falls.
  uint64_t most_lost = 0;

  template <typename F>
  void Fields(F&& f) {
    f(packets, bytes, retransmitted, retransmitted_bytes, nacked, nack_missed, nack_refused,
      reported_lost, reported_fraction_lost, reported_jitter, reported_highest, unsent, most_lost);
  }
};

// How long packets are kept for retransmission. A receiver that asks after a second has given the
// frame up. When more than half of the pool is in use a quarter of that has to do, and above two
// thirds nothing is kept: before three quarters, where copies of picture are refused, so that
// histories alone never fill the pool so far.
inline constexpr TimeDelta kLongestHistory = TimeDelta::Millis(1000);
TimeDelta HistoryFor(const PacketPool& pool);

// What is the same for every packet of one peer, and what is drawn for each.
struct ComposeContext {
  const rtp::ExtensionMap& extensions;
  rtp::WallClock wall_clock;
  Timestamp now;
  std::optional<uint16_t> transport_sequence;
  TimeDelta history = kLongestHistory;
};

// The sending half of a slot: one SSRC and its RTX SSRC, both fixed for the slot's life. Composes
// each packet from its source and keeps what is needed to compose it again when it is NACKed; the
// source's bytes are shared with all other receivers of the same packet.
class OutboundStream {
 public:
  static constexpr size_t kMaxHistory = 2048;
  // Retransmissions may not outweigh the media, but for this burst: a hostile receiver cannot make
  // us send more than twice its due.
  static constexpr int64_t kRetransmissionBurst = 60'000;  // Bytes.

  // `first_rtx_sequence` must be below 2^15, so that the first wrap is counted right by SRTP.
  OutboundStream(const rtp::SendTrack& track, uint16_t first_rtx_sequence);

  // Composes the packet `rewrite` makes of `source` into `out` (whole, unprotected) and remembers
  // it. False, and nothing is remembered, if it would not fit.
  bool Compose(const rtp::TrackPacket& source, const rtp::Rewrite& rewrite,
               const ComposeContext& context, Packet& out);

  // A packet that was to go out did not.
  void OnUnsent() { ++counters_.unsent; }

  // Whether the receiver's wish for `sequence` will be met. Counts a wish that will not: the packet
  // is not in the history, was retransmitted half a round trip ago, or the budget is used up.
  bool MayRetransmit(uint16_t sequence, Timestamp now);
  // Composes the RTX packet (RFC 4588) for `sequence` into `out`, under next_rtx_sequence(). Call
  // MayRetransmit before.
  bool Retransmit(uint16_t sequence, const ComposeContext& context, Packet& out);
  // That packet was protected: its number is used up. One that was refused leaves its number to the
  // next, so that numbers never run ahead of the SRTP index.
  void OnRetransmitted(uint16_t sequence, Timestamp now);

  // A report block about track().ssrc. It confirms that the track arrives if its highest sequence
  // number has risen: receivers go on reporting for seconds after the last packet.
  void OnReportBlock(const rtp::ReportBlock& block, Timestamp now, rtp::WallClock wall_clock);
  // The receiver confirmed by transport-wide feedback that this track arrives.
  void OnConfirmed(Timestamp now) { confirmed_at_ = now; }
  // The source's media clock in outgoing timestamps, from now on; an unknown one ends reports.
  void SetClock(const rtp::ClockMapping& clock) { clock_ = clock; }
  // Empty until something was sent and the source's clock is known.
  std::optional<rtp::SenderReportFields> MakeSenderReport(Timestamp now,
                                                          rtp::WallClock wall_clock) const;
  // Releases what is older than `history`, and its memory when nothing is left. Call at least once
  // a second while idle.
  void Expire(Timestamp now, TimeDelta history = kLongestHistory);
  bool has_history() const { return oldest_ < newest_; }

  const rtp::SendTrack& track() const { return track_; }
  const OutboundCounters& counters() const { return counters_; }
  const RoundTrip& round_trip() const { return round_trip_; }
  // When the receiver last confirmed that packets of this track arrive.
  Timestamp confirmed_at() const { return confirmed_at_; }
  Timestamp last_sent_at() const { return last_sent_at_; }
  // The SRTP index of the next retransmission.
  int64_t next_rtx_sequence() const { return next_rtx_sequence_; }
  // After a fault the new owner continues above every index the old one may have used.
  void SkipRtxTo(int64_t sequence) { next_rtx_sequence_ = std::max(next_rtx_sequence_, sequence); }

  struct State {
    rtp::SendTrack track;
    OutboundCounters counters;
    RoundTrip round_trip;
    int64_t next_rtx_sequence = 0;
    rtp::ClockMapping clock;
    uint8_t payload_index = 0;
    Timestamp confirmed_at = Timestamp::LongAgo();
    Timestamp last_sent_at = Timestamp::LongAgo();
    int64_t retransmission_credit = kRetransmissionBurst;
    template <typename F>
    void Fields(F&& f) {
      f(track, counters, round_trip, next_rtx_sequence, clock, payload_index, confirmed_at,
        last_sent_at, retransmission_credit);
    }
  };
  State Export() const;
  explicit OutboundStream(const State& state);

 private:
  // One packet as it was sent. Offsets are into the source's bytes.
  struct Sent {
    PacketRef source;
    int64_t sequence = -1;
    Timestamp sent_at;
    Timestamp retransmitted_at = Timestamp::LongAgo();
    uint32_t timestamp = 0;
    uint16_t payload_offset = 0;
    uint16_t payload_size = 0;
    uint16_t dependency_offset = 0;
    uint8_t dependency_size = 0;
    uint8_t payload_index = 0;
    uint8_t retransmissions = 0;
    bool marker = false;
    bool low_delay = false;  // Carries the playout-delay extension.
    bool has_counters = false;
    rtp::PictureCounters counters;
    uint16_t frame_number = 0;
    std::optional<rtp::AudioLevel> audio_level;
    std::optional<uint8_t> video_orientation;
    std::optional<rtp::AbsCaptureTime> abs_capture_time;
  };

  Sent Record(const rtp::TrackPacket& source, const rtp::Rewrite& rewrite, Timestamp now) const;
  rtp::PacketHeader HeaderOf(const Sent& sent) const;
  rtp::PacketHeader RtxHeaderOf(const Sent& sent) const;
  // Both return the length so far, 0 if it does not fit.
  size_t WriteHead(const rtp::PacketHeader& header, const Sent& sent, const ComposeContext& context,
                   Packet& out) const;
  static size_t WritePayload(const Sent& sent, const rtp::Descriptor& descriptor, size_t at,
                             Packet& out);
  static std::span<const uint8_t> PayloadOf(const Sent& sent);
  rtp::HeaderExtensions ExtensionsOf(const Sent& sent, const ComposeContext& context,
                                     std::span<uint8_t> dependency) const;
  void Remember(Sent sent);
  void DropOld(Timestamp now, TimeDelta history);
  Sent* Find(uint16_t sequence);
  void Grow();
  Sent& At(int64_t sequence) {
    return history_[static_cast<size_t>(sequence) & (history_.size() - 1)];
  }

  rtp::SendTrack track_;
  OutboundCounters counters_;
  RoundTrip round_trip_;
  int64_t next_rtx_sequence_;
  int64_t retransmission_credit_ = kRetransmissionBurst;
  rtp::ClockMapping clock_;
  uint8_t payload_index_ = 0;  // Of the last packet sent.
  Timestamp confirmed_at_ = Timestamp::LongAgo();
  Timestamp last_sent_at_ = Timestamp::LongAgo();
  // Indexed by sequence; a power of two that doubles with the stream's rate, empty while idle.
  std::vector<Sent> history_;
  int64_t oldest_ = 0;
  int64_t newest_ = 0;  // One past the newest.
};

}  // namespace vigil::stream
