#include "gateway/base/check.h"

#include <array>
#include <cstddef>
#include <cstdio>
#include <cstdlib>

namespace vigil {
namespace {

struct TrailEntry {
  const char* what = nullptr;
  unsigned long long value = 0;
};

// 32 entries show the last few turns of a worker; more would only bury the cause.
struct Trail {
  std::array<TrailEntry, 32> entries;
  size_t next = 0;
};

thread_local Trail trail;

}  // namespace

void LeaveTrail(const char* what, unsigned long long value) {
  trail.entries[trail.next] = {what, value};
  trail.next = (trail.next + 1) % trail.entries.size();
}

void CheckFailed(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "VIGIL_CHECK failed: %s (%s:%d)\n", condition, file, line);
  for (size_t i = 0; i < trail.entries.size(); ++i) {
    const TrailEntry& entry = trail.entries[(trail.next + i) % trail.entries.size()];
    if (entry.what != nullptr) std::fprintf(stderr, "  %s %llu\n", entry.what, entry.value);
  }
  std::abort();
}

}  // namespace vigil
