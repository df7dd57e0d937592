#pragma once

// VIGIL_CHECK stops the process on a bug of ours, in release builds too. Remote input must never
// reach one: network input is data and bad requests are errors (ARCHITECTURE.md, "Errors").

namespace vigil {

// Prints the failed condition and the most recent trail entries to stderr, then aborts.
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition);

// Leaves a static string in a small per-thread ring which CheckFailed prints, newest last: what
// the thread did before it stopped. `what` must outlive the process (a literal); `value` is any
// number that helps (an id, a sequence number). No allocation, no lock.
void LeaveTrail(const char* what, unsigned long long value);

}  // namespace vigil

#define VIGIL_CHECK(condition)                         \
  (static_cast<bool>(condition) ? static_cast<void>(0) \
                                : ::vigil::CheckFailed(__FILE__, __LINE__, #condition))
