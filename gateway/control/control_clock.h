#pragma once

#include <cstdint>
#include <functional>

#include "gateway/base/time.h"

namespace vigil::control {

// What the control plane is told about time: nothing here reads a clock. Control thread.
struct ControlClock {
  std::function<Timestamp()> now;
  std::function<int64_t(Timestamp)> unix_nanos;  // Wall time of an instant, since 1970.

  int64_t UnixSeconds() const { return unix_nanos(now()) / 1'000'000'000; }
};

}  // namespace vigil::control
