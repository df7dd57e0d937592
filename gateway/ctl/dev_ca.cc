#include "gateway/ctl/dev_ca.h"

#include <algorithm>
#include <ctime>
#include <memory>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gateway/ctl/ec_key.h"
#include "gateway/ctl/files.h"
#include "openssl/asn1.h"
#include "openssl/bn.h"
#include "openssl/pem.h"
#include "openssl/x509.h"
#include "openssl/x509v3.h"

namespace vigil::ctl {
namespace {

using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;

constexpr int64_t kDay = 86'400;
constexpr int64_t kCaDays = 3'653;
// Browsers take at most 398 days. Shorter has to be renewed more often, longer leaves a stolen key
// useful for longer.
constexpr int64_t kLeafDays = 90;
// Clocks of clients may be behind by so much.
constexpr int64_t kBackdateSeconds = 3'600;

// RFC 5280, ub-common-name. Longer names are in the alternative names all the same.
constexpr size_t kMaxCommonName = 64;

struct Issuer {
  Certificate certificate{nullptr, X509_free};
  EcKey key;
};

struct Leaf {
  std::string name;               // The subject's common name.
  std::string alternative_names;  // "DNS:a,IP:10.0.0.1".
  const char* usage;              // Of X509v3 extended key usage.
};

bool IsIp(const std::string& host) {
  ASN1_OCTET_STRING* const address = a2i_IPADDRESS(host.c_str());
  ASN1_OCTET_STRING_free(address);
  return address != nullptr;
}

bool IsHostName(const std::string& host) {
  if (host.empty() || host.size() > 253 || host.front() == '-' || host.front() == '.') return false;
  const std::string_view labels =
      host.rfind("*.", 0) == 0 ? std::string_view(host).substr(2) : std::string_view(host);
  for (const char c : labels) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '.') return false;
  }
  return !labels.empty();
}

bool Extend(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, decltype(&X509_EXTENSION_free)> extension(
      X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()), X509_EXTENSION_free);
  return extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1;
}

// With a name, a random serial number, a span of validity and a key; unsigned.
Certificate Blank(const std::string& name, const EcKey& key, TimeDelta now, int64_t days) {
  Certificate certificate(X509_new(), X509_free);
  X509_set_version(certificate.get(), X509_VERSION_3);
  BIGNUM* number = nullptr;
  // Positive: 127 bits.
  BN_hex2bn(&number, ("7" + RandomHex(16).substr(1)).c_str());
  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate.get()));
  BN_free(number);
  const int64_t seconds = now.ns() / 1'000'000'000;
  ASN1_TIME_set(X509_getm_notBefore(certificate.get()),
                static_cast<time_t>(seconds - kBackdateSeconds));
  ASN1_TIME_set(X509_getm_notAfter(certificate.get()), static_cast<time_t>(seconds + days * kDay));
  X509_NAME* const subject = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(name.c_str()),
                             static_cast<int>(std::min(name.size(), kMaxCommonName)), -1, 0);
  X509_set_pubkey(certificate.get(), key.get());
  return certificate;
}

std::string Pem(const std::vector<X509*>& chain) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new(BIO_s_mem()), BIO_free);
  for (X509* certificate : chain) PEM_write_bio_X509(bio.get(), certificate);
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return {text, static_cast<size_t>(size)};
}

absl::StatusOr<EcKey> ReadOrMakeKey(const std::string& file) {
  if (FileExists(file)) {
    const absl::StatusOr<std::string> pem = ReadFile(file);
    if (!pem.ok()) return pem.status();
    return ReadEcKey(*pem, file);
  }
  EcKey key = MakeEcKey();
  const absl::Status written = ReplaceFile(file, PrivatePem(key), FileMode::kPrivate);
  if (!written.ok()) return written;
  return key;
}

absl::StatusOr<Issuer> MakeCa(const std::string& file, EcKey key, TimeDelta now) {
  Certificate ca = Blank(absl::StrCat("Vigil development CA ", RandomHex(4)), key, now, kCaDays);
  X509_set_issuer_name(ca.get(), X509_get_subject_name(ca.get()));
  const bool signed_well =
      Extend(ca.get(), ca.get(), NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
      Extend(ca.get(), ca.get(), NID_key_usage, "critical,keyCertSign,cRLSign") &&
      Extend(ca.get(), ca.get(), NID_subject_key_identifier, "hash") &&
      X509_sign(ca.get(), key.get(), EVP_sha256()) > 0;
  if (!signed_well) return absl::InternalError("the CA could not be signed");
  const absl::Status written = ReplaceFile(file, Pem({ca.get()}), FileMode::kPublic);
  if (!written.ok()) return written;
  return Issuer{std::move(ca), std::move(key)};
}

absl::StatusOr<Issuer> ReadCa(const std::string& file, EcKey key, TimeDelta now) {
  const absl::StatusOr<std::string> pem = ReadFile(file);
  if (!pem.ok()) return pem.status();
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(
      BIO_new_mem_buf(pem->data(), static_cast<int>(pem->size())), BIO_free);
  Certificate ca(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr), X509_free);
  if (ca == nullptr || X509_check_private_key(ca.get(), key.get()) != 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        file, " is no certificate of the key beside it; use another --dir to begin anew"));
  }
  time_t end = static_cast<time_t>(now.ns() / 1'000'000'000 + kLeafDays * kDay);
  if (X509_cmp_time(X509_get0_notAfter(ca.get()), &end) < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        file, " ends before a new certificate would; use another --dir and trust the new CA"));
  }
  return Issuer{std::move(ca), std::move(key)};
}

