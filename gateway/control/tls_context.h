#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "boost/asio/ssl/context.hpp"
#include "gateway/control/tls_files.h"

namespace vigil::control {

// What the files say.
struct TlsContents {
  std::string certificate;
  std::string key;
  std::string client_ca;

  bool operator==(const TlsContents&) const = default;
};

// The certificate that new connections are served with, as it is in its files now. Connections that
// are there keep the one they began with.
class TlsContext {
 public:
  explicit TlsContext(TlsFiles files) : files_(std::move(files)) {}

  // Reads the files if they have changed. An error leaves what was there in use: a half-written
  // file must not end the service. The same contents are complained of once.
  absl::Status Reload();
  const std::shared_ptr<boost::asio::ssl::context>& current() const { return current_; }
  // When the certificate in use ends, in Unix seconds; 0: there is none.
  int64_t expires_unix_seconds() const { return expires_; }
  // What `current` was made of.
  const TlsContents& contents() const { return contents_; }

 private:
  TlsFiles files_;
  std::optional<TlsContents> looked_at_;
  TlsContents contents_;
  std::shared_ptr<boost::asio::ssl::context> current_;
  int64_t expires_ = 0;
};

}  // namespace vigil::control
