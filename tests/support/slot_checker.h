#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "gateway/base/sequence.h"
#include "gateway/base/time.h"
#include "gateway/rtp/packet.h"
#include "gateway/rtp/parameters.h"
#include "gateway/rtp/rtcp.h"
#include "gateway/sfu/command.h"
#include "gateway/stream/outbound_stream.h"
#include "tests/support/findings.h"
#include "tests/support/scripted_publisher.h"
#include "tests/support/stamped_payload.h"

namespace vigil::sim {

// What the control plane asked of a slot.
struct Assignment {
  FeedId feed;
  uint64_t generation = 0;  // Counts changes.
};

// How much of the truth about a source is blurred by its path.
struct SourceTruth {
  const ScriptedPublisher* publisher = nullptr;
  TimeDelta path;        // The longest way between the publisher and the gateway.
  bool in_order = true;  // Nothing is lost or overtaken on the way.
  bool leaps = false;    // The publisher leaves numbers out on purpose.
};

// Sees everything sent on one slot the moment it is sent, decrypted, and holds it against the
// truth: one continuous stream, of nothing but the assigned feed, with its payloads untouched.
class SlotChecker {
 public:
  SlotChecker(sfu::SlotKey key, const rtp::SendTrack& track, const rtp::ExtensionMap& negotiated,
              Findings& findings);

  void OnMedia(const rtp::PacketView& packet, const Assignment& assigned, const SourceTruth& truth,
               Timestamp now);
  void OnRetransmission(const rtp::PacketView& packet, Timestamp now);
  // `ntp_now` is the sender's own clock.
  void OnSenderReport(const rtp::SenderReport& report, const SourceTruth& truth, Timestamp now);
  // The owner died; its successor knows nothing later than `known`, and goes on at `least` or
  // later.
  void OnFault(int64_t least, Timestamp known);
  // So many packets of this slot got a number, but were not sent.
  void OnUnsent(uint64_t count) {
    slack_ += static_cast<int64_t>(count);
    gap_slack_ += static_cast<int64_t>(count);
    unsent_ += count;
  }

  const rtp::SendTrack& track() const { return track_; }
  uint64_t packets() const { return packets_; }
  uint64_t retransmissions() const { return retransmissions_; }
  uint64_t switches() const { return switches_; }
  // Sender report's capture time against the truth, positive when it claims too late.
  std::optional<TimeDelta> report_error() const { return report_error_; }
  std::optional<FeedId> carries() const {
    return segment_ ? std::optional(segment_->source.feed) : std::nullopt;
  }

 private:
  // A run of packets of one source under one mapping.
  struct Segment {
    PayloadStamp source;
    uint64_t generation = 0;
    Timestamp begun;
    int64_t first_out = 0;
    int64_t first_in = 0;
    int64_t most_dropped = 0;  // Padding taken out so far.
    int64_t highest_in = 0;
    bool after_fault = false;  // What was in flight then may come late.
    uint32_t timestamp_offset = 0;
    uint16_t picture_offset = 0;
    uint8_t tl0_offset = 0;
    uint16_t frame_offset = 0;
  };
  struct Counters {
    std::optional<uint16_t> picture_id;
    std::optional<uint8_t> tl0;
    std::optional<uint16_t> frame_number;
  };
  struct Sent {
    Timestamp at;
    std::vector<uint8_t> payload;
    uint32_t timestamp = 0;
    bool marker = false;
    uint8_t payload_index = 0;
  };

  void Add(Timestamp now, const std::string& what);
  bool Continues(const PayloadStamp& stamp, const Assignment& assigned) const;
  bool Leapt(const PayloadStamp& stamp, int64_t sequence, const SourceTruth& truth) const;
  void Begin(const PayloadStamp& stamp, int64_t sequence, Timestamp now);
  void CheckGap(int64_t sequence, Timestamp now);
  void CheckTimestampStep(uint32_t timestamp, Timestamp now);
  void CheckUnsentRepair(const rtp::PacketView& packet, int64_t sequence, Timestamp now);
  void CheckSequence(const PayloadStamp& stamp, int64_t sequence, const SourceTruth& truth,
                     Timestamp now);
  void CheckCounters(const PayloadStamp& stamp, const Counters& counters, bool begins,
                     Timestamp now);
  void CheckPayload(const PayloadStamp& stamp, rtp::CodecType codec,
                    std::span<const uint8_t> payload, Timestamp now);
  void CheckExtensions(const PayloadStamp& stamp, const rtp::HeaderExtensions& extensions,
                       const SourceTruth& truth, Timestamp now);
  static Counters CountersOf(rtp::CodecType codec, std::span<const uint8_t> payload,
                             std::span<const uint8_t> dependency);

  sfu::SlotKey key_;
  rtp::SendTrack track_;
  rtp::ExtensionMap negotiated_;
  Findings& findings_;
  SequenceUnwrapper sequences_;
  std::optional<Segment> segment_;
  int64_t highest_out_ = -1;
  uint32_t highest_timestamp_ = 0;
  TimeDelta longest_path_;  // Of the sources so far.
  Timestamp advanced_at_ = Timestamp::LongAgo();
  Counters highest_;
  std::map<int64_t, Sent> sent_;
  std::optional<int64_t> fault_;  // A jump to this or later is due.
  // Since a fault: what the dead owner sent last is unknown to its successor.
  bool timestamp_blurred_ = false;
  int counters_blurred_ = 0;  // A bit for each of picture id, TL0 and frame number.
  int64_t slack_ = 0;
  int64_t gap_slack_ = 0;
  int64_t gap_credit_ = 0;  // Set with the first packet.
  uint64_t unsent_ = 0;
  std::set<int64_t> repaired_;  // Numbers that were only ever sent by RTX.
  uint64_t packets_ = 0;
  uint64_t retransmissions_ = 0;
  uint64_t switches_ = 0;
  int64_t media_bytes_ = 0;
  int64_t retransmitted_bytes_ = 0;
  int64_t allowance_ = stream::OutboundStream::kRetransmissionBurst;
  std::optional<TimeDelta> report_error_;
};

}  // namespace vigil::sim
