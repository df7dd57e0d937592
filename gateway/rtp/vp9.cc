#include "gateway/base/byte_io.h"
#include "gateway/rtp/payload_formats.h"

namespace vigil::rtp {
namespace {

// First byte of the descriptor (RFC 9628, 4.2).
constexpr uint8_t kHasPictureId = 0x80;
constexpr uint8_t kInterPredicted = 0x40;
constexpr uint8_t kHasLayerIndices = 0x20;
constexpr uint8_t kFlexibleMode = 0x10;
constexpr uint8_t kStartOfFrame = 0x08;
constexpr uint8_t kEndOfFrame = 0x04;
constexpr uint8_t kHasScalabilityStructure = 0x02;

constexpr int kMaxReferences = 3;

void ReadPictureId(ByteReader& in, Vp9Descriptor& descriptor) {
  const uint8_t first = in.U8();
  descriptor.picture_id_is_15_bits = (first & 0x80) != 0;
  descriptor.picture_id = descriptor.picture_id_is_15_bits
                              ? static_cast<uint16_t>((first & 0x7f) << 8 | in.U8())
                              : first;
}

void ReadLayerIndices(ByteReader& in, Vp9Descriptor& descriptor) {
  const uint8_t byte = in.U8();
  descriptor.temporal_id = static_cast<uint8_t>(byte >> 5);
  descriptor.spatial_id = static_cast<uint8_t>(byte >> 1 & 0x07);
  if (!descriptor.flexible_mode) descriptor.tl0_picture_index = in.U8();
}

// The P_DIFF list of flexible mode: its last byte has bit N clear. False if it is too long.
bool SkipReferences(ByteReader& in) {
  for (int i = 0; i < kMaxReferences; ++i) {
    if ((in.U8() & 0x01) == 0) return true;
  }
  return false;
}

void SkipScalabilityStructure(ByteReader& in) {
  const uint8_t flags = in.U8();
  const size_t spatial_layers = static_cast<size_t>(flags >> 5) + 1;
  const bool has_resolutions = (flags & 0x10) != 0;
  const bool has_picture_group = (flags & 0x08) != 0;
  if (has_resolutions) in.Skip(4 * spatial_layers);
  if (!has_picture_group) return;
  const int pictures = in.U8();
  for (int i = 0; i < pictures && in.ok(); ++i) {
    const size_t references = in.U8() >> 2 & 0x03;
    in.Skip(references);
  }
}

}  // namespace

std::optional<PayloadView> ParseVp9(std::span<const uint8_t> payload) {
  ByteReader in(payload);
  const uint8_t first = in.U8();
  Vp9Descriptor descriptor;
  descriptor.inter_predicted = (first & kInterPredicted) != 0;
  descriptor.flexible_mode = (first & kFlexibleMode) != 0;
  descriptor.start_of_frame = (first & kStartOfFrame) != 0;
  descriptor.end_of_frame = (first & kEndOfFrame) != 0;
  descriptor.has_scalability_structure = (first & kHasScalabilityStructure) != 0;

  if ((first & kHasPictureId) != 0) ReadPictureId(in, descriptor);
  if ((first & kHasLayerIndices) != 0) ReadLayerIndices(in, descriptor);
  if (descriptor.inter_predicted && descriptor.flexible_mode && !SkipReferences(in)) {
    return std::nullopt;
  }
  if (descriptor.has_scalability_structure) SkipScalabilityStructure(in);
  if (!in.ok() || in.remaining() == 0) return std::nullopt;
  descriptor.size = static_cast<uint16_t>(in.position());

  const bool starts_base_layer =
      descriptor.start_of_frame && descriptor.spatial_id.value_or(0) == 0;
  return PayloadView{.descriptor = descriptor,
                     .starts_keyframe = starts_base_layer && !descriptor.inter_predicted};
}

size_t CopyWithCounters(std::span<const uint8_t> payload, const Vp9Descriptor& descriptor,
                        const PictureCounters& counters, std::span<uint8_t> out) {
  ByteReader in(payload);
  ByteWriter writer(out);
  writer.U8(in.U8());
  if (descriptor.picture_id) {
    in.Skip(descriptor.picture_id_is_15_bits ? 2 : 1);
    writer.U16(kLongPictureId | counters.picture_id);
  }
  if (descriptor.temporal_id) writer.U8(in.U8());
  if (descriptor.tl0_picture_index) {
    in.Skip(1);
    writer.U8(counters.tl0_picture_index);
  }
  // References are differences of picture ids, so they stay right.
  writer.Bytes(in.Rest());
  return in.ok() && writer.ok() ? writer.position() : 0;
}

}  // namespace vigil::rtp
