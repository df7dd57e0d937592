#include <algorithm>
#include <limits>

#include "gateway/base/byte_io.h"
#include "gateway/rtp/header_extensions.h"
#include "gateway/rtp/payload_formats.h"

namespace vigil::rtp {
namespace {

// A leb128 number (AV1 specification, 4.10.5): at most 8 bytes, at most 2^32 - 1.
std::optional<size_t> ReadLeb128(ByteReader& in) {
  uint64_t value = 0;
  for (int i = 0; i < 8; ++i) {
    const uint8_t byte = in.U8();
    value |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);
    if ((byte & 0x80) == 0) {
      if (!in.ok() || value > std::numeric_limits<uint32_t>::max()) return std::nullopt;
      return static_cast<size_t>(value);
    }
  }
  return std::nullopt;
}

// How many OBU elements follow the aggregation header; empty if they do not fill the payload.
// `announced` is the field W: when it is not 0, the last element has no length (4.4).
std::optional<size_t> CountObuElements(ByteReader& in, size_t announced) {
  if (in.remaining() == 0) return std::nullopt;
  size_t count = 0;
  while (in.remaining() > 0) {
    ++count;
    if (count == announced) return count;
    const std::optional<size_t> size = ReadLeb128(in);
    if (!size) return std::nullopt;
    in.Skip(*size);
  }
  if (!in.ok() || announced != 0) return std::nullopt;
  return count;
}

}  // namespace

std::optional<DependencyDescriptor> ParseDependencyDescriptor(std::span<const uint8_t> bytes) {
  if (bytes.size() < kMinDependencyDescriptorSize) return std::nullopt;
  DependencyDescriptor descriptor;
  descriptor.start_of_frame = (bytes[0] & 0x80) != 0;
  descriptor.end_of_frame = (bytes[0] & 0x40) != 0;
  descriptor.template_id = bytes[0] & 0x3f;
  descriptor.frame_number = ReadU16(bytes.data() + 1);
  // Anything longer begins with the extended fields, whose first bit is
  // template_dependency_structure_present_flag (A.8.2).
  descriptor.has_template_structure = bytes.size() > kMinDependencyDescriptorSize &&
                                      (bytes[kMinDependencyDescriptorSize] & 0x80) != 0;
  return descriptor;
}

void PatchFrameNumber(std::span<uint8_t> descriptor, uint16_t frame_number) {
  if (descriptor.size() < kMinDependencyDescriptorSize) return;
  descriptor[1] = static_cast<uint8_t>(frame_number >> 8);
  descriptor[2] = static_cast<uint8_t>(frame_number);
}

std::optional<PayloadView> ParseAv1(std::span<const uint8_t> payload,
                                    std::span<const uint8_t> dependency_descriptor) {
  ByteReader in(payload);
  const uint8_t first = in.U8();
  Av1Descriptor descriptor;
  descriptor.continues_obu = (first & 0x80) != 0;
  descriptor.ends_incomplete = (first & 0x40) != 0;
  descriptor.new_coded_video_sequence = (first & 0x08) != 0;
  // A sequence cannot start in the middle of an OBU (4.4).
  if (descriptor.new_coded_video_sequence && descriptor.continues_obu) return std::nullopt;

  const std::optional<size_t> elements = CountObuElements(in, first >> 4 & 0x03);
  if (!elements) return std::nullopt;
  descriptor.obu_count = static_cast<uint8_t>(std::min<size_t>(*elements, 255));

  PayloadView view{.descriptor = descriptor,
                   .starts_keyframe = descriptor.new_coded_video_sequence};
  if (const auto dependency = ParseDependencyDescriptor(dependency_descriptor)) {
    // The structure is there in the first packet of a coded video sequence and nowhere else
    // (A.8.3), also when the payload is encrypted end to end.
    view.starts_keyframe = dependency->start_of_frame && dependency->has_template_structure;
  }
  return view;
}

}  // namespace vigil::rtp
