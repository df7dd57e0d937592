#pragma once

#include <string>

namespace vigil::control {

// Where certificates come from. Files are read again when they change, without a connection lost.
struct TlsFiles {
  std::string certificate;  // PEM chain; empty: no TLS.
  std::string key;          // PEM.
  std::string client_ca;    // PEM; clients have to show a certificate of it. Empty: they need not.

  bool enabled() const { return !certificate.empty(); }
};

}  // namespace vigil::control
