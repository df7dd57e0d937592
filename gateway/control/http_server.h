#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// HTTP/1.1 for the control plane, on Boost.Beast. One thread: the one that runs the io_context.

namespace boost::asio {
class io_context;
}

namespace vigil::control {

struct HttpRequest {
  std::string method;
  std::string host;                                        // Lower case; empty: none.
  std::string path;                                        // Percent-decoded; begins with '/'.
  std::vector<std::pair<std::string, std::string>> query;  // Decoded, in order.
  std::string content_type;                                // Lower case, without parameters.
  std::string body;

  std::string_view QueryValue(std::string_view name) const;
};

struct HttpResponse {
  unsigned status = 200;
  std::string content_type;  // Empty: no body.
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
};

struct HttpServerOptions {
  std::string address = "127.0.0.1";
  uint16_t port = 8080;  // 0: any free one.
  // A body beyond it is answered 413. As long as the longest SDP that is read.
  size_t max_body = 256 * 1024;
  // Connections beyond it wait in the kernel's queue.
  size_t max_connections = 512;
};

class HttpServer {
 public:
  using Respond = std::function<void(HttpResponse)>;
  // Called on the server's thread; `respond` must be called once, now or later, there. A handler
  // that throws has answered 500.
  using Handler = std::function<void(const HttpRequest& request, Respond respond)>;

  // Errors: INVALID_ARGUMENT for the address, ALREADY_EXISTS when the port is taken.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Open(const HttpServerOptions& options,
                                                          boost::asio::io_context& context,
                                                          Handler handler);
  virtual ~HttpServer() = default;

  virtual uint16_t port() const = 0;
  // No new connections; the ones that are there end with their response.
  virtual void Close() = 0;
};

}  // namespace vigil::control
