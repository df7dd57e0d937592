#include "gateway/transport/certificate.h"

#include <array>

#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/x509.h>

namespace vigil::transport {
namespace {

constexpr int64_t kDay = 86'400;  // Seconds.

// 63 random bits: positive, and different in each certificate of one issuer name (RFC 5280,
// 4.1.2.2).
bool SetRandomSerial(X509& certificate) {
  std::array<uint8_t, 8> random;
  if (RAND_bytes(random.data(), random.size()) != 1) return false;
  uint64_t serial = 0;
  for (const uint8_t byte : random) serial = serial << 8 | byte;
  return ASN1_INTEGER_set_uint64(X509_get_serialNumber(&certificate), serial >> 1 | 1) == 1;
}

bool SetNames(X509& certificate) {
  X509_NAME* const name = X509_get_subject_name(&certificate);
  constexpr unsigned char kCommonName[] = "vigil";
  return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, kCommonName, -1, -1, 0) == 1 &&
         X509_set_issuer_name(&certificate, name) == 1;
}

bool SetValidity(X509& certificate, int64_t wall_seconds) {
  return ASN1_TIME_set(X509_getm_notBefore(&certificate), wall_seconds - kDay) != nullptr &&
         ASN1_TIME_set(X509_getm_notAfter(&certificate), wall_seconds + 730 * kDay) != nullptr;
}

}  // namespace

void FreeOpenSsl::operator()(X509* certificate) const { X509_free(certificate); }
void FreeOpenSsl::operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }

absl::StatusOr<Certificate> MakeCertificate(int64_t wall_seconds) {
  Certificate made;
  made.key.reset(EVP_EC_gen("P-256"));
  made.x509.reset(X509_new());
  if (made.key == nullptr || made.x509 == nullptr) {
    return absl::InternalError("OpenSSL cannot make an ECDSA P-256 key");
  }
  X509& certificate = *made.x509;
  const bool ok = X509_set_version(&certificate, X509_VERSION_3) == 1 &&
                  SetRandomSerial(certificate) && SetNames(certificate) &&
                  SetValidity(certificate, wall_seconds) &&
                  X509_set_pubkey(&certificate, made.key.get()) == 1 &&
                  X509_sign(&certificate, made.key.get(), EVP_sha256()) > 0;
  if (!ok) return absl::InternalError("OpenSSL cannot sign a certificate");
  return made;
}

}  // namespace vigil::transport
