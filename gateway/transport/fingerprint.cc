#include "gateway/transport/fingerprint.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include <openssl/evp.h>
#include <openssl/x509.h>

namespace vigil::transport {
namespace {

struct HashFunction {
  std::string_view name;
  size_t size;
  const EVP_MD* (*digest)();
};

constexpr std::array<HashFunction, 3> kHashFunctions = {
    HashFunction{"sha-256", 32, EVP_sha256},
    HashFunction{"sha-384", 48, EVP_sha384},
    HashFunction{"sha-512", 64, EVP_sha512},
};

char ToLower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

const HashFunction* FindHash(std::string_view name) {
  for (const HashFunction& hash : kHashFunctions) {
    if (hash.name == name) return &hash;
  }
  return nullptr;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = ToLower(c);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

}  // namespace

bool Fingerprint::Includes(const Fingerprint& one) const {
  const size_t size = one.bytes.size();
  if (algorithm != one.algorithm || size == 0 || bytes.size() % size != 0) return false;
  for (size_t at = 0; at < bytes.size(); at += size) {
    if (std::equal(one.bytes.begin(), one.bytes.end(),
                   bytes.begin() + static_cast<std::ptrdiff_t>(at))) {
      return true;
    }
  }
  return false;
}

std::string Fingerprint::ToString() const {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string text = algorithm;
  char separator = ' ';
  for (const uint8_t byte : bytes) {
    text.push_back(separator);
    text.push_back(kHex[byte >> 4]);
    text.push_back(kHex[byte & 15]);
    separator = ':';
  }
  return text;
}

std::optional<Fingerprint> ParseFingerprint(std::string_view text) {
  const size_t space = text.find(' ');
  if (space > 7) return std::nullopt;  // Longer than any name, or no space at all.
  Fingerprint fingerprint;
  for (const char c : text.substr(0, space)) fingerprint.algorithm.push_back(ToLower(c));
  const HashFunction* const hash = FindHash(fingerprint.algorithm);
  const std::string_view digits = text.substr(space + 1);
  if (hash == nullptr || digits.size() != hash->size * 3 - 1) return std::nullopt;
  for (size_t i = 0; i < hash->size; ++i) {
    const int high = HexDigit(digits[3 * i]);
    const int low = HexDigit(digits[3 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    if (i + 1 < hash->size && digits[3 * i + 2] != ':') return std::nullopt;
    fingerprint.bytes.push_back(static_cast<uint8_t>(high << 4 | low));
  }
  return fingerprint;
}

std::optional<Fingerprint> FingerprintOf(const X509& certificate, std::string_view algorithm) {
  const HashFunction* const hash = FindHash(algorithm);
  if (hash == nullptr) return std::nullopt;
  std::array<uint8_t, EVP_MAX_MD_SIZE> digest;
  unsigned int size = 0;
  if (X509_digest(&certificate, hash->digest(), digest.data(), &size) != 1) return std::nullopt;
  return Fingerprint{std::string(hash->name), {digest.begin(), digest.begin() + size}};
}

}  // namespace vigil::transport
