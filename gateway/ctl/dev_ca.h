#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/base/time.h"

// A certificate authority for a laptop, a test and a first installation. An operator's own PKI
// takes its place where there is one.

namespace vigil::ctl {

struct DevCaOptions {
  std::string dir;
  std::vector<std::string> hosts;  // Names and IP addresses of the node.
  std::string client;              // Also a client certificate of this name; empty: none.
  TimeDelta now;                   // Since 1970.
};

struct DevCaFiles {
  bool made_ca = false;  // It was not there before.
  std::string ca;
  std::string certificate;
  std::string key;
  std::string client_certificate;  // Empty: none was asked for.
  std::string client_key;
  TimeDelta expire_time;  // Of the certificates, since 1970.
};

// Makes DIR/ca.pem once, and DIR/server.pem (and DIR/client-NAME.pem) anew each time, with the key
// that is there: nodes see the new certificate as soon as it is written. INVALID_ARGUMENT if a host
// is no name and no address, or the CA there cannot be used.
absl::StatusOr<DevCaFiles> MakeDevCertificates(const DevCaOptions& options);

}  // namespace vigil::ctl
