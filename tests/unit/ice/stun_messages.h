#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <openssl/evp.h>
#include <openssl/hmac.h>

// STUN messages written by hand, without libnice: what the code under test reads and writes is
// checked by a second implementation.

namespace vigil::ice::testing {

inline uint32_t Crc32(std::span<const uint8_t> bytes) {
  uint32_t crc = 0xffffffff;
  for (const uint8_t byte : bytes) {
    crc ^= byte;
    for (int i = 0; i < 8; ++i) crc = crc >> 1 ^ (0xedb88320 & (0 - (crc & 1)));
  }
  return ~crc;
}

class MessageBuilder {
 public:
  // Goes on where `message` ends.
  explicit MessageBuilder(std::vector<uint8_t> message) : bytes_(std::move(message)) {}
  explicit MessageBuilder(uint16_t type, uint8_t transaction = 7) {
    U16(type);
    U16(0);
    for (const uint8_t b : {0x21, 0x12, 0xa4, 0x42}) bytes_.push_back(b);
    for (int i = 0; i < 12; ++i) bytes_.push_back(static_cast<uint8_t>(transaction + i));
  }
  MessageBuilder& Attribute(uint16_t type, std::span<const uint8_t> value) {
    U16(type);
    U16(static_cast<uint16_t>(value.size()));
    bytes_.insert(bytes_.end(), value.begin(), value.end());
    while (bytes_.size() % 4 != 0) bytes_.push_back(0);
    SetLength(bytes_.size());
    return *this;
  }
  MessageBuilder& Attribute(uint16_t type, std::string_view value) {
    return Attribute(type, {reinterpret_cast<const uint8_t*>(value.data()), value.size()});
  }
  MessageBuilder& Integrity(std::string_view password) {
    SetLength(bytes_.size() + 24);
    uint8_t mac[20];
    unsigned size = 0;
    HMAC(EVP_sha1(), password.data(), static_cast<int>(password.size()), bytes_.data(),
         bytes_.size(), mac, &size);
    return Attribute(0x0008, std::span<const uint8_t>(mac, 20));
  }
  MessageBuilder& Fingerprint() {
    SetLength(bytes_.size() + 8);
    const uint32_t crc = Crc32(bytes_) ^ 0x5354554e;
    const uint8_t value[4] = {static_cast<uint8_t>(crc >> 24), static_cast<uint8_t>(crc >> 16),
                              static_cast<uint8_t>(crc >> 8), static_cast<uint8_t>(crc)};
    return Attribute(0x8028, std::span<const uint8_t>(value, 4));
  }
  std::vector<uint8_t> Take() { return std::move(bytes_); }

 private:
  void U16(uint16_t v) {
    bytes_.push_back(static_cast<uint8_t>(v >> 8));
    bytes_.push_back(static_cast<uint8_t>(v));
  }
  void SetLength(size_t message_size) {
    bytes_[2] = static_cast<uint8_t>((message_size - 20) >> 8);
    bytes_[3] = static_cast<uint8_t>(message_size - 20);
  }
  std::vector<uint8_t> bytes_;
};

struct CheckOptions {
  std::string username = "abcd:efgh";
  std::string password = "a password of the gateway";
  bool use_candidate = false;
  bool controlled = false;
  bool integrity = true;
  bool fingerprint = true;
  uint16_t extra_attribute = 0;
  uint16_t type = 0x0001;
  uint8_t transaction = 7;
  uint8_t priority = 0x6e;  // Its first byte.
};

// A connectivity check as Chromium sends it.
inline std::vector<uint8_t> MakeCheck(const CheckOptions& options) {
  const uint8_t eight[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  const uint8_t four[4] = {options.priority, 0, 1, 0xff};
  MessageBuilder message(options.type, options.transaction);
  message.Attribute(0x0006, options.username);
  if (options.extra_attribute != 0) message.Attribute(options.extra_attribute, four);
  message.Attribute(options.controlled ? 0x8029 : 0x802a, eight);
  if (options.use_candidate) message.Attribute(0x0025, std::string_view());
  message.Attribute(0x0024, four);
  if (options.integrity) message.Integrity(options.password);
  if (options.fingerprint) message.Fingerprint();
  return message.Take();
}

// The value of the first attribute of `type`; empty if there is none.
inline std::span<const uint8_t> FindAttribute(std::span<const uint8_t> message, uint16_t type) {
  for (size_t at = 20; at + 4 <= message.size();) {
    const auto found = static_cast<uint16_t>(message[at] << 8 | message[at + 1]);
    const size_t size = static_cast<size_t>(message[at + 2] << 8 | message[at + 3]);
    if (found == type) return message.subspan(at + 4, size);
    at += 4 + (size + 3) / 4 * 4;
  }
  return {};
}

// True when FINGERPRINT is last and right and MESSAGE-INTEGRITY is in front of it and right.
inline bool IsSealed(std::span<const uint8_t> message, std::string_view password) {
  if (message.size() < 52) return false;
  const size_t at = message.size() - 32;
  std::vector<uint8_t> head(message.begin(), message.begin() + static_cast<ptrdiff_t>(at));
  head[2] = static_cast<uint8_t>((at + 4) >> 8);
  head[3] = static_cast<uint8_t>(at + 4);
  uint8_t mac[20];
  unsigned size = 0;
  HMAC(EVP_sha1(), password.data(), static_cast<int>(password.size()), head.data(), head.size(),
       mac, &size);
  const uint32_t crc = Crc32(message.first(message.size() - 8)) ^ 0x5354554e;
  const uint8_t* tail = message.data() + message.size() - 4;
  const uint32_t sent = static_cast<uint32_t>(tail[0]) << 24 |
                        static_cast<uint32_t>(tail[1]) << 16 | static_cast<uint32_t>(tail[2]) << 8 |
                        tail[3];
  return message[at] == 0 && message[at + 1] == 8 &&
         std::memcmp(mac, message.data() + at + 4, 20) == 0 && crc == sent;
}

inline uint16_t TypeOf(std::span<const uint8_t> message) {
  return message.size() < 2 ? 0 : static_cast<uint16_t>(message[0] << 8 | message[1]);
}

// 400, 420, ...; 0 without ERROR-CODE.
inline int ErrorOf(std::span<const uint8_t> message) {
  const std::span<const uint8_t> value = FindAttribute(message, 0x0009);
  return value.size() < 4 ? 0 : value[2] * 100 + value[3];
}

}  // namespace vigil::ice::testing
