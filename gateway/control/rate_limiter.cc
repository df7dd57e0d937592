#include "gateway/control/rate_limiter.h"

namespace vigil::control {
namespace {

// How often a full table is searched for keys that are idle: the search costs as much as it is
// large, so that a flood of new keys must not cause one each.
constexpr TimeDelta kForgetEvery = TimeDelta::Seconds(1);
constexpr std::string_view kEverybodyElse;

}  // namespace

TokenBucket& RateLimiter::BucketOf(std::string_view key, Timestamp now) {
  const auto known = buckets_.find(key);
  if (known != buckets_.end()) return known->second;
  if (buckets_.size() >= kMaxKeys) ForgetIdle(now);
  if (buckets_.size() >= kMaxKeys) key = kEverybodyElse;
  return buckets_.try_emplace(std::string(key), per_second_, at_once_, now).first->second;
}

void RateLimiter::ForgetIdle(Timestamp now) {
  if (now - forgotten_at_ < kForgetEvery) return;
  forgotten_at_ = now;
  std::erase_if(buckets_, [now](const auto& item) { return item.second.IsFull(now); });
}

}  // namespace vigil::control
