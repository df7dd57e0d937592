#include "gateway/io/scheduling.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <thread>

#include "gtest/gtest.h"

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

SchedAttributes AttributesOfThisThread() {
  SchedAttributes attributes{};
  EXPECT_EQ(syscall(SYS_sched_getattr, 0, &attributes, sizeof(attributes), 0), 0);
  return attributes;
}

TEST(SchedulingTest, AShorterSliceLeavesPolicyAndNiceValue) {
  std::thread([] {
    ASSERT_EQ(setpriority(PRIO_PROCESS, 0, 7), 0);
    const SchedAttributes before = AttributesOfThisThread();
    EXPECT_TRUE(AskForShortSlices(TimeDelta::Micros(200)));
    const SchedAttributes after = AttributesOfThisThread();
    EXPECT_EQ(after.policy, before.policy);
    EXPECT_EQ(after.nice, 7);
    // Kernels before 6.12 know no slice of a thread's own, and tell none.
    if (before.runtime != 0) {
      EXPECT_EQ(after.runtime, 200'000u);
    }
  }).join();
}

}  // namespace
}  // namespace vigil::io
