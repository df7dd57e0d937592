// What receivers get to see and hear: one property of the forwarding at a time. All checkers of the
// world watch each of them.

#include <string>

#include <gtest/gtest.h>

#include "tests/support/world.h"

namespace vigil::sim {
namespace {

constexpr TimeDelta kDelay = TimeDelta::Millis(20);

class MediaScenario : public ::testing::Test {
 protected:
  void TearDown() override {
    world_.Finish();
    EXPECT_TRUE(world_.findings().empty()) << world_.findings().ToString();
  }
  ScriptedPublisher& Publish(const rtp::Codec& codec, const Paths& paths = Far()) {
    PublisherOptions options;
    options.video->codec = codec;
    return world_.AddPublisher(options, paths);
  }
  ScriptedSubscriber& Subscribe(const Paths& paths = Far(), uint32_t worker = 0) {
    return world_.AddSubscriber({.slots = {{.kind = rtp::MediaKind::kAudio}, {}}}, paths, worker);
  }
  void Show(const ScriptedSubscriber& subscriber, const ScriptedPublisher& publisher) {
    const FeedId feed = publisher.options().feed;
    ASSERT_TRUE(world_.Assign({subscriber.peer(), 0}, feed).ok());
    ASSERT_TRUE(world_.Assign({subscriber.peer(), 1}, feed).ok());
  }
  static Paths Far() { return {{.delay = kDelay}, {.delay = kDelay}}; }
  static Paths Lossy(double loss) {
    return {{.delay = kDelay, .loss_in_good = loss, .loss_in_bad = loss},
            {.delay = kDelay, .loss_in_good = loss, .loss_in_bad = loss}};
  }
  uint64_t CountSwitches(sfu::SlotKey slot) const {
    uint64_t count = 0;
    for (const sfu::Event& event : world_.events()) {
      const auto* switched = std::get_if<sfu::SlotSwitched>(&event);
      if (switched != nullptr && switched->slot == slot) ++count;
    }
    return count;
  }

