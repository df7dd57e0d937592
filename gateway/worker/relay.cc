#include "gateway/worker/relay.h"

#include <cstring>

#include "gateway/base/check.h"

namespace vigil::worker {

bool ToRelayed(FeedId feed, const rtp::TrackPacket& packet, RelayedPacket& out) {
  const std::span<const uint8_t> dependency = packet.extensions.dependency_descriptor;
  if (packet.payload.size() + dependency.size() > out.bytes.size()) return false;
  out.feed = feed;
  out.kind = packet.kind;
  out.codec = packet.codec;
  out.layer = packet.layer;
  out.marker = packet.marker;
  out.generation = packet.generation;
  out.sequence = packet.sequence;
  out.timestamp = packet.timestamp;
  out.received = packet.received;
  out.content = packet.content;
  out.audio_level = packet.extensions.audio_level;
  out.video_orientation = packet.extensions.video_orientation;
  out.abs_capture_time = packet.extensions.abs_capture_time;
  out.payload_size = static_cast<uint16_t>(packet.payload.size());
  out.dependency_size = static_cast<uint16_t>(dependency.size());
  if (!packet.payload.empty()) {
    std::memcpy(out.bytes.data(), packet.payload.data(), packet.payload.size());
  }
  if (!dependency.empty()) {
    std::memcpy(out.bytes.data() + packet.payload.size(), dependency.data(), dependency.size());
  }
  return true;
}

std::optional<rtp::TrackPacket> FromRelayed(const RelayedPacket& relayed, PacketPool& pool) {
  const bool picture = relayed.kind == rtp::MediaKind::kVideo;
  PacketRef packet = pool.Take(picture ? PacketUse::kPicture : PacketUse::kEssential);
  if (!packet) return std::nullopt;
  const size_t size = size_t{relayed.payload_size} + relayed.dependency_size;
  std::memcpy(packet->data.data(), relayed.bytes.data(), size);
  packet->size = static_cast<uint16_t>(size);
  rtp::TrackPacket out;
  out.kind = relayed.kind;
  out.codec = relayed.codec;
  out.layer = relayed.layer;
  out.marker = relayed.marker;
  out.generation = relayed.generation;
  out.sequence = relayed.sequence;
  out.timestamp = relayed.timestamp;
  out.received = relayed.received;
  out.content = relayed.content;
  out.extensions.audio_level = relayed.audio_level;
  out.extensions.video_orientation = relayed.video_orientation;
  out.extensions.abs_capture_time = relayed.abs_capture_time;
  const std::span<const uint8_t> bytes = packet->bytes();
  out.payload = bytes.first(relayed.payload_size);
  out.extensions.dependency_descriptor = bytes.subspan(relayed.payload_size);
  out.packet = std::move(packet);
  return out;
}

RelayMesh::RelayMesh(uint32_t workers, size_t packets) : workers_(workers) {
  VIGIL_CHECK(workers > 0 && workers <= kMaxWorkers);
  links_.resize(size_t{workers} * workers);
  for (uint32_t from = 0; from < workers; ++from) {
    for (uint32_t to = 0; to < workers; ++to) {
      if (from != to) links_[from * workers + to] = std::make_unique<RelayLink>(packets);
    }
  }
}

}  // namespace vigil::worker
