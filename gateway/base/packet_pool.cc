#include "gateway/base/packet_pool.h"

namespace vigil {

PacketPool::PacketPool(size_t capacity)
    : capacity_(capacity), packets_(std::make_unique_for_overwrite<Packet[]>(capacity)) {
  free_.reserve(capacity);
  for (size_t i = capacity; i-- > 0;) {
    packets_[i].pool = this;
    free_.push_back(&packets_[i]);
  }
}

PacketPool::~PacketPool() { VIGIL_CHECK(in_use() == 0); }

PacketRef PacketPool::Take() {
  if (free_.empty()) {
    ++exhausted_count_;
    return {};
  }
  Packet* packet = free_.back();
  free_.pop_back();
  packet->size = 0;
  return PacketRef(packet);
}

}  // namespace vigil
