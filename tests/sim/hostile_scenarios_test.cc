// Clients that were let in and mean harm, and strangers who forge datagrams.

#include <gtest/gtest.h>

#include "tests/support/world.h"

namespace vigil::sim {
namespace {

using Attack = HostileSubscriber::Attack;

Paths Near() { return {{.delay = TimeDelta::Millis(10)}, {.delay = TimeDelta::Millis(10)}}; }

class HostileScenario : public ::testing::Test {
 protected:
  void SetUp() override {
    publisher_ = &world_.AddPublisher({}, Near());
    victim_ = &world_.AddSubscriber({.slots = {{.kind = rtp::MediaKind::kAudio}, {}}}, Near());
    enemy_ = &world_.AddHostile({.slots = {{.kind = rtp::MediaKind::kAudio}, {}}}, Near());
    world_.RunFor(TimeDelta::Millis(500));
    for (uint8_t slot = 0; slot < 2; ++slot) {
      ASSERT_TRUE(world_.Assign({victim_->peer(), slot}, publisher_->options().feed).ok());
      ASSERT_TRUE(world_.Assign({enemy_->peer(), slot}, publisher_->options().feed).ok());
    }
    world_.RunFor(TimeDelta::Seconds(1));
    victim_->ForgetGaps();
  }
  void TearDown() override {
    world_.Finish();
    EXPECT_TRUE(world_.findings().empty()) << world_.findings().ToString();
  }
  // The others notice nothing.
  void ExpectUndisturbed() {
    EXPECT_LE(victim_->experience(0).longest_gap, TimeDelta::Millis(21));
    EXPECT_LE(victim_->experience(1).longest_gap, TimeDelta::Millis(41));
    EXPECT_EQ(victim_->experience(1).broken_frames, 0u);
    EXPECT_TRUE(world_.IsOpen(publisher_->peer()));
    EXPECT_TRUE(world_.IsOpen(victim_->peer()));
  }
  const worker::PeerReport::Sent& SentTo(const ScriptedSubscriber& subscriber, size_t slot) {
    report_ = world_.Report(0);
    for (const worker::PeerReport& peer : report_.peers) {
      if (peer.peer == subscriber.peer()) return peer.sent[slot];
    }
    ADD_FAILURE() << "no such peer";
    return report_.peers.front().sent.front();
  }

