#include "gateway/control/http_server.h"

#include <chrono>
#include <exception>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "boost/asio/io_context.hpp"
#include "boost/asio/ip/tcp.hpp"
#include "boost/asio/post.hpp"
#include "boost/asio/ssl/stream.hpp"
#include "boost/asio/steady_timer.hpp"
#include "boost/beast/core.hpp"
#include "boost/beast/http.hpp"
#include "boost/beast/ssl.hpp"
#include "gateway/control/http_message.h"
#include "gateway/control/listen.h"
#include "gateway/control/tls_context.h"

namespace vigil::control {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace ssl = boost::asio::ssl;
using tcp = boost::asio::ip::tcp;

// How long a client may take for one request, from its first byte's turn to its last. A slow one
// costs a connection, never a thread.
constexpr std::chrono::seconds kReadTimeout{10};
// How long a client may take to read a response, or one part of a stream.
constexpr std::chrono::seconds kWriteTimeout{20};
constexpr std::chrono::seconds kHandshakeTimeout{10};
// For how long, and how much, is read of a client that was answered before it had said all.
constexpr std::chrono::seconds kLingerTimeout{2};
constexpr size_t kMaxLinger = 32 * 1024 * 1024;
constexpr size_t kLingerPart = 16 * 1024;
// What the kernel keeps for a client that does not read. Left alone it grows to megabytes for each.
constexpr int kSendBuffer = 128 * 1024;
constexpr std::chrono::seconds kCertificateInterval{2};
constexpr size_t kMaxHeader = 24 * 1024;  // A token of 8 KiB, and what proxies add.
// What is read ahead of one connection. Bounds what the parser has no bound for: the lines between
// chunks, and what follows the last one.
constexpr size_t kMaxBuffered = kMaxHeader + 64 * 1024;
// A client that has not read for so long makes room for another when there is none. Shorter ends
// those that are merely far away, longer lets some thousands that do not read close the port.
constexpr TimeDelta kStuck = TimeDelta::Seconds(1);
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

class AnyConnection {
 public:
  virtual ~AnyConnection() = default;
  virtual void End() = 0;
  // The server takes nothing new.
  virtual void OnClosing() = 0;
};

// Connections that wait for their client; whoever has waited for longest comes first.
struct Waiting {
  struct One {
    AnyConnection* connection = nullptr;
    Timestamp since;
  };
  std::list<One> idle;     // No request is under way, one that it has begun to say included.
  std::list<One> writing;  // It is to read.

  // Whoever is to make room for another; null: everybody is being served.
  AnyConnection* Dispensable(Timestamp now) const {
    if (!idle.empty()) return idle.front().connection;
    const bool stuck = !writing.empty() && now - writing.front().since >= kStuck;
    return stuck ? writing.front().connection : nullptr;
  }
};

struct Address {
  size_t connections = 0;
  Waiting waiting;
};

// RFC 9110, 5.6.7: in English, whatever the locale.
std::string HttpDate(int64_t unix_seconds) {
  const absl::Time time = absl::FromUnixSeconds(unix_seconds);
  return absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", time, absl::UTCTimeZone());
}

// What all connections of a server share; lives as long as any of them.
struct Shared {
  HttpServerOptions options;
  HttpServer::Handler handler;
  HttpCounters counters;
  std::map<std::string, Address> by_address;
  Waiting waiting;
  std::set<AnyConnection*> all;
  bool closing = false;

