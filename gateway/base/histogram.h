#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "gateway/base/time.h"

namespace vigil {

// Counts of durations by bucket; a plain struct that its owner's thread fills and copies out.
// Bucket i counts values at most kEdges[i] and above the edge before; the last one has no edge.
struct DurationHistogram {
  static constexpr std::array<TimeDelta, 18> kEdges = {
      TimeDelta::Micros(50),  TimeDelta::Micros(100), TimeDelta::Micros(200),
      TimeDelta::Micros(500), TimeDelta::Millis(1),   TimeDelta::Millis(2),
      TimeDelta::Millis(5),   TimeDelta::Millis(10),  TimeDelta::Millis(20),
      TimeDelta::Millis(50),  TimeDelta::Millis(100), TimeDelta::Millis(150),
      TimeDelta::Millis(200), TimeDelta::Millis(250), TimeDelta::Millis(300),
      TimeDelta::Millis(400), TimeDelta::Millis(500), TimeDelta::Seconds(1)};

  void Add(TimeDelta value) {
    size_t i = 0;
    while (i < kEdges.size() && value > kEdges[i]) ++i;
    ++buckets[i];
    ++count;
    sum += value;
  }

  DurationHistogram& operator+=(const DurationHistogram& more) {
    for (size_t i = 0; i < buckets.size(); ++i) buckets[i] += more.buckets[i];
    count += more.count;
    sum += more.sum;
    return *this;
  }

  std::array<uint64_t, kEdges.size() + 1> buckets{};
  uint64_t count = 0;
  TimeDelta sum;
};

}  // namespace vigil
