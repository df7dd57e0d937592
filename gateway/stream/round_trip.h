#pragma once

#include <algorithm>

#include "gateway/base/time.h"

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
