#include "gateway/worker/directory.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "gateway/base/archive.h"
#include "gateway/base/rng.h"
#include "gtest/gtest.h"

namespace vigil::worker {
namespace {

const FeedKey kRoomA{SiteId(1), {"room-a", "patient"}};
const FeedKey kRoomB{SiteId(1), {"room-b", "patient"}};

rtp::MediaParameters OnePicture() {
  rtp::MediaParameters media;
  media.receive.push_back({.kind = rtp::MediaKind::kVideo, .payloads = {{.payload_type = 96}}});
  return media;
}

template <typename C>
std::vector<std::pair<uint32_t, C>> Of(const std::vector<Posting>& postings) {
  std::vector<std::pair<uint32_t, C>> found;
  for (const Posting& posting : postings) {
    if (const auto* command = std::get_if<C>(&posting.command)) {
      found.emplace_back(posting.worker, *command);
    }
  }
  return found;
}

class DirectoryTest : public testing::Test {
 protected:
  PeerId Publish(const FeedKey& key, uint32_t worker) {
    PeerRecord peer{.id = directory_.NextPeerId(),
                    .site = key.site,
                    .participant = key.name.participant,
                    .worker = worker,
                    .publishes = key.name,
                    .feed = directory_.NextFeedId()};
    peer.resource = "p" + std::to_string(peer.id.value());
    const PeerId id = peer.id;
    last_ = directory_.AddPeer(peer, OnePicture(), 1);
    return id;
  }
  PeerId Play(uint32_t worker, size_t slots = 1) {
    PeerRecord peer{.id = directory_.NextPeerId(),
                    .site = SiteId(1),
                    .participant = "dr-1",
                    .worker = worker,
                    .slots = std::vector<SlotRecord>(slots, {.kind = rtp::MediaKind::kVideo})};
    peer.resource = "p" + std::to_string(peer.id.value());
    const PeerId id = peer.id;
    directory_.AddPeer(peer, {}, 1);
    return id;
  }
  Directory::Assignment Assign(PeerId peer, uint32_t slot, const std::optional<FeedKey>& feed) {
    auto assigned = directory_.Assign(peer, slot, feed);
    EXPECT_TRUE(assigned.ok()) << assigned.status();
    last_ = assigned->postings;
    return *assigned;
  }
  const SlotRecord& SlotOf(PeerId player) const { return directory_.FindPeer(player)->slots[0]; }
  FeedId Holder(const FeedKey& key) const {
    const FeedRecord* feed = directory_.FindFeed(key);
    return feed == nullptr ? FeedId() : feed->id;
  }

