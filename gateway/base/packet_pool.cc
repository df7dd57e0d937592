#include "gateway/base/packet_pool.h"

namespace vigil {

PacketPool::PacketPool(size_t capacity)
    : capacity_(capacity),
      storage_(std::make_unique_for_overwrite<std::byte[]>(capacity * sizeof(Packet))) {
  // Virtual memory until it is written to, as the slots are.
  free_.reserve(capacity);
}

PacketPool::~PacketPool() { VIGIL_CHECK(in_use() == 0); }

PacketRef PacketPool::Take(PacketUse use) {
  const bool refused = use == PacketUse::kPicture && in_use() >= capacity_ - capacity_ / 4;
  if (refused || in_use() == capacity_) {
    ++exhausted_count_;
    return {};
  }
  if (free_.empty()) return PacketRef(Touch());
  Packet* packet = free_.back();
  free_.pop_back();
  packet->size = 0;
  return PacketRef(packet);
}

Packet* PacketPool::Touch() {
  auto* packet = reinterpret_cast<Packet*>(storage_.get() + touched_++ * sizeof(Packet));
  // Leaves the data as it is.
  std::uninitialized_default_construct_n(packet, 1);
  packet->pool = this;
  return packet;
}

}  // namespace vigil
