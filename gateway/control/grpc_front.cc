#include "gateway/control/grpc_front.h"

#include <array>
#include <atomic>
#include <chrono>
#include <list>
#include <map>
#include <optional>
#include <span>
#include <thread>
#include <type_traits>
#include <utility>

#include "boost/asio/buffer.hpp"
#include "boost/asio/io_context.hpp"
#include "boost/asio/ip/tcp.hpp"
#include "boost/asio/local/connect_pair.hpp"
#include "boost/asio/local/stream_protocol.hpp"
#include "boost/asio/post.hpp"
#include "boost/asio/ssl/stream.hpp"
#include "boost/asio/steady_timer.hpp"
#include "boost/asio/write.hpp"
#include "gateway/control/http2_frames.h"
#include "gateway/control/listen.h"
#include "gateway/control/rate_limiter.h"
#include "gateway/control/tls_context.h"

namespace vigil::control {
namespace {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;
using asio::ip::tcp;
using Error = boost::system::error_code;
using Local = asio::local::stream_protocol;

// What is on its way in one direction of a connection.
constexpr size_t kBuffer = 16 * 1024;
// How long a client may take from its connection to the end of its preface, TLS included.
constexpr std::chrono::seconds kGreetingTimeout{10};
// How long a client that has been said goodbye may keep its connection.
constexpr std::chrono::seconds kGoodbyeTimeout{2};
// No client opens more at a time than it is allowed, but for those that it opens before it is told.
constexpr size_t kOpenOfConnection = 4'000;

// RFC 7301; gRPC's clients insist on the answer.
constexpr auto kSelectHttp2 = [](SSL*, const unsigned char** out, unsigned char* out_length,
                                 const unsigned char* offered, unsigned int offered_length, void*) {
  static constexpr unsigned char kHttp2[] = {2, 'h', '2'};
  unsigned char* selected = nullptr;
  const int found =
      SSL_select_next_proto(&selected, out_length, kHttp2, sizeof kHttp2, offered, offered_length);
  *out = selected;
  return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
};

struct Address {
  size_t connections = 0;
  size_t streams = 0;
};

class AnyConnection {
 public:
  virtual ~AnyConnection() = default;
  virtual const std::string& address() const = 0;
  virtual void Cut() = 0;
};

// What the connections share. The front's thread.
struct Shared {
  GrpcFrontOptions options;
  GrpcFront::OnClient on_client;
  std::map<std::string, Address> by_address;
  std::optional<RateLimiter> opened;
  std::optional<RateLimiter> resets;
  size_t connections = 0;
  // Those that have not asked for anything yet; whoever has been there for longest comes first.
  std::list<AnyConnection*> silent;
  std::atomic<uint64_t> accepted = 0;
  std::atomic<uint64_t> refused = 0;
  std::atomic<uint64_t> cut = 0;
  std::atomic<uint64_t> delayed = 0;
};

// One client and gRPC's end of it, and two pumps. Keeps itself alive while an operation is under
// way.
template <typename Stream>
class Connection final : public AnyConnection,
                         public std::enable_shared_from_this<Connection<Stream>> {
 public:
  // `theirs`: gRPC's end of the pair.
  Connection(Stream client, Local::socket inner, Local::socket theirs,
             std::shared_ptr<Shared> shared, std::string address)
      : client_(std::move(client)),
        inner_(std::move(inner)),
        theirs_(std::move(theirs)),
        timer_(client_.get_executor()),
        pace_(client_.get_executor()),
        address_(std::move(address)),
        shared_(std::move(shared)),
        silent_(shared_->silent.insert(shared_->silent.end(), this)) {
    ++shared_->connections;
    ++shared_->by_address[address_].connections;
  }
  ~Connection() override {
    SpeakUp();
    const auto own = shared_->by_address.find(address_);
    own->second.streams -= streams_counted_;
    if (--own->second.connections == 0) shared_->by_address.erase(own);
    --shared_->connections;
  }

  void Start() {
    EndIn(kGreetingTimeout);
    if constexpr (kTls) {
      client_.async_handshake(ssl::stream_base::server,
                              [self = this->shared_from_this()](const Error& error) {
                                if (!error) return self->Go();
                                self->Cut();
                              });
    } else {
      Go();
    }
  }

  const std::string& address() const override { return address_; }
  void Cut() override {
    SpeakUp();
    timer_.cancel();
    pace_.cancel();
    Error ignored;
    client_.lowest_layer().close(ignored);
    inner_.close(ignored);
  }

 private:
  static constexpr bool kTls = !std::is_same_v<Stream, tcp::socket>;

  void Go() {
    shared_->on_client(theirs_.release(), address_);
    PumpIn();
    PumpOut();
  }

  void EndIn(std::chrono::seconds delay) {
    timer_.expires_after(delay);
    timer_.async_wait([weak = this->weak_from_this()](const Error& error) {
      const auto self = weak.lock();
      if (!error && self != nullptr) self->Cut();
    });
  }

  void SpeakUp() {
    if (silent_) shared_->silent.erase(*silent_);
    silent_.reset();
  }

  // From the client to gRPC.
  void PumpIn() {
    client_.async_read_some(
        asio::buffer(in_), [self = this->shared_from_this()](const Error& error, size_t size) {
          // gRPC sees the end of the pair, and ends what was asked.
          if (error) return self->Cut();
          const uint64_t opened = self->streams_.opened;
          if (!self->Follow(self->from_client_, std::span(self->in_).first(size))) return;
          self->Pace(self->streams_.opened - opened, size);
        });
  }

  // What was read goes on to gRPC when its streams are due. Until then nothing more is read: TCP
  // holds the client up.
  void Pace(uint64_t opened, size_t size) {
    const TimeDelta wait = opened == 0
                               ? TimeDelta::Zero()
                               : shared_->opened->Charge(address_, static_cast<double>(opened),
                                                         shared_->options.now());
    if (wait == TimeDelta::Zero()) return PassOn(size);
    shared_->delayed.fetch_add(1, std::memory_order_relaxed);
    pace_.expires_after(std::chrono::nanoseconds(wait.ns()));
    pace_.async_wait([self = this->shared_from_this(), size](const Error& error) {
      if (!error) self->PassOn(size);
    });
  }

  void PassOn(size_t size) {
    asio::async_write(inner_, asio::buffer(in_, size),
                      [self = this->shared_from_this()](const Error& error, size_t) {
                        if (error) return self->Drain();
                        self->PumpIn();
                      });
  }

  // gRPC is through: what the client still says is of no interest.
  void Drain() {
    client_.async_read_some(asio::buffer(in_),
                            [self = this->shared_from_this()](const Error& error, size_t) {
                              if (error) return self->Cut();
                              self->Drain();
                            });
  }

  // From gRPC to the client.
  void PumpOut() {
    inner_.async_read_some(
        asio::buffer(out_), [self = this->shared_from_this()](const Error& error, size_t size) {
          if (error) return self->SayGoodbye();
          if (!self->Follow(self->from_server_, std::span(self->out_).first(size))) return;
          asio::async_write(self->client_, asio::buffer(self->out_, size),
                            [self](const Error& failed, size_t) {
                              if (failed) return self->Cut();
                              self->PumpOut();
                            });
        });
  }

  // gRPC has said all: the client reads it before the connection is closed.
  void SayGoodbye() {
    if (!client_.lowest_layer().is_open()) return;
    greeted_ = true;  // What still comes must not call off the end.
    EndIn(kGoodbyeTimeout);
    if constexpr (kTls) {
      client_.async_shutdown([self = this->shared_from_this()](const Error&) { self->Cut(); });
    } else {
      Error ignored;
      client_.shutdown(tcp::socket::shutdown_send, ignored);
    }
  }

  // False, and the connection is cut, when its address costs too much.
  bool Follow(Http2Frames& frames, std::span<const uint8_t> bytes) {
    const uint64_t resets = streams_.resets;
    frames.Inspect(bytes, streams_);
    if (from_client_.past_preface() && !greeted_) {
      greeted_ = true;
      timer_.cancel();
    }
    if (streams_.opened > 0) SpeakUp();
    Address& own = shared_->by_address[address_];
    own.streams += streams_.open.size() - streams_counted_;
    streams_counted_ = streams_.open.size();
    bool fits = streams_counted_ <= kOpenOfConnection &&
                own.streams <= shared_->options.max_streams_per_address;
    for (uint64_t i = resets; i < streams_.resets && fits; ++i) {
      fits = shared_->resets->Admit(address_, shared_->options.now());
    }
    if (fits) return true;
    shared_->cut.fetch_add(1, std::memory_order_relaxed);
    Cut();
    return false;
  }

  Stream client_;
  Local::socket inner_;
  Local::socket theirs_;  // Until gRPC has it.
  asio::steady_timer timer_;
  asio::steady_timer pace_;
  const std::string address_;
  const std::shared_ptr<Shared> shared_;
  std::optional<std::list<AnyConnection*>::iterator> silent_;
  bool greeted_ = false;
  Http2Streams streams_;
  size_t streams_counted_ = 0;  // Of `streams_.open`, in the address's sum.
  Http2Frames from_client_{Http2Frames::Sender::kClient};
  Http2Frames from_server_{Http2Frames::Sender::kServer};
  std::array<uint8_t, kBuffer> in_;
  std::array<uint8_t, kBuffer> out_;
};

class AsioFront final : public GrpcFront {
 public:
  AsioFront(GrpcFrontOptions options, OnClient on_client)
      : acceptor_(context_),
        retry_(context_),
        tls_(options.tls),
        shared_(std::make_shared<Shared>()) {
    shared_->opened.emplace(options.streams_per_second, options.streams_at_once);
    shared_->resets.emplace(options.resets_per_second, options.resets_at_once);
    shared_->options = std::move(options);
    shared_->on_client = std::move(on_client);
  }
  ~AsioFront() override {
    context_.stop();
    if (thread_.joinable()) thread_.join();
  }

