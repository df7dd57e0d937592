#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "gateway/base/check.h"
#include "gateway/base/drop_reason.h"
#include "gateway/base/time.h"

namespace vigil {

class PacketPool;

// A pooled datagram buffer. Owned by one worker's thread; the reference count is a plain integer.
struct Packet {
  // An Ethernet-sized datagram plus what the gateway may add to it: a rewritten extension block,
  // an RTX sequence number, a longer picture id, the SRTP tag.
  static constexpr size_t kCapacity = 1600;
  // The longest datagram accepted from the network; the rest of kCapacity is room to grow.
  static constexpr size_t kMaxReceived = 1500;

  std::span<uint8_t> bytes() { return {data.data(), size}; }
  std::span<const uint8_t> bytes() const { return {data.data(), size}; }
  std::span<uint8_t> room() { return data; }

  uint16_t size = 0;
  uint32_t references = 0;
  PacketPool* pool = nullptr;
  std::array<uint8_t, kCapacity> data;  // Left uninitialised: untouched slots cost no memory.
};

// Shares one pooled packet. Move is free; copy counts. Single-threaded, like its pool.
class PacketRef {
 public:
  PacketRef() = default;
  PacketRef(const PacketRef& other) : packet_(other.packet_) {
    if (packet_ != nullptr) ++packet_->references;
  }
  PacketRef(PacketRef&& other) noexcept : packet_(std::exchange(other.packet_, nullptr)) {}
  PacketRef& operator=(PacketRef other) noexcept {
    std::swap(packet_, other.packet_);
    return *this;
  }
  ~PacketRef() { Reset(); }

  explicit operator bool() const { return packet_ != nullptr; }
  Packet& operator*() const { return *packet_; }
  Packet* operator->() const { return packet_; }
  void Reset();

 private:
  friend class PacketPool;
  explicit PacketRef(Packet* packet) : packet_(packet) { packet_->references = 1; }
  Packet* packet_ = nullptr;
};

// What a packet is taken for.
enum class PacketUse : uint8_t {
  kEssential,  // What comes in, sound, checks, DTLS, RTCP: the last to be shed.
  kPicture,    // A copy of picture, or of a retransmission: refused when a quarter is left.
};

// A fixed number of packets, allocated once. Take() never allocates; when it has none to give it
// returns an empty reference and counts. Slots that were never taken cost no resident memory. The
// pool must outlive every reference.
class PacketPool {
 public:
  explicit PacketPool(size_t capacity);
  ~PacketPool();
  PacketPool(const PacketPool&) = delete;
  PacketPool& operator=(const PacketPool&) = delete;

  // An empty packet of size 0, or an empty reference: RefusalReason() tells why.
  PacketRef Take(PacketUse use = PacketUse::kEssential);
  DropReason RefusalReason() const {
    return in_use() == capacity_ ? DropReason::kPoolExhausted : DropReason::kPoolReserve;
  }

  size_t capacity() const { return capacity_; }
  size_t in_use() const { return touched_ - free_.size(); }
  bool IsOverHalf() const { return in_use() > capacity_ / 2; }
  bool IsOverTwoThirds() const { return in_use() > capacity_ * 2 / 3; }
  uint64_t exhausted_count() const { return exhausted_count_; }

 private:
  friend class PacketRef;
  void Release(Packet* packet) { free_.push_back(packet); }
  Packet* Touch();

  size_t capacity_;
  std::unique_ptr<std::byte[]> storage_;
  size_t touched_ = 0;  // Slots that were ever taken; they are the first ones.
  // Last in, first out: a recently used slot is still in the cache.
  std::vector<Packet*> free_;
  uint64_t exhausted_count_ = 0;
};

inline void PacketRef::Reset() {
  if (packet_ == nullptr) return;
  if (--packet_->references == 0) packet_->pool->Release(packet_);
  packet_ = nullptr;
}

}  // namespace vigil
