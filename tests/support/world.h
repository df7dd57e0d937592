#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gateway/base/rng.h"
#include "gateway/transport/dtls_context.h"
#include "gateway/worker/relay.h"
#include "gateway/worker/worker.h"
#include "tests/support/findings.h"
#include "tests/support/hostile_publisher.h"
#include "tests/support/hostile_subscriber.h"
#include "tests/support/publisher_checker.h"
#include "tests/support/scripted_publisher.h"
#include "tests/support/scripted_subscriber.h"
#include "tests/support/simulated_network.h"
#include "tests/support/slot_checker.h"
#include "tests/support/srtp_oracle.h"

namespace vigil::sim {

struct WorldOptions {
  uint64_t seed = 1;
  uint32_t workers = 1;
  size_t packets = 4096;  // Of each worker's pool.
  // The restore drill, which belongs to every simulation: so long after its begin all workers are
  // exported, destroyed and restored (HandOver). Infinite where a scenario restores them itself. A
  // run that comes to its end without gets its drill there.
  TimeDelta drill_at = TimeDelta::Millis(900);
  // Why this run has no drill: for what a restore would make meaningless, and nothing else.
  std::string no_drill_because = {};
  size_t relay_ring = worker::RelayLink::kPackets;
  TimeDelta relay_delay = {};  // Relays are read so long after they were written, at most.
};

struct Paths {
  LinkModel up;  // Client to gateway.
  LinkModel down;
};

// Production workers without threads and sockets, scripted clients behind simulated networks and a
// control plane, all in virtual time. Every checker watches every run; findings() tells.
class World {
 public:
  explicit World(const WorldOptions& options);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  // ---- Clients. The world owns them; their peer and feed ids are theirs alone. ----
  ScriptedPublisher& AddPublisher(PublisherOptions options, const Paths& paths = {},
                                  uint32_t worker = 0);
  ScriptedSubscriber& AddSubscriber(SubscriberOptions options, const Paths& paths = {},
                                    uint32_t worker = 0);
  // Nobody checks what it is asked and told; what becomes of it at its viewers is checked.
  HostilePublisher& AddHostilePublisher(PublisherOptions options, const Paths& paths = {},
                                        uint32_t worker = 0);
  HostileSubscriber& AddHostile(SubscriberOptions options, const Paths& paths = {},
                                uint32_t worker = 0);
  void SetPaths(PeerId peer, const Paths& paths);
  // The client is unplugged: nothing goes in or out any more.
  void Unplug(PeerId peer) { clients_.at(peer).unplugged = true; }
  ScriptedClient* FindClient(PeerId peer);

  // ---- The control plane: what the API would make of it, on whichever workers it concerns. ----
  // UNAVAILABLE while the workers are gone, or about to die unseen.
  absl::Status Assign(sfu::SlotKey slot, FeedId feed);
  absl::Status Select(sfu::SlotKey slot, uint8_t layer);
  absl::Status Close(PeerId peer);
  absl::Status RestartIce(PeerId peer);
  absl::Status RequestKeyframe(FeedId feed);
  // The client's datagrams come from another address from now on.
  void Move(PeerId peer);
  FeedId AssignedTo(sfu::SlotKey slot) const;
  bool IsOpen(PeerId peer) const;
  // The workers are there and not about to die.
  bool IsSteady() const { return !down_ && !frozen_; }
  std::optional<sfu::CloseReason> ClosedFor(PeerId peer) const;

  // ---- Faults. ----
  // A planned hand-over: the state of all workers goes through bytes into fresh ones on a machine
  // with another monotonic clock. For `blackout` nobody answers.
  void HandOver(TimeDelta blackout = TimeDelta::Zero());
  // The state of now is what a standby has; the workers go on for `stale`, die, and the standby
  // is there `blackout` later.
  void Crash(TimeDelta stale, TimeDelta blackout = TimeDelta::Zero());
  // Makes of an exported state what a standby has after a fault: a finite block of indexes on each
  // stream, those included that were never used.
  static void SetLimits(worker::WorkerState& state);
  // A datagram that no scripted client sent.
  // `origin`: who made these very bytes, if a client did.
  void Inject(uint32_t worker, const ClientAddress& from, std::vector<uint8_t> bytes,
              PeerId origin = PeerId());
  // A datagram that the client really sent, some time ago; empty if it has sent none.
  std::vector<uint8_t> Recorded(PeerId peer, uint64_t which) const;
  // Whether the gateway has had these bytes, from whomever.
  bool HasArrived(std::span<const uint8_t> bytes) const { return arrived_.contains(HashOf(bytes)); }

  // ---- Time. ----
  void RunFor(TimeDelta span);
  void At(TimeDelta from_now, std::function<void()> action);
  Timestamp now() const { return now_; }

  // Settles accounts: call last. The workers are gone afterwards.
  void Finish();
  Findings& findings() { return findings_; }
  // Of every datagram the gateway sent, with its time and address.
  uint64_t hash() const { return hash_; }
  uint64_t datagrams_sent() const { return datagrams_sent_; }
  worker::WorkerReport Report(uint32_t worker) const { return nodes_[worker].worker->Report(); }
  const SlotChecker& slot(sfu::SlotKey slot) const;
  const PublisherChecker& publisher(PeerId peer) const { return *clients_.at(peer).publisher; }
  const std::vector<sfu::Event>& events() const { return events_; }
  const SrtpOracle& oracle() const { return oracle_; }
  // No finding when only these reasons occur: for runs in which nothing may be lost. On the way out
  // nothing may be dropped, between workers only what nobody wants any more.
  void ExpectNoDropsBut(const std::set<DropReason>& ingress, const std::set<DropReason>& router);
  // No finding when no worker holds a packet: for when everybody is gone.
  void ExpectNothingHeld();
  // How often the workers were replaced.
  uint64_t restores() const { return restores_; }
  // Packets that found the ring to another worker full.
  uint64_t relays_lost() const { return relays_lost_; }
  void set_relay_delay(TimeDelta most) { options_.relay_delay = most; }
  // For the tests of the checkers themselves, which have to break something.
  PacketPool& pool(uint32_t worker) { return nodes_[worker].worker->pool(); }
  worker::RelayMesh& mesh() { return *mesh_; }

