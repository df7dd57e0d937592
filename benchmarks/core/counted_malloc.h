#pragma once

#include <cstdint>

namespace vigil::bench {

// Calls of malloc, calloc, realloc and all that stands on them (operator new, OpenSSL, libsrtp)
// since the process started.
uint64_t AllocationCount();

// While on, each of these calls prints its backtrace to stderr: who allocates where nobody should.
void TraceAllocations(bool on);

}  // namespace vigil::bench
