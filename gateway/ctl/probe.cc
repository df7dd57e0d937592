#include "gateway/ctl/probe.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <memory>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gateway/ctl/time_text.h"
#include "gateway/io/clock.h"
#include "openssl/bio.h"
#include "openssl/err.h"
#include "openssl/ssl.h"
#include "openssl/x509v3.h"

namespace vigil::ctl {
namespace {

using Bio = std::unique_ptr<BIO, decltype(&BIO_free_all)>;
using Context = std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)>;

// How often a waiting read looks at the socket, in ms.
constexpr int kNapMillis = 20;
constexpr size_t kMaxBody = 4'096;

// What OpenSSL recorded last. What the system said goes before what OpenSSL made of it.
std::string LastError(std::string_view otherwise) {
  std::string text(otherwise);
  bool system = false;
  const char* data = nullptr;
  int flags = 0;
  while (const unsigned long code = ERR_get_error_all(nullptr, nullptr, nullptr, &data, &flags)) {
    if (ERR_SYSTEM_ERROR(code)) {
      text = std::error_code(ERR_GET_REASON(code), std::generic_category()).message();
      system = true;
    } else if (!system && ERR_GET_REASON(code) == ERR_R_SYS_LIB && (flags & ERR_TXT_STRING) != 0) {
      text = data;  // Of looking up a name.
      system = true;
    } else if (const char* reason = ERR_reason_error_string(code); !system && reason != nullptr) {
      text = reason;
    }
  }
  return text;
}

Timestamp Deadline(TimeDelta timeout) { return io::MonotonicNow() + timeout; }

// BIO_wait counts in whole seconds of the wall clock.
bool WaitFor(BIO* bio, Timestamp deadline) {
  const TimeDelta left = deadline - io::MonotonicNow();
  if (left <= TimeDelta::Zero()) return false;
  const auto now = static_cast<time_t>(UnixNow().ns() / 1'000'000'000);
  return BIO_wait(bio, now + 1 + static_cast<time_t>(left.ms() / 1'000), kNapMillis) > 0;
}

// Tries each address of the host.
absl::StatusOr<Bio> Connect(const Endpoint& endpoint, Timestamp deadline) {
  ERR_clear_error();
  Bio bio(BIO_new(BIO_s_connect()), BIO_free_all);
  BIO_set_conn_hostname(bio.get(), endpoint.host.c_str());
  BIO_set_conn_port(bio.get(), endpoint.port.c_str());
  BIO_set_nbio(bio.get(), 1);
  while (BIO_do_connect(bio.get()) != 1) {
    if (!BIO_should_retry(bio.get())) return absl::UnavailableError(LastError("cannot connect"));
    if (!WaitFor(bio.get(), deadline)) {
      return absl::UnavailableError("no answer: a firewall, or the wrong address");
    }
  }
  return bio;
}

std::string NameText(const X509_NAME* name) {
  const Bio bio(BIO_new(BIO_s_mem()), BIO_free_all);
  X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB);
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return {text, static_cast<size_t>(size)};
}

std::string AlternativeNames(X509* certificate) {
  std::vector<std::string> texts;
  auto* names = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    const Bio bio(BIO_new(BIO_s_mem()), BIO_free_all);
    GENERAL_NAME_print(bio.get(), const_cast<GENERAL_NAME*>(name));
    char* text = nullptr;
    const long size = BIO_get_mem_data(bio.get(), &text);
    texts.emplace_back(text, static_cast<size_t>(size));
  }
  GENERAL_NAMES_free(names);
  return texts.empty() ? "no name" : absl::StrJoin(texts, ", ");
}

TimeDelta SinceEpoch(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return TimeDelta::Zero();
  return TimeDelta::Seconds(std::min<int64_t>(timegm(&parts), 9'000'000'000));
}

void Describe(SSL* ssl, TlsAnswer& answer) {
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(SSL_get1_peer_certificate(ssl),
                                                                X509_free);
  if (certificate == nullptr) return;
  answer.subject = NameText(X509_get_subject_name(certificate.get()));
  answer.issuer = NameText(X509_get_issuer_name(certificate.get()));
  answer.names = AlternativeNames(certificate.get());
  answer.expire_time = SinceEpoch(X509_get0_notAfter(certificate.get()));
}

TlsProblem ProblemOf(long verified) {
  switch (verified) {
    case X509_V_OK:
      return TlsProblem::kNone;
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return TlsProblem::kExpired;
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return TlsProblem::kNotYetValid;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return TlsProblem::kWrongName;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return TlsProblem::kUnknownCa;
    default:
      return TlsProblem::kOther;
  }
}

// What the other end told us, or how what it sent cannot be TLS.
TlsProblem ProblemOfError(unsigned long code) {
  switch (ERR_GET_REASON(code)) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_UNSUPPORTED_PROTOCOL:
      return TlsProblem::kNotTls;
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
      return TlsProblem::kClientCertificate;
    default:
      return TlsProblem::kOther;
  }
}

absl::StatusOr<Context> MakeContext(const TlsTrust& trust) {
  ERR_clear_error();
  Context context(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  // The handshake goes on whatever the certificate is: what is wrong with it is asked afterwards.
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
  const auto fail = [](const std::string& file) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot use ", file, ": ", LastError("no certificate")));
  };
  if (trust.ca.empty()) {
    SSL_CTX_set_default_verify_paths(context.get());
  } else if (SSL_CTX_load_verify_file(context.get(), trust.ca.c_str()) != 1) {
    return fail(trust.ca);
  }
  if (trust.certificate.empty()) return context;
  if (SSL_CTX_use_certificate_chain_file(context.get(), trust.certificate.c_str()) != 1) {
    return fail(trust.certificate);
  }
  if (SSL_CTX_use_PrivateKey_file(context.get(), trust.key.c_str(), SSL_FILETYPE_PEM) != 1) {
    return fail(trust.key);
  }
  return context;
}

// Over a connection that is there. "h2": what gRPC insists on; empty: HTTP/1.1.
Bio StartTls(const Endpoint& endpoint, SSL_CTX* context, bool h2, Bio connection) {
  Bio tls(BIO_new_ssl(context, /*client=*/1), BIO_free_all);
  SSL* ssl = nullptr;
  BIO_get_ssl(tls.get(), &ssl);
  X509_VERIFY_PARAM* const verify = SSL_get0_param(ssl);
  if (X509_VERIFY_PARAM_set1_ip_asc(verify, endpoint.host.c_str()) != 1) {
    ERR_clear_error();
    X509_VERIFY_PARAM_set1_host(verify, endpoint.host.c_str(), 0);
    SSL_set_tlsext_host_name(ssl, endpoint.host.c_str());
  }
  constexpr unsigned char kH2[] = {2, 'h', '2'};
  if (h2) SSL_set_alpn_protos(ssl, kH2, sizeof kH2);
  BIO_push(tls.get(), connection.release());
  return tls;
}

// What comes within the deadline: > 0 bytes, 0 the end, < 0 an error.
int Read(BIO* bio, char* buffer, int size, Timestamp deadline) {
  for (;;) {
    const int n = BIO_read(bio, buffer, size);
    if (n > 0 || !BIO_should_retry(bio)) return n;
    if (!WaitFor(bio, deadline)) return -1;
  }
}

absl::Status Handshake(BIO* tls, Timestamp deadline) {
  while (BIO_do_handshake(tls) != 1) {
    if (!BIO_should_retry(tls)) return absl::FailedPreconditionError("handshake");
    if (!WaitFor(tls, deadline)) return absl::DeadlineExceededError("no answer to the handshake");
  }
  return absl::OkStatus();
}

// Fills in what went wrong in the handshake; true if it was done.
bool Judge(BIO* tls, const absl::Status& done, TlsAnswer& answer) {
  SSL* ssl = nullptr;
  BIO_get_ssl(tls, &ssl);
  if (done.ok()) {
    Describe(ssl, answer);
    const long verified = SSL_get_verify_result(ssl);
    answer.problem = ProblemOf(verified);
    if (verified != X509_V_OK) answer.detail = X509_verify_cert_error_string(verified);
    return answer.problem == TlsProblem::kNone;
  }
  const unsigned long code = ERR_peek_last_error();
  answer.problem = absl::IsDeadlineExceeded(done) ? TlsProblem::kNoConnection
                   : code == 0                    ? TlsProblem::kNotTls
                                                  : ProblemOfError(code);
  answer.detail = absl::IsDeadlineExceeded(done) ? std::string(done.message())
                                                 : LastError("it closed the connection");
  return false;
}

}  // namespace

bool Endpoint::is_loopback() const {
  return host == "localhost" || host == "::1" || absl::StartsWith(host, "127.");
}

std::string Endpoint::ToString() const {
  const bool v6 = host.find(':') != std::string::npos;
  return absl::StrCat(v6 ? "[" : "", host, v6 ? "]:" : ":", port);
}

std::optional<Endpoint> ParseEndpoint(const std::string& text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0) return std::nullopt;
  Endpoint endpoint{text.substr(0, colon), text.substr(colon + 1)};
  uint32_t port = 0;
  if (!absl::SimpleAtoi(endpoint.port, &port) || port == 0 || port > 65'535) return std::nullopt;
  if (endpoint.host.front() == '[') {
    if (endpoint.host.back() != ']' || endpoint.host.size() < 3) return std::nullopt;
    endpoint.host = endpoint.host.substr(1, endpoint.host.size() - 2);
  } else if (endpoint.host.find(':') != std::string::npos) {
    return std::nullopt;  // IPv6 without brackets: where does it end?
  }
  if (endpoint.host.find_first_of(" /@") != std::string::npos) return std::nullopt;
  return endpoint;
}

std::optional<Url> ParseUrl(const std::string& text) {
  Url url;
  std::string rest;
  if (absl::StartsWith(text, "http://")) {
    rest = text.substr(7);
  } else if (absl::StartsWith(text, "https://")) {
    url.tls = true;
    rest = text.substr(8);
  } else {
    return std::nullopt;
  }
  const size_t slash = rest.find('/');
  url.path = slash == std::string::npos ? "/" : rest.substr(slash);
  std::string authority = rest.substr(0, slash);
  if (authority.find_last_of(':') == std::string::npos || authority.back() == ']') {
    absl::StrAppend(&authority, url.tls ? ":443" : ":80");
  }
  const std::optional<Endpoint> endpoint = ParseEndpoint(authority);
  if (!endpoint || url.path.find_first_of(" \r\n") != std::string::npos) return std::nullopt;
  url.endpoint = *endpoint;
  return url;
}

absl::Status ProbeTcp(const Endpoint& endpoint, TimeDelta timeout) {
  return Connect(endpoint, Deadline(timeout)).status();
}

TlsAnswer ProbeTls(const Endpoint& endpoint, const TlsTrust& trust, TimeDelta timeout) {
  const Timestamp deadline = Deadline(timeout);
  TlsAnswer answer;
  const absl::StatusOr<Context> context = MakeContext(trust);
  if (!context.ok()) {
    answer.problem = TlsProblem::kFile;
    answer.detail = std::string(context.status().message());
    return answer;
  }
  absl::StatusOr<Bio> connection = Connect(endpoint, deadline);
  if (!connection.ok()) {
    answer.problem = TlsProblem::kNoConnection;
    answer.detail = std::string(connection.status().message());
    return answer;
  }
  bool asked_for_certificate = false;
  SSL_CTX_set_cert_cb(
      context->get(),
      [](SSL*, void* asked) {
        *static_cast<bool*>(asked) = true;
        return 1;
      },
      &asked_for_certificate);
  const Bio tls = StartTls(endpoint, context->get(), /*h2=*/true, *std::move(connection));
  if (!Judge(tls.get(), Handshake(tls.get(), deadline), answer)) return answer;
  // In TLS 1.3 a server thinks about our certificate behind the handshake only. A gRPC server that
  // is content sends its settings at once; one that is not closes the connection, mostly unsaid.
  char buffer[64];
  const int n = Read(tls.get(), buffer, sizeof buffer, deadline);
  if (n > 0 || deadline <= io::MonotonicNow()) return answer;
  answer.problem = asked_for_certificate ? TlsProblem::kClientCertificate : TlsProblem::kOther;
  answer.detail = LastError("it closed the connection after the handshake");
  if (asked_for_certificate) {
    absl::StrAppend(&answer.detail, trust.certificate.empty()
                                        ? "; it asked for a client certificate, and got none"
                                        : "; it asked for a client certificate, and got ours");
  }
  return answer;
}

absl::StatusOr<HttpAnswer> ProbeHttp(const Url& url, const TlsTrust& trust, TimeDelta timeout) {
  const Timestamp deadline = Deadline(timeout);
  absl::StatusOr<Bio> bio = Connect(url.endpoint, deadline);
  if (!bio.ok()) return bio.status();
  Context context(nullptr, SSL_CTX_free);
  if (url.tls) {
    absl::StatusOr<Context> made = MakeContext(trust);
    if (!made.ok()) return made.status();
    context = *std::move(made);
    *bio = StartTls(url.endpoint, context.get(), /*h2=*/false, *std::move(bio));
    TlsAnswer answer;
    if (!Judge(bio->get(), Handshake(bio->get(), deadline), answer)) {
      return absl::FailedPreconditionError(
          absl::StrCat(answer.detail, ": ", TlsAdvice(answer.problem)));
    }
  }
  const std::string request =
      absl::StrCat("GET ", url.path, " HTTP/1.1\r\nHost: ", url.endpoint.ToString(),
                   "\r\nConnection: close\r\n\r\n");
  BIO_write(bio->get(), request.data(), static_cast<int>(request.size()));
  std::string text;
  char buffer[2'048];
  int n = 0;
  while (text.size() < kMaxBody && (n = Read(bio->get(), buffer, sizeof buffer, deadline)) > 0) {
    text.append(buffer, static_cast<size_t>(n));
  }
  HttpAnswer answer;
  if (!absl::StartsWith(text, "HTTP/1.") || text.size() < 12 ||
      !absl::SimpleAtoi(text.substr(9, 3), &answer.status)) {
    return absl::UnavailableError(text.empty() ? LastError("it closed the connection unanswered")
                                               : "what answers speaks no HTTP");
  }
  const size_t end = std::min(text.find("\r\n\r\n"), text.size());
  const std::string head = absl::AsciiStrToLower(text.substr(0, end));
  if (const size_t at = head.find("\r\ndate:"); at != std::string::npos) {
    const size_t line_end = head.find("\r\n", at + 2);
    const std::string date(absl::StripAsciiWhitespace(
        absl::string_view(text).substr(at + 7, std::min(line_end, end) - at - 7)));
    std::tm parts{};
    if (strptime(date.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts) != nullptr) {
      answer.date = TimeDelta::Seconds(timegm(&parts));
    }
  }
  if (end + 4 < text.size()) answer.body = text.substr(end + 4);
  return answer;
}

std::string TlsAdvice(TlsProblem problem) {
  switch (problem) {
    case TlsProblem::kNone:
      return "";
    case TlsProblem::kFile:
      return "check --ca, --cert and --key";
    case TlsProblem::kNoConnection:
      return "check the address and the firewall";
    case TlsProblem::kNotTls:
      return "the port does not speak TLS: check the port, or give --plaintext if it may be so";
    case TlsProblem::kUnknownCa:
      return "give the CA that signed it with --ca; if that is the one, somebody else answers";
    case TlsProblem::kExpired:
      return "renew the node's certificate (tls.certificate); it is read without a restart";
    case TlsProblem::kNotYetValid:
      return "the clock of this machine or of who made the certificate is wrong";
    case TlsProblem::kWrongName:
      return "connect by a name that the certificate has, or make one that has this name";
    case TlsProblem::kClientCertificate:
      return "the node wants a client certificate of its tls.client_ca: give --cert and --key";
    case TlsProblem::kOther:
      return "see what the node's log says";
  }
  return "";
}

}  // namespace vigil::ctl
