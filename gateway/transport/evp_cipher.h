#pragma once

#include "absl/status/status.h"

struct srtp_cipher_type_t;  // libsrtp's.

// OpenSSL's AES and SHA-1 under libsrtp. Debian builds libsrtp with NSS, whose cost per packet
// rises thirtyfold with the number of sessions; libsrtp's public replacement hooks let the same
// library use OpenSSL's EVP instead (decisions in ARCHITECTURE.md, "SRTP").

namespace vigil::transport {

// AES-128 counter mode with a 14-byte salt (RFC 3711, 4.1.1). Also derives all session keys.
const srtp_cipher_type_t& EvpAesIcm128();
// AES-128-GCM with a 16-byte tag (RFC 7714).
const srtp_cipher_type_t& EvpAesGcm128();

// Initialises libsrtp and puts OpenSSL's ciphers and HMAC-SHA1 into it, after both have passed
// libsrtp's self-tests and ours. Call before the first SrtpSender or SrtpReceiver; any thread, any
// number of times. INTERNAL when a self-test fails or OpenSSL lacks an algorithm.
absl::Status InitSrtp();

}  // namespace vigil::transport
