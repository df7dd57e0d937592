#include "gateway/rtp/packet.h"

#include <algorithm>

#include "gateway/base/byte_io.h"

namespace vigil::rtp {
namespace {

constexpr uint8_t kVersion = 2;
constexpr uint8_t kPaddingBit = 0x20;
constexpr uint8_t kExtensionBit = 0x10;
constexpr uint16_t kOneByteProfile = 0xbede;  // RFC 8285, 4.2.
constexpr uint16_t kTwoByteProfile = 0x1000;  // RFC 8285, 4.3; the low four bits are "appbits".
constexpr uint16_t kTwoByteProfileMask = 0xfff0;
constexpr size_t kMaxOneByteSize = 16;
constexpr size_t kMaxElementSize = 255;

bool IsExtensionProfile(uint16_t profile) {
  return profile == kOneByteProfile || (profile & kTwoByteProfileMask) == kTwoByteProfile;
}

uint64_t ReadU64(const uint8_t* p) { return uint64_t{ReadU32(p)} << 32 | ReadU32(p + 4); }

// Stores one element's value. A value of a wrong size is ignored: its length field still tells
// where the next element starts, so it spoils nothing else.
void ReadElement(ExtensionType type, std::span<const uint8_t> value, HeaderExtensions& out) {
  const uint8_t* p = value.data();
  switch (type) {
    case ExtensionType::kMid:
      if (IsMid(AsText(value))) out.mid = AsText(value);
      break;
    case ExtensionType::kRid:
      if (IsRid(AsText(value))) out.rid = AsText(value);
      break;
    case ExtensionType::kRepairedRid:
      if (IsRid(AsText(value))) out.repaired_rid = AsText(value);
      break;
    case ExtensionType::kAbsSendTime:
      if (value.size() == 3) out.abs_send_time = uint32_t{p[0]} << 16 | ReadU16(p + 1);
      break;
    case ExtensionType::kTransportSequence:
      if (value.size() == 2) out.transport_sequence = ReadU16(p);
      break;
    case ExtensionType::kAudioLevel:
      if (value.size() == 1) {
        out.audio_level =
            AudioLevel{.voice = (p[0] & 0x80) != 0, .level = static_cast<uint8_t>(p[0] & 0x7f)};
      }
      break;
    case ExtensionType::kPlayoutDelay:
      if (value.size() == 3) {
        out.playout_delay = PlayoutDelay{.min_10ms = static_cast<uint16_t>(ReadU16(p) >> 4),
                                         .max_10ms = static_cast<uint16_t>(ReadU16(p + 1) & 0xfff)};
      }
      break;
    case ExtensionType::kAbsCaptureTime:
      if (value.size() == 8 || value.size() == 16) {
        AbsCaptureTime& time = out.abs_capture_time.emplace();
        time.capture_time = NtpTime(ReadU64(p));
        if (value.size() == 16) time.clock_offset = static_cast<int64_t>(ReadU64(p + 8));
      }
      break;
    case ExtensionType::kVideoOrientation:
      if (value.size() == 1) out.video_orientation = p[0];
      break;
    case ExtensionType::kDependencyDescriptor:
      if (value.size() >= kMinDependencyDescriptorSize) out.dependency_descriptor = value;
      break;
    case ExtensionType::kCount:
      break;
  }
}

void ReadOneByteElements(std::span<const uint8_t> block, const ExtensionMap& map,
                         HeaderExtensions& out) {
  size_t at = 0;
  while (at < block.size()) {
    const uint8_t head = block[at++];
    if (head == 0) continue;  // Padding.
    const uint8_t id = head >> 4;
    const size_t size = (head & 0x0f) + size_t{1};
    // Id 15, and id 0 with a length, end the block whatever their length says (RFC 8285, 4.2).
    if (id == 0 || id > kMaxOneByteId || size > block.size() - at) return;
    if (const auto type = map.TypeOf(id)) ReadElement(*type, block.subspan(at, size), out);
    at += size;
  }
}

void ReadTwoByteElements(std::span<const uint8_t> block, const ExtensionMap& map,
                         HeaderExtensions& out) {
  size_t at = 0;
  while (at < block.size()) {
    const uint8_t id = block[at++];
    if (id == 0) continue;  // Padding has no length byte (RFC 8285, 4.3).
    if (at == block.size()) return;
    const size_t size = block[at++];
    if (size > block.size() - at) return;
    if (const auto type = map.TypeOf(id)) ReadElement(*type, block.subspan(at, size), out);
    at += size;
  }
}

enum class Form : uint8_t { kOneByte, kTwoByte };

// Writes one extension block in one form, and notices when that form cannot hold the values. There
// is no block, not even an empty one, before its first element.
class BlockWriter {
 public:
  BlockWriter(Form form, const ExtensionMap& map, ByteWriter& out)
      : form_(form), map_(map), out_(out) {}

