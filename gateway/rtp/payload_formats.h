#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "gateway/rtp/payload.h"

// The parsers behind ParsePayload, one per picture codec; nobody else calls them.

namespace vigil::rtp {

std::optional<PayloadView> ParseVp8(std::span<const uint8_t> payload);
std::optional<PayloadView> ParseVp9(std::span<const uint8_t> payload);
std::optional<PayloadView> ParseAv1(std::span<const uint8_t> payload,
                                    std::span<const uint8_t> dependency_descriptor);
std::optional<PayloadView> ParseH264(std::span<const uint8_t> payload);

// VP8 and VP9 write a picture id of 15 bits with its top bit set (RFC 7741, 4.2; RFC 9628, 4.2).
constexpr uint16_t kLongPictureId = 0x8000;

}  // namespace vigil::rtp
