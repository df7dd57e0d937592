#pragma once

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gateway/control/tls_files.h"
#include "grpcpp/security/server_credentials.h"

namespace vigil::control {

// Is told, on any thread, of files that could not be used; what was there stays in use.
using OnUnusable = std::function<void(const absl::Status&)>;

// TLS from files that are looked at with each new connection, so that it gets what is in them now.
// Only what fits together is handed on. To be kept for as long as the server that uses them.
// INVALID_ARGUMENT, naming the key of the configuration, for files that cannot be used now.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> TlsCredentials(const TlsFiles& files,
                                                                        OnUnusable on_unusable);

}  // namespace vigil::control
