#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string_view>
#include <vector>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "gateway/transport/srtp_keys.h"

// SRTP and SRTCP written straight from RFC 3711 and RFC 7714 on OpenSSL's primitives, one packet at
// a time and without libsrtp: slow, and independent of the code under test.

namespace vigil::transport::testing {

using Bytes = std::vector<uint8_t>;

inline Bytes FromHex(std::string_view hex) {
  Bytes bytes;
  int half = -1;
  for (const char c : hex) {
    if (c == ' ') continue;
    const int digit = c <= '9' ? c - '0' : (c | 32) - 'a' + 10;
    if (half < 0) {
      half = digit;
    } else {
      bytes.push_back(static_cast<uint8_t>(half << 4 | digit));
      half = -1;
    }
  }
  return bytes;
}

inline Bytes Join(std::initializer_list<std::span<const uint8_t>> parts) {
  Bytes all;
  for (const auto part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

// AES-128 in counter mode from a full 16-byte counter block.
inline Bytes AesCtr(std::span<const uint8_t> key, std::span<const uint8_t> counter,
                    std::span<const uint8_t> in) {
  Bytes out(in.size());
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  int n = 0;
  EVP_EncryptInit_ex(context, EVP_aes_128_ctr(), nullptr, key.data(), counter.data());
  EVP_EncryptUpdate(context, out.data(), &n, in.data(), static_cast<int>(in.size()));
  EVP_CIPHER_CTX_free(context);
  return out;
}

// Ciphertext and 16-byte tag.
inline Bytes AesGcm(std::span<const uint8_t> key, std::span<const uint8_t> iv,
                    std::span<const uint8_t> aad, std::span<const uint8_t> in) {
  Bytes out(in.size() + 16);
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  int n = 0;
  EVP_EncryptInit_ex(context, EVP_aes_128_gcm(), nullptr, key.data(), iv.data());
  EVP_EncryptUpdate(context, nullptr, &n, aad.data(), static_cast<int>(aad.size()));
  EVP_EncryptUpdate(context, out.data(), &n, in.data(), static_cast<int>(in.size()));
  EVP_EncryptFinal_ex(context, out.data() + in.size(), &n);
  EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, 16, out.data() + in.size());
  EVP_CIPHER_CTX_free(context);
  return out;
}

inline Bytes HmacSha1(std::span<const uint8_t> key, std::span<const uint8_t> in, size_t size) {
  Bytes mac(20);
  unsigned n = 0;
  HMAC(EVP_sha1(), key.data(), static_cast<int>(key.size()), in.data(), in.size(), mac.data(), &n);
  mac.resize(size);
  return mac;
}

// RFC 3711, 4.3.1 and 4.3.3, with key derivation rate 0. `salt` is padded to 14 bytes (RFC 7714,
// 11).
inline Bytes DeriveKey(std::span<const uint8_t> master_key, std::span<const uint8_t> salt,
                       uint8_t label, size_t size) {
  std::array<uint8_t, 16> counter{};
  std::copy(salt.begin(), salt.end(), counter.begin());
  counter[7] ^= label;
  return AesCtr(master_key, counter, Bytes(size));
}

struct SessionKeys {
  Bytes cipher;
  Bytes auth;
  Bytes salt;
};

inline SessionKeys DeriveSession(SrtpProfile profile, std::span<const uint8_t> master, bool rtcp) {
  const auto key = master.first(16);
  const auto salt = master.subspan(16);
  const auto base = static_cast<uint8_t>(rtcp ? 3 : 0);
  const size_t salt_size = profile == SrtpProfile::kAeadAes128Gcm ? 12 : 14;
  return {DeriveKey(key, salt, base, 16), DeriveKey(key, salt, static_cast<uint8_t>(base + 1), 20),
          DeriveKey(key, salt, static_cast<uint8_t>(base + 2), salt_size)};
}

inline void PutBig(std::span<uint8_t> out, uint64_t value) {
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<uint8_t>(value >> (8 * (out.size() - 1 - i)));
  }
}

inline Bytes Big(uint64_t value, size_t size) {
  Bytes out(size);
  PutBig(out, value);
  return out;
}

// RFC 7714, 8.1 (SRTP, a 48-bit index) and 9.1 (SRTCP, a 31-bit index): both come out as the SSRC
// at byte 2 and the index in the last six bytes.
inline Bytes GcmIv(std::span<const uint8_t> salt, std::span<const uint8_t> ssrc, uint64_t index) {
  Bytes iv(12);
  std::copy(ssrc.begin(), ssrc.end(), iv.begin() + 2);
  PutBig(std::span(iv).subspan(6), index);
  for (size_t i = 0; i < 12; ++i) iv[i] ^= salt[i];
  return iv;
}

// RFC 3711, 4.1.1.
inline Bytes CmIv(std::span<const uint8_t> salt, std::span<const uint8_t> ssrc, uint64_t index) {
  Bytes iv(16);
  std::copy(ssrc.begin(), ssrc.end(), iv.begin() + 4);
  PutBig(std::span(iv).subspan(8, 6), index);
  for (size_t i = 0; i < 14; ++i) iv[i] ^= salt[i];
  return iv;
}

inline size_t RtpHeaderSize(std::span<const uint8_t> packet) {
  size_t size = 12 + 4 * static_cast<size_t>(packet[0] & 15);
  if ((packet[0] & 16) != 0)
    size += 4 + 4 * static_cast<size_t>(packet[size + 2] << 8 | packet[size + 3]);
  return size;
}

inline Bytes ProtectRtp(SrtpProfile profile, const SessionKeys& keys,
                        std::span<const uint8_t> packet, uint64_t index) {
  const size_t header_size = RtpHeaderSize(packet);
  const auto header = packet.first(header_size);
  const auto payload = packet.subspan(header_size);
  const auto ssrc = packet.subspan(8, 4);
  if (profile == SrtpProfile::kAeadAes128Gcm) {
    return Join({header, AesGcm(keys.cipher, GcmIv(keys.salt, ssrc, index), header, payload)});
  }
  Bytes out = Join({header, AesCtr(keys.cipher, CmIv(keys.salt, ssrc, index), payload)});
  const Bytes tag = HmacSha1(keys.auth, Join({out, Big(index >> 16, 4)}), 10);
  return Join({out, tag});
}

inline Bytes ProtectRtcp(SrtpProfile profile, const SessionKeys& keys,
                         std::span<const uint8_t> packet, uint32_t index) {
  const auto header = packet.first(8);
  const auto payload = packet.subspan(8);
  const auto ssrc = packet.subspan(4, 4);
  const Bytes trailer = Big(0x80000000 | index, 4);
  if (profile == SrtpProfile::kAeadAes128Gcm) {
    return Join(
        {header,
         AesGcm(keys.cipher, GcmIv(keys.salt, ssrc, index), Join({header, trailer}), payload),
         trailer});
  }
  Bytes out = Join({header, AesCtr(keys.cipher, CmIv(keys.salt, ssrc, index), payload), trailer});
  return Join({out, HmacSha1(keys.auth, out, 10)});
}

}  // namespace vigil::transport::testing