 private:
  struct Node {
    std::unique_ptr<worker::Worker> worker;
    worker::TurnOutput out{1024};
    bool relay_pending = false;
    bool relay_scheduled = false;
    DropCounters egress_drops_seen;
    DropCounters ingress_drops;  // Of workers that are gone.
    DropCounters router_drops;
    DropCounters egress_drops;
    DropCounters relay_drops;
  };
  struct Client {
    std::unique_ptr<ScriptedClient> client;
    uint32_t worker = 0;
    SimulatedLink up{LinkModel{}, 0};
    SimulatedLink down{LinkModel{}, 0};
    TimeDelta longest_path;  // Of all it has had, either way.
    bool strict = false;     // Nothing it sent was lost or overtaken so far.
    bool unplugged = false;
    bool open = true;
    std::optional<sfu::CloseReason> closed_for;
    std::set<ClientAddress> addresses;
    std::unique_ptr<transport::SrtpReceiver> tap;
    ScriptedPublisher* as_publisher = nullptr;
    ScriptedSubscriber* as_subscriber = nullptr;
    std::unique_ptr<PublisherChecker> publisher;
    std::vector<SlotChecker> slots;
    std::vector<uint64_t> unsent;  // By slot, what the worker has told of so far.
    std::optional<uint16_t> transport_sequence;
    std::vector<std::vector<uint8_t>> recorded;
  };
  struct Event {
    PeerId to;  // None: to the worker.
    uint32_t worker = 0;
    PeerId from;            // None: injected.
    ClientAddress address;  // The client's.
    std::vector<uint8_t> bytes;
    std::function<void()> action;
  };

  void Identify(PublisherOptions& options);
  Client& Register(std::unique_ptr<ScriptedClient> client, const Paths& paths, uint32_t worker);
  void MakeWorkers();
  template <typename F>
  absl::Status Turn(uint32_t index, F&& f);
  absl::Status Apply(uint32_t index, const sfu::Command& command);
  void Flush(uint32_t index);
  void RunRelays();
  // Reads everything that is between workers.
  void DrainRelays();
  void ScheduleRelay(uint32_t to);
  void NoteEgressDrops(uint32_t index);
  void NoteUnsent(uint32_t index, bool check);
  void OnEvent(uint32_t index, const sfu::Event& event);
  void OnClosed(PeerId peer, sfu::CloseReason reason);
  void ForgetFeed(FeedId feed);
  absl::Status Reach(FeedId feed, uint32_t worker);

  void Step(Timestamp at);
  void Handle(Event event);
  void Deliver(const Event& event);
  void Send(Client& client, ClientOutput& out);
  void Watch(uint32_t index, OutboundDatagram& datagram);
  void WatchRtp(Client& client, const Packet& plain);
  void WatchRtcp(Client& client, const Packet& plain);
  void CheckTransportSequence(Client& client, uint16_t sequence);
  SourceTruth TruthOf(FeedId feed) const;
  Timestamp NextInstant() const;

  using NodeState = std::vector<worker::WorkerState>;
  using NodeBytes = std::vector<std::vector<uint8_t>>;
  NodeState Export() const;
  NodeBytes Write(const NodeState& state) const;
  void Replace(const NodeBytes& bytes, Timestamp exported_at,
               transport::SrtpSender::RestoreMode mode);
  void Bury();
  void NoteFault(const worker::WorkerState& state, Timestamp exported_at);
  void NoteBlackout();
  void CheckAccounts(uint32_t index);
  void CheckRelays();
  void Drill();
  void CloseEverybody();
  // `now_` on the workers' own clock, which all workers of a process share.
  Timestamp Local() const { return now_ + base_; }

  WorldOptions options_;
  Rng rng_;
  Findings findings_;
  SrtpOracle oracle_{findings_};
  std::unique_ptr<transport::DtlsContext> dtls_;
  std::unique_ptr<worker::RelayMesh> mesh_;
  std::vector<Node> nodes_;
  std::map<PeerId, Client> clients_;
  std::map<ClientAddress, PeerId> owners_;
  std::set<ClientAddress> strangers_;  // Addresses that only injected datagrams came from.
  std::set<uint64_t> arrived_;         // Hashes of datagrams.
  std::map<FeedId, PeerId> publishers_;
  std::map<sfu::SlotKey, Assignment> assignments_;
  std::set<std::pair<FeedId, uint32_t>> attached_;
  std::set<std::pair<FeedId, uint32_t>> owed_detaches_;  // To workers that were not there.
  TimeDelta base_;  // The workers' monotonic clock minus the world's.
  bool down_ = false;
  bool frozen_ = false;                    // The state was exported, the workers are about to die.
  std::multimap<Timestamp, Event> queue_;  // Equal times keep their order.
  std::vector<sfu::Event> events_;
  Timestamp now_ = Timestamp() + TimeDelta::Seconds(10);
  uint64_t hash_ = 0xcbf29ce484222325;
  uint64_t datagrams_sent_ = 0;
  bool finished_ = false;
  uint64_t restores_ = 0;
  uint64_t relays_lost_ = 0;
};

// The seed of this run: VIGIL_SIM_SEED where it is set, else `fallback`.
uint64_t SeedOr(uint64_t fallback);

}  // namespace vigil::sim
