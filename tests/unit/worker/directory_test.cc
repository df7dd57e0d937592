#include "gateway/worker/directory.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

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
  Assign(player, 0, kRoomA);
  const auto refused = Assign(player, 0, kRoomB);
  const auto reverted = directory_.Revert(player, 0, kRoomB, refused.before);
  EXPECT_EQ(directory_.FindPeer(player)->slots[0].wanted, kRoomA);
  EXPECT_EQ(directory_.FindPeer(player)->slots[0].carries, Holder(kRoomA));
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
  Assign(player, 0, kRoomA);
  EXPECT_TRUE(directory_.Revert(player, 0, kRoomB, refused.before).empty());
  EXPECT_EQ(directory_.FindPeer(player)->slots[0].wanted, kRoomA);
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

}  // namespace
}  // namespace vigil::worker
