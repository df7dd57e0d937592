#include "gateway/stream/arrival_log.h"

#include <algorithm>
#include <span>

namespace vigil::stream {
namespace {

// The least room a feedback packet is begun in: header, chunks over the widest gap, some deltas.
constexpr size_t kLeastRoom = 64;

}  // namespace

void ArrivalLog::OnPacket(uint16_t sequence, Timestamp received) {
  if (arrivals_.size() >= kMaxArrivals) return;
  if (arrivals_.capacity() == 0) arrivals_.reserve(kMaxArrivals / 8);
  const int64_t unwrapped = sequences_.Unwrap(sequence);
  // The zero lies a second back, so that a stamp which runs backwards stays positive.
  if (!zero_ || received < *zero_) zero_ = received - TimeDelta::Seconds(1);
  if (!next_base_) next_base_ = unwrapped;
  // Older than what was reported already: the sender has given it up, or is trying us.
  if (unwrapped < *next_base_) return;
  const rtp::FeedbackArrival arrival{unwrapped, received - *zero_};
  if (arrivals_.empty() || arrivals_.back().sequence < unwrapped) {
    arrivals_.push_back(arrival);
  } else {
    const auto it = std::lower_bound(
        arrivals_.begin(), arrivals_.end(), unwrapped,
        [](const rtp::FeedbackArrival& a, int64_t wanted) { return a.sequence < wanted; });
    if (it->sequence == unwrapped) return;
    arrivals_.insert(it, arrival);
  }
  if (due_.IsNever()) due_ = received + kInterval;
}

void ArrivalLog::OnFault() {
  arrivals_.clear();
  next_base_.reset();
  due_ = Timestamp::Never();
}

bool ArrivalLog::WriteDue(uint32_t sender_ssrc, uint32_t media_ssrc, Timestamp now,
                          ByteWriter& out) {
  if (now < due_) return false;
  due_ = Timestamp::Never();
  std::span<const rtp::FeedbackArrival> rest = arrivals_;
  bool wrote = false;
  while (!rest.empty()) {
    // Asking for more than there is room for would spoil what else is in this RTCP packet.
    if (out.remaining() < kLeastRoom) break;
    // A gap wider than a feedback can span: what lies in it is not reported (RFC-less, but
    // libwebrtc's sender takes an unreported packet as lost after its history ends).
    if (rest.front().sequence - *next_base_ > 0x3fff) next_base_ = rest.front().sequence;
    const size_t reported = rtp::WriteTransportFeedback(sender_ssrc, media_ssrc, *next_base_, rest,
                                                        feedback_count_, out);
    if (reported == 0) break;
    ++feedback_count_;
    wrote = true;
    next_base_ = rest[reported - 1].sequence + 1;
    rest = rest.subspan(reported);
  }
  arrivals_.erase(arrivals_.begin(), arrivals_.end() - static_cast<std::ptrdiff_t>(rest.size()));
  // What did not fit this RTCP packet goes with the next.
  if (!arrivals_.empty()) due_ = now;
  return wrote;
}

}  // namespace vigil::stream
