#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "gateway/rtp/header_extensions.h"

namespace vigil::rtp {

// The fixed header (RFC 3550, 5.1) less what the gateway never uses (CSRCs are not forwarded).
struct PacketHeader {
  bool marker = false;
  uint8_t payload_type = 0;
  uint16_t sequence = 0;
  uint32_t timestamp = 0;
  uint32_t ssrc = 0;
  bool operator==(const PacketHeader&) const = default;
};

// A parsed packet. Spans point into the datagram it was parsed from.
struct PacketView {
  PacketHeader header;
  std::span<const uint8_t> payload;  // Without padding.
  size_t header_size = 0;            // Fixed header, CSRCs and extension block.
  uint8_t padding_size = 0;
  // 0xBEDE, 0x1000..0x100f, or 0 without extensions; a block of any other profile is skipped.
  uint16_t extension_profile = 0;
  std::span<const uint8_t> extension_block;
};

constexpr size_t kFixedHeaderSize = 12;

// Empty when not RTP version 2, cut short, or with padding longer than the packet.
std::optional<PacketView> ParsePacket(std::span<const uint8_t> datagram);

// Reads the SSRC without parsing the rest; 0 when the packet is shorter than a fixed header.
uint32_t PeekSsrc(std::span<const uint8_t> datagram);

// The extension values of `packet` that `map` knows (RFC 8285, one- and two-byte forms). A
// malformed element ends the block silently: what came before it counts (RFC 8285, 4.1.2).
HeaderExtensions ParseExtensions(const PacketView& packet, const ExtensionMap& map);

// Where WriteHeader put the values which are stamped at the last moment, as offsets into the
// packet; 0 when the extension is not there.
struct StampOffsets {
  uint16_t abs_send_time = 0;
  uint16_t transport_sequence = 0;
};

// Writes header and extensions to the front of `out` and returns their length, or 0 if they do not
// fit. Only values whose type is in `map` are written, and no text or descriptor that
// ParseExtensions would not return; the form is the map's. The payload goes right behind. Set
// `abs_send_time` and `transport_sequence` to any value to reserve their place, which `offsets`
// (may be null) then tells.
size_t WriteHeader(const PacketHeader& header, const HeaderExtensions& extensions,
                   const ExtensionMap& map, std::span<uint8_t> out, StampOffsets* offsets);

}  // namespace vigil::rtp