  World world_{{.seed = SeedOr(20)}};
};

TEST_F(MediaScenario, LosslessPathsDropNothing) {
  for (const rtp::Codec& codec : {kVp8, kVp9, kAv1, kH264}) {
    const ScriptedPublisher& publisher = Publish(codec);
    const ScriptedSubscriber& subscriber = Subscribe();
    world_.RunFor(TimeDelta::Millis(300));
    Show(subscriber, publisher);
  }
  world_.RunFor(TimeDelta::Seconds(4));
  world_.ExpectNoDropsBut({}, {DropReason::kNoSubscriber, DropReason::kWaitingForKeyframe});
}

TEST_F(MediaScenario, LateSubscriberGetsAKeyframe) {
  const ScriptedPublisher& publisher = Publish(kVp8);
  world_.RunFor(TimeDelta::Seconds(3));
  const ScriptedSubscriber& subscriber = Subscribe();
  world_.RunFor(TimeDelta::Millis(200));
  Show(subscriber, publisher);
  // There and back to the publisher, one frame, and on to the subscriber.
  world_.RunFor(TimeDelta::Millis(40 + 40 + 20 + 10));
  EXPECT_GE(subscriber.experience(1).frames, 1u);
  EXPECT_EQ(publisher.keyframe_requests(), 1u);
}

TEST_F(MediaScenario, ManyLateSubscribersShareKeyframes) {
  const ScriptedPublisher& publisher = Publish(kVp8);
  std::vector<const ScriptedSubscriber*> subscribers;
  for (int i = 0; i < 20; ++i) subscribers.push_back(&Subscribe());
  world_.RunFor(TimeDelta::Seconds(2));
  for (const ScriptedSubscriber* subscriber : subscribers) {
    Show(*subscriber, publisher);
    world_.RunFor(TimeDelta::Millis(10));
  }
  world_.RunFor(TimeDelta::Seconds(2));
  EXPECT_LE(publisher.keyframe_requests(), 3u);
  for (const ScriptedSubscriber* subscriber : subscribers) {
    EXPECT_GT(subscriber->experience(1).frames, 30u);
  }
}

TEST_F(MediaScenario, LossIsRepairedByRetransmission) {
  const ScriptedPublisher& publisher = Publish(kVp8, Lossy(0.03));
  ScriptedSubscriber& subscriber = Subscribe(Lossy(0.03));
  world_.RunFor(TimeDelta::Seconds(1));
  Show(subscriber, publisher);
  world_.RunFor(TimeDelta::Seconds(10));
  const SlotExperience& seen = subscriber.experience(1);
  EXPECT_GT(seen.repaired, 10u);
  EXPECT_GT(publisher.nacked(), 10u);
  // 250 frames were sent; nearly all of them could be shown, most losses without a keyframe.
  EXPECT_GT(seen.frames, 230u);
  EXPECT_LT(seen.keyframe_requests, 8u);
}

TEST_F(MediaScenario, SwitchBetweenCodecsKeepsOneStream) {
  std::vector<const ScriptedPublisher*> publishers;
  for (const rtp::Codec& codec : {kVp8, kH264, kVp9, kAv1}) publishers.push_back(&Publish(codec));
  const ScriptedSubscriber& subscriber = Subscribe();
  world_.RunFor(TimeDelta::Seconds(1));
  for (int round = 0; round < 3; ++round) {
    for (const ScriptedPublisher* publisher : publishers) {
      Show(subscriber, *publisher);
      world_.RunFor(TimeDelta::Millis(500));
      EXPECT_EQ(subscriber.experience(0).feed, publisher->options().feed);
      EXPECT_EQ(subscriber.experience(1).feed, publisher->options().feed);
      EXPECT_EQ(subscriber.experience(1).codec, publisher->options().video->codec.type);
    }
  }
  EXPECT_EQ(CountSwitches({subscriber.peer(), 1}), 12u);
  EXPECT_EQ(world_.slot({subscriber.peer(), 1}).switches(), 11u);
  EXPECT_EQ(subscriber.experience(1).broken_frames, 0u);
}

TEST_F(MediaScenario, NothingFlowsAfterUnassign) {
  const ScriptedPublisher& publisher = Publish(kVp8);
  const ScriptedSubscriber& subscriber = Subscribe();
  world_.RunFor(TimeDelta::Millis(500));
  Show(subscriber, publisher);
  world_.RunFor(TimeDelta::Seconds(1));
  ASSERT_TRUE(world_.Assign({subscriber.peer(), 0}, FeedId()).ok());
  ASSERT_TRUE(world_.Assign({subscriber.peer(), 1}, FeedId()).ok());
  world_.RunFor(TimeDelta::Millis(50));  // What is in the network.
  const uint64_t sound = subscriber.experience(0).packets;
  const uint64_t picture = subscriber.experience(1).packets;
  EXPECT_GT(sound, 0u);
  world_.RunFor(TimeDelta::Seconds(1));
  EXPECT_EQ(subscriber.experience(0).packets, sound);
  EXPECT_EQ(subscriber.experience(1).packets, picture);
}

TEST_F(MediaScenario, AFeedThatDoesNotFitIsRefused) {
  const ScriptedPublisher& publisher = Publish(kVp9);
  const ScriptedSubscriber& subscriber =
      world_.AddSubscriber({.slots = {{.codecs = {kVp8, kH264}}}});
  const absl::Status status = world_.Assign({subscriber.peer(), 0}, publisher.options().feed);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(std::string(status.message()).find("VP9"), std::string::npos);
  EXPECT_NE(std::string(status.message()).find("VP8"), std::string::npos);
  world_.RunFor(TimeDelta::Seconds(1));
  EXPECT_EQ(subscriber.experience(0).packets, 0u);
}

TEST_F(MediaScenario, PaddingLeavesNoGap) {
  PublisherOptions options;
  options.video->padding = 0.5;
  const ScriptedPublisher& publisher = world_.AddPublisher(options, Far());
  const ScriptedSubscriber& subscriber = Subscribe();
  world_.RunFor(TimeDelta::Millis(500));
  Show(subscriber, publisher);
  world_.RunFor(TimeDelta::Seconds(4));
  EXPECT_GT(subscriber.experience(1).frames, 90u);
  // In a row of numbers without a gap there is nothing to ask for.
  EXPECT_EQ(subscriber.experience(1).nacked, 0u);
  EXPECT_GT(world_.Report(0).router_drops.Get(DropReason::kPaddingOnly), 20u);
}

TEST_F(MediaScenario, PublisherSsrcChangeRestartsTheSlot) {
  for (const rtp::Codec& codec : {kVp8, kH264}) {
    ScriptedPublisher& publisher = Publish(codec);
    const ScriptedSubscriber& subscriber = Subscribe();
    world_.RunFor(TimeDelta::Millis(500));
    Show(subscriber, publisher);
    world_.RunFor(TimeDelta::Seconds(1));
    const uint64_t before = subscriber.experience(1).frames;
    publisher.Restart(world_.now());
    world_.RunFor(TimeDelta::Seconds(1));
    EXPECT_GT(subscriber.experience(1).frames, before + 20);
    EXPECT_EQ(world_.slot({subscriber.peer(), 1}).switches(), 1u);
    EXPECT_LT(subscriber.experience(1).longest_gap, TimeDelta::Millis(120));
  }
}

TEST_F(MediaScenario, SimulcastLayerSwitchAtKeyframe) {
  PublisherOptions options;
  options.video->rids = {"q", "h", "f"};
  ScriptedPublisher& publisher = world_.AddPublisher(options, Far());
  const ScriptedSubscriber& subscriber = Subscribe();
  world_.RunFor(TimeDelta::Millis(500));
  Show(subscriber, publisher);
  const sfu::SlotKey slot{subscriber.peer(), 1};
  for (const uint8_t layer : {255, 0, 1, 2, 0, 255}) {
    ASSERT_TRUE(world_.Select(slot, layer).ok());
    world_.RunFor(TimeDelta::Seconds(1));
    EXPECT_EQ(subscriber.experience(1).layer, std::min<int>(layer, 2));
  }
  // The layer is not sent any more: the next one below stands in.
  publisher.set_active_layers(2);
  world_.RunFor(TimeDelta::Millis(1500));
  EXPECT_EQ(subscriber.experience(1).layer, 1);
  EXPECT_EQ(subscriber.experience(1).broken_frames, 0u);
}

TEST_F(MediaScenario, SenderReportsTellWhenSoundAndPictureWereCaptured) {
  PublisherOptions options;
  options.client.wall_offset = TimeDelta::Seconds(-1234);
  const ScriptedPublisher& publisher =
      world_.AddPublisher(options, {{.delay = TimeDelta::Millis(60)}, {.delay = kDelay}});
  const ScriptedSubscriber& subscriber = Subscribe();
  world_.RunFor(TimeDelta::Millis(500));
  Show(subscriber, publisher);
  world_.RunFor(TimeDelta::Seconds(6));
  const auto sound = world_.slot({subscriber.peer(), 0}).report_error();
  const auto picture = world_.slot({subscriber.peer(), 1}).report_error();
  ASSERT_TRUE(sound && picture);
  // Half of what the two ways differ by is all that cannot be known.
  EXPECT_LT(std::abs(sound->ms()), 25);
  EXPECT_LT(std::abs((*sound - *picture).us()), 2'000);
}

TEST_F(MediaScenario, ReorderingIsPassedOnAndNotRepaired) {
  Paths paths = Far();
  paths.up.reorder = 0.05;
  paths.up.reorder_delay = TimeDelta::Millis(3);
  const ScriptedPublisher& publisher = Publish(kVp8, paths);
  const ScriptedSubscriber& subscriber = Subscribe();
  world_.RunFor(TimeDelta::Millis(500));
  Show(subscriber, publisher);
  world_.RunFor(TimeDelta::Seconds(4));
  EXPECT_EQ(publisher.nacked(), 0u);
  EXPECT_EQ(subscriber.experience(1).nacked, 0u);
  EXPECT_GT(subscriber.experience(1).frames, 90u);
}

TEST_F(MediaScenario, DuplicatesAreForwardedOnce) {
  Paths paths = Far();
  paths.up.duplicate = 0.5;
  const ScriptedPublisher& publisher = Publish(kVp8, paths);
  const ScriptedSubscriber& subscriber = Subscribe();
  world_.RunFor(TimeDelta::Millis(500));
  Show(subscriber, publisher);
  world_.RunFor(TimeDelta::Seconds(2));
  EXPECT_GT(world_.Report(0).counters.ingress_drops.Get(DropReason::kSrtpReplay), 30u);
  EXPECT_GT(subscriber.experience(1).frames, 45u);
}

TEST_F(MediaScenario, ALostFirstKeyframeIsAskedForAgain) {
  ScriptedPublisher& publisher = Publish(kVp8);
  const ScriptedSubscriber& subscriber = Subscribe();
  world_.RunFor(TimeDelta::Millis(500));
  Show(subscriber, publisher);
  world_.RunFor(TimeDelta::Seconds(1));
  // A new stream, of which the beginning is lost.
  world_.SetPaths(publisher.peer(), Lossy(1.0));
  publisher.Restart(world_.now());
  world_.RunFor(TimeDelta::Millis(100));
  world_.SetPaths(publisher.peer(), Far());
  const uint64_t before = subscriber.experience(1).frames;
  world_.RunFor(TimeDelta::Millis(400));
  EXPECT_GT(subscriber.experience(1).frames, before);
}

// Both workers' subscribers see the same.
TEST(CrossWorker, ForwardingIsEqualToLocal) {
  World world({.seed = SeedOr(21), .workers = 3});
  PublisherOptions options;
  options.video->padding = 0.1;
  const ScriptedPublisher& publisher = world.AddPublisher(options, {}, 1);
  std::vector<const ScriptedSubscriber*> subscribers;
  for (uint32_t worker = 0; worker < 3; ++worker) {
    subscribers.push_back(
        &world.AddSubscriber({.slots = {{.kind = rtp::MediaKind::kAudio}, {}}}, {}, worker));
  }
  world.RunFor(TimeDelta::Millis(500));
  for (const ScriptedSubscriber* subscriber : subscribers) {
    for (uint8_t slot = 0; slot < 2; ++slot) {
      ASSERT_TRUE(world.Assign({subscriber->peer(), slot}, publisher.options().feed).ok());
    }
  }
  world.RunFor(TimeDelta::Seconds(4));
  for (const ScriptedSubscriber* subscriber : subscribers) {
    for (size_t slot = 0; slot < 2; ++slot) {
      EXPECT_EQ(subscriber->experience(slot).frames, subscribers[1]->experience(slot).frames);
      EXPECT_EQ(subscriber->experience(slot).packets, subscribers[1]->experience(slot).packets);
    }
  }
  EXPECT_GT(subscribers[1]->experience(1).frames, 90u);
  EXPECT_GT(world.Report(1).counters.relayed_out, 500u);
  world.ExpectNoDropsBut(
      {}, {DropReason::kNoSubscriber, DropReason::kWaitingForKeyframe, DropReason::kPaddingOnly});
  // The feed ends for all of them.
  ASSERT_TRUE(world.Close(publisher.peer()).ok());
  for (const ScriptedSubscriber* subscriber : subscribers) {
    EXPECT_TRUE(world.AssignedTo({subscriber->peer(), 1}).IsNone());
  }
  world.RunFor(TimeDelta::Millis(200));
  world.Finish();
  EXPECT_TRUE(world.findings().empty()) << world.findings().ToString();
}

}  // namespace
}  // namespace vigil::sim
