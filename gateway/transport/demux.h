#pragma once

#include <cstdint>
#include <span>

namespace vigil::transport {

// The protocols that share one 5-tuple.
enum class DatagramKind : uint8_t { kStun, kDtls, kRtp, kRtcp, kUnknown };

// Tells them apart by the first two bytes (RFC 7983, section 7; RFC 5761, section 4). Says nothing
// about whether the rest is well-formed. TURN channels (64..79) and ZRTP (16..19) are kUnknown: a
// gateway that is ICE-lite speaks neither.
DatagramKind Classify(std::span<const uint8_t> datagram);

}  // namespace vigil::transport
