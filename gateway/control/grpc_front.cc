#include "gateway/control/grpc_front.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <future>
#include <list>
#include <map>
#include <span>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

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
#include "gateway/control/token_bucket.h"

namespace vigil::control {
namespace {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;
using asio::ip::tcp;
using Error = boost::system::error_code;
using Local = asio::local::stream_protocol;

// What is on its way in one direction of a connection, and as much of it as is read at a time from
// who sends too much: so little that its neighbours get their turn in between.
constexpr size_t kBuffer = 16 * 1024;
constexpr size_t kPiece = 4 * 1024;
// How long a client may take from its connection to the end of its greeting, TLS included.
constexpr std::chrono::seconds kGreetingTimeout{10};
// How long a client that has been said goodbye may keep its connection.
constexpr std::chrono::seconds kGoodbyeTimeout{2};
// How often what takes too long is looked for, and whether the certificates have changed.
constexpr std::chrono::seconds kTick{1};
// How long a client may leave its request unfinished: each here is one message.
constexpr TimeDelta kRequestTimeout = TimeDelta::Seconds(30);
// How long a client may take to read what fits into a buffer.
constexpr TimeDelta kReadTimeout = TimeDelta::Seconds(20);
// No client opens more at a time than it is allowed, but for those that it opens before it is told.
constexpr size_t kOpenOfConnection = 4'000;
// What a connection may do without regard to its network's others: who shares an address with a
// flood is served nevertheless.
constexpr double kOwnStreamsPerSecond = 10;
constexpr double kOwnStreamsAtOnce = 20;
constexpr double kOwnResetsPerSecond = 50;
constexpr double kOwnResetsAtOnce = 200;
// A client's first frame. Six bytes for each of a dozen settings.
constexpr size_t kMaxSettings = 600;

// SETTINGS with ACK (RFC 9113, 6.5). Says to gRPC, for the client, that its limits hold: until then
// it lets calls have any number of header fields, and a client need never say it. gRPC takes the
// client's own as another one.
constexpr std::array<uint8_t, Http2FrameHeader::kSize> kSettingsAck = {0, 0, 0, 4, 1, 0, 0, 0, 0};

constexpr char kNoHttp2[] =
    "HTTP/1.1 505 HTTP Version Not Supported\r\n"
    "Content-Type: text/plain\r\nContent-Length: 32\r\nConnection: close\r\n\r\n"
    "This port speaks gRPC (HTTP/2).\n";

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

// What one party can be assumed to control all of.
std::string NetworkOf(asio::ip::address address) {
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    address = asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
  }
  if (address.is_v4()) return address.to_string();
  asio::ip::address_v6::bytes_type bytes = address.to_v6().to_bytes();
  std::fill(bytes.begin() + 8, bytes.end(), uint8_t{0});
  return asio::ip::make_address_v6(bytes).to_string() + "/64";
}

class AnyConnection {
 public:
  virtual ~AnyConnection() = default;
  virtual void Cut() = 0;
  // Ends it if something takes too long.
  virtual void OnTick(Timestamp now) = 0;
  // Since when nothing is being done for it; Never: something is.
  virtual Timestamp idle_since() const = 0;
  virtual size_t streams() const = 0;
};

// The connections of one network.
struct Network {
  std::list<AnyConnection*> connections;
  size_t streams = 0;
};

// What the connections share. The front's thread.
struct Shared {
  Shared(GrpcFrontOptions with, GrpcFront::OnClient to)
      : options(std::move(with)),
        on_client(std::move(to)),
        accepts(options.connections_per_second, options.connections_at_once),
        opens(options.streams_per_second, options.streams_at_once),
        resets(options.resets_per_second, options.resets_at_once) {}

  GrpcFrontOptions options;
  GrpcFront::OnClient on_client;
  std::map<std::string, Network> networks;
  size_t connections = 0;
  size_t streams = 0;
  // By network.
  RateLimiter accepts;
  RateLimiter opens;
  RateLimiter resets;
  // Told once, when there is no connection any more; may be null.
  std::function<void()> on_empty;
  std::atomic<uint64_t> accepted = 0;
  std::atomic<uint64_t> refused = 0;
  std::atomic<uint64_t> cut = 0;
  std::atomic<uint64_t> delayed = 0;

