#pragma once

#include <compare>
#include <cstdint>

#include "gateway/base/time.h"

namespace vigil::rtp {

// 64-bit NTP time, 32.32 fixed point seconds since 1900 (RFC 3550, 4).
class NtpTime {
 public:
  constexpr NtpTime() = default;
  explicit constexpr NtpTime(uint64_t value) : value_(value) {}

  // `since_1900` counts nanoseconds.
  static constexpr NtpTime FromDelta(TimeDelta since_1900) {
    const auto ns = static_cast<uint64_t>(since_1900.ns());
    const uint64_t seconds = ns / 1'000'000'000;
    const uint64_t fraction = ((ns % 1'000'000'000) << 32) / 1'000'000'000;
    return NtpTime(seconds << 32 | fraction);
  }
  constexpr TimeDelta SinceEpoch() const {
    const uint64_t fraction_ns = ((value_ & 0xffffffff) * 1'000'000'000 + (1u << 31)) >> 32;
    return TimeDelta::Nanos(static_cast<int64_t>((value_ >> 32) * 1'000'000'000 + fraction_ns));
  }

  constexpr uint64_t value() const { return value_; }
  // The middle 32 bits, as LSR and DLSR use them: units of 1/65536 s.
  constexpr uint32_t Compact() const { return static_cast<uint32_t>(value_ >> 16); }
  constexpr bool IsZero() const { return value_ == 0; }
  constexpr auto operator<=>(const NtpTime&) const = default;

  template <typename F>
  void Fields(F&& f) {
    f(value_);
  }

 private:
  uint64_t value_ = 0;
};

// A negative span (two stamps of one turn) counts as none.
constexpr uint32_t ToCompactNtp(TimeDelta span) {
  if (span < TimeDelta::Zero()) return 0;
  return static_cast<uint32_t>(static_cast<uint64_t>(span.us()) * 65536 / 1'000'000);
}
constexpr TimeDelta FromCompactNtp(uint32_t compact) {
  return TimeDelta::Micros(
      static_cast<int64_t>(static_cast<uint64_t>(compact) * 1'000'000 / 65536));
}

// One node's relation between its monotonic clock and NTP; read once at start, passed as a value.
struct WallClock {
  TimeDelta ntp_at_zero;  // NTP time (since 1900) at Timestamp zero.

  constexpr NtpTime At(Timestamp t) const {
    return NtpTime::FromDelta(ntp_at_zero + TimeDelta::Nanos(t.ns()));
  }
  constexpr Timestamp ToTimestamp(NtpTime ntp) const {
    return Timestamp::FromNanos((ntp.SinceEpoch() - ntp_at_zero).ns());
  }
};

}  // namespace vigil::rtp