  Timestamp Now() const { return options.now ? options.now() : Timestamp(); }
};

// One client connection. Keeps itself alive while an operation is under way.
template <typename Stream>
class Connection final : public AnyConnection,
                         public std::enable_shared_from_this<Connection<Stream>> {
 public:
  Connection(Stream stream, std::string address, std::shared_ptr<Shared> shared)
      : stream_(std::move(stream)), address_(std::move(address)), shared_(std::move(shared)) {
    ++shared_->counters.connections;
    ++shared_->by_address[address_].connections;
    shared_->all.insert(this);
  }
  ~Connection() override {
    StopWaiting();
    shared_->all.erase(this);
    --shared_->counters.connections;
    const auto own = shared_->by_address.find(address_);
    if (--own->second.connections == 0) shared_->by_address.erase(own);
  }

  void Start() {
    if constexpr (std::is_same_v<Stream, beast::tcp_stream>) {
      ReadRequest();
    } else {
      WaitIn(&Waiting::idle);
      lowest().expires_after(kHandshakeTimeout);
      stream_.async_handshake(ssl::stream_base::server,
                              [self = this->shared_from_this()](beast::error_code error) {
                                if (!error) return self->ReadRequest();
                                ++self->shared_->counters.tls_failures;
                              });
    }
  }

  // Operations that are under way end with an error, a little later: what a stream holds goes now.
  void End() override {
    StopWaiting();
    ended_ = true;
    body_.reset();
    lowest().close();
  }
  void OnClosing() override {
    const bool idle = place_ && place_->list == &Waiting::idle;
    if (idle || serializer_) End();
  }

 private:
  beast::tcp_stream& lowest() { return beast::get_lowest_layer(stream_); }

  void WaitIn(std::list<Waiting::One> Waiting::*list) {
    StopWaiting();
    const auto enter = [this, list](Waiting& waiting) {
      return (waiting.*list).insert((waiting.*list).end(), {this, shared_->Now()});
    };
    place_ = Place{list, enter(shared_->waiting), enter(shared_->by_address[address_].waiting)};
  }
  void StopWaiting() {
    if (!place_) return;
    (shared_->waiting.*place_->list).erase(place_->among_all);
    (shared_->by_address[address_].waiting.*place_->list).erase(place_->of_address);
    place_.reset();
  }

  void ReadRequest() {
    if (shared_->closing) return Shut();
    WaitIn(&Waiting::idle);
    parser_.emplace();
    parser_->body_limit(shared_->options.max_body);
    parser_->header_limit(kMaxHeader);
    lowest().expires_after(kReadTimeout);
    http::async_read_header(stream_, buffer_, *parser_,
                            [self = this->shared_from_this()](beast::error_code error, size_t) {
                              self->OnHeader(error);
                            });
  }

  // A client may wait for leave to send its body (RFC 9110, 10.1.1). One whose body is too long has
  // its error by now.
  void OnHeader(beast::error_code error) {
    if (error) return OnRead(error);
    // What is no list of codings that we undo has no end that we and a proxy agree on (RFC 9112,
    // 6.1, 6.3); the library takes it for no body at all.
    const auto& head = parser_->get();
    const auto coding = head.find(http::field::transfer_encoding);
    if (coding != head.end() && (head.count(http::field::transfer_encoding) > 1 ||
                                 !beast::iequals(coding->value(), "chunked"))) {
      StopWaiting();
      return Write(TextResponse(501, "chunked, or nothing"), false);
    }
    if (!beast::iequals(head[http::field::expect], "100-continue")) return ReadBody();
    asio::async_write(stream_, asio::buffer(kContinue),
                      [self = this->shared_from_this()](beast::error_code failed, size_t) {
                        if (failed) return self->Shut();
                        self->ReadBody();
                      });
  }

  void ReadBody() {
    http::async_read(stream_, buffer_, *parser_,
                     [self = this->shared_from_this()](beast::error_code error, size_t) {
                       self->OnRead(error);
                     });
  }

  void OnRead(beast::error_code error) {
    StopWaiting();
    if (error == http::error::body_limit) {
      return Write(TextResponse(413, absl::StrCat("the body is longer than ",
                                                  shared_->options.max_body, " bytes")),
                   false);
    }
    if (error == http::error::header_limit) return Write({.status = 431}, false);
    // What is no HTTP is told so; whoever is gone or late is not told anything.
    if (error && error.category() == http::make_error_code(http::error::end_of_stream).category() &&
        error != http::error::end_of_stream && error != http::error::partial_message) {
      return Write({.status = 400}, false);
    }
    if (error) return Shut();
    ++shared_->counters.requests;
    const http::request<http::string_body> message = parser_->release();
    const bool keep_alive = message.keep_alive() && !shared_->closing;
    // RFC 9112, 3.2.
    if (message.version() >= 11 && message.count(http::field::host) != 1) {
      return Write(TextResponse(400, "one Host"), false);
    }
    std::optional<HttpRequest> request = ReadHttp(message);
    if (!request) return Write(TextResponse(400, "not a path"), false);
    request->client_ip = address_;
    lowest().expires_never();
    Handle(*request, keep_alive);
  }

  // Our own code does not throw, but what it stands on may: a request is not to end the process.
  void Handle(const HttpRequest& request, bool keep_alive) {
    const auto answered = std::make_shared<bool>(false);
    const bool head = request.method == "HEAD";
    const auto respond = [self = this->shared_from_this(), keep_alive, head,
                          answered](HttpResponse response) {
      if (std::exchange(*answered, true)) return;
      self->without_body_ = head;
      self->Write(std::move(response), keep_alive);
    };
    try {
      shared_->handler(request, respond);
    } catch (const std::exception&) {
      respond(TextResponse(500, "a defect of the gateway"));
    }
  }

  template <typename Body>
  void FillHead(const HttpResponse& response, bool keep_alive, http::response<Body>& out) {
    ++shared_->counters.responses[response.status];
    out.result(response.status);
    out.version(11);
    out.keep_alive(keep_alive);
    for (const auto& [name, value] : response.headers) out.insert(name, value);
    if (!response.content_type.empty()) {
      out.set(http::field::content_type, response.content_type);
    }
    out.set("X-Content-Type-Options", "nosniff");
    if (shared_->options.unix_seconds) {
      out.set(http::field::date, HttpDate(shared_->options.unix_seconds()));
    }
  }

  void Write(HttpResponse response, bool keep_alive) {
    if (response.stream) return WriteStream(std::move(response));
    response_ = {};
    FillHead(response, keep_alive, response_);
    response_.body() = std::move(response.body);
    response_.prepare_payload();
    // A HEAD is told how long the answer to GET is (RFC 9110, 9.3.2).
    if (std::exchange(without_body_, false)) {
      const size_t length = response_.body().size();
      response_.body().clear();
      response_.content_length(length);
    }
    // RFC 9110, 8.6.
    if (response.status == 204) response_.erase(http::field::content_length);
    WaitIn(&Waiting::writing);
    lowest().expires_after(kWriteTimeout);
    http::async_write(
        stream_, response_,
        [self = this->shared_from_this(), keep_alive](beast::error_code error, size_t) {
          self->StopWaiting();
          if (error || !keep_alive) return self->Shut();
          self->ReadRequest();
        });
  }

  // ---- A body of parts: chunked (RFC 9112, 7.1). ----

  void WriteStream(HttpResponse response) {
    without_body_ = false;
    if (ended_ || shared_->closing) return Shut();
    stream_head_ = {};
    FillHead(response, false, stream_head_);
    stream_head_.chunked(true);
    // Weak: the body, which belongs to this connection, holds what wakes it.
    std::weak_ptr<Connection> weak = this->weak_from_this();
    body_ = response.stream([weak, executor = stream_.get_executor()] {
      asio::post(executor, [weak] {
        if (const auto self = weak.lock()) self->PullPart();
      });
    });
    writing_ = true;
    WaitIn(&Waiting::writing);
    serializer_.emplace(stream_head_);
    lowest().expires_after(kWriteTimeout);
    http::async_write_header(stream_, *serializer_,
                             [self = this->shared_from_this()](beast::error_code error, size_t) {
                               if (!error) self->WatchForEnd();
                               self->OnPartWritten(error);
                             });
  }

  // A client that streams says nothing more; when it does, or is gone, the stream is over. It may
  // say nothing for ever: an operation keeps the time limit that it began with.
  void WatchForEnd() {
    lowest().expires_never();
    stream_.async_read_some(asio::buffer(&unexpected_, 1),
                            [self = this->shared_from_this()](beast::error_code, size_t) {
                              self->body_.reset();
                              self->lowest().close();
                            });
  }

  void PullPart() {
    if (body_ == nullptr || writing_) return;
    std::string part;
    switch (body_->Pull(part)) {
      case HttpBody::Next::kWait:
        return;
      case HttpBody::Next::kEnd:
        body_.reset();
        chunk_ = "0\r\n\r\n";
        break;
      case HttpBody::Next::kPart:
        chunk_ = absl::StrCat(absl::Hex(part.size()), "\r\n", part, "\r\n");
        break;
    }
    writing_ = true;
    WaitIn(&Waiting::writing);
    lowest().expires_after(kWriteTimeout);
    asio::async_write(stream_, asio::buffer(chunk_),
                      [self = this->shared_from_this()](beast::error_code error, size_t) {
                        self->OnPartWritten(error);
                      });
  }

  void OnPartWritten(beast::error_code error) {
    writing_ = false;
    StopWaiting();
    if (error || body_ == nullptr) {
      body_.reset();
      return Shut();
    }
    PullPart();
  }

  void Shut() {
    if (ended_) return;
    // A stream's end has been said in it, and its client has nothing to say.
    if (serializer_) return End();
    WaitIn(&Waiting::idle);
    if constexpr (std::is_same_v<Stream, beast::tcp_stream>) {
      beast::error_code ignored;
      stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
      Linger();
    } else {
      lowest().expires_after(kHandshakeTimeout);
      stream_.async_shutdown(
          [self = this->shared_from_this()](beast::error_code) { self->Linger(); });
    }
  }

  // RFC 9112, 9.6: closing while bytes come in resets the connection, and the client may lose the
  // answer that it was sent.
  void Linger() {
    lowest().expires_after(kLingerTimeout);
    linger_.resize(kLingerPart);
    ReadOn();
  }
  void ReadOn() {
    lowest().async_read_some(asio::buffer(linger_), [self = this->shared_from_this()](
                                                        beast::error_code error, size_t size) {
      self->lingered_ += size;
      if (!error && self->lingered_ < kMaxLinger) self->ReadOn();
    });
  }

  struct Place {
    std::list<Waiting::One> Waiting::*list;
    std::list<Waiting::One>::iterator among_all;
    std::list<Waiting::One>::iterator of_address;
  };

  Stream stream_;
  const std::string address_;
  const std::shared_ptr<Shared> shared_;
  beast::flat_buffer buffer_{kMaxBuffered};
  std::optional<http::request_parser<http::string_body>> parser_;
  http::response<http::string_body> response_;
  std::optional<Place> place_;
  bool ended_ = false;
  bool without_body_ = false;  // The next answer's, which is to HEAD.
  std::string linger_;
  size_t lingered_ = 0;

  http::response<http::empty_body> stream_head_;
  std::optional<http::response_serializer<http::empty_body>> serializer_;
  std::unique_ptr<HttpBody> body_;
  std::string chunk_;
  bool writing_ = false;
  char unexpected_ = 0;
};

class BeastServer final : public HttpServer {
 public:
  BeastServer(const HttpServerOptions& options, asio::io_context& context, Handler handler)
      : acceptor_(context),
        retry_(context),
        certificate_timer_(context),
        tls_(options.tls),
        shared_(std::make_shared<Shared>()) {
    shared_->options = options;
    shared_->handler = std::move(handler);
  }

