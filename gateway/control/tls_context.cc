#include "gateway/control/tls_context.h"

#include <ctime>
#include <fstream>
#include <iterator>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "openssl/ssl.h"
#include "openssl/x509.h"

namespace vigil::control {
namespace {

namespace ssl = boost::asio::ssl;

// TLS 1.2 with forward secrecy, and 1.3 with its own suites.
constexpr char kCiphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20";

std::string ReadFile(const std::string& name) {
  std::ifstream file(name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

int64_t ExpiryOf(SSL_CTX* context) {
  const X509* certificate = SSL_CTX_get0_certificate(context);
  std::tm time{};
  if (certificate == nullptr || ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &time) != 1) {
    return 0;
  }
  return timegm(&time);
}

}  // namespace

absl::Status TlsContext::Reload() {
  TlsContents read{.certificate = ReadFile(files_.certificate),
                   .key = ReadFile(files_.key),
                   .client_ca = files_.client_ca.empty() ? "" : ReadFile(files_.client_ca)};
  if (read == looked_at_) return absl::OkStatus();
  looked_at_ = read;

  auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  const auto fail = [](const char* name, const std::string& file,
                       const boost::system::error_code& error) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": cannot use ", file, ": ", error.message()));
  };
  // Asked before the library is: nothing to read is no error to it everywhere.
  for (const auto& [name, file, text] :
       {std::tuple("tls.certificate", files_.certificate, &read.certificate),
        std::tuple("tls.key", files_.key, &read.key),
        std::tuple("tls.client_ca", files_.client_ca, &read.client_ca)}) {
    if (!file.empty() && text->empty()) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": nothing to read in ", file));
    }
  }
  boost::system::error_code error;
  // A key with a pass phrase would ask the terminal for it.
  context->set_password_callback([](size_t, ssl::context::password_purpose) { return ""; }, error);
  context->use_certificate_chain(boost::asio::buffer(read.certificate), error);
  if (error) return fail("tls.certificate", files_.certificate, error);
  context->use_private_key(boost::asio::buffer(read.key), ssl::context::pem, error);
  if (error) return fail("tls.key", files_.key, error);
  SSL_CTX* const native = context->native_handle();
  if (SSL_CTX_check_private_key(native) != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("tls.key: ", files_.key, " is not the key of ", files_.certificate));
  }
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(native, kCiphers);
  SSL_CTX_set_options(native, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  // By its name, not by what is in it: an emptied file must not let everybody in.
  if (!files_.client_ca.empty()) {
    context->add_certificate_authority(boost::asio::buffer(read.client_ca), error);
    if (error) return fail("tls.client_ca", files_.client_ca, error);
    // Each connection shows its certificate: none goes on with what an earlier one has shown.
    SSL_CTX_set_session_cache_mode(native, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(native, SSL_OP_NO_TICKET);
    context->set_verify_mode(ssl::verify_peer | ssl::verify_fail_if_no_peer_cert, error);
  }
  current_ = std::move(context);
  expires_ = ExpiryOf(native);
  contents_ = std::move(read);
  return absl::OkStatus();
}

}  // namespace vigil::control
