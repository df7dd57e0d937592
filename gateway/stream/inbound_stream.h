#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "gateway/base/drop_reason.h"
#include "gateway/base/sequence.h"
#include "gateway/base/time.h"
#include "gateway/rtp/packet.h"
#include "gateway/rtp/parameters.h"
#include "gateway/rtp/rtcp.h"
#include "gateway/rtp/track_packet.h"
#include "gateway/stream/loss_list.h"

namespace vigil::stream {

struct InboundStreamOptions {
  uint32_t ssrc = 0;
  rtp::MediaKind kind = rtp::MediaKind::kAudio;
  uint32_t clock_rate = 48000;
  // Ask for lost packets (generic NACK negotiated). They come by RTX or, where that was not
  // negotiated, as they were: SRTP takes a late packet that it has not seen.
  bool nack = false;

  template <typename F>
  void Fields(F&& f) {
    f(ssrc, kind, clock_rate, nack);
  }
};

// What one stream has received; plain counters, monotonic except where RTP says otherwise.
struct InboundCounters {
  uint64_t packets = 0;     // Each once, however it came.
  uint64_t bytes = 0;       // Payload only.
  uint64_t recovered = 0;   // Of the packets: came by RTX after they had been missed.
  uint64_t nacks_sent = 0;  // Sequence numbers asked for.
  // Lost: missing and not asked for any more, or overdue where nothing is asked for. A late one may
  // still come.
  uint64_t given_up = 0;
  uint64_t keyframes = 0;

  template <typename F>
  void Fields(F&& f) {
    f(packets, bytes, recovered, nacks_sent, given_up, keyframes);
  }
};

// One received RTP stream (one SSRC of one track and layer) with its RTX stream undone: counts,
// finds duplicates and gaps, says what to NACK, and reports on reception.
class InboundStream {
 public:
  explicit InboundStream(const InboundStreamOptions& options);

  struct Accepted {
    int64_t sequence = 0;
    int64_t timestamp = 0;
    bool newest = false;      // No later packet has been seen.
    bool lost_track = false;  // More was lost than can be asked for: only a keyframe helps.
  };
  // A packet of the stream itself, or (`recovered`) one restored from RTX, with the original
  // header fields. `received` drives jitter (RFC 3550, A.8).
  std::optional<DropReason> OnPacket(const rtp::PacketHeader& header, size_t payload_size,
                                     Timestamp received, bool recovered, Accepted& accepted);
  void OnKeyframe() { ++counters_.keyframes; }
  void OnSenderReport(const rtp::SenderReport& report, Timestamp now);

  // Appends sequence numbers to NACK now, at most `limit`; true if packets were given up, which
  // breaks a picture until the next keyframe.
  bool TakeNacks(Timestamp now, TimeDelta rtt, size_t limit, std::vector<uint16_t>& sequences);
  Timestamp NextDeadline() const { return losses_.NextDeadline(); }

  // The block for the next receiver report (RFC 3550, 6.4.1 and A.3); empty before any packet.
  std::optional<rtp::ReportBlock> MakeReportBlock(Timestamp now);

  // The unwrapped form of an RTP timestamp of this stream (a sender report's).
  int64_t UnwrapTimestamp(uint32_t timestamp) const { return timestamps_.Peek(timestamp); }
  bool has_packets() const { return sequences_.last().has_value(); }
  Timestamp last_packet_at() const { return last_arrival_; }
  // RFC 3550 interarrival jitter.
  TimeDelta jitter() const;
  const InboundStreamOptions& options() const { return options_; }
  const InboundCounters& counters() const { return counters_; }
  size_t missing() const { return losses_.size(); }

  struct State {
    InboundStreamOptions options;
    InboundCounters counters;
    SequenceUnwrapper sequences;
    RtpTimeUnwrapper timestamps;
    int64_t base_sequence = 0;
    int64_t highest = 0;
    uint64_t original_packets = 0;
    uint64_t reported_expected = 0;
    uint64_t reported_packets = 0;
    double jitter = 0;
    uint64_t recently_seen = 0;  // Bit n: highest - n was seen.
    Timestamp last_arrival = Timestamp::LongAgo();
    uint32_t last_sender_report = 0;
    Timestamp last_sender_report_at = Timestamp::LongAgo();
    template <typename F>
    void Fields(F&& f) {
      f(options, counters, sequences, timestamps, base_sequence, highest, original_packets,
        reported_expected, reported_packets, jitter, recently_seen, last_arrival,
        last_sender_report, last_sender_report_at);
    }
  };
  State Export() const;
  InboundStream(const State& state, Timestamp now);

 private:
  // Sequences older than this behind the newest are not told apart from duplicates.
  static constexpr int64_t kWindow = 2048;
  // Numbers that a packet may come late by before it counts as lost, in a stream without NACK. Not
  // more than a restored stream knows of. Sound that is later has been concealed long before.
  static constexpr int64_t kReorder = 63;

  // A bit for each sequence number modulo kWindow.
  class Window {
   public:
    bool Has(int64_t sequence) const { return (words_[Word(sequence)] & Bit(sequence)) != 0; }
    void Add(int64_t sequence) { words_[Word(sequence)] |= Bit(sequence); }
    void Remove(int64_t sequence) { words_[Word(sequence)] &= ~Bit(sequence); }
    void AddAll() { words_.fill(~uint64_t{0}); }

   private:
    static constexpr size_t Word(int64_t sequence) {
      return static_cast<size_t>(sequence & (kWindow - 1)) / 64;
    }
    static constexpr uint64_t Bit(int64_t sequence) { return uint64_t{1} << (sequence & 63); }
    std::array<uint64_t, kWindow / 64> words_{};
  };

  bool OnAdvance(int64_t sequence, Timestamp received);
  void GiveUpBefore(int64_t end);
  void OnOriginal(int64_t sequence, const rtp::PacketHeader& header, Timestamp received);
  void UpdateJitter(uint32_t timestamp, Timestamp received);

  InboundStreamOptions options_;
  InboundCounters counters_;
  SequenceUnwrapper sequences_;
  RtpTimeUnwrapper timestamps_;
  LossList losses_;
  Window seen_;
  Window by_rtx_only_;  // Of these: the original has not come.
  int64_t base_sequence_ = 0;
  int64_t highest_ = 0;
  uint64_t original_packets_ = 0;
  uint64_t reported_expected_ = 0;
  uint64_t reported_packets_ = 0;
  double jitter_ = 0;                    // RTP units.
  std::optional<int64_t> last_transit_;  // RTP units, of this node's clock: never exported.
  Timestamp last_arrival_ = Timestamp::LongAgo();
  uint32_t last_sender_report_ = 0;
  Timestamp last_sender_report_at_ = Timestamp::LongAgo();
};

}  // namespace vigil::stream
