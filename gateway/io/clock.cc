#include "gateway/io/clock.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>

#include "gateway/base/check.h"

namespace vigil::io {
namespace {

int64_t ReadNanos(clockid_t clock) {
  timespec t{};
  VIGIL_CHECK(clock_gettime(clock, &t) == 0);
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

struct Bracketed {
  int64_t offset = 0;  // Realtime minus monotonic.
  int64_t width = 0;   // Nanoseconds between the two monotonic reads: twice the largest error.
};

Bracketed ReadBracketed() {
  const int64_t before = ReadNanos(CLOCK_MONOTONIC);
  const int64_t wall = ReadNanos(CLOCK_REALTIME);
  const int64_t after = ReadNanos(CLOCK_MONOTONIC);
  return {wall - (before + (after - before) / 2), after - before};
}

}  // namespace

Timestamp MonotonicNow() { return Timestamp::FromNanos(ReadNanos(CLOCK_MONOTONIC)); }

TimeDelta NtpAtMonotonicZero() {
  // More reads only help a machine that interrupts each of the first ones.
  constexpr int kReads = 16;
  Bracketed best = ReadBracketed();
  for (int i = 1; i < kReads; ++i) {
    const Bracketed next = ReadBracketed();
    if (next.width < best.width) best = next;
  }
  return kUnixEpochInNtp + TimeDelta::Nanos(best.offset);
}

TimeDelta RealtimeMinusMonotonic() {
  // Three reads take well under this unless the thread lost the processor between them.
  constexpr int64_t kUndisturbed = 2'000;
  constexpr int kMoreReads = 3;
  Bracketed best = ReadBracketed();
  for (int i = 0; i < kMoreReads && best.width > kUndisturbed; ++i) {
    const Bracketed next = ReadBracketed();
    if (next.width < best.width) best = next;
  }
  return TimeDelta::Nanos(best.offset);
}

void FillRandom(std::span<uint8_t> out) {
  while (!out.empty()) {
    const ssize_t n = getrandom(out.data(), out.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    VIGIL_CHECK(n > 0);
    out = out.subspan(static_cast<size_t>(n));
  }
}

}  // namespace vigil::io
