#include <gtest/gtest.h>

#include "tests/support/world.h"

namespace vigil::sim {
namespace {

TEST(Basics, OnePublisherReachesOneSubscriber) {
  World world({.seed = SeedOr(1)});
  const ScriptedPublisher& publisher = world.AddPublisher({});
  ScriptedSubscriber& subscriber =
      world.AddSubscriber({.slots = {{.kind = rtp::MediaKind::kAudio}, {}}});
  world.RunFor(TimeDelta::Millis(500));
  ASSERT_TRUE(world.Assign({subscriber.peer(), 0}, publisher.options().feed).ok());
  ASSERT_TRUE(world.Assign({subscriber.peer(), 1}, publisher.options().feed).ok());
  world.RunFor(TimeDelta::Seconds(5));
  EXPECT_GT(subscriber.experience(0).frames, 200u);
  EXPECT_GT(subscriber.experience(1).frames, 100u);
  world.ExpectNoDropsBut({}, {DropReason::kNoSubscriber, DropReason::kWaitingForKeyframe});
  world.Finish();
  EXPECT_TRUE(world.findings().empty()) << world.findings().ToString();
}

}  // namespace
}  // namespace vigil::sim
