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

  // A sender report carrying `sent` arrived at `received`.
  void OnSenderReport(rtp::NtpTime sent, Timestamp received, rtp::WallClock wall_clock) {
    samples_[next_] = (wall_clock.At(received).SinceEpoch() - sent.SinceEpoch()).ns();
    next_ = (next_ + 1) % kSamples;
    count_ = std::min<uint64_t>(count_ + 1, kSamples);
  }
  bool known() const { return count_ > 0; }
  // Our NTP clock minus the publisher's: the least seen difference, less half the round trip.
  TimeDelta offset(TimeDelta round_trip) const {
    int64_t least = samples_[0];
    for (size_t i = 1; i < count_; ++i) least = std::min(least, samples_[i]);
    return TimeDelta::Nanos(least) - round_trip / 2;
  }

  template <typename F>
  void Fields(F&& f) {
    f(samples_, next_, count_);
  }

 private:
  std::array<int64_t, kSamples> samples_{};  // Nanoseconds.
  uint64_t next_ = 0;
  uint64_t count_ = 0;
};

// Seconds as Q32.32, as abs-capture-time carries an offset.
constexpr int64_t ToQ32(TimeDelta span) {
  const int64_t ns = span.ns();
  constexpr int64_t kSecond = 1'000'000'000;
  return ns / kSecond * (int64_t{1} << 32) + ns % kSecond * (int64_t{1} << 32) / kSecond;
}

}  // namespace vigil::stream
