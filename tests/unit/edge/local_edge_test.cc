#include "gateway/edge/local_edge.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/unit/edge/edge_fixture.h"

namespace vigil::edge {
namespace {

class LocalEdgeTest : public EdgeFixture {
 protected:
  void SetUp() override {
    OpenEdge({});
    client_ = io::ConnectedSocket(SOCK_DGRAM, io::Loopback4(), edge_->port());
    address_ = ClientAddress::V4(127, 0, 0, 1, io::BoundPort(client_.get()));
  }
  io::Fd client_;
  ClientAddress address_;
};

TEST_F(LocalEdgeTest, AClientGetsInByItsCheckAndStaysInByItsBind) {
  ASSERT_TRUE(io::SendAll(client_, CheckFor(kGroup)));
  ASSERT_TRUE(TurnUntilGot(1));
  EXPECT_EQ(got_[0].client, address_);
  EXPECT_EQ(got_[0].group, kGroup);
  EXPECT_EQ(got_[0].epoch, Epoch(1));
  EXPECT_EQ(got_[0].bytes, CheckFor(kGroup));

  ASSERT_TRUE(io::SendAll(client_, Filled(200, 0x80)));
  ASSERT_TRUE(TurnUntilDropped(DropReason::kUnknownSource, 1)) << "nobody vouched for it yet";
  edge_->BindClient(address_, kGroup);
  ASSERT_TRUE(io::SendAll(client_, Filled(200, 0x80)));
  ASSERT_TRUE(TurnUntilGot(2));
  edge_->UnbindClient(address_);
  ASSERT_TRUE(io::SendAll(client_, Filled(200, 0x80)));
  ASSERT_TRUE(TurnUntilDropped(DropReason::kUnknownSource, 2));
  EXPECT_EQ(edge_->counters().received, 2u);
  EXPECT_EQ(edge_->counters().received_bytes, CheckFor(kGroup).size() + 200);
  EXPECT_EQ(pool_.in_use(), 0u);
}

TEST_F(LocalEdgeTest, AnotherSourceGetsNothingOutOfABoundOne) {
  edge_->BindClient(address_, kGroup);
  const io::Fd spoofer = io::ConnectedSocket(SOCK_DGRAM, io::Loopback4(), edge_->port());
  ASSERT_TRUE(io::SendAll(spoofer, Filled(200, 0x80)));
  ASSERT_TRUE(io::SendAll(spoofer, CheckFor(GroupId(78))));
  ASSERT_TRUE(io::SendAll(spoofer, {}));
  ASSERT_TRUE(io::SendAll(spoofer, Filled(1501, 0x80)));
  ASSERT_TRUE(io::SendAll(client_, Filled(201, 0x80)));
  ASSERT_TRUE(TurnUntil([&] { return got_.size() + AllDropped() == 5; }));
  ASSERT_EQ(got_.size(), 1u);
  EXPECT_EQ(got_[0].client, address_);
  EXPECT_EQ(Dropped(DropReason::kUnknownSource), 1u);
  EXPECT_EQ(Dropped(DropReason::kUnknownUfrag), 1u);
  EXPECT_EQ(Dropped(DropReason::kMalformed), 1u);
  EXPECT_EQ(Dropped(DropReason::kOversized), 1u);
}

TEST_F(LocalEdgeTest, DatagramsCarryTheEpochOfTheLastClaim) {
  edge_->BindClient(address_, kGroup);
  ASSERT_EQ(edge_->ClaimGroup(kGroup, Epoch(1)).value(), Epoch(2));
  ASSERT_TRUE(io::SendAll(client_, Filled(200, 0x80)));
  ASSERT_TRUE(TurnUntilGot(1));
  EXPECT_EQ(got_[0].epoch, Epoch(2));
}

TEST_F(LocalEdgeTest, BindsOfUnclaimedGroupsAreRefusedAndCounted) {
  edge_->BindClient(address_, GroupId(78));
  EXPECT_EQ(edge_->counters().binds_refused, 1u);
  EXPECT_EQ(edge_->table().client_count(), 0u);
}

TEST_F(LocalEdgeTest, AnswersReachTheClientAndDwellIsMeasured) {
  PacketRef packet = pool_.Take();
  packet->size = 50;
  std::array<OutboundDatagram, 1> batch = {{{address_, std::move(packet), {.received_at = Now()}}}};
  edge_->Send(batch);
  std::array<uint8_t, 100> bytes{};
  EXPECT_EQ(recv(client_.get(), bytes.data(), bytes.size(), 0), 50);
  EXPECT_EQ(edge_->counters().sound.dwell.count, 1u);
  EXPECT_EQ(pool_.in_use(), 0u);
}

TEST_F(LocalEdgeTest, WhatIsForNobodyHereIsDroppedAndCounted) {
  ClientAddress nowhere = address_;
  nowhere.local = 9;
  ClientAddress tcp = address_;
  tcp.transport = Transport::kTcp;
  SendTo(nowhere, Filled(50, 1));
  SendTo(tcp, Filled(50, 1));
  EXPECT_EQ(edge_->counters().outbound_drops.Get(DropReason::kPeerNotConnected), 2u);
  EXPECT_EQ(edge_->counters().sent, 0u);
  EXPECT_EQ(pool_.in_use(), 0u);
}

TEST_F(LocalEdgeTest, UdpAndTcpShareTheNumberAndATakenOneIsRefused) {
  const io::Fd tcp = io::ConnectedSocket(SOCK_STREAM, io::Loopback4(), edge_->port());
  const auto second =
      LocalEdge::Open({.addresses = {io::Loopback4()}, .port = edge_->port()}, *poller_);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists) << second.status();
  EXPECT_EQ(LocalEdge::Open({}, *poller_).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(LocalEdgeAddresses, AFreePortIsFoundThoughOthersListenOnTcpAlone) {
  // Each takes a TCP port that the kernel may then choose for UDP: the edge has to try again.
  std::vector<std::unique_ptr<io::TcpListener>> others;
  for (int i = 0; i < 200; ++i) {
    auto listener = io::TcpListener::Open({.address = io::Loopback4()});
    ASSERT_TRUE(listener.ok());
    others.push_back(std::move(*listener));
  }
  const std::unique_ptr<io::Poller> poller = io::OpenPoller();
  for (int i = 0; i < 20; ++i) {
    const auto edge = LocalEdge::Open({.addresses = {io::Loopback4()}}, *poller);
    ASSERT_TRUE(edge.ok()) << edge.status();
    EXPECT_NE((*edge)->port(), 0);
  }
}

class SeveralAddressesTest : public EdgeFixture {};

TEST_F(SeveralAddressesTest, AnAnswerLeavesFromTheAddressTheQuestionCameTo) {
  const std::vector<io::IpAddress> addresses = {io::Loopback4(), *io::ParseIp("127.0.0.2"),
                                                io::Loopback6()};
  OpenEdge({.addresses = addresses});
  for (size_t i = 0; i < addresses.size(); ++i) {
    // A connected socket takes answers from the address it asked, and from no other.
    const io::Fd client = io::ConnectedSocket(SOCK_DGRAM, addresses[i], edge_->port());
    ASSERT_TRUE(io::SendAll(client, CheckFor(kGroup)));
    ASSERT_TRUE(TurnUntilGot(i + 1));
    EXPECT_EQ(got_[i].client.local, i);
    SendTo(got_[i].client, Filled(70, 3));
    std::array<uint8_t, 100> bytes{};
    EXPECT_EQ(recv(client.get(), bytes.data(), bytes.size(), MSG_DONTWAIT), 70)
        << "on the loopback a send is a delivery";
  }
}

TEST_F(SeveralAddressesTest, ABusyAddressDoesNotStarveTheOther) {
  OpenEdge({.addresses = {io::Loopback4(), *io::ParseIp("127.0.0.2")}});
  const io::Fd busy = io::ConnectedSocket(SOCK_DGRAM, io::Loopback4(), edge_->port());
  const io::Fd quiet = io::ConnectedSocket(SOCK_DGRAM, *io::ParseIp("127.0.0.2"), edge_->port());
  for (int i = 0; i < 60; ++i) ASSERT_TRUE(io::SendAll(busy, CheckFor(kGroup)));
  ASSERT_TRUE(io::SendAll(quiet, CheckFor(kGroup)));
  const auto heard = [&] {
    return std::any_of(got_.begin(), got_.end(), [](const Got& got) { return got.client.local; });
  };
  ASSERT_TRUE(TurnUntil(heard, /*room=*/4));
  EXPECT_LT(got_.size(), 20u) << "heard long before the busy one's queue was empty";
}

}  // namespace
}  // namespace vigil::edge
