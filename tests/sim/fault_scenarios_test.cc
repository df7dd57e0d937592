// Paths that come and go, addresses that change, workers that are replaced.

#include <gtest/gtest.h>

#include "tests/support/world.h"

namespace vigil::sim {
namespace {

constexpr TimeDelta kDelay = TimeDelta::Millis(15);

Paths Near() { return {{.delay = kDelay}, {.delay = kDelay}}; }

class FaultScenario : public ::testing::Test {
 protected:
  void SetUp() override {
    publisher_ = &world_.AddPublisher({}, Near());
    subscriber_ = &world_.AddSubscriber({.slots = {{.kind = rtp::MediaKind::kAudio}, {}}}, Near());
    world_.RunFor(TimeDelta::Millis(500));
    for (uint8_t slot = 0; slot < 2; ++slot) {
      ASSERT_TRUE(world_.Assign({subscriber_->peer(), slot}, publisher_->options().feed).ok());
    }
    world_.RunFor(TimeDelta::Seconds(2));
    subscriber_->ForgetGaps();
  }
  void TearDown() override {
    world_.Finish();
    EXPECT_TRUE(world_.findings().empty()) << world_.findings().ToString();
  }
  const SlotExperience& sound() const { return subscriber_->experience(0); }
  const SlotExperience& picture() const { return subscriber_->experience(1); }

