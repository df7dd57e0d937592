// From an offer to what the workers do, with real workers on loopback sockets.

#include "gateway/control/media_control.h"

#include <array>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gateway/control/api_error.h"
#include "gateway/edge/local_edge.h"
#include "gateway/io/clock.h"
#include "gateway/io/poller.h"
#include "gateway/transport/dtls_context.h"
#include "gtest/gtest.h"
#include "tests/unit/io/loopback.h"

namespace vigil::control {
namespace {

constexpr uint32_t kWorkers = 2;
const worker::FeedName kRoom{"room-1", "patient"};
const std::string kSite = "north";

std::string ReadOffer(const std::string& name) {
  std::ifstream in(VIGIL_SOURCE_DIR "/tests/fixtures/sdp/" + name, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// A player's offer with so many picture sections.
std::string PlayOffer(size_t pictures) {
  std::string offer = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE";
  for (size_t i = 0; i < pictures; ++i) offer += absl::StrCat(" ", i);
  offer += "\r\n";
  for (size_t i = 0; i < pictures; ++i) {
    absl::StrAppend(&offer, "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:", i,
                    "\r\na=recvonly\r\na=rtcp-mux\r\na=rtpmap:96 VP8/90000\r\n"
                    "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n"
                    "a=setup:actpass\r\na=fingerprint:sha-256 ");
    for (int byte = 0; byte < 32; ++byte) offer += byte == 0 ? "AB" : ":AB";
    offer += "\r\n";
  }
  return offer;
}

class MediaControlTest : public testing::Test {
 protected:
  void SetUp() override {
    auto dtls = transport::DtlsContext::Create({.wall_seconds = 1'800'000'000});
    ASSERT_TRUE(dtls.ok()) << dtls.status();
    std::vector<worker::WorkerGround> grounds;
    for (uint32_t i = 0; i < kWorkers; ++i) grounds.push_back(OpenGround(i));
    node_ = std::make_unique<worker::Node>(
        worker::NodeOptions{.wall_clock = rtp::WallClock{io::NtpAtMonotonicZero()},
                            .random = io::FillRandom},
        std::move(grounds), *std::move(dtls), *poller_);
    clock_ = {.now = io::MonotonicNow, .unix_nanos = [](Timestamp at) { return at.ns(); }};
    control_ = std::make_unique<MediaControl>(
        MediaControlOptions{.media_addresses = {"127.0.0.1"}, .peers_per_participant = 10'000},
        *node_, sites_, clock_, events_);
  }

  static worker::WorkerGround OpenGround(uint32_t index) {
    worker::WorkerGround ground;
    ground.group = GroupId(index + 1);
    ground.poller = io::OpenPoller();
    auto edge = edge::LocalEdge::Open({.addresses = {io::Loopback4()}}, *ground.poller);
    EXPECT_TRUE(edge.ok()) << edge.status();
    EXPECT_TRUE((*edge)->ClaimGroup(ground.group, Epoch()).ok());
    ground.media_port = (*edge)->port();
    ground.port = std::move(*edge);
    return ground;
  }

  template <typename Done>
  bool PumpUntil(Done done) {
    return io::PollUntil(*poller_, [&] {
      control_->Pump();
      return done();
    });
  }
  // Keeps what it is told.
  class Told final : public MediaEvents {
   public:
    void OnChange(SiteId, v1::MediaEvent event) override { events.push_back(std::move(event)); }
    std::vector<v1::MediaEvent> events;
  };

  void Play(size_t pictures, const std::vector<SiteFeed>& feeds,
            std::vector<absl::StatusOr<CreatedPeer>>& created) {
    control_->Play(
        {.site = kSite, .participant = "dr-1", .feeds = feeds, .offer = PlayOffer(pictures)},
        [&created](absl::StatusOr<CreatedPeer> peer) { created.push_back(peer); });
  }
  void Publish(std::vector<absl::StatusOr<CreatedPeer>>& created) {
    control_->Publish({.site = kSite, .feed = kRoom, .offer = ReadOffer("chromium-publish.sdp")},
                      [&created](absl::StatusOr<CreatedPeer> peer) { created.push_back(peer); });
  }
  std::string ListedFeed(PeerId player) const {
    return control_->messages().Slot(*control_->directory().FindPeer(player), 0).feed();
  }
  // How many slots carry something, by the workers themselves.
  std::optional<size_t> Subscriptions() {
    std::optional<size_t> subscriptions;
    control_->Counters([&subscriptions](const MediaControl::Reports& reports) {
      subscriptions = 0;
      for (const auto& report : reports) *subscriptions += report->worker.subscriptions;
    });
    EXPECT_TRUE(PumpUntil([&] { return subscriptions.has_value(); }));
    return subscriptions;
  }

  std::unique_ptr<io::Poller> poller_ = io::OpenPoller();
  std::unique_ptr<worker::Node> node_;
  SiteTable sites_;
  ControlClock clock_;
  Told events_;
  std::unique_ptr<MediaControl> control_;
};

TEST_F(MediaControlTest, EverySlotThatWaitedForARoomGetsItHoweverManyThereAre) {
  node_->Start();
  std::vector<absl::StatusOr<CreatedPeer>> players;
  constexpr size_t kPlayers = 10;
  constexpr size_t kSlots = 32;
  for (size_t i = 0; i < kPlayers; ++i) {
    Play(kSlots, std::vector<SiteFeed>(kSlots, {kSite, kRoom}), players);
    ASSERT_TRUE(PumpUntil([&] { return players.size() == i + 1; }));
    ASSERT_TRUE(players.back().ok()) << players.back().status();
  }
  std::vector<absl::StatusOr<CreatedPeer>> rooms;
  Publish(rooms);
  ASSERT_TRUE(PumpUntil([&] { return rooms.size() == 1; }));
  ASSERT_TRUE(rooms[0].ok()) << rooms[0].status();
  EXPECT_EQ(Subscriptions(), kPlayers * kSlots);
}

TEST_F(MediaControlTest, AFullQueueRefusesWhatIsNewAndLosesNothingThatIsThere) {
  std::vector<absl::StatusOr<CreatedPeer>> created;
  // The workers stand still.
  for (size_t i = 0; i < kWorkers * worker::WorkerThread::kMaxAsks; ++i) {
    Play(1, {{kSite, kRoom}}, created);
  }
  EXPECT_TRUE(created.empty());
  Play(1, {{kSite, kRoom}}, created);
  ASSERT_EQ(created.size(), 1u);
  EXPECT_EQ(created[0].status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(created[0].status()), v1::ERROR_REASON_WORKER_BUSY);
  created.clear();

  node_->Start();
  const size_t accepted = kWorkers * worker::WorkerThread::kMaxAsks;
  ASSERT_TRUE(PumpUntil([&] { return created.size() == accepted; }));
  for (const auto& peer : created) ASSERT_TRUE(peer.ok()) << peer.status();
  EXPECT_EQ(control_->directory().peers().size(), accepted);
  // All end, though more ends are asked for at once than a queue takes.
  size_t closed = 0;
  for (const auto& peer : created) {
    control_->Close(peer->id, [&closed](const absl::Status& status) {
      EXPECT_TRUE(status.ok()) << status;
      ++closed;
    });
  }
  ASSERT_TRUE(PumpUntil([&] { return closed == accepted; }));
  std::optional<size_t> peers;
  control_->Counters([&peers](const MediaControl::Reports& reports) {
    peers = 0;
    for (const auto& report : reports) *peers += report->worker.peer_count;
  });
  ASSERT_TRUE(PumpUntil([&] { return peers.has_value(); }));
  EXPECT_EQ(peers, 0u);
}

TEST_F(MediaControlTest, ARefusedAssignmentLeavesTheSlotAsItWas) {
  node_->Start();
  std::vector<absl::StatusOr<CreatedPeer>> created;
  Publish(created);
  ASSERT_TRUE(PumpUntil([&] { return created.size() == 1; }));
  // A room that sends sound only has nothing for a picture slot.
  const std::string offer = ReadOffer("chromium-publish.sdp");
  const size_t picture = offer.find("m=video");
  ASSERT_NE(picture, std::string::npos);
  const size_t sound = offer.find("m=audio");
  ASSERT_LT(sound, picture);
  control_->Publish({.site = kSite, .feed = {"room-2", "sound"}, .offer = offer.substr(0, picture)},
                    [&](absl::StatusOr<CreatedPeer> peer) { created.push_back(peer); });
  Play(1, {{kSite, kRoom}}, created);
  ASSERT_TRUE(PumpUntil([&] { return created.size() == 3; }));
  for (const auto& peer : created) ASSERT_TRUE(peer.ok()) << peer.status();

  std::optional<absl::Status> status;
  const worker::PeerRecord* player = nullptr;
  for (const auto& [id, peer] : control_->directory().peers()) {
    if (!peer.slots.empty()) player = &peer;
  }
  ASSERT_NE(player, nullptr);
  control_->Assign(player->id, 0, SiteFeed{kSite, {"room-2", "sound"}},
                   [&status](const absl::Status& answer) { status = answer; });
  ASSERT_TRUE(PumpUntil([&] { return status.has_value(); }));
  EXPECT_EQ(status->code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(player->slots[0].assigned.has_value());
  EXPECT_EQ(player->slots[0].assigned->name, kRoom);
  EXPECT_EQ(Subscriptions(), 1u);
}

TEST_F(MediaControlTest, OnlyWhatTheWorkerAgreedToIsTold) {
  node_->Start();
  std::vector<absl::StatusOr<CreatedPeer>> created;
  Publish(created);
  const std::string offer = ReadOffer("chromium-publish.sdp");
  control_->Publish(
      {.site = kSite, .feed = {"room-2", "sound"}, .offer = offer.substr(0, offer.find("m=video"))},
      [&](absl::StatusOr<CreatedPeer> peer) { created.push_back(peer); });
  ASSERT_TRUE(PumpUntil([&] { return created.size() == 2; }));
  Play(1, {}, created);
  ASSERT_TRUE(PumpUntil([&] { return created.size() == 3; }));
  for (const auto& peer : created) ASSERT_TRUE(peer.ok()) << peer.status();
  const PeerId player = created.back()->id;

  // All on their way at once: the first fits, the others do not.
  std::vector<absl::StatusCode> answers;
  const SiteFeed fits{kSite, kRoom};
  const SiteFeed unfit{kSite, {"room-2", "sound"}};
  for (const SiteFeed& feed : {fits, unfit, unfit}) {
    control_->Assign(player, 0, feed,
                     [&](const absl::Status& answer) { answers.push_back(answer.code()); });
    EXPECT_EQ(ListedFeed(player), "") << "nothing has been agreed to yet";
  }
  ASSERT_TRUE(PumpUntil([&] { return answers.size() == 3; }));
  EXPECT_EQ(answers, (std::vector{absl::StatusCode::kOk, absl::StatusCode::kFailedPrecondition,
                                  absl::StatusCode::kFailedPrecondition}));
  std::vector<std::string> told;
  for (const v1::MediaEvent& event : events_.events) {
    if (event.has_slot_assigned()) told.push_back(event.slot_assigned().slot().feed());
  }
  EXPECT_EQ(told, (std::vector<std::string>{kRoom.ToString()}));
  EXPECT_EQ(ListedFeed(player), kRoom.ToString());
  EXPECT_EQ(Subscriptions(), 1u);
}

TEST_F(MediaControlTest, ManyReportsAtOnceAreOne) {
  size_t answered = 0;
  for (int i = 0; i < 1'000; ++i) {
    control_->Counters([&answered](const MediaControl::Reports& reports) {
      EXPECT_EQ(reports.size(), kWorkers);
      ++answered;
    });
  }
  EXPECT_TRUE(node_->CheckRoom(0).ok());
  node_->Start();
  EXPECT_TRUE(PumpUntil([&] { return answered == 1'000; }));
}

}  // namespace
}  // namespace vigil::control
