#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <variant>

#include "gateway/base/client_address.h"
#include "gateway/base/drop_reason.h"
#include "gateway/base/strong_id.h"
#include "gateway/base/time.h"

// What travels between an edge and a node, both ways, one UDP datagram each:
//
//    0                   1                   2                   3
//    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//   +---------------+---------------+---------------+---------------+
//   |    version    |     type      | header length |   transport   |
//   +---------------+---------------+---------------+---------------+
//   |                             group                             |
//   +---------------------------------------------------------------+
//   |                             epoch                             |
//   +---------------------------------------------------------------+
//   |                 client's IP (16 bytes, mapped)                |
//   +-------------------------------+---------------+---------------+
//   |         client's port         |     local     |   reserved    |
//   +-------------------------------+---------------+---------------+
//   |                        age, nanoseconds                       |
//   +---------------------------------------------------------------+
//   |            later fields, up to the header length              |
//   +---------------------------------------------------------------+
//   |                      the client's datagram                    |
//   +---------------------------------------------------------------+
//
// All numbers are big-endian. Evolution is additive: a later version of the gateway appends fields
// and raises the header length; an earlier one skips what it does not know; the version byte only
// rises when old readers must not read on. Reserved bytes are written 0 and not looked at.
//
// The hosts' clocks have nothing in common, so the receive stamp travels as an age: how long before
// this datagram was handed to the kernel the client's datagram (toward the node), or the packet it
// forwards (toward the edge), was received by the sending host's kernel. The receiving host
// subtracts it from its own kernel's stamp of the edge datagram; the time on the wire between the
// two is thereby left out, which inside one site is some tens of microseconds.

namespace vigil::io {

enum class EdgeDatagramType : uint8_t {
  kData = 1,    // carries the client's datagram
  kBind = 2,    // node to edge: the client has proven itself to the group; no payload
  kUnbind = 3,  // node to edge: it is gone; no payload
  // Taken for the takeover step, refused as unsupported until then:
  // 4 heartbeat, 5 its answer, 6 claim, 7 its answer, 8 probe.
};

inline constexpr uint8_t kEdgeDatagramVersion = 1;
inline constexpr size_t kEdgeHeaderSize = 36;

struct EdgeHeader {
  EdgeDatagramType type = EdgeDatagramType::kData;
  GroupId group;
  Epoch epoch;
  ClientAddress client;
  // Zero or more; 4.29 s and longer are written as 4.29 s. Absent when nothing is forwarded.
  std::optional<TimeDelta> age;

  bool operator==(const EdgeHeader&) const = default;
};

struct EdgeDatagram {
  EdgeHeader header;
  std::span<const uint8_t> payload;  // Into the bytes that were parsed.
};

// Writes the header for a payload that follows in `out` or in a second iovec. The number of bytes
// written, kEdgeHeaderSize, or 0 when `out` is shorter.
size_t WriteEdgeHeader(const EdgeHeader& header, std::span<uint8_t> out);

// kMalformed: cut short, impossible header length, transport, group or epoch, a payload where none
// belongs. kEdgeUnsupported: another version or an unknown type.
std::variant<EdgeDatagram, DropReason> ParseEdgeDatagram(std::span<const uint8_t> bytes);

}  // namespace vigil::io
