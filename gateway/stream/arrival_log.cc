#include "gateway/stream/arrival_log.h"

#include <algorithm>
#include <span>

namespace vigil::stream {
namespace {

// How far before the first packet the zero of reported times lies, so that a stamp which runs
// backwards stays positive.
constexpr TimeDelta kMargin = TimeDelta::Seconds(10);
// A gap wider than this is a sender that began anew, not a loss: it is not reported packet by
// packet. Four chunks of a feedback at most.
constexpr int64_t kWidestGap = 0x3fff;
// A packet that was overtaken by at most this many is reported though its number has been reported
// as missing; libwebrtc's sender then takes its loss back.
constexpr int64_t kMaxLate = 1000;

// How many of the first of `arrivals` have consecutive numbers below `end`.
size_t LateRun(std::span<const rtp::FeedbackArrival> arrivals, int64_t end) {
  size_t n = 0;
  while (n < arrivals.size() && arrivals[n].sequence < end &&
         arrivals[n].sequence == arrivals[0].sequence + static_cast<int64_t>(n)) {
    ++n;
  }
  return n;
}

}  // namespace

void ArrivalLog::OnPacket(uint16_t sequence, Timestamp received) {
  const int64_t unwrapped = sequences_.Unwrap(sequence);
  if (unwrapped < floor_) return;
  if (arrivals_.size() >= kMaxArrivals) {
    // Not reported at all: neither as arrived, nor as lost with those before it.
    overflowed_ = true;
    return;
  }
  if (arrivals_.capacity() == 0) arrivals_.reserve(kMaxArrivals / 8);
  if (!zero_ || received < *zero_) {
    // The step shows in the next feedback, at its first packet; those before keep their distances.
    const Timestamp zero = received - kMargin;
    const TimeDelta shift = zero_ ? *zero_ - zero : TimeDelta::Zero();
    for (rtp::FeedbackArrival& arrival : arrivals_) arrival.time += shift;
    zero_ = zero;
  }
  if (!next_base_) next_base_ = unwrapped;
  if (unwrapped < *next_base_ - kMaxLate) return;
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
  if (arrivals_.size() == kMaxArrivals) due_ = received;
}

bool ArrivalLog::WriteDue(uint32_t sender_ssrc, uint32_t media_ssrc, Timestamp now,
                          ByteWriter& out) {
  if (now < due_) return false;
  due_ = Timestamp::Never();
  std::span<const rtp::FeedbackArrival> rest = arrivals_;
  bool wrote = false;
  while (!rest.empty()) {
    if (rest.front().sequence - *next_base_ > kWidestGap) next_base_ = rest.front().sequence;
    // Late ones go into a feedback of their own, which says nothing of the numbers between.
    const size_t late = LateRun(rest, *next_base_);
    const int64_t base = late > 0 ? rest.front().sequence : *next_base_;
    // A write that finds no room spoils its writer, and what else is in the packet with it.
    ByteWriter attempt = out;
    const size_t reported =
        rtp::WriteTransportFeedback({sender_ssrc, media_ssrc, base, feedback_count_},
                                    late > 0 ? rest.first(late) : rest, attempt);
    if (reported == 0) break;
    out = attempt;
    ++feedback_count_;
    wrote = true;
    next_base_ = std::max(*next_base_, rest[reported - 1].sequence + 1);
    rest = rest.subspan(reported);
  }
  arrivals_.erase(arrivals_.begin(), arrivals_.end() - static_cast<std::ptrdiff_t>(rest.size()));
  // What did not fit this RTCP packet goes with the next.
  if (!arrivals_.empty()) {
    due_ = now;
  } else if (overflowed_) {
    overflowed_ = false;
    next_base_.reset();
  }
  return wrote;
}

}  // namespace vigil::stream