  Directory directory_{2};
  std::vector<Posting> last_;
};

TEST_F(DirectoryTest, AFeedCrossesToAWorkerOnceAndLeavesWithItsLastSlotThere) {
  Publish(kRoomA, 0);
  const PeerId player = Play(1, 2);
  Assign(player, 0, kRoomA);
  EXPECT_EQ(Of<sfu::AttachRemoteFeed>(last_).size(), 1u);
  EXPECT_EQ(Of<sfu::AddRelay>(last_).size(), 1u);
  Assign(player, 1, kRoomA);
  EXPECT_EQ(last_.size(), 1u);  // Only the assignment.
  Assign(player, 0, std::nullopt);
  EXPECT_EQ(Of<sfu::DetachRemoteFeed>(last_).size(), 0u);
  Assign(player, 1, std::nullopt);
  ASSERT_EQ(Of<sfu::DetachRemoteFeed>(last_).size(), 1u);
  EXPECT_EQ(Of<sfu::DetachRemoteFeed>(last_)[0].first, 1u);
  ASSERT_EQ(Of<sfu::RemoveRelay>(last_).size(), 1u);
  EXPECT_EQ(Of<sfu::RemoveRelay>(last_)[0].first, 0u);
  // And again.
  Assign(player, 0, kRoomA);
  EXPECT_EQ(Of<sfu::AttachRemoteFeed>(last_).size(), 1u);
}

TEST_F(DirectoryTest, ASubscribersEndTakesTheFeedFromItsWorker) {
  Publish(kRoomA, 0);
  const PeerId player = Play(1);
  Assign(player, 0, kRoomA);
  const auto removed = directory_.RemovePeer(player);
  EXPECT_EQ(Of<sfu::RemoveRelay>(removed).size(), 1u);
  EXPECT_EQ(Of<sfu::DetachRemoteFeed>(removed).size(), 1u);
  EXPECT_TRUE(directory_.FindFeed(kRoomA)->slots.empty());
}

TEST_F(DirectoryTest, TheAnswerToAnAssignmentIsThatOfTheLastPosting) {
  Publish(kRoomA, 0);
  Publish(kRoomB, 0);
  const PeerId player = Play(1);
  for (const auto& feed :
       {std::optional(kRoomA), std::optional(kRoomB), std::optional<FeedKey>()}) {
    Assign(player, 0, feed);
    EXPECT_TRUE(std::holds_alternative<sfu::AssignSlot>(last_.back().command));
  }
}

TEST_F(DirectoryTest, ANewPublicationTakesTheNameWhenItIsConnected) {
  const PeerId first = Publish(kRoomA, 0);
  const PeerId player = Play(0);
  Assign(player, 0, kRoomA);
  const FeedId before = Holder(kRoomA);

  const PeerId second = Publish(kRoomA, 1);
  EXPECT_TRUE(last_.empty());  // An offer alone takes nobody's picture away.
  EXPECT_EQ(Holder(kRoomA), before);

  const auto postings = directory_.OnConnected(second);
  EXPECT_NE(Holder(kRoomA), before);
  ASSERT_EQ(Of<sfu::AssignSlot>(postings).size(), 1u);
  EXPECT_EQ(Of<sfu::AssignSlot>(postings)[0].second.feed, Holder(kRoomA));
  ASSERT_EQ(Of<sfu::ClosePeer>(postings).size(), 1u);
  EXPECT_EQ(Of<sfu::ClosePeer>(postings)[0].second.peer, first);
  EXPECT_EQ(directory_.FindPeer(first), nullptr);
}

TEST_F(DirectoryTest, APublicationThatNeverConnectsLeavesTheRoomAlone) {
  Publish(kRoomA, 0);
  const FeedId held = Holder(kRoomA);
  const PeerId second = Publish(kRoomA, 1);
  EXPECT_TRUE(directory_.RemovePeer(second).empty());
  EXPECT_EQ(Holder(kRoomA), held);
}

TEST_F(DirectoryTest, APublicationOnItsWayInheritsTheNameOfOneThatEnds) {
  const PeerId first = Publish(kRoomA, 0);
  const PeerId player = Play(1);
  Assign(player, 0, kRoomA);
  const PeerId second = Publish(kRoomA, 0);
  const auto postings = directory_.RemovePeer(first);
  EXPECT_EQ(directory_.FindFeed(kRoomA)->publisher, second);
  ASSERT_EQ(Of<sfu::AssignSlot>(postings).size(), 1u);
  EXPECT_EQ(Of<sfu::AssignSlot>(postings)[0].second.feed, Holder(kRoomA));
}

TEST_F(DirectoryTest, ASlotGetsItsFeedAgainWhenTheRoomComesBack) {
  const PeerId room = Publish(kRoomA, 0);
  const PeerId player = Play(1);
  Assign(player, 0, kRoomA);
  directory_.RemovePeer(room);
  EXPECT_EQ(directory_.FindPeer(player)->slots[0].carries, FeedId());
  Publish(kRoomA, 1);
  ASSERT_EQ(Of<sfu::AssignSlot>(last_).size(), 1u);
  EXPECT_EQ(Of<sfu::AssignSlot>(last_)[0].second.feed, Holder(kRoomA));
}

TEST_F(DirectoryTest, ASlotThatWaitsForARoomIsServedWhenItComes) {
  const PeerId player = Play(0);
  directory_.Expect(player, 0, kRoomA);
  EXPECT_EQ(directory_.Assign(player, 0, kRoomB).status().code(), absl::StatusCode::kNotFound);
  Publish(kRoomA, 0);
  EXPECT_EQ(Of<sfu::AssignSlot>(last_).size(), 1u);
}

TEST_F(DirectoryTest, ARefusedAssignmentChangesNothing) {
  const PeerId room_a = Publish(kRoomA, 0);
  Publish(kRoomB, 0);
  const PeerId player = Play(1);
  directory_.Accept(Assign(player, 0, kRoomA));
  const auto refused = Assign(player, 0, kRoomB);
  EXPECT_EQ(SlotOf(player).assigned, kRoomA) << "before the worker has answered";
  const auto reverted = directory_.Refuse(refused);
  EXPECT_EQ(SlotOf(player).assigned, kRoomA);
  EXPECT_EQ(SlotOf(player).wanted, kRoomA);
  EXPECT_EQ(SlotOf(player).carries, Holder(kRoomA));
  EXPECT_TRUE(directory_.FindFeed(kRoomB)->slots.empty());
  EXPECT_EQ(Of<sfu::AssignSlot>(reverted).back().second.feed, Holder(kRoomA));
  // A's reload is followed, B's is not.
  directory_.RemovePeer(room_a);
  Publish(kRoomA, 0);
  EXPECT_EQ(Of<sfu::AssignSlot>(last_).size(), 1u);
}

TEST_F(DirectoryTest, ALateRefusalDoesNotUndoWhatWasAskedSince) {
  Publish(kRoomA, 0);
  Publish(kRoomB, 0);
  const PeerId player = Play(0);
  const auto refused = Assign(player, 0, kRoomB);
  const auto accepted = Assign(player, 0, kRoomA);
  EXPECT_TRUE(directory_.Refuse(refused).empty());
  EXPECT_EQ(SlotOf(player).assigned, std::nullopt);
  EXPECT_EQ(SlotOf(player).wanted, kRoomA);
  directory_.Accept(accepted);
  EXPECT_EQ(SlotOf(player).assigned, kRoomA);
}

TEST_F(DirectoryTest, RefusedTwiceInARowTheSlotGoesBackToWhatItHad) {
  Publish(kRoomA, 0);
  Publish(kRoomB, 0);
  const PeerId player = Play(0);
  directory_.Accept(Assign(player, 0, kRoomA));
  const auto first = Assign(player, 0, kRoomB);
  const auto second = Assign(player, 0, kRoomB);
  EXPECT_TRUE(directory_.Refuse(first).empty());
  EXPECT_FALSE(directory_.Refuse(second).empty());
  EXPECT_EQ(SlotOf(player).wanted, kRoomA);
  EXPECT_EQ(SlotOf(player).carries, Holder(kRoomA));
}

TEST_F(DirectoryTest, OffersThatAreStillBeingAnsweredCountForTheChoiceOfAWorker) {
  std::vector<int> on(2);
  for (int i = 0; i < 10; ++i) ++on[directory_.ReserveWorker()];
  EXPECT_EQ(on, (std::vector<int>{5, 5}));
  for (int i = 0; i < 5; ++i) directory_.ReleaseWorker(0);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(directory_.ReserveWorker(), 0u);
}

TEST_F(DirectoryTest, WrongIdsAreNamed) {
  Publish(kRoomA, 0);
  const PeerId player = Play(0);
  EXPECT_EQ(directory_.Assign(PeerId(999), 0, kRoomA).status().code(), absl::StatusCode::kNotFound);
  const auto slot = directory_.Assign(player, 1, kRoomA);
  EXPECT_EQ(slot.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(slot.status().message().find("slot 1"), absl::string_view::npos);
  const auto feed = directory_.Assign(player, 0, kRoomB);
  EXPECT_NE(feed.status().message().find("room-b/patient"), absl::string_view::npos);
  EXPECT_TRUE(directory_.RemovePeer(PeerId(999)).empty());
  EXPECT_TRUE(directory_.OnConnected(PeerId(999)).empty());
}

// ---- Export and restore. ----

constexpr uint32_t kWorkers = 3;
constexpr Timestamp kExportedAt = Timestamp::FromNanos(5'000'000'000);

std::vector<uint8_t> BytesOf(const Directory& directory) {
  return WriteArchive(directory.Export(), kExportedAt);
}

// Worker, kind of command, in order.
std::vector<std::pair<uint32_t, size_t>> ShapeOf(const std::vector<Posting>& postings) {
  std::vector<std::pair<uint32_t, size_t>> shape;
  for (const Posting& posting : postings)
    shape.emplace_back(posting.worker, posting.command.index());
  return shape;
}

// One random call; the same for every directory when the generator is in the same state.
std::vector<Posting> RandomCall(Directory& directory, Rng& rng) {
  std::vector<PeerId> ids;
  for (const auto& [id, peer] : directory.peers()) ids.push_back(id);
  const FeedKey key{
      SiteId(1 + rng.Below(2)),
      {"room-" + std::to_string(rng.Below(3)), rng.Below(2) == 0 ? "patient" : "injector"}};
  const PeerId some = ids.empty() ? PeerId() : ids[rng.Below(static_cast<uint32_t>(ids.size()))];
  const uint32_t slot = rng.Below(2);
  switch (rng.Below(8)) {
    case 0:
    case 1: {
      PeerRecord peer{.id = directory.NextPeerId(),
                      .site = key.site,
                      .participant = key.name.participant,
                      .created_at = kExportedAt,
                      .worker = directory.ReserveWorker(),
                      .publishes = key.name,
                      .feed = directory.NextFeedId()};
      peer.resource = "p" + std::to_string(peer.id.value());
      return directory.AddPeer(peer, OnePicture(), 1);
    }
    case 2: {
      PeerRecord peer{.id = directory.NextPeerId(),
                      .site = key.site,
                      .participant = "dr-1",
                      .worker = directory.ReserveWorker(),
                      .slots = std::vector<SlotRecord>(2, {.kind = rtp::MediaKind::kVideo})};
      peer.resource = "p" + std::to_string(peer.id.value());
      return directory.AddPeer(peer, {}, 1);
    }
    case 3:
      return directory.RemovePeer(some);
    case 4:
      return directory.OnConnected(some);
    case 5:
      directory.Expect(some, slot, key);
      return {};
    case 6:
      directory.SetIce(some, "etag-" + std::to_string(rng.Below(9)), "ufrag");
      return {};
    default: {
      const auto assigned =
          directory.Assign(some, slot, rng.Below(4) == 0 ? std::nullopt : std::optional(key));
      const bool accepted = rng.Chance(0.7);
      if (!assigned.ok()) return {};
      std::vector<Posting> postings = assigned->postings;
      if (accepted) {
        directory.Accept(*assigned);
      } else {
        const std::vector<Posting> undone = directory.Refuse(*assigned);
        postings.insert(postings.end(), undone.begin(), undone.end());
      }
      return postings;
    }
  }
}

TEST(DirectoryStateTest, ARestoredDirectoryGoesOnAsTheOneThatWasExported) {
  size_t commands = 0;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Directory kept(kWorkers);
    auto moved = std::make_unique<Directory>(kWorkers);
    Rng rng(seed);
    for (int call = 0; call < 300; ++call) {
      Rng same = rng;
      const auto expected = ShapeOf(RandomCall(kept, rng));
      ASSERT_EQ(ShapeOf(RandomCall(*moved, same)), expected)
          << "seed " << seed << ", call " << call;
      commands += expected.size();
      if (call % 7 != 0) continue;
      ASSERT_EQ(BytesOf(*moved), BytesOf(kept)) << "seed " << seed << ", call " << call;
      const auto state = ReadArchive<Directory::State>(BytesOf(*moved), kExportedAt);
      ASSERT_TRUE(state);
      moved = std::make_unique<Directory>(kWorkers);
      ASSERT_TRUE(moved->Restore(*state));
    }
  }
  EXPECT_GT(commands, 400u);
}

TEST_F(DirectoryTest, AStateThatContradictsItselfIsRefused) {
  Publish(kRoomA, 0);
  Assign(Play(1), 0, kRoomA);
  const Directory::State good = directory_.Export();
  ASSERT_TRUE(Directory(2).Restore(good));
  EXPECT_FALSE(Directory(1).Restore(good)) << "fewer workers";

  const auto refused = [&](const auto& spoil) {
    Directory::State state = good;
    spoil(state);
    return !Directory(2).Restore(state);
  };
  EXPECT_TRUE(refused([](auto& state) { state.peers.push_back(state.peers.front()); }));
  EXPECT_TRUE(refused([](auto& state) { state.feeds.push_back(state.feeds.front()); }));
  EXPECT_TRUE(refused([](auto& state) { state.feeds.clear(); }))
      << "a slot carries what is not there";
  EXPECT_TRUE(refused([](auto& state) { state.holders.push_back(FeedId(99)); }));
  EXPECT_TRUE(refused([](auto& state) { state.holders.push_back(state.holders.front()); }));
  EXPECT_TRUE(refused([](auto& state) { state.feeds.front().worker = 2; }));
  EXPECT_TRUE(refused([](auto& state) { state.feeds.front().publisher = PeerId(99); }));
  EXPECT_TRUE(refused([](auto& state) { state.peers.front().feed = {}; }));
}

}  // namespace
}  // namespace vigil::worker
