#include "gateway/io/datagram.h"

#include "gateway/io/clock.h"

namespace vigil::io {

void DwellRecorder::Record(std::span<const ForwardStamp> stamps, PortCounters& counters) {
  const Timestamp now = MonotonicNow();
  for (const ForwardStamp& stamp : stamps) {
    if (stamp.received_at.IsLongAgo()) continue;
    PortCounters::Forwarded& forwarded = stamp.is_picture ? counters.picture : counters.sound;
    const TimeDelta dwell = now - stamp.received_at;
    forwarded.dwell.Add(dwell);
    // SSRCs are random (RFC 3550, 8.1): any bits of them spread.
    Place& place = last_[stamp.ssrc % kPlaces];
    if (place.ssrc == stamp.ssrc) {
      forwarded.jitter.Add(dwell > place.dwell ? dwell - place.dwell : place.dwell - dwell);
    }
    place = {stamp.ssrc, dwell};
  }
}

}  // namespace vigil::io
