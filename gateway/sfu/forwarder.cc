#include "gateway/sfu/forwarder.h"

#include <algorithm>
#include <variant>

#include "gateway/base/check.h"

namespace vigil::sfu {
namespace {

// The least distance between the last picture of one source and the first of the next: a receiver
// must not see two frames with one timestamp. Sound advances by one usual packet.
constexpr TimeDelta kLeastVideoStep = TimeDelta::Millis(10);
constexpr TimeDelta kLeastAudioStep = TimeDelta::Millis(20);
// Seconds that an owner may have gone on after its last known state, at most.
constexpr int64_t kUnknownPast = 2;
// Pictures a second. Those of kUnknownPast must stay below half the range of a TL0 index.
constexpr int64_t kMostPictures = 60;

}  // namespace

Forwarder::Forwarder(rtp::MediaKind kind, uint16_t first_sequence, uint32_t first_timestamp)
    : kind_(kind), next_sequence_(first_sequence), last_timestamp_(first_timestamp) {
  VIGIL_CHECK(first_sequence < 0x8000);
}

void Forwarder::Begin() { phase_ = Phase::kWaiting; }

std::optional<DropReason> Forwarder::Forward(const rtp::TrackPacket& packet, uint32_t clock_rate,
                                             Timestamp now, rtp::Rewrite& rewrite) {
  if (phase_ == Phase::kIdle) return DropReason::kNoSubscriber;
  const bool newest = packet.sequence > highest_in_ || phase_ == Phase::kWaiting;
  if (phase_ == Phase::kForwarding && newest && !PassGap(packet.sequence)) Begin();
  if (phase_ == Phase::kWaiting) {
    if (packet.payload.empty()) return DropReason::kPaddingOnly;
    if (kind_ == rtp::MediaKind::kVideo && !packet.content.starts_keyframe) {
      return DropReason::kWaitingForKeyframe;
    }
    TakeOver(packet, clock_rate, now);
    rewrite.first_of_feed = true;
  }
  if (newest && packet.payload.empty()) {
    DropFromStream(packet.sequence);
    return DropReason::kPaddingOnly;
  }
  const std::optional<int64_t> sequence = MapSequence(packet.sequence);
  if (!sequence) return DropReason::kTooOld;

  highest_in_ = std::max(highest_in_, packet.sequence);
  next_sequence_ = std::max(next_sequence_, *sequence + 1);
  gap_credit_ = std::min(gap_credit_ + 1, kMaxGap);
  const int64_t timestamp = packet.timestamp + timestamp_offset_;
  if (timestamp > last_timestamp_) {
    last_timestamp_ = timestamp;
    last_sent_at_ = now;
  }
  rewrite.sequence = *sequence;
  rewrite.timestamp = static_cast<uint32_t>(timestamp);
  MapCounters(packet, newest, rewrite);
  return std::nullopt;
}

void Forwarder::TakeOver(const rtp::TrackPacket& packet, uint32_t clock_rate, Timestamp now) {
  phase_ = Phase::kForwarding;
  floor_ = packet.sequence;
  highest_in_ = packet.sequence - 1;
  ranges_[0] = {packet.sequence, next_sequence_ - packet.sequence};
  range_count_ = 1;
  const TimeDelta least = kind_ == rtp::MediaKind::kVideo ? kLeastVideoStep : kLeastAudioStep;
  const TimeDelta elapsed =
      last_sent_at_.IsLongAgo() ? least : std::max(now - last_sent_at_, least);
  timestamp_offset_ = last_timestamp_ + rtp::ToRtpUnits(elapsed, clock_rate) - packet.timestamp;
  picture_id_.Leave();
  tl0_.Leave();
  key_index_.Leave();
  frame_.Leave();
}

std::optional<int64_t> Forwarder::MapSequence(int64_t source) const {
  if (source < floor_) return std::nullopt;
  for (size_t i = range_count_; i-- > 0;) {
    if (source >= ranges_[i].from) return source + ranges_[i].offset;
  }
  return std::nullopt;
}

// A packet that no receiver needs leaves the stream: those behind it move up. One that comes late
// cannot, its number is already a gap that the receiver waits for; so it is forwarded.
void Forwarder::DropFromStream(int64_t source) {
  highest_in_ = source;
  const Range next{source + 1, ranges_[range_count_ - 1].offset - 1};
  if (ranges_[range_count_ - 1].from == source) {
    ranges_[range_count_ - 1] = next;
    if (range_count_ == 1) floor_ = next.from;
    return;
  }
  if (range_count_ == kMaxRanges) {
    std::move(ranges_.begin() + 1, ranges_.end(), ranges_.begin());
    --range_count_;
    floor_ = ranges_[0].from;
  }
  ranges_[range_count_++] = next;
}

bool Forwarder::PassGap(int64_t source) {
  const int64_t gap = source - highest_in_ - 1;
  if (gap > gap_credit_) return false;
  gap_credit_ -= gap;
  return true;
}

void Forwarder::TakeBack(int64_t sequence) {
  if (phase_ != Phase::kForwarding || sequence + 1 != next_sequence_) return;
  next_sequence_ = sequence;
  Begin();
}

void Forwarder::SkipTo(int64_t sequence) {
  if (sequence <= next_sequence_) return;
  // The former owner may have begun the stream, in the time since its state was known, with the
  // timestamps that we would begin with. Later ones are told from real time.
  if (last_sent_at_.IsLongAgo()) {
    last_timestamp_ += kUnknownPast * (kind_ == rtp::MediaKind::kVideo ? 90'000 : 48'000);
  }
  // It may have counted pictures, too. One source's go on by its own; the next starts above.
  for (Counter* counter : {&picture_id_, &tl0_, &frame_}) {
    counter->last += kUnknownPast * kMostPictures;
  }
  const int64_t jump = sequence - next_sequence_;
  next_sequence_ = sequence;
  if (range_count_ == 0) return;
  // Late packets would get numbers from before the jump, which the former owner may have used.
  floor_ = highest_in_ + 1;
  ranges_[0] = {floor_, ranges_[range_count_ - 1].offset + jump};
  range_count_ = 1;
}

bool Forwarder::IsConsistent() const {
  return range_count_ <= kMaxRanges && phase_ <= Phase::kForwarding && gap_credit_ <= kMaxGap;
}

int64_t Forwarder::Counter::Map(uint16_t value, int bits, bool newest) {
  if (!source) {
    source = value;
    offset = last + 1 - value;
  }
  const int64_t mask = (int64_t{1} << bits) - 1;
  if (!newest) return *source - ((*source - value) & mask) + offset;
  *source += (value - *source) & mask;
  last = *source + offset;
  return last;
}

void Forwarder::MapCounters(const rtp::TrackPacket& packet, bool newest, rtp::Rewrite& rewrite) {
  // The id goes out with 15 bits whatever the source's width.
  const auto map_picture_id = [this, newest, &rewrite](std::optional<uint16_t> id,
                                                       bool is_15_bits) {
    if (!id) return;
    rewrite.counters.picture_id =
        static_cast<uint16_t>(picture_id_.Map(*id, is_15_bits ? 15 : 7, newest) & 0x7fff);
  };
  const auto map_tl0 = [this, newest, &rewrite](std::optional<uint8_t> index) {
    if (index)
      rewrite.counters.tl0_picture_index = static_cast<uint8_t>(tl0_.Map(*index, 8, newest));
  };
  if (const auto* vp8 = std::get_if<rtp::Vp8Descriptor>(&packet.content.descriptor)) {
    rewrite.has_counters = true;
    map_picture_id(vp8->picture_id, vp8->picture_id_is_15_bits);
    map_tl0(vp8->tl0_picture_index);
    if (vp8->key_index) {
      rewrite.counters.key_index =
          static_cast<uint8_t>(key_index_.Map(*vp8->key_index, 5, newest) & 31);
    }
  } else if (const auto* vp9 = std::get_if<rtp::Vp9Descriptor>(&packet.content.descriptor)) {
    rewrite.has_counters = true;
    map_picture_id(vp9->picture_id, vp9->picture_id_is_15_bits);
    map_tl0(vp9->tl0_picture_index);
  }
  const std::span<const uint8_t> dependency = packet.extensions.dependency_descriptor;
  if (dependency.size() >= 3) {
    rewrite.frame_number = static_cast<uint16_t>(
        frame_.Map(static_cast<uint16_t>(dependency[1] << 8 | dependency[2]), 16, newest));
  }
}

}  // namespace vigil::sfu
