#include "tests/support/random_world.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "gateway/base/rng.h"
#include "tests/support/world.h"

namespace vigil::sim {
namespace {

constexpr TimeDelta kStart = TimeDelta::Millis(400);
constexpr TimeDelta kLeastBusy = TimeDelta::Millis(2500);
constexpr TimeDelta kMostBusy = TimeDelta::Millis(4500);
// A client that moved, and says nothing but checks, is followed after ice::IceLiteAgent::kSilence.
constexpr TimeDelta kCalm = TimeDelta::Millis(4000);

LinkModel RandomLink(Rng& rng) {
  LinkModel link;
  link.delay = TimeDelta::Micros(rng.Between(200, 60'000));
  if (rng.Chance(0.5)) link.jitter = TimeDelta::Micros(rng.Between(0, 15'000));
  if (rng.Chance(0.5)) {
    link.good_to_bad = 0.01;
    link.bad_to_good = 0.3;
    link.loss_in_good = rng.Unit() * 0.02;
    link.loss_in_bad = rng.Unit() * 0.6;
  }
  if (rng.Chance(0.2)) {
    link.rate = DataRate::KilobitsPerSecond(rng.Between(600, 3000));
    link.max_queue = TimeDelta::Millis(rng.Between(20, 150));
  }
  if (rng.Chance(0.3)) {
    link.reorder = 0.02;
    link.reorder_delay = TimeDelta::Millis(rng.Between(1, 30));
  }
  if (rng.Chance(0.3)) link.duplicate = 0.02;
  return link;
}

rtp::Codec RandomVideoCodec(Rng& rng) {
  const rtp::Codec codecs[] = {kVp8, kVp9, kH264, kAv1};
  return codecs[rng.Below(4)];
}

class RandomWorld {
 public:
  explicit RandomWorld(uint64_t seed)
      : rng_(seed * 0x9e3779b97f4a7c15 + 1),
        workers_(static_cast<uint32_t>(1 + rng_.Below(3))),
        lossless_(rng_.Chance(0.2)),
        world_(RandomOptions(seed)) {}

  RandomWorldOutcome Run() {
    Populate();
    world_.RunFor(kStart);
    for (const sfu::SlotKey& slot : slots_) AssignAny(slot);
    const TimeDelta busy = TimeDelta::Micros(rng_.Between(kLeastBusy.us(), kMostBusy.us()));
    ScheduleDrill(busy);
    ScheduleCommands(busy);
    world_.RunFor(busy);
    Calm();
    world_.RunFor(kCalm);
    CheckEverybodySees();
    if (lossless_) ExpectNothingLost();
    world_.Finish();
    return Outcome();
  }

 private:
  // It restores the workers itself, in ways of its own.
  WorldOptions RandomOptions(uint64_t seed) {
    WorldOptions options{.seed = seed, .workers = workers_, .drill_at = TimeDelta::Infinite()};
    if (lossless_ || rng_.Chance(0.3)) return options;
    options.relay_ring = size_t{4} << rng_.Below(5);
    options.relay_delay = TimeDelta::Micros(rng_.Between(1, 8'000));
    return options;
  }

  Paths RandomPaths() {
    if (!lossless_) return {RandomLink(rng_), RandomLink(rng_)};
    LinkModel link{.delay = TimeDelta::Micros(rng_.Between(200, 40'000))};
    return {link, link};
  }

  transport::SrtpProfile RandomProfile() {
    return rng_.Chance(0.7) ? transport::SrtpProfile::kAeadAes128Gcm
                            : transport::SrtpProfile::kAes128CmSha1_80;
  }

  void AddPublisher(bool hostile) {
    PublisherOptions options;
    options.client.profile = RandomProfile();
    options.client.wall_offset = TimeDelta::Millis(rng_.Between(-3'600'000, 3'600'000));
    options.audio = rng_.Chance(0.8);
    options.signal_ssrcs = rng_.Chance(0.5);
    options.answers_nack = !rng_.Chance(0.1);
    options.reports = !rng_.Chance(0.1);
    options.video.reset();
    if (!options.audio || rng_.Chance(0.85)) {
      VideoOptions video;
      video.codec = RandomVideoCodec(rng_);
      video.frames_per_second = static_cast<int>(rng_.Between(10, 25));
      video.most_packets = static_cast<int>(rng_.Between(1, 4));
      video.payload = static_cast<size_t>(rng_.Between(80, 600));
      if (rng_.Chance(0.3)) video.padding = rng_.Unit() * 0.3;
      if (rng_.Chance(0.3)) video.rids = {"q", "h"};
      if (rng_.Chance(0.1)) video.rids = {"q", "h", "f"};
      options.video = video;
    }
    const uint32_t worker = AnyWorker();
    if (hostile) {
      // What a slot leaves out of such a stream is a leap, not padding.
      if (options.video) options.video->padding = 0;
      HostilePublisher& enemy = world_.AddHostilePublisher(options, RandomPaths(), worker);
      // A second of this, which a fault may cost, is still far from 32768.
      enemy.Begin(1'100, /*chance=*/0.3);
      hostile_publishers_.push_back(&enemy);
      publishers_.push_back(&enemy);
      return;
    }
    publishers_.push_back(&world_.AddPublisher(options, RandomPaths(), worker));
  }

  void AddSubscriber(bool hostile) {
    SubscriberOptions options;
    options.client.profile = RandomProfile();
    options.client.wall_offset = TimeDelta::Millis(rng_.Between(-3'600'000, 3'600'000));
    options.playout_delay = rng_.Chance(0.8);
    options.sends_reports = rng_.Chance(0.9);
    const auto count = static_cast<int>(rng_.Between(1, 3));
    for (int i = 0; i < count; ++i) {
      SlotOptions slot;
      if (rng_.Chance(0.35)) {
        slot.kind = rtp::MediaKind::kAudio;
      } else if (rng_.Chance(0.3)) {
        slot.codecs = {RandomVideoCodec(rng_)};
      }
      options.slots.push_back(slot);
    }
    const uint32_t worker = AnyWorker();
    ScriptedSubscriber* added = nullptr;
    if (hostile) {
      HostileSubscriber& enemy = world_.AddHostile(options, RandomPaths(), worker);
      enemy.Begin(TimeDelta::Millis(rng_.Between(5, 60)));
      hostile_.push_back(&enemy);
      added = &enemy;
    } else {
      added = &world_.AddSubscriber(options, RandomPaths(), worker);
      subscribers_.push_back(added);
    }
    for (int i = 0; i < count; ++i) {
      slots_.push_back({added->peer(), static_cast<uint8_t>(i)});
      wanted_layers_.push_back(255);
    }
  }

  void Populate() {
    const auto publishers = rng_.Between(1, 6);
    const auto subscribers = rng_.Between(1, 10);
    for (int64_t i = 0; i < publishers; ++i) AddPublisher(/*hostile=*/false);
    if (!lossless_ && rng_.Chance(0.2)) AddPublisher(/*hostile=*/true);
    for (int64_t i = 0; i < subscribers; ++i) AddSubscriber(/*hostile=*/false);
    if (!lossless_ && rng_.Chance(0.4)) AddSubscriber(/*hostile=*/true);
  }

  uint32_t AnyWorker() { return static_cast<uint32_t>(rng_.Below(workers_)); }
  const ScriptedPublisher& AnyPublisher() { return *publishers_[rng_.Below(publishers_.size())]; }

  void AssignAny(sfu::SlotKey slot) {
    const FeedId feed = rng_.Chance(0.1) ? FeedId() : AnyPublisher().options().feed;
    (void)world_.Assign(slot, feed);
  }

  // The workers are replaced once, by a planned hand-over or after a fault.
  void ScheduleDrill(TimeDelta busy) {
    const TimeDelta at = TimeDelta::Micros(rng_.Between(0, busy.us() - 1'200'000));
    const bool planned = lossless_ || rng_.Chance(0.5);
    const TimeDelta blackout =
        lossless_ || rng_.Chance(0.3) ? TimeDelta::Zero() : TimeDelta::Millis(rng_.Between(1, 150));
    const TimeDelta stale = TimeDelta::Millis(rng_.Between(0, 1000));
    world_.At(at, [this, planned, stale, blackout] {
      if (planned) {
        world_.HandOver(blackout);
      } else {
        world_.Crash(stale, blackout);
      }
    });
  }

  void ScheduleCommands(TimeDelta busy) {
    for (TimeDelta at; at < busy; at += TimeDelta::Millis(rng_.Between(10, 250))) {
      world_.At(at, [this] { Command(); });
    }
    if (rng_.Chance(0.3)) {
      world_.At(busy / 2, [this] {
        if (!world_.IsSteady()) return;
        AddPublisher(/*hostile=*/false);
        AddSubscriber(/*hostile=*/false);
      });
    }
  }

  void Command() {
    const size_t slot = rng_.Below(slots_.size());
    ScriptedPublisher& publisher = *publishers_[rng_.Below(publishers_.size())];
    const PeerId peer = rng_.Chance(0.3) ? publisher.peer() : slots_[slot].peer;
    const uint64_t what = rng_.Below(100);
    if (what < 45) {
      AssignAny(slots_[slot]);
    } else if (what < 60) {
      const auto layer = static_cast<uint8_t>(rng_.Below(4));
      if (world_.Select(slots_[slot], layer == 3 ? 255 : layer).ok()) {
        wanted_layers_[slot] = layer == 3 ? 255 : layer;
      }
    } else if (what < 65) {
      (void)world_.RequestKeyframe(publisher.options().feed);
    } else if (what < 69) {
      (void)world_.RestartIce(peer);
    } else if (what < 72) {
      world_.Move(peer);
    } else if (what < 76) {
      publisher.set_active_layers(1 + rng_.Below(3));
    } else if (what < 79) {
      publisher.set_paused(rng_.Chance(0.5));
    } else if (what < 81) {
      if (world_.IsSteady()) publisher.Restart(world_.now());
    } else if (what < 82) {
      (void)world_.Close(peer);
    } else if (what < 86 && !lossless_) {
      world_.SetPaths(peer, RandomPaths());
    } else if (!lossless_) {
      Spoof(peer);
    }
  }

  // Datagrams of somebody who can see and forge addresses, but has no keys.
  void Spoof(PeerId peer) {
    const auto worker = static_cast<uint32_t>(rng_.Below(workers_));
    const ClientAddress own = world_.FindClient(peer)->transport().identity().address;
    const ClientAddress other =
        ClientAddress::V4(198, 51, 100, static_cast<uint8_t>(rng_.Next()), 4000);
    std::vector<uint8_t> bytes = world_.Recorded(peer, rng_.Next());
    if (bytes.empty()) return;
    switch (rng_.Below(4)) {
      case 0:  // Replayed, or delivered at last.
        return world_.Inject(worker, own, bytes, peer);
      case 1:  // Replayed from elsewhere. A check that never arrived would be new (RFC 8445, 19.2).
        if (bytes[0] >= 64 || world_.HasArrived(bytes)) world_.Inject(worker, other, bytes);
        return;
      case 2:  // Cut short.
        bytes.resize(rng_.Below(bytes.size()));
        return world_.Inject(worker, own, bytes);
      default:
        for (int i = 0; i < 3; ++i) {
          bytes[rng_.Below(bytes.size())] ^= static_cast<uint8_t>(1 + rng_.Below(255));
        }
        return world_.Inject(worker, rng_.Chance(0.7) ? own : other, bytes);
    }
  }

  void Calm() {
    for (ScriptedPublisher* publisher : publishers_) {
      publisher->set_paused(false);
      publisher->set_active_layers(8);
      world_.SetPaths(publisher->peer(), {});
    }
    for (const sfu::SlotKey& slot : slots_) world_.SetPaths(slot.peer, {});
    for (HostileSubscriber* enemy : hostile_) enemy->Begin(TimeDelta::Infinite());
    for (HostilePublisher* enemy : hostile_publishers_) enemy->Begin(0);
    world_.set_relay_delay(TimeDelta::Zero());
  }

  // A run over perfect paths drops nothing, but for these reasons.
  void ExpectNothingLost() {
    world_.ExpectNoDropsBut(
        {
            DropReason::kUnknownSource,  // On its way when its peer was closed.
            DropReason::kUnknownUfrag,   // A check, likewise.
        },
        {
            DropReason::kNoSubscriber,        // Nobody watches this feed.
            DropReason::kWaitingForKeyframe,  // A slot that was just assigned.
            DropReason::kLayerNotWanted,      // Simulcast: one layer of several is carried.
            DropReason::kPaddingOnly,         // Probes are for the gateway, not for receivers.
            DropReason::kCodecMismatch,       // A slot of other codecs than the feed's.
            DropReason::kPeerNotConnected,    // A slot was assigned before its peer was there.
        });
  }

  void CheckEverybodySees() {
    if (!world_.findings().empty()) return;
    for (size_t i = 0; i < slots_.size(); ++i) {
      const sfu::SlotKey key = slots_[i];
      const FeedId feed = world_.AssignedTo(key);
      if (feed.IsNone() || !world_.IsOpen(key.peer)) continue;
      const auto& subscriber =
          dynamic_cast<const ScriptedSubscriber&>(*world_.FindClient(key.peer));
      const SlotExperience& seen = subscriber.experience(key.index);
      const std::string name =
          "slot " + std::to_string(key.index) + " of peer " + std::to_string(key.peer.value());
      frames_ += seen.frames;
      if (seen.feed != feed || world_.now() - seen.last_frame_at > TimeDelta::Millis(500)) {
        world_.findings().Add(world_.now(),
                              name + " does not show feed " + std::to_string(feed.value()));
        continue;
      }
      if (subscriber.track(key.index).kind == rtp::MediaKind::kAudio) continue;
      const size_t layers = std::max<size_t>(LayersOf(feed), 1);
      if (seen.layer != std::min<size_t>(wanted_layers_[i], layers - 1)) {
        world_.findings().Add(world_.now(), name + " shows layer " + std::to_string(seen.layer) +
                                                " of " + std::to_string(layers) + ", wanted " +
                                                std::to_string(wanted_layers_[i]));
      }
    }
  }

  size_t LayersOf(FeedId feed) const {
    for (const ScriptedPublisher* publisher : publishers_) {
      if (publisher->options().feed == feed && publisher->options().video) {
        return publisher->options().video->rids.size();
      }
    }
    return 0;
  }

  RandomWorldOutcome Outcome() {
    RandomWorldOutcome outcome;
    if (!world_.findings().empty()) outcome.findings = world_.findings().ToString();
    outcome.hash = world_.hash();
    outcome.datagrams = world_.datagrams_sent();
    outcome.frames = frames_;
    outcome.relays_lost = world_.relays_lost();
    for (const sfu::SlotKey& slot : slots_) {
      outcome.switches += world_.slot(slot).switches();
      outcome.retransmissions += world_.slot(slot).retransmissions();
    }
    return outcome;
  }

  Rng rng_;
  uint32_t workers_;
  bool lossless_;
  World world_;
  std::vector<ScriptedPublisher*> publishers_;
  std::vector<ScriptedSubscriber*> subscribers_;
  std::vector<HostileSubscriber*> hostile_;
  std::vector<HostilePublisher*> hostile_publishers_;
  std::vector<sfu::SlotKey> slots_;
  std::vector<uint8_t> wanted_layers_;
  uint64_t frames_ = 0;
};

}  // namespace

RandomWorldOutcome RunRandomWorld(uint64_t seed) { return RandomWorld(seed).Run(); }

}  // namespace vigil::sim
