#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "gateway/base/rng.h"
#include "gateway/edge/local_edge.h"
#include "gtest/gtest.h"
#include "tests/unit/edge/edge_fixture.h"

namespace vigil::edge {
namespace {

std::vector<uint8_t> Framed(std::span<const uint8_t> payload) {
  std::vector<uint8_t> bytes = {static_cast<uint8_t>(payload.size() >> 8),
                                static_cast<uint8_t>(payload.size())};
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  return bytes;
}

class LocalEdgeTcpTest : public EdgeFixture {
 protected:
  io::Fd Connect() {
    io::Fd client = io::ConnectedSocket(SOCK_STREAM, io::Loopback4(), edge_->port());
    const int on = 1;
    setsockopt(client.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return client;
  }
  static ClientAddress AddressOf(const io::Fd& client) {
    ClientAddress address = ClientAddress::V4(127, 0, 0, 1, io::BoundPort(client.get()));
    address.transport = Transport::kTcp;
    return address;
  }
  // A client that has sent its check and was vouched for.
  io::Fd ConnectProven() {
    io::Fd client = Connect();
    EXPECT_TRUE(io::SendAll(client, Framed(CheckFor(kGroup))));
    EXPECT_TRUE(TurnUntilGot(got_.size() + 1));
    edge_->BindClient(AddressOf(client), kGroup);
    return client;
  }
  // True when the edge has closed the connection: the end of the stream, or a reset.
  bool TurnUntilClosed(const io::Fd& client) {
    return TurnUntil([&] {
      std::array<uint8_t, 100> bytes;
      const ssize_t n = recv(client.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
      return n == 0 || (n < 0 && errno != EAGAIN);
    });
  }
};

TEST_F(LocalEdgeTcpTest, FramesInPiecesBecomeDatagramsAndAnswersBecomeFrames) {
  OpenEdge({});
  const io::Fd client = Connect();
  const std::vector<uint8_t> framed = Framed(CheckFor(kGroup));
  for (const uint8_t byte : framed) {
    EXPECT_TRUE(got_.empty());
    ASSERT_TRUE(io::SendAll(client, std::array<uint8_t, 1>{byte}));
    Turn();
  }
  ASSERT_TRUE(TurnUntilGot(1));
  EXPECT_EQ(got_[0].bytes, CheckFor(kGroup));
  EXPECT_EQ(got_[0].client, AddressOf(client));
  EXPECT_EQ(got_[0].group, kGroup);
  SendTo(got_[0].client, Filled(300, 7));
  std::array<uint8_t, 302> answer{};
  ASSERT_EQ(recv(client.get(), answer.data(), answer.size(), MSG_WAITALL), 302);
  EXPECT_EQ(answer[0] << 8 | answer[1], 300);
  EXPECT_EQ(answer[301], 7);
  EXPECT_EQ(edge_->counters().sent, 1u);
}

TEST_F(LocalEdgeTcpTest, AStreamCutAtRandomComesOutWholeAndInOrder) {
  OpenEdge({});
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(seed);
    Rng rng(seed);
    got_.clear();
    const io::Fd client = ConnectProven();
    std::vector<std::vector<uint8_t>> sent;
    std::vector<uint8_t> stream;
    for (int i = 0; i < 60; ++i) {
      sent.push_back(Filled(static_cast<size_t>(rng.Between(1, 1500)), static_cast<uint8_t>(i)));
      const std::vector<uint8_t> framed = Framed(sent.back());
      stream.insert(stream.end(), framed.begin(), framed.end());
      if (rng.Chance(0.1)) stream.insert(stream.end(), {0, 0});  // Empty frames carry nothing.
    }
    for (size_t at = 0; at < stream.size();) {
      const size_t n =
          std::min<size_t>(stream.size() - at, static_cast<size_t>(rng.Between(1, 6000)));
      ASSERT_TRUE(io::SendAll(client, std::span(stream).subspan(at, n)));
      at += n;
      if (rng.Chance(0.5)) Turn(static_cast<size_t>(rng.Between(1, 3)));
    }
    // The room of a turn is smaller than what one read holds: the rest must not be forgotten.
    ASSERT_TRUE(TurnUntil([&] { return got_.size() == 61; }, /*room=*/1));
    for (size_t i = 0; i < sent.size(); ++i) ASSERT_EQ(got_[i + 1].bytes, sent[i]) << i;
    edge_->UnbindClient(AddressOf(client));
  }
}

TEST_F(LocalEdgeTcpTest, UnbindingEndsTheConnection) {
  OpenEdge({});
  const io::Fd client = ConnectProven();
  EXPECT_EQ(edge_->tcp_connection_count(), 1u);
  edge_->UnbindClient(AddressOf(client));
  EXPECT_TRUE(TurnUntilClosed(client));
  EXPECT_EQ(edge_->tcp_connection_count(), 0u);
  EXPECT_EQ(edge_->table().client_count(), 0u);
  EXPECT_EQ(edge_->counters().tcp_closed, 1u);
}

TEST_F(LocalEdgeTcpTest, AClientThatLeavesIsForgotten) {
  OpenEdge({});
  io::Fd client = ConnectProven();
  EXPECT_EQ(edge_->table().client_count(), 1u);
  client.Reset();
  EXPECT_TRUE(TurnUntil([&] { return edge_->tcp_connection_count() == 0; }));
  EXPECT_EQ(edge_->table().client_count(), 0u);
}

TEST_F(LocalEdgeTcpTest, ANewConnectionOfTheSame5TupleHasToProveItselfAgain) {
  OpenEdge({});
  io::Fd client = ConnectProven();
  const ClientAddress address = AddressOf(client);
  const linger reset{.l_onoff = 1, .l_linger = 0};
  ASSERT_EQ(setsockopt(client.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
  client.Reset();  // Gone without a trace; the edge has not looked yet.

  io::Fd again(socket(AF_INET, SOCK_STREAM, 0));
  io::SocketAddress from;
  socklen_t length = io::WriteSocketAddress(io::Loopback4(), address.port, AF_INET, from);
  ASSERT_EQ(bind(again.get(), &from.any, length), 0);
  io::SocketAddress to;
  length = io::WriteSocketAddress(io::Loopback4(), edge_->port(), AF_INET, to);
  ASSERT_EQ(connect(again.get(), &to.any, length), 0);
  ASSERT_TRUE(io::SendAll(again, Framed(Filled(200, 0x80))));
  EXPECT_TRUE(TurnUntilClosed(again));
  EXPECT_EQ(Dropped(DropReason::kUnknownSource), 1u);
  EXPECT_EQ(got_.size(), 1u) << "only the check of the first connection";
}

TEST_F(LocalEdgeTcpTest, WhatDoesNotBeginWithACheckIsClosedAtOnce) {
  OpenEdge({});
  for (const std::vector<uint8_t>& bytes :
       {Framed(Filled(100, 0x16)), std::vector<uint8_t>{'G', 'E', 'T', ' ', '/'}}) {
    const io::Fd client = Connect();
    ASSERT_TRUE(io::SendAll(client, bytes));
    EXPECT_TRUE(TurnUntilClosed(client));
  }
  EXPECT_EQ(Dropped(DropReason::kUnknownSource), 1u);
  EXPECT_EQ(Dropped(DropReason::kOversized), 1u) << "\"GE\" is a length of 18,245";
  EXPECT_EQ(edge_->tcp_connection_count(), 0u);
  EXPECT_TRUE(got_.empty());
}

TEST_F(LocalEdgeTcpTest, AfterTheCheckOnlyABindLetsOtherDatagramsThrough) {
  OpenEdge({});
  const io::Fd client = Connect();
  ASSERT_TRUE(io::SendAll(client, Framed(CheckFor(kGroup))));
  ASSERT_TRUE(io::SendAll(client, Framed(Filled(100, 0x16))));
  ASSERT_TRUE(TurnUntilDropped(DropReason::kUnknownSource, 1));
  EXPECT_EQ(got_.size(), 1u);
  EXPECT_EQ(edge_->tcp_connection_count(), 1u);
}

TEST_F(LocalEdgeTcpTest, ConnectionsThatProveNothingExpireAndProvenOnesStay) {
  OpenEdge({});
  const io::Fd proven = ConnectProven();
  const io::Fd checked = Connect();
  ASSERT_TRUE(io::SendAll(checked, Framed(CheckFor(kGroup))));
  ASSERT_TRUE(TurnUntilGot(2));
  const io::Fd silent = Connect();
  ASSERT_TRUE(TurnUntil([&] { return edge_->tcp_connection_count() == 3; }));
  EXPECT_FALSE(edge_->NextDeadline().IsNever());
  EXPECT_LE(edge_->NextDeadline(), Now() + TimeDelta::Seconds(1));

  ahead_ = TimeDelta::Seconds(6);
  EXPECT_TRUE(TurnUntilClosed(checked));
  EXPECT_TRUE(TurnUntilClosed(silent));
  EXPECT_EQ(edge_->counters().tcp_expired, 2u);
  EXPECT_EQ(edge_->tcp_connection_count(), 1u);
  ahead_ = TimeDelta::Seconds(120);
  EXPECT_TRUE(TurnUntilClosed(proven)) << "silence for longer than consent lasts";
  EXPECT_EQ(edge_->counters().tcp_expired, 3u);
  EXPECT_TRUE(edge_->NextDeadline().IsNever());
}

TEST_F(LocalEdgeTcpTest, OneNetworkHasOnlySoManyUnprovenConnections) {
  OpenEdge({.tcp_clients = {.max_connections = 5, .max_unproven_per_network = 2}});
  const io::Fd proven = ConnectProven();
  const io::Fd unproven = Connect();
  io::Fd leaving = Connect();
  ASSERT_TRUE(TurnUntil([&] { return edge_->tcp_connection_count() == 3; }));
  EXPECT_TRUE(TurnUntilClosed(Connect()));
  EXPECT_EQ(edge_->counters().tcp_refused, 1u);

  // One that leaves makes room, and so does one that proves itself.
  leaving.Reset();
  ASSERT_TRUE(TurnUntil([&] { return edge_->tcp_connection_count() == 2; }));
  const io::Fd second = ConnectProven();
  const io::Fd third = ConnectProven();
  EXPECT_EQ(edge_->tcp_connection_count(), 4u);
  const io::Fd fourth = ConnectProven();
  EXPECT_EQ(edge_->tcp_connection_count(), 5u);
  EXPECT_TRUE(TurnUntilClosed(Connect())) << "five are all there may be";
  EXPECT_EQ(edge_->counters().tcp_refused, 2u);
}

TEST_F(LocalEdgeTcpTest, AClientThatDoesNotReadLosesFramesAndHarmsNobody) {
  OpenEdge({});
  const io::Fd slow = ConnectProven();
  const io::Fd other = ConnectProven();
  const auto full = [&] { return edge_->counters().outbound_drops.Get(DropReason::kQueueFull); };
  for (int i = 0; i < 100'000 && full() == 0; ++i) SendTo(AddressOf(slow), Filled(1200, 1));
  EXPECT_EQ(full(), 1u);
  SendTo(AddressOf(slow), Filled(160, 2));
  EXPECT_EQ(full(), 1u) << "sound still fits";
  SendTo(AddressOf(other), Filled(500, 3));
  std::array<uint8_t, 502> bytes{};
  EXPECT_EQ(recv(other.get(), bytes.data(), bytes.size(), MSG_WAITALL), 502);

  // It reads on: everything that was taken comes, and the poller is what drives it.
  const uint64_t frames = edge_->counters().sent - 1;
  uint64_t read = 0;
  ASSERT_TRUE(TurnUntil([&] {
    std::array<uint8_t, 65'536> chunk;
    ssize_t n = 0;
    while ((n = recv(slow.get(), chunk.data(), chunk.size(), MSG_DONTWAIT)) > 0) {
      read += static_cast<uint64_t>(n);
    }
    return read == (frames - 1) * 1202 + 162;
  }));
}

TEST_F(LocalEdgeTcpTest, AnExhaustedPoolCostsFramesButNotTheStream) {
  OpenEdge({});
  const io::Fd client = ConnectProven();
  std::vector<PacketRef> held;
  while (PacketRef packet = pool_.Take()) held.push_back(std::move(packet));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(io::SendAll(client, Framed(Filled(100, 0x80))));
  ASSERT_TRUE(TurnUntilDropped(DropReason::kPoolExhausted, 3));
  held.clear();
  ASSERT_TRUE(io::SendAll(client, Framed(Filled(101, 0x80))));
  ASSERT_TRUE(TurnUntilGot(2));
  EXPECT_EQ(got_[1].bytes.size(), 101u);
}

}  // namespace
}  // namespace vigil::edge
