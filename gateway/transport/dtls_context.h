#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "gateway/transport/certificate.h"
#include "gateway/transport/fingerprint.h"

struct ssl_ctx_st;  // OpenSSL's SSL_CTX.

namespace vigil::transport {

// What all DTLS sessions of a node share: its certificate, made at start, and the protocol's
// settings. DTLS 1.2 only, since OpenSSL 3.0 has no 1.3; a client that offers both takes it.
// Sessions of several threads may use one context.
class DtlsContext {
 public:
  struct Options {
    int64_t wall_seconds = 0;  // Now, in seconds since 1970 UTC: for the dates of the certificate.
  };
  // The longest datagram a handshake sends. 1200 passes every path that QUIC passes; more gains
  // nothing, since a flight of ours fits into one.
  static constexpr int kMtu = 1200;

  // INTERNAL when OpenSSL fails or its configuration forbids what is needed.
  static absl::StatusOr<std::unique_ptr<DtlsContext>> Create(const Options& options);

  // Of our certificate, SHA-256: for a=fingerprint.
  const Fingerprint& fingerprint() const { return fingerprint_; }
  ssl_ctx_st* ssl_context() const { return context_.get(); }

 private:
  struct FreeContext {
    void operator()(ssl_ctx_st* context) const;
  };
  using ContextPointer = std::unique_ptr<ssl_ctx_st, FreeContext>;

  DtlsContext(ContextPointer context, Fingerprint fingerprint);

  ContextPointer context_;
  Fingerprint fingerprint_;
};

}  // namespace vigil::transport
