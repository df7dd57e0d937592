#include "gateway/io/udp_socket.h"

#include <errno.h>
#include <sys/socket.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/base/check.h"
#include "gateway/io/clock.h"

namespace vigil::io {
namespace {

// A receive stamp and the count of datagrams lost in the socket's buffer.
constexpr size_t kControlBytes = CMSG_SPACE(sizeof(timespec)) + CMSG_SPACE(sizeof(uint32_t));

bool SetInt(int fd, int level, int name, int value) {
  return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

int GetInt(int fd, int level, int name) {
  int value = 0;
  socklen_t length = sizeof value;
  return getsockopt(fd, level, name, &value, &length) == 0 ? value : 0;
}

// Above net.core.*mem_max only with CAP_NET_ADMIN; without it the kernel caps silently.
int SizeBuffer(int fd, int force, int plain, int bytes) {
  if (!SetInt(fd, SOL_SOCKET, force, bytes)) SetInt(fd, SOL_SOCKET, plain, bytes);
  return GetInt(fd, SOL_SOCKET, plain);
}

// No room now: the datagram is as good as before, later.
bool IsNoRoom(int error) {
  return error == EAGAIN || error == EWOULDBLOCK || error == ENOBUFS || error == ENOMEM;
}

struct Control {
  std::optional<TimeDelta> realtime_stamp;
  std::optional<uint32_t> dropped;
};

Control ReadControl(msghdr& header) {
  Control control;
  for (cmsghdr* item = CMSG_FIRSTHDR(&header); item != nullptr; item = CMSG_NXTHDR(&header, item)) {
    if (item->cmsg_level != SOL_SOCKET) continue;
    if (item->cmsg_type == SCM_TIMESTAMPNS && item->cmsg_len >= CMSG_LEN(sizeof(timespec))) {
      timespec stamp{};
      std::memcpy(&stamp, CMSG_DATA(item), sizeof stamp);
      control.realtime_stamp = TimeDelta::Seconds(stamp.tv_sec) + TimeDelta::Nanos(stamp.tv_nsec);
    } else if (item->cmsg_type == SO_RXQ_OVFL && item->cmsg_len >= CMSG_LEN(sizeof(uint32_t))) {
      uint32_t dropped = 0;
      std::memcpy(&dropped, CMSG_DATA(item), sizeof dropped);
      control.dropped = dropped;
    }
  }
  return control;
}

}  // namespace

struct UdpSocket::ReceiveBatch {
  std::array<mmsghdr, kReceiveBatch> messages{};
  std::array<iovec, kReceiveBatch> parts{};
  std::array<SocketAddress, kReceiveBatch> sources{};
  alignas(cmsghdr) std::array<std::array<uint8_t, kControlBytes>, kReceiveBatch> control{};
  std::array<PacketRef, kReceiveBatch> packets;
};

struct UdpSocket::SendBatch {
  std::array<mmsghdr, kSendBatch> messages{};
  std::array<iovec, kSendBatch> parts{};
  std::array<SocketAddress, kSendBatch> targets{};
  std::array<OutboundDatagram*, kSendBatch> datagrams{};
  std::array<ForwardStamp, kSendBatch> stamps{};
};

absl::StatusOr<std::unique_ptr<UdpSocket>> UdpSocket::Open(const UdpSocketOptions& options) {
  VIGIL_CHECK(options.max_datagram_bytes <= Packet::kCapacity);
  const std::string name = absl::StrCat("UDP ", ToString(options.address), " port ", options.port);
  const int family = IsV4(options.address) ? AF_INET : AF_INET6;
  Fd fd(socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.is_open()) return SystemError(errno, name);
  if (family == AF_INET6) {
    SetInt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, IsWildcard(options.address) ? 0 : 1);
  }
  if (!SetInt(fd.get(), SOL_SOCKET, SO_TIMESTAMPNS, 1) ||
      !SetInt(fd.get(), SOL_SOCKET, SO_RXQ_OVFL, 1)) {
    return SystemError(errno, name);
  }
  SocketAddress address;
  const socklen_t length = WriteSocketAddress(options.address, options.port, family, address);
  if (bind(fd.get(), &address.any, length) != 0) return SystemError(errno, name);
  return std::unique_ptr<UdpSocket>(new UdpSocket(std::move(fd), options));
}

UdpSocket::UdpSocket(Fd fd, const UdpSocketOptions& options)
    : fd_(std::move(fd)),
      family_(IsV4(options.address) ? AF_INET : AF_INET6),
      local_(options.local),
      port_(BoundPort(fd_.get())),
      max_datagram_bytes_(options.max_datagram_bytes),
      deferred_capacity_(options.deferred_capacity),
      receive_(std::make_unique<ReceiveBatch>()),
      send_(std::make_unique<SendBatch>()) {
  receive_buffer_bytes_ =
      SizeBuffer(fd_.get(), SO_RCVBUFFORCE, SO_RCVBUF, options.receive_buffer_bytes);
  send_buffer_bytes_ = SizeBuffer(fd_.get(), SO_SNDBUFFORCE, SO_SNDBUF, options.send_buffer_bytes);
  deferred_.reserve(deferred_capacity_);
}

UdpSocket::~UdpSocket() = default;

size_t UdpSocket::Receive(PacketPool& pool, std::span<InboundDatagram> out, Timestamp now,
                          PortCounters& counters) {
  size_t filled = 0;
  size_t read = 0;
  bool drained = false;
  // Bounded by what is read, not by what is kept: a flood of bad datagrams must not hold the turn.
  while (!drained && filled < out.size() && read < 2 * out.size()) {
    filled += ReceiveOnce(pool, out.subspan(filled), now, counters, drained);
    read += kReceiveBatch;
  }
  return filled;
}

size_t UdpSocket::ReceiveOnce(PacketPool& pool, std::span<InboundDatagram> out, Timestamp now,
                              PortCounters& counters, bool& drained) {
  const size_t wanted = std::min(out.size(), kReceiveBatch);
  size_t ready = 0;
  while (ready < wanted && (receive_->packets[ready] = pool.Take())) ++ready;
  if (ready == 0) {
    drained = Drain(wanted, counters) < wanted;
    return 0;
  }
  for (size_t i = 0; i < ready; ++i) {
    receive_->parts[i] = {receive_->packets[i]->room().data(), max_datagram_bytes_};
  }
  const int received = ReadBatch(ready, counters);
  const auto count = static_cast<size_t>(std::max(received, 0));
  const TimeDelta offset = count > 0 ? RealtimeMinusMonotonic() : TimeDelta::Zero();
  size_t filled = 0;
  for (size_t i = 0; i < count; ++i) {
    InboundDatagram& datagram = out[filled];
    datagram.receive_time = now;
    if (!ReadMessage(i, offset, datagram, counters)) continue;
    datagram.packet = std::move(receive_->packets[i]);
    ++filled;
  }
  for (size_t i = 0; i < ready; ++i) receive_->packets[i].Reset();
  drained = count < ready;
  return filled;
}

// Throws away up to `limit` datagrams; the number thrown away.
size_t UdpSocket::Drain(size_t limit, PortCounters& counters) {
  std::array<uint8_t, 1> sink;
  for (size_t i = 0; i < limit; ++i) receive_->parts[i] = {sink.data(), sink.size()};
  const int received = ReadBatch(limit, counters);
  if (received <= 0) return 0;
  counters.inbound_drops.Add(DropReason::kPoolExhausted, static_cast<uint64_t>(received));
  return static_cast<size_t>(received);
}

// recvmmsg into the first `count` parts; the number of datagrams.
int UdpSocket::ReadBatch(size_t count, PortCounters& counters) {
  for (size_t i = 0; i < count; ++i) {
    msghdr& header = receive_->messages[i].msg_hdr;
    header = {};
    header.msg_name = &receive_->sources[i];
    header.msg_namelen = sizeof(SocketAddress);
    header.msg_iov = &receive_->parts[i];
    header.msg_iovlen = 1;
    header.msg_control = receive_->control[i].data();
    header.msg_controllen = kControlBytes;
  }
  // A pending socket error is handed out once, then the queue can be read.
  for (int attempt = 0; attempt < 3; ++attempt) {
    const int received = recvmmsg(fd_.get(), receive_->messages.data(),
                                  static_cast<unsigned>(count), MSG_DONTWAIT, nullptr);
    if (received >= 0) return received;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return 0;
    if (errno != EINTR) ++counters.receive_errors;
  }
  return 0;
}

// Reads what recvmmsg said of the datagram at `index`; false when it is dropped.
bool UdpSocket::ReadMessage(size_t index, TimeDelta realtime_offset, InboundDatagram& datagram,
                            PortCounters& counters) {
  mmsghdr& message = receive_->messages[index];
  const Control control = ReadControl(message.msg_hdr);
  if (control.dropped) {
    counters.kernel_dropped += *control.dropped - kernel_dropped_;
    kernel_dropped_ = *control.dropped;
  }
  if ((message.msg_hdr.msg_flags & MSG_TRUNC) != 0) {
    counters.inbound_drops.Add(DropReason::kOversized);
    return false;
  }
  if (message.msg_len == 0 || !ReadSocketAddress(receive_->sources[index], datagram.client)) {
    counters.inbound_drops.Add(DropReason::kMalformed);
    return false;
  }
  datagram.client.transport = Transport::kUdp;
  datagram.client.local = local_;
  receive_->packets[index]->size = static_cast<uint16_t>(message.msg_len);
  if (control.realtime_stamp) {
    // A packet may have come after `now` was read, and the wall clock may have been stepped.
    const Timestamp stamp = Timestamp::FromNanos((*control.realtime_stamp - realtime_offset).ns());
    datagram.receive_time = Earliest(stamp, datagram.receive_time);
  }
  return true;
}

bool UdpSocket::IsOwn(const OutboundDatagram& datagram) const {
  return datagram.packet && datagram.client.transport == Transport::kUdp &&
         datagram.client.local == local_;
}

void UdpSocket::Send(std::span<OutboundDatagram> batch, PortCounters& counters) {
  FlushDeferred(counters);
  // What waits goes first: packets of one stream stay in order.
  if (deferred_.empty()) SendOwn(batch, counters);
  for (OutboundDatagram& datagram : batch) {
    if (IsOwn(datagram)) Defer(std::move(datagram), counters);
  }
}

void UdpSocket::FlushDeferred(PortCounters& counters) {
  if (deferred_.empty()) return;
  SendOwn(deferred_, counters);
  std::erase_if(deferred_, [](const OutboundDatagram& datagram) { return !datagram.packet; });
}

void UdpSocket::Defer(OutboundDatagram datagram, PortCounters& counters) {
  if (deferred_.size() >= QueueShare(deferred_capacity_, datagram.packet->size)) {
    counters.outbound_drops.Add(DropReason::kQueueFull);
    return;
  }
  ++counters.send_deferred;
  deferred_.push_back(std::move(datagram));
}

// Points the send batch at the first of our datagrams in `datagrams`; how many it holds. Runs of
// one destination and size, once they are worth a segmented send (UDP_SEGMENT), are found here.
size_t UdpSocket::FillSendBatch(std::span<OutboundDatagram> datagrams) {
  size_t count = 0;
  for (OutboundDatagram& datagram : datagrams) {
    if (count == kSendBatch) break;
    if (!IsOwn(datagram)) continue;
    msghdr& header = send_->messages[count].msg_hdr;
    header = {};
    header.msg_namelen = WriteSocketAddress(datagram.client.ip, datagram.client.port, family_,
                                            send_->targets[count]);
    header.msg_name = &send_->targets[count];
    send_->parts[count] = {datagram.packet->data.data(), datagram.packet->size};
    header.msg_iov = &send_->parts[count];
    header.msg_iovlen = 1;
    send_->datagrams[count] = &datagram;
    send_->stamps[count] = datagram.forwards;
    ++count;
  }
  return count;
}

// Sends ours of `datagrams` in order. Afterwards a datagram with a packet is one that the kernel
// had no room for, and so are all of ours behind it.
void UdpSocket::SendOwn(std::span<OutboundDatagram> datagrams, PortCounters& counters) {
  while (const size_t count = FillSendBatch(datagrams)) {
    const int result = sendmmsg(fd_.get(), send_->messages.data(), static_cast<unsigned>(count),
                                MSG_DONTWAIT | MSG_NOSIGNAL);
    if (result < 0 && IsNoRoom(errno)) return;
    if (result < 0 && errno == EINTR) continue;
    // An error speaks of the first datagram; one met later in a batch only ends the batch.
    const auto consumed = static_cast<size_t>(std::max(result, 1));
    if (result > 0) {
      counters.sent += consumed;
      dwell_.Record(std::span(send_->stamps).first(consumed), counters);
    } else {
      counters.outbound_drops.Add(DropReason::kSendFailed);
    }
    for (size_t i = 0; i < consumed; ++i) {
      OutboundDatagram& datagram = *send_->datagrams[i];
      if (result > 0) counters.sent_bytes += datagram.packet->size;
      datagram.packet.Reset();
    }
    const auto next = static_cast<size_t>(send_->datagrams[consumed - 1] - datagrams.data()) + 1;
    datagrams = datagrams.subspan(next);
  }
}

}  // namespace vigil::io
