#include <utility>

#include "gateway/base/archive.h"
#include "gateway/worker/worker.h"
#include "gtest/gtest.h"
#include "tests/unit/worker/worker_fixture.h"

namespace vigil::worker {
namespace {

using testing::At;
using testing::Bytes;
using testing::Client;
using testing::Site;
using RestoreMode = transport::SrtpSender::RestoreMode;

constexpr FeedId kFeed{7};

class WorkerRestoreTest : public ::testing::Test {
 protected:
  WorkerRestoreTest() {
    site_.Join(room_);
    site_.Join(doctor_);
    EXPECT_TRUE(site_.Apply(sfu::AssignSlot{doctor_.slot(), kFeed}).ok());
    site_.Receive(room_.address(), room_.Rtp(true), At(5));
    EXPECT_EQ(site_.Take(doctor_).rtp, 1u);
  }
  // Into a fresh worker, through bytes.
  absl::Status Restore(const WorkerState& state, RestoreMode mode, Timestamp now) {
    const auto read = ReadArchive<WorkerState>(WriteArchive(state, now), now);
    EXPECT_TRUE(read);
    site_.Replace({});
    return site_.worker().Restore(*read, mode, now, site_.out());
  }
  static WorkerState Limited(WorkerState state) {
    for (WorkerState::PeerRecord& record : state.peers) {
      for (auto& [ssrc, stream] : record.peer.srtp_sender.streams) {
        stream.rtp.limit = stream.rtp.next_index + 100;
        stream.rtcp.limit = stream.rtcp.next_index + 100;
      }
    }
    return state;
  }

