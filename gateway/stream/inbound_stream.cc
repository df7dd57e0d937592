#include "gateway/stream/inbound_stream.h"

#include <algorithm>
#include <cmath>

namespace vigil::stream {

InboundStream::InboundStream(const InboundStreamOptions& options) : options_(options) {}

std::optional<DropReason> InboundStream::OnPacket(const rtp::PacketHeader& header,
                                                  size_t payload_size, Timestamp received,
                                                  bool recovered, Accepted& accepted) {
  accepted = {};
  const bool first = !has_packets();
  // RTX repairs what is missing; before the first original packet nothing is.
  if (first && recovered) return DropReason::kTooOld;
  const int64_t sequence = sequences_.Peek(header.sequence);
  if (first) {
    base_sequence_ = sequence;
    highest_ = sequence - 1;
  }
  if (sequence <= highest_ - kWindow) return DropReason::kTooOld;
  // RTX of what this side has never missed: a probe by retransmission, or a hostile sender.
  if (recovered && sequence > highest_) return DropReason::kTooOld;
  if (!recovered) OnOriginal(sequence, header, received);
  accepted.newest = sequence > highest_;
  if (!accepted.newest && seen_.Has(sequence)) return DropReason::kDuplicate;
  if (accepted.newest && !first) accepted.lost_track = !OnAdvance(sequence, received);
  seen_.Add(sequence);
  if (recovered) by_rtx_only_.Add(sequence);
  // What was given up, or lies before the first packet, is of no use any more but does no harm.
  if (losses_.OnArrival(sequence) && recovered) ++counters_.recovered;
  if (accepted.newest) {
    highest_ = sequence;
    sequences_.Unwrap(header.sequence);
    accepted.timestamp = timestamps_.Unwrap(header.timestamp);
  } else {
    accepted.timestamp = timestamps_.Peek(header.timestamp);
  }
  accepted.sequence = sequence;
  ++counters_.packets;
  counters_.bytes += payload_size;
  return std::nullopt;
}

// Counts for the reports. RFC 3550, A.3 counts what arrives, late packets and duplicates too, so
// that duplicates hide losses. Here each number counts once: a packet is lost if its original never
// comes, also when the first ones come in disorder, and whatever a retransmission repaired.
void InboundStream::OnOriginal(int64_t sequence, const rtp::PacketHeader& header,
                               Timestamp received) {
  UpdateJitter(header.timestamp, received);
  last_arrival_ = received;
  if (sequence <= highest_ && seen_.Has(sequence) && !by_rtx_only_.Has(sequence)) return;
  by_rtx_only_.Remove(sequence);
  base_sequence_ = std::min(base_sequence_, sequence);
  ++original_packets_;
}

// Opens the gap, if any, in front of a new highest packet. False if it is too wide to be repaired.
bool InboundStream::OnAdvance(int64_t sequence, Timestamp received) {
  const int64_t first = highest_ + 1;
  if (!options_.nack) GiveUpBefore(sequence - kReorder);
  for (int64_t s = std::max(first, sequence - kWindow + 1); s <= sequence; ++s) {
    seen_.Remove(s);
    by_rtx_only_.Remove(s);
  }
  if (!options_.nack || sequence == first) return true;
  const size_t on_list = losses_.size();
  if (losses_.OnGap(first, sequence, received)) return true;
  counters_.given_up += on_list + static_cast<uint64_t>(sequence - first);
  return false;
}

// Nobody asks for what is missing of a stream without NACK: it is lost when it is overdue.
void InboundStream::GiveUpBefore(int64_t end) {
  for (int64_t s = std::max(base_sequence_, highest_ - kReorder); s < end && s <= highest_; ++s) {
    if (!seen_.Has(s)) ++counters_.given_up;
  }
  if (end > highest_ + 1) counters_.given_up += static_cast<uint64_t>(end - highest_ - 1);
}

void InboundStream::UpdateJitter(uint32_t timestamp, Timestamp received) {
  // RFC 3550, A.8, in RTP units modulo 2^32.
  const int64_t arrival = rtp::ToRtpUnits(TimeDelta::Nanos(received.ns()), options_.clock_rate);
  const int64_t transit = arrival - static_cast<int64_t>(timestamp);
  if (last_transit_) {
    const auto difference = static_cast<int32_t>(static_cast<uint32_t>(transit - *last_transit_));
    // A source that restarts its clock would otherwise poison the filter for a minute.
    if (std::abs(static_cast<double>(difference)) < 10.0 * options_.clock_rate) {
      jitter_ += (std::abs(static_cast<double>(difference)) - jitter_) / 16.0;
    }
  }
  last_transit_ = transit;
}

void InboundStream::OnSenderReport(const rtp::SenderReport& report, Timestamp now) {
  last_sender_report_ = report.ntp.Compact();
  last_sender_report_at_ = now;
}

bool InboundStream::TakeNacks(Timestamp now, TimeDelta rtt, size_t limit,
                              std::vector<uint16_t>& sequences) {
  const size_t before = sequences.size();
  const size_t given_up = losses_.TakeDue(now, rtt, limit, sequences);
  counters_.nacks_sent += sequences.size() - before;
  counters_.given_up += given_up;
  return given_up > 0;
}

std::optional<rtp::ReportBlock> InboundStream::MakeReportBlock(Timestamp now) {
  if (!has_packets()) return std::nullopt;
  const auto expected = static_cast<uint64_t>(highest_ - base_sequence_ + 1);
  const auto lost = static_cast<int64_t>(expected) - static_cast<int64_t>(original_packets_);
  const uint64_t expected_now = expected - reported_expected_;
  const int64_t lost_now = static_cast<int64_t>(expected_now) -
                           static_cast<int64_t>(original_packets_ - reported_packets_);
  reported_expected_ = expected;
  reported_packets_ = original_packets_;

  rtp::ReportBlock block;
  block.ssrc = options_.ssrc;
  if (expected_now > 0 && lost_now > 0) {
    block.fraction_lost = static_cast<uint8_t>(
        std::min<int64_t>(255, (lost_now << 8) / static_cast<int64_t>(expected_now)));
  }
  block.cumulative_lost = static_cast<int32_t>(std::clamp<int64_t>(lost, -0x800000, 0x7fffff));
  block.extended_highest_sequence = static_cast<uint32_t>(highest_);
  block.jitter = static_cast<uint32_t>(jitter_);
  block.last_sender_report = last_sender_report_;
  if (last_sender_report_ != 0) {
    block.delay_since_last_report = rtp::ToCompactNtp(now - last_sender_report_at_);
  }
  return block;
}

TimeDelta InboundStream::jitter() const {
  return TimeDelta::FromSeconds(jitter_ / options_.clock_rate);
}

InboundStream::State InboundStream::Export() const {
  State state{.options = options_,
              .counters = counters_,
              .sequences = sequences_,
              .timestamps = timestamps_,
              .base_sequence = base_sequence_,
              .highest = highest_,
              .original_packets = original_packets_,
              .reported_expected = reported_expected_,
              .reported_packets = reported_packets_,
              .jitter = jitter_,
              .last_arrival = last_arrival_,
              .last_sender_report = last_sender_report_,
              .last_sender_report_at = last_sender_report_at_};
  if (!has_packets()) return state;
  for (int64_t n = 0; n < 64; ++n) {
    if (seen_.Has(highest_ - n)) state.recently_seen |= uint64_t{1} << n;
  }
  return state;
}

// Of the packets before the export only the last 64 are told apart: those that were missing are
// asked for again; older ones count as seen, so that one of these which comes late is lost.
InboundStream::InboundStream(const State& state, Timestamp now)
    : options_(state.options),
      counters_(state.counters),
      sequences_(state.sequences),
      timestamps_(state.timestamps),
      base_sequence_(state.base_sequence),
      highest_(state.highest),
      original_packets_(state.original_packets),
      reported_expected_(state.reported_expected),
      reported_packets_(state.reported_packets),
      jitter_(state.jitter),
      last_arrival_(state.last_arrival),
      last_sender_report_(state.last_sender_report),
      last_sender_report_at_(state.last_sender_report_at) {
  if (!has_packets()) return;
  seen_.AddAll();
  for (int64_t n = 63; n >= 0; --n) {
    const int64_t sequence = highest_ - n;
    if ((state.recently_seen >> n & 1) != 0 || sequence < base_sequence_) continue;
    seen_.Remove(sequence);
    if (options_.nack) losses_.OnGap(sequence, sequence + 1, now);
  }
}

}  // namespace vigil::stream
