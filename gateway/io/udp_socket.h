#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/base/packet_pool.h"
#include "gateway/base/time.h"
#include "gateway/io/datagram.h"
#include "gateway/io/fd.h"
#include "gateway/io/socket_address.h"

namespace vigil::io {

struct UdpSocketOptions {
  // A concrete address: IPv4 (mapped) or IPv6. A wildcard works too (:: takes both families), but
  // then the kernel chooses the source address of what is sent: right only on a machine with one
  // address. A machine with several opens one socket per announced address instead, so that an
  // answer leaves from where the question came to, without a control message per packet.
  IpAddress address{};
  uint16_t port = 0;  // 0: any free one.
  // ClientAddress::local of what is received here; Send() takes only datagrams that bear it.
  uint8_t local = 0;
  // Asked of the kernel, which may give less (net.core.rmem_max) or counts overhead in. 4 MiB are
  // about 2,000 full packets, 25 ms at 80,000 a second: more hides a worker that is too slow, less
  // loses packets when the machine stalls for some milliseconds.
  int receive_buffer_bytes = 4 * 1024 * 1024;
  // Higher adds delay when the link is the bottleneck; lower defers bursts to the next turn.
  int send_buffer_bytes = 2 * 1024 * 1024;
  // Longer ones are dropped as kOversized. At most Packet::kCapacity.
  size_t max_datagram_bytes = Packet::kMaxReceived;
  // How many datagrams wait when the kernel has no room. Higher adds delay, lower loses bursts.
  size_t deferred_capacity = 512;
};

// One non-blocking UDP socket that reads and writes in batches. Belongs to one thread.
//
// When the kernel has no room (EAGAIN, ENOBUFS) the rest of a batch waits, bounded, and goes first
// at the next turn, in order; the last quarter of that queue is for small datagrams, so that a
// burst of picture cannot crowd out sound. A datagram the kernel refuses for its own sake (EPERM of
// a packet filter, no route, too long) is counted as kSendFailed, and the next one is tried.
class UdpSocket {
 public:
  // Datagrams per recvmmsg. The gain flattens at 8 to 16; more only cost cache.
  static constexpr size_t kReceiveBatch = 16;
  // Datagrams per sendmmsg. Higher delays the dwell stamp of the first of them.
  static constexpr size_t kSendBatch = 32;

  // Errors: those of socket(2) and bind(2), by SystemError; kAlreadyExists when the port is taken.
  static absl::StatusOr<std::unique_ptr<UdpSocket>> Open(const UdpSocketOptions& options);
  ~UdpSocket();
  UdpSocket(const UdpSocket&) = delete;
  UdpSocket& operator=(const UdpSocket&) = delete;

  // Fills `out` from its start with what has arrived: client, receive time and packet; the number
  // filled, which the caller counts when it has decided what becomes of them. The kernel begins to
  // stamp arrivals a moment after the first socket of the machine asks for it; until then it stamps
  // at the read. When the pool is exhausted the kernel's queue is still drained, and what was in it
  // counted as kPoolExhausted, so that delay does not build up.
  size_t Receive(PacketPool& pool, std::span<InboundDatagram> out, Timestamp now,
                 PortCounters& counters);

  // Consumes the UDP datagrams of `batch` whose client.local is this socket's; leaves the others.
  void Send(std::span<OutboundDatagram> batch, PortCounters& counters);
  // Another try for what had to wait.
  void FlushDeferred(PortCounters& counters);
  bool has_deferred() const { return !deferred_.empty(); }

  int fd() const { return fd_.get(); }
  uint16_t port() const { return port_; }
  // What the kernel really gave (it counts its own overhead, so about half holds payload).
  int receive_buffer_bytes() const { return receive_buffer_bytes_; }
  int send_buffer_bytes() const { return send_buffer_bytes_; }

 private:
  struct ReceiveBatch;
  struct SendBatch;

  UdpSocket(Fd fd, const UdpSocketOptions& options);
  size_t ReceiveOnce(PacketPool& pool, std::span<InboundDatagram> out, Timestamp now,
                     PortCounters& counters, bool& drained);
  size_t Drain(size_t limit, PortCounters& counters);
  int ReadBatch(size_t count, PortCounters& counters);
  bool ReadMessage(size_t index, TimeDelta realtime_offset, InboundDatagram& datagram,
                   PortCounters& counters);
  bool IsOwn(const OutboundDatagram& datagram) const;
  size_t FillSendBatch(std::span<OutboundDatagram> datagrams);
  void SendOwn(std::span<OutboundDatagram> datagrams, PortCounters& counters);
  void Defer(OutboundDatagram datagram, PortCounters& counters);

  Fd fd_;
  int family_;
  uint8_t local_;
  uint16_t port_ = 0;
  int receive_buffer_bytes_ = 0;
  int send_buffer_bytes_ = 0;
  size_t max_datagram_bytes_;
  size_t deferred_capacity_;
  uint32_t kernel_dropped_ = 0;  // The socket's own counter, which wraps.
  std::unique_ptr<ReceiveBatch> receive_;
  std::unique_ptr<SendBatch> send_;
  DwellRecorder dwell_;
  std::vector<OutboundDatagram> deferred_;
};

}  // namespace vigil::io
