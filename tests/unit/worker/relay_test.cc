#include "gateway/worker/relay.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "gtest/gtest.h"

namespace vigil::worker {
namespace {

using Bytes = std::vector<uint8_t>;

rtp::TrackPacket Source(PacketPool& pool, const Bytes& payload, const Bytes& dependency) {
  rtp::TrackPacket packet;
  packet.packet = pool.Take();
  std::copy(payload.begin(), payload.end(), packet.packet->data.begin() + 12);
  std::copy(dependency.begin(), dependency.end(), packet.packet->data.begin() + 1000);
  packet.packet->size = 1200;
  const std::span<const uint8_t> bytes = packet.packet->bytes();
  packet.payload = bytes.subspan(12, payload.size());
  packet.extensions.dependency_descriptor = bytes.subspan(1000, dependency.size());
  packet.kind = rtp::MediaKind::kVideo;
  packet.codec = {rtp::CodecType::kAv1, 2, 1};
  packet.layer = 3;
  packet.marker = true;
  packet.generation = 9;
  packet.sequence = (int64_t{1} << 40) + 5;
  packet.timestamp = -7;
  packet.received = Timestamp::FromNanos(77);
  packet.content.starts_keyframe = true;
  packet.content.descriptor = rtp::Av1Descriptor{.obu_count = 9};
  packet.extensions.audio_level = rtp::AudioLevel{true, 12};
  packet.extensions.video_orientation = 2;
  packet.extensions.abs_capture_time = rtp::AbsCaptureTime{rtp::NtpTime(4), -5};
  packet.extensions.mid = "gone";
  packet.extensions.transport_sequence = 8;
  return packet;
}

Bytes Copy(std::span<const uint8_t> bytes) { return {bytes.begin(), bytes.end()}; }

TEST(Relay, APacketArrivesAsItWasAndInAPacketOfItsOwn) {
  PacketPool from(1);
  PacketPool to(1);
  const auto relayed = std::make_unique<RelayedPacket>();
  {
    const rtp::TrackPacket source = Source(from, {1, 2, 3, 4}, {0xc0, 0, 1});
    ASSERT_TRUE(ToRelayed(FeedId(6), source, *relayed));
  }
  EXPECT_EQ(from.in_use(), 0u);
  EXPECT_EQ(relayed->feed, FeedId(6));
  const auto packet = FromRelayed(*relayed, to);
  ASSERT_TRUE(packet);
  EXPECT_EQ(to.in_use(), 1u);
  EXPECT_EQ(Copy(packet->payload), (Bytes{1, 2, 3, 4}));
  EXPECT_EQ(Copy(packet->extensions.dependency_descriptor), (Bytes{0xc0, 0, 1}));
  EXPECT_EQ(packet->kind, rtp::MediaKind::kVideo);
  EXPECT_EQ(packet->codec, (rtp::Codec{rtp::CodecType::kAv1, 2, 1}));
  EXPECT_EQ(packet->layer, 3);
  EXPECT_TRUE(packet->marker);
  EXPECT_EQ(packet->generation, 9u);
  EXPECT_EQ(packet->sequence, (int64_t{1} << 40) + 5);
  EXPECT_EQ(packet->timestamp, -7);
  EXPECT_EQ(packet->received, Timestamp::FromNanos(77));
  EXPECT_TRUE(packet->content.starts_keyframe);
  EXPECT_EQ(std::get<rtp::Av1Descriptor>(packet->content.descriptor).obu_count, 9);
  EXPECT_EQ(packet->extensions.audio_level, (rtp::AudioLevel{true, 12}));
  EXPECT_EQ(packet->extensions.video_orientation, 2);
  EXPECT_EQ(packet->extensions.abs_capture_time, (rtp::AbsCaptureTime{rtp::NtpTime(4), -5}));
  // Names and numbers of the publisher's own connection stay behind.
  EXPECT_TRUE(packet->extensions.mid.empty());
  EXPECT_FALSE(packet->extensions.transport_sequence);
  // No more packets over there.
  EXPECT_FALSE(FromRelayed(*relayed, to));
}

TEST(Relay, AnEmptyPacketArrivesEmpty) {
  PacketPool pool(2);
  const auto relayed = std::make_unique<RelayedPacket>();
  ASSERT_TRUE(ToRelayed(FeedId(6), Source(pool, {}, {}), *relayed));
  const auto packet = FromRelayed(*relayed, pool);
  ASSERT_TRUE(packet);
  EXPECT_TRUE(packet->payload.empty());
  EXPECT_TRUE(packet->extensions.dependency_descriptor.empty());
}

TEST(Relay, WhatDoesNotFitIsRefused) {
  PacketPool pool(1);
  const auto relayed = std::make_unique<RelayedPacket>();
  const rtp::TrackPacket source = Source(pool, {1}, {});
  rtp::TrackPacket large = source;
  large.payload = std::span<const uint8_t>(source.packet->data).first(Packet::kCapacity);
  EXPECT_TRUE(ToRelayed(FeedId(6), large, *relayed));
  large.extensions.dependency_descriptor = std::span<const uint8_t>(source.packet->data).first(3);
  EXPECT_FALSE(ToRelayed(FeedId(6), large, *relayed));
}

TEST(RelayMesh, HasALinkForEachOrderedPair) {
  RelayMesh mesh(3);
  EXPECT_EQ(mesh.workers(), 3u);
  for (uint32_t from = 0; from < 3; ++from) {
    for (uint32_t to = 0; to < 3; ++to) {
      if (from == to) continue;
      ASSERT_TRUE(mesh.Link(from, to).notes.Push(RelayedWish{FeedId(from * 10 + to)}));
    }
  }
  for (uint32_t from = 0; from < 3; ++from) {
    for (uint32_t to = 0; to < 3; ++to) {
      if (from == to) continue;
      EXPECT_EQ(std::get<RelayedWish>(*mesh.Link(from, to).notes.Front()).feed,
                FeedId(from * 10 + to));
    }
  }
}

}  // namespace
}  // namespace vigil::worker