  // Restored in the midst of the attack.
  World world_{{.seed = SeedOr(40), .drill_at = TimeDelta::Seconds(2)}};
  worker::WorkerReport report_;
  ScriptedPublisher* publisher_ = nullptr;
  ScriptedSubscriber* victim_ = nullptr;
  HostileSubscriber* enemy_ = nullptr;
};

TEST_F(HostileScenario, OneFloodingSubscriberCannotMakeUsSendMoreThanTwiceItsDue) {
  enemy_->Begin(TimeDelta::Millis(2), {Attack::kNackFlood});
  world_.RunFor(TimeDelta::Seconds(5));
  const worker::PeerReport::Sent& sent = SentTo(*enemy_, 1);
  EXPECT_GT(sent.counters.retransmitted, 100u);
  EXPECT_GT(sent.counters.nack_refused, sent.counters.retransmitted);
  EXPECT_LE(sent.counters.retransmitted_bytes,
            sent.counters.bytes + stream::OutboundStream::kRetransmissionBurst);
  EXPECT_EQ(publisher_->nacked(), 0u);
  ExpectUndisturbed();
}

TEST_F(HostileScenario, KeyframeFloodsAreThrottled) {
  enemy_->Begin(TimeDelta::Millis(1), {Attack::kKeyframeFlood});
  const uint64_t before = publisher_->keyframe_requests();
  world_.RunFor(TimeDelta::Seconds(3));
  EXPECT_LE(publisher_->keyframe_requests() - before, 4u);
  ExpectUndisturbed();
}

TEST_F(HostileScenario, RtcpAboutOthersChangesNothing) {
  enemy_->Begin(TimeDelta::Millis(3), {Attack::kForeignStreams, Attack::kStrangeReports});
  world_.RunFor(TimeDelta::Seconds(3));
  EXPECT_EQ(SentTo(*victim_, 1).counters.nacked, 0u);
  EXPECT_EQ(SentTo(*victim_, 1).counters.reported_lost, 0);
  EXPECT_LT(SentTo(*victim_, 1).round_trip, TimeDelta::Millis(50));
  ExpectUndisturbed();
}

TEST_F(HostileScenario, GarbageUnderAGoodKeyIsCountedAndDropped) {
  enemy_->Begin(TimeDelta::Millis(3), {Attack::kGarbage, Attack::kMedia, Attack::kFeedback});
  world_.RunFor(TimeDelta::Seconds(3));
  EXPECT_GT(world_.Report(0).counters.ingress_drops.Get(DropReason::kRtcpMalformed), 10u);
  EXPECT_GT(world_.Report(0).counters.ingress_drops.Get(DropReason::kUnknownSsrc), 5u);
  EXPECT_TRUE(world_.IsOpen(enemy_->peer()));
  ExpectUndisturbed();
}

TEST_F(HostileScenario, SpoofedDatagramsChangeNothing) {
  Rng rng(world_.now().ns() > 0 ? SeedOr(41) : 0);
  const ClientAddress stranger = ClientAddress::V4(198, 51, 100, 7, 4242);
  const ClientAddress own = publisher_->transport().identity().address;
  for (int i = 0; i < 4500; ++i) {
    std::vector<uint8_t> bytes = world_.Recorded(publisher_->peer(), rng.Next());
    switch (i % 5) {
      case 0:  // From elsewhere, checks too.
        world_.Inject(0, stranger, bytes);
        break;
      case 1:  // Bits flipped, from the right address.
        bytes[rng.Below(bytes.size())] ^= static_cast<uint8_t>(1 << rng.Below(8));
        world_.Inject(0, own, bytes);
        break;
      case 2:  // Replayed.
        world_.Inject(0, own, bytes, publisher_->peer());
        break;
      case 3:  // Cut short.
        bytes.resize(rng.Below(bytes.size()));
        world_.Inject(0, rng.Chance(0.5) ? own : stranger, bytes);
        break;
      default:  // Noise, and a ClientHello's first bytes.
        for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(rng.Next());
        if (rng.Chance(0.3)) bytes[0] = 22;
        world_.Inject(0, rng.Chance(0.5) ? own : stranger, bytes);
    }
    world_.RunFor(TimeDelta::Millis(1));
  }
  const DropCounters drops = world_.Report(0).counters.ingress_drops;
  for (const DropReason reason :
       {DropReason::kMalformed, DropReason::kUnknownSource, DropReason::kStunUnauthenticated,
        DropReason::kStunReplay, DropReason::kSrtpAuth, DropReason::kSrtpReplay,
        DropReason::kDtlsNotReady}) {
    EXPECT_GE(drops.Get(reason), 5u) << ToString(reason);
  }
  ExpectUndisturbed();
}

TEST_F(HostileScenario, AHeldBackPacketDoesNotBringAReplacedStreamBack) {
  // A packet of the first stream that never arrived is sent in long after the second has begun.
  Paths lossy = Near();
  lossy.up.loss_in_good = lossy.up.loss_in_bad = 1;
  World world({.seed = SeedOr(42)});
  PublisherOptions options;
  options.signal_ssrcs = false;
  options.audio = false;
  ScriptedPublisher& publisher = world.AddPublisher(options, Near());
  ScriptedSubscriber& subscriber = world.AddSubscriber({.slots = {{}}}, Near());
  world.RunFor(TimeDelta::Millis(200));
  ASSERT_TRUE(world.Assign({subscriber.peer(), 0}, publisher.options().feed).ok());
  world.RunFor(TimeDelta::Millis(200));
  world.SetPaths(publisher.peer(), lossy);
  world.RunFor(TimeDelta::Millis(100));
  std::vector<uint8_t> held;
  for (uint64_t i = 0; i < 64; ++i) {
    const std::vector<uint8_t> bytes = world.Recorded(publisher.peer(), i);
    if (bytes.size() > 40 && bytes[0] >= 0x80 && (bytes[1] & 0x7f) == 96) held = bytes;
  }
  world.SetPaths(publisher.peer(), Near());
  publisher.Restart(world.now());
  world.RunFor(TimeDelta::Seconds(2));
  subscriber.ForgetGaps();
  const uint64_t switches = world.slot({subscriber.peer(), 0}).switches();
  world.Inject(0, publisher.transport().identity().address, held);
  world.RunFor(TimeDelta::Seconds(1));
  EXPECT_EQ(world.slot({subscriber.peer(), 0}).switches(), switches);
  EXPECT_LE(subscriber.experience(0).longest_gap, TimeDelta::Millis(41));
  world.Finish();
  EXPECT_TRUE(world.findings().empty()) << world.findings().ToString();
}

TEST_F(HostileScenario, ForgedChecksTakeNobodysAddress) {
  const ClientAddress own = enemy_->transport().identity().address;
  for (int i = 0; i < 100; ++i) {
    for (const ScriptedClient* other :
         {static_cast<ScriptedClient*>(publisher_), static_cast<ScriptedClient*>(victim_)}) {
      world_.Inject(0, other->transport().identity().address,
                    enemy_->transport().MakeCheck(/*use_candidate=*/true));
    }
    world_.RunFor(TimeDelta::Millis(37));
  }
  EXPECT_GE(world_.Report(0).counters.ingress_drops.Get(DropReason::kAddressInUse), 100u);
  EXPECT_EQ(world_.Report(0).peers.at(2).selected, own);
  ASSERT_TRUE(world_.Close(enemy_->peer()).ok());
  world_.RunFor(TimeDelta::Seconds(1));
  ExpectUndisturbed();
}

// A viewer loses some packets of a publisher that leaves numbers out with each picture; every
// checker watches, and afterwards the slot carries another feed as if nothing had been.
TEST_F(HostileScenario, APublisherThatLeapsHarmsNobodyWhoWatchesIt) {
  for (const int64_t most : {1'000, 30'000}) {
    World world({.seed = SeedOr(43)});
    HostilePublisher& enemy = world.AddHostilePublisher({}, Near());
    ScriptedPublisher& other = world.AddPublisher({}, Near());
    ScriptedSubscriber& subscriber =
        world.AddSubscriber({.slots = {{.kind = rtp::MediaKind::kAudio}, {}}}, Near());
    world.RunFor(TimeDelta::Millis(200));
    const auto assign = [&](FeedId feed) {
      for (uint8_t slot = 0; slot < 2; ++slot) {
        ASSERT_TRUE(world.Assign({subscriber.peer(), slot}, feed).ok());
      }
      world.RunFor(TimeDelta::Seconds(1));
    };
    assign(enemy.options().feed);
    enemy.Begin(most);
    world.RunFor(TimeDelta::Seconds(2));
    EXPECT_GT(world.slot({subscriber.peer(), 1}).switches(), 10u);
    Paths dead = Near();
    dead.down.loss_in_good = dead.down.loss_in_bad = 1;
    world.SetPaths(subscriber.peer(), dead);
    world.RunFor(TimeDelta::Seconds(2));
    world.SetPaths(subscriber.peer(), Near());
    assign(other.options().feed);
    EXPECT_EQ(subscriber.transport().refused(), 0u);
    EXPECT_EQ(subscriber.experience(1).feed, other.options().feed);
    EXPECT_LT(world.now() - subscriber.experience(1).last_frame_at, TimeDelta::Millis(100));
    EXPECT_LT(world.now() - subscriber.experience(0).last_frame_at, TimeDelta::Millis(100));
    world.Finish();
    EXPECT_TRUE(world.findings().empty()) << world.findings().ToString();
  }
}

TEST_F(HostileScenario, AStrangersChecksAreNotAnswered) {
  const uint64_t before = world_.datagrams_sent();
  std::vector<uint8_t> check = publisher_->transport().MakeCheck(true);
  check[check.size() - 20] ^= 1;  // In the integrity or the fingerprint.
  const ClientAddress stranger = ClientAddress::V4(198, 51, 100, 9, 4242);
  world_.Inject(0, stranger, check);
  world_.RunFor(TimeDelta::Zero());
  EXPECT_EQ(world_.datagrams_sent(), before);
  EXPECT_EQ(world_.Report(0).counters.ingress_drops.Get(DropReason::kStunUnauthenticated), 1u);
}

}  // namespace
}  // namespace vigil::sim
