#include "gateway/control/rate_limiter.h"

#include <algorithm>

namespace vigil::control {
namespace {

// How often a full table is searched for keys that are idle: the search costs as much as it is
// large, so that a flood of new keys must not cause one each.
constexpr TimeDelta kForgetEvery = TimeDelta::Seconds(1);
constexpr std::string_view kEverybodyElse;

}  // namespace

bool RateLimiter::Admit(std::string_view key, Timestamp now) {
  Bucket& bucket = Filled(key, now);
  if (bucket.calls < 1) return false;
  bucket.calls -= 1;
  return true;
}

TimeDelta RateLimiter::Charge(std::string_view key, double calls, Timestamp now) {
  Bucket& bucket = Filled(key, now);
  bucket.calls -= calls;
  if (bucket.calls >= 0) return TimeDelta::Zero();
  return TimeDelta::Nanos(static_cast<int64_t>(-bucket.calls / per_second_ * 1e9));
}

RateLimiter::Bucket& RateLimiter::Filled(std::string_view key, Timestamp now) {
  auto it = buckets_.find(key);
  if (it == buckets_.end()) {
    if (buckets_.size() >= kMaxKeys) ForgetIdle(now);
    if (buckets_.size() >= kMaxKeys) key = kEverybodyElse;
    it = buckets_.try_emplace(std::string(key), Bucket{at_once_, now}).first;
  }
  Bucket& bucket = it->second;
  bucket.calls =
      std::min(at_once_, bucket.calls + per_second_ * (now - bucket.filled_at).seconds());
  bucket.filled_at = now;
  return bucket;
}

// A bucket that is full again says no more than none.
void RateLimiter::ForgetIdle(Timestamp now) {
  if (now - forgotten_at_ < kForgetEvery) return;
  forgotten_at_ = now;
  std::erase_if(buckets_, [this, now](const auto& item) {
    const Bucket& bucket = item.second;
    return bucket.calls + per_second_ * (now - bucket.filled_at).seconds() >= at_once_;
  });
}

}  // namespace vigil::control
