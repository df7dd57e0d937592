#include "gateway/io/scheduling.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace vigil::io {
namespace {

// Of sched_setattr(2). Written out, because the kernel's own header quarrels with <sched.h>.
struct SchedAttributes {
  uint32_t size;
  uint32_t policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime;
  uint64_t deadline;
  uint64_t period;
};

}  // namespace

bool AskForShortSlices(TimeDelta slice) {
  constexpr int kThisThread = 0;
  SchedAttributes attributes{};
  // Policy and nice value stay what they are.
  if (syscall(SYS_sched_getattr, kThisThread, &attributes, sizeof(attributes), 0) != 0) {
    return false;
  }
  attributes.runtime = static_cast<uint64_t>(slice.ns());
  return syscall(SYS_sched_setattr, kThisThread, &attributes, 0) == 0;
}

}  // namespace vigil::io
