#include "tests/support/stamped_payload.h"

#include <variant>

#include "gateway/base/byte_io.h"
#include "gateway/base/check.h"
#include "gateway/rtp/payload.h"

namespace vigil::sim {
namespace {

constexpr uint32_t kMagic = 0x53544d50;

void WriteStamp(const PayloadStamp& stamp, ByteWriter& out) {
  out.U32(kMagic);
  out.U32(static_cast<uint32_t>(stamp.feed.value()));
  out.U8(static_cast<uint8_t>(stamp.kind));
  out.U8(stamp.layer);
  out.U8(stamp.epoch);
  out.U8(stamp.keyframe ? 1 : 0);
  out.U8(stamp.index);
  out.U8(stamp.count);
  out.U32(static_cast<uint32_t>(stamp.sequence));
  out.U32(stamp.frame);
  out.U32(stamp.timestamp);
  out.U16(stamp.picture_id);
  out.U8(stamp.tl0);
  out.U16(stamp.frame_number);
}

// VP8 descriptor with picture id, TL0 and temporal id, then the first byte of the frame header.
void WriteVp8(const PayloadStamp& stamp, ByteWriter& out) {
  out.U8(static_cast<uint8_t>(0x80 | (stamp.first() ? 0x10 : 0)));
  out.U8(0xe0);
  out.U16(static_cast<uint16_t>(0x8000 | stamp.picture_id));
  out.U8(stamp.tl0);
  out.U8(0);
  out.U8(stamp.keyframe ? 0x00 : 0x01);
}

// VP9, non-flexible mode, one spatial layer.
void WriteVp9(const PayloadStamp& stamp, ByteWriter& out) {
  out.U8(static_cast<uint8_t>(0x80 | 0x20 | (stamp.keyframe ? 0 : 0x40) |
                              (stamp.first() ? 0x08 : 0) | (stamp.last() ? 0x04 : 0)));
  out.U16(static_cast<uint16_t>(0x8000 | stamp.picture_id));
  out.U8(0);
  out.U8(stamp.tl0);
}

// A keyframe is a STAP-A with SEI (the stamp), SPS and PPS, then an IDR slice in fragments, as
// Chromium sends it; any other frame is one slice, whole or in fragments.
void WriteH264(const PayloadStamp& stamp, ByteWriter& out) {
  if (stamp.keyframe && stamp.first()) {
    out.U8(24);
    out.U16(44);
    out.U8(6);
    WriteStamp(stamp, out);
    out.Zeros(3 + 44 - out.position());
    const auto rest = static_cast<uint16_t>(out.remaining() - 4 - 2);
    out.U16(2);
    out.U16(0x6742);
    out.U16(static_cast<uint16_t>(rest));
    out.U8(0x68);
    out.Zeros(out.remaining());
    return;
  }
  const uint8_t type = stamp.keyframe ? 5 : 1;
  const bool starts = stamp.index == (stamp.keyframe ? 1 : 0);
  if (starts && stamp.last()) {
    out.U8(static_cast<uint8_t>(0x60 | type));
    out.U16(0x9a00);
  } else {
    out.U8(28 | 0x60);
    out.U8(static_cast<uint8_t>(type | (starts ? 0x80 : 0) | (stamp.last() ? 0x40 : 0)));
    out.U8(0x9a);
  }
  WriteStamp(stamp, out);
}

// One OBU element that fills the packet (W = 1).
void WriteAv1(const PayloadStamp& stamp, ByteWriter& out) {
  out.U8(static_cast<uint8_t>((stamp.first() ? 0 : 0x80) | (stamp.last() ? 0 : 0x40) | 0x10 |
                              (stamp.first() && stamp.keyframe ? 0x08 : 0)));
  out.U8(0x30);
  WriteStamp(stamp, out);
}

}  // namespace

void WritePayload(rtp::CodecType codec, const PayloadStamp& stamp, std::span<uint8_t> out) {
  VIGIL_CHECK(out.size() >= kLeastPayload);
  ByteWriter writer(out);
  switch (codec) {
    case rtp::CodecType::kOpus:
      writer.U8(0x78);
      WriteStamp(stamp, writer);
      break;
    case rtp::CodecType::kVp8:
      WriteVp8(stamp, writer);
      WriteStamp(stamp, writer);
      break;
    case rtp::CodecType::kVp9:
      WriteVp9(stamp, writer);
      WriteStamp(stamp, writer);
      break;
    case rtp::CodecType::kH264:
      WriteH264(stamp, writer);
      break;
    case rtp::CodecType::kAv1:
      WriteAv1(stamp, writer);
      break;
  }
  // What else there is depends on the packet, so that no two are equal by chance.
  while (writer.remaining() > 0) {
    writer.U8(static_cast<uint8_t>(stamp.sequence * 7 + static_cast<int>(writer.position())));
  }
  VIGIL_CHECK(writer.ok());
}

size_t DescriptorSize(rtp::CodecType codec, std::span<const uint8_t> payload) {
  const std::optional<rtp::PayloadView> view = rtp::ParsePayload(codec, payload, {});
  if (!view) return payload.size();
  if (const auto* vp8 = std::get_if<rtp::Vp8Descriptor>(&view->descriptor)) return vp8->size;
  if (const auto* vp9 = std::get_if<rtp::Vp9Descriptor>(&view->descriptor)) return vp9->size;
  return 0;
}

std::optional<PayloadStamp> ReadStamp(rtp::CodecType codec, std::span<const uint8_t> payload) {
  if (payload.size() < 40) return std::nullopt;
  size_t at = 1;
  if (codec == rtp::CodecType::kVp8) at = DescriptorSize(codec, payload) + 1;
  if (codec == rtp::CodecType::kVp9) at = DescriptorSize(codec, payload);
  if (codec == rtp::CodecType::kAv1) at = 2;
  if (codec == rtp::CodecType::kH264) at = (payload[0] & 0x1f) == 24 ? 4 : 3;
  if (at > payload.size()) return std::nullopt;
  ByteReader in(payload.subspan(at));
  if (in.U32() != kMagic) return std::nullopt;
  PayloadStamp stamp;
  stamp.feed = FeedId(in.U32());
  stamp.kind = static_cast<rtp::MediaKind>(in.U8());
  stamp.layer = in.U8();
  stamp.epoch = in.U8();
  stamp.keyframe = in.U8() != 0;
  stamp.index = in.U8();
  stamp.count = in.U8();
  stamp.sequence = static_cast<int32_t>(in.U32());
  stamp.frame = in.U32();
  stamp.timestamp = in.U32();
  stamp.picture_id = in.U16();
  stamp.tl0 = in.U8();
  stamp.frame_number = in.U16();
  if (!in.ok()) return std::nullopt;
  return stamp;
}

DependencyBytes MakeDependency(const PayloadStamp& stamp) {
  DependencyBytes dependency;
  dependency.bytes = {static_cast<uint8_t>((stamp.first() ? 0x80 : 0) | (stamp.last() ? 0x40 : 0) |
                                           (stamp.keyframe ? 0 : 1)),
                      static_cast<uint8_t>(stamp.frame_number >> 8),
                      static_cast<uint8_t>(stamp.frame_number), 0x80};
  dependency.size = stamp.first() && stamp.keyframe ? 4 : 3;
  return dependency;
}

}  // namespace vigil::sim
