// The checkers themselves: each finds what it is there to find. One that cannot fail proves
// nothing.

#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "gateway/base/byte_io.h"
#include "tests/support/slot_checker.h"
#include "tests/support/world.h"

namespace vigil::sim {
namespace {

bool Found(World& world, const std::string& what) {
  return world.findings().ToString().find(what) != std::string::npos;
}

TEST(WorldChecker, EveryRunIsDrilledOnce) {
  World world({.seed = 1});
  world.RunFor(TimeDelta::Millis(899));
  EXPECT_EQ(world.restores(), 0u);
  world.RunFor(TimeDelta::Millis(2));
  EXPECT_EQ(world.restores(), 1u);
  world.Finish();
  EXPECT_EQ(world.restores(), 1u);
}

TEST(WorldChecker, ARunThatEndsBeforeItsDrillIsDrilledAtItsEnd) {
  World world({.seed = 1, .drill_at = TimeDelta::Infinite()});
  world.RunFor(TimeDelta::Seconds(2));
  EXPECT_EQ(world.restores(), 0u);
  world.Finish();
  EXPECT_EQ(world.restores(), 1u);
  World without({.seed = 1, .no_drill_because = "this is about runs without"});
  without.RunFor(TimeDelta::Seconds(2));
  without.Finish();
  EXPECT_EQ(without.restores(), 0u);
}

TEST(WorldChecker, APacketThatIsHeldWhenAllAreGoneIsFound) {
  World world({.seed = 1});
  world.ExpectNothingHeld();
  EXPECT_TRUE(world.findings().empty());
  const PacketRef held = world.pool(0).Take();
  world.ExpectNothingHeld();
  EXPECT_TRUE(Found(world, "1 packets are held"));
}

TEST(WorldChecker, ADropOfALosslessRunIsFoundOverARestore) {
  World world({.seed = 1});
  world.AddPublisher({});
  world.RunFor(TimeDelta::Seconds(2));
  world.ExpectNoDropsBut({}, {DropReason::kNoSubscriber});
  EXPECT_TRUE(world.findings().empty()) << world.findings().ToString();
  world.ExpectNoDropsBut({}, {});
  EXPECT_TRUE(Found(world, "router dropped"));
}

class RelayChecker : public ::testing::Test {
 protected:
  // A packet is between the workers when it returns.
  void RunUntilRelayed(World& world) {
    const ScriptedPublisher& publisher = world.AddPublisher({});
    const ScriptedSubscriber& subscriber =
        world.AddSubscriber({.slots = {{.kind = rtp::MediaKind::kAudio}}}, {}, 1);
    world.RunFor(TimeDelta::Millis(500));
    ASSERT_TRUE(world.Assign({subscriber.peer(), 0}, publisher.options().feed).ok());
    world.RunFor(TimeDelta::Seconds(1));
    for (int i = 0; i < 1000 && world.mesh().Link(0, 1).packets.size() == 0; ++i) {
      world.RunFor(TimeDelta::Millis(1));
    }
    ASSERT_GT(world.mesh().Link(0, 1).packets.size(), 0u);
  }
};

TEST_F(RelayChecker, ARelayedPacketThatVanishesIsFound) {
  World world({.seed = 1, .workers = 2, .relay_delay = TimeDelta::Millis(30)});
  RunUntilRelayed(world);
  ASSERT_NE(world.mesh().Link(0, 1).packets.Front(), nullptr);
  world.mesh().Link(0, 1).packets.Release();
  world.Finish();
  EXPECT_TRUE(Found(world, "relays: ")) << world.findings().ToString();
}

TEST_F(RelayChecker, ARelayedPacketThatIsInBetweenIsNoFinding) {
  World world({.seed = 1, .workers = 2, .relay_delay = TimeDelta::Millis(30)});
  RunUntilRelayed(world);
  world.Finish();
  EXPECT_TRUE(world.findings().empty()) << world.findings().ToString();
}

// A slot of VP8 and what was sent on it, without a world.
class SlotCheckerTest : public ::testing::Test {
 protected:
  static rtp::SendTrack Track() {
    return {.kind = rtp::MediaKind::kVideo,
            .mid = "0",
            .payloads = {PayloadOf(kVp8)},
            .ssrc = 10,
            .rtx_ssrc = 11,
            .feedback = AllFeedback()};
  }
  // The retransmission of packet `sequence`, with this payload.
  void Retransmit(uint16_t sequence, const std::vector<uint8_t>& payload) {
    std::vector<uint8_t> bytes = {static_cast<uint8_t>(sequence >> 8),
                                  static_cast<uint8_t>(sequence)};
    bytes.insert(bytes.end(), payload.begin(), payload.end());
    rtp::PacketView packet;
    packet.header.payload_type = *Track().payloads[0].rtx_payload_type;
    packet.payload = bytes;
    checker_.OnRetransmission(packet, Timestamp());
  }
  static std::vector<uint8_t> Payload() {
    std::vector<uint8_t> payload(100);
    WritePayload(rtp::CodecType::kVp8, {.feed = FeedId(1), .kind = rtp::MediaKind::kVideo},
                 payload);
    return payload;
  }

  Findings findings_;
  SlotChecker checker_{{PeerId(1), 0}, Track(), rtp::ExtensionMap(), findings_};
};

TEST_F(SlotCheckerTest, ARetransmissionOfWhatWasNeverSentIsFound) {
  Retransmit(5, Payload());
  EXPECT_NE(findings_.ToString().find("never sent"), std::string::npos);
}

// A packet that was composed and not sent may come by retransmission, as often as that happened.
TEST_F(SlotCheckerTest, OneUnsentPacketExcusesOneRetransmission) {
  checker_.OnUnsent(1);
  Retransmit(5, Payload());
  Retransmit(5, Payload());
  EXPECT_TRUE(findings_.empty()) << findings_.ToString();
  Retransmit(6, Payload());
  EXPECT_FALSE(findings_.empty());
}

TEST_F(SlotCheckerTest, AnExcusedRetransmissionIsStillOfSomethingThatWasPublished) {
  checker_.OnUnsent(1);
  std::vector<uint8_t> changed = Payload();
  changed.back() ^= 1;
  Retransmit(5, changed);
  EXPECT_FALSE(findings_.empty());
}

}  // namespace
}  // namespace vigil::sim
