#include "gateway/sfu/router.h"

#include <algorithm>
#include <string>
#include <variant>
#include <vector>

#include "gateway/base/archive.h"
#include "gtest/gtest.h"

namespace vigil::sfu {
namespace {

constexpr rtp::Codec kVp8{rtp::CodecType::kVp8};
constexpr rtp::Codec kH264{rtp::CodecType::kH264, 0x42e0, 1};
constexpr rtp::Codec kOpus{rtp::CodecType::kOpus};
constexpr FeedId kRoom{1};
constexpr FeedId kOther{2};
constexpr PeerId kDoctor{50};
constexpr SlotKey kPicture{kDoctor, 0};
constexpr SlotKey kSound{kDoctor, 1};

Timestamp At(int64_t ms) { return Timestamp::FromNanos(1'000'000'000 + ms * 1'000'000); }

const uint8_t kPayload[4] = {1, 2, 3, 4};

rtp::TrackPacket Video(int64_t sequence, bool key, uint8_t layer = 0, rtp::Codec codec = kVp8) {
  rtp::TrackPacket packet;
  packet.kind = rtp::MediaKind::kVideo;
  packet.codec = codec;
  packet.layer = layer;
  packet.sequence = sequence;
  packet.payload = kPayload;
  packet.content.starts_keyframe = key;
  return packet;
}

rtp::TrackPacket Audio(int64_t sequence) {
  rtp::TrackPacket packet = Video(sequence, true, 0, kOpus);
  packet.kind = rtp::MediaKind::kAudio;
  return packet;
}

rtp::SendTrack Slot(rtp::MediaKind kind, std::vector<rtp::Codec> codecs) {
  rtp::SendTrack track{.kind = kind};
  uint8_t type = 96;
  for (const rtp::Codec& codec : codecs) track.payloads.push_back({type++, type++, codec});
  return track;
}

FeedParameters Room(FeedId id, uint8_t layers = 1, std::vector<rtp::Codec> video = {kVp8}) {
  return {.feed = id, .audio_codecs = {kOpus}, .video_codecs = std::move(video), .layers = layers};
}

template <typename E>
std::vector<E> Of(const std::vector<Event>& events) {
  std::vector<E> found;
  for (const Event& event : events) {
    if (const auto* e = std::get_if<E>(&event)) found.push_back(*e);
  }
  return found;
}

// A router with one doctor of one picture and one sound slot.
class RouterTest : public testing::Test {
 protected:
  RouterTest() { AddDoctor(router_); }

  static void AddDoctor(Router& router) {
    router.AddSlot(kPicture, Slot(rtp::MediaKind::kVideo, {kVp8, kH264}));
    router.AddSlot(kSound, Slot(rtp::MediaKind::kAudio, {kOpus}));
    RouterOutput out;
    router.OpenSlotsOf(kDoctor, At(0), out);
  }
  absl::Status Assign(SlotKey slot, FeedId feed, int64_t ms = 0) {
    out_.Clear();
    return router_.Assign({slot, feed}, At(ms), out_);
  }
  // Forwards one packet; out_ is what came of it alone.
  void Forward(const rtp::TrackPacket& packet, int64_t ms = 0, FeedId feed = kRoom) {
    out_.Clear();
    router_.Forward(feed, packet, At(ms), out_);
  }
  uint64_t Drops() const {
    uint64_t sum = 0;
    for (const uint64_t n : router_.drops().counts) sum += n;
    return sum;
  }

  Router router_{7};
  RouterOutput out_;
};

TEST_F(RouterTest, AssignedFeedsReachTheirSlotsByKind) {
  ASSERT_TRUE(router_.AddFeed(Room(kRoom)).ok());
  ASSERT_TRUE(Assign(kPicture, kRoom).ok());
  ASSERT_EQ(out_.wishes.size(), 1u);
  EXPECT_EQ(out_.wishes[0].feed, kRoom);
  ASSERT_TRUE(Assign(kSound, kRoom).ok());
  EXPECT_TRUE(out_.wishes.empty());
  EXPECT_EQ(router_.subscription_count(), 2u);
  EXPECT_EQ(router_.FeedOf(kPicture), kRoom);

  Forward(Audio(1));
  ASSERT_EQ(out_.deliveries.size(), 1u);
  EXPECT_EQ(out_.deliveries[0].slot, kSound);
  Forward(Video(1, false));
  EXPECT_TRUE(out_.deliveries.empty());
  Forward(Video(2, true), 40);
  ASSERT_EQ(out_.deliveries.size(), 1u);
  EXPECT_EQ(out_.deliveries[0].slot, kPicture);
  EXPECT_EQ(out_.deliveries[0].rewrite.payload_index, 0);
  const auto switched = Of<SlotSwitched>(out_.events);
  ASSERT_EQ(switched.size(), 1u);
  EXPECT_EQ(switched[0].slot, kPicture);
  EXPECT_EQ(switched[0].waited, TimeDelta::Millis(40));
  Forward(Video(3, true), 80);
  EXPECT_TRUE(out_.events.empty());
}

TEST_F(RouterTest, AnAssignmentThatCannotBeNamesWhatIsWrong) {
  ASSERT_TRUE(
      router_.AddFeed(Room(kRoom, 1, {{rtp::CodecType::kVp9}, {rtp::CodecType::kAv1}})).ok());
  const absl::Status codecs = Assign(kPicture, kRoom);
  EXPECT_EQ(codecs.code(), absl::StatusCode::kFailedPrecondition);
  for (const char* part : {"the feed sends", "the slot takes", "VP9 profile 0", "AV1 profile 0",
                           "VP8", "H264 profile 42e0 mode 1"}) {
    EXPECT_NE(std::string(codecs.message()).find(part), std::string::npos) << codecs;
  }
  FeedParameters mute = Room(kOther);
  mute.audio_codecs.clear();
  ASSERT_TRUE(router_.AddFeed(mute).ok());
  const absl::Status kind = Assign(kSound, kOther);
  EXPECT_EQ(kind.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(kind.message(), "the feed has no sound");

  EXPECT_EQ(Assign(kPicture, FeedId(9)).message(), "feed 9 not found");
  EXPECT_EQ(Assign({PeerId(8), 3}, kRoom).message(), "slot 3 of peer 8 not found");
  EXPECT_EQ(router_.AddFeed(Room(kRoom)).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(router_.subscription_count(), 0u);
}

TEST_F(RouterTest, ARefusedAssignmentLeavesTheOldOne) {
  ASSERT_TRUE(router_.AddFeed(Room(kRoom)).ok());
  ASSERT_TRUE(router_.AddFeed(Room(kOther, 1, {{rtp::CodecType::kVp9}})).ok());
  ASSERT_TRUE(Assign(kPicture, kRoom).ok());
  Forward(Video(1, true));
  EXPECT_FALSE(Assign(kPicture, kOther).ok());
  Forward(Video(2, false));
  EXPECT_EQ(out_.deliveries.size(), 1u);
}

TEST_F(RouterTest, WhatAFeedSendsNowDecidesNotWhatItOffered) {
  ASSERT_TRUE(router_.AddFeed(Room(kRoom, 1, {{rtp::CodecType::kVp9}, kVp8})).ok());
  Forward(Video(1, true, 0, {rtp::CodecType::kVp9}));
  EXPECT_FALSE(Assign(kPicture, kRoom).ok());
  Forward(Video(2, true));
  EXPECT_TRUE(Assign(kPicture, kRoom).ok());
}

TEST_F(RouterTest, AssigningTheSameFeedAgainDisturbsNothing) {
  ASSERT_TRUE(router_.AddFeed(Room(kRoom)).ok());
  ASSERT_TRUE(Assign(kPicture, kRoom).ok());
  Forward(Video(1, true));
  ASSERT_TRUE(Assign(kPicture, kRoom).ok());
  EXPECT_TRUE(out_.wishes.empty());
  Forward(Video(2, false));
  EXPECT_EQ(out_.deliveries.size(), 1u);
}

TEST_F(RouterTest, NothingComesAfterASlotIsCleared) {
  ASSERT_TRUE(router_.AddFeed(Room(kRoom)).ok());
  ASSERT_TRUE(Assign(kPicture, kRoom).ok());
  Forward(Video(1, true));
  ASSERT_TRUE(Assign(kPicture, FeedId()).ok());
  ASSERT_TRUE(Assign(kPicture, FeedId()).ok());
  Forward(Video(2, true));
  EXPECT_TRUE(out_.deliveries.empty());
  EXPECT_EQ(router_.drops().Get(DropReason::kNoSubscriber), 1u);
  EXPECT_TRUE(router_.FeedOf(kPicture).IsNone());
}

TEST_F(RouterTest, AFeedThatClosesEmptiesItsSlots) {
  ASSERT_TRUE(router_.AddFeed(Room(kRoom)).ok());
  Assign(kPicture, kRoom).IgnoreError();
  Assign(kSound, kRoom).IgnoreError();
  out_.Clear();
  router_.RemoveFeed(kRoom, out_);
  EXPECT_EQ(Of<FeedClosed>(out_.events).size(), 1u);
  EXPECT_EQ(router_.subscription_count(), 0u);
  EXPECT_TRUE(router_.FeedOf(kPicture).IsNone());
  EXPECT_FALSE(router_.HasFeed(kRoom));
  out_.Clear();
  router_.RemoveFeed(kRoom, out_);
  EXPECT_TRUE(out_.events.empty());
  // The room comes back.
  ASSERT_TRUE(router_.AddFeed(Room(kRoom)).ok());
  ASSERT_TRUE(Assign(kPicture, kRoom).ok());
  Forward(Video(1, true));
  EXPECT_EQ(out_.deliveries.size(), 1u);
}

TEST_F(RouterTest, ASlotThatIsRemovedGetsNothing) {
  ASSERT_TRUE(router_.AddFeed(Room(kRoom)).ok());
  Assign(kPicture, kRoom).IgnoreError();
  router_.RemoveSlotsOf(kDoctor);
  EXPECT_EQ(router_.subscription_count(), 0u);
  Forward(Video(1, true));
  EXPECT_TRUE(out_.deliveries.empty());
  EXPECT_FALSE(router_.HasSlot(kPicture));
}

// Numbers given to packets that were never sent would run ahead of the receiver's rollover count.
TEST_F(RouterTest, AClosedSlotSpendsNoNumbers) {
  const SlotKey slot{PeerId(60), 0};
  router_.AddSlot(slot, Slot(rtp::MediaKind::kVideo, {kVp8}));
  ASSERT_TRUE(router_.AddFeed(Room(kRoom)).ok());
  ASSERT_TRUE(Assign(slot, kRoom).ok());
  EXPECT_TRUE(out_.wishes.empty());
  for (int64_t i = 0; i < 100'000; ++i) Forward(Video(i, i % 100 == 0));
  EXPECT_TRUE(out_.deliveries.empty());
  EXPECT_EQ(router_.drops().Get(DropReason::kPeerNotConnected), 100'000u);
  out_.Clear();
  router_.OpenSlotsOf(PeerId(60), At(0), out_);
  ASSERT_EQ(out_.wishes.size(), 1u);
  Forward(Video(100'001, false));
  EXPECT_TRUE(out_.deliveries.empty());
  Forward(Video(100'002, true));
  ASSERT_EQ(out_.deliveries.size(), 1u);
  EXPECT_LT(out_.deliveries[0].rewrite.sequence, 0x8000);
  out_.Clear();
  router_.OpenSlotsOf(PeerId(60), At(0), out_);
  EXPECT_TRUE(out_.wishes.empty());
}

TEST_F(RouterTest, ACodecTheSlotCannotTakeIsToldOnceAndComesBackWithoutAGap) {
  ASSERT_TRUE(router_.AddFeed(Room(kRoom, 1, {kVp8, {rtp::CodecType::kVp9}})).ok());
  ASSERT_TRUE(Assign(kPicture, kRoom).ok());
  Forward(Video(1, true));
  const int64_t last = out_.deliveries[0].rewrite.sequence;
  Forward(Video(2, true, 0, {rtp::CodecType::kVp9}));
  EXPECT_EQ(Of<SlotCodecMismatch>(out_.events).size(), 1u);
  for (int64_t i = 3; i < 500; ++i) {
    Forward(Video(i, false, 0, {rtp::CodecType::kVp9}));
    EXPECT_TRUE(out_.events.empty());
    EXPECT_TRUE(out_.deliveries.empty());
  }
  Forward(Video(500, true));
  ASSERT_EQ(out_.deliveries.size(), 1u);
  EXPECT_EQ(out_.deliveries[0].rewrite.sequence, last + 1);
}

TEST_F(RouterTest, ACodecSwitchWithinTheSlotChangesThePayloadIndex) {
  ASSERT_TRUE(router_.AddFeed(Room(kRoom)).ok());
  ASSERT_TRUE(router_.AddFeed(Room(kOther, 1, {kH264})).ok());
  Assign(kPicture, kRoom).IgnoreError();
  Forward(Video(1, true));
  const rtp::Rewrite before = out_.deliveries[0].rewrite;
  ASSERT_TRUE(Assign(kPicture, kOther, 100).ok());
  Forward(Video(2, false));
  EXPECT_TRUE(out_.deliveries.empty());
  Forward(Video(7000, true, 0, kH264), 200, kOther);
  ASSERT_EQ(out_.deliveries.size(), 1u);
  EXPECT_EQ(out_.deliveries[0].rewrite.payload_index, 1);
  EXPECT_EQ(out_.deliveries[0].rewrite.sequence, before.sequence + 1);
  EXPECT_EQ(out_.deliveries[0].rewrite.timestamp, before.timestamp + 18'000);
}

TEST_F(RouterTest, ASourceThatBeginsAnewWaitsForItsKeyframeAndAsksForIt) {
  ASSERT_TRUE(router_.AddFeed(Room(kRoom)).ok());
  Assign(kPicture, kRoom).IgnoreError();
  Forward(Video(1, true));
  const int64_t last = out_.deliveries[0].rewrite.sequence;
  rtp::TrackPacket packet = Video(40'000, false);
  packet.generation = 1;
  Forward(packet);
  EXPECT_TRUE(out_.deliveries.empty());
  ASSERT_EQ(out_.wishes.size(), 1u);
  packet = Video(40'001, true);
  packet.generation = 1;
  Forward(packet);
  ASSERT_EQ(out_.deliveries.size(), 1u);
  EXPECT_EQ(out_.deliveries[0].rewrite.sequence, last + 1);
}

// Its first packets may have been lost between workers.
TEST_F(RouterTest, ASourceThatBeginsAnewIsSeenByAnyOfItsPackets) {
  ASSERT_TRUE(router_.AddFeed(Room(kRoom)).ok());
  Assign(kPicture, kRoom).IgnoreError();
  Assign(kSound, kRoom).IgnoreError();
  const auto of = [](rtp::TrackPacket packet, uint32_t generation) {
    packet.generation = generation;
    return packet;
  };
  Forward(of(Audio(50'000), 1));
  const int64_t sound = out_.deliveries.at(0).rewrite.sequence;
  Forward(of(Video(50'000, true), 1));
  const int64_t picture = out_.deliveries.at(0).rewrite.sequence;
  // The new streams, from their second packet on, with numbers below the old ones.
  Forward(of(Audio(101), 2), 20);
  ASSERT_EQ(out_.deliveries.size(), 1u);
  EXPECT_EQ(out_.deliveries[0].rewrite.sequence, sound + 1);
  Forward(of(Video(101, false), 2), 20);
  EXPECT_TRUE(out_.deliveries.empty());
  EXPECT_EQ(out_.wishes.size(), 1u);
  Forward(of(Video(102, true), 2), 40);
  ASSERT_EQ(out_.deliveries.size(), 1u);
  EXPECT_EQ(out_.deliveries[0].rewrite.sequence, picture + 1);
  // Known after a restore, too: the same stream does not begin again.
  Router restored(1);
  ASSERT_TRUE(restored.Restore(
      *ReadArchive<Router::State>(WriteArchive(router_.Export(), At(50)), At(50)), At(50)));
  out_.Clear();
  restored.Forward(kRoom, of(Video(103, false), 2), At(60), out_);
  EXPECT_EQ(out_.deliveries.size(), 1u);
}

// A wish, or the keyframe that it brought, may have been lost between workers.
TEST_F(RouterTest, AWaitingSlotWishesAgainButNotWithEveryPacket) {
  ASSERT_TRUE(router_.AddFeed(Room(kRoom)).ok());
  ASSERT_TRUE(Assign(kPicture, kRoom).ok());
  std::vector<int64_t> wished;
  for (int64_t i = 1; i <= 100; ++i) {
    Forward(Video(i, false), i * 10);
    for (const KeyframeWish& wish : out_.wishes) {
      EXPECT_EQ(wish.feed, kRoom);
      wished.push_back(i * 10);
    }
  }
  EXPECT_EQ(wished, (std::vector<int64_t>{300, 600, 900}));
  Forward(Video(101, true), 1010);
  Forward(Video(102, false), 2000);
  EXPECT_TRUE(out_.wishes.empty());
}

TEST_F(RouterTest, ASlotThatCannotTakeTheCodecDoesNotWish) {
  ASSERT_TRUE(router_.AddFeed(Room(kRoom, 1, {kVp8, {rtp::CodecType::kVp9}})).ok());
  ASSERT_TRUE(Assign(kPicture, kRoom).ok());
  for (int64_t i = 1; i <= 100; ++i) {
    Forward(Video(i, i == 1, 0, {rtp::CodecType::kVp9}), i * 40);
    EXPECT_TRUE(out_.wishes.empty());
  }
}

// ---- Layers ----

class LayersTest : public RouterTest {
 protected:
  LayersTest() {
    EXPECT_TRUE(router_.AddFeed(Room(kRoom, 3)).ok());
    EXPECT_TRUE(Assign(kPicture, kRoom).ok());
  }
  absl::Status Select(uint8_t layer) {
    out_.Clear();
    return router_.Select({kPicture, layer}, At(0), out_);
  }
  // One packet of each layer; the layer that was delivered, -1 for none.
  int Round(int64_t ms, bool key, std::vector<uint8_t> layers = {0, 1, 2}) {
    int delivered = -1;
    wishes_.clear();
    for (const uint8_t layer : layers) {
      Forward(Video(++sequence_[layer], key, layer), ms);
      for (const KeyframeWish& wish : out_.wishes) wishes_.push_back(wish.layer);
      if (!out_.deliveries.empty()) delivered = layer;
    }
    return delivered;
  }
  bool Wished(uint8_t layer) const {
    return std::find(wishes_.begin(), wishes_.end(), layer) != wishes_.end();
  }

  int64_t sequence_[3] = {10, 5000, 90'000};
  std::vector<uint8_t> wishes_;
};

TEST_F(LayersTest, TheBestLayerIsReachedByKeyframes) {
  EXPECT_EQ(out_.wishes.at(0).layer, 2);
  EXPECT_EQ(Round(0, false), -1);
  EXPECT_TRUE(Wished(1));
  EXPECT_EQ(Round(300, false), -1);
  EXPECT_TRUE(Wished(2));
  EXPECT_EQ(Round(333, true), 2);
  EXPECT_EQ(Round(366, false), 2);
  EXPECT_TRUE(wishes_.empty());
}

TEST_F(LayersTest, ALowerLayerStandsInWhileTheBestIsNotSent) {
  EXPECT_EQ(Round(0, true, {0}), 0);
  EXPECT_EQ(Round(33, false, {0, 1}), 0);
  EXPECT_TRUE(Wished(1));
  EXPECT_EQ(Round(66, true, {0, 1}), 1);
  // Layer 1 falls silent: after half a second the layer below takes its place.
  EXPECT_EQ(Round(400, false, {0}), -1);
  EXPECT_EQ(Round(600, false, {0}), -1);
  EXPECT_TRUE(Wished(0));
  EXPECT_EQ(Round(633, true, {0}), 0);
}

TEST_F(LayersTest, ALayerThatIsTooHighIsNotTakenWhileALowerOneIsSent) {
  ASSERT_TRUE(Select(0).ok());
  Round(0, false);
  EXPECT_EQ(Round(10, true, {2}), -1);
  EXPECT_EQ(Round(20, true, {0}), 0);
  EXPECT_EQ(Round(30, true, {1, 2}), -1);
  EXPECT_EQ(Round(40, false), 0);
}

TEST_F(LayersTest, ALayerThatIsTooHighIsBetterThanNone) {
  ASSERT_TRUE(Select(0).ok());
  EXPECT_EQ(Round(0, true, {2}), 2);
  EXPECT_EQ(Round(10, true, {1}), 1);
  EXPECT_EQ(Round(320, false, {0}), -1);
  EXPECT_TRUE(Wished(0));
  EXPECT_EQ(Round(330, true, {0}), 0);
}

TEST_F(LayersTest, SelectingMovesTheSlotAtTheNextKeyframe) {
  EXPECT_EQ(Round(0, true), 2);
  ASSERT_TRUE(Select(1).ok());
  EXPECT_EQ(Round(33, false), 2);
  EXPECT_TRUE(Wished(1));
  EXPECT_EQ(Round(66, true), 1);
  EXPECT_EQ(Round(99, false), 1);
  ASSERT_TRUE(Select(255).ok());
  EXPECT_EQ(Round(120, true), 2);
  EXPECT_EQ(router_.Select({{PeerId(8), 0}, 1}, At(0), out_).message(),
            "slot 0 of peer 8 not found");
}

TEST_F(LayersTest, NumbersContinueOverALayerSwitch) {
  Round(0, true, {0});
  const int64_t before = out_.deliveries[0].rewrite.sequence;
  Round(10, true, {2});
  EXPECT_EQ(out_.deliveries[0].rewrite.sequence, before + 1);
}

TEST_F(LayersTest, AKeyframeWishIsOfTheLayerInUse) {
  out_.Clear();
  router_.OnKeyframeRequest(kPicture, At(400), out_);
  EXPECT_EQ(out_.wishes.at(0).layer, 2);
  Round(0, true, {1});
  out_.Clear();
  router_.OnKeyframeRequest(kPicture, At(0), out_);
  EXPECT_EQ(out_.wishes.at(0).layer, 1);
  out_.Clear();
  router_.OnKeyframeRequest(kSound, At(0), out_);
  router_.OnKeyframeRequest({PeerId(77), 0}, At(0), out_);
  EXPECT_TRUE(out_.wishes.empty());
}

TEST_F(LayersTest, OneReceiverCannotAskForAKeyframeAllTheTime) {
  Round(0, true, {1});
  size_t wishes = 0;
  for (int ms = 10; ms < 3'010; ms += 10) {
    out_.Clear();
    router_.OnKeyframeRequest(kPicture, At(ms), out_);
    wishes += out_.wishes.size();
  }
  EXPECT_EQ(wishes, 3u);
  // While it waits it is not kept waiting.
  ASSERT_TRUE(router_.Assign({kPicture, FeedId()}, At(3'020), out_).ok());
  ASSERT_TRUE(router_.Assign({kPicture, kRoom}, At(3'030), out_).ok());
  out_.Clear();
  router_.OnKeyframeRequest(kPicture, At(3'100), out_);
  EXPECT_TRUE(out_.wishes.empty()) << "just wished";
  router_.OnKeyframeRequest(kPicture, At(3'330), out_);
  EXPECT_EQ(out_.wishes.size(), 1u);
}

TEST_F(LayersTest, ALayerThatTheFeedDoesNotHaveIsDropped) {
  const uint64_t copies = router_.copies();
  Forward(Video(1, true, 3));
  EXPECT_TRUE(out_.deliveries.empty());
  EXPECT_EQ(router_.copies(), copies + 1);
  EXPECT_EQ(Drops() + router_.delivered(), router_.copies());
  EXPECT_EQ(router_.LayersOf(kRoom), 3);
  EXPECT_EQ(router_.LayersOf(FeedId(99)), 0);
}

TEST_F(LayersTest, ARestoreDoesNotMakeSlotsWander) {
  Round(0, true);
  Router restored(1);
  ASSERT_TRUE(restored.Restore(
      *ReadArchive<Router::State>(WriteArchive(router_.Export(), At(10)), At(5010)), At(5010)));
  out_.Clear();
  restored.Forward(kRoom, Video(sequence_[0] + 1, true, 0), At(5020), out_);
  EXPECT_TRUE(out_.deliveries.empty());
  EXPECT_TRUE(out_.wishes.empty());
  restored.Forward(kRoom, Video(sequence_[2] + 1, false, 2), At(5020), out_);
  EXPECT_EQ(out_.deliveries.size(), 1u);
}

// ---- Relays, clocks, state ----

TEST_F(RouterTest, RelaysGetEveryPacketOnce) {
  ASSERT_TRUE(router_.AddFeed(Room(kRoom)).ok());
  for (const uint32_t worker : {3u, 1u, 3u}) ASSERT_TRUE(router_.AddRelay(kRoom, worker).ok());
  Forward(Video(1, false));
  EXPECT_EQ(out_.relays, (std::vector<uint32_t>{1, 3}));
  EXPECT_EQ(router_.drops().Get(DropReason::kNoSubscriber), 0u);
  ASSERT_TRUE(router_.RemoveRelay(kRoom, 3).ok());
  ASSERT_TRUE(router_.RemoveRelay(kRoom, 3).ok());
  EXPECT_EQ(router_.RelaysOf(kRoom).size(), 1u);
  EXPECT_EQ(router_.AddRelay(FeedId(9), 1).message(), "feed 9 not found");
  EXPECT_EQ(router_.RemoveRelay(FeedId(9), 1).message(), "feed 9 not found");
  EXPECT_TRUE(router_.RelaysOf(FeedId(9)).empty());
}

TEST_F(RouterTest, ClocksAreToldInOutgoingTimestampsAndForgottenAtASwitch) {
  ASSERT_TRUE(router_.AddFeed(Room(kRoom)).ok());
  ASSERT_TRUE(router_.AddFeed(Room(kOther)).ok());
  Assign(kPicture, kRoom).IgnoreError();
  const rtp::ClockMapping clock{.at = At(5), .rtp = 1'000'000, .publisher_clock_offset = 9};
  out_.Clear();
  router_.OnClock(kRoom, rtp::MediaKind::kVideo, 0, clock, out_);
  EXPECT_TRUE(out_.clocks.empty());  // The slot still waits.
  rtp::TrackPacket packet = Video(1, true);
  packet.timestamp = 1'000'500;
  Forward(packet, 10);
  ASSERT_EQ(out_.clocks.size(), 1u);
  EXPECT_EQ(out_.clocks[0].slot, kPicture);
  EXPECT_EQ(static_cast<uint32_t>(out_.clocks[0].clock.rtp),
            out_.deliveries[0].rewrite.timestamp - 500);
  EXPECT_EQ(out_.deliveries[0].rewrite.publisher_clock_offset, 9);

  // The other room has not reported yet; reports by the first one's clock would be wrong.
  Assign(kPicture, kOther).IgnoreError();
  Forward(Video(1, true), 20, kOther);
  ASSERT_EQ(out_.clocks.size(), 1u);
  EXPECT_FALSE(out_.clocks[0].clock.IsKnown());
  EXPECT_FALSE(out_.deliveries[0].rewrite.publisher_clock_offset);
  out_.Clear();
  router_.OnClock(kOther, rtp::MediaKind::kVideo, 0, clock, out_);
  ASSERT_EQ(out_.clocks.size(), 1u);
  EXPECT_TRUE(out_.clocks[0].clock.IsKnown());
  // Unknown feeds and layers are no harm.
  out_.Clear();
  router_.OnClock(FeedId(9), rtp::MediaKind::kVideo, 0, clock, out_);
  router_.OnClock(kOther, rtp::MediaKind::kVideo, 7, clock, out_);
  EXPECT_TRUE(out_.clocks.empty());
}

TEST_F(RouterTest, ARestoredRouterGoesOnExactly) {
  ASSERT_TRUE(router_.AddFeed(Room(kRoom)).ok());
  ASSERT_TRUE(router_.AddRelay(kRoom, 2).ok());
  Assign(kPicture, kRoom).IgnoreError();
  Assign(kSound, kRoom).IgnoreError();
  Forward(Video(1, true), 10);
  Forward(Audio(1), 10);
  router_.OnClock(kRoom, rtp::MediaKind::kVideo, 0, {.at = At(1), .rtp = 5}, out_);

  Router restored(99);
  const auto bytes = WriteArchive(router_.Export(), At(20));
  ASSERT_TRUE(restored.Restore(*ReadArchive<Router::State>(bytes, At(20)), At(20)));
  EXPECT_EQ(restored.subscription_count(), 2u);
  EXPECT_EQ(restored.FeedOf(kSound), kRoom);
  EXPECT_EQ(restored.RelaysOf(kRoom).size(), 1u);
  EXPECT_EQ(WriteArchive(restored.Export(), At(20)), bytes);
  for (int64_t i = 2; i < 50; ++i) {
    for (const rtp::TrackPacket& packet : {Video(i, false), Audio(i)}) {
      Forward(packet, 20 + i);
      RouterOutput other;
      restored.Forward(kRoom, packet, At(20 + i), other);
      ASSERT_EQ(out_.deliveries.size(), 1u);
      ASSERT_EQ(other.deliveries.size(), 1u);
      EXPECT_EQ(other.deliveries[0].slot, out_.deliveries[0].slot);
      EXPECT_EQ(other.deliveries[0].rewrite.sequence, out_.deliveries[0].rewrite.sequence);
      EXPECT_EQ(other.deliveries[0].rewrite.timestamp, out_.deliveries[0].rewrite.timestamp);
      EXPECT_TRUE(other.events.empty());
    }
  }
}

TEST_F(RouterTest, StateThatCannotBeOursIsRefused) {
  ASSERT_TRUE(router_.AddFeed(Room(kRoom)).ok());
  Assign(kPicture, kRoom).IgnoreError();
  const Router::State good = router_.Export();
  EXPECT_TRUE(Router(1).Restore(good, At(0)));
  const auto refused = [&good](auto change) {
    Router::State state = good;
    change(state);
    return !Router(1).Restore(state, At(0));
  };
  EXPECT_TRUE(refused([](auto& s) {
    std::vector<uint8_t> bytes = WriteArchive(s.slots[0].forwarder, At(0));
    bytes.at(5) = 9;  // Behind the length and the kind: no phase has this number.
    s.slots[0].forwarder = *ReadArchive<Forwarder>(bytes, At(0));
  }));
  EXPECT_TRUE(refused([](auto& s) { s.slots[0].layer = 1; }));
  EXPECT_TRUE(refused([](auto& s) { s.slots.push_back(s.slots[0]); }));
  EXPECT_TRUE(refused([](auto& s) { s.feeds.push_back(s.feeds[0]); }));
  EXPECT_TRUE(refused([](auto& s) { s.feeds[0].clocks[1].clear(); }));
  // A feed whose publisher was not carried over leaves its slots empty.
  Router::State orphan = good;
  orphan.feeds.clear();
  Router restored(1);
  ASSERT_TRUE(restored.Restore(orphan, At(0)));
  EXPECT_TRUE(restored.FeedOf(kPicture).IsNone());
  EXPECT_EQ(restored.subscription_count(), 0u);
}

TEST_F(RouterTest, EveryCopyIsDeliveredOrDropped) {
  Rng rng(33);
  ASSERT_TRUE(router_.AddFeed(Room(kRoom, 3, {kVp8, kH264})).ok());
  ASSERT_TRUE(router_.AddFeed(Room(kOther, 1, {{rtp::CodecType::kVp9}, kVp8})).ok());
  for (uint64_t peer = 100; peer < 110; ++peer) {
    router_.AddSlot({PeerId(peer), 0}, Slot(rtp::MediaKind::kVideo, {kVp8}));
  }
  uint64_t deliveries = 0;
  uint64_t relays = 0;
  int64_t sequence = 0;
  for (int step = 0; step < 20'000; ++step) {
    const SlotKey slot{PeerId(100 + rng.Below(10)), 0};
    const FeedId feed = rng.Chance(0.5) ? kRoom : kOther;
    switch (rng.Below(40)) {
      case 0:
        Assign(slot, feed).IgnoreError();
        break;
      case 1:
        Assign(slot, FeedId()).IgnoreError();
        break;
      case 2:
        router_.OpenSlotsOf(slot.peer, At(0), out_);
        break;
      case 3:
        router_.Select({slot, static_cast<uint8_t>(rng.Below(4))}, At(0), out_).IgnoreError();
        break;
      case 4:
        router_.AddRelay(feed, 1).IgnoreError();
        break;
      case 5:
        router_.RemoveRelay(feed, 1).IgnoreError();
        break;
      default: {
        const auto layer = static_cast<uint8_t>(feed == kRoom ? rng.Below(3) : 0);
        const rtp::Codec codec = rng.Chance(0.9) ? kVp8 : rtp::Codec{rtp::CodecType::kVp9};
        Forward(Video(++sequence, rng.Chance(0.1), layer, codec), step * 5, feed);
        deliveries += out_.deliveries.size();
        relays += out_.relays.size();
      }
    }
  }
  EXPECT_EQ(router_.delivered(), deliveries + relays);
  EXPECT_EQ(router_.copies(), router_.delivered() + Drops());
  EXPECT_GT(deliveries, 1000u);
}

}  // namespace
}  // namespace vigil::sfu
