#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>

#include "gateway/base/time.h"

namespace vigil::control {

// A token bucket for each key: so many calls a second on average, so many at once. Bounded: keys
// that have not called for long are forgotten, and beyond the bound new keys share one bucket.
class RateLimiter {
 public:
  // Keys that are told apart. More cost memory; with fewer a crowd of callers is one caller.
  static constexpr size_t kMaxKeys = 10'000;

  RateLimiter(double per_second, double at_once) : per_second_(per_second), at_once_(at_once) {}

  // Whether this call may go on; takes it from the key's bucket if so.
  bool Admit(std::string_view key, Timestamp now);
  // For what cannot be refused any more: takes `calls` also from a bucket that has less. How long
  // until it has made up for them; zero if it had them.
  TimeDelta Charge(std::string_view key, double calls, Timestamp now);

 private:
  struct Bucket {
    double calls = 0;  // That may be made now; negative where more were made.
    Timestamp filled_at;
  };
  Bucket& Filled(std::string_view key, Timestamp now);
  void ForgetIdle(Timestamp now);

  double per_second_;
  double at_once_;
  std::map<std::string, Bucket, std::less<>> buckets_;
  Timestamp forgotten_at_ = Timestamp::LongAgo();
};

}  // namespace vigil::control
