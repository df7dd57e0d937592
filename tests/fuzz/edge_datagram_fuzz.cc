#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <variant>
#include <vector>

#include "gateway/base/check.h"
#include "gateway/io/edge_datagram.h"

// What parses is written again and must parse to the same.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using vigil::io::EdgeDatagram;
  const std::span<const uint8_t> input(data, size);
  const auto parsed = vigil::io::ParseEdgeDatagram(input);
  const EdgeDatagram* datagram = std::get_if<EdgeDatagram>(&parsed);
  if (datagram == nullptr) return 0;
  VIGIL_CHECK(datagram->payload.size() + vigil::io::kEdgeHeaderSize <= size);

  std::vector<uint8_t> again(vigil::io::kEdgeHeaderSize);
  VIGIL_CHECK(vigil::io::WriteEdgeHeader(datagram->header, again) == again.size());
  again.insert(again.end(), datagram->payload.begin(), datagram->payload.end());
  const auto reparsed = vigil::io::ParseEdgeDatagram(again);
  const EdgeDatagram* same = std::get_if<EdgeDatagram>(&reparsed);
  VIGIL_CHECK(same != nullptr && same->header == datagram->header);
  VIGIL_CHECK(std::ranges::equal(same->payload, datagram->payload));
  return 0;
}
