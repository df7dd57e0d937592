#pragma once

#include <cstdint>

namespace vigil::bench {

// Calls of malloc, calloc, realloc and all that stands on them (operator new, OpenSSL, libsrtp)
// since the process started.
uint64_t AllocationCount();

}  // namespace vigil::bench
