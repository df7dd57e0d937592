#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gateway/base/time.h"

// What a port answers, one layer at a time. Names and addresses as an operator writes them.

namespace vigil::ctl {

struct Endpoint {
  std::string host;  // Without brackets.
  std::string port;

  bool is_loopback() const;
  std::string ToString() const;  // "HOST:PORT", "[::1]:PORT".
};

// "HOST:PORT" or "[V6]:PORT".
std::optional<Endpoint> ParseEndpoint(const std::string& text);

struct Url {
  bool tls = false;
  Endpoint endpoint;
  std::string path;  // With its slash.
};
// "http://HOST[:PORT][/PATH]", "https://...".
std::optional<Url> ParseUrl(const std::string& text);

// Whether the port takes connections: OK, or what the system says ("Connection refused").
absl::Status ProbeTcp(const Endpoint& endpoint, TimeDelta timeout);

// PEM files; empty: the system's list, or no client certificate.
struct TlsTrust {
  std::string ca;
  std::string certificate;
  std::string key;
};

enum class TlsProblem {
  kNone,
  kFile,          // One of our own files cannot be used.
  kNoConnection,  // TCP or time ran out.
  kNotTls,        // The port speaks something else.
  kUnknownCa,     // Not signed by whom we believe.
  kExpired,       // Of the certificate or one above it.
  kNotYetValid,
  kWrongName,          // The certificate is of another host.
  kClientCertificate,  // It wants one of us, and takes not ours.
  kOther,
};

struct TlsAnswer {
  TlsProblem problem = TlsProblem::kNone;
  std::string detail;   // What OpenSSL says.
  std::string subject;  // Of the certificate; empty: none was shown.
  std::string issuer;
  std::string names;                     // "localhost, 127.0.0.1".
  std::optional<TimeDelta> expire_time;  // Since 1970.
};

// A handshake as a gRPC client makes it.
TlsAnswer ProbeTls(const Endpoint& endpoint, const TlsTrust& trust, TimeDelta timeout);

struct HttpAnswer {
  int status = 0;
  std::optional<TimeDelta> date;  // Of the header Date, since 1970.
  std::string body;               // The beginning of it.
};

// GET. UNAVAILABLE: TCP or HTTP; FAILED_PRECONDITION: TLS.
absl::StatusOr<HttpAnswer> ProbeHttp(const Url& url, const TlsTrust& trust, TimeDelta timeout);

// What a TLS problem means and what to do.
std::string TlsAdvice(TlsProblem problem);

}  // namespace vigil::ctl
