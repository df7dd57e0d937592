// RTP packets: parse, read the extensions, write them anew, read them again.
// Input: ten extension ids in the order of ExtensionType, two bytes of buffer size, a datagram.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "gateway/base/byte_io.h"
#include "gateway/base/check.h"
#include "gateway/rtp/packet.h"

namespace vigil::rtp {
namespace {

bool IsInside(std::span<const uint8_t> part, std::span<const uint8_t> whole) {
  const std::less_equal<const uint8_t*> before;
  return part.empty() || (before(whole.data(), part.data()) &&
                          before(part.data() + part.size(), whole.data() + whole.size()));
}

bool IsInside(std::string_view part, std::span<const uint8_t> whole) {
  return IsInside(std::span(reinterpret_cast<const uint8_t*>(part.data()), part.size()), whole);
}

void CheckViews(const PacketView& packet, const HeaderExtensions& values,
                std::span<const uint8_t> datagram) {
  VIGIL_CHECK(packet.header_size >= kFixedHeaderSize);
  VIGIL_CHECK(packet.header_size + packet.payload.size() + packet.padding_size == datagram.size());
  VIGIL_CHECK(IsInside(packet.payload, datagram));
  const std::span<const uint8_t> block = packet.extension_block;
  VIGIL_CHECK(IsInside(block, datagram.first(packet.header_size)));
  VIGIL_CHECK(values.mid.empty() || (IsMid(values.mid) && IsInside(values.mid, block)));
  VIGIL_CHECK(values.rid.empty() || (IsRid(values.rid) && IsInside(values.rid, block)));
  VIGIL_CHECK(values.repaired_rid.empty() ||
              (IsRid(values.repaired_rid) && IsInside(values.repaired_rid, block)));
  VIGIL_CHECK(IsInside(values.dependency_descriptor, block));
}

void CheckRewrite(const PacketHeader& header, HeaderExtensions values, const ExtensionMap& map,
                  size_t buffer_size) {
  std::vector<uint8_t> out(1'000);
  StampOffsets offsets;
  const size_t size = WriteHeader(header, values, map, out, &offsets);
  VIGIL_CHECK(size >= kFixedHeaderSize && size % 4 == 0);
  out.resize(size);

  const std::optional<PacketView> packet = ParsePacket(out);
  VIGIL_CHECK(packet && packet->header == header && packet->payload.empty());
  if (map.form() == ExtensionForm::kOneByte && values.dependency_descriptor.size() > 16) {
    values.dependency_descriptor = {};
  }
  VIGIL_CHECK(ParseExtensions(*packet, map) == values);
  VIGIL_CHECK(values.abs_send_time.has_value() == (offsets.abs_send_time != 0));
  VIGIL_CHECK(values.transport_sequence.has_value() == (offsets.transport_sequence != 0));
  if (values.transport_sequence) {
    VIGIL_CHECK(ReadU16(out.data() + offsets.transport_sequence) == *values.transport_sequence);
  }

  std::vector<uint8_t> limited(buffer_size);
  const size_t fitted = WriteHeader(header, values, map, limited, nullptr);
  VIGIL_CHECK(fitted == (buffer_size >= size ? size : 0));
}

void Run(std::span<const uint8_t> input) {
  ByteReader in(input);
  ExtensionMap map;
  for (size_t i = 0; i < kExtensionTypeCount; ++i) {
    map.Add(static_cast<ExtensionType>(i), in.U8());
  }
  const size_t buffer_size = in.U16() % 800;
  if (!in.ok()) return;
  // On a heap block of its own, so that a read past the end is seen.
  const std::span<const uint8_t> rest = in.Rest();
  const std::vector<uint8_t> datagram(rest.begin(), rest.end());

  const uint32_t ssrc = PeekSsrc(datagram);
  const std::optional<PacketView> packet = ParsePacket(datagram);
  if (!packet) return;
  VIGIL_CHECK(packet->header.ssrc == ssrc);
  const HeaderExtensions values = ParseExtensions(*packet, map);
  CheckViews(*packet, values, datagram);
  CheckRewrite(packet->header, values, map, buffer_size);
  map.set_allow_mixed(true);
  CheckRewrite(packet->header, values, map, buffer_size);
}

}  // namespace
}  // namespace vigil::rtp

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vigil::rtp::Run({data, size});
  return 0;
}
