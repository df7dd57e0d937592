#pragma once

#include <compare>
#include <cstdint>

#include "gateway/base/time.h"

namespace vigil {

// Bits per second.
class DataRate {
 public:
  constexpr DataRate() = default;
  static constexpr DataRate BitsPerSecond(int64_t bps) { return DataRate(bps); }
  static constexpr DataRate KilobitsPerSecond(int64_t kbps) { return DataRate(kbps * 1000); }

  constexpr int64_t bps() const { return bps_; }
  constexpr auto operator<=>(const DataRate&) const = default;

  // Bytes sent at this rate in `span`, rounded down.
  constexpr int64_t BytesIn(TimeDelta span) const { return bps_ * span.us() / 8'000'000; }

 private:
  explicit constexpr DataRate(int64_t bps) : bps_(bps) {}
  int64_t bps_ = 0;
};

}  // namespace vigil
