#include "tests/support/dtls_client.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "gateway/base/check.h"

namespace vigil::testing {
namespace {

using transport::Datagrams;
using transport::SrtpKeys;
using transport::SrtpProfile;

unsigned int NeverTimeout(SSL*, unsigned int) { return 3'600'000'000U; }
int AcceptCertificate(X509_STORE_CTX*, void*) { return 1; }

SrtpKeys ExportKeys(SSL* ssl) {
  SrtpKeys keys;
  const SRTP_PROTECTION_PROFILE* const selected = SSL_get_selected_srtp_profile(ssl);
  VIGIL_CHECK(selected != nullptr);
  const bool gcm = selected->id == SRTP_AEAD_AES_128_GCM;
  keys.profile = gcm ? SrtpProfile::kAeadAes128Gcm : SrtpProfile::kAes128CmSha1_80;
  const size_t salt = gcm ? 12 : 14;
  std::vector<uint8_t> material(2 * (16 + salt));
  constexpr std::string_view kLabel = "EXTRACTOR-dtls_srtp";
  VIGIL_CHECK(SSL_export_keying_material(ssl, material.data(), material.size(), kLabel.data(),
                                         kLabel.size(), nullptr, 0, 0) == 1);
  const uint8_t* p = material.data();
  std::copy_n(p, 16, keys.local.begin());
  std::copy_n(p + 16, 16, keys.remote.begin());
  std::copy_n(p + 32, salt, keys.local.begin() + 16);
  std::copy_n(p + 32 + salt, salt, keys.remote.begin() + 16);
  return keys;
}

// A list of protocol names of `size` bytes in all (RFC 7301, 3.1).
std::vector<uint8_t> MakeProtocolNames(int size) {
  std::vector<uint8_t> names;
  while (size > 1) {
    const int n = std::min(size - 1, 200);
    names.push_back(static_cast<uint8_t>(n));
    names.insert(names.end(), static_cast<size_t>(n), static_cast<uint8_t>('a'));
    size -= n + 1;
  }
  return names;
}

}  // namespace

void DtlsClient::FreeSsl::operator()(SSL* ssl) const { SSL_free(ssl); }
void DtlsClient::FreeSsl::operator()(SSL_CTX* context) const { SSL_CTX_free(context); }

DtlsClient::DtlsClient(const Options& options) : context_(SSL_CTX_new(DTLS_client_method())) {
  SSL_CTX* const context = context_.get();
  absl::StatusOr<transport::Certificate> certificate =
      transport::MakeCertificate(options.wall_seconds);
  VIGIL_CHECK(certificate.ok());
  fingerprint_ = *transport::FingerprintOf(*certificate->x509, "sha-256");
  if (options.send_certificate) {
    VIGIL_CHECK(SSL_CTX_use_certificate(context, certificate->x509.get()) == 1);
    VIGIL_CHECK(SSL_CTX_use_PrivateKey(context, certificate->key.get()) == 1);
  }
  SSL_CTX_set_options(context, SSL_OP_NO_QUERY_MTU);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_cert_verify_callback(context, AcceptCertificate, nullptr);
  VIGIL_CHECK(SSL_CTX_set_cipher_list(context, options.ciphers.c_str()) == 1);
  if (!options.srtp_profiles.empty()) {
    VIGIL_CHECK(SSL_CTX_set_tlsext_use_srtp(context, options.srtp_profiles.c_str()) == 0);
  }
  if (options.hello_padding > 0) {
    const std::vector<uint8_t> names = MakeProtocolNames(options.hello_padding);
    VIGIL_CHECK(
        SSL_CTX_set_alpn_protos(context, names.data(), static_cast<unsigned>(names.size())) == 0);
  }
  ssl_.reset(SSL_new(context));
  BIO* const bio = bio_.MakeBio();
  SSL_set_bio(ssl_.get(), bio, bio);
  DTLS_set_link_mtu(ssl_.get(), options.mtu);
  DTLS_set_timer_cb(ssl_.get(), NeverTimeout);
  SSL_set_connect_state(ssl_.get());
}

DtlsClient::~DtlsClient() = default;

Datagrams DtlsClient::Start() { return Continue(); }

Datagrams DtlsClient::HandleDatagram(std::span<const uint8_t> datagram) {
  bio_.SetInput(datagram);
  Datagrams answer = Continue();
  bio_.ClearInput();
  return answer;
}

Datagrams DtlsClient::Retransmit() {
  for (std::vector<uint8_t>& datagram : flight_) {
    for (size_t at = 0; at + 13 <= datagram.size();) {
      const bool encrypted = datagram[at + 4] != 0;
      if (!encrypted) ++datagram[at + 9];  // Adds 256 to the sequence number.
      at += 13 + static_cast<size_t>(datagram[at + 11] << 8 | datagram[at + 12]);
    }
  }
  return flight_;
}

Datagrams DtlsClient::Close() {
  ERR_clear_error();
  SSL_shutdown(ssl_.get());
  return bio_.TakeOutput();
}

Datagrams DtlsClient::Send(std::span<const uint8_t> data) {
  ERR_clear_error();
  SSL_write(ssl_.get(), data.data(), static_cast<int>(data.size()));
  return bio_.TakeOutput();
}

transport::Fingerprint DtlsClient::FingerprintBy(std::string_view algorithm) const {
  return *transport::FingerprintOf(*SSL_CTX_get0_certificate(context_.get()), algorithm);
}

std::optional<transport::Fingerprint> DtlsClient::ServerFingerprint() const {
  const std::unique_ptr<X509, transport::FreeOpenSsl> certificate(
      SSL_get1_peer_certificate(ssl_.get()));
  if (certificate == nullptr) return std::nullopt;
  return transport::FingerprintOf(*certificate, "sha-256");
}

Datagrams DtlsClient::Continue() {
  ERR_clear_error();
  int status = 0;
  if (!connected_) {
    status = SSL_connect(ssl_.get());
    if (status == 1) OnConnected();
  } else {
    std::array<uint8_t, 2048> ignored;
    status = SSL_read(ssl_.get(), ignored.data(), static_cast<int>(ignored.size()));
  }
  if (status <= 0) {
    const int error = SSL_get_error(ssl_.get(), status);
    if (error == SSL_ERROR_ZERO_RETURN) {
      closed_ = true;
    } else if (error != SSL_ERROR_WANT_READ) {
      failed_ = true;
    }
  }
  Datagrams out = bio_.TakeOutput();
  if (!out.empty()) flight_ = out;
  return out;
}

void DtlsClient::OnConnected() {
  connected_ = true;
  keys_ = ExportKeys(ssl_.get());
}

}  // namespace vigil::testing
