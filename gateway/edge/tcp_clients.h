#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gateway/base/client_address.h"
#include "gateway/base/packet_pool.h"
#include "gateway/base/ring_buffer.h"
#include "gateway/base/time.h"
#include "gateway/ice/tcp_framing.h"
#include "gateway/io/datagram.h"
#include "gateway/io/poller.h"
#include "gateway/io/tcp_connection.h"
#include "gateway/io/tcp_listener.h"

namespace vigil::edge {

struct TcpClientsOptions {
  // Connections in all. Each costs 6 kB, and the send buffer once it is needed. Higher admits more
  // of a flood, lower turns away clients whose networks let nothing else through.
  size_t max_connections = 1'024;
  // Connections of one network (an IPv4 address, an IPv6 /64) that have not proven themselves. A
  // hospital behind one address reconnects dozens at once, and each proves itself in a round trip.
  size_t max_unproven_per_network = 64;
  io::TcpConnectionOptions connection = {};
};

// The ICE-TCP clients of an edge (RFC 6544, passive): accepts, cuts the streams into datagrams
// (RFC 4571) and writes datagrams as frames. A connection has to begin with a STUN check, and is
// closed when nobody calls SetProven() for it in time. Belongs to one thread.
class TcpClients {
 public:
  // Errors: those of Poller::Open.
  static absl::StatusOr<std::unique_ptr<TcpClients>> Open(const TcpClientsOptions& options);
  TcpClients(const TcpClients&) = delete;
  TcpClients& operator=(const TcpClients&) = delete;

  absl::Status AddListener(std::unique_ptr<io::TcpListener> listener);

  // Readable when Receive() has something to do: a poller of the owner watches it.
  int fd() const { return poller_->fd(); }

  // Accepts, reads, writes what waits, and expires. Fills `out` from its start with client,
  // receive time (the time of reading: `now`) and packet; the number filled.
  size_t Receive(PacketPool& pool, std::span<io::InboundDatagram> out, Timestamp now,
                 io::PortCounters& counters);

  // Consumes the TCP datagrams of `batch`; leaves the others. Drops: kPeerNotConnected without a
  // connection, kQueueFull when its buffer has no room.
  void Send(std::span<OutboundDatagram> batch, io::PortCounters& counters);

  void SetProven(const ClientAddress& client);
  void Close(const ClientAddress& client, io::PortCounters& counters);

  // The clients whose connections ended since ClearEnded(), whoever ended them.
  std::span<const ClientAddress> ended() const { return ended_; }
  void ClearEnded() { ended_.clear(); }

  // When a connection may expire; Never without any.
  Timestamp NextDeadline() const { return next_sweep_; }
  size_t connection_count() const { return by_client_.size(); }

 private:
  // What one read takes: two full frames and some.
  static constexpr size_t kReadBytes = 4'096;

  enum class Stage : uint8_t {
    kSilent,   // no frame has come
    kChecked,  // the first frame was a STUN check: it may be a client
    kProven,   // SetProven() was called
  };
  struct Connection {
    Connection(io::TcpListener::Accepted accepted, const io::TcpConnectionOptions& options,
               Timestamp now)
        : tcp(std::move(accepted.fd), accepted.client, options, now) {}

    io::TcpConnection tcp;
    ice::TcpDeframer deframer;
    std::array<uint8_t, kReadBytes> input;
    std::span<const uint8_t> unread;  // Of `input`.
    Stage stage = Stage::kSilent;
    bool watches_writable = false;
  };
  // A place for a connection. The generation tells an event of an earlier holder.
  struct Place {
    std::unique_ptr<Connection> connection;
    uint32_t generation = 0;
  };
  // Where one Receive() puts what it reads.
  struct Sink {
    PacketPool& pool;
    std::span<io::InboundDatagram> out;
    size_t filled = 0;
    Timestamp now;
    io::PortCounters& counters;

    bool full() const { return filled == out.size(); }
  };
  using Network = std::array<uint8_t, 16>;

  TcpClients(std::unique_ptr<io::Poller> poller, const TcpClientsOptions& options);
  static Network NetworkOf(const ClientAddress& client);
  void AcceptFrom(io::TcpListener& listener, Timestamp now, io::PortCounters& counters);
  bool Admit(io::TcpListener::Accepted accepted, Timestamp now);
  void OnReady(const io::Poller::Ready& ready, Sink& sink);
  void Deframe(size_t place, Sink& sink);
  void Deliver(Connection& connection, std::span<const uint8_t> frame, Sink& sink);
  void WatchWrites(size_t place);
  void Sweep(Timestamp now, io::PortCounters& counters);
  void LeaveProbation(const Connection& connection);
  size_t UnprovenOf(const Network& network) const;
  void End(size_t place);

  TcpClientsOptions options_;
  std::unique_ptr<io::Poller> poller_;
  std::vector<std::unique_ptr<io::TcpListener>> listeners_;
  io::DwellRecorder dwell_;
  std::vector<Place> places_;
  std::vector<uint32_t> free_places_;
  absl::flat_hash_map<ClientAddress, uint32_t> by_client_;
  absl::flat_hash_map<Network, size_t> unproven_;
  // Places whose connections have unread input because `out` was full. A place is in it once at
  // most: only a connection without unread input is read, and only when this is empty.
  RingBuffer<uint32_t> unfinished_;
  std::vector<ClientAddress> ended_;
  Timestamp next_sweep_ = Timestamp::Never();
};

}  // namespace vigil::edge