absl::Status WriteLeaf(const Leaf& leaf, const Issuer& issuer, TimeDelta now,
                       const std::string& certificate_file, const std::string& key_file) {
  const absl::StatusOr<EcKey> key = ReadOrMakeKey(key_file);
  if (!key.ok()) return key.status();
  const Certificate certificate = Blank(leaf.name, *key, now, kLeafDays);
  X509* const raw = certificate.get();
  X509* const ca = issuer.certificate.get();
  X509_set_issuer_name(raw, X509_get_subject_name(ca));
  const bool signed_well = Extend(raw, ca, NID_basic_constraints, "critical,CA:FALSE") &&
                           Extend(raw, ca, NID_key_usage, "critical,digitalSignature") &&
                           Extend(raw, ca, NID_ext_key_usage, leaf.usage) &&
                           Extend(raw, ca, NID_subject_key_identifier, "hash") &&
                           Extend(raw, ca, NID_authority_key_identifier, "keyid:always") &&
                           Extend(raw, ca, NID_subject_alt_name, leaf.alternative_names) &&
                           X509_sign(raw, issuer.key.get(), EVP_sha256()) > 0;
  if (!signed_well) return absl::InternalError("the certificate could not be signed");
  return ReplaceFile(certificate_file, Pem({raw, ca}), FileMode::kPublic);
}

absl::StatusOr<std::string> AlternativeNames(const std::vector<std::string>& hosts) {
  std::vector<std::string> names;
  for (const std::string& host : hosts) {
    if (IsIp(host)) {
      names.push_back(absl::StrCat("IP:", host));
    } else if (IsHostName(host)) {
      names.push_back(absl::StrCat("DNS:", host));
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat("--host: ", host, " is not allowed; allowed: a host's name or IP address"));
    }
  }
  if (names.empty()) return absl::InvalidArgumentError("--host: name at least one");
  return absl::StrJoin(names, ",");
}

}  // namespace

absl::StatusOr<DevCaFiles> MakeDevCertificates(const DevCaOptions& options) {
  const absl::StatusOr<std::string> names = AlternativeNames(options.hosts);
  if (!names.ok()) return names.status();
  if (!options.client.empty() && (!IsHostName(options.client) || options.client.front() == '*')) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--client: ", options.client, " is not allowed; allowed: letters, digits, '-' and '.'"));
  }
  if (const absl::Status made = MakeFolder(options.dir, FileMode::kPrivate); !made.ok()) {
    return made;
  }
  DevCaFiles files{.ca = absl::StrCat(options.dir, "/ca.pem"),
                   .certificate = absl::StrCat(options.dir, "/server.pem"),
                   .key = absl::StrCat(options.dir, "/server.key"),
                   .expire_time = options.now + TimeDelta::Seconds(kLeafDays * kDay)};
  absl::StatusOr<EcKey> ca_key = ReadOrMakeKey(absl::StrCat(options.dir, "/ca.key"));
  if (!ca_key.ok()) return ca_key.status();
  files.made_ca = !FileExists(files.ca);
  const absl::StatusOr<Issuer> issuer = files.made_ca
                                            ? MakeCa(files.ca, *std::move(ca_key), options.now)
                                            : ReadCa(files.ca, *std::move(ca_key), options.now);
  if (!issuer.ok()) return issuer.status();
  absl::Status written =
      WriteLeaf({.name = options.hosts.front(), .alternative_names = *names, .usage = "serverAuth"},
                *issuer, options.now, files.certificate, files.key);
  if (!written.ok() || options.client.empty()) {
    if (!written.ok()) return written;
    return files;
  }
  files.client_certificate = absl::StrCat(options.dir, "/client-", options.client, ".pem");
  files.client_key = absl::StrCat(options.dir, "/client-", options.client, ".key");
  written = WriteLeaf({.name = options.client,
                       .alternative_names = absl::StrCat("DNS:", options.client),
                       .usage = "clientAuth"},
                      *issuer, options.now, files.client_certificate, files.client_key);
  if (!written.ok()) return written;
  return files;
}

}  // namespace vigil::ctl
