#include "tests/support/scripted_client.h"

#include "gateway/base/check.h"

namespace vigil::sim {

rtp::PayloadMapping PayloadOf(const rtp::Codec& codec) {
  switch (codec.type) {
    case rtp::CodecType::kOpus:
      return {.payload_type = 111, .rtx_payload_type = std::nullopt, .codec = codec};
    case rtp::CodecType::kVp8:
      return {.payload_type = 96, .rtx_payload_type = 97, .codec = codec};
    case rtp::CodecType::kVp9:
      return {.payload_type = 98, .rtx_payload_type = 99, .codec = codec};
    case rtp::CodecType::kH264:
      return {.payload_type = 102, .rtx_payload_type = 103, .codec = codec};
    case rtp::CodecType::kAv1:
      return {.payload_type = 45, .rtx_payload_type = 46, .codec = codec};
  }
  return {};
}

rtp::ExtensionMap AllExtensions() {
  rtp::ExtensionMap map;
  using rtp::ExtensionType;
  // The last id needs the two-byte form when the descriptor is sent.
  const std::pair<ExtensionType, uint8_t> ids[] = {{ExtensionType::kMid, 1},
                                                   {ExtensionType::kRid, 2},
                                                   {ExtensionType::kRepairedRid, 3},
                                                   {ExtensionType::kAbsSendTime, 4},
                                                   {ExtensionType::kTransportSequence, 5},
                                                   {ExtensionType::kAudioLevel, 6},
                                                   {ExtensionType::kPlayoutDelay, 7},
                                                   {ExtensionType::kAbsCaptureTime, 8},
                                                   {ExtensionType::kVideoOrientation, 9},
                                                   {ExtensionType::kDependencyDescriptor, 20}};
  for (const auto& [type, id] : ids) VIGIL_CHECK(map.Add(type, id));
  map.set_allow_mixed(true);
  return map;
}

rtp::FeedbackOptions AllFeedback() {
  return {.nack = true,
          .pli = true,
          .fir = true,
          .transport_cc = true,
          .remb = false,
          .reduced_size = true};
}

}  // namespace vigil::sim
