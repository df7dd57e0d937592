#include "gateway/ice/credentials.h"

#include <algorithm>

#include "gateway/base/check.h"

namespace vigil::ice {
namespace {

// RFC 4648 base32 in lower case: every character is an ice-char, and none needs escaping anywhere.
constexpr std::string_view kAlphabet = "abcdefghijklmnopqrstuvwxyz234567";
// 7 characters hold 35 bits: a 32-bit group with three zero bits in front.
constexpr size_t kGroupCharacters = 7;
constexpr size_t kMinUfragCharacters = kGroupCharacters + (kMinUfragRandomBytes * 8 + 4) / 5;

int ValueOf(char c) {
  if (c >= 'a' && c <= 'z') return c - 'a';
  if (c >= '2' && c <= '7') return c - '2' + 26;
  return -1;
}

void AppendBase32(std::span<const uint8_t> bytes, std::string& out) {
  uint32_t bits = 0;
  int count = 0;
  for (const uint8_t byte : bytes) {
    bits = bits << 8 | byte;
    count += 8;
    while (count >= 5) {
      count -= 5;
      out.push_back(kAlphabet[bits >> count & 31]);
    }
  }
  if (count > 0) out.push_back(kAlphabet[bits << (5 - count) & 31]);
}

}  // namespace

std::string MakeUfrag(GroupId group, std::span<const uint8_t> random) {
  VIGIL_CHECK(random.size() >= kMinUfragRandomBytes);
  std::string ufrag;
  for (size_t i = 0; i < kGroupCharacters; ++i) {
    const size_t shift = 5 * (kGroupCharacters - 1 - i);
    ufrag.push_back(kAlphabet[static_cast<uint64_t>(group.value()) >> shift & 31]);
  }
  AppendBase32(random.first(std::min<size_t>(random.size(), 20)), ufrag);
  return ufrag;
}

std::optional<GroupId> GroupOfUfrag(std::string_view ufrag) {
  if (ufrag.size() < kMinUfragCharacters) return std::nullopt;
  uint64_t group = 0;
  for (size_t i = 0; i < kGroupCharacters; ++i) {
    const int value = ValueOf(ufrag[i]);
    if (value < 0) return std::nullopt;
    group = group << 5 | static_cast<uint64_t>(value);
  }
  if (group > 0xffffffff) return std::nullopt;
  return GroupId(static_cast<uint32_t>(group));
}

std::string MakePassword(std::span<const uint8_t> random) {
  VIGIL_CHECK(random.size() >= kMinPasswordRandomBytes);
  std::string password;
  AppendBase32(random.first(std::min<size_t>(random.size(), 40)), password);
  return password;
}

}  // namespace vigil::ice
