#include "gateway/stream/outbound_stream.h"

#include <algorithm>
#include <array>
#include <utility>

#include "gateway/base/check.h"
#include "gateway/stream/publisher_clock.h"

namespace vigil::stream {
namespace {

constexpr size_t kFirstHistory = 64;
// A receiver asks again when the retransmission was lost too; more often is not repair.
constexpr uint8_t kMaxRetransmissions = 10;
// The playout-delay extension goes out with each keyframe and with every packet of the first
// moments, so that a lost first packet cannot leave the receiver at its default delay.
constexpr uint64_t kLowDelayPackets = 100;
// 0 to 100 ms: selects libwebrtc's low-latency rendering and keeps decode pacing (max 0 ends it).
constexpr rtp::PlayoutDelay kPlayoutDelay{.min_10ms = 0, .max_10ms = 10};

}  // namespace

TimeDelta HistoryFor(const PacketPool& pool) {
  if (pool.IsOverTwoThirds()) return TimeDelta::Zero();
  return pool.IsOverHalf() ? kLongestHistory / 4 : kLongestHistory;
}

OutboundStream::OutboundStream(const rtp::SendTrack& track, uint16_t first_rtx_sequence)
    : track_(track), next_rtx_sequence_(first_rtx_sequence) {
  VIGIL_CHECK(first_rtx_sequence < 0x8000);
}

bool OutboundStream::Compose(const rtp::TrackPacket& source, const rtp::Rewrite& rewrite,
                             const ComposeContext& context, Packet& out) {
  Sent sent = Record(source, rewrite, context.now);
  const size_t head = WriteHead(HeaderOf(sent), sent, context, out);
  const size_t size = head == 0 ? 0 : WritePayload(sent, source.content.descriptor, head, out);
  if (size == 0) return false;
  out.size = static_cast<uint16_t>(size);
  ++counters_.packets;
  counters_.bytes += sent.payload_size;
  retransmission_credit_ =
      std::min(retransmission_credit_ + sent.payload_size, kRetransmissionBurst);
  payload_index_ = sent.payload_index;
  last_sent_at_ = context.now;
  DropOld(context.now, context.history);
  const bool keep = track_.rtx_ssrc != 0 && track_.feedback.nack;
  if (keep && context.history > TimeDelta::Zero()) Remember(std::move(sent));
  return true;
}

OutboundStream::Sent OutboundStream::Record(const rtp::TrackPacket& source,
                                            const rtp::Rewrite& rewrite, Timestamp now) const {
  const uint8_t* base = source.packet->data.data();
  Sent sent;
  sent.source = source.packet;
  sent.sequence = rewrite.sequence;
  sent.sent_at = now;
  sent.timestamp = rewrite.timestamp;
  sent.payload_offset = static_cast<uint16_t>(source.payload.data() - base);
  sent.payload_size = static_cast<uint16_t>(source.payload.size());
  const std::span<const uint8_t> dependency = source.extensions.dependency_descriptor;
  if (!dependency.empty()) {
    sent.dependency_offset = static_cast<uint16_t>(dependency.data() - base);
    sent.dependency_size = static_cast<uint8_t>(dependency.size());
  }
  sent.payload_index = rewrite.payload_index;
  sent.marker = source.marker;
  sent.low_delay = track_.kind == rtp::MediaKind::kVideo &&
                   (source.content.starts_keyframe || counters_.packets < kLowDelayPackets);
  sent.has_counters = rewrite.has_counters;
  sent.counters = rewrite.counters;
  sent.frame_number = rewrite.frame_number;
  sent.audio_level = source.extensions.audio_level;
  sent.video_orientation = source.extensions.video_orientation;
  if (source.extensions.abs_capture_time) {
    // The capture time stays the publisher's; what changes hands is the offset to the clock of
    // whoever sends the reports, which is us. While that is not known, no offset is better than
    // one to another clock.
    rtp::AbsCaptureTime capture = *source.extensions.abs_capture_time;
    const std::optional<int64_t> offset = rewrite.publisher_clock_offset;
    capture.clock_offset =
        offset ? std::optional(AddQ32(capture.clock_offset.value_or(0), *offset)) : std::nullopt;
    sent.abs_capture_time = capture;
  }
  return sent;
}

rtp::PacketHeader OutboundStream::HeaderOf(const Sent& sent) const {
  return {.marker = sent.marker,
          .payload_type = track_.payloads[sent.payload_index].payload_type,
          .sequence = static_cast<uint16_t>(sent.sequence),
          .timestamp = sent.timestamp,
          .ssrc = track_.ssrc};
}

// RFC 4588, 4: payload type, sequence number and SSRC are the retransmission stream's own.
rtp::PacketHeader OutboundStream::RtxHeaderOf(const Sent& sent) const {
  rtp::PacketHeader header = HeaderOf(sent);
  header.payload_type = *track_.payloads[sent.payload_index].rtx_payload_type;
  header.sequence = static_cast<uint16_t>(next_rtx_sequence_);
  header.ssrc = track_.rtx_ssrc;
  return header;
}

size_t OutboundStream::WriteHead(const rtp::PacketHeader& header, const Sent& sent,
                                 const ComposeContext& context, Packet& out) const {
  std::array<uint8_t, 256> dependency;
  return rtp::WriteHeader(header, ExtensionsOf(sent, context, dependency), context.extensions,
                          out.room(), /*offsets=*/nullptr);
}

size_t OutboundStream::WritePayload(const Sent& sent, const rtp::Descriptor& descriptor, size_t at,
                                    Packet& out) {
  const std::span<const uint8_t> payload = PayloadOf(sent);
  const std::span<uint8_t> room = out.room().subspan(at);
  size_t copied = 0;
  const auto* vp8 = std::get_if<rtp::Vp8Descriptor>(&descriptor);
  const auto* vp9 = std::get_if<rtp::Vp9Descriptor>(&descriptor);
  if (sent.has_counters && vp8 != nullptr) {
    copied = rtp::CopyWithCounters(payload, *vp8, sent.counters, room);
  } else if (sent.has_counters && vp9 != nullptr) {
    copied = rtp::CopyWithCounters(payload, *vp9, sent.counters, room);
  } else if (payload.size() <= room.size()) {
    std::copy(payload.begin(), payload.end(), room.begin());
    copied = payload.size();
  }
  return copied < payload.size() ? 0 : at + copied;
}

std::span<const uint8_t> OutboundStream::PayloadOf(const Sent& sent) {
  return std::span<const uint8_t>(sent.source->data)
      .subspan(sent.payload_offset, sent.payload_size);
}

rtp::HeaderExtensions OutboundStream::ExtensionsOf(const Sent& sent, const ComposeContext& context,
                                                   std::span<uint8_t> dependency) const {
  rtp::HeaderExtensions extensions;
  extensions.mid = track_.mid;
  extensions.abs_send_time = rtp::ToAbsSendTime(context.wall_clock.At(context.now));
  extensions.transport_sequence = context.transport_sequence;
  extensions.audio_level = sent.audio_level;
  extensions.video_orientation = sent.video_orientation;
  extensions.abs_capture_time = sent.abs_capture_time;
  if (sent.low_delay) extensions.playout_delay = kPlayoutDelay;
  if (sent.dependency_size > 0) {
    const std::span<uint8_t> copy = dependency.first(sent.dependency_size);
    const uint8_t* from = sent.source->data.data() + sent.dependency_offset;
    std::copy(from, from + copy.size(), copy.begin());
    rtp::PatchFrameNumber(copy, sent.frame_number);
    extensions.dependency_descriptor = copy;
  }
  return extensions;
}

void OutboundStream::Remember(Sent sent) {
  // A late packet of a reordered stream fills its own place, if the history still reaches there.
  if (sent.sequence < oldest_) return;
  if (!has_history()) oldest_ = newest_ = sent.sequence;
  if (history_.empty()) history_.resize(kFirstHistory);
  while (sent.sequence - oldest_ >= static_cast<int64_t>(history_.size())) {
    if (history_.size() < kMaxHistory) {
      Grow();
    } else {
      At(oldest_++) = Sent{};
    }
    if (oldest_ > newest_) newest_ = oldest_;
  }
  newest_ = std::max(newest_, sent.sequence + 1);
  At(sent.sequence) = std::move(sent);
}

void OutboundStream::Grow() {
  std::vector<Sent> larger(history_.size() * 2);
  for (int64_t s = oldest_; s < newest_; ++s) {
    larger[static_cast<size_t>(s) & (larger.size() - 1)] = std::move(At(s));
  }
  history_ = std::move(larger);
}

void OutboundStream::Expire(Timestamp now, TimeDelta history) {
  DropOld(now, history);
  if (!has_history()) history_ = {};
}

void OutboundStream::DropOld(Timestamp now, TimeDelta history) {
  while (has_history()) {
    Sent& sent = At(oldest_);
    const bool kept = history > TimeDelta::Zero() && now - sent.sent_at <= history;
    if (sent.sequence == oldest_ && kept) return;
    sent = Sent{};
    ++oldest_;
  }
}

OutboundStream::Sent* OutboundStream::Find(uint16_t sequence) {
  if (!has_history()) return nullptr;
  SequenceUnwrapper unwrapper;
  unwrapper.set_last(newest_);
  const int64_t wanted = unwrapper.Peek(sequence);
  if (wanted < oldest_ || wanted >= newest_ || At(wanted).sequence != wanted) return nullptr;
  return &At(wanted);
}

bool OutboundStream::MayRetransmit(uint16_t sequence, Timestamp now) {
  ++counters_.nacked;
  const Sent* sent = Find(sequence);
  if (sent == nullptr) {
    ++counters_.nack_missed;
    return false;
  }
  // Half a round trip: the receiver's estimate may be lower than ours.
  const TimeDelta too_soon = std::max(round_trip_.value() / 2, TimeDelta::Millis(5));
  if (!track_.payloads[sent->payload_index].rtx_payload_type ||
      now - sent->retransmitted_at < too_soon || sent->retransmissions >= kMaxRetransmissions ||
      retransmission_credit_ < sent->payload_size) {
    ++counters_.nack_refused;
    return false;
  }
  return true;
}

bool OutboundStream::Retransmit(uint16_t sequence, const ComposeContext& context, Packet& out) {
  const Sent* found = Find(sequence);
  if (found == nullptr) return false;
  const Sent& sent = *found;
  const rtp::PayloadMapping& mapping = track_.payloads[sent.payload_index];
  if (!mapping.rtx_payload_type) return false;
  rtp::Descriptor descriptor;
  if (sent.has_counters) {
    const auto content = rtp::ParsePayload(mapping.codec.type, PayloadOf(sent), {});
    if (!content) return false;
    descriptor = content->descriptor;
  }
  const size_t head = WriteHead(RtxHeaderOf(sent), sent, context, out);
  if (head == 0 || out.room().size() < head + 2) return false;
  out.data[head] = static_cast<uint8_t>(sent.sequence >> 8);
  out.data[head + 1] = static_cast<uint8_t>(sent.sequence);
  const size_t size = WritePayload(sent, descriptor, head + 2, out);
  if (size == 0) return false;
  out.size = static_cast<uint16_t>(size);
  return true;
}

void OutboundStream::OnRetransmitted(uint16_t sequence, Timestamp now) {
  ++next_rtx_sequence_;
  Sent* sent = Find(sequence);
  if (sent == nullptr) return;
  ++sent->retransmissions;
  sent->retransmitted_at = now;
  retransmission_credit_ -= sent->payload_size;
  ++counters_.retransmitted;
  counters_.retransmitted_bytes += sent->payload_size;
}

void OutboundStream::OnReportBlock(const rtp::ReportBlock& block, Timestamp now,
                                   rtp::WallClock wall_clock) {
  counters_.reported_lost = block.cumulative_lost;
  // The number falls when what was counted lost comes after all (RFC 3550, 6.4.1), and a client may
  // report whatever it likes.
  const auto lost = static_cast<uint64_t>(std::max(block.cumulative_lost, 0));
  counters_.most_lost = std::max(counters_.most_lost, std::min(lost, counters_.packets));
  counters_.reported_fraction_lost = block.fraction_lost;
  counters_.reported_jitter = block.jitter;
  if (block.extended_highest_sequence != counters_.reported_highest) confirmed_at_ = now;
  counters_.reported_highest = block.extended_highest_sequence;
  if (block.last_sender_report == 0) return;
  round_trip_.AddCompact(wall_clock.At(now).Compact() - block.last_sender_report -
                         block.delay_since_last_report);
}

std::optional<rtp::SenderReportFields> OutboundStream::MakeSenderReport(
    Timestamp now, rtp::WallClock wall_clock) const {
  if (counters_.packets == 0 || !clock_.IsKnown()) return std::nullopt;
  const uint32_t clock_rate = rtp::ClockRateOf(track_.payloads[payload_index_].codec.type);
  return rtp::SenderReportFields{
      .ssrc = track_.ssrc,
      .ntp = wall_clock.At(now),
      .rtp_timestamp = static_cast<uint32_t>(clock_.RtpAt(now, clock_rate)),
      .packet_count = static_cast<uint32_t>(counters_.packets),
      .octet_count = static_cast<uint32_t>(counters_.bytes)};
}

OutboundStream::State OutboundStream::Export() const {
  return {.track = track_,
          .counters = counters_,
          .round_trip = round_trip_,
          .next_rtx_sequence = next_rtx_sequence_,
          .clock = clock_,
          .payload_index = payload_index_,
          .confirmed_at = confirmed_at_,
          .last_sent_at = last_sent_at_,
          .retransmission_credit = retransmission_credit_};
}

// The history is media and is not carried over: what is lost around a restore is repaired by a
// keyframe.
OutboundStream::OutboundStream(const State& state)
    : track_(state.track),
      counters_(state.counters),
      round_trip_(state.round_trip),
      next_rtx_sequence_(state.next_rtx_sequence),
      retransmission_credit_(state.retransmission_credit),
      clock_(state.clock),
      payload_index_(state.payload_index),
      confirmed_at_(state.confirmed_at),
      last_sent_at_(state.last_sent_at) {}

}  // namespace vigil::stream
