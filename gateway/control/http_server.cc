#include "gateway/control/http_server.h"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <exception>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "boost/asio/dispatch.hpp"
#include "boost/asio/io_context.hpp"
#include "boost/asio/ip/tcp.hpp"
#include "boost/beast/core.hpp"
#include "boost/beast/http.hpp"

namespace vigil::control {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using tcp = boost::asio::ip::tcp;

// How long a client may take to send a request, or to take a response. A slow one costs a
// connection, never a thread.
constexpr std::chrono::seconds kTimeout{20};

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// RFC 3986, 2.1. A malformed escape stays as it is.
std::string PercentDecode(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && HexDigit(text[i + 1]) >= 0 &&
        HexDigit(text[i + 2]) >= 0) {
      out.push_back(static_cast<char>(HexDigit(text[i + 1]) * 16 + HexDigit(text[i + 2])));
      i += 2;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

std::vector<std::pair<std::string, std::string>> ParseQuery(std::string_view query) {
  std::vector<std::pair<std::string, std::string>> out;
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view item = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    const size_t equals = std::min(item.find('='), item.size());
    out.emplace_back(PercentDecode(item.substr(0, equals)),
                     PercentDecode(item.substr(std::min(equals + 1, item.size()))));
  }
  return out;
}

std::string Lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return out;
}

// Nothing of a path that has control characters, encoded ones too, or that is no path.
std::optional<HttpRequest> Read(const http::request<http::string_body>& message) {
  HttpRequest request;
  request.method = std::string(message.method_string());
  const std::string_view target(message.target().data(), message.target().size());
  const size_t question = std::min(target.find('?'), target.size());
  request.path = PercentDecode(target.substr(0, question));
  request.query = ParseQuery(target.substr(std::min(question + 1, target.size())));
  const auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
  if (!request.path.starts_with('/') ||
      std::any_of(request.path.begin(), request.path.end(), is_control)) {
    return std::nullopt;
  }
  const beast::string_view host = message[http::field::host];
  request.host = Lower({host.data(), host.size()});
  const beast::string_view type = message[http::field::content_type];
  request.content_type = Lower({type.data(), std::min(type.find(';'), type.size())});
  while (request.content_type.ends_with(' ')) request.content_type.pop_back();
  request.body = message.body();
  return request;
}

// One client connection. Keeps itself alive while an operation is under way.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(tcp::socket socket, const HttpServerOptions& options,
             const HttpServer::Handler& handler, std::shared_ptr<size_t> live)
      : stream_(std::move(socket)), options_(options), handler_(handler), live_(std::move(live)) {
    ++*live_;
  }
  ~Connection() { --*live_; }

  void ReadRequest() {
    parser_.emplace();
    parser_->body_limit(options_.max_body);
    parser_->header_limit(16 * 1024);
    stream_.expires_after(kTimeout);
    http::async_read(
        stream_, buffer_, *parser_,
        [self = shared_from_this()](beast::error_code error, size_t) { self->OnRead(error); });
  }

 private:
  void OnRead(beast::error_code error) {
    if (error == http::error::body_limit) {
      return Write(
          {.status = 413,
           .content_type = "text/plain",
           .body = absl::StrCat("the body is longer than ", options_.max_body, " bytes\n")},
          false);
    }
    if (error == http::error::header_limit) return Write({.status = 431}, false);
    if (error == http::error::end_of_stream || error == asio::error::operation_aborted ||
        error == beast::error::timeout || error == asio::error::connection_reset) {
      return Shut();
    }
    if (error) return Write({.status = 400}, false);
    const http::request<http::string_body> message = parser_->release();
    const bool keep_alive = message.keep_alive();
    const std::optional<HttpRequest> request = Read(message);
    if (!request) {
      return Write({.status = 400, .content_type = "text/plain", .body = "not a path\n"}, false);
    }
    stream_.expires_never();
    Handle(*request, keep_alive);
  }

  // Our own code does not throw, but what it stands on may: a request is not to end the process.
  void Handle(const HttpRequest& request, bool keep_alive) {
    const auto answered = std::make_shared<bool>(false);
    const auto respond = [self = shared_from_this(), keep_alive, answered](HttpResponse response) {
      if (std::exchange(*answered, true)) return;
      self->Write(std::move(response), keep_alive);
    };
    try {
      handler_(request, respond);
    } catch (const std::exception&) {
      respond({.status = 500, .content_type = "text/plain", .body = "a defect of the gateway\n"});
    }
  }

  void Write(HttpResponse response, bool keep_alive) {
    response_ = {};
    response_.result(response.status);
    response_.version(11);
    response_.keep_alive(keep_alive);
    for (const auto& [name, value] : response.headers) response_.set(name, value);
    if (!response.content_type.empty()) {
      response_.set(http::field::content_type, response.content_type);
    }
    response_.set("X-Content-Type-Options", "nosniff");
    response_.body() = std::move(response.body);
    response_.prepare_payload();
    stream_.expires_after(kTimeout);
    http::async_write(stream_, response_,
                      [self = shared_from_this(), keep_alive](beast::error_code error, size_t) {
                        if (error || !keep_alive) return self->Shut();
                        self->ReadRequest();
                      });
  }

  void Shut() {
    beast::error_code ignored;
    stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
  }

  beast::tcp_stream stream_;
  const HttpServerOptions options_;
  const HttpServer::Handler handler_;
  const std::shared_ptr<size_t> live_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  http::response<http::string_body> response_;
};