  absl::Status Listen() {
    const HttpServerOptions& options = shared_->options;
    if (options.tls.enabled()) {
      const absl::Status read = ReloadCertificate();
      if (!read.ok()) return read;
      WatchCertificate();
    }
    if (const absl::Status listening = control::Listen(acceptor_, options.address, options.port);
        !listening.ok()) {
      return listening;
    }
    Accept();
    return absl::OkStatus();
  }

  uint16_t port() const override { return acceptor_.local_endpoint().port(); }
  const HttpCounters& counters() const override { return shared_->counters; }

  void Close() override {
    beast::error_code ignored;
    acceptor_.close(ignored);
    retry_.cancel();
    certificate_timer_.cancel();
    shared_->closing = true;
    // Whoever is being answered is not cut off; streams have no end of their own.
    for (AnyConnection* connection : shared_->all) connection->OnClosing();
  }

 private:
  void Accept() {
    acceptor_.async_accept([this](beast::error_code error, tcp::socket socket) {
      if (error == asio::error::operation_aborted || !acceptor_.is_open()) return;
      // Out of descriptors: the kernel's queue holds the others for a moment.
      if (error) {
        Shed(shared_->waiting);
        return AcceptLater();
      }
      ++shared_->counters.accepted;
      Serve(std::move(socket));
      Accept();
    });
  }

