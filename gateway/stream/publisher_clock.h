#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "gateway/base/time.h"
#include "gateway/rtp/ntp_time.h"

namespace vigil::stream {

// A publisher's NTP clock against ours, learned from its sender reports. One per peer: all of its
// tracks share it, so that what was captured together stays together.
class PublisherClock {
 public:
  // Reports that the least delayed one is chosen of. More filter better, fewer follow drift
  // sooner: 16 reports of two tracks are 8 s, in which a bad clock drifts 1 ms.
  static constexpr size_t kSamples = 16;

  // A clock that was set back makes each report look late by the same step. This many in a row
  // that are later than the least delayed by more than kStep are such a step, not a slow network.
  static constexpr uint64_t kLateReports = 3;
  static constexpr TimeDelta kStep = TimeDelta::Seconds(1);

  // A sender report carrying `sent` arrived at `received`.
  void OnSenderReport(rtp::NtpTime sent, Timestamp received, rtp::WallClock wall_clock) {
    const TimeDelta sample = wall_clock.At(received).SinceEpoch() - sent.SinceEpoch();
    late_in_row_ = known() && sample - Least() > kStep ? late_in_row_ + 1 : 0;
    if (late_in_row_ >= kLateReports) next_ = count_ = late_in_row_ = 0;
    samples_[next_] = sample.ns();
    next_ = (next_ + 1) % kSamples;
    count_ = std::min<uint64_t>(count_ + 1, kSamples);
  }
  bool known() const { return count_ > 0; }
  // Our NTP clock minus the publisher's: the least seen difference, less half the round trip.
  // known() must be true.
  TimeDelta offset(TimeDelta round_trip) const { return Least() - round_trip / 2; }

  template <typename F>
  void Fields(F&& f) {
    f(samples_, next_, count_, late_in_row_);
  }

 private:
  TimeDelta Least() const {
    return TimeDelta::Nanos(
        *std::min_element(samples_.begin(), samples_.begin() + static_cast<ptrdiff_t>(count_)));
  }

  std::array<int64_t, kSamples> samples_{};  // Nanoseconds.
  uint64_t next_ = 0;
  uint64_t count_ = 0;  // The first count_ of samples_ are in use.
  uint64_t late_in_row_ = 0;
};

// Seconds as Q32.32, as abs-capture-time carries an offset: modulo 2^64, as NTP times are. A
// publisher whose NTP clock counts from its start is 126 years off, more than the sign leaves room
// for; adding such offsets must wrap (see AddQ32).
constexpr int64_t ToQ32(TimeDelta span) {
  constexpr int64_t kSecond = 1'000'000'000;
  const auto seconds = static_cast<uint64_t>(span.ns() / kSecond);
  const auto fraction = static_cast<uint64_t>(span.ns() % kSecond * (int64_t{1} << 32) / kSecond);
  return static_cast<int64_t>((seconds << 32) + fraction);
}
constexpr int64_t AddQ32(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}

}  // namespace vigil::stream
