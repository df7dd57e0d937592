#include "gateway/control/grpc_credentials.h"

#include <mutex>
#include <string>
#include <utility>

#include "gateway/control/tls_context.h"
#include "grpc/grpc.h"
#include "grpc/grpc_security.h"

namespace vigil::control {
namespace {

// gRPC's own watcher of files takes whatever it finds: a key that is not the certificate's leaves
// the port deaf, and an empty file ends the process. So it asks here, once for each connection.
class FileCredentials final : public grpc::ServerCredentials {
 public:
  FileCredentials(const TlsFiles& files, OnUnusable on_unusable)
      : on_unusable_(std::move(on_unusable)), context_(files) {
    const auto client_certificate =
        files.client_ca.empty() ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
                                : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY;
    credentials_ = grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(client_certificate, &Fetch,
                                                                        this));
  }
  ~FileCredentials() override { grpc_server_credentials_release(credentials_); }
  FileCredentials(const FileCredentials&) = delete;
  FileCredentials& operator=(const FileCredentials&) = delete;

  absl::Status Load() {
    const std::lock_guard lock(mutex_);
    return context_.Reload();
  }
  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  // On a thread of gRPC, before each handshake.
  static grpc_ssl_certificate_config_reload_status Fetch(
      void* self, grpc_ssl_server_certificate_config** config) {
    return static_cast<FileCredentials*>(self)->Fetch(config);
  }
  grpc_ssl_certificate_config_reload_status Fetch(grpc_ssl_server_certificate_config** config) {
    const std::lock_guard lock(mutex_);
    if (const absl::Status read = context_.Reload(); !read.ok()) on_unusable_(read);
    if (context_.current() == given_) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    given_ = context_.current();
    const TlsContents& pem = context_.contents();
    const grpc_ssl_pem_key_cert_pair pair{pem.key.c_str(), pem.certificate.c_str()};
    // The library wants some authority also where it asks no client for a certificate.
    const std::string& roots = pem.client_ca.empty() ? pem.certificate : pem.client_ca;
    *config = grpc_ssl_server_certificate_config_create(roots.c_str(), &pair, 1);
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  const OnUnusable on_unusable_;
  std::mutex mutex_;
  TlsContext context_;
  std::shared_ptr<boost::asio::ssl::context> given_;  // What gRPC has of it.
  grpc_server_credentials* credentials_ = nullptr;
};

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> TlsCredentials(const TlsFiles& files,
                                                                        OnUnusable on_unusable) {
  auto credentials = std::make_shared<FileCredentials>(files, std::move(on_unusable));
  if (const absl::Status usable = credentials->Load(); !usable.ok()) return usable;
  return credentials;
}

}  // namespace vigil::control
