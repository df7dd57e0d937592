#include "gateway/io/datagram.h"

#include "gateway/io/clock.h"

namespace vigil::io {

void RecordDwell(std::span<const Timestamp> received_at, PortCounters& counters) {
  const Timestamp now = MonotonicNow();
  for (const Timestamp received : received_at) {
    if (!received.IsLongAgo()) counters.dwell.Add(now - received);
  }
}

}  // namespace vigil::io
