#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "gateway/transport/fingerprint.h"

struct evp_pkey_st;  // OpenSSL's EVP_PKEY.

namespace vigil::transport {

struct FreeOpenSsl {
  void operator()(x509_st* certificate) const;
  void operator()(evp_pkey_st* key) const;
};

// A certificate and its private key.
struct Certificate {
  std::unique_ptr<evp_pkey_st, FreeOpenSsl> key;
  std::unique_ptr<x509_st, FreeOpenSsl> x509;
};

// A new self-signed ECDSA P-256 certificate. It is valid from a day before `wall_seconds` (seconds
// since 1970, UTC) for two years; WebRTC looks at its fingerprint only, some middleboxes at its
// dates. INTERNAL when OpenSSL fails.
absl::StatusOr<Certificate> MakeCertificate(int64_t wall_seconds);

}  // namespace vigil::transport
