#pragma once

#include <compare>
#include <cstdint>
#include <limits>

// Time is an argument. These types carry it; only gateway/io reads a clock.

namespace vigil {

// A span of time, nanosecond resolution, signed. Arithmetic with an infinite value stays infinite.
class TimeDelta {
 public:
  constexpr TimeDelta() = default;
  static constexpr TimeDelta Nanos(int64_t ns) { return TimeDelta(ns); }
  static constexpr TimeDelta Micros(int64_t us) { return TimeDelta(us * 1'000); }
  static constexpr TimeDelta Millis(int64_t ms) { return TimeDelta(ms * 1'000'000); }
  static constexpr TimeDelta Seconds(int64_t s) { return TimeDelta(s * 1'000'000'000); }
  static constexpr TimeDelta FromSeconds(double s) {
    return TimeDelta(static_cast<int64_t>(s * 1e9));
  }
  static constexpr TimeDelta Zero() { return TimeDelta(0); }
  static constexpr TimeDelta Infinite() { return TimeDelta(std::numeric_limits<int64_t>::max()); }

  constexpr int64_t ns() const { return ns_; }
  constexpr int64_t us() const { return ns_ / 1'000; }
  constexpr int64_t ms() const { return ns_ / 1'000'000; }
  constexpr double seconds() const { return static_cast<double>(ns_) * 1e-9; }
  constexpr bool IsInfinite() const { return ns_ == std::numeric_limits<int64_t>::max(); }

  constexpr auto operator<=>(const TimeDelta&) const = default;
  constexpr TimeDelta operator-() const { return TimeDelta(-ns_); }
  constexpr TimeDelta operator+(TimeDelta d) const {
    return IsInfinite() || d.IsInfinite() ? Infinite() : TimeDelta(ns_ + d.ns_);
  }
  constexpr TimeDelta operator-(TimeDelta d) const {
    return IsInfinite() ? Infinite() : TimeDelta(ns_ - d.ns_);
  }
  constexpr TimeDelta& operator+=(TimeDelta d) { return *this = *this + d; }
  constexpr TimeDelta operator*(int64_t k) const {
    return IsInfinite() ? Infinite() : TimeDelta(ns_ * k);
  }
  constexpr TimeDelta operator/(int64_t k) const {
    return IsInfinite() ? Infinite() : TimeDelta(ns_ / k);
  }

 private:
  explicit constexpr TimeDelta(int64_t ns) : ns_(ns) {}
  int64_t ns_ = 0;
};

// An instant of one node's monotonic clock, nanoseconds since an arbitrary start. Instants of two
// nodes cannot be compared: exported state carries them relative to the instant of the export.
class Timestamp {
 public:
  constexpr Timestamp() = default;
  static constexpr Timestamp FromNanos(int64_t ns) { return Timestamp(ns); }
  // Later than any instant: the deadline of something that is not waiting.
  static constexpr Timestamp Never() { return Timestamp(std::numeric_limits<int64_t>::max()); }
  // Earlier than any instant: "has not happened yet".
  static constexpr Timestamp LongAgo() {
    return Timestamp(std::numeric_limits<int64_t>::min() / 2);
  }

  constexpr int64_t ns() const { return ns_; }
  constexpr bool IsNever() const { return *this == Never(); }
  constexpr bool IsLongAgo() const { return *this == LongAgo(); }

  constexpr auto operator<=>(const Timestamp&) const = default;
  constexpr Timestamp operator+(TimeDelta d) const {
    return IsNever() || d.IsInfinite() ? Never() : Timestamp(ns_ + d.ns());
  }
  constexpr Timestamp operator-(TimeDelta d) const {
    return IsNever() ? Never() : Timestamp(ns_ - d.ns());
  }
  constexpr TimeDelta operator-(Timestamp t) const {
    return IsNever() ? TimeDelta::Infinite() : TimeDelta::Nanos(ns_ - t.ns_);
  }

 private:
  explicit constexpr Timestamp(int64_t ns) : ns_(ns) {}
  int64_t ns_ = 0;
};

// A sorted set of one: keeps the earliest of the deadlines it is shown.
constexpr Timestamp Earliest(Timestamp a, Timestamp b) { return a < b ? a : b; }

}  // namespace vigil
