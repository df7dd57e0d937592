#pragma once

#include <algorithm>

#include "gateway/base/time.h"

namespace vigil::control {

// So many a second on average, so many at once.
class TokenBucket {
 public:
  TokenBucket(double per_second, double at_once, Timestamp now)
      : per_second_(per_second), at_once_(at_once), tokens_(at_once), filled_at_(now) {}

  // False, and takes none, when there are fewer than `count`.
  bool Take(double count, Timestamp now) {
    Fill(now);
    if (tokens_ < count) return false;
    tokens_ -= count;
    return true;
  }
  // As many as there are; how many that were.
  double TakeUpTo(double count, Timestamp now) {
    Fill(now);
    const double taken = std::clamp(tokens_, 0.0, count);
    tokens_ -= taken;
    return taken;
  }
  // Takes them also if there are fewer; how long until the bucket has made up for them, which is
  // never more than `longest`: what would take longer is forgotten.
  TimeDelta Charge(double count, TimeDelta longest, Timestamp now) {
    Fill(now);
    tokens_ = std::max(tokens_ - count, -per_second_ * longest.seconds());
    return tokens_ >= 0 ? TimeDelta::Zero() : TimeDelta::FromSeconds(-tokens_ / per_second_);
  }
  // Says no more than a new one.
  bool IsFull(Timestamp now) const { return TokensAt(now) >= at_once_; }

 private:
  double TokensAt(Timestamp now) const {
    return std::min(at_once_, tokens_ + per_second_ * (now - filled_at_).seconds());
  }
  void Fill(Timestamp now) {
    tokens_ = TokensAt(now);
    filled_at_ = now;
  }

  double per_second_;
  double at_once_;
  double tokens_;
  Timestamp filled_at_;
};

}  // namespace vigil::control