  void Serve(tcp::socket socket) {
    beast::error_code error;
    const auto endpoint = socket.remote_endpoint(error);
    if (error) return;
    std::string address = endpoint.address().to_string();
    if (!MakeRoom(address)) {
      ++shared_->counters.shed;
      return;
    }
    socket.set_option(tcp::no_delay(true), error);
    socket.set_option(asio::socket_base::send_buffer_size(kSendBuffer), error);
    if (shared_->options.tls.enabled()) {
      using Tls = beast::ssl_stream<beast::tcp_stream>;
      // The context lives on with the SSL object, which counts references to it.
      Begin<Tls>(Tls(beast::tcp_stream(std::move(socket)), *tls_.current()), std::move(address));
    } else {
      Begin<beast::tcp_stream>(beast::tcp_stream(std::move(socket)), std::move(address));
    }
  }

  template <typename Stream>
  void Begin(Stream stream, std::string address) {
    std::make_shared<Connection<Stream>>(std::move(stream), std::move(address), shared_)->Start();
  }

  // At its bound an address makes room itself, so that whoever fills it meets its own connections.
  bool MakeRoom(const std::string& address) {
    const auto own = shared_->by_address.find(address);
    if (own != shared_->by_address.end() &&
        own->second.connections >= shared_->options.max_connections_per_address) {
      return Shed(own->second.waiting);
    }
    return shared_->counters.connections < shared_->options.max_connections ||
           Shed(shared_->waiting);
  }

