#include "gateway/transport/demux.h"

namespace vigil::transport {

DatagramKind Classify(std::span<const uint8_t> datagram) {
  if (datagram.empty()) return DatagramKind::kUnknown;
  const uint8_t first = datagram[0];
  if (first <= 3) return DatagramKind::kStun;
  if (first >= 20 && first <= 63) return DatagramKind::kDtls;
  if (first < 128 || first > 191) return DatagramKind::kUnknown;
  if (datagram.size() < 2) return DatagramKind::kUnknown;
  // RTCP packet types 192..223 are what an RTP payload type 64..95 with the marker bit would be;
  // RFC 5761 therefore keeps those payload types out of use.
  const uint8_t second = datagram[1];
  return second >= 192 && second <= 223 ? DatagramKind::kRtcp : DatagramKind::kRtp;
}

}  // namespace vigil::transport
