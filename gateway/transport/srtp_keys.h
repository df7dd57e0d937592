#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace vigil::transport {

// The two SRTP protection profiles that every browser has, in our order of preference: GCM is
// faster and its tag longer.
enum class SrtpProfile : uint8_t {
  kAeadAes128Gcm,    // RFC 7714, AEAD_AES_128_GCM.
  kAes128CmSha1_80,  // RFC 3711, AES128_CM_SHA1_80.
};

// Bytes of one direction's master key and master salt together (RFC 5764, 4.1.2; RFC 7714, 12).
constexpr size_t SrtpKeySize(SrtpProfile profile) {
  return profile == SrtpProfile::kAeadAes128Gcm ? 16 + 12 : 16 + 14;
}
constexpr size_t kMaxSrtpKeySize = 30;

// What a DTLS handshake leaves behind: master key and salt, one after the other, of each side.
struct SrtpKeys {
  SrtpProfile profile = SrtpProfile::kAeadAes128Gcm;
  std::array<uint8_t, kMaxSrtpKeySize> local{};   // Protects what we send.
  std::array<uint8_t, kMaxSrtpKeySize> remote{};  // Protects what the client sends.

  std::span<const uint8_t> LocalKey() const { return std::span(local).first(SrtpKeySize(profile)); }
  std::span<const uint8_t> RemoteKey() const {
    return std::span(remote).first(SrtpKeySize(profile));
  }

  template <typename F>
  void Fields(F&& f) {
    f(profile, local, remote);
  }
  bool operator==(const SrtpKeys&) const = default;
};

}  // namespace vigil::transport
