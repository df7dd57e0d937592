#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

struct x509_st;  // OpenSSL's X509.

namespace vigil::transport {

// The hash of a certificate, as SDP carries it (RFC 8122, section 5): what binds a DTLS
// association to the signalling.
struct Fingerprint {
  std::string algorithm;  // "sha-256", lower case.
  // One digest; of a client that has several certificates theirs, one behind the other.
  std::vector<uint8_t> bytes;

  // Whether `one`, of the certificate that was shown, is among these.
  bool Includes(const Fingerprint& one) const;

  // "sha-256 AA:BB:...", the value of a=fingerprint.
  std::string ToString() const;

  template <typename F>
  void Fields(F&& f) {
    f(algorithm, bytes);
  }
  bool operator==(const Fingerprint&) const = default;
};

// Reads the value of a=fingerprint: sha-256, sha-384 or sha-512 in any letter case, and as many
// bytes as that hash has. Empty for anything else; RFC 8122 retires MD2 and MD5, and nothing that
// speaks WebRTC is limited to SHA-1.
std::optional<Fingerprint> ParseFingerprint(std::string_view text);

// The hash of `certificate` by `algorithm`; empty if that is not one of the above.
std::optional<Fingerprint> FingerprintOf(const x509_st& certificate, std::string_view algorithm);

}  // namespace vigil::transport