  absl::Status Listen() {
    const GrpcFrontOptions& options = shared_->options;
    if (options.tls.enabled()) {
      if (const absl::Status read = ReadCertificates(); !read.ok()) return read;
    }
    if (const absl::Status listening = control::Listen(acceptor_, options.address, options.port);
        !listening.ok()) {
      return listening;
    }
    port_ = acceptor_.local_endpoint().port();
    Accept();
    thread_ = std::thread([this] { context_.run(); });
    return absl::OkStatus();
  }

  uint16_t port() const override { return port_; }
  GrpcFrontCounters counters() const override {
    return {.accepted = shared_->accepted.load(std::memory_order_relaxed),
            .refused = shared_->refused.load(std::memory_order_relaxed),
            .cut = shared_->cut.load(std::memory_order_relaxed),
            .delayed = shared_->delayed.load(std::memory_order_relaxed)};
  }
  void StopAccepting() override {
    asio::post(context_, [this] {
      Error ignored;
      acceptor_.close(ignored);
      retry_.cancel();
    });
  }

 private:
  absl::Status ReadCertificates() {
    const auto before = tls_.current();
    const absl::Status read = tls_.Reload();
    if (tls_.current() != before) {
      SSL_CTX_set_alpn_select_cb(tls_.current()->native_handle(), kSelectHttp2, nullptr);
    }
    return read;
  }

