#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>

#include "gateway/base/time.h"
#include "gateway/control/token_bucket.h"

namespace vigil::control {

// A token bucket for each key: so many calls a second on average, so many at once. Bounded: keys
// that have not called for long are forgotten, and beyond the bound new keys share one bucket.
class RateLimiter {
 public:
  // Keys that are told apart. More cost memory; with fewer a crowd of callers is one caller.
  static constexpr size_t kMaxKeys = 10'000;
  // What a key that was charged for more than it had may have to wait at most.
  static constexpr TimeDelta kLongestWait = TimeDelta::Seconds(3);

  RateLimiter(double per_second, double at_once) : per_second_(per_second), at_once_(at_once) {}

  // Whether this call may go on; takes it from the key's bucket if so.
  bool Admit(std::string_view key, Timestamp now) { return BucketOf(key, now).Take(1, now); }
  // For what cannot be refused any more: how long to wait until the key's bucket has made up for
  // `calls`; zero if it had them.
  TimeDelta Charge(std::string_view key, double calls, Timestamp now) {
    return BucketOf(key, now).Charge(calls, kLongestWait, now);
  }

 private:
  TokenBucket& BucketOf(std::string_view key, Timestamp now);
  void ForgetIdle(Timestamp now);

  double per_second_;
  double at_once_;
  std::map<std::string, TokenBucket, std::less<>> buckets_;
  Timestamp forgotten_at_ = Timestamp::LongAgo();
};

}  // namespace vigil::control
