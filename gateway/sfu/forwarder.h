#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "gateway/base/drop_reason.h"
#include "gateway/base/sequence.h"
#include "gateway/base/time.h"
#include "gateway/rtp/track_packet.h"

namespace vigil::sfu {

// The counters of one outgoing SSRC, continued over any number of sources: sequence numbers
// without gap, timestamps that follow the clock, picture ids that count on. Knows one source at a
// time; packets from before the point where it took the source over are dropped.
class Forwarder {
 public:
  // `first_sequence` below 2^15, so that the first wrap is counted right by SRTP.
  Forwarder(rtp::MediaKind kind, uint16_t first_sequence, uint32_t first_timestamp);

  // To be restored into.
  Forwarder() : Forwarder(rtp::MediaKind::kAudio, 0, 0) {}

  // The slot carries another source from the next packet (sound) or keyframe (picture) on.
  // Nothing of the old source is forwarded any more.
  void Begin();
  // The slot carries nothing.
  void Stop() { phase_ = Phase::kIdle; }

  // Rewrites a packet of the current source, or says why it is not forwarded. Each source sequence
  // number must come at most once.
  std::optional<DropReason> Forward(const rtp::TrackPacket& packet, uint32_t clock_rate,
                                    Timestamp now, rtp::Rewrite& rewrite);

  // Numbers of missing packets are passed on, up to this many and one more for each packet that is
  // forwarded. What is wider, a leap, begins anew as another source would: behind the last number,
  // for picture with a keyframe. The sequence is the SRTP index too, and a receiver that gets
  // nothing of 32768 numbers has lost its rollover counter for good (RFC 3711, 3.3.1): this way no
  // publisher's leaps can bring it there before 15872 real packets in a row are lost. Higher: less.
  // Lower: an outage of the publisher's network, which is repaired or replaced by a keyframe as it
  // is, is not told from a leap; 1024 are three seconds at 3 Mb/s.
  static constexpr int64_t kMaxGap = 1024;

  // The packet that was to have this number was not sent. If it was the newest, the next one gets
  // the number, and begins anew: a sequence number that nobody used would run ahead of the SRTP
  // index for as long as nothing can be sent. Picture waits for a keyframe, since what was left out
  // cannot be repaired.
  void TakeBack(int64_t sequence);

  // Continues at `sequence` or later (takeover: above every index that may have been used).
  void SkipTo(int64_t sequence);

  // False if a restored state cannot be one of ours.
  bool IsConsistent() const;
  bool waiting() const { return phase_ == Phase::kWaiting; }
  int64_t next_sequence() const { return next_sequence_; }
  // What outgoing timestamps are above the current source's.
  int64_t timestamp_offset() const { return timestamp_offset_; }

  template <typename F>
  void Fields(F&& f) {
    f(kind_, phase_, next_sequence_, floor_, highest_in_, ranges_, range_count_, timestamp_offset_,
      last_timestamp_, last_sent_at_, picture_id_, tl0_, key_index_, frame_, gap_credit_);
  }

 private:
  enum class Phase : uint8_t { kIdle, kWaiting, kForwarding };
  // From source sequence `from` on, outgoing = source + offset.
  struct Range {
    int64_t from = 0;
    int64_t offset = 0;
    template <typename F>
    void Fields(F&& f) {
      f(from, offset);
    }
  };
  // One wrapping counter of a codec, carried over a switch.
  struct Counter {
    std::optional<int64_t> source;  // Of the newest packet, unwrapped.
    int64_t offset = 0;
    int64_t last = -1;  // Highest one sent.

    // `value` wraps at 2^bits; the result does not wrap. Values of the newest packet so far only
    // rise and those of a late one are at or below it, so that a gap, or a packet's delay, of up to
    // 2^bits pictures is told right, not of half as many.
    int64_t Map(uint16_t value, int bits, bool newest);
    // The next source starts behind the last value sent.
    void Leave() { source.reset(); }
    template <typename F>
    void Fields(F&& f) {
      f(source, offset, last);
    }
  };

  void TakeOver(const rtp::TrackPacket& packet, uint32_t clock_rate, Timestamp now);
  std::optional<int64_t> MapSequence(int64_t source) const;
  void DropFromStream(int64_t source);
  // Whether the numbers missing before `source`, the newest, can be passed on as missing.
  bool PassGap(int64_t source);
  void MapCounters(const rtp::TrackPacket& packet, bool newest, rtp::Rewrite& rewrite);

  // Reordering reaches back over at most this many deliberate drops.
  static constexpr size_t kMaxRanges = 16;

  rtp::MediaKind kind_;
  Phase phase_ = Phase::kIdle;
  int64_t next_sequence_;
  int64_t floor_ = 0;  // Source packets before this one are from before the take-over.
  int64_t highest_in_ = 0;
  std::array<Range, kMaxRanges> ranges_{};  // Ascending by `from`; the first range_count_ count.
  size_t range_count_ = 0;
  int64_t timestamp_offset_ = 0;
  int64_t last_timestamp_;  // Highest outgoing one.
  Timestamp last_sent_at_ = Timestamp::LongAgo();
  Counter picture_id_;
  Counter tl0_;
  Counter key_index_;
  Counter frame_;
  int64_t gap_credit_ = kMaxGap;  // Numbers that may be passed on as missing now.
};

}  // namespace vigil::sfu
