#pragma once

#include <cstdint>

#include "gateway/base/time.h"
#include "gateway/rtp/ntp_time.h"

namespace vigil::stream {

// Smoothed round-trip time of one path (the filter of RFC 6298, 2, without its variance). Before
// the first sample it answers a guess that suits a WAN.
class RoundTrip {
 public:
  // A higher guess delays second NACKs of far clients' first second; a lower one doubles them.
  static constexpr TimeDelta kInitial = TimeDelta::Millis(100);

  // Samples outside 0..10 s are someone's broken clock and are ignored.
  void Add(TimeDelta sample) {
    if (sample < TimeDelta::Zero() || sample > TimeDelta::Seconds(10)) return;
    smoothed_ = known_ ? smoothed_ + (sample - smoothed_) / 8 : sample;
    known_ = true;
  }
  // A sample as RFC 3550, 6.4.1 and RFC 3611, 4.5 compute it: arrival minus last report minus
  // delay since, in compact NTP modulo 2^32. The far end's clock runs fast or slow while it holds
  // our report, so a short path can come out negative by a little: that is a round trip of zero.
  void AddCompact(uint32_t sample) {
    constexpr uint32_t kTolerance = 0x10000 / 50;  // 20 ms: 5 s at 4000 ppm.
    Add(sample > 0 - kTolerance ? TimeDelta::Zero() : rtp::FromCompactNtp(sample));
  }
  bool known() const { return known_; }
  TimeDelta value() const { return known_ ? smoothed_ : kInitial; }

  template <typename F>
  void Fields(F&& f) {
    f(known_, smoothed_);
  }

 private:
  bool known_ = false;
  TimeDelta smoothed_;
};

}  // namespace vigil::stream