  World world_{{.seed = SeedOr(30)}};
  ScriptedPublisher* publisher_ = nullptr;
  ScriptedSubscriber* subscriber_ = nullptr;
};

TEST_F(FaultScenario, RestoreIsInvisibleToReceivers) {
  const uint64_t requests = publisher_->keyframe_requests();
  for (int i = 0; i < 5; ++i) {
    world_.HandOver();
    world_.RunFor(TimeDelta::Seconds(1));
  }
  // Neither a gap nor a question: 20 ms of sound and 40 ms of picture as ever.
  EXPECT_LE(sound().longest_gap, TimeDelta::Millis(21));
  EXPECT_LE(picture().longest_gap, TimeDelta::Millis(41));
  EXPECT_EQ(publisher_->keyframe_requests(), requests);
  EXPECT_EQ(picture().keyframe_requests, 0u);
  EXPECT_EQ(picture().nacked, 0u);
  world_.ExpectNoDropsBut({}, {DropReason::kNoSubscriber, DropReason::kWaitingForKeyframe});
}

TEST_F(FaultScenario, ABlackoutCostsLittleMoreThanItself) {
  world_.HandOver(TimeDelta::Millis(100));
  world_.RunFor(TimeDelta::Seconds(2));
  EXPECT_LE(sound().longest_gap, TimeDelta::Millis(140));
  EXPECT_LE(picture().longest_gap, TimeDelta::Millis(250));
}

TEST_F(FaultScenario, AfterAFaultNoIndexIsUsedTwice) {
  for (int i = 0; i < 10; ++i) {
    world_.Crash(TimeDelta::Millis(100 * i), TimeDelta::Millis(40));
    world_.RunFor(TimeDelta::Millis(100 * i + 1500));
    EXPECT_LT(world_.now() - picture().last_frame_at, TimeDelta::Millis(200));
    EXPECT_LT(world_.now() - sound().last_frame_at, TimeDelta::Millis(100));
  }
  EXPECT_GT(world_.oracle().seen(), 1000u);
}

TEST_F(FaultScenario, AfterAFaultIdleStreamsAreStillGood) {
  // The retransmission stream is used for the first time after many takeovers.
  for (int i = 0; i < 8; ++i) {
    world_.Crash(TimeDelta::Millis(200));
    world_.RunFor(TimeDelta::Millis(500));
  }
  Paths lossy = Near();
  lossy.down.loss_in_good = lossy.down.loss_in_bad = 0.05;
  world_.SetPaths(subscriber_->peer(), lossy);
  const uint64_t before = picture().repaired;
  world_.RunFor(TimeDelta::Seconds(4));
  EXPECT_GT(picture().repaired, before + 5);
}

TEST_F(FaultScenario, ConsentExpiresAfter15s) {
  world_.Unplug(subscriber_->peer());
  world_.RunFor(TimeDelta::Millis(12'400));
  EXPECT_TRUE(world_.IsOpen(subscriber_->peer()));
  world_.RunFor(TimeDelta::Millis(2'700));
  EXPECT_FALSE(world_.IsOpen(subscriber_->peer()));
  EXPECT_EQ(world_.ClosedFor(subscriber_->peer()), sfu::CloseReason::kConsentExpired);
  EXPECT_TRUE(world_.IsOpen(publisher_->peer()));
}

TEST_F(FaultScenario, ConsentSurvivesARestore) {
  world_.Unplug(subscriber_->peer());
  world_.RunFor(TimeDelta::Seconds(7));
  world_.HandOver();
  world_.RunFor(TimeDelta::Millis(5'400));
  EXPECT_TRUE(world_.IsOpen(subscriber_->peer()));
  world_.RunFor(TimeDelta::Millis(2'700));
  EXPECT_FALSE(world_.IsOpen(subscriber_->peer()));
}

TEST_F(FaultScenario, IceRestartKeepsMediaFlowing) {
  for (const PeerId peer : {publisher_->peer(), subscriber_->peer()}) {
    const uint64_t responses = world_.FindClient(peer)->transport().responses();
    ASSERT_TRUE(world_.RestartIce(peer).ok());
    world_.RunFor(TimeDelta::Seconds(1));
    EXPECT_GT(world_.FindClient(peer)->transport().responses(), responses);
  }
  EXPECT_LE(sound().longest_gap, TimeDelta::Millis(21));
  EXPECT_LE(picture().longest_gap, TimeDelta::Millis(41));
}

TEST_F(FaultScenario, NatRebindingFollowsNomination) {
  world_.Move(subscriber_->peer());
  world_.RunFor(TimeDelta::Seconds(1));
  // What was on its way to the old address is lost, and what is sent there until the client says
  // more than a check: a report, each second.
  EXPECT_LE(sound().longest_gap, kDelay * 2 + TimeDelta::Millis(1041));
  world_.RunFor(TimeDelta::Seconds(1));
  EXPECT_LT(world_.now() - sound().last_frame_at, TimeDelta::Millis(100));
  world_.Move(publisher_->peer());
  world_.RunFor(TimeDelta::Seconds(1));
  EXPECT_LT(world_.now() - picture().last_frame_at, TimeDelta::Millis(100));
}

TEST_F(FaultScenario, AMoveDuringABlackoutIsFollowed) {
  world_.HandOver(TimeDelta::Millis(200));
  world_.RunFor(TimeDelta::Millis(50));
  world_.Move(subscriber_->peer());
  world_.RunFor(TimeDelta::Seconds(2));
  EXPECT_LT(world_.now() - picture().last_frame_at, TimeDelta::Millis(100));
}

TEST_F(FaultScenario, APublisherThatReturnsIsSeenAgain) {
  Paths dead = Near();
  dead.up.loss_in_good = dead.up.loss_in_bad = 1;
  world_.SetPaths(publisher_->peer(), dead);
  world_.RunFor(TimeDelta::Seconds(5));
  world_.SetPaths(publisher_->peer(), Near());
  world_.RunFor(TimeDelta::Seconds(1));
  EXPECT_LT(world_.now() - picture().last_frame_at, TimeDelta::Millis(100));
  EXPECT_LT(world_.now() - sound().last_frame_at, TimeDelta::Millis(100));
}

TEST_F(FaultScenario, TheSameSeedSendsTheSameBytes) {
  const auto run = [](uint64_t seed) {
    World world({.seed = seed, .workers = 2});
    const ScriptedPublisher& publisher = world.AddPublisher({}, Near());
    const ScriptedSubscriber& subscriber = world.AddSubscriber({.slots = {{}}}, Near(), 1);
    world.RunFor(TimeDelta::Millis(500));
    EXPECT_TRUE(world.Assign({subscriber.peer(), 0}, publisher.options().feed).ok());
    world.HandOver(TimeDelta::Millis(30));
    world.RunFor(TimeDelta::Seconds(1));
    return world.hash();
  };
  EXPECT_EQ(run(1), run(1));
  EXPECT_NE(run(1), run(2));
}

}  // namespace
}  // namespace vigil::sim