  // Writes the head of an element of `type` with `size` bytes to follow. False, and nothing is to
  // follow, if the type was not negotiated or the form cannot hold it.
  bool Begin(ExtensionType type, size_t size) {
    const uint8_t id = map_.IdOf(type);
    if (id == 0) return false;
    if (form_ == Form::kOneByte && (id > kMaxOneByteId || size > kMaxOneByteSize)) {
      form_fits_ = false;
      return false;
    }
    if (!begun_) {
      begun_ = true;
      out_.U16(form_ == Form::kOneByte ? kOneByteProfile : kTwoByteProfile);
      out_.U16(0);
      elements_at_ = out_.position();
    }
    if (form_ == Form::kOneByte) {
      out_.U8(static_cast<uint8_t>(id << 4 | (size - 1)));
    } else {
      out_.U8(id);
      out_.U8(static_cast<uint8_t>(size));
    }
    return true;
  }

  // Pads the block and tells the header of it.
  void Finish() {
    if (!begun_ || !out_.ok()) return;
    const size_t size = out_.position() - elements_at_;
    out_.Zeros((4 - size % 4) % 4);
    out_.PatchU16(elements_at_ - 2, static_cast<uint16_t>((size + 3) / 4));
    out_.written()[0] |= kExtensionBit;
  }

  bool form_fits() const { return form_fits_; }