class BeastServer final : public HttpServer {
 public:
  BeastServer(const HttpServerOptions& options, asio::io_context& context, Handler handler)
      : options_(options), acceptor_(context), retry_(context), handler_(std::move(handler)) {}

  absl::Status Listen() {
    beast::error_code error;
    const auto address = asio::ip::make_address(options_.address, error);
    if (error) {
      return absl::InvalidArgumentError(absl::StrCat(options_.address, " is no IP address"));
    }
    const tcp::endpoint endpoint(address, options_.port);
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(asio::socket_base::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (error) {
      return absl::AlreadyExistsError(absl::StrCat("cannot listen on ", options_.address, ":",
                                                   options_.port, ": ", error.message()));
    }
    Accept();
    return absl::OkStatus();
  }

  uint16_t port() const override { return acceptor_.local_endpoint().port(); }

  void Close() override {
    beast::error_code ignored;
    acceptor_.close(ignored);
    retry_.cancel();
  }

 private:
  void Accept() {
    acceptor_.async_accept([this](beast::error_code error, tcp::socket socket) {
      if (error == asio::error::operation_aborted || !acceptor_.is_open()) return;
      if (!error) {
        std::make_shared<Connection>(std::move(socket), options_, handler_, live_)->ReadRequest();
      }
      // Out of descriptors, or at the limit: the kernel's queue holds the others for a moment.
      if (error || *live_ >= options_.max_connections) return AcceptLater();
      Accept();
    });
  }

  void AcceptLater() {
    retry_.expires_after(std::chrono::milliseconds(100));
    retry_.async_wait([this](beast::error_code error) {
      if (error) return;
      if (*live_ >= options_.max_connections) return AcceptLater();
      Accept();
    });
  }

  const HttpServerOptions options_;
  tcp::acceptor acceptor_;
  asio::steady_timer retry_;
  const Handler handler_;
  // Connections outlive the server while their last response is under way.
  const std::shared_ptr<size_t> live_ = std::make_shared<size_t>(0);
};

}  // namespace

std::string_view HttpRequest::QueryValue(std::string_view name) const {
  for (const auto& [key, value] : query) {
    if (key == name) return value;
  }
  return {};
}

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Open(const HttpServerOptions& options,
                                                             asio::io_context& context,
                                                             Handler handler) {
  auto server = std::make_unique<BeastServer>(options, context, std::move(handler));
  const absl::Status listening = server->Listen();
  if (!listening.ok()) return listening;
  return server;
}

}  // namespace vigil::control
