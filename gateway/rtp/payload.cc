#include "gateway/rtp/payload.h"

#include "gateway/rtp/payload_formats.h"

namespace vigil::rtp {

std::optional<PayloadView> ParsePayload(CodecType codec, std::span<const uint8_t> payload,
                                        std::span<const uint8_t> dependency_descriptor) {
  if (payload.empty()) return std::nullopt;
  switch (codec) {
    case CodecType::kOpus:
      return PayloadView{.descriptor = std::monostate(), .starts_keyframe = true};
    case CodecType::kVp8:
      return ParseVp8(payload);
    case CodecType::kVp9:
      return ParseVp9(payload);
    case CodecType::kAv1:
      return ParseAv1(payload, dependency_descriptor);
    case CodecType::kH264:
      return ParseH264(payload);
  }
  return std::nullopt;
}

}  // namespace vigil::rtp
