// The threads of a whole node: what passes between the control thread and the workers. Run under
// ThreadSanitizer too.

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <numeric>
#include <thread>
#include <utility>
#include <vector>

#include "gateway/edge/local_edge.h"
#include "gateway/io/clock.h"
#include "gateway/io/poller.h"
#include "gateway/transport/dtls_context.h"
#include "gateway/worker/node.h"
#include "gtest/gtest.h"
#include "tests/unit/io/loopback.h"

namespace vigil::worker {
namespace {

constexpr uint32_t kWorkers = 2;

WorkerGround OpenGround(uint32_t index) {
  WorkerGround ground;
  ground.group = GroupId(index + 1);
  ground.poller = io::OpenPoller();
  auto edge = edge::LocalEdge::Open({.addresses = {io::Loopback4()}}, *ground.poller);
  EXPECT_TRUE(edge.ok()) << edge.status();
  EXPECT_TRUE((*edge)->ClaimGroup(ground.group, Epoch()).ok());
  ground.media_port = (*edge)->port();
  ground.port = std::move(*edge);
  return ground;
}

uint64_t Total(const DropCounters& drops) {
  return std::accumulate(drops.counts.begin(), drops.counts.end(), uint64_t{0});
}

class NodeThreads : public testing::Test {
 protected:
  void SetUp() override {
    const rtp::WallClock wall_clock{io::NtpAtMonotonicZero()};
    // NTP counts from 1900, the dates of certificates from 1970.
    const auto ntp_seconds = static_cast<int64_t>(wall_clock.At(io::MonotonicNow()).value() >> 32);
    auto dtls = transport::DtlsContext::Create({.wall_seconds = ntp_seconds - 2'208'988'800});
    ASSERT_TRUE(dtls.ok()) << dtls.status();
    std::vector<WorkerGround> grounds;
    for (uint32_t i = 0; i < kWorkers; ++i) grounds.push_back(OpenGround(i));
    node_ = std::make_unique<Node>(NodeOptions{.wall_clock = wall_clock, .random = io::FillRandom},
                                   std::move(grounds), *std::move(dtls), *control_);
  }

  // Counts the answers of each number.
  void PostNumbered(uint32_t worker, std::variant<sfu::Command, ReportRequest> what,
                    uint64_t number) {
    node_->Post(worker, std::move(what), [this, number](Answer& answer) {
      ++answers_[number];
      order_.push_back(number);
      if (answer.report != nullptr) last_report_ = std::move(answer.report);
    });
  }
  bool PumpUntilAnswered(size_t count) {
    return io::PollUntil(*control_, [&] {
      node_->Pump([](uint32_t, const sfu::Event&) {});
      return answers_.size() >= count;
    });
  }

  std::unique_ptr<io::Poller> control_ = io::OpenPoller();
  std::unique_ptr<Node> node_;
  std::map<uint64_t, int> answers_;
  std::vector<uint64_t> order_;  // Of the answers.
  std::unique_ptr<ThreadReport> last_report_;
};

TEST_F(NodeThreads, EveryCommandIsAnsweredOnce) {
  node_->Start();
  uint64_t number = 0;
  for (int round = 0; round < 100; ++round) {
    for (uint32_t worker = 0; worker < kWorkers; ++worker) {
      PostNumbered(worker, ReportRequest{}, number++);
      PostNumbered(worker, sfu::ClosePeer{PeerId(number)}, number);
      ++number;
    }
    // Now and then all are taken, so that both ends of the rings move.
    if (round % 10 == 9) {
      ASSERT_TRUE(PumpUntilAnswered(number));
    }
  }
  EXPECT_EQ(answers_.size(), number);
  for (const auto& [id, count] : answers_) EXPECT_EQ(count, 1) << id;
}

TEST_F(NodeThreads, AFullQueueRefusesAtOnceAndLosesNothingThatWasAccepted) {
  constexpr uint64_t kPosted = 2 * WorkerThread::kMaxAsks + 100;
  for (uint64_t i = 0; i < kPosted; ++i) {
    EXPECT_EQ(node_->CheckRoom(0).ok(), i < WorkerThread::kMaxAsks) << i;
    PostNumbered(0, ReportRequest{}, i);
  }
  EXPECT_EQ(node_->CheckRoom(0).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(node_->CheckRoom(1).ok());  // The other worker has its own.
  node_->Start();
  ASSERT_TRUE(PumpUntilAnswered(kPosted));
  for (uint64_t i = 0; i < kPosted; ++i) EXPECT_EQ(order_[i], i);
  EXPECT_TRUE(node_->CheckRoom(0).ok());
}

TEST_F(NodeThreads, DatagramsOfStrangersAndCommandsMeet) {
  node_->Start();
  // So few that they fit the socket's buffer whatever the worker does.
  constexpr uint64_t kDatagrams = 100;
  std::thread stranger([port = node_->media_port(0)] {
    const io::Fd socket = io::ConnectedSocket(SOCK_DGRAM, io::Loopback4(), port);
    std::array<uint8_t, 64> bytes{};
    for (uint64_t i = 0; i < kDatagrams; ++i) {
      bytes[0] = static_cast<uint8_t>(i);
      send(socket.get(), bytes.data(), bytes.size(), 0);
    }
  });
  uint64_t number = 0;
  const bool all_seen = io::PollUntil(*control_, [&] {
    node_->Pump([](uint32_t, const sfu::Event&) {});
    if (number == answers_.size()) {
      PostNumbered(0, ReportRequest{}, number);
      ++number;
    }
    if (last_report_ == nullptr) return false;
    const io::PortCounters& port = last_report_->port;
    return port.received + Total(port.inbound_drops) >= kDatagrams;
  });
  stranger.join();
  EXPECT_TRUE(all_seen);
  ASSERT_NE(last_report_, nullptr);
  EXPECT_EQ(last_report_->port.sent, 0u);  // Whoever is not known gets no answer.
}

TEST_F(NodeThreads, StoppingWithCommandsOutstandingEndsCleanly) {
  node_->Start();
  for (uint64_t i = 0; i < 100; ++i) {
    PostNumbered(static_cast<uint32_t>(i % kWorkers), ReportRequest{}, i);
  }
  node_->Stop();
  node_->Stop();
  // What the callers hold goes when they are told that no answer comes, not with the node.
  const auto held = std::make_shared<int>(0);
  node_->Post(0, ReportRequest{}, [held](Answer&) {});
  node_->DropWaiting();
  EXPECT_EQ(held.use_count(), 1);
  node_.reset();
  for (const auto& [id, count] : answers_) EXPECT_EQ(count, 1) << id;
}

TEST_F(NodeThreads, ANodeThatNeverStartedEnds) { node_.reset(); }

}  // namespace
}  // namespace vigil::worker