 private:
  const Form form_;
  const ExtensionMap& map_;
  ByteWriter& out_;
  bool begun_ = false;
  bool form_fits_ = true;
  size_t elements_at_ = 0;
};

void WriteNames(const HeaderExtensions& values, BlockWriter& block, ByteWriter& out) {
  if (IsMid(values.mid) && block.Begin(ExtensionType::kMid, values.mid.size())) {
    out.Text(values.mid);
  }
  if (IsRid(values.rid) && block.Begin(ExtensionType::kRid, values.rid.size())) {
    out.Text(values.rid);
  }
  if (IsRid(values.repaired_rid) &&
      block.Begin(ExtensionType::kRepairedRid, values.repaired_rid.size())) {
    out.Text(values.repaired_rid);
  }
}

StampOffsets WriteElements(const HeaderExtensions& values, BlockWriter& block, ByteWriter& out) {
  StampOffsets offsets;
  if (values.abs_send_time && block.Begin(ExtensionType::kAbsSendTime, 3)) {
    offsets.abs_send_time = static_cast<uint16_t>(out.position());
    out.U24(*values.abs_send_time);
  }
  if (values.transport_sequence && block.Begin(ExtensionType::kTransportSequence, 2)) {
    offsets.transport_sequence = static_cast<uint16_t>(out.position());
    out.U16(*values.transport_sequence);
  }
  WriteNames(values, block, out);
  if (values.audio_level && block.Begin(ExtensionType::kAudioLevel, 1)) {
    const uint8_t voice = values.audio_level->voice ? 0x80 : 0;
    out.U8(voice | std::min<uint8_t>(values.audio_level->level, 127));
  }
  if (values.playout_delay && block.Begin(ExtensionType::kPlayoutDelay, 3)) {
    const uint32_t min = std::min<uint32_t>(values.playout_delay->min_10ms, 0xfff);
    const uint32_t max = std::min<uint32_t>(values.playout_delay->max_10ms, 0xfff);
    out.U24(min << 12 | max);
  }
  if (values.abs_capture_time) {
    const AbsCaptureTime& time = *values.abs_capture_time;
    if (block.Begin(ExtensionType::kAbsCaptureTime, time.clock_offset ? 16 : 8)) {
      out.U64(time.capture_time.value());
      if (time.clock_offset) out.U64(static_cast<uint64_t>(*time.clock_offset));
    }
  }
  if (values.video_orientation && block.Begin(ExtensionType::kVideoOrientation, 1)) {
    out.U8(*values.video_orientation);
  }
  const std::span<const uint8_t> descriptor = values.dependency_descriptor;
  if (descriptor.size() >= kMinDependencyDescriptorSize && descriptor.size() <= kMaxElementSize &&
      block.Begin(ExtensionType::kDependencyDescriptor, descriptor.size())) {
    out.Bytes(descriptor);
  }
  return offsets;
}

}  // namespace

std::optional<PacketView> ParsePacket(std::span<const uint8_t> datagram) {
  if (datagram.size() < kFixedHeaderSize || datagram[0] >> 6 != kVersion) return std::nullopt;
  const uint8_t* p = datagram.data();
  const bool has_padding = (p[0] & kPaddingBit) != 0;
  const bool has_extension = (p[0] & kExtensionBit) != 0;
  const size_t csrc_count = p[0] & 0x0f;

  PacketView view;
  view.header.marker = (p[1] & 0x80) != 0;
  view.header.payload_type = p[1] & 0x7f;
  view.header.sequence = ReadU16(p + 2);
  view.header.timestamp = ReadU32(p + 4);
  view.header.ssrc = ReadU32(p + 8);

  size_t at = kFixedHeaderSize + 4 * csrc_count;
  if (has_extension) {
    if (datagram.size() < at + 4) return std::nullopt;
    const uint16_t profile = ReadU16(p + at);
    const size_t size = size_t{4} * ReadU16(p + at + 2);
    at += 4;
    if (datagram.size() < at + size) return std::nullopt;
    if (IsExtensionProfile(profile)) {
      view.extension_profile = profile;
      view.extension_block = datagram.subspan(at, size);
    }
    at += size;
  }
  if (datagram.size() < at) return std::nullopt;
  view.header_size = at;

  size_t payload_size = datagram.size() - at;
  if (has_padding) {
    // The last byte counts the padding, itself included (RFC 3550, 5.1).
    const uint8_t padding = datagram.back();
    if (padding == 0 || padding > payload_size) return std::nullopt;
    view.padding_size = padding;
    payload_size -= padding;
  }
  view.payload = datagram.subspan(at, payload_size);
  return view;
}

uint32_t PeekSsrc(std::span<const uint8_t> datagram) {
  return datagram.size() < kFixedHeaderSize ? 0 : ReadU32(datagram.data() + 8);
}

HeaderExtensions ParseExtensions(const PacketView& packet, const ExtensionMap& map) {
  HeaderExtensions values;
  if (packet.extension_profile == kOneByteProfile) {
    ReadOneByteElements(packet.extension_block, map, values);
  } else if (packet.extension_profile != 0) {
    ReadTwoByteElements(packet.extension_block, map, values);
  }
  return values;
}

size_t WriteHeader(const PacketHeader& header, const HeaderExtensions& extensions,
                   const ExtensionMap& map, std::span<uint8_t> out, StampOffsets* offsets) {
  ByteWriter writer(out);
  writer.U8(kVersion << 6);
  writer.U8(static_cast<uint8_t>((header.marker ? 0x80 : 0) | (header.payload_type & 0x7f)));
  writer.U16(header.sequence);
  writer.U32(header.timestamp);
  writer.U32(header.ssrc);

  const ByteWriter without_block = writer;
  const ExtensionForm form = map.form();
  StampOffsets stamps;
  bool written = false;
  if (form != ExtensionForm::kTwoByte) {
    BlockWriter one_byte(Form::kOneByte, map, writer);
    stamps = WriteElements(extensions, one_byte, writer);
    written = one_byte.form_fits() || form == ExtensionForm::kOneByte;
    if (written) one_byte.Finish();
  }
  if (!written) {
    writer = without_block;
    BlockWriter two_byte(Form::kTwoByte, map, writer);
    stamps = WriteElements(extensions, two_byte, writer);
    two_byte.Finish();
  }
  if (!writer.ok()) stamps = {};
  if (offsets != nullptr) *offsets = stamps;
  return writer.ok() ? writer.position() : 0;
}

}  // namespace vigil::rtp
