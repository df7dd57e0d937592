#pragma once

#include <cstdint>
#include <span>

#include "gateway/base/time.h"

// The clocks and the entropy of the machine. No other file of the project reads either: the rest
// gets `Timestamp now` and random bytes as arguments. Thread-safe.

namespace vigil::io {

// CLOCK_MONOTONIC, in nanoseconds since the boot of the machine.
Timestamp MonotonicNow();

// 1970, from which Unix time counts, in NTP time, which counts from 1900. Seventy years of which
// seventeen were leap years (RFC 868 gives the same number).
inline constexpr TimeDelta kUnixEpochInNtp = TimeDelta::Seconds(2'208'988'800);

// NTP time (nanoseconds since 1900-01-01 UTC) at Timestamp zero of MonotonicNow(). Right to the
// width of the narrowest of several bracketed reads, well under a microsecond on an idle machine.
// Changes when the wall clock is stepped or slewed: read it again to see by how much.
TimeDelta NtpAtMonotonicZero();

// CLOCK_REALTIME minus CLOCK_MONOTONIC: turns the kernel's receive stamps, which are wall time,
// into instants of MonotonicNow(). One bracketed read, about 70 ns, repeated a few times when the
// thread was interrupted within it.
TimeDelta RealtimeMinusMonotonic();

// Fills `out` from getrandom(2). Fit for keys. Stops the process if the kernel has no entropy to
// give: going on with guessable keys would be worse.
void FillRandom(std::span<uint8_t> out);

}  // namespace vigil::io
