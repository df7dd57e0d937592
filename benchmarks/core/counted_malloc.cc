#include "benchmarks/core/counted_malloc.h"

#include <execinfo.h>
#include <unistd.h>

#include <cstddef>

// glibc's own allocator under its internal names: every library in the process comes through here.
// A sanitizer has an allocator of its own; then nothing is counted.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* old, size_t size);
}

namespace {

uint64_t allocations = 0;
bool tracing = false;

void OnAllocation() {
  ++allocations;
  if (!tracing) return;
  tracing = false;  // backtrace() allocates when it is first called.
  void* frames[24];
  backtrace_symbols_fd(frames, backtrace(frames, 24), 2);
  (void)!write(2, "\n", 1);
  tracing = true;
}

}  // namespace

extern "C" {

void* malloc(size_t size) {
  OnAllocation();
  return __libc_malloc(size);
}

void* calloc(size_t count, size_t size) {
  OnAllocation();
  return __libc_calloc(count, size);
}

void* realloc(void* old, size_t size) {
  OnAllocation();
  return __libc_realloc(old, size);
}

}  // extern "C"

uint64_t vigil::bench::AllocationCount() { return allocations; }
void vigil::bench::TraceAllocations(bool on) { tracing = on; }

#else

uint64_t vigil::bench::AllocationCount() { return 0; }
void vigil::bench::TraceAllocations(bool) {}

#endif
