#include "gateway/ctl/ec_key.h"

#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "gateway/io/clock.h"
#include "openssl/bio.h"
#include "openssl/ec.h"
#include "openssl/evp.h"
#include "openssl/pem.h"
#include "openssl/sha.h"
#include "openssl/x509.h"

namespace vigil::ctl {
namespace {

using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;

template <typename Write>
std::string Pem(Write write) {
  const Bio bio(BIO_new(BIO_s_mem()), BIO_free);
  write(bio.get());
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return {text, static_cast<size_t>(size)};
}

}  // namespace

void FreeKey::operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }

EcKey MakeEcKey() { return EcKey(EVP_EC_gen("P-256")); }

absl::StatusOr<EcKey> ReadEcKey(const std::string& pem, std::string_view what) {
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free);
  // Without a password prompt: an encrypted key is an error.
  EcKey key(PEM_read_bio_PrivateKey(
      bio.get(), nullptr, [](char*, int, int, void*) { return -1; }, nullptr));
  char group[32];
  size_t size = 0;
  if (key == nullptr || EVP_PKEY_get_group_name(key.get(), group, sizeof group, &size) != 1 ||
      std::string_view(group, size) != "prime256v1") {
    return absl::InvalidArgumentError(
        absl::StrCat(std::string(what), " is no private key of P-256 in PEM"));
  }
  return key;
}

std::string PrivatePem(const EcKey& key) {
  return Pem([&key](BIO* bio) {
    PEM_write_bio_PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
}

std::string PublicPem(const EcKey& key) {
  return Pem([&key](BIO* bio) { PEM_write_bio_PUBKEY(bio, key.get()); });
}

std::string KeyName(const EcKey& key) {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key.get(), &der);
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(der, static_cast<size_t>(size), digest);
  OPENSSL_free(der);
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest), 4));
}

std::string RandomHex(size_t bytes) {
  std::vector<uint8_t> random(bytes);
  io::FillRandom(random);
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(random.data()), random.size()));
}

std::string RandomUuid() {
  std::string hex = RandomHex(16);
  hex[12] = '4';                  // Version (RFC 9562, 5.4).
  hex[16] = "89ab"[hex[16] % 4];  // Variant.
  for (const size_t at : {20, 16, 12, 8}) hex.insert(at, 1, '-');
  return hex;
}

}  // namespace vigil::ctl
