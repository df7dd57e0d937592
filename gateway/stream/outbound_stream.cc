#include "gateway/stream/outbound_stream.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "gateway/base/check.h"

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

OutboundStream::OutboundStream(const rtp::SendTrack& track, uint16_t first_rtx_sequence)
    : track_(track), next_rtx_sequence_(first_rtx_sequence) {
  VIGIL_CHECK(first_rtx_sequence < 0x8000);
}

bool OutboundStream::Compose(const rtp::TrackPacket& source, const rtp::Rewrite& rewrite,
                             const ComposeContext& context, Timestamp now, Packet& out) {
  Sent sent = Record(source, rewrite, now);
  if (!Write(sent, source.content.descriptor, /*as_rtx=*/false, context, now, out)) return false;
  ++counters_.packets;
  counters_.bytes += sent.payload_size;
  retransmission_credit_ =
      std::min(retransmission_credit_ + sent.payload_size, kRetransmissionBurst);
  payload_index_ = sent.payload_index;
  last_sent_at_ = now;
  if (track_.rtx_ssrc != 0 && track_.feedback.nack) Remember(std::move(sent));
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
    // whoever sends the reports, which is us.
    rtp::AbsCaptureTime capture = *source.extensions.abs_capture_time;
    // Unknown, no offset at all says more than the publisher's own, which would be taken for ours.
    if (rewrite.publisher_clock_offset) {
      capture.clock_offset = capture.clock_offset.value_or(0) + *rewrite.publisher_clock_offset;
    } else {
      capture.clock_offset.reset();
    }
    sent.abs_capture_time = capture;
  }
  return sent;
}

bool OutboundStream::Write(const Sent& sent, const rtp::Descriptor& descriptor, bool as_rtx,
                           const ComposeContext& context, Timestamp now, Packet& out) const {
  const rtp::PayloadMapping& mapping = track_.payloads[sent.payload_index];
  rtp::PacketHeader header{.marker = sent.marker,
                           .payload_type = mapping.payload_type,
                           .sequence = static_cast<uint16_t>(sent.sequence),
                           .timestamp = sent.timestamp,
                           .ssrc = track_.ssrc};
  if (as_rtx) {
    header.payload_type = *mapping.rtx_payload_type;
    header.sequence = static_cast<uint16_t>(next_rtx_sequence_);
    header.ssrc = track_.rtx_ssrc;
  }
  std::array<uint8_t, 256> dependency;
  const rtp::HeaderExtensions extensions = ExtensionsOf(sent, dependency, context, now);
  rtp::StampOffsets offsets;
  size_t size = rtp::WriteHeader(header, extensions, context.extensions, out.room(), &offsets);
  if (size == 0) return false;
  if (as_rtx) {
    if (out.room().size() < size + 2) return false;
    out.data[size++] = static_cast<uint8_t>(sent.sequence >> 8);
    out.data[size++] = static_cast<uint8_t>(sent.sequence);
  }
  const auto payload =
      std::span<const uint8_t>(sent.source->data).subspan(sent.payload_offset, sent.payload_size);
  const std::span<uint8_t> room = out.room().subspan(size);
  size_t copied = 0;
  const auto* vp8 = std::get_if<rtp::Vp8Descriptor>(&descriptor);
  const auto* vp9 = std::get_if<rtp::Vp9Descriptor>(&descriptor);
  if (sent.has_counters && vp8 != nullptr) {
    copied = rtp::CopyWithCounters(payload, *vp8, sent.counters, room);
  } else if (sent.has_counters && vp9 != nullptr) {
    copied = rtp::CopyWithCounters(payload, *vp9, sent.counters, room);
  } else if (payload.size() <= room.size()) {
    std::memcpy(room.data(), payload.data(), payload.size());
    copied = payload.size();
  }
  out.size = static_cast<uint16_t>(size + copied);
  return copied >= payload.size();
}

rtp::HeaderExtensions OutboundStream::ExtensionsOf(const Sent& sent,
                                                   std::span<uint8_t> dependency,
                                                   const ComposeContext& context,
                                                   Timestamp now) const {
  rtp::HeaderExtensions extensions;
  extensions.mid = track_.mid;
  extensions.abs_send_time = rtp::ToAbsSendTime(context.wall_clock.At(now));
  extensions.transport_sequence = context.transport_sequence;
  extensions.audio_level = sent.audio_level;
  extensions.video_orientation = sent.video_orientation;
  extensions.abs_capture_time = sent.abs_capture_time;
  if (sent.low_delay) extensions.playout_delay = kPlayoutDelay;
  if (sent.dependency_size > 0) {
    const std::span<uint8_t> copy = dependency.first(sent.dependency_size);
    std::memcpy(copy.data(), sent.source->data.data() + sent.dependency_offset, copy.size());
    rtp::PatchFrameNumber(copy, sent.frame_number);
    extensions.dependency_descriptor = copy;
  }
  return extensions;
}

void OutboundStream::Remember(Sent sent) {
  // A late packet of a reordered stream fills its own place, if the history still reaches there.
  if (sent.sequence < oldest_) return;
  Expire(sent.sent_at);
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

void OutboundStream::Expire(Timestamp now) {
  while (has_history()) {
    Sent& sent = At(oldest_);
    if (sent.sequence == oldest_ && now - sent.sent_at <= kHistory) return;
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

bool OutboundStream::Retransmit(uint16_t sequence, const ComposeContext& context, Timestamp now,
                                Packet& out) {
  Sent* found = Find(sequence);
  if (found == nullptr) return false;
  Sent& sent = *found;
  const rtp::PayloadMapping& mapping = track_.payloads[sent.payload_index];
  const rtp::CodecType codec = mapping.codec.type;
  const auto payload =
      std::span<const uint8_t>(sent.source->data).subspan(sent.payload_offset, sent.payload_size);
  const auto dependency = std::span<const uint8_t>(sent.source->data)
                              .subspan(sent.dependency_offset, sent.dependency_size);
  const std::optional<rtp::PayloadView> content = rtp::ParsePayload(codec, payload, dependency);
  if (!content || !Write(sent, content->descriptor, /*as_rtx=*/true, context, now, out)) {
    return false;
  }
  ++next_rtx_sequence_;
  ++sent.retransmissions;
  sent.retransmitted_at = now;
  retransmission_credit_ -= sent.payload_size;
  ++counters_.retransmitted;
  counters_.retransmitted_bytes += sent.payload_size;
  return true;
}

void OutboundStream::OnReportBlock(const rtp::ReportBlock& block, Timestamp now,
                                   rtp::WallClock wall_clock) {
  counters_.reported_lost = block.cumulative_lost;
  counters_.reported_fraction_lost = block.fraction_lost;
  counters_.reported_jitter = block.jitter;
  confirmed_at_ = now;
  if (block.last_sender_report == 0) return;
  // RFC 3550, 6.4.1: all in compact NTP, modulo 2^32; a result over half the range is negative.
  const uint32_t elapsed = wall_clock.At(now).Compact() - block.last_sender_report -
                           block.delay_since_last_report;
  if (elapsed < 0x80000000) round_trip_.Add(rtp::FromCompactNtp(elapsed));
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
