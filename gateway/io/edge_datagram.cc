#include "gateway/io/edge_datagram.h"

#include <algorithm>

#include "gateway/base/byte_io.h"

namespace vigil::io {
namespace {

constexpr uint32_t kNoAge = 0xffffffff;
constexpr uint32_t kLongestAge = kNoAge - 1;

uint32_t AgeOnWire(std::optional<TimeDelta> age) {
  if (!age) return kNoAge;
  return static_cast<uint32_t>(std::clamp<int64_t>(age->ns(), 0, kLongestAge));
}

bool IsKnown(uint8_t type) {
  switch (static_cast<EdgeDatagramType>(type)) {
    case EdgeDatagramType::kData:
    case EdgeDatagramType::kBind:
    case EdgeDatagramType::kUnbind:
      return true;
  }
  return false;
}

}  // namespace

size_t WriteEdgeHeader(const EdgeHeader& header, std::span<uint8_t> out) {
  if (out.size() < kEdgeHeaderSize) return 0;
  ByteWriter writer(out);
  writer.U8(kEdgeDatagramVersion);
  writer.U8(static_cast<uint8_t>(header.type));
  writer.U8(kEdgeHeaderSize);
  writer.U8(static_cast<uint8_t>(header.client.transport));
  writer.U32(header.group.value());
  writer.U32(header.epoch.value());
  writer.Bytes(header.client.ip);
  writer.U16(header.client.port);
  writer.U8(header.client.local);
  writer.U8(0);
  writer.U32(AgeOnWire(header.age));
  return writer.position();
}

std::variant<EdgeDatagram, DropReason> ParseEdgeDatagram(std::span<const uint8_t> bytes) {
  ByteReader reader(bytes);
  const uint8_t version = reader.U8();
  const uint8_t type = reader.U8();
  const size_t header_length = reader.U8();
  const uint8_t transport = reader.U8();
  // Version and type first: of another version nothing else may be relied on.
  if (!reader.ok()) return DropReason::kMalformed;
  if (version != kEdgeDatagramVersion || !IsKnown(type)) return DropReason::kEdgeUnsupported;

  EdgeDatagram datagram;
  EdgeHeader& header = datagram.header;
  header.type = static_cast<EdgeDatagramType>(type);
  header.group = GroupId(reader.U32());
  header.epoch = Epoch(reader.U32());
  const std::span<const uint8_t> ip = reader.Bytes(header.client.ip.size());
  header.client.port = reader.U16();
  header.client.local = reader.U8();
  reader.Skip(1);
  const uint32_t age = reader.U32();
  if (!reader.ok() || header_length < kEdgeHeaderSize || header_length > bytes.size()) {
    return DropReason::kMalformed;
  }
  // No group is 0, and no group is ever owned in epoch 0.
  if (transport > static_cast<uint8_t>(Transport::kTcp) || header.group.IsNone() ||
      header.epoch.IsNone()) {
    return DropReason::kMalformed;
  }
  std::copy(ip.begin(), ip.end(), header.client.ip.begin());
  header.client.transport = static_cast<Transport>(transport);
  if (age != kNoAge) header.age = TimeDelta::Nanos(age);
  datagram.payload = bytes.subspan(header_length);
  if (datagram.payload.empty() != (header.type != EdgeDatagramType::kData)) {
    return DropReason::kMalformed;
  }
  return datagram;
}

}  // namespace vigil::io
