#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <variant>

#include "gateway/rtp/codec.h"

namespace vigil::rtp {

// VP8 payload descriptor (RFC 7741, 4.2).
struct Vp8Descriptor {
  uint8_t size = 0;  // Bytes of the descriptor on the wire.
  bool non_reference = false;
  bool start_of_partition = false;
  uint8_t partition = 0;
  // 15 bits; a 7-bit id is widened by its reader's unwrapper.
  std::optional<uint16_t> picture_id = {};
  bool picture_id_is_15_bits = false;
  std::optional<uint8_t> tl0_picture_index = {};
  std::optional<uint8_t> temporal_id = {};
  bool layer_sync = false;
  std::optional<uint8_t> key_index = {};

  bool operator==(const Vp8Descriptor&) const = default;
};

// VP9 payload descriptor (RFC 9628, 4.2). Scalability structures are kept as raw bytes.
struct Vp9Descriptor {
  uint16_t size = 0;  // Up to 1061: a scalability structure alone may have 1054 bytes.
  bool inter_predicted = false;
  bool flexible_mode = false;
  bool start_of_frame = false;
  bool end_of_frame = false;
  std::optional<uint16_t> picture_id = {};
  bool picture_id_is_15_bits = false;
  std::optional<uint8_t> temporal_id = {};
  std::optional<uint8_t> spatial_id = {};
  std::optional<uint8_t> tl0_picture_index = {};
  bool has_scalability_structure = false;

  bool operator==(const Vp9Descriptor&) const = default;
};

// The mandatory fields of the AV1 dependency descriptor (AV1 RTP specification, A.8.2), and
// whether a template structure is attached, which is so on every keyframe.
struct DependencyDescriptor {
  bool start_of_frame = false;
  bool end_of_frame = false;
  uint8_t template_id = 0;
  uint16_t frame_number = 0;
  bool has_template_structure = false;

  bool operator==(const DependencyDescriptor&) const = default;
};

// AV1 aggregation header (AV1 RTP specification, 4.4).
struct Av1Descriptor {
  bool continues_obu = false;
  bool ends_incomplete = false;
  uint8_t obu_count = 0;  // OBU elements in the packet, 255 for more.
  bool new_coded_video_sequence = false;

  bool operator==(const Av1Descriptor&) const = default;
};

// What the NAL units of one H.264 packet are (RFC 6184, 5).
struct H264Descriptor {
  uint8_t nal_type = 0;  // Of the packet: 1..23 single, 24 STAP-A, 28 FU-A.
  bool has_idr = false;  // An IDR slice starts here.
  bool has_sps = false;
  bool has_pps = false;

  bool operator==(const H264Descriptor&) const = default;
};

using Descriptor =
    std::variant<std::monostate, Vp8Descriptor, Vp9Descriptor, Av1Descriptor, H264Descriptor>;

// One packet's payload as forwarding sees it.
struct PayloadView {
  Descriptor descriptor;  // monostate for sound.
  // A receiver can start decoding with this packet's frame, and this is its first packet. For
  // H.264: an SPS or the first slice of an IDR picture starts here. Senders put SPS and PPS into a
  // packet of their own before the IDR (Chromium: a STAP-A), so one H.264 keyframe is announced
  // twice, with one timestamp: only the first of the two begins it. Sound: always.
  bool starts_keyframe = false;
};

// Empty when the payload is too short for its own descriptor or violates its codec's format.
// `dependency_descriptor` is the extension's raw bytes (empty: absent); AV1 uses it if there.
std::optional<PayloadView> ParsePayload(CodecType codec, std::span<const uint8_t> payload,
                                        std::span<const uint8_t> dependency_descriptor);

std::optional<DependencyDescriptor> ParseDependencyDescriptor(std::span<const uint8_t> bytes);
// Overwrites the 16-bit frame number of a raw dependency descriptor; one shorter than
// kMinDependencyDescriptorSize stays as it is.
void PatchFrameNumber(std::span<uint8_t> descriptor, uint16_t frame_number);

// What a subscription puts in place of a source's own counters, so that they continue over a
// switch. A counter which the source's packet does not have is not written.
struct PictureCounters {
  uint16_t picture_id = 0;  // 15 bits.
  uint8_t tl0_picture_index = 0;
  uint8_t key_index = 0;  // VP8 only, 5 bits.
};

// Copies a VP8 or VP9 payload to `out` with other counters. The picture id is always written as 15
// bits, so the result may be one byte longer. Returns the length, or 0 if it does not fit.
// `descriptor` must come from ParsePayload of the same payload.
size_t CopyWithCounters(std::span<const uint8_t> payload, const Vp8Descriptor& descriptor,
                        const PictureCounters& counters, std::span<uint8_t> out);
size_t CopyWithCounters(std::span<const uint8_t> payload, const Vp9Descriptor& descriptor,
                        const PictureCounters& counters, std::span<uint8_t> out);

}  // namespace vigil::rtp
