#include "gateway/worker/worker.h"

#include <string>

#include "gateway/rtp/rtcp.h"
#include "gtest/gtest.h"
#include "tests/unit/worker/worker_fixture.h"

namespace vigil::worker {
namespace {

using testing::At;
using testing::Bytes;
using testing::Client;
using testing::Site;

constexpr FeedId kFeed{7};

TEST(Worker, APacketGoesFromItsPublisherToItsSubscriber) {
  Site site;
  Client room(PeerId(1), kFeed);
  Client doctor(PeerId(2), FeedId());
  site.Join(room);
  site.Join(doctor);
  EXPECT_EQ(site.Events<sfu::PeerConnected>().size(), 2u);
  ASSERT_TRUE(site.Apply(sfu::AssignSlot{doctor.slot(), kFeed}).ok());
  site.Receive(room.address(), room.Rtp(true), At(5));
  EXPECT_EQ(site.Take(doctor).rtp, 1u);
  const auto switched = site.Events<sfu::SlotSwitched>();
  ASSERT_EQ(switched.size(), 1u);
  EXPECT_EQ(switched[0].feed, kFeed);
  EXPECT_TRUE(site.Balances());
  const WorkerReport report = site.worker().Report();
  EXPECT_EQ(report.counters.sent, 1u);
  EXPECT_EQ(report.copies, 1u);
  EXPECT_EQ(report.peers.size(), 2u);
  EXPECT_EQ(report.peers[1].sent.at(0).feed, kFeed);
  // No receiver report came, and who sends nothing measures nothing: no guess is told.
  EXPECT_FALSE(report.peers[1].sent.at(0).round_trip.has_value());
  EXPECT_FALSE(report.peers[1].publisher_round_trip.has_value());
}

TEST(Worker, UnknownSourcesAreDroppedAndCounted) {
  Site site;
  Client room(PeerId(1), kFeed);
  ASSERT_TRUE(site.Apply(room.create()).ok());
  // Before the first check nothing but a check is heard.
  site.Receive(room.address(), room.Rtp(true));
  EXPECT_EQ(site.Dropped(DropReason::kUnknownSource), 1u);
  site.Check(room);
  site.Receive(room.address(), room.Rtp(true));
  EXPECT_EQ(site.worker().Report().counters.track_packets, 1u);
  ClientAddress elsewhere = room.address();
  ++elsewhere.port;
  site.Receive(elsewhere, room.Rtp(false));
  EXPECT_EQ(site.Dropped(DropReason::kUnknownSource), 2u);
  Client stranger(PeerId(8), kFeed);
  site.Check(stranger);
  EXPECT_EQ(site.Dropped(DropReason::kUnknownUfrag), 1u);
  site.Receive(room.address(), {});
  site.Receive(room.address(), {0xff, 1, 2});
  EXPECT_TRUE(site.Balances());
  EXPECT_EQ(site.worker().pool().in_use(), site.out().outbox.size());
}

// A command, and what its refusal says.
struct Refusal {
  sfu::Command command;
  absl::StatusCode code;
  std::vector<std::string> names;
};

void ExpectRefusals(Site& site, const std::vector<Refusal>& refusals) {
  for (const Refusal& refusal : refusals) {
    const absl::Status status = site.Apply(refusal.command);
    EXPECT_EQ(status.code(), refusal.code) << status;
    for (const std::string& name : refusal.names) {
      EXPECT_NE(std::string(status.message()).find(name), std::string::npos) << status;
    }
  }
}

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kNotFound = absl::StatusCode::kNotFound;
constexpr auto kExists = absl::StatusCode::kAlreadyExists;

TEST(Worker, APeerThatCannotBeIsRefusedByItsId) {
  Site site;
  Client room(PeerId(11), FeedId(77));
  ASSERT_TRUE(site.Apply(room.create()).ok());
  const auto create = [](auto change) {
    Client client(PeerId(12), FeedId(78));
    change(client.create());
    return sfu::Command(client.create());
  };
  const std::string taken = room.create().transport.local_ufrag;
  ExpectRefusals(
      site,
      {{room.create(), kExists, {"peer 11"}},
       {create([&](auto& c) { c.transport.local_ufrag = taken; }), kExists, {"peer 12", "ufrag"}},
       {create([](auto& c) { c.publishes = FeedId(77); }), kExists, {"feed 77"}},
       {create([](auto& c) { c.publishes = FeedId(); }), kInvalid, {"peer 12", "feed"}},
       {create([](auto& c) { c.media.receive.push_back(c.media.receive[0]); }),
        kInvalid,
        {"peer 12", "kind"}},
       {create([](auto& c) { c.media.receive[0].payloads.clear(); }),
        kInvalid,
        {"peer 12", "codec"}},
       {create([](auto& c) {
          c.media.receive[0].rids = {"a", "b", "c", "d", "e"};
        }),
        kInvalid,
        {"peer 12", "layers"}},
       {create([](auto& c) { c.media.cname = std::string(256, 'x'); }),
        kInvalid,
        {"peer 12", "cname"}},
       {create([](auto& c) { c.transport.srtp_local_key.pop_back(); }),
        kInvalid,
        {"peer 12", "srtp"}},
       {create([](auto& c) { c.transport.srtp_profile = 9; }), kInvalid, {"peer 12", "srtp"}},
       {create([](auto& c) { c.transport.srtp_local_key.clear(); }), kInvalid, {"peer 12"}},
       {create([](auto& c) {
          const rtp::SendTrack track{.payloads = c.media.receive[0].payloads, .ssrc = 5};
          c.media.send = {track, track};
        }),
        kInvalid,
        {"peer 12", "ssrc"}}});
  EXPECT_EQ(site.worker().peer_count(), 1u);
}

TEST(Worker, RefusedCommandsNameTheirIds) {
  RelayMesh mesh(2);
  Site site({}, &mesh);
  Client room(PeerId(11), FeedId(77));
  ASSERT_TRUE(site.Apply(room.create()).ok());
  const FeedId other(5);
  ExpectRefusals(
      site,
      {{sfu::ClosePeer{PeerId(99)}, kNotFound, {"peer 99"}},
       {sfu::RestartIce{.peer = PeerId(99)}, kNotFound, {"peer 99"}},
       {sfu::AssignSlot{{PeerId(99), 2}, kFeed}, kNotFound, {"peer 99", "slot 2"}},
       {sfu::SelectLayer{{PeerId(99), 2}}, kNotFound, {"peer 99", "slot 2"}},
       {sfu::RequestKeyframe{other}, kNotFound, {"feed 5"}},
       {sfu::AttachRemoteFeed{.feed = other, .origin_worker = 0}, kInvalid, {"feed 5", "worker 0"}},
       {sfu::AttachRemoteFeed{.feed = other, .origin_worker = 2}, kInvalid, {"feed 5", "worker 2"}},
       {sfu::DetachRemoteFeed{other}, kNotFound, {"feed 5"}},
       {sfu::DetachRemoteFeed{FeedId(77)}, kNotFound, {"feed 77"}},
       {sfu::AddRelay{FeedId(77), 2}, kInvalid, {"feed 77", "worker 2"}},
       {sfu::AddRelay{other, 1}, kNotFound, {"feed 5"}},
       {sfu::RemoveRelay{other, 1}, kNotFound, {"feed 5"}}});
}

TEST(Worker, ThePeersOfAWorkerAreBounded) {
  Site site({.max_peers = 1});
  Client first(PeerId(1), FeedId());
  Client second(PeerId(2), FeedId());
  ASSERT_TRUE(site.Apply(first.create()).ok());
  EXPECT_EQ(site.Apply(second.create()).code(), absl::StatusCode::kResourceExhausted);
  ASSERT_TRUE(site.Apply(sfu::ClosePeer{PeerId(1)}).ok());
  EXPECT_TRUE(site.Apply(second.create()).ok());
}

TEST(Worker, AClosedPeerLeavesNothingBehind) {
  Site site;
  Client room(PeerId(1), kFeed);
  Client doctor(PeerId(2), FeedId());
  site.Join(room);
  site.Join(doctor);
  ASSERT_TRUE(site.Apply(sfu::AssignSlot{doctor.slot(), kFeed}).ok());
  site.Receive(room.address(), room.Rtp(true));
  site.Take(doctor);
  site.out().binds.clear();

  ASSERT_TRUE(site.Apply(sfu::ClosePeer{room.peer()}).ok());
  EXPECT_EQ(site.Events<sfu::FeedClosed>().size(), 1u);
  EXPECT_EQ(site.Events<sfu::PeerClosed>().at(0).reason, sfu::CloseReason::kRequested);
  ASSERT_EQ(site.out().binds.size(), 1u);
  EXPECT_FALSE(site.out().binds[0].bind);
  EXPECT_EQ(site.out().binds[0].client, room.address());
  EXPECT_EQ(site.out().binds[0].group, GroupId(1));
  // Neither its address, nor its ufrag, nor its feed is known; its timers are passed over.
  site.Receive(room.address(), room.Rtp(false));
  EXPECT_EQ(site.Dropped(DropReason::kUnknownSource), 1u);
  site.Check(room);
  EXPECT_EQ(site.Dropped(DropReason::kUnknownUfrag), 1u);
  EXPECT_EQ(site.Apply(sfu::RequestKeyframe{kFeed}).code(), absl::StatusCode::kNotFound);
  site.worker().HandleTimers(At(20'000), site.out());
  EXPECT_EQ(site.Events<sfu::PeerClosed>().size(), 2u);  // The doctor's consent expired.
  EXPECT_EQ(site.worker().peer_count(), 0u);
  site.out().outbox.Clear();
  EXPECT_EQ(site.worker().pool().in_use(), 0u);
  EXPECT_TRUE(site.Balances());
  // The same room comes again.
  site.Join(room, At(20'001));
  EXPECT_EQ(site.worker().peer_count(), 1u);
}

TEST(Worker, ASlotFollowsItsFeedOnlyWhileBothAreThere) {
  Site site;
  Client room(PeerId(1), kFeed);
  Client doctor(PeerId(2), FeedId());
  site.Join(room);
  site.Join(doctor);
  ASSERT_TRUE(site.Apply(sfu::AssignSlot{doctor.slot(), kFeed}).ok());
  ASSERT_TRUE(site.Apply(sfu::ClosePeer{doctor.peer()}).ok());
  site.Receive(room.address(), room.Rtp(true));
  EXPECT_EQ(site.worker().Report().router_drops.Get(DropReason::kNoSubscriber), 1u);
  EXPECT_EQ(site.worker().Report().subscriptions, 0u);
}

TEST(Worker, ANewAddressIsTakenAlongByACheck) {
  Site site;
  Client room(PeerId(1), kFeed);
  site.Join(room);
  ClientAddress next = room.address();
  next.port ^= 1;
  room.transport().MoveTo(next, At(10));
  site.Receive(next, room.Rtp(true), At(10));
  EXPECT_EQ(site.Dropped(DropReason::kUnknownSource), 1u);
  site.Check(room, At(11));
  site.Receive(next, room.Rtp(false), At(12));
  EXPECT_EQ(site.worker().Report().counters.track_packets, 1u);
  EXPECT_EQ(site.worker().Report().peers[0].selected, next);
}

uint64_t PacketsOf(Site& site, size_t peer) {
  const auto received = site.worker().Report().peers[peer].received;
  return received.empty() ? 0 : received[0].counters.packets;
}

// Who was let in cannot take another's address away with a check that seems to come from there.
TEST(Worker, AForgedCheckOfAnotherPeerDoesNotMoveALiveAddress) {
  Site site;
  Client room(PeerId(1), kFeed);
  Client enemy(PeerId(2), FeedId());
  site.Join(room);
  site.Join(enemy);
  site.Receive(room.address(), room.Rtp(true), At(2'000));
  site.Take(enemy);
  site.out().binds.clear();
  for (int64_t ms = 2'001; ms < 4'999; ms += 500) {
    site.Receive(room.address(), enemy.transport().MakeCheck(true), At(ms));
  }
  EXPECT_EQ(site.Dropped(DropReason::kAddressInUse), 6u);
  EXPECT_TRUE(site.out().outbox.empty());
  EXPECT_TRUE(site.out().binds.empty());
  EXPECT_EQ(site.worker().Report().peers[1].selected, enemy.address());
  site.Receive(room.address(), room.Rtp(false), At(4'999));
  EXPECT_EQ(PacketsOf(site, 0), 2u);
  // Its own checks keep it as well as its media does.
  site.Check(room, At(7'500));
  site.Receive(room.address(), enemy.transport().MakeCheck(true), At(10'000));
  EXPECT_EQ(site.Dropped(DropReason::kAddressInUse), 7u);
  // The thief's end takes nothing along.
  ASSERT_TRUE(site.Apply(sfu::ClosePeer{enemy.peer()}, At(10'100)).ok());
  site.Receive(room.address(), room.Rtp(false), At(10'200));
  EXPECT_EQ(PacketsOf(site, 0), 3u);
  EXPECT_TRUE(site.Balances());
}

TEST(Worker, AnAddressWhoseOwnerFellSilentGoesToWhoeverChecksFromIt) {
  Site site;
  Client room(PeerId(1), kFeed);
  Client other(PeerId(2), FeedId(8));
  site.Join(room);
  other.transport().MoveTo(room.address(), At(0));
  site.Join(other, At(2'999));
  EXPECT_EQ(site.Dropped(DropReason::kAddressInUse), 1u);
  site.Check(other, At(3'000));
  site.Receive(room.address(), other.Rtp(true), At(3'001));
  EXPECT_EQ(PacketsOf(site, 1), 1u);
  // The end of the one before leaves it where it is, and the end of its owner hands it to nobody.
  site.out().binds.clear();
  ASSERT_TRUE(site.Apply(sfu::ClosePeer{room.peer()}, At(3'002)).ok());
  EXPECT_TRUE(site.out().binds.empty());
  site.Receive(room.address(), other.Rtp(false), At(3'003));
  EXPECT_EQ(PacketsOf(site, 0), 2u);
  ASSERT_TRUE(site.Apply(sfu::ClosePeer{other.peer()}, At(3'004)).ok());
  ASSERT_EQ(site.out().binds.size(), 1u);
  EXPECT_FALSE(site.out().binds[0].bind);
}

TEST(Worker, ACloseFreesTheAddressAtOnce) {
  Site site;
  Client room(PeerId(1), kFeed);
  Client again(PeerId(2), kFeed);
  site.Join(room);
  site.Receive(room.address(), room.Rtp(true), At(100));
  again.transport().MoveTo(room.address(), At(100));
  ASSERT_TRUE(site.Apply(sfu::ClosePeer{room.peer()}, At(101)).ok());
  site.Join(again, At(102));
  site.Receive(room.address(), again.Rtp(true), At(103));
  EXPECT_EQ(PacketsOf(site, 0), 1u);
  EXPECT_EQ(site.Dropped(DropReason::kAddressInUse), 0u);
}

// What an on-looker can do with a check is: send it again, or send one that never arrived.
TEST(Worker, AReplayedCheckFromElsewhereMovesNoMedia) {
  Site site;
  Client room(PeerId(1), kFeed);
  Client doctor(PeerId(2), FeedId());
  const ClientAddress victim = ClientAddress::V4(203, 0, 113, 66, 53);
  site.Join(room);
  site.Join(doctor);
  ASSERT_TRUE(site.Apply(sfu::AssignSlot{doctor.slot(), kFeed}).ok());
  site.Receive(room.address(), room.Rtp(true), At(5));
  const Bytes check = doctor.transport().MakeCheck(true);
  site.Receive(doctor.address(), check, At(6));
  site.out().outbox.Clear();
  site.out().binds.clear();

  site.Receive(victim, check, At(300));
  EXPECT_TRUE(site.out().outbox.empty());
  EXPECT_TRUE(site.out().binds.empty());
  EXPECT_EQ(site.Dropped(DropReason::kStunReplay), 1u);
  const Bytes held_back = doctor.transport().MakeCheck(true);
  site.Receive(victim, held_back, At(301));
  site.out().outbox.Clear();
  site.Receive(room.address(), room.Rtp(false), At(302));
  EXPECT_EQ(site.Take(doctor).rtp, 1u);

  // The client itself is followed with its first packet.
  doctor.transport().MoveTo(ClientAddress::V4(192, 0, 2, 99, 7000), At(400));
  site.Check(doctor, At(400));
  site.out().outbox.Clear();
  const Bytes report = doctor.Rtcp([](ByteWriter& out) { rtp::WriteReceiverReport(5, {}, out); });
  site.Receive(victim, report, At(401));
  site.Receive(victim, report, At(402));
  site.Receive(doctor.address(),
               doctor.Rtcp([](ByteWriter& out) { rtp::WriteReceiverReport(5, {}, out); }), At(403));
  site.out().outbox.Clear();
  site.Receive(room.address(), room.Rtp(false), At(404));
  EXPECT_EQ(site.Take(doctor).rtp, 1u);
}

TEST(Worker, DuringAnIceRestartBothUfragsFindThePeer) {
  Site site;
  Client room(PeerId(1), kFeed);
  site.Join(room);
  const auto old = room.transport().identity().gateway;
  const ice::Credentials fresh{"freshfrag", "a-password-of-good-length"};
  const auto client = room.transport().identity().client;
  ASSERT_TRUE(site.Apply(sfu::RestartIce{.peer = room.peer(),
                                         .local_ufrag = fresh.ufrag,
                                         .local_password = fresh.password,
                                         .remote_ufrag = client.ufrag,
                                         .remote_password = client.password})
                  .ok());
  site.Check(room, At(1));
  EXPECT_EQ(site.worker().Report().counters.stun, 2u);
  room.transport().Restart(fresh, client, At(2));
  site.Check(room, At(2));
  EXPECT_EQ(site.worker().Report().counters.stun, 3u);
  // The name is taken while its peer lives, and free after.
  Client second(PeerId(2), FeedId(8));
  second.create().transport.local_ufrag = fresh.ufrag;
  EXPECT_EQ(site.Apply(second.create()).code(), absl::StatusCode::kAlreadyExists);
  ASSERT_TRUE(site.Apply(sfu::ClosePeer{room.peer()}).ok());
  EXPECT_TRUE(site.Apply(second.create()).ok());
  room.transport().Restart(old, client, At(3));
  site.Check(room, At(3));
  EXPECT_EQ(site.Dropped(DropReason::kUnknownUfrag), 1u);
}

TEST(Worker, AKeyframeWishReachesThePublisherAtOnce) {
  Site site;
  Client room(PeerId(1), kFeed);
  Client doctor(PeerId(2), FeedId());
  site.Join(room);
  site.Join(doctor);
  site.Receive(room.address(), room.Rtp(false));
  site.Take(room);
  ASSERT_TRUE(site.Apply(sfu::AssignSlot{doctor.slot(), kFeed}, At(400)).ok());
  EXPECT_EQ(site.Take(room).rtcp, 1u);
  site.Receive(room.address(), room.Rtp(true), At(410));
  site.Take(doctor);
  site.Receive(doctor.address(), doctor.Rtcp([](ByteWriter& out) { rtp::WritePli(5, 1000, out); }),
               At(900));
  EXPECT_EQ(site.Take(room).rtcp, 1u);
  ASSERT_TRUE(site.Apply(sfu::RequestKeyframe{kFeed}, At(1300)).ok());
  EXPECT_EQ(site.Take(room).rtcp, 1u);
}

// Timers that make no progress must not keep the worker in its turn.
TEST(Worker, AnExhaustedPoolDoesNotHoldTheTurn) {
  Site site({.packets = 16});
  Client room(PeerId(1), kFeed);
  site.Join(room);
  site.Receive(room.address(), room.Rtp(true));
  room.Rtp(false);  // Lost.
  site.Receive(room.address(), room.Rtp(false));
  std::vector<PacketRef> taken;
  while (PacketRef packet = site.worker().pool().Take()) taken.push_back(std::move(packet));
  site.out().outbox.Clear();
  while (PacketRef packet = site.worker().pool().Take()) taken.push_back(std::move(packet));
  site.worker().HandleTimers(At(5), site.out());
  EXPECT_TRUE(site.out().outbox.empty());
  EXPECT_GT(site.worker().NextDeadline(), At(5));
  taken.clear();
  site.worker().HandleTimers(site.worker().NextDeadline(), site.out());
  EXPECT_EQ(site.Take(room).rtcp, 1u);
}

// More than a second of all publishers does not fit: retransmission is given up, nothing else.
TEST(Worker, APoolThatRunsFullShortensHistoryAndDropsNothing) {
  Site site({.packets = 256});
  std::vector<std::unique_ptr<Client>> rooms;
  std::vector<std::unique_ptr<Client>> doctors;
  for (uint64_t i = 0; i < 6; ++i) {
    rooms.push_back(std::make_unique<Client>(PeerId(100 + i), FeedId(100 + i)));
    doctors.push_back(std::make_unique<Client>(PeerId(200 + i), FeedId()));
    site.Join(*rooms.back());
    site.Join(*doctors.back());
    site.out().outbox.Clear();
    ASSERT_TRUE(site.Apply(sfu::AssignSlot{doctors.back()->slot(), FeedId(100 + i)}).ok());
  }
  for (int p = 0; p < 100; ++p) {
    for (const auto& room : rooms) {
      site.Receive(room->address(), room->Rtp(p == 0), At(10 + 5 * p));
      site.out().outbox.Clear();
    }
  }
  const WorkerReport report = site.worker().Report();
  EXPECT_EQ(report.counters.sent, 600u);
  EXPECT_GT(report.pool_in_use, 100u);
  EXPECT_LE(report.pool_in_use, 200u);
}

TEST(Worker, AFloodOfPictureLeavesChecksAndReportsAlive) {
  Site site({.packets = 64});
  Client room(PeerId(1), kFeed);
  Client doctor(PeerId(2), FeedId());
  site.Join(room);
  site.Join(doctor);
  ASSERT_TRUE(site.Apply(sfu::AssignSlot{doctor.slot(), kFeed}).ok());
  site.out().outbox.Clear();
  std::vector<PacketRef> flood;
  while (PacketRef packet = site.worker().pool().Take(PacketUse::kPicture)) {
    flood.push_back(std::move(packet));
  }
  site.Receive(room.address(), room.Rtp(true), At(5));
  EXPECT_EQ(site.Take(doctor).rtp, 0u);
  EXPECT_EQ(site.worker().Report().counters.egress_drops.Get(DropReason::kPoolReserve), 1u);
  site.Check(doctor, At(6));
  EXPECT_EQ(site.out().outbox.size(), 1u);
  site.out().outbox.Clear();
  site.worker().HandleTimers(At(2'000), site.out());
  EXPECT_GE(site.Take(room).rtcp, 1u);
  flood.clear();
  site.Receive(room.address(), room.Rtp(true), At(2'005));
  EXPECT_EQ(site.Take(doctor).rtp, 1u);
}

TEST(Worker, WhatPeersCouldNotSendStaysCountedWhenTheyAreGone) {
  Site site({.packets = 8});
  Client room(PeerId(1), kFeed);
  site.Join(room);
  std::vector<PacketRef> taken;
  while (PacketRef packet = site.worker().pool().Take()) taken.push_back(std::move(packet));
  ASSERT_TRUE(site.Apply(sfu::RequestKeyframe{kFeed}, At(400)).ok());
  const uint64_t dropped = site.worker().Report().send_drops.Get(DropReason::kPoolExhausted);
  EXPECT_GT(dropped, 0u);
  ASSERT_TRUE(site.Apply(sfu::ClosePeer{room.peer()}, At(401)).ok());
  EXPECT_EQ(site.worker().Report().send_drops.Get(DropReason::kPoolExhausted), dropped);
}

TEST(Worker, ADatagramThatEndsItsPeerIsCounted) {
  Site site;
  Client room(PeerId(1), kFeed);
  room.create().transport.srtp_local_key.clear();
  room.create().transport.fingerprint_algorithm = "sha-256";
  room.create().transport.fingerprint = Bytes(32, 1);
  site.Join(room);
  for (uint8_t i = 0; i < 40; ++i) {
    Bytes record = {22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, i, 0, 4, 1, 2, 3, 4};
    site.Receive(room.address(), record, At(i));
  }
  site.Receive(room.address(), room.Rtp(true), At(50));
  EXPECT_TRUE(site.Balances());
  site.worker().HandleTimers(At(31'000), site.out());
  EXPECT_EQ(site.worker().peer_count(), 0u);
}

// Sequence numbers of a publisher become SRTP indexes of all its viewers. Whatever its steps, a
// viewer that loses some packets must not lose its rollover counter.
TEST(Worker, APublisherThatLeapsCannotEndASlotForGood) {
  for (const uint16_t step : {900, 1'025, 30'000}) {
    Site site;
    Client room(PeerId(1), kFeed);
    Client doctor(PeerId(2), FeedId());
    Client other(PeerId(3), FeedId(8));
    site.Join(room);
    site.Join(doctor);
    site.Join(other);
    ASSERT_TRUE(site.Apply(sfu::AssignSlot{doctor.slot(), kFeed}).ok());
    site.Receive(room.address(), room.Rtp(true), At(5));
    EXPECT_EQ(site.Take(doctor).rtp, 1u);
    for (int i = 0; i < 150; ++i) {
      room.Leap(step);
      site.Receive(room.address(), room.Rtp(true), At(6 + i));
      if (i < 100) {
        EXPECT_EQ(site.Take(doctor).rtp, 1u) << i;
      } else {
        site.out().outbox.Clear();  // Lost on the way.
      }
    }
    ASSERT_TRUE(site.Apply(sfu::AssignSlot{doctor.slot(), FeedId(8)}, At(400)).ok());
    site.out().outbox.Clear();
    for (int i = 0; i < 100; ++i) {
      site.Receive(other.address(), other.Rtp(i == 0), At(500 + i));
      EXPECT_EQ(site.Take(doctor).rtp, 1u) << "steps of " << step;
    }
  }
}

// ---- Between workers ----

class TwoWorkersTest : public ::testing::Test {
 protected:
  TwoWorkersTest() {
    here_.Join(room_);
    there_.Join(doctor_);
    EXPECT_TRUE(here_.Apply(sfu::AddRelay{kFeed, 1}).ok());
    EXPECT_TRUE(there_.Apply(Attach()).ok());
    EXPECT_TRUE(there_.Apply(sfu::AssignSlot{doctor_.slot(), kFeed}).ok());
  }
  static sfu::AttachRemoteFeed Attach() {
    return {.feed = kFeed,
            .origin_worker = 0,
            .audio_codecs = {},
            .video_codecs = {{rtp::CodecType::kH264, 0x42e0, 1}}};
  }
  void Publish(bool key, Timestamp now) {
    here_.Receive(room_.address(), room_.Rtp(key), now);
    while (there_.worker().HandleRelays(16, now, there_.out())) {
    }
    while (here_.worker().HandleRelays(16, now, here_.out())) {
    }
  }

  RelayMesh mesh_{2};
  Site here_{{.index = 0}, &mesh_};
  Site there_{{.index = 1}, &mesh_};
  Client room_{PeerId(1), kFeed};
  Client doctor_{PeerId(2), FeedId()};
};

TEST_F(TwoWorkersTest, ManySenderReportsInOneDatagramAreOneNote) {
  here_.Receive(room_.address(), room_.Rtp(true), At(1));
  there_.worker().HandleRelays(100, At(1), there_.out());
  RelayLink& link = mesh_.Link(0, 1);
  while (link.notes.Front() != nullptr) link.notes.Release();
  const auto many = [](ByteWriter& out) {
    for (uint64_t i = 1; i <= 30; ++i) {
      rtp::WriteSenderReport({.ssrc = 50, .ntp = rtp::NtpTime(i << 32), .rtp_timestamp = 3000}, {},
                             out);
    }
  };
  here_.Receive(room_.address(), room_.Rtcp(many), At(2));
  size_t notes = 0;
  for (; link.notes.Front() != nullptr; ++notes) link.notes.Release();
  EXPECT_EQ(notes, 1u);
}

TEST_F(TwoWorkersTest, PacketsWishesAndClocksGoAcross) {
  Publish(false, At(0));
  here_.Take(room_);
  Publish(true, At(10));
  EXPECT_EQ(there_.Take(doctor_).rtp, 1u);
  EXPECT_EQ(here_.out().relayed_to, 0b10u);
  here_.Receive(room_.address(), room_.Rtcp([](ByteWriter& out) {
    rtp::WriteSenderReport({.ssrc = 50, .ntp = rtp::NtpTime(uint64_t{1} << 32)}, {}, out);
  }),
                At(20));
  Publish(false, At(21));
  there_.Take(doctor_);
  there_.worker().HandleTimers(At(260), there_.out());
  EXPECT_EQ(there_.Take(doctor_).rtcp, 1u);  // A sender report, so the clock has come.
  there_.Receive(doctor_.address(),
                 doctor_.Rtcp([](ByteWriter& out) { rtp::WritePli(5, 1000, out); }), At(500));
  here_.Take(room_);
  Publish(false, At(501));
  EXPECT_EQ(here_.Take(room_).rtcp, 1u);
}

TEST_F(TwoWorkersTest, AFeedThatCameFromElsewhereIsNotPassedOn) {
  EXPECT_EQ(there_.Apply(sfu::AddRelay{kFeed, 0}).code(), absl::StatusCode::kNotFound);
}

TEST_F(TwoWorkersTest, AFullRingDropsAndCounts) {
  for (size_t i = 0; i < RelayLink::kPackets + 10; ++i) {
    here_.Receive(room_.address(), room_.Rtp(i == 0), At(0));
  }
  EXPECT_EQ(here_.worker().Report().counters.relayed_out, RelayLink::kPackets);
  while (there_.worker().HandleRelays(100, At(1), there_.out())) {
  }
  EXPECT_EQ(there_.worker().Report().counters.relayed_in, RelayLink::kPackets);
}

TEST_F(TwoWorkersTest, AStreamWhoseFirstPacketWasLostBetweenWorkersIsForwarded) {
  Publish(true, At(0));
  EXPECT_EQ(there_.Take(doctor_).rtp, 1u);
  for (size_t i = 0; i < RelayLink::kPackets; ++i) {
    here_.Receive(room_.address(), room_.Rtp(false), At(1));
  }
  room_.Restart();
  here_.Receive(room_.address(), room_.Rtp(true), At(2));
  EXPECT_EQ(here_.worker().Report().counters.egress_drops.Get(DropReason::kQueueFull), 1u);
  while (there_.worker().HandleRelays(100, At(2), there_.out())) {
  }
  there_.Take(doctor_);
  Publish(true, At(50));
  EXPECT_EQ(there_.Take(doctor_).rtp, 1u);
  Publish(false, At(90));
  EXPECT_EQ(there_.Take(doctor_).rtp, 1u);
}

TEST_F(TwoWorkersTest, AWishThatWasLostBetweenWorkersIsMadeAgain) {
  while (mesh_.Link(1, 0).notes.Push(RelayedWish{FeedId(99)})) {
  }
  there_.Receive(doctor_.address(),
                 doctor_.Rtcp([](ByteWriter& out) { rtp::WritePli(5, 1000, out); }), At(400));
  EXPECT_EQ(there_.worker().Report().counters.relay_drops.Get(DropReason::kQueueFull), 1u);
  Publish(false, At(800));
  here_.Take(room_);
  Publish(false, At(1200));
  EXPECT_EQ(here_.Take(room_).rtcp, 1u);
}

// The limit is of the call, not of each link, and the links take turns.
TEST(Worker, RelaysOfManyWorkersAreTakenFairlyAndWithinTheLimit) {
  RelayMesh mesh(4);
  Site site({.index = 1}, &mesh);
  const auto fill = [&mesh](uint32_t from, int packets) {
    for (int i = 0; i < packets; ++i) {
      RelayedPacket* slot = mesh.Link(from, 1).packets.Reserve();
      ASSERT_NE(slot, nullptr);
      ASSERT_TRUE(ToRelayed(FeedId(from), {}, *slot));
      mesh.Link(from, 1).packets.Commit();
    }
  };
  fill(0, 20);
  fill(2, 7);
  fill(3, 3);
  const auto left = [&mesh](uint32_t from) { return mesh.Link(from, 1).packets.size(); };
  const auto arrived = [&site] {
    return site.worker().counters().relay_drops.Get(DropReason::kNoSubscriber);
  };
  EXPECT_TRUE(site.worker().HandleRelays(5, At(0), site.out()));
  EXPECT_EQ(arrived(), 5u);
  EXPECT_EQ(left(0), 15u);
  EXPECT_TRUE(site.worker().HandleRelays(5, At(0), site.out()));
  EXPECT_EQ(left(2), 2u);
  EXPECT_TRUE(site.worker().HandleRelays(5, At(0), site.out()));
  EXPECT_EQ(left(3), 0u);
  EXPECT_EQ(left(0), 13u);
  EXPECT_FALSE(site.worker().HandleRelays(100, At(0), site.out()));
  EXPECT_EQ(arrived(), 30u);
}

TEST_F(TwoWorkersTest, WhatArrivesAfterADetachIsDropped) {
  Publish(true, At(0));
  there_.Take(doctor_);
  here_.Receive(room_.address(), room_.Rtp(false), At(1));
  there_.out().events.clear();
  ASSERT_TRUE(there_.Apply(sfu::DetachRemoteFeed{kFeed}, At(2)).ok());
  EXPECT_TRUE(there_.out().events.empty());  // The end of a feed is its origin's to report.
  there_.worker().HandleRelays(16, At(2), there_.out());
  EXPECT_EQ(there_.Take(doctor_).rtp, 0u);
  EXPECT_EQ(there_.worker().Report().counters.relay_drops.Get(DropReason::kNoSubscriber), 1u);
  EXPECT_TRUE(there_.Apply(Attach(), At(3)).ok());
}

}  // namespace
}  // namespace vigil::worker