  bool Shed(const Waiting& waiting) {
    AnyConnection* const connection = waiting.Dispensable(shared_->Now());
    if (connection == nullptr) return false;
    connection->End();
    ++shared_->counters.shed;
    return true;
  }

  void AcceptLater() {
    retry_.expires_after(std::chrono::milliseconds(100));
    retry_.async_wait([this](beast::error_code error) {
      if (!error) Accept();
    });
  }

  absl::Status ReloadCertificate() {
    const absl::Status read = tls_.Reload();
    shared_->counters.certificate_expires_unix_seconds = tls_.expires_unix_seconds();
    return read;
  }

  void WatchCertificate() {
    certificate_timer_.expires_after(kCertificateInterval);
    certificate_timer_.async_wait([this](beast::error_code error) {
      if (error) return;
      // A file that is being written is read whole the next time.
      const auto before = tls_.current();
      const absl::Status read = ReloadCertificate();
      if (!read.ok() || tls_.current() != before) shared_->options.on_certificate(read);
      WatchCertificate();
    });
  }

  tcp::acceptor acceptor_;
  asio::steady_timer retry_;
  asio::steady_timer certificate_timer_;
  TlsContext tls_;
  const std::shared_ptr<Shared> shared_;
};

}  // namespace

HttpResponse TextResponse(unsigned status, std::string line) {
  return {.status = status, .content_type = "text/plain", .body = std::move(line) + "\n"};
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
