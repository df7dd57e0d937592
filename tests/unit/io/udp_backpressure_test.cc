#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "gateway/io/udp_socket.h"
#include "gtest/gtest.h"
#include "tests/unit/io/loopback.h"

// The loopback never runs out of room for UDP, so the kernel's answers that say so are put in
// here: sendmmsg of this binary asks the script first and the kernel after that.

namespace {

struct Answer {
  int error = 0;      // The call fails with it.
  unsigned most = 0;  // Otherwise the kernel is given at most so many datagrams.
};

std::deque<Answer>& Script() {
  static std::deque<Answer> script;
  return script;
}

}  // namespace

extern "C" int sendmmsg(int fd, mmsghdr* messages, unsigned count, int flags) {
  if (!Script().empty()) {
    const Answer answer = Script().front();
    Script().pop_front();
    if (answer.error != 0) {
      errno = answer.error;
      return -1;
    }
    count = std::min(count, answer.most);
  }
  return static_cast<int>(syscall(SYS_sendmmsg, fd, messages, count, flags));
}

namespace vigil::io {
namespace {

class UdpBackpressureTest : public testing::Test {
 protected:
  void SetUp() override {
    auto opened = UdpSocket::Open({.address = Loopback4(), .deferred_capacity = 16});
    ASSERT_TRUE(opened.ok());
    socket_ = std::move(*opened);
    client_ = ConnectedSocket(SOCK_DGRAM, Loopback4(), socket_->port());
  }
  void TearDown() override { EXPECT_TRUE(Script().empty()) << "a scripted answer was not asked"; }

  void Send(const std::vector<std::pair<uint8_t, size_t>>& datagrams) {
    const ClientAddress to = ClientAddress::V4(127, 0, 0, 1, BoundPort(client_.get()));
    std::vector<OutboundDatagram> batch;
    batch.reserve(datagrams.size());
    for (const auto& [mark, size] : datagrams) batch.push_back({to, MakePacket(pool_, size, mark)});
    socket_->Send(batch, counters_);
    for (const OutboundDatagram& datagram : batch) EXPECT_FALSE(datagram.packet);
  }
  // The marks of what has arrived: on the loopback a send is a delivery.
  std::vector<int> Arrived() {
    std::vector<int> marks;
    std::array<uint8_t, 2000> bytes;
    while (recv(client_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT) > 0) {
      marks.push_back(bytes[0]);
    }
    return marks;
  }
  uint64_t Dropped(DropReason reason) { return counters_.outbound_drops.Get(reason); }

  PacketPool pool_{256};
  std::unique_ptr<UdpSocket> socket_;
  Fd client_;
  PortCounters counters_;
};

TEST_F(UdpBackpressureTest, WhatDoesNotFitGoesFirstNextTime) {
  Script() = {{.most = 2}, {.error = EAGAIN}};
  Send({{1, 1200}, {2, 1200}, {3, 1200}, {4, 160}});
  EXPECT_EQ(Arrived(), (std::vector{1, 2}));
  EXPECT_TRUE(socket_->has_deferred());
  EXPECT_EQ(counters_.send_deferred, 2u);
  EXPECT_EQ(pool_.in_use(), 2u);
  Send({{5, 160}});
  EXPECT_EQ(Arrived(), (std::vector{3, 4, 5}));
  EXPECT_FALSE(socket_->has_deferred());
  EXPECT_EQ(counters_.sent, 5u);
  EXPECT_EQ(pool_.in_use(), 0u);
}

TEST_F(UdpBackpressureTest, NothingOvertakesWhatWaits) {
  Script() = {{.error = ENOBUFS}, {.error = ENOBUFS}};
  Send({{1, 1200}});
  Send({{2, 160}});
  EXPECT_EQ(Arrived(), std::vector<int>());
  Script() = {{.most = 1}, {.error = EAGAIN}};
  socket_->FlushDeferred(counters_);
  EXPECT_EQ(Arrived(), (std::vector{1}));
  EXPECT_TRUE(socket_->has_deferred());
  socket_->FlushDeferred(counters_);
  EXPECT_EQ(Arrived(), (std::vector{2}));
}

TEST_F(UdpBackpressureTest, TheQueueIsBoundedAndSoundIsShedLast) {
  Script() = {{.error = EAGAIN}};
  std::vector<std::pair<uint8_t, size_t>> picture;
  for (uint8_t i = 0; i < 20; ++i) picture.emplace_back(i, 1200);
  Send(picture);
  EXPECT_EQ(Dropped(DropReason::kQueueFull), 8u) << "picture gets three quarters of sixteen";
  Script() = {{.error = EAGAIN}};
  Send({{100, 160}, {101, 160}, {102, 160}, {103, 160}, {104, 160}});
  EXPECT_EQ(Dropped(DropReason::kQueueFull), 9u) << "sound gets the last quarter";
  EXPECT_EQ(pool_.in_use(), 16u);
  socket_->FlushDeferred(counters_);
  EXPECT_EQ(Arrived(), (std::vector{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 100, 101, 102, 103}));
  EXPECT_EQ(counters_.sent + Dropped(DropReason::kQueueFull), 25u);
}

TEST_F(UdpBackpressureTest, ARefusedDatagramIsLostAloneAndTheCallGoesOn) {
  Script() = {{.most = 1}, {.error = EPERM}, {.error = ECONNREFUSED}};
  Send({{1, 160}, {2, 160}, {3, 160}, {4, 160}});
  EXPECT_EQ(Arrived(), (std::vector{1, 4}));
  EXPECT_EQ(Dropped(DropReason::kSendFailed), 2u);
  EXPECT_FALSE(socket_->has_deferred());
}

TEST_F(UdpBackpressureTest, AnInterruptedCallIsRepeated) {
  Script() = {{.error = EINTR}};
  Send({{1, 160}});
  EXPECT_EQ(Arrived(), (std::vector{1}));
}

}  // namespace
}  // namespace vigil::io
