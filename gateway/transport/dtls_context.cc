#include "gateway/transport/dtls_context.h"

#include <optional>
#include <utility>

#include <openssl/ssl.h>

namespace vigil::transport {
namespace {

// AES-GCM only: RFC 8827, 6.5 makes every WebRTC client have the first one, and DtlsEpilogue reads
// no other. Our certificate is ECDSA, so the RSA suites are never chosen; they are named so that a
// change of the certificate needs none here.
constexpr const char* kCiphers =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384";
constexpr const char* kGroups = "X25519:P-256";
// In our order of preference, which is the one that counts (OpenSSL's server picks by it).
constexpr const char* kSrtpProfiles = "SRTP_AEAD_AES_128_GCM:SRTP_AES128_CM_SHA1_80";

// Any certificate will do for the handshake: WebRTC's are self-signed, and the session compares
// the fingerprint before it uses a key.
int AcceptCertificate(X509_STORE_CTX*, void*) { return 1; }

bool Configure(SSL_CTX* context) {
  SSL_CTX_set_options(context, SSL_OP_NO_QUERY_MTU | SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
                                   SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_cert_verify_callback(context, AcceptCertificate, nullptr);
  // Zero is success here, alone among OpenSSL's functions.
  return SSL_CTX_set_tlsext_use_srtp(context, kSrtpProfiles) == 0 &&
         SSL_CTX_set_min_proto_version(context, DTLS1_2_VERSION) == 1 &&
         SSL_CTX_set_max_proto_version(context, DTLS1_2_VERSION) == 1 &&
         SSL_CTX_set_cipher_list(context, kCiphers) == 1 &&
         SSL_CTX_set1_groups_list(context, kGroups) == 1;
}

}  // namespace

void DtlsContext::FreeContext::operator()(SSL_CTX* context) const { SSL_CTX_free(context); }

DtlsContext::DtlsContext(ContextPointer context, Fingerprint fingerprint)
    : context_(std::move(context)), fingerprint_(std::move(fingerprint)) {}

absl::StatusOr<std::unique_ptr<DtlsContext>> DtlsContext::Create(const Options& options) {
  absl::StatusOr<Certificate> certificate = MakeCertificate(options.wall_seconds);
  if (!certificate.ok()) return certificate.status();
  ContextPointer context(SSL_CTX_new(DTLS_server_method()));
  if (context == nullptr || !Configure(context.get()) ||
      SSL_CTX_use_certificate(context.get(), certificate->x509.get()) != 1 ||
      SSL_CTX_use_PrivateKey(context.get(), certificate->key.get()) != 1) {
    return absl::InternalError("OpenSSL refuses the DTLS settings");
  }
  std::optional<Fingerprint> fingerprint = FingerprintOf(*certificate->x509, "sha-256");
  if (!fingerprint) return absl::InternalError("OpenSSL cannot hash a certificate");
  return std::unique_ptr<DtlsContext>(new DtlsContext(std::move(context), std::move(*fingerprint)));
}

}  // namespace vigil::transport
