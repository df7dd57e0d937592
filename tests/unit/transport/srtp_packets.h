#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "gateway/base/byte_io.h"
#include "gateway/base/packet_pool.h"
#include "gateway/transport/srtp_keys.h"
#include "gtest/gtest.h"
#include "tests/unit/transport/reference_srtp.h"

namespace vigil::transport::testing {

constexpr uint32_t kSsrc = 0xcafebabe;

inline Bytes MasterKey(SrtpProfile profile, uint8_t seed = 0) {
  Bytes key(SrtpKeySize(profile));
  for (size_t i = 0; i < key.size(); ++i) key[i] = static_cast<uint8_t>(i * 37 + 11 + seed);
  return key;
}

// An RTP packet whose payload tells its sequence number.
inline Bytes RtpBytes(uint16_t sequence, uint32_t ssrc = kSsrc, size_t payload_size = 100) {
  Bytes bytes(12 + payload_size);
  ByteWriter writer(bytes);
  writer.U16(0x8060);
  writer.U16(sequence);
  writer.U32(90'000u + sequence);
  writer.U32(ssrc);
  for (size_t i = 12; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(sequence + i);
  return bytes;
}

inline Bytes RtcpBytes(uint32_t ssrc = kSsrc, uint8_t fill = 7) {
  Bytes bytes(8 + 24, fill);
  ByteWriter writer(bytes);
  writer.U16(0x81c9);
  writer.U16(7);
  writer.U32(ssrc);
  return bytes;
}

inline std::unique_ptr<Packet> MakePacket(std::span<const uint8_t> bytes) {
  auto packet = std::make_unique<Packet>();
  packet->size = static_cast<uint16_t>(bytes.size());
  std::memcpy(packet->data.data(), bytes.data(), bytes.size());
  return packet;
}

inline Bytes BytesOf(const Packet& packet) {
  return Bytes(packet.data.begin(), packet.data.begin() + packet.size);
}

constexpr SrtpProfile kProfiles[] = {SrtpProfile::kAeadAes128Gcm, SrtpProfile::kAes128CmSha1_80};

}  // namespace vigil::transport::testing
