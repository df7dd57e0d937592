// The duty cycle of one worker's thread, with a port of the test's own.

#include "gateway/worker/worker_thread.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <utility>
#include <vector>

#include "gateway/io/clock.h"
#include "gtest/gtest.h"
#include "tests/unit/io/loopback.h"
#include "tests/unit/worker/worker_fixture.h"

namespace vigil::worker {
namespace {

using testing::Bytes;
using testing::Client;
using testing::Dtls;

constexpr FeedId kFeed{7};

struct Arrival {
  ClientAddress from;
  Bytes bytes;
};

// Has a list of datagrams ready, all at once, and counts what is sent.
class BurstPort : public io::DatagramPort {
 public:
  explicit BurstPort(std::vector<Arrival> arrivals) : arrivals_(std::move(arrivals)) {}

  size_t Receive(PacketPool& pool, std::span<io::InboundDatagram> out, Timestamp now) override {
    if (!open_.load(std::memory_order_acquire)) return 0;
    size_t filled = 0;
    for (; filled < out.size() && next_ < arrivals_.size(); ++filled, ++next_) {
      const Arrival& arrival = arrivals_[next_];
      io::InboundDatagram& datagram = out[filled];
      datagram.client = arrival.from;
      datagram.receive_time = now;
      datagram.packet = pool.Take();
      if (!datagram.packet) return filled;
      std::copy(arrival.bytes.begin(), arrival.bytes.end(), datagram.packet->data.begin());
      datagram.packet->size = static_cast<uint16_t>(arrival.bytes.size());
    }
    return filled;
  }
  void Send(std::span<OutboundDatagram> batch) override {
    counters_.sent += batch.size();
    for (OutboundDatagram& datagram : batch) datagram.packet.Reset();
  }
  void BindClient(const ClientAddress&, GroupId) override {}
  void UnbindClient(const ClientAddress&) override {}
  Timestamp NextDeadline() const override { return Timestamp::Never(); }
  const io::PortCounters& counters() const override { return counters_; }

  // The burst may begin.
  void Open() { open_.store(true, std::memory_order_release); }

 private:
  std::vector<Arrival> arrivals_;
  size_t next_ = 0;
  std::atomic<bool> open_{false};
  io::PortCounters counters_;
};

class WorkerThreadTest : public ::testing::Test {
 protected:
  // Answers of `count` asks; the last one.
  Answer Take(WorkerThread& thread, size_t count) {
    Answer last;
    size_t taken = 0;
    EXPECT_TRUE(io::PollUntil(*control_, [&] {
      for (Answer answer; taken < count && thread.Next(answer); ++taken) {
        EXPECT_TRUE(answer.status.ok()) << answer.status;
        last = std::move(answer);
      }
      return taken == count;
    }));
    return last;
  }

  std::unique_ptr<io::Poller> control_ = io::OpenPoller();
  std::unique_ptr<io::Poller> poller_ = io::OpenPoller();
};

// A whole turn's worth of picture for many viewers does not fit into the outbox: it has to be sent
// meanwhile.
TEST_F(WorkerThreadTest, ABurstThatOverfillsTheOutboxIsSentWithinTheTurn) {
  constexpr size_t kViewers = 40;
  constexpr size_t kPackets = 220;
  static_assert(kViewers * kPackets > WorkerThread::kOutbox);
  Client room(PeerId(1), kFeed);
  std::vector<std::unique_ptr<Client>> viewers;
  std::vector<Arrival> arrivals = {{room.address(), room.transport().MakeCheck(true)}};
  for (size_t i = 0; i < kViewers; ++i) {
    viewers.push_back(std::make_unique<Client>(PeerId(2 + i), FeedId()));
    arrivals.push_back({viewers.back()->address(), viewers.back()->transport().MakeCheck(true)});
  }
  // Too long to pass for sound.
  for (size_t i = 0; i < kPackets; ++i) arrivals.push_back({room.address(), room.Rtp(i == 0, 600)});

  BurstPort port(arrivals);
  WorkerThread thread(std::make_unique<Worker>(WorkerOptions{}, Dtls(), nullptr), port, *poller_,
                      *control_);
  thread.Start({&thread});
  uint64_t ticket = 0;
  ASSERT_TRUE(thread.Post({++ticket, sfu::Command(room.create())}));
  for (const auto& viewer : viewers) {
    ASSERT_TRUE(thread.Post({++ticket, sfu::Command(viewer->create())}));
    ASSERT_TRUE(thread.Post({++ticket, sfu::Command(sfu::AssignSlot{viewer->slot(), kFeed})}));
  }
  Take(thread, ticket);
  port.Open();
  thread.Wake();
  std::unique_ptr<ThreadReport> report;
  for (int i = 0; i < 10'000 && (!report || report->worker.counters.track_packets < kPackets);
       ++i) {
    ASSERT_TRUE(thread.Post({++ticket, ReportRequest{}}));
    report = Take(thread, 1).report;
  }
  thread.Stop();
  ASSERT_TRUE(report);
  EXPECT_EQ(report->worker.counters.track_packets, kPackets);
  EXPECT_EQ(report->worker.counters.sent, kPackets * kViewers);
  EXPECT_EQ(report->worker.counters.egress_drops.Get(DropReason::kQueueFull), 0u);
}

}  // namespace
}  // namespace vigil::worker
