#include "gateway/io/udp_socket.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/unit/io/loopback.h"

namespace vigil::io {
namespace {

std::unique_ptr<UdpSocket> OpenUdp(UdpSocketOptions options) {
  auto opened = UdpSocket::Open(options);
  EXPECT_TRUE(opened.ok()) << opened.status();
  return std::move(*opened);
}

class UdpSocketTest : public testing::Test {
 protected:
  void SetUp() override {
    socket_ = OpenUdp({.address = Loopback4(), .local = 2});
    ASSERT_TRUE(poller_->Add(socket_->fd(), 1).ok());
    client_ = ConnectedSocket(SOCK_DGRAM, Loopback4(), socket_->port());
    client_address_ = ClientAddress::V4(127, 0, 0, 1, BoundPort(client_.get()));
    client_address_.local = 2;
  }
  void ClientSends(size_t size, uint8_t fill = 1) {
    const std::vector<uint8_t> bytes(size, fill);
    ASSERT_TRUE(SendAll(client_, bytes));
  }
  // Receives until `wanted` more datagrams were handed out or dropped; appends to received_.
  bool ReceiveUntil(uint64_t wanted) {
    const auto all = [this] {
      const auto& drops = counters_.inbound_drops.counts;
      return received_.size() + std::accumulate(drops.begin(), drops.end(), uint64_t{0});
    };
    const uint64_t target = all() + wanted;
    return PollUntil(*poller_, [&] {
      const size_t n = socket_->Receive(pool_, out_, MonotonicNow(), counters_);
      std::move(out_.begin(), out_.begin() + static_cast<std::ptrdiff_t>(n),
                std::back_inserter(received_));
      return all() >= target;
    });
  }

