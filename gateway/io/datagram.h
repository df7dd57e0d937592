#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "gateway/base/client_address.h"
#include "gateway/base/drop_reason.h"
#include "gateway/base/histogram.h"
#include "gateway/base/outbox.h"
#include "gateway/base/packet_pool.h"
#include "gateway/base/strong_id.h"
#include "gateway/base/time.h"

// The seam between a worker and the network. Behind it is the in-process edge, the link to a remote
// edge, or the simulator; the worker cannot tell.

namespace vigil::io {

struct InboundDatagram {
  ClientAddress client;
  // What the edge's table says of the client: the group and the epoch it is owned in.
  GroupId group;
  Epoch epoch;
  // When the kernel (of the edge's machine, by age) received it. Never later than the `now` of the
  // Receive() that returned it.
  Timestamp receive_time;
  PacketRef packet;
};

// Plain counters of a port since it was opened. In each direction every datagram is in exactly one
// of them: received or dropped, sent or dropped (or, for a moment, deferred).
struct PortCounters {
  uint64_t received = 0;        // datagrams handed to the worker
  uint64_t received_bytes = 0;  // without UDP, IP and framing headers
  uint64_t sent = 0;            // datagrams taken by the kernel or by a TCP connection's buffer
  uint64_t sent_bytes = 0;
  uint64_t send_deferred = 0;   // datagrams that had to wait for room in the socket
  uint64_t receive_errors = 0;  // failed receive calls other than "nothing there"
  uint64_t kernel_dropped = 0;  // lost in the socket's receive buffer before we read them
  DropCounters inbound_drops;
  DropCounters outbound_drops;
  struct Forwarded {
    // From the kernel's receive stamp of a packet to the return of the call that sent what came of
    // it, over all datagrams with a stamp.
    DurationHistogram dwell;
    // By how much it differs from that of the packet before in the same stream: what the gateway
    // itself adds to the gaps between packets.
    DurationHistogram jitter;
  };
  Forwarded sound;
  Forwarded picture;

  uint64_t tcp_accepted = 0;
  uint64_t tcp_refused = 0;  // over a limit at accept
  uint64_t tcp_expired = 0;  // proved nothing in time, or fell silent
  uint64_t tcp_closed = 0;   // by the client, an error, a framing error or our unbind
  uint64_t binds_refused = 0;
};

// One virtual call per batch, none per packet. Belongs to the worker's thread; never blocks. Every
// pool passed to Receive(), and every pool of a packet passed to Send(), must outlive the port.
class DatagramPort {
 public:
  virtual ~DatagramPort() = default;

  // Fills `out` from its start with what has arrived and takes packets for it from `pool`; the
  // number filled. Also gives datagrams that Send() deferred another try, and lets connections
  // expire, so it is to be called every turn. Fewer than out.size() means: nothing more for now.
  virtual size_t Receive(PacketPool& pool, std::span<InboundDatagram> out, Timestamp now) = 0;

  // Consumes every packet of `batch`, in order per client. A datagram that the kernel has no room
  // for waits for the next turn in a bounded queue; beyond that it is dropped and counted.
  virtual void Send(std::span<OutboundDatagram> batch) = 0;

  // An authenticated check of `group` came from `client` (RFC 8445, 7.3): only now may the port
  // route its other datagrams to that group.
  virtual void BindClient(const ClientAddress& client, GroupId group) = 0;
  // The client is gone, or has moved to another address. Closes its TCP connection.
  virtual void UnbindClient(const ClientAddress& client) = 0;

  // When Receive() has to be called at the latest though nothing arrives.
  virtual Timestamp NextDeadline() const = 0;
  virtual const PortCounters& counters() const = 0;
};

// Measures how long packets stayed, for the adapters. Remembers the last stay of each stream in a
// table of fixed size: two streams in one place take turns, and are measured less often.
class DwellRecorder {
 public:
  DwellRecorder() : last_(kPlaces) {}

  // Counts the time from each stamp's received_at until now; reads the clock once. Call right after
  // the system call that sent the datagrams.
  void Record(std::span<const ForwardStamp> stamps, PortCounters& counters);

 private:
  // A power of two. Higher measures more streams at once, lower takes less cache.
  static constexpr size_t kPlaces = 4'096;
  struct Place {
    uint32_t ssrc = 0;
    TimeDelta dwell;
  };
  std::vector<Place> last_;
};

}  // namespace vigil::io