  void Accept() {
    acceptor_.async_accept([this](const Error& error, tcp::socket socket) {
      if (error == asio::error::operation_aborted || !acceptor_.is_open()) return;
      // Out of descriptors: the kernel's queue holds the others for a moment.
      if (error) return AcceptLater();
      shared_->accepted.fetch_add(1, std::memory_order_relaxed);
      if (!Serve(std::move(socket))) shared_->refused.fetch_add(1, std::memory_order_relaxed);
      Accept();
    });
  }

  void AcceptLater() {
    retry_.expires_after(std::chrono::milliseconds(100));
    retry_.async_wait([this](const Error& error) {
      if (!error) Accept();
    });
  }

  // Whoever holds connections without asking for anything makes room for the next.
  bool HasRoom(const std::string& address) {
    const GrpcFrontOptions& options = shared_->options;
    const auto own = shared_->by_address.find(address);
    if (own != shared_->by_address.end() &&
        own->second.connections >= options.max_connections_per_address) {
      return CutSilent(&address);
    }
    return shared_->connections < options.max_connections || CutSilent(nullptr);
  }

  // Of one address, or of all.
  bool CutSilent(const std::string* address) {
    for (AnyConnection* connection : shared_->silent) {
      if (address != nullptr && connection->address() != *address) continue;
      connection->Cut();
      return true;
    }
    return false;
  }

  bool Serve(tcp::socket socket) {
    Error error;
    const auto endpoint = socket.remote_endpoint(error);
    if (error) return false;
    std::string address = endpoint.address().to_string();
    if (!HasRoom(address)) return false;
    Local::socket inner(context_);
    Local::socket theirs(context_);
    asio::local::connect_pair(inner, theirs, error);
    if (!error) theirs.native_non_blocking(true, error);
    if (error) return false;
    socket.set_option(tcp::no_delay(true), error);
    if (shared_->options.tls.enabled()) {
      // A new connection gets what is in the files now.
      if (const absl::Status read = ReadCertificates(); !read.ok()) {
        shared_->options.on_unusable(read);
      }
      using Tls = ssl::stream<tcp::socket>;
      // The context lives on with the SSL object, which counts references to it.
      Begin<Tls>(Tls(std::move(socket), *tls_.current()), std::move(inner), std::move(theirs),
                 std::move(address));
    } else {
      Begin<tcp::socket>(std::move(socket), std::move(inner), std::move(theirs),
                         std::move(address));
    }
    return true;
  }

  template <typename Stream>
  void Begin(Stream client, Local::socket inner, Local::socket theirs, std::string address) {
    std::make_shared<Connection<Stream>>(std::move(client), std::move(inner), std::move(theirs),
                                         shared_, std::move(address))
        ->Start();
  }

  asio::io_context context_{1};
  tcp::acceptor acceptor_;
  asio::steady_timer retry_;
  TlsContext tls_;
  const std::shared_ptr<Shared> shared_;
  uint16_t port_ = 0;
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<GrpcFront>> GrpcFront::Open(GrpcFrontOptions options,
                                                           OnClient on_client) {
  auto front = std::make_unique<AsioFront>(std::move(options), std::move(on_client));
  if (const absl::Status listening = front->Listen(); !listening.ok()) return listening;
  return front;
}

}  // namespace vigil::control