  Site site_;
  Client room_{PeerId(1), kFeed};
  Client doctor_{PeerId(2), FeedId()};
};

TEST_F(WorkerRestoreTest, MediaGoesOnAfterAHandOver) {
  ASSERT_TRUE(Restore(site_.worker().Export(), RestoreMode::kExact, At(50)).ok());
  EXPECT_EQ(site_.out().binds.size(), 2u);
  EXPECT_TRUE(site_.out().events.empty());
  EXPECT_EQ(site_.worker().Report().subscriptions, 1u);
  site_.Receive(room_.address(), room_.Rtp(false), At(51));
  EXPECT_EQ(site_.Take(doctor_).rtp, 1u);
  EXPECT_EQ(doctor_.transport().refused(), 0u);
  site_.Check(room_, At(52));
  EXPECT_EQ(site_.worker().Report().counters.stun, 1u);
  EXPECT_TRUE(site_.Balances());
}

TEST_F(WorkerRestoreTest, AfterAFaultReceiversAreHeardAndPublishersAskedForKeyframes) {
  const WorkerState state = Limited(site_.worker().Export());
  ASSERT_TRUE(Restore(state, RestoreMode::kAfterFault, At(50)).ok());
  EXPECT_EQ(site_.Take(room_).rtcp, 1u);
  site_.Receive(room_.address(), room_.Rtp(true), At(51));
  EXPECT_EQ(site_.Take(doctor_).rtp, 1u);
  EXPECT_EQ(doctor_.transport().refused(), 0u);
}

TEST_F(WorkerRestoreTest, AFaultOfAnOwnerWithoutLimitsIsAnErrorNotAnEnd) {
  const absl::Status status = Restore(site_.worker().Export(), RestoreMode::kAfterFault, At(50));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(std::string(status.message()).find("peer 1"), std::string::npos) << status;
}

TEST_F(WorkerRestoreTest, PeersInTheirHandshakeAreLeftOutWithAllThatIsTheirs) {
  Client late(PeerId(3), FeedId(9));
  late.create().transport.srtp_local_key.clear();
  late.create().transport.fingerprint_algorithm = "sha-256";
  late.create().transport.fingerprint = Bytes(32, 1);
  Client viewer(PeerId(4), FeedId());
  viewer.create().transport = late.create().transport;
  viewer.create().transport.local_ufrag = "viewerfrag";
  ASSERT_TRUE(site_.Apply(late.create()).ok());
  ASSERT_TRUE(site_.Apply(viewer.create()).ok());
  ASSERT_TRUE(site_.Apply(sfu::AssignSlot{viewer.slot(), kFeed}).ok());
  ASSERT_TRUE(site_.Apply(sfu::AssignSlot{doctor_.slot(), FeedId(9)}).ok());
  const WorkerState state = site_.worker().Export();
  EXPECT_EQ(state.peers.size(), 2u);
  EXPECT_EQ(state.router.slots.size(), 1u);
  EXPECT_EQ(state.router.feeds.size(), 1u);
  ASSERT_TRUE(Restore(state, RestoreMode::kExact, At(50)).ok());
  EXPECT_EQ(site_.worker().peer_count(), 2u);
  EXPECT_EQ(site_.worker().Report().subscriptions, 0u);
  ASSERT_TRUE(site_.Apply(sfu::AssignSlot{doctor_.slot(), kFeed}, At(51)).ok());
  site_.Receive(room_.address(), room_.Rtp(true), At(52));
  EXPECT_EQ(site_.Take(doctor_).rtp, 1u);
}

// The owner stops at its limit, for longer than a receiver can guess indexes over. What was not
// sent in that time has used no sequence number, so that the slot flows as soon as it may.
TEST_F(WorkerRestoreTest, AnOwnerThatWaitedAtItsLimitGoesOnWhereItStopped) {
  ASSERT_TRUE(Restore(Limited(site_.worker().Export()), RestoreMode::kExact, At(50)).ok());
  size_t sent = 0;
  for (int i = 0; i < 33'500; ++i) {
    site_.Receive(room_.address(), room_.Rtp(true), At(51 + i / 100));
    sent += site_.Take(doctor_).rtp;
    site_.out().events.clear();
  }
  EXPECT_EQ(sent, 100u);
  const WorkerCounters counters = site_.worker().Report().counters;
  EXPECT_EQ(counters.egress_drops.Get(DropReason::kSrtpIndexReserve), 33'400u);
  const WorkerState stopped = site_.worker().Export();
  const auto next_index = [](const WorkerState& state) {
    return state.peers.at(1).peer.srtp_sender.streams.at(1000).rtp.next_index;
  };
  const auto next_sequence = [](const WorkerState& state) {
    return static_cast<uint64_t>(state.router.slots.at(0).forwarder.next_sequence());
  };
  EXPECT_EQ(next_sequence(stopped), next_index(stopped));
  for (const RestoreMode mode : {RestoreMode::kExact, RestoreMode::kAfterFault}) {
    ASSERT_TRUE(Restore(Limited(stopped), mode, At(400)).ok());
    site_.out().outbox.Clear();
    site_.Receive(room_.address(), room_.Rtp(true), At(401));
    EXPECT_EQ(site_.Take(doctor_).rtp, 1u);
    const WorkerState now = site_.worker().Export();
    EXPECT_EQ(next_sequence(now), next_index(now));
  }
  EXPECT_EQ(doctor_.transport().refused(), 0u);
}

// Whose an address is, and since when it has been quiet there, is state.
TEST_F(WorkerRestoreTest, AddressesStayWithTheirOwners) {
  Client next(PeerId(3), FeedId(9));
  next.transport().MoveTo(room_.address(), At(0));
  site_.Join(next, At(4'000));  // The room has been silent.
  site_.Receive(next.address(), next.Rtp(true), At(6'000));
  ASSERT_TRUE(Restore(site_.worker().Export(), RestoreMode::kExact, At(6'050)).ok());
  site_.Receive(next.address(), next.Rtp(false), At(6'060));
  EXPECT_EQ(site_.worker().Report().peers.at(2).received.at(0).counters.packets, 2u);
  site_.Receive(doctor_.address(), next.transport().MakeCheck(true), At(6'070));
  EXPECT_EQ(site_.Dropped(DropReason::kAddressInUse), 0u);  // The doctor was last heard at 0.
  site_.Check(room_, At(8'000));
  EXPECT_EQ(site_.Dropped(DropReason::kAddressInUse), 1u);
}

TEST_F(WorkerRestoreTest, StateThatContradictsItselfIsRefused) {
  const WorkerState good = site_.worker().Export();
  const auto refused = [&](auto change) {
    WorkerState state = good;
    change(state);
    return Restore(state, RestoreMode::kExact, At(50)).code() ==
           absl::StatusCode::kFailedPrecondition;
  };
  EXPECT_FALSE(refused([](auto&) {}));
  EXPECT_TRUE(refused([](auto& s) { s.peers.push_back(s.peers[0]); }));
  EXPECT_TRUE(refused([](auto& s) { s.peers.pop_back(); }));
  EXPECT_TRUE(refused([](auto& s) { s.router.feeds.clear(); }));
  EXPECT_TRUE(refused([](auto& s) { s.router.slots[0].key.index = 1; }));
  EXPECT_TRUE(refused([](auto& s) { s.router.slots[0].layer = 9; }));
  EXPECT_TRUE(refused([](auto& s) { s.router.feeds[0].relays = {1}; }));
  EXPECT_TRUE(refused([](auto& s) { s.remote_feeds.push_back({kFeed, 1}); }));
  EXPECT_TRUE(refused([](auto& s) { s.peers[0].publishes = FeedId(); }));
  EXPECT_TRUE(refused([](auto& s) { s.peers[0].addresses.push_back(s.peers[1].addresses[0]); }));
  EXPECT_TRUE(refused([](auto& s) { s.peers[0].addresses.push_back(s.peers[0].addresses[0]); }));
  EXPECT_TRUE(refused([](auto& s) { s.peers[1].peer.sender.streams.clear(); }));
  // Tracks of no feed, a feed of no tracks, a feed of two peers.
  EXPECT_TRUE(refused([](auto& s) {
    s.peers[0].publishes = FeedId();
    s.router.feeds.clear();
  }));
  EXPECT_TRUE(refused([](auto& s) {
    s.router.feeds.push_back(s.router.feeds[0]);
    s.router.feeds[1].parameters.feed = s.peers[1].publishes = FeedId(8);
  }));
  EXPECT_TRUE(refused([](auto& s) {
    s.peers[1].publishes = kFeed;
    s.peers[1].peer.media.receive = s.peers[0].peer.media.receive;
    s.peers[1].peer.receiver = s.peers[0].peer.receiver;
  }));
  EXPECT_TRUE(refused([](auto& s) { s.peers[0].peer.receiver.tracks.clear(); }));
}

}  // namespace
}  // namespace vigil::worker
