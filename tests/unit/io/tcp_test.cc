#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "gateway/io/datagram.h"
#include "gateway/io/tcp_connection.h"
#include "gateway/io/tcp_listener.h"
#include "gtest/gtest.h"
#include "tests/unit/io/loopback.h"

namespace vigil::io {
namespace {

class TcpTest : public testing::Test {
 protected:
  void SetUp() override {
    auto listener = TcpListener::Open({.address = Loopback4(), .local = 1});
    ASSERT_TRUE(listener.ok());
    listener_ = std::move(*listener);
    ASSERT_TRUE(poller_->Add(listener_->fd(), 1).ok());
  }
  std::unique_ptr<TcpConnection> Connect(Fd& client, TcpConnectionOptions options = {}) {
    client = ConnectedSocket(SOCK_STREAM, Loopback4(), listener_->port());
    std::optional<TcpListener::Accepted> accepted;
    EXPECT_TRUE(PollUntil(*poller_, [&] { return (accepted = listener_->Accept()).has_value(); }));
    ClientAddress expected = ClientAddress::V4(127, 0, 0, 1, BoundPort(client.get()));
    expected.transport = Transport::kTcp;
    expected.local = 1;
    EXPECT_EQ(accepted->client, expected);
    auto connection = std::make_unique<TcpConnection>(std::move(accepted->fd), accepted->client,
                                                      options, opened_);
    EXPECT_TRUE(poller_->Add(connection->fd(), 2).ok());
    return connection;
  }
  // Fills the connection until it refuses a frame of `size`; the number of frames taken.
  int Fill(TcpConnection& connection, size_t size) {
    const std::vector<uint8_t> body(size, 0x11);
    const std::array<uint8_t, 2> header = {static_cast<uint8_t>(size >> 8),
                                           static_cast<uint8_t>(size)};
    int taken = 0;
    while (taken < 100'000 && connection.SendFrame(header, body)) ++taken;
    return taken;
  }

  const Timestamp opened_ = Timestamp::FromNanos(5'000'000'000);
  std::unique_ptr<Poller> poller_ = OpenPoller();
  std::unique_ptr<TcpListener> listener_;
};

TEST_F(TcpTest, NothingWaitingIsNotAConnection) { EXPECT_FALSE(listener_->Accept()); }

TEST_F(TcpTest, BytesBothWaysAndTheEndOfTheStream) {
  Fd client;
  auto connection = Connect(client);
  std::array<uint8_t, 16> bytes{};
  EXPECT_EQ(connection->Receive(bytes, opened_), 0u);
  EXPECT_EQ(connection->state(), TcpConnection::State::kProbation);
  ASSERT_TRUE(SendAll(client, std::array<uint8_t, 3>{7, 8, 9}));
  size_t n = 0;
  ASSERT_TRUE(PollUntil(*poller_, [&] { return (n = connection->Receive(bytes, opened_)) > 0; }));
  EXPECT_EQ(n, 3u);
  EXPECT_EQ(bytes[2], 9);
  EXPECT_TRUE(connection->SendFrame(std::array<uint8_t, 2>{0, 3}, std::array<uint8_t, 3>{4, 5, 6}));
  EXPECT_FALSE(connection->wants_write());
  ASSERT_EQ(recv(client.get(), bytes.data(), 5, MSG_WAITALL), 5);
  EXPECT_EQ(bytes[1], 3);
  EXPECT_EQ(bytes[4], 6);
  client.Reset();
  ASSERT_TRUE(PollUntil(*poller_, [&] {
    connection->Receive(bytes, opened_);
    return connection->state() == TcpConnection::State::kClosed;
  }));
  EXPECT_FALSE(connection->SendFrame({}, bytes));
}

TEST_F(TcpTest, ASlowReaderLosesWholeFramesAndTheStreamStaysInStep) {
  Fd client;
  auto connection = Connect(client, {.send_buffer_bytes = 8'192});
  const int large = Fill(*connection, 1200);
  EXPECT_GT(large, 0);
  EXPECT_LT(large, 100'000) << "the kernel's share is bounded too";
  EXPECT_LE(connection->waiting(), 6u * 1024) << "picture leaves the last quarter free";
  const int small = Fill(*connection, 160);
  EXPECT_GT(small, 8) << "sound still fits";
  EXPECT_LE(connection->waiting(), 8u * 1024);
  EXPECT_TRUE(connection->wants_write());

  // The reader wakes up: what comes are whole frames, as many as were taken.
  poller_->WatchWritable(connection->fd(), 2, true);
  int frames = 0;
  std::vector<uint8_t> stream;
  ASSERT_TRUE(PollUntil(*poller_, [&] {
    connection->Flush();
    std::array<uint8_t, 4096> bytes;
    ssize_t n = 0;
    while ((n = recv(client.get(), bytes.data(), bytes.size(), MSG_DONTWAIT)) > 0) {
      stream.insert(stream.end(), bytes.begin(), bytes.begin() + n);
    }
    size_t at = 0;
    frames = 0;
    while (at + 2 <= stream.size()) {
      const size_t size = size_t{stream[at]} << 8 | stream[at + 1];
      if (size != 1200 && size != 160) ADD_FAILURE() << "out of step at " << at;
      if (at + 2 + size > stream.size()) break;
      at += 2 + size;
      ++frames;
    }
    return testing::Test::HasFailure() || frames == large + small;
  }));
  EXPECT_FALSE(connection->wants_write());
}

TEST_F(TcpTest, ANewConnectionHasToProveItselfInTime) {
  Fd client;
  auto connection =
      Connect(client, {.probation = TimeDelta::Seconds(5), .idle = TimeDelta::Seconds(45)});
  EXPECT_EQ(connection->Expiry(), opened_ + TimeDelta::Seconds(5));
  ASSERT_TRUE(SendAll(client, std::array<uint8_t, 1>{1}));
  std::array<uint8_t, 16> bytes{};
  const Timestamp later = opened_ + TimeDelta::Seconds(4);
  ASSERT_TRUE(PollUntil(*poller_, [&] { return connection->Receive(bytes, later) > 0; }));
  EXPECT_EQ(connection->Expiry(), opened_ + TimeDelta::Seconds(5)) << "bytes alone prove nothing";
  connection->SetProven();
  EXPECT_EQ(connection->Expiry(), later + TimeDelta::Seconds(45));
  connection->Close();
  connection->SetProven();
  EXPECT_EQ(connection->state(), TcpConnection::State::kClosed);
  EXPECT_TRUE(connection->Expiry().IsLongAgo());
}

TEST_F(TcpTest, WithoutDescriptorsAWaitingConnectionIsShedInsteadOfSpinning) {
  const Fd client = ConnectedSocket(SOCK_STREAM, Loopback4(), listener_->port());
  ASSERT_FALSE(poller_->Wait(TimeDelta::Seconds(20)).empty());
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  const rlimit few{.rlim_cur = 64, .rlim_max = limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  std::vector<Fd> taken;
  while (true) {
    taken.emplace_back(dup(client.get()));
    if (!taken.back().is_open()) break;
  }
  const bool accepted = listener_->Accept().has_value();
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(listener_->shed_count(), 1u);
  EXPECT_FALSE(accepted);
  EXPECT_TRUE(poller_->Wait(TimeDelta::Zero()).empty()) << "nothing is left in the queue";
}

TEST_F(TcpTest, ATakenPortIsSaidToBeTaken) {
  const auto second = TcpListener::Open({.address = Loopback4(), .port = listener_->port()});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists) << second.status();
}

}  // namespace
}  // namespace vigil::io
