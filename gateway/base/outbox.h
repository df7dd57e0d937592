#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "gateway/base/client_address.h"
#include "gateway/base/packet_pool.h"
#include "gateway/base/time.h"

namespace vigil {

// What a datagram forwards, by which its stay in the gateway is measured once it has been sent.
struct ForwardStamp {
  // The kernel's receive stamp of the packet that is forwarded; LongAgo when none is.
  Timestamp received_at = Timestamp::LongAgo();
  uint32_t ssrc = 0;  // Of the outgoing stream.
  bool is_picture = false;
};

struct OutboundDatagram {
  ClientAddress client;
  PacketRef packet;
  ForwardStamp forwards;
};

// A datagram of at most this many bytes carries sound, a STUN check or RTCP, hardly ever picture:
// Opus at 64 kb/s and 20 ms is 160 bytes plus headers and tag. Bounded queues to the network keep
// their last quarter for these, so that sound is the last thing shed. Higher: small picture
// packets compete with sound. Lower: sound at high rates or long frames counts as picture.
inline constexpr size_t kSmallDatagramBytes = 400;

// How much of a bounded queue of `capacity` a datagram of `bytes` may fill.
constexpr size_t QueueShare(size_t capacity, size_t bytes) {
  return bytes <= kSmallDatagramBytes ? capacity : capacity - capacity / 4;
}

// What one turn of the worker sends: a bounded list whose storage is allocated once. Belongs to
// the worker's thread.
class Outbox {
 public:
  explicit Outbox(size_t capacity) : datagrams_(capacity) {}

  // False, counted, and the datagram is dropped, when full: the whole of it for small datagrams,
  // three quarters of it for the rest (QueueShare).
  bool Push(OutboundDatagram datagram) {
    const size_t bytes = datagram.packet ? datagram.packet->size : 0;
    if (size_ >= QueueShare(datagrams_.size(), bytes)) {
      ++refused_count_;
      return false;
    }
    datagrams_[size_++] = std::move(datagram);
    return true;
  }

  // In the order of the pushes. The port's Send() takes the packets out of it.
  std::span<OutboundDatagram> datagrams() { return std::span(datagrams_).first(size_); }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  size_t capacity() const { return datagrams_.size(); }
  // Datagrams refused since construction: DropReason::kQueueFull to the owner.
  uint64_t refused_count() const { return refused_count_; }

  // Releases what Send() left.
  void Clear() {
    for (OutboundDatagram& datagram : datagrams()) datagram.packet.Reset();
    size_ = 0;
  }

 private:
  std::vector<OutboundDatagram> datagrams_;
  size_t size_ = 0;
  uint64_t refused_count_ = 0;
};

}  // namespace vigil
