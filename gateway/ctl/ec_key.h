#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "openssl/types.h"

// Keys on the curve P-256, as PEM.

namespace vigil::ctl {

struct FreeKey {
  void operator()(EVP_PKEY* key) const;
};
using EcKey = std::unique_ptr<EVP_PKEY, FreeKey>;

EcKey MakeEcKey();
// INVALID_ARGUMENT, naming `what`, if it is no private key of P-256 in PEM.
absl::StatusOr<EcKey> ReadEcKey(const std::string& pem, std::string_view what);

std::string PrivatePem(const EcKey& key);
std::string PublicPem(const EcKey& key);

// The first 8 hexadecimal digits of the public key's SHA-256: a name that no two keys share.
std::string KeyName(const EcKey& key);

// Random bytes of the kernel, in hexadecimal.
std::string RandomHex(size_t bytes);
// A UUID of version 4.
std::string RandomUuid();

}  // namespace vigil::ctl
