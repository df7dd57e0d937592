#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "gateway/base/packet_pool.h"
#include "gateway/base/strong_id.h"
#include "gateway/rtp/track_packet.h"
#include "gateway/worker/spsc_ring.h"

// A feed whose publisher lives on one worker and whose subscribers live on another: packets go
// from worker to worker through bounded rings, one copy per worker, so that nothing in the core is
// shared between threads.

namespace vigil::worker {

// A track packet on its way to another worker; plain bytes and values, no reference into a pool.
struct RelayedPacket {
  FeedId feed;
  rtp::MediaKind kind;
  rtp::Codec codec;
  uint8_t layer;
  bool marker;
  uint32_t generation;
  int64_t sequence;
  int64_t timestamp;
  Timestamp received;
  rtp::PayloadView content;
  std::optional<rtp::AudioLevel> audio_level;
  std::optional<uint8_t> video_orientation;
  std::optional<rtp::AbsCaptureTime> abs_capture_time;
  uint16_t payload_size;
  uint16_t dependency_size;
  // The payload, then the dependency descriptor.
  std::array<uint8_t, Packet::kCapacity> bytes;
};

// False if the packet is too long.
bool ToRelayed(FeedId feed, const rtp::TrackPacket& packet, RelayedPacket& out);
// Into a packet of the receiving worker's pool. Empty when the pool is exhausted.
std::optional<rtp::TrackPacket> FromRelayed(const RelayedPacket& relayed, PacketPool& pool);

// The publisher's media clock, for the subscribers' sender reports.
struct RelayedClock {
  FeedId feed;
  rtp::MediaKind kind = rtp::MediaKind::kAudio;
  uint8_t layer = 0;
  rtp::ClockMapping clock;
};
// A keyframe is wanted of a feed that lives on the receiving worker. Lost ones are asked again.
struct RelayedWish {
  FeedId feed;
  uint8_t layer = 0;
};
using RelayNote = std::variant<RelayedClock, RelayedWish>;

// From one worker to one other.
struct RelayLink {
  // A turn of a busy worker brings some dozens of packets; 256 are 20 ms of 150 rooms.
  static constexpr size_t kPackets = 256;
  static constexpr size_t kNotes = 256;
  explicit RelayLink(size_t capacity) : packets(capacity) {}
  SpscRing<RelayedPacket> packets;
  SpscRing<RelayNote> notes{kNotes};
};

// The links between all workers of a node. Made before the first of them runs.
class RelayMesh {
 public:
  // The workers with something to read are a set of bits (TurnOutput::relayed_to).
  static constexpr uint32_t kMaxWorkers = 64;

  // `packets`: the capacity of each link, a power of two.
  explicit RelayMesh(uint32_t workers, size_t packets = RelayLink::kPackets);
  // `from` and `to` differ.
  RelayLink& Link(uint32_t from, uint32_t to) { return *links_[from * workers_ + to]; }
  uint32_t workers() const { return workers_; }

 private:
  uint32_t workers_;
  std::vector<std::unique_ptr<RelayLink>> links_;
};

}  // namespace vigil::worker
