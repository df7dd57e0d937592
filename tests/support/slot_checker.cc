#include "tests/support/slot_checker.h"

#include <algorithm>
#include <cstdlib>
#include <variant>

#include "gateway/rtp/payload.h"
#include "gateway/stream/publisher_clock.h"

namespace vigil::sim {
namespace {

// How far a switch may let timestamps and real time drift apart, beyond the least step of a frame.
constexpr TimeDelta kTimestampTolerance = TimeDelta::Millis(25);
// What clock learning may be off by, beyond the path.
constexpr TimeDelta kClockTolerance = TimeDelta::Millis(15);
constexpr TimeDelta kRemembered = TimeDelta::Millis(2500);
// Numbers that may be left out at once; each packet earns one more, up to this.
constexpr int64_t kMostGap = 1024;
constexpr int64_t kRetransmissionBurst = stream::OutboundStream::kRetransmissionBurst;

TimeDelta Magnitude(TimeDelta span) { return span < TimeDelta::Zero() ? -span : span; }

TimeDelta FromQ32(int64_t q32) {
  return TimeDelta::FromSeconds(static_cast<double>(q32) / 4294967296.0);
}

}  // namespace

SlotChecker::SlotChecker(sfu::SlotKey key, const rtp::SendTrack& track,
                         const rtp::ExtensionMap& negotiated, Findings& findings)
    : key_(key), track_(track), negotiated_(negotiated), findings_(findings) {}

void SlotChecker::Add(Timestamp now, const std::string& what) {
  findings_.Add(now, "slot " + std::to_string(key_.index) + " of peer " +
                         std::to_string(key_.peer.value()) + ": " + what);
}

void SlotChecker::OnFault(int64_t least, Timestamp known) {
  // The successor begins anew what began after that.
  if (segment_ && segment_->begun >= known) segment_->generation = 0;
  fault_ = least;
  allowance_ += kRetransmissionBurst;  // What was spent since is not known.
  timestamp_blurred_ = true;
  counters_blurred_ = 7;
}

bool SlotChecker::Continues(const PayloadStamp& stamp, const Assignment& assigned) const {
  return segment_ && segment_->generation == assigned.generation &&
         segment_->source.feed == stamp.feed && segment_->source.layer == stamp.layer &&
         segment_->source.epoch == stamp.epoch;
}

SlotChecker::Counters SlotChecker::CountersOf(rtp::CodecType codec,
                                              std::span<const uint8_t> payload,
                                              std::span<const uint8_t> dependency) {
  Counters counters;
  const auto view = rtp::ParsePayload(codec, payload, dependency);
  if (!view) return counters;
  if (const auto* vp8 = std::get_if<rtp::Vp8Descriptor>(&view->descriptor)) {
    counters.picture_id = vp8->picture_id;
    counters.tl0 = vp8->tl0_picture_index;
  } else if (const auto* vp9 = std::get_if<rtp::Vp9Descriptor>(&view->descriptor)) {
    counters.picture_id = vp9->picture_id;
    counters.tl0 = vp9->tl0_picture_index;
  }
  if (const auto dd = rtp::ParseDependencyDescriptor(dependency)) {
    counters.frame_number = dd->frame_number;
  }
  return counters;
}

void SlotChecker::OnMedia(const rtp::PacketView& packet, const Assignment& assigned,
                          const SourceTruth& truth, Timestamp now) {
  ++packets_;
  media_bytes_ += static_cast<int64_t>(packet.payload.size());
  const auto mapping =
      std::find_if(track_.payloads.begin(), track_.payloads.end(),
                   [&](const auto& p) { return p.payload_type == packet.header.payload_type; });
  if (mapping == track_.payloads.end()) return Add(now, "a payload type that was not negotiated");
  const int64_t sequence = sequences_.Peek(packet.header.sequence);
  if (sequence > highest_out_) sequences_.set_last(sequence);
  std::erase_if(sent_, [now](const auto& sent) { return now - sent.second.at > kRemembered; });
  sent_[sequence] = {now,
                     {packet.payload.begin(), packet.payload.end()},
                     packet.header.timestamp,
                     packet.header.marker,
                     static_cast<uint8_t>(mapping - track_.payloads.begin())};
  CheckGap(sequence, now);
  if (packet.payload.empty()) return;  // Padding that came too late to be taken out.
  const rtp::CodecType codec = mapping->codec.type;
  const std::optional<PayloadStamp> stamp = ReadStamp(codec, packet.payload);
  if (!stamp) return Add(now, "a payload that nobody sent");
  if (stamp->feed != assigned.feed) {
    return Add(now, "carries feed " + std::to_string(stamp->feed.value()) + " while assigned " +
                        std::to_string(assigned.feed.value()));
  }
  const bool same_source = Continues(*stamp, assigned) && !Leapt(*stamp, sequence, truth);
  const bool begins = !same_source || fault_;
  longest_path_ = std::max(longest_path_, truth.path);
  if (begins && !same_source && highest_out_ >= 0) {
    CheckTimestampStep(packet.header.timestamp, now);
  }
  if (begins) Begin(*stamp, sequence, now);
  if (!same_source || !segment_) {
    segment_->generation = assigned.generation;
    segment_->timestamp_offset = packet.header.timestamp - stamp->timestamp;
  }
  const rtp::HeaderExtensions extensions = rtp::ParseExtensions(packet, AllExtensions());
  CheckSequence(*stamp, sequence, truth, now);
  if (packet.header.timestamp - stamp->timestamp != segment_->timestamp_offset) {
    Add(now, "timestamp offset changed without a switch");
  }
  CheckCounters(*stamp, CountersOf(codec, packet.payload, extensions.dependency_descriptor),
                begins && !same_source, now);
  CheckPayload(*stamp, codec, packet.payload, now);
  CheckExtensions(*stamp, extensions, truth, now);
  const bool marker = stamp->kind == rtp::MediaKind::kVideo && stamp->last();
  if (packet.header.marker != marker) Add(now, "marker bit changed");
  if (sequence > highest_out_) highest_out_ = sequence;
  if (packets_ == 1 || static_cast<int32_t>(packet.header.timestamp - highest_timestamp_) > 0) {
    highest_timestamp_ = packet.header.timestamp;
    advanced_at_ = now;
  }
}

// A receiver's rollover counter survives the loss of 32767 numbers. Of those a publisher's gaps
// must not be the most, whatever it does: so they are held against the packets that were sent.
void SlotChecker::CheckGap(int64_t sequence, Timestamp now) {
  if (packets_ == 1 || fault_) gap_credit_ = kMostGap;
  const int64_t gap = packets_ == 1 || fault_ ? 0 : sequence - highest_out_ - 1;
  if (gap > gap_credit_ + gap_slack_) {
    Add(now, std::to_string(gap) + " numbers are left out, where " + std::to_string(gap_credit_) +
                 " may be");
  }
  if (gap > gap_credit_) gap_slack_ -= gap - gap_credit_;
  if (gap > 0) gap_credit_ -= std::min(gap, gap_credit_);
  gap_credit_ = std::min(gap_credit_ + 1, kMostGap);
}

// The publisher left numbers out that the slot does not leave out.
bool SlotChecker::Leapt(const PayloadStamp& stamp, int64_t sequence,
                        const SourceTruth& truth) const {
  if (!truth.leaps || !segment_) return false;
  if (fault_) return true;  // What its owner passed over last is not known.
  return stamp.sequence > segment_->highest_in &&
         stamp.sequence - segment_->highest_in > sequence - highest_out_;
}

// Over a switch the stream's time goes on as real time does.
void SlotChecker::CheckTimestampStep(uint32_t timestamp, Timestamp now) {
  const auto step = static_cast<int32_t>(timestamp - highest_timestamp_);
  if (step <= 0) Add(now, "timestamp does not advance at a switch");
  if (timestamp_blurred_) {
    timestamp_blurred_ = false;
    return;
  }
  const int64_t rate = track_.kind == rtp::MediaKind::kVideo ? 90'000 : 48'000;
  const TimeDelta claimed = TimeDelta::Micros(int64_t{step} * 1'000'000 / rate);
  const TimeDelta elapsed = now - advanced_at_;
  if (Magnitude(claimed - elapsed) > kTimestampTolerance + longest_path_) {
    Add(now, "timestamp claims " + std::to_string(claimed.ms()) + " ms for " +
                 std::to_string(elapsed.ms()) + " ms at a switch");
  }
}

void SlotChecker::Begin(const PayloadStamp& stamp, int64_t sequence, Timestamp now) {
  const bool after_fault = fault_.has_value();
  if (after_fault) {
    if (sequence < *fault_) Add(now, "an index that the dead owner may have used");
    if (sequence - highest_out_ > 0x7fff) Add(now, "jumped further than a receiver follows");
    fault_.reset();
  } else if (highest_out_ >= 0 &&
             (sequence <= highest_out_ || sequence > highest_out_ + 1 + slack_)) {
    Add(now, "sequence " + std::to_string(sequence) + " does not follow " +
                 std::to_string(highest_out_) + " at a switch");
  }
  slack_ = 0;
  if (stamp.kind == rtp::MediaKind::kVideo && !after_fault && !(stamp.keyframe && stamp.first())) {
    Add(now, "begins a source in the middle (frame " + std::to_string(stamp.frame) + ", packet " +
                 std::to_string(stamp.index) + (stamp.keyframe ? ", keyframe)" : ")"));
  }
  if (segment_) ++switches_;
  Segment next;
  if (segment_) next = *segment_;
  if (!after_fault) next.begun = now;
  next.source = stamp;
  next.first_out = sequence;
  next.first_in = stamp.sequence;
  next.highest_in = stamp.sequence;
  next.most_dropped = 0;
  next.after_fault = after_fault;
  segment_ = next;
}

void SlotChecker::CheckSequence(const PayloadStamp& stamp, int64_t sequence,
                                const SourceTruth& truth, Timestamp now) {
  const int64_t dropped = (stamp.sequence - segment_->first_in) - (sequence - segment_->first_out);
  int64_t padding = 0;
  const SourceStream* source =
      truth.publisher == nullptr ? nullptr : truth.publisher->FindStream(stamp);
  if (source != nullptr) {
    const auto from = source->padding.lower_bound(segment_->first_in);
    const auto to =
        source->padding.lower_bound(std::max<int64_t>(stamp.sequence, segment_->first_in));
    padding = std::distance(from, to);
  }
  const bool newest = stamp.sequence >= segment_->highest_in;
  const bool grew = !newest || dropped >= segment_->most_dropped;
  if (stamp.sequence < segment_->first_in) {
    if (!segment_->after_fault) Add(now, "a packet from before the switch");
  } else if (dropped < 0 || dropped > padding || !grew || (truth.in_order && dropped != padding)) {
    Add(now, "source packet " + std::to_string(stamp.sequence) + " went out as " +
                 std::to_string(sequence) + ": " + std::to_string(dropped) +
                 " numbers taken out, with " + std::to_string(padding) + " of padding");
  }
  if (newest) {
    segment_->highest_in = stamp.sequence;
    segment_->most_dropped = std::max(segment_->most_dropped, dropped);
  }
}

void SlotChecker::CheckCounters(const PayloadStamp& stamp, const Counters& counters, bool begins,
                                Timestamp now) {
  const auto check = [&](int bit, auto out, auto in, auto& offset, auto& highest, int mask) {
    if (!out) return;
    const std::string name = bit == 1 ? "picture id" : bit == 2 ? "TL0 index" : "frame number";
    const int ahead = (*out - highest.value_or(static_cast<uint16_t>(*out - 1))) & mask;
    using Value = std::decay_t<decltype(*out)>;
    const auto difference = static_cast<Value>((*out - in) & mask);
    if (begins) {
      const bool blurred = (counters_blurred_ & bit) != 0;
      // A successor goes on where its state says, which may be the layer before the last.
      const bool resumed = segment_->after_fault;
      if (!resumed) counters_blurred_ &= ~bit;
      if (!resumed && (blurred ? ahead == 0 || ahead > mask / 2 : ahead != 1)) {
        Add(now, name + " " + std::to_string(*out) + " does not follow " +
                     std::to_string(highest.value_or(0)) + " at a switch");
      }
      offset = difference;
    } else if (offset != difference) {
      Add(now, name + " offset changed without a switch");
    }
    if (begins || (ahead != 0 && ahead <= mask / 2)) highest = out;
  };
  check(1, counters.picture_id, stamp.picture_id, segment_->picture_offset, highest_.picture_id,
        0x7fff);
  check(2, counters.tl0, stamp.tl0, segment_->tl0_offset, highest_.tl0, 0xff);
  check(4, counters.frame_number, stamp.frame_number, segment_->frame_offset, highest_.frame_number,
        0xffff);
}

// The bytes behind the descriptor are what the publisher made of this stamp.
void SlotChecker::CheckPayload(const PayloadStamp& stamp, rtp::CodecType codec,
                               std::span<const uint8_t> payload, Timestamp now) {
  if (payload.size() < kLeastPayload) return Add(now, "payload was cut short");
  std::vector<uint8_t> original(payload.size());
  WritePayload(codec, stamp, original);
  const size_t at = DescriptorSize(codec, payload);
  if (!std::equal(payload.begin() + static_cast<std::ptrdiff_t>(at), payload.end(),
                  original.begin() + static_cast<std::ptrdiff_t>(at))) {
    Add(now, "payload changed on the way");
  }
}

void SlotChecker::CheckExtensions(const PayloadStamp& stamp,
                                  const rtp::HeaderExtensions& extensions, const SourceTruth& truth,
                                  Timestamp now) {
  if (negotiated_.Has(rtp::ExtensionType::kMid) && extensions.mid != track_.mid) {
    Add(now, "mid is missing or not the slot's");
  }
  const bool negotiated = negotiated_.Has(rtp::ExtensionType::kPlayoutDelay);
  const bool due =
      stamp.kind == rtp::MediaKind::kVideo &&
      (packets_ <= 50 || (!segment_->after_fault && stamp.sequence == segment_->first_in));
  if (negotiated && due && extensions.playout_delay != rtp::PlayoutDelay{0, 10}) {
    Add(now, "playout-delay 0 to 100 ms is missing");
  }
  if (!negotiated && extensions.playout_delay) Add(now, "playout-delay was not negotiated");
  if (stamp.kind == rtp::MediaKind::kAudio && !extensions.audio_level) {
    Add(now, "audio level is missing");
  }
  if (!extensions.abs_capture_time || truth.publisher == nullptr) return;
  const SourceStream* source = truth.publisher->FindStream(stamp);
  if (source == nullptr) return Add(now, "a source that never was");
  const rtp::AbsCaptureTime& capture = *extensions.abs_capture_time;
  const rtp::NtpTime expected = truth.publisher->NtpAt(source->CapturedAt(stamp.timestamp));
  if (Magnitude(capture.capture_time.SinceEpoch() - expected.SinceEpoch()) >
      TimeDelta::Micros(50)) {
    Add(now, "abs-capture-time changed");
  }
  if (!capture.clock_offset) return;
  // The capturer's clock minus ours, which is the world's.
  const TimeDelta error =
      FromQ32(*capture.clock_offset) - truth.publisher->client_options().wall_offset;
  if (Magnitude(error) > truth.path + kClockTolerance) {
    Add(now, "abs-capture-time's clock offset is wrong by " + std::to_string(error.ms()) + " ms");
  }
}

void SlotChecker::OnRetransmission(const rtp::PacketView& packet, Timestamp now) {
  ++retransmissions_;
  if (packet.payload.size() < 2) return Add(now, "a retransmission of nothing");
  const int64_t sequence = sequences_.Peek(ReadU16(packet.payload.data()));
  const auto it = sent_.find(sequence);
  if (it == sent_.end()) return CheckUnsentRepair(packet, sequence, now);
  const Sent& sent = it->second;
  const std::span<const uint8_t> payload = packet.payload.subspan(2);
  retransmitted_bytes_ += static_cast<int64_t>(payload.size());
  if (!std::equal(payload.begin(), payload.end(), sent.payload.begin(), sent.payload.end())) {
    Add(now, "a retransmission that differs from its original");
  }
  if (packet.header.timestamp != sent.timestamp || packet.header.marker != sent.marker ||
      packet.header.payload_type != track_.payloads[sent.payload_index].rtx_payload_type) {
    Add(now, "a retransmission with another header than its original");
  }
  if (retransmitted_bytes_ > media_bytes_ + allowance_) {
    Add(now, "more was retransmitted than is due");
  }
}

// What could not be sent (SRTP refuses what comes late over a restore) may still be in the history.
// There are no more such numbers than packets that were not sent, and each was to be sent here.
void SlotChecker::CheckUnsentRepair(const rtp::PacketView& packet, int64_t sequence,
                                    Timestamp now) {
  repaired_.insert(sequence);
  if (repaired_.size() > unsent_) {
    return Add(now,
               "a retransmission of packet " + std::to_string(sequence) + ", which was never sent");
  }
  const auto mapping =
      std::find_if(track_.payloads.begin(), track_.payloads.end(),
                   [&](const auto& p) { return p.rtx_payload_type == packet.header.payload_type; });
  if (mapping == track_.payloads.end()) return Add(now, "a retransmission of no payload type");
  const std::span<const uint8_t> payload = packet.payload.subspan(2);
  if (payload.empty()) return;
  const std::optional<PayloadStamp> stamp = ReadStamp(mapping->codec.type, payload);
  if (!stamp) return Add(now, "a retransmission of a payload that nobody sent");
  CheckPayload(*stamp, mapping->codec.type, payload, now);
}

void SlotChecker::OnSenderReport(const rtp::SenderReport& report, const SourceTruth& truth,
                                 Timestamp now) {
  report_error_.reset();
  if (Magnitude(report.ntp.SinceEpoch() - kWorldClock.At(now).SinceEpoch()) >
      TimeDelta::Micros(100)) {
    Add(now, "a sender report that is not of now");
  }
  if (!segment_ || truth.publisher == nullptr ||
      segment_->source.feed != truth.publisher->options().feed) {
    return;
  }
  const SourceStream* source = truth.publisher->FindStream(segment_->source);
  if (source == nullptr) return;
  const Timestamp captured = source->CapturedAt(report.rtp_timestamp - segment_->timestamp_offset);
  report_error_ = captured - now;
  if (Magnitude(*report_error_) > truth.path + truth.path + kClockTolerance) {
    Add(now, "a sender report that is wrong by " + std::to_string(report_error_->ms()) + " ms");
  }
}

}  // namespace vigil::sim