  PacketPool pool_{128};
  std::unique_ptr<Poller> poller_ = OpenPoller();
  std::unique_ptr<UdpSocket> socket_;
  Fd client_;
  ClientAddress client_address_;
  PortCounters counters_;
  std::array<InboundDatagram, 40> out_;
  std::vector<InboundDatagram> received_;
};

TEST_F(UdpSocketTest, ABatchArrivesInOrderWithStampsThatRiseAndNeverLieAhead) {
  const Timestamp begin = MonotonicNow();
  for (uint8_t i = 0; i < 100; ++i) ClientSends(100 + i, i);
  ASSERT_TRUE(ReceiveUntil(100));
  const Timestamp end = MonotonicNow();
  ASSERT_EQ(received_.size(), 100u);
  // The wall clock may be slewed meanwhile, and between two batches the clocks are compared anew,
  // which an interruption of this thread makes less exact.
  constexpr TimeDelta kSlack = TimeDelta::Millis(1);
  Timestamp last = begin;
  for (size_t i = 0; i < received_.size(); ++i) {
    const InboundDatagram& datagram = received_[i];
    EXPECT_EQ(datagram.client, client_address_);
    EXPECT_EQ(datagram.packet->size, 100 + i);
    EXPECT_EQ(datagram.packet->data[0], i);
    EXPECT_GE(datagram.receive_time + kSlack, last) << i;
    EXPECT_LE(datagram.receive_time, end);
    last = datagram.receive_time;
  }
}

TEST_F(UdpSocketTest, TheStampIsTheKernelsAndNotTheCallersNow) {
  const Timestamp before = MonotonicNow();
  ClientSends(50);
  ASSERT_FALSE(poller_->Wait(TimeDelta::Seconds(20)).empty());
  const Timestamp now = before + TimeDelta::Seconds(3600);
  ASSERT_EQ(socket_->Receive(pool_, out_, now, counters_), 1u);
  EXPECT_GE(out_[0].receive_time, before - TimeDelta::Millis(1));
  EXPECT_LE(out_[0].receive_time, MonotonicNow() + TimeDelta::Millis(1));
}

TEST_F(UdpSocketTest, AStampAfterNowIsClampedToNow) {
  const Timestamp before = MonotonicNow();
  ClientSends(50);
  ASSERT_FALSE(poller_->Wait(TimeDelta::Seconds(20)).empty());
  ASSERT_EQ(socket_->Receive(pool_, out_, before, counters_), 1u);
  EXPECT_EQ(out_[0].receive_time, before);
}

TEST_F(UdpSocketTest, LongDatagramsAreDroppedAndCountedWithoutHarmToTheNext) {
  ClientSends(Packet::kMaxReceived);
  ClientSends(Packet::kMaxReceived + 1);
  ClientSends(9'000);
  ClientSends(0);
  ClientSends(77);
  ASSERT_TRUE(ReceiveUntil(5));
  EXPECT_EQ(counters_.inbound_drops.Get(DropReason::kOversized), 2u);
  EXPECT_EQ(counters_.inbound_drops.Get(DropReason::kMalformed), 1u) << "the empty one";
  ASSERT_EQ(received_.size(), 2u);
  EXPECT_EQ(received_[0].packet->size, Packet::kMaxReceived);
  EXPECT_EQ(received_[1].packet->size, 77u);
}

TEST_F(UdpSocketTest, AnExhaustedPoolDrainsTheKernelsQueueInsteadOfLettingItGrow) {
  PacketPool small(3);
  for (int i = 0; i < 10; ++i) ClientSends(100);
  const auto dropped = [&] { return counters_.inbound_drops.Get(DropReason::kPoolExhausted); };
  ASSERT_TRUE(PollUntil(*poller_, [&] {
    const size_t n = socket_->Receive(small, out_, MonotonicNow(), counters_);
    std::move(out_.begin(), out_.begin() + static_cast<std::ptrdiff_t>(n),
              std::back_inserter(received_));
    return received_.size() + dropped() == 10;
  }));
  EXPECT_EQ(received_.size(), 3u);
  EXPECT_EQ(dropped(), 7u);
  received_.clear();
  EXPECT_EQ(small.in_use(), 0u);
}

TEST_F(UdpSocketTest, UnusedPacketsGoBackToThePool) {
  ClientSends(100);
  ASSERT_TRUE(ReceiveUntil(1));
  EXPECT_EQ(pool_.in_use(), 1u);
}

TEST_F(UdpSocketTest, ABatchLongerThanASystemCallIsSentInOrder) {
  std::vector<OutboundDatagram> batch;
  for (uint8_t i = 0; i < 80; ++i) batch.push_back({client_address_, MakePacket(pool_, 60, i)});
  batch[5].forwards.received_at = MonotonicNow();
  socket_->Send(batch, counters_);
  for (const OutboundDatagram& datagram : batch) EXPECT_FALSE(datagram.packet);
  EXPECT_EQ(pool_.in_use(), 0u);
  EXPECT_EQ(counters_.sent, 80u);
  EXPECT_EQ(counters_.sent_bytes, 80u * 60);
  EXPECT_EQ(counters_.sound.dwell.count, 1u);
  for (uint8_t i = 0; i < 80; ++i) {
    std::array<uint8_t, 100> bytes{};
    ASSERT_EQ(recv(client_.get(), bytes.data(), bytes.size(), 0), 60);
    EXPECT_EQ(bytes[0], i);
  }
}

TEST_F(UdpSocketTest, ADatagramTheKernelRefusesDoesNotHoldUpTheOthers) {
  ClientAddress v6 = client_address_;
  v6.ip = Loopback6();
  ClientAddress no_port = client_address_;
  no_port.port = 0;
  std::vector<OutboundDatagram> batch;
  for (const ClientAddress& to : {v6, client_address_, no_port, no_port, client_address_}) {
    batch.push_back({to, MakePacket(pool_, 60, 0)});
  }
  socket_->Send(batch, counters_);
  EXPECT_EQ(counters_.sent, 2u);
  EXPECT_EQ(counters_.outbound_drops.Get(DropReason::kSendFailed), 3u);
  EXPECT_FALSE(socket_->has_deferred());
  EXPECT_EQ(pool_.in_use(), 0u);
}

TEST_F(UdpSocketTest, DatagramsOfOtherAddressesOrTransportsAreLeftAlone) {
  ClientAddress other = client_address_;
  other.local = 1;
  ClientAddress tcp = client_address_;
  tcp.transport = Transport::kTcp;
  std::vector<OutboundDatagram> batch;
  for (const ClientAddress& to : {other, client_address_, tcp}) {
    batch.push_back({to, MakePacket(pool_, 60, 0)});
  }
  socket_->Send(batch, counters_);
  EXPECT_TRUE(batch[0].packet);
  EXPECT_FALSE(batch[1].packet);
  EXPECT_TRUE(batch[2].packet);
  EXPECT_EQ(counters_.sent, 1u);
}

TEST_F(UdpSocketTest, TheKernelSaysHowMuchItGave) {
  EXPECT_GT(socket_->receive_buffer_bytes(), 0);
  EXPECT_GT(socket_->send_buffer_bytes(), 0);
}

TEST_F(UdpSocketTest, LossInTheReceiveBufferIsCounted) {
  auto small = OpenUdp({.address = Loopback4(), .receive_buffer_bytes = 1});
  const Fd client = ConnectedSocket(SOCK_DGRAM, Loopback4(), small->port());
  const std::vector<uint8_t> bytes(1000);
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(SendAll(client, bytes));
  const std::unique_ptr<Poller> poller = OpenPoller();
  ASSERT_TRUE(poller->Add(small->fd(), 1).ok());
  // The count comes with the first datagram queued after the loss.
  size_t received = 0;
  const auto receive = [&] {
    received += small->Receive(pool_, out_, MonotonicNow(), counters_);
    for (InboundDatagram& datagram : out_) datagram.packet.Reset();
  };
  ASSERT_TRUE(PollUntil(*poller, [&] {
    receive();
    return received > 0;
  }));
  ASSERT_TRUE(SendAll(client, bytes));
  ASSERT_TRUE(PollUntil(*poller, [&] {
    receive();
    return counters_.kernel_dropped > 0;
  }));
  EXPECT_EQ(received + counters_.kernel_dropped, 51u);
}

TEST(UdpSocketFamilies, AWildcardSocketServesBothFamilies) {
  PacketPool pool(16);
  PortCounters counters;
  std::array<InboundDatagram, 4> out;
  auto socket = OpenUdp({.address = *ParseIp("::")});
  const std::unique_ptr<Poller> poller = OpenPoller();
  ASSERT_TRUE(poller->Add(socket->fd(), 1).ok());
  for (const IpAddress& ip : {Loopback4(), Loopback6()}) {
    const Fd client = ConnectedSocket(SOCK_DGRAM, ip, socket->port());
    ASSERT_TRUE(SendAll(client, std::array<uint8_t, 3>{1, 2, 3}));
    ASSERT_TRUE(PollUntil(
        *poller, [&] { return socket->Receive(pool, out, MonotonicNow(), counters) == 1; }));
    EXPECT_EQ(out[0].client.ip, ip);
    std::array<OutboundDatagram, 1> echo = {{{out[0].client, std::move(out[0].packet)}}};
    socket->Send(echo, counters);
    std::array<uint8_t, 8> bytes{};
    EXPECT_EQ(recv(client.get(), bytes.data(), bytes.size(), 0), 3);
  }
}

TEST(UdpSocketFamilies, ATakenPortIsSaidToBeTaken) {
  auto first = OpenUdp({.address = Loopback4()});
  const auto second = UdpSocket::Open({.address = Loopback4(), .port = first->port()});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists) << second.status();
}

}  // namespace
}  // namespace vigil::io
