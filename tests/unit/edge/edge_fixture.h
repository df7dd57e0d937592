#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/edge/local_edge.h"
#include "gateway/ice/credentials.h"
#include "gtest/gtest.h"
#include "tests/unit/ice/stun_messages.h"
#include "tests/unit/io/loopback.h"

namespace vigil::edge {

inline std::string UfragOf(GroupId group) {
  return ice::MakeUfrag(group, std::array<uint8_t, 8>{1, 2, 3, 4, 5, 6, 7, 8});
}

// The connectivity check of a client of `group`.
inline std::vector<uint8_t> CheckFor(GroupId group) {
  return ice::testing::MakeCheck({.username = UfragOf(group) + ":abcd"});
}

inline std::vector<uint8_t> Filled(size_t size, uint8_t fill) {
  return std::vector<uint8_t>(size, fill);
}

// A worker that notes what it is given, in front of a real edge on the loopback. Its clock is the
// real one plus `ahead`.
class EdgeFixture : public testing::Test {
 protected:
  struct Got {
    ClientAddress client;
    GroupId group;
    Epoch epoch;
    std::vector<uint8_t> bytes;
  };

  void OpenEdge(LocalEdgeOptions options) {
    if (options.addresses.empty()) options.addresses = {io::Loopback4()};
    auto edge = LocalEdge::Open(options, *poller_);
    ASSERT_TRUE(edge.ok()) << edge.status();
    edge_ = std::move(*edge);
    ASSERT_EQ(edge_->ClaimGroup(kGroup, Epoch()).value(), Epoch(1));
  }
  Timestamp Now() const { return io::MonotonicNow() + ahead_; }

  // One turn of the worker, with room for `room` datagrams.
  size_t Turn(size_t room = 32) {
    std::vector<io::InboundDatagram> out(room);
    const Timestamp now = Now();
    const size_t n = edge_->Receive(pool_, out, now);
    for (size_t i = 0; i < n; ++i) {
      const io::InboundDatagram& datagram = out[i];
      EXPECT_LE(datagram.receive_time, now);
      const std::span<const uint8_t> bytes = datagram.packet->bytes();
      got_.push_back(
          {datagram.client, datagram.group, datagram.epoch, {bytes.begin(), bytes.end()}});
    }
    return n;
  }
  // Turns until `done()`, waiting on the poller in between.
  template <typename Done>
  bool TurnUntil(Done done, size_t room = 32) {
    return io::PollUntil(*poller_, [&] {
      Turn(room);
      return done();
    });
  }
  bool TurnUntilGot(size_t count) {
    return TurnUntil([&] { return got_.size() >= count; }) && got_.size() == count;
  }
  bool TurnUntilDropped(DropReason reason, uint64_t count) {
    return TurnUntil([&] { return Dropped(reason) >= count; }) && Dropped(reason) == count;
  }
  uint64_t Dropped(DropReason reason) const { return edge_->counters().inbound_drops.Get(reason); }
  uint64_t AllDropped() const {
    const auto& counts = edge_->counters().inbound_drops.counts;
    return std::accumulate(counts.begin(), counts.end(), uint64_t{0});
  }
  void SendTo(const ClientAddress& client, std::span<const uint8_t> bytes) {
    PacketRef packet = pool_.Take();
    packet->size = static_cast<uint16_t>(bytes.size());
    std::copy(bytes.begin(), bytes.end(), packet->data.begin());
    std::array<OutboundDatagram, 1> batch = {{{client, std::move(packet)}}};
    edge_->Send(batch);
    EXPECT_FALSE(batch[0].packet);
  }

  static constexpr GroupId kGroup{77};

  PacketPool pool_{128};
  std::unique_ptr<io::Poller> poller_ = io::OpenPoller();
  std::unique_ptr<LocalEdge> edge_;
  std::vector<Got> got_;
  TimeDelta ahead_;
};

}  // namespace vigil::edge
