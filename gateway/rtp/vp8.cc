#include "gateway/base/byte_io.h"
#include "gateway/rtp/payload_formats.h"

namespace vigil::rtp {
namespace {

// First byte of the descriptor (RFC 7741, 4.2).
constexpr uint8_t kExtended = 0x80;
constexpr uint8_t kNonReference = 0x20;
constexpr uint8_t kStart = 0x10;
constexpr uint8_t kPartitionMask = 0x07;
// Second byte.
constexpr uint8_t kHasPictureId = 0x80;
constexpr uint8_t kHasTl0 = 0x40;
constexpr uint8_t kHasTemporalId = 0x20;
constexpr uint8_t kHasKeyIndex = 0x10;
// The byte of temporal id and key index.
constexpr uint8_t kLayerSync = 0x20;
constexpr uint8_t kKeyIndexMask = 0x1f;
// First byte of the VP8 payload header (RFC 7741, 4.3): clear in a key frame.
constexpr uint8_t kInterFrame = 0x01;

void ReadExtension(ByteReader& in, Vp8Descriptor& descriptor) {
  const uint8_t flags = in.U8();
  if ((flags & kHasPictureId) != 0) {
    const uint8_t first = in.U8();
    descriptor.picture_id_is_15_bits = (first & 0x80) != 0;
    descriptor.picture_id = descriptor.picture_id_is_15_bits
                                ? static_cast<uint16_t>((first & 0x7f) << 8 | in.U8())
                                : first;
  }
  if ((flags & kHasTl0) != 0) descriptor.tl0_picture_index = in.U8();
  if ((flags & (kHasTemporalId | kHasKeyIndex)) != 0) {
    const uint8_t byte = in.U8();
    if ((flags & kHasTemporalId) != 0) {
      descriptor.temporal_id = static_cast<uint8_t>(byte >> 6);
      descriptor.layer_sync = (byte & kLayerSync) != 0;
    }
    if ((flags & kHasKeyIndex) != 0) {
      descriptor.key_index = static_cast<uint8_t>(byte & kKeyIndexMask);
    }
  }
}

}  // namespace

std::optional<PayloadView> ParseVp8(std::span<const uint8_t> payload) {
  ByteReader in(payload);
  const uint8_t first = in.U8();
  Vp8Descriptor descriptor;
  descriptor.non_reference = (first & kNonReference) != 0;
  descriptor.start_of_partition = (first & kStart) != 0;
  descriptor.partition = first & kPartitionMask;
  if ((first & kExtended) != 0) ReadExtension(in, descriptor);
  descriptor.size = static_cast<uint8_t>(in.position());

  const uint8_t frame_header = in.U8();
  if (!in.ok()) return std::nullopt;
  const bool starts_frame = descriptor.start_of_partition && descriptor.partition == 0;
  return PayloadView{.descriptor = descriptor,
                     .starts_keyframe = starts_frame && (frame_header & kInterFrame) == 0};
}

size_t CopyWithCounters(std::span<const uint8_t> payload, const Vp8Descriptor& descriptor,
                        const PictureCounters& counters, std::span<uint8_t> out) {
  ByteReader in(payload);
  ByteWriter writer(out);
  const uint8_t first = in.U8();
  writer.U8(first);
  if ((first & kExtended) != 0) writer.U8(in.U8());
  if (descriptor.picture_id) {
    in.Skip(descriptor.picture_id_is_15_bits ? 2 : 1);
    writer.U16(kLongPictureId | counters.picture_id);
  }
  if (descriptor.tl0_picture_index) {
    in.Skip(1);
    writer.U8(counters.tl0_picture_index);
  }
  if (descriptor.temporal_id || descriptor.key_index) {
    uint8_t byte = in.U8();
    if (descriptor.key_index) {
      byte = static_cast<uint8_t>((byte & ~kKeyIndexMask) | (counters.key_index & kKeyIndexMask));
    }
    writer.U8(byte);
  }
  writer.Bytes(in.Rest());
  return in.ok() && writer.ok() ? writer.position() : 0;
}

}  // namespace vigil::rtp