  // Ends the connection that has been idle for longest, of these; false: none is idle.
  static bool CutIdle(const Network& network);
  // Of the network that has the most idle ones.
  bool CutIdle();
  // Ends the connection with the most streams, of the network with the most.
  void CutGreediest();
};

bool Shared::CutIdle(const Network& network) {
  AnyConnection* longest = nullptr;
  for (AnyConnection* connection : network.connections) {
    if (connection->idle_since().IsNever()) continue;
    if (longest == nullptr || connection->idle_since() < longest->idle_since()) {
      longest = connection;
    }
  }
  if (longest == nullptr) return false;
  longest->Cut();
  return true;
}

bool Shared::CutIdle() {
  const Network* idlest = nullptr;
  size_t most = 0;
  for (const auto& [name, network] : networks) {
    const auto idle = static_cast<size_t>(std::count_if(
        network.connections.begin(), network.connections.end(),
        [](const AnyConnection* connection) { return !connection->idle_since().IsNever(); }));
    if (idle <= most) continue;
    most = idle;
    idlest = &network;
  }
  return idlest != nullptr && CutIdle(*idlest);
}

void Shared::CutGreediest() {
  const auto network = std::max_element(
      networks.begin(), networks.end(),
      [](const auto& a, const auto& b) { return a.second.streams < b.second.streams; });
  if (network == networks.end()) return;
  const auto& of_it = network->second.connections;
  const auto connection = std::max_element(
      of_it.begin(), of_it.end(),
      [](const AnyConnection* a, const AnyConnection* b) { return a->streams() < b->streams(); });
  if (connection != of_it.end()) (*connection)->Cut();
}

// One client and gRPC's end of it, and two pumps. Keeps itself alive while an operation is under
// way.
template <typename Stream>
class Connection final : public AnyConnection,
                         public std::enable_shared_from_this<Connection<Stream>> {
 public:
  // `theirs`: gRPC's end of the pair.
  Connection(Stream client, Local::socket inner, Local::socket theirs,
             std::shared_ptr<Shared> shared, const asio::ip::address& address)
      : client_(std::move(client)),
        inner_(std::move(inner)),
        theirs_(std::move(theirs)),
        timer_(client_.get_executor()),
        pace_(client_.get_executor()),
        address_(address.to_string()),
        network_(NetworkOf(address)),
        shared_(std::move(shared)),
        idle_since_(now()),
        own_opens_(kOwnStreamsPerSecond, kOwnStreamsAtOnce, now()),
        own_resets_(kOwnResetsPerSecond, kOwnResetsAtOnce, now()) {
    ++shared_->connections;
    auto& connections = shared_->networks[network_].connections;
    place_ = connections.insert(connections.end(), this);
  }
  ~Connection() override { Leave(); }

  void Start() {
    EndIn(kGreetingTimeout);
    if constexpr (kTls) {
      client_.async_handshake(ssl::stream_base::server,
                              [self = this->shared_from_this()](const Error& error) {
                                if (error) return self->Cut();
                                self->Greet();
                              });
    } else {
      Greet();
    }
  }

  void Cut() override {
    Leave();
    timer_.cancel();
    pace_.cancel();
    Error ignored;
    Socket().close(ignored);
    inner_.close(ignored);
  }
  void OnTick(Timestamp at) override {
    const bool unread = at - writing_since_ >= kReadTimeout;
    const bool unfinished =
        std::any_of(streams_.open.begin(), streams_.open.end(), [at](const auto& stream) {
          return !stream.second.finished && at - stream.second.opened_at >= kRequestTimeout;
        });
    if (unread || unfinished) CutForCost();
  }
  Timestamp idle_since() const override { return idle_since_; }
  size_t streams() const override { return counted_; }

 private:
  static constexpr bool kTls = !std::is_same_v<Stream, tcp::socket>;
  enum class Phase : uint8_t { kGreeting, kServing, kGoodbye, kLeft };

  Timestamp now() const { return shared_->options.now(); }
  tcp::socket& Socket() {
    if constexpr (kTls) {
      return client_.next_layer();
    } else {
      return client_;
    }
  }

  // Takes the connection out of all sums, at once and once.
  void Leave() {
    if (phase_ == Phase::kLeft) return;
    phase_ = Phase::kLeft;
    const auto network = shared_->networks.find(network_);
    network->second.connections.erase(place_);
    network->second.streams -= counted_;
    shared_->streams -= counted_;
    counted_ = 0;
    if (network->second.connections.empty()) shared_->networks.erase(network);
    if (--shared_->connections > 0) return;
    if (const auto tell = std::exchange(shared_->on_empty, nullptr)) tell();
  }
  void CutForCost() {
    shared_->cut.fetch_add(1, std::memory_order_relaxed);
    Cut();
  }

  void EndIn(std::chrono::seconds delay) {
    timer_.expires_after(delay);
    timer_.async_wait([weak = this->weak_from_this()](const Error& error) {
      const auto self = weak.lock();
      if (!error && self != nullptr) self->Cut();
    });
  }

  // ---- The greeting: a client's preface and its settings (RFC 9113, 3.4). gRPC hears of the
  // connection when they are there.

  void Greet() {
    client_.async_read_some(asio::buffer(in_) + have_,
                            [self = this->shared_from_this()](const Error& error, size_t size) {
                              if (error) return self->Cut();
                              self->have_ += size;
                              self->OnGreeting();
                            });
  }

  void OnGreeting() {
    if (phase_ == Phase::kLeft) return;  // It had to make room just after it was read.
    const std::span<const uint8_t> said(in_.data(), have_);
    constexpr size_t kHead = kHttp2PrefaceSize + Http2FrameHeader::kSize;
    if (!std::equal(said.begin(), said.begin() + std::min(have_, kHttp2PrefaceSize),
                    kHttp2Preface)) {
      return Refuse();
    }
    if (have_ < kHead) return Greet();
    const auto settings =
        Http2FrameHeader::Parse(said.subspan<kHttp2PrefaceSize, Http2FrameHeader::kSize>());
    if (!settings.IsSettings() || settings.length > kMaxSettings) return CutForCost();
    const size_t greeting = kHead + settings.length;
    if (have_ < greeting) return Greet();
    Serve(greeting);
  }

  // Who came to the wrong port, by HTTP/1.1 or by TLS where there is none, sees that this is
  // something else, and does not take the node for dead.
  void Refuse() {
    phase_ = Phase::kGoodbye;
    asio::async_write(client_, asio::buffer(kNoHttp2, sizeof kNoHttp2 - 1),
                      [self = this->shared_from_this()](const Error& error, size_t) {
                        if (error) return self->Cut();
                        self->SayGoodbye();
                        if constexpr (!kTls) self->Drain();
                      });
  }

  // gRPC takes the client over; what came behind the greeting waits until its limits hold.
  void Serve(size_t greeting) {
    phase_ = Phase::kServing;
    timer_.cancel();
    shared_->on_client(theirs_.release(), address_);
    asio::async_write(inner_, asio::buffer(in_, greeting),
                      [self = this->shared_from_this(), greeting](const Error& error, size_t) {
                        if (error) return self->Cut();
                        self->have_ -= greeting;
                        std::copy_n(self->in_.begin() + greeting, self->have_, self->in_.begin());
                        self->PumpOut();
                      });
  }

  // gRPC has said its settings.
  void Acknowledge() {
    asio::async_write(inner_, asio::buffer(kSettingsAck),
                      [self = this->shared_from_this()](const Error& error, size_t) {
                        if (error) return self->Drain();
                        if (self->have_ == 0) return self->PumpIn();
                        self->TakeIn(self->have_);
                      });
  }

  // ---- From the client to gRPC.

  void PumpIn() {
    client_.async_read_some(asio::buffer(in_, hurried_ ? kPiece : kBuffer),
                            [self = this->shared_from_this()](const Error& error, size_t size) {
                              // gRPC sees the end of the pair, and ends what was asked.
                              if (error) return self->Cut();
                              self->TakeIn(size);
                            });
  }

  void TakeIn(size_t size) {
    const uint64_t opened = streams_.opened;
    if (!Follow(from_client_, std::span(in_).first(size))) return;
    const TimeDelta wait = WaitFor(streams_.opened - opened);
    hurried_ = wait > TimeDelta::Zero();
    if (!hurried_) return PassOn(size);
    // What was read goes on to gRPC when its streams are due. Until then nothing more is read: TCP
    // holds the client up.
    shared_->delayed.fetch_add(1, std::memory_order_relaxed);
    pace_.expires_after(std::chrono::nanoseconds(wait.ns()));
    pace_.async_wait([self = this->shared_from_this(), size](const Error& error) {
      if (!error) self->PassOn(size);
    });
  }

  TimeDelta WaitFor(uint64_t opened) {
    if (opened == 0) return TimeDelta::Zero();
    const auto count = static_cast<double>(opened);
    const double beyond = count - own_opens_.TakeUpTo(count, now());
    if (beyond <= 0) return TimeDelta::Zero();
    return shared_->opens.Charge(network_, beyond, now());
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
    if (phase_ == Phase::kServing) {
      phase_ = Phase::kGoodbye;
      EndIn(kGoodbyeTimeout);
    }
    Socket().async_read_some(asio::buffer(in_),
                             [self = this->shared_from_this()](const Error& error, size_t) {
                               if (error) return self->Cut();
                               self->Drain();
                             });
  }

  // ---- From gRPC to the client.

  void PumpOut() {
    inner_.async_read_some(asio::buffer(out_),
                           [self = this->shared_from_this()](const Error& error, size_t size) {
                             if (error) return self->SayGoodbye();
                             self->TakeOut(size);
                           });
  }

  void TakeOut(size_t size) {
    const bool first = !from_server_.begun();
    if (!Follow(from_server_, std::span(out_).first(size))) return;
    if (first && from_server_.begun()) Acknowledge();
    writing_since_ = now();
    asio::async_write(client_, asio::buffer(out_, size),
                      [self = this->shared_from_this()](const Error& failed, size_t) {
                        self->writing_since_ = Timestamp::Never();
                        if (failed) return self->Cut();
                        self->PumpOut();
                      });
  }

  // gRPC has said all: the client reads it before the connection is closed.
  void SayGoodbye() {
    if (phase_ == Phase::kLeft) return;
    phase_ = Phase::kGoodbye;
    EndIn(kGoodbyeTimeout);
    if constexpr (kTls) {
      // Fails where the client is still sending; it is read until the end all the same, because to
      // close with something unread takes away what was sent last.
      client_.async_shutdown([self = this->shared_from_this()](const Error& error) {
        if (!error) return self->Cut();
        self->Drain();
      });
    } else {
      Error ignored;
      client_.shutdown(tcp::socket::shutdown_send, ignored);
    }
  }

  // ---- What it costs.

  // False, and the connection is cut, when that is too much.
  bool Follow(Http2Frames& frames, std::span<const uint8_t> bytes) {
    if (phase_ == Phase::kLeft) return false;  // It was read just before.
    const uint64_t opened = streams_.opened;
    const uint64_t resets = streams_.resets;
    frames.Inspect(bytes, now(), streams_);
    Count();
    if (streams_.violated || counted_ > kOpenOfConnection || !MayReset(streams_.resets - resets)) {
      CutForCost();
    } else if (streams_.opened > opened) {
      BoundStreams();
    }
    return phase_ != Phase::kLeft;
  }

  void Count() {
    const size_t open = streams_.open.size();
    shared_->networks[network_].streams += open - counted_;
    shared_->streams += open - counted_;
    counted_ = open;
    // Idle is also who asks and gets no answer: calls that are no calls are asked for easily.
    if (streams_.answered > 0) {
      idle_since_ = Timestamp::Never();
    } else if (idle_since_.IsNever()) {
      idle_since_ = now();
    }
  }

  bool MayReset(uint64_t count) {
    for (; count > 0; --count) {
      if (!own_resets_.Take(1, now()) && !shared_->resets.Admit(network_, now())) return false;
    }
    return true;
  }

  // It has just opened some.
  void BoundStreams() {
    const GrpcFrontOptions& options = shared_->options;
    if (shared_->networks[network_].streams > options.max_streams_per_network) return CutForCost();
    if (shared_->streams <= options.max_streams) return;
    shared_->cut.fetch_add(1, std::memory_order_relaxed);
    shared_->CutGreediest();
  }

  Stream client_;
  Local::socket inner_;
  Local::socket theirs_;  // Until gRPC has it.
  asio::steady_timer timer_;
  asio::steady_timer pace_;
  const std::string address_;
  const std::string network_;
  const std::shared_ptr<Shared> shared_;
  std::list<AnyConnection*>::iterator place_;
  Phase phase_ = Phase::kGreeting;
  Timestamp idle_since_;
  Timestamp writing_since_ = Timestamp::Never();
  bool hurried_ = false;  // It had to wait when it was read last.
  Http2Streams streams_;
  size_t counted_ = 0;  // Of `streams_.open`, in the sums.
  TokenBucket own_opens_;
  TokenBucket own_resets_;
  Http2Frames from_client_{Http2Frames::Sender::kClient};
  Http2Frames from_server_{Http2Frames::Sender::kServer};
  std::array<uint8_t, kBuffer> in_;
  size_t have_ = 0;  // Of `in_`, before it is pumped.
  std::array<uint8_t, kBuffer> out_;
};

class AsioFront final : public GrpcFront {
 public:
  AsioFront(GrpcFrontOptions options, OnClient on_client)
      : acceptor_(context_),
        retry_(context_),
        tick_(context_),
        tls_(options.tls),
        shared_(std::make_shared<Shared>(std::move(options), std::move(on_client))) {}
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
    Tick();
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
  void AwaitEnd(std::chrono::milliseconds patience) override {
    const auto ended = std::make_shared<std::promise<void>>();
    asio::post(context_, [this, ended] {
      if (shared_->connections == 0) return ended->set_value();
      shared_->on_empty = [ended] { ended->set_value(); };
    });
    ended->get_future().wait_for(patience);
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

  void Tick() {
    tick_.expires_after(kTick);
    tick_.async_wait([this](const Error& error) {
      if (error) return;
      OnTick();
      Tick();
    });
  }

  void OnTick() {
    std::vector<AnyConnection*> all;
    for (const auto& [name, network] : shared_->networks) {
      all.insert(all.end(), network.connections.begin(), network.connections.end());
    }
    // None of them is gone before its own turn: each ends itself only, and by a handler later.
    const Timestamp now = shared_->options.now();
    for (AnyConnection* connection : all) connection->OnTick(now);
    if (!shared_->options.tls.enabled()) return;
    if (const absl::Status read = ReadCertificates(); !read.ok()) {
      shared_->options.on_unusable(read);
    }
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

  // Whoever holds connections for which nothing is done makes room for the next.
  bool HasRoom(const std::string& network) {
    const GrpcFrontOptions& options = shared_->options;
    if (!shared_->accepts.Admit(network, options.now())) return false;
    const auto own = shared_->networks.find(network);
    if (own != shared_->networks.end() &&
        own->second.connections.size() >= options.max_connections_per_network) {
      return Shared::CutIdle(own->second);
    }
    return shared_->connections < options.max_connections || shared_->CutIdle();
  }

  bool Serve(tcp::socket socket) {
    Error error;
    const auto endpoint = socket.remote_endpoint(error);
    if (error || !HasRoom(NetworkOf(endpoint.address()))) return false;
    Local::socket inner(context_);
    Local::socket theirs(context_);
    asio::local::connect_pair(inner, theirs, error);
    if (!error) theirs.native_non_blocking(true, error);
    if (error) return false;
    socket.set_option(tcp::no_delay(true), error);
    if (shared_->options.tls.enabled()) {
      using Tls = ssl::stream<tcp::socket>;
      // The context lives on with the SSL object, which counts references to it.
      Begin<Tls>(Tls(std::move(socket), *tls_.current()), std::move(inner), std::move(theirs),
                 endpoint.address());
    } else {
      Begin<tcp::socket>(std::move(socket), std::move(inner), std::move(theirs),
                         endpoint.address());
    }
    return true;
  }

  template <typename Stream>
  void Begin(Stream client, Local::socket inner, Local::socket theirs,
             const asio::ip::address& address) {
    std::make_shared<Connection<Stream>>(std::move(client), std::move(inner), std::move(theirs),
                                         shared_, address)
        ->Start();
  }

  asio::io_context context_{1};
  tcp::acceptor acceptor_;
  asio::steady_timer retry_;
  asio::steady_timer tick_;
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
