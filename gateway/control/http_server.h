#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gateway/base/time.h"
#include "gateway/control/tls_files.h"

// HTTP/1.1 for the control plane, on Boost.Beast, with TLS when there are certificates. One thread:
// the one that runs the io_context.

namespace boost::asio {
class io_context;
}

namespace vigil::control {

struct HttpRequest {
  std::string method;
  std::string target;                                        // As it came, with the query.
  std::string host;                                          // Lower case; empty: none.
  std::string path;                                          // Percent-decoded; begins with '/'.
  std::vector<std::pair<std::string, std::string>> query;    // Decoded, in order.
  std::vector<std::pair<std::string, std::string>> headers;  // Names in lower case.
  std::string content_type;                                  // Lower case, without parameters.
  std::string client_ip;
  std::string body;

  // The first one of this name; empty if there is none.
  std::string_view QueryValue(std::string_view name) const;
  std::string_view Header(std::string_view name) const;
  bool HasHeader(std::string_view name) const;
};

// A body that comes in parts: the connection asks for the next one when the last is on its way, so
// that nothing queues up for a client that does not read. Destroyed when the client is gone.
class HttpBody {
 public:
  enum class Next {
    kPart,  // `part` is to be sent.
    kWait,  // Nothing now; `wake` is called when there may be.
    kEnd,   // That was all.
  };
  using Wake = std::function<void()>;

  virtual ~HttpBody() = default;
  virtual Next Pull(std::string& part) = 0;
};

struct HttpResponse {
  unsigned status = 200;
  std::string content_type;  // Empty: no body.
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
  // Instead of `body`: makes a body of parts, given what wakes the connection.
  std::function<std::unique_ptr<HttpBody>(HttpBody::Wake)> stream;
};

// A line of text.
HttpResponse TextResponse(unsigned status, std::string line);

struct HttpServerOptions {
  std::string address = "127.0.0.1";
  uint16_t port = 8080;  // 0: any free one.
  TlsFiles tls;
  // Told when the certificate's files have changed: whether they are used now, and why not.
  std::function<void(const absl::Status&)> on_certificate = [](const absl::Status&) {};
  // Wall time in Unix seconds, for the Date of responses (RFC 9110, 6.6.1); empty: without.
  std::function<int64_t()> unix_seconds;
  // Of the monotonic clock, to know since when a client does not read; empty: nobody is ever late.
  std::function<Timestamp()> now;
  // A body beyond it is answered 413. As long as the longest SDP that is read.
  size_t max_body = 256 * 1024;
  // Beyond, whoever has been idle for longest makes room for the new one.
  size_t max_connections = 4'096;
  // The same among those of one address. A hospital is many rooms behind one.
  size_t max_connections_per_address = 2'048;
};

// How the port is used, for the metrics.
struct HttpCounters {
  size_t connections = 0;
  uint64_t accepted = 0;
  uint64_t shed = 0;  // Closed or refused to stay within the bounds.
  uint64_t tls_failures = 0;
  uint64_t requests = 0;
  std::map<unsigned, uint64_t> responses;        // By status code; ours, so there are some twenty.
  int64_t certificate_expires_unix_seconds = 0;  // 0: no TLS.
};

class HttpServer {
 public:
  using Respond = std::function<void(HttpResponse)>;
  // Called on the server's thread; `respond` must be called once, now or later, there. A handler
  // that throws has answered 500.
  using Handler = std::function<void(const HttpRequest& request, Respond respond)>;

  // Errors: INVALID_ARGUMENT for the address or certificates, ALREADY_EXISTS when the port is
  // taken.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Open(const HttpServerOptions& options,
                                                          boost::asio::io_context& context,
                                                          Handler handler);
  virtual ~HttpServer() = default;

  virtual uint16_t port() const = 0;
  virtual const HttpCounters& counters() const = 0;
  // No new connections, and streams end; requests that are under way are answered.
  virtual void Close() = 0;
};

}  // namespace vigil::control
