#include "tests/support/world.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <variant>

#include "gateway/base/archive.h"
#include "gateway/base/check.h"
#include "gateway/transport/demux.h"

namespace vigil::sim {
namespace {

constexpr size_t kRecorded = 64;
constexpr int kMostTurnsAtOnce = 20'000;

}  // namespace

uint64_t SeedOr(uint64_t fallback) {
  const char* text = std::getenv("VIGIL_SIM_SEED");
  return text == nullptr ? fallback : std::strtoull(text, nullptr, 10);
}

World::World(const WorldOptions& options) : options_(options), rng_(options.seed) {
  LeaveTrail("simulated world of seed", options.seed);
  auto dtls = transport::DtlsContext::Create({});
  VIGIL_CHECK(dtls.ok());
  dtls_ = *std::move(dtls);
  nodes_ = std::vector<Node>(options.workers);
  MakeWorkers();
  if (options_.no_drill_because.empty() && !options_.drill_at.IsInfinite()) {
    At(options_.drill_at, [this] { HandOver(); });
  }
}

World::~World() {
  for (uint32_t i = 0; i < nodes_.size(); ++i) {
    nodes_[i].out.outbox.Clear();
    nodes_[i].worker.reset();
  }
}

// On a machine that was started at another time.
void World::MakeWorkers() {
  base_ = TimeDelta::Micros(rng_.Between(0, 5'000'000'000));
  if (nodes_.size() > 1) {
    mesh_ = std::make_unique<worker::RelayMesh>(static_cast<uint32_t>(nodes_.size()),
                                                options_.relay_ring);
  }
  for (uint32_t i = 0; i < nodes_.size(); ++i) {
    const worker::WorkerOptions options{.index = i,
                                        .group = GroupId(1),
                                        .wall_clock = {kWorldClock.ntp_at_zero - base_},
                                        .seed = rng_.Next(),
                                        .packets = options_.packets,
                                        .max_peers = 64};
    nodes_[i].worker = std::make_unique<worker::Worker>(options, *dtls_, mesh_.get());
    nodes_[i].egress_drops_seen = {};
    nodes_[i].relay_pending = false;
  }
}

World::Client& World::Register(std::unique_ptr<ScriptedClient> client, const Paths& paths,
                               uint32_t worker) {
  const PeerId peer = client->peer();
  Client& added = clients_[peer];
  const sfu::CreatePeer command = client->Describe();
  const auto& identity = client->transport().identity();
  added.worker = worker;
  added.longest_path = std::max(paths.up.Longest(), paths.down.Longest());
  added.strict = paths.up.IsLossless() && paths.up.reorder == 0;
  added.up = SimulatedLink(paths.up, rng_.Next());
  added.down = SimulatedLink(paths.down, rng_.Next());
  added.addresses.insert(identity.address);
  owners_[identity.address] = peer;
  added.tap =
      std::make_unique<transport::SrtpReceiver>(identity.keys.profile, identity.keys.LocalKey());
  for (size_t i = 0; i < command.media.send.size(); ++i) {
    const rtp::SendTrack& track = command.media.send[i];
    added.tap->AddStream(track.ssrc);
    if (track.rtx_ssrc != 0) added.tap->AddStream(track.rtx_ssrc);
    added.slots.emplace_back(sfu::SlotKey{peer, static_cast<uint8_t>(i)}, track,
                             command.media.extensions, findings_);
  }
  added.unsent.resize(added.slots.size(), 0);
  added.client = std::move(client);
  const absl::Status created = Apply(worker, command);
  if (!created.ok()) findings_.Add(now_, "peer refused: " + std::string(created.message()));
  return added;
}

void World::Identify(PublisherOptions& options) {
  options.client.peer = PeerId(100 + clients_.size());
  options.client.seed = rng_.Next();
  options.feed = FeedId(1000 + publishers_.size());
  publishers_[options.feed] = options.client.peer;
}

ScriptedPublisher& World::AddPublisher(PublisherOptions options, const Paths& paths,
                                       uint32_t worker) {
  Identify(options);
  auto publisher = std::make_unique<ScriptedPublisher>(options);
  ScriptedPublisher& added = *publisher;
  Client& client = Register(std::move(publisher), paths, worker);
  client.as_publisher = &added;
  client.publisher = std::make_unique<PublisherChecker>(added, findings_);
  client.publisher->set_lossless(client.strict);
  return added;
}

HostilePublisher& World::AddHostilePublisher(PublisherOptions options, const Paths& paths,
                                             uint32_t worker) {
  Identify(options);
  auto publisher = std::make_unique<HostilePublisher>(options);
  HostilePublisher& added = *publisher;
  Register(std::move(publisher), paths, worker).as_publisher = &added;
  return added;
}

ScriptedSubscriber& World::AddSubscriber(SubscriberOptions options, const Paths& paths,
                                         uint32_t worker) {
  options.client.peer = PeerId(100 + clients_.size());
  options.client.seed = rng_.Next();
  auto subscriber = std::make_unique<ScriptedSubscriber>(options);
  ScriptedSubscriber& added = *subscriber;
  Register(std::move(subscriber), paths, worker).as_subscriber = &added;
  return added;
}

HostileSubscriber& World::AddHostile(SubscriberOptions options, const Paths& paths,
                                     uint32_t worker) {
  options.client.peer = PeerId(100 + clients_.size());
  options.client.seed = rng_.Next();
  auto hostile = std::make_unique<HostileSubscriber>(options);
  HostileSubscriber& added = *hostile;
  Register(std::move(hostile), paths, worker).as_subscriber = &added;
  return added;
}

void World::SetPaths(PeerId peer, const Paths& paths) {
  Client& client = clients_.at(peer);
  client.up.set_model(paths.up);
  client.down.set_model(paths.down);
  client.longest_path = std::max({client.longest_path, paths.up.Longest(), paths.down.Longest()});
  if (paths.up.IsLossless() && paths.up.reorder == 0) return;
  client.strict = false;
  if (client.publisher) client.publisher->set_lossless(false);
}

ScriptedClient* World::FindClient(PeerId peer) {
  const auto it = clients_.find(peer);
  return it == clients_.end() ? nullptr : it->second.client.get();
}

const SlotChecker& World::slot(sfu::SlotKey slot) const {
  return clients_.at(slot.peer).slots[slot.index];
}

FeedId World::AssignedTo(sfu::SlotKey slot) const {
  const auto it = assignments_.find(slot);
  return it == assignments_.end() ? FeedId() : it->second.feed;
}

bool World::IsOpen(PeerId peer) const { return clients_.at(peer).open; }

std::optional<sfu::CloseReason> World::ClosedFor(PeerId peer) const {
  return clients_.at(peer).closed_for;
}

SourceTruth World::TruthOf(FeedId feed) const {
  const auto it = publishers_.find(feed);
  if (it == publishers_.end()) return {};
  const Client& client = clients_.at(it->second);
  const bool leaps = client.publisher == nullptr;  // A hostile one.
  return {.publisher = client.as_publisher,
          .path = client.longest_path + options_.relay_delay,
          .in_order = client.strict && relays_lost_ == 0 && !leaps,
          .leaps = leaps};
}

// ---- Turns of a worker. ----

template <typename F>
absl::Status World::Turn(uint32_t index, F&& f) {
  absl::Status status = f(*nodes_[index].worker, Local(), nodes_[index].out);
  Flush(index);
  return status;
}

absl::Status World::Apply(uint32_t index, const sfu::Command& command) {
  return Turn(index, [&](worker::Worker& worker, Timestamp local, worker::TurnOutput& out) {
    return worker.Apply(command, local, out);
  });
}

// A number that was given to a packet and not sent is a gap to its receiver. Which slots have one
// the report tells; it is only asked for when there was a drop.
void World::NoteEgressDrops(uint32_t index) {
  Node& node = nodes_[index];
  const worker::WorkerCounters& counters = node.worker->counters();
  if (counters.egress_drops.counts == node.egress_drops_seen.counts) return;
  // A full outbox counts the same, but does not come about here: each turn is flushed.
  if (mesh_ != nullptr) {
    relays_lost_ += counters.egress_drops.Get(DropReason::kQueueFull) -
                    node.egress_drops_seen.Get(DropReason::kQueueFull);
  }
  node.egress_drops_seen = counters.egress_drops;
  NoteUnsent(index, /*check=*/true);
}

void World::NoteUnsent(uint32_t index, bool check) {
  for (const worker::PeerReport& peer : nodes_[index].worker->Report().peers) {
    Client& client = clients_.at(peer.peer);
    for (const worker::PeerReport::Sent& sent : peer.sent) {
      const uint64_t unsent = sent.counters.unsent;
      const uint64_t before = std::exchange(client.unsent[sent.slot], unsent);
      if (!check || unsent == before) continue;
      client.slots[sent.slot].OnUnsent(unsent - before);
      client.transport_sequence.reset();
    }
  }
}

void World::Flush(uint32_t index) {
  Node& node = nodes_[index];
  NoteEgressDrops(index);
  for (OutboundDatagram& datagram : node.out.outbox.datagrams()) Watch(index, datagram);
  node.out.outbox.Clear();
  for (uint32_t to = 0; to < nodes_.size(); ++to) {
    if ((node.out.relayed_to >> to & 1) != 0) ScheduleRelay(to);
  }
  node.out.relayed_to = 0;
  for (const worker::BindChange& bind : node.out.binds) {
    if (bind.bind && !owners_.contains(bind.client) && !strangers_.contains(bind.client)) {
      findings_.Add(now_, "an address was bound that no client has");
    }
  }
  node.out.binds.clear();
  std::vector<sfu::Event> events;
  events.swap(node.out.events);
  for (const sfu::Event& event : events) OnEvent(index, event);
}

void World::ScheduleRelay(uint32_t to) {
  Node& node = nodes_[to];
  if (options_.relay_delay == TimeDelta::Zero()) {
    node.relay_pending = true;
    return;
  }
  if (std::exchange(node.relay_scheduled, true)) return;
  At(TimeDelta::Micros(rng_.Between(0, options_.relay_delay.us())), [this, to] {
    nodes_[to].relay_scheduled = false;
    nodes_[to].relay_pending = true;
  });
}

void World::DrainRelays() {
  for (Node& node : nodes_) node.relay_pending = true;
  RunRelays();
}

void World::RunRelays() {
  for (bool again = true; again;) {
    again = false;
    for (uint32_t i = 0; i < nodes_.size(); ++i) {
      if (!nodes_[i].relay_pending || down_) continue;
      nodes_[i].relay_pending = false;
      again = true;
      (void)Turn(i, [&](worker::Worker& worker, Timestamp local, worker::TurnOutput& out) {
        nodes_[i].relay_pending = worker.HandleRelays(64, local, out);
        return absl::OkStatus();
      });
    }
  }
}

void World::OnEvent(uint32_t, const sfu::Event& event) {
  events_.push_back(event);
  if (const auto* closed = std::get_if<sfu::PeerClosed>(&event)) {
    OnClosed(closed->peer, closed->reason);
  } else if (const auto* feed = std::get_if<sfu::FeedClosed>(&event)) {
    ForgetFeed(feed->feed);
  }
}

void World::OnClosed(PeerId peer, sfu::CloseReason reason) {
  Client& client = clients_.at(peer);
  client.open = false;
  if (!client.closed_for) client.closed_for = reason;
  std::erase_if(assignments_, [peer](const auto& a) { return a.first.peer == peer; });
}

void World::ForgetFeed(FeedId feed) {
  for (auto& [slot, assignment] : assignments_) {
    if (assignment.feed == feed) assignment = {FeedId(), assignment.generation + 1};
  }
  for (uint32_t i = 0; i < nodes_.size(); ++i) {
    if (attached_.erase({feed, i}) == 0) continue;
    if (!IsSteady()) {
      owed_detaches_.insert({feed, i});
    } else if (!Apply(i, sfu::DetachRemoteFeed{feed}).ok()) {
      findings_.Add(now_, "a remote feed could not be detached");
    }
  }
}

// ---- The control plane. ----

absl::Status World::Reach(FeedId feed, uint32_t worker) {
  const Client& publisher = clients_.at(publishers_.at(feed));
  if (publisher.worker == worker || attached_.contains({feed, worker})) return absl::OkStatus();
  if (!IsSteady()) return absl::UnavailableError("origin is not reachable");
  const sfu::CreatePeer description = publisher.client->Describe();
  sfu::AttachRemoteFeed attach{
      .feed = feed, .origin_worker = publisher.worker, .audio_codecs = {}, .video_codecs = {}};
  for (const rtp::ReceiveTrack& track : description.media.receive) {
    auto& codecs = track.kind == rtp::MediaKind::kVideo ? attach.video_codecs : attach.audio_codecs;
    for (const rtp::PayloadMapping& payload : track.payloads) codecs.push_back(payload.codec);
    attach.layers = std::max<uint8_t>(attach.layers, static_cast<uint8_t>(track.rids.size()));
  }
  absl::Status status = Apply(worker, attach);
  if (!status.ok()) return status;
  attached_.insert({feed, worker});
  return Apply(publisher.worker, sfu::AddRelay{feed, worker});
}

absl::Status World::Assign(sfu::SlotKey slot, FeedId feed) {
  const Client& client = clients_.at(slot.peer);
  if (!client.open || !IsSteady()) {
    return absl::UnavailableError("the slot's worker is not reachable");
  }
  if (!feed.IsNone() && clients_.at(publishers_.at(feed)).open) {
    absl::Status reached = Reach(feed, client.worker);
    if (!reached.ok()) return reached;
  }
  absl::Status status = Apply(client.worker, sfu::AssignSlot{slot, feed});
  if (!status.ok()) return status;
  Assignment& assignment = assignments_[slot];
  if (assignment.feed != feed) assignment = {feed, assignment.generation + 1};
  RunRelays();
  return status;
}

absl::Status World::Select(sfu::SlotKey slot, uint8_t layer) {
  const Client& client = clients_.at(slot.peer);
  if (!client.open || !IsSteady()) return absl::UnavailableError("not reachable");
  absl::Status status = Apply(client.worker, sfu::SelectLayer{slot, layer});
  RunRelays();
  return status;
}

absl::Status World::Close(PeerId peer) {
  const Client& client = clients_.at(peer);
  if (!client.open || !IsSteady()) return absl::UnavailableError("not reachable");
  return Apply(client.worker, sfu::ClosePeer{peer});
}

absl::Status World::RestartIce(PeerId peer) {
  Client& client = clients_.at(peer);
  if (!client.open || !IsSteady()) return absl::UnavailableError("not reachable");
  const auto fresh =
      ClientTransport::MakeIdentity(rng_.Next(), client.client->client_options().profile);
  absl::Status status =
      Apply(client.worker, sfu::RestartIce{.peer = peer,
                                           .local_ufrag = fresh.gateway.ufrag,
                                           .local_password = fresh.gateway.password,
                                           .remote_ufrag = fresh.client.ufrag,
                                           .remote_password = fresh.client.password});
  if (status.ok()) client.client->transport().Restart(fresh.gateway, fresh.client, now_);
  return status;
}

absl::Status World::RequestKeyframe(FeedId feed) {
  const Client& client = clients_.at(publishers_.at(feed));
  if (!client.open || !IsSteady()) return absl::UnavailableError("not reachable");
  return Apply(client.worker, sfu::RequestKeyframe{feed});
}

void World::Move(PeerId peer) {
  Client& client = clients_.at(peer);
  const auto fresh =
      ClientTransport::MakeIdentity(rng_.Next(), client.client->client_options().profile);
  owners_[fresh.address] = peer;
  client.addresses.insert(fresh.address);
  client.client->transport().MoveTo(fresh.address, now_);
}

// ---- Time. ----

void World::At(TimeDelta from_now, std::function<void()> action) {
  Event event;
  event.action = std::move(action);
  queue_.emplace(now_ + from_now, std::move(event));
}

Timestamp World::NextInstant() const {
  Timestamp next = queue_.empty() ? Timestamp::Never() : queue_.begin()->first;
  for (const auto& [peer, client] : clients_) {
    if (client.open && !client.unplugged) next = Earliest(next, client.client->NextDeadline());
  }
  for (const Node& node : nodes_) {
    if (!down_) next = Earliest(next, node.worker->NextDeadline() - base_);
  }
  return next;
}

void World::RunFor(TimeDelta span) {
  const Timestamp end = now_ + span;
  int turns = 0;
  while (findings_.empty()) {
    const Timestamp next = std::max(NextInstant(), now_);
    if (next > end) break;
    turns = next > now_ ? 0 : turns + 1;
    if (turns > kMostTurnsAtOnce) {
      findings_.Add(now_, "time stands still: a deadline does not go away");
      break;
    }
    Step(next);
  }
  now_ = end;
}

void World::Step(Timestamp at) {
  now_ = at;
  while (!queue_.empty() && queue_.begin()->first <= now_) {
    Event event = std::move(queue_.begin()->second);
    queue_.erase(queue_.begin());
    Handle(std::move(event));
    RunRelays();
  }
  for (auto& [peer, client] : clients_) {
    if (!client.open || client.unplugged || client.client->NextDeadline() > now_) continue;
    ClientOutput out;
    client.client->HandleTimers(now_, out);
    Send(client, out);
  }
  for (uint32_t i = 0; i < nodes_.size(); ++i) {
    if (down_ || nodes_[i].worker->NextDeadline() > Local()) continue;
    (void)Turn(i, [](worker::Worker& worker, Timestamp local, worker::TurnOutput& out) {
      worker.HandleTimers(local, out);
      return absl::OkStatus();
    });
  }
  RunRelays();
}

void World::Handle(Event event) {
  if (event.action) return event.action();
  if (event.to.IsNone()) return Deliver(event);
  Client& client = clients_.at(event.to);
  const bool reachable = client.client->transport().identity().address == event.address;
  if (!client.open || client.unplugged || !reachable) return;
  Packet packet;
  std::memcpy(packet.data.data(), event.bytes.data(), event.bytes.size());
  packet.size = static_cast<uint16_t>(event.bytes.size());
  ClientOutput out;
  client.client->HandleDatagram(packet, now_, out);
  Send(client, out);
}

void World::Send(Client& client, ClientOutput& out) {
  for (ClientDatagram& datagram : out) {
    if (client.recorded.size() < kRecorded) client.recorded.push_back(datagram.bytes);
    if (client.unplugged) continue;
    for (const Timestamp at : client.up.Transmit(datagram.bytes.size(), now_)) {
      Event event;
      event.worker = client.worker;
      event.from = client.client->peer();
      event.address = datagram.from;
      event.bytes = datagram.bytes;
      queue_.emplace(at, std::move(event));
    }
  }
}

void World::Inject(uint32_t worker, const ClientAddress& from, std::vector<uint8_t> bytes,
                   PeerId origin) {
  if (!owners_.contains(from)) strangers_.insert(from);
  Event event;
  event.worker = worker;
  event.from = origin;
  event.address = from;
  event.bytes = std::move(bytes);
  queue_.emplace(now_, std::move(event));
}

std::vector<uint8_t> World::Recorded(PeerId peer, uint64_t which) const {
  const Client& client = clients_.at(peer);
  if (client.recorded.empty()) return {};
  return client.recorded[which % client.recorded.size()];
}

void World::Deliver(const Event& event) {
  Node& node = nodes_[event.worker];
  if (down_ || event.bytes.size() > Packet::kMaxReceived) return;
  PacketRef packet = node.worker->pool().Take();
  if (!packet) return;
  arrived_.insert(HashOf(event.bytes));
  std::copy(event.bytes.begin(), event.bytes.end(), packet->data.begin());
  packet->size = static_cast<uint16_t>(event.bytes.size());
  io::InboundDatagram datagram{.client = event.address,
                               .group = GroupId(1),
                               .epoch = Epoch(1),
                               .receive_time = Local(),
                               .packet = std::move(packet)};
  const worker::WorkerCounters& counters = node.worker->counters();
  const uint64_t before = counters.track_packets;
  const uint64_t strangers = counters.ingress_drops.Get(DropReason::kUnknownSource);
  node.worker->HandleDatagram(datagram, Local(), node.out);
  const bool taken = counters.track_packets > before;
  // Media that overtakes the first check from a new address never arrived.
  const bool known = counters.ingress_drops.Get(DropReason::kUnknownSource) == strangers;
  if (!event.from.IsNone() && known) {
    Client& client = clients_.at(event.from);
    if (client.publisher && client.open && client.worker == event.worker &&
        transport::Classify(event.bytes) == transport::DatagramKind::kRtp) {
      client.publisher->OnIngress(event.bytes, taken, now_);
    }
  }
  datagram.packet.Reset();
  Flush(event.worker);
}

// ---- What the gateway sends. ----

void World::Watch(uint32_t, OutboundDatagram& datagram) {
  ++datagrams_sent_;
  const std::span<const uint8_t> bytes = datagram.packet->bytes();
  const int64_t instant = now_.ns();
  hash_ = HashOf({reinterpret_cast<const uint8_t*>(&instant), sizeof instant}, hash_);
  hash_ = HashOf(bytes, hash_);
  const auto owner = owners_.find(datagram.client);
  // A check that is new is answered wherever it comes from: its sender is authentic.
  if (owner == owners_.end() && strangers_.contains(datagram.client) &&
      transport::Classify(bytes) == transport::DatagramKind::kStun) {
    return;
  }
  if (owner == owners_.end()) {
    return findings_.Add(now_,
                         "a datagram to " + datagram.client.ToString() + ", which proved nothing");
  }
  Client& client = clients_.at(owner->second);
  for (const Timestamp at : client.down.Transmit(bytes.size(), now_)) {
    Event event;
    event.to = owner->second;
    event.address = datagram.client;
    event.bytes.assign(bytes.begin(), bytes.end());
    queue_.emplace(at, std::move(event));
  }
  Packet plain;
  std::copy(bytes.begin(), bytes.end(), plain.data.begin());
  plain.size = datagram.packet->size;
  const PeerId peer = owner->second;
  switch (transport::Classify(bytes)) {
    case transport::DatagramKind::kRtp:
      oracle_.OnRtp(peer, bytes, now_);
      if (client.tap->UnprotectRtp(plain)) {
        findings_.Add(now_, "peer " + std::to_string(peer.value()) + " cannot decrypt RTP");
      } else {
        WatchRtp(client, plain);
      }
      break;
    case transport::DatagramKind::kRtcp:
      oracle_.OnRtcp(peer, client.client->client_options().profile, bytes, now_);
      if (client.tap->UnprotectRtcp(plain)) {
        findings_.Add(now_, "peer " + std::to_string(peer.value()) + " cannot decrypt RTCP");
      } else {
        WatchRtcp(client, plain);
      }
      break;
    default:
      break;
  }
}

void World::CheckTransportSequence(Client& client, uint16_t sequence) {
  if (client.transport_sequence &&
      static_cast<uint16_t>(*client.transport_sequence + 1) != sequence) {
    findings_.Add(now_, "transport-wide number " + std::to_string(sequence) + " after " +
                            std::to_string(*client.transport_sequence));
  }
  client.transport_sequence = sequence;
}

void World::WatchRtp(Client& client, const Packet& plain) {
  const std::optional<rtp::PacketView> view = rtp::ParsePacket(plain.bytes());
  if (!view) return findings_.Add(now_, "an RTP packet that does not parse");
  const rtp::HeaderExtensions extensions = rtp::ParseExtensions(*view, AllExtensions());
  if (!extensions.transport_sequence) {
    findings_.Add(now_, "a packet without a transport-wide number");
  } else {
    CheckTransportSequence(client, *extensions.transport_sequence);
  }
  for (size_t i = 0; i < client.slots.size(); ++i) {
    SlotChecker& slot = client.slots[i];
    if (view->header.ssrc == slot.track().ssrc) {
      const Assignment assigned = assignments_[{client.client->peer(), static_cast<uint8_t>(i)}];
      return slot.OnMedia(*view, assigned, TruthOf(assigned.feed), now_);
    }
    if (view->header.ssrc == slot.track().rtx_ssrc) return slot.OnRetransmission(*view, now_);
  }
  findings_.Add(now_, "an SSRC of no slot");
}

void World::WatchRtcp(Client& client, const Packet& plain) {
  if (client.publisher) return client.publisher->OnRtcp(plain.bytes(), now_);
  rtp::RtcpReader reader(plain.bytes());
  while (const std::optional<rtp::RtcpPacket> rtcp = reader.Next()) {
    const auto* report = std::get_if<rtp::SenderReport>(&*rtcp);
    if (report == nullptr) continue;
    for (SlotChecker& slot : client.slots) {
      if (slot.track().ssrc != report->sender_ssrc) continue;
      slot.OnSenderReport(*report, TruthOf(slot.carries().value_or(FeedId())), now_);
    }
  }
  if (reader.malformed()) findings_.Add(now_, "RTCP that does not parse");
}

// ---- Faults. ----

World::NodeState World::Export() const {
  NodeState state;
  for (const Node& node : nodes_) state.push_back(node.worker->Export());
  return state;
}

World::NodeBytes World::Write(const NodeState& state) const {
  NodeBytes bytes;
  for (const worker::WorkerState& one : state) bytes.push_back(WriteArchive(one, Local()));
  return bytes;
}

void World::HandOver(TimeDelta blackout) {
  if (!IsSteady()) return;
  DrainRelays();
  const NodeBytes bytes = Write(Export());
  const Timestamp exported_at = now_;
  Bury();
  const auto replace = [this, bytes, exported_at] {
    Replace(bytes, exported_at, transport::SrtpSender::RestoreMode::kExact);
  };
  if (blackout == TimeDelta::Zero()) return replace();
  NoteBlackout();
  At(blackout, replace);
}

void World::Crash(TimeDelta stale, TimeDelta blackout) {
  if (!IsSteady()) return;
  RunRelays();
  NodeState state = Export();
  for (worker::WorkerState& one : state) SetLimits(one);
  frozen_ = true;
  const Timestamp exported_at = now_;
  const NodeBytes bytes = Write(state);
  At(stale, [this] { Bury(); });
  At(stale + blackout, [this, bytes, exported_at, state = std::move(state)] {
    for (const worker::WorkerState& one : state) NoteFault(one, exported_at);
    NoteBlackout();
    Replace(bytes, exported_at, transport::SrtpSender::RestoreMode::kAfterFault);
  });
}

// As if the owner had reserved a block of indexes on each stream, one that is idle included: what
// it would begin with is known.
void World::SetLimits(worker::WorkerState& state) {
  std::map<uint32_t, uint64_t> begins;
  for (const sfu::Router::SlotState& slot : state.router.slots) {
    begins[slot.track.ssrc] = static_cast<uint64_t>(slot.forwarder.next_sequence());
  }
  for (worker::WorkerState::PeerRecord& record : state.peers) {
    for (const stream::OutboundStream::State& stream : record.peer.sender.streams) {
      begins[stream.track.rtx_ssrc] = static_cast<uint64_t>(stream.next_rtx_sequence);
    }
    for (auto& [ssrc, stream] : record.peer.srtp_sender.streams) {
      stream.rtp.limit = std::max(stream.rtp.next_index, begins[ssrc]) + 2048;
      stream.rtcp.limit = stream.rtcp.next_index + 128;
    }
  }
}

void World::Bury() {
  for (uint32_t i = 0; i < nodes_.size(); ++i) {
    CheckAccounts(i);
    const worker::WorkerReport report = nodes_[i].worker->Report();
    nodes_[i].ingress_drops += report.counters.ingress_drops;
    nodes_[i].router_drops += report.router_drops;
    nodes_[i].egress_drops += report.counters.egress_drops;
    nodes_[i].relay_drops += report.counters.relay_drops;
  }
  CheckRelays();
  for (Node& node : nodes_) {
    node.out.outbox.Clear();
    node.worker.reset();
  }
  mesh_.reset();
  down_ = true;
}

void World::NoteBlackout() {
  for (auto& [peer, client] : clients_) {
    client.strict = false;
    if (client.publisher) client.publisher->set_lossless(false);
  }
}

void World::NoteFault(const worker::WorkerState& state, Timestamp exported_at) {
  for (const worker::WorkerState::PeerRecord& record : state.peers) {
    Client& client = clients_.at(record.peer.id);
    client.transport_sequence.reset();
    if (client.publisher) client.publisher->OnFault(now_);
    for (const auto& [ssrc, stream] : record.peer.srtp_sender.streams) {
      if (oracle_.HighestRtp(record.peer.id, ssrc) >= static_cast<int64_t>(stream.rtp.limit) ||
          oracle_.HighestRtcp(record.peer.id, ssrc) >= static_cast<int64_t>(stream.rtcp.limit)) {
        findings_.Add(now_, "the drill itself is wrong: an owner went over its limit");
      }
    }
    for (SlotChecker& slot : client.slots) {
      const auto& counter = record.peer.srtp_sender.streams.at(slot.track().ssrc).rtp;
      slot.OnFault(static_cast<int64_t>(counter.limit + transport::SrtpSender::kFaultJump),
                   exported_at);
    }
  }
}

void World::Replace(const NodeBytes& bytes, Timestamp exported_at,
                    transport::SrtpSender::RestoreMode mode) {
  MakeWorkers();
  ++restores_;
  down_ = frozen_ = false;
  for (auto& [peer, client] : clients_) {
    if (client.publisher) client.publisher->OnHandOver(now_);
  }
  for (uint32_t i = 0; i < nodes_.size(); ++i) {
    const auto state = ReadArchive<worker::WorkerState>(bytes[i], exported_at + base_);
    if (!state) return findings_.Add(now_, "exported state cannot be read");
    const absl::Status restored =
        Turn(i, [&](worker::Worker& worker, Timestamp local, worker::TurnOutput& out) {
          return worker.Restore(*state, mode, local, out);
        });
    if (!restored.ok()) {
      findings_.Add(now_, "restore failed: " + std::string(restored.message()));
    }
    NoteUnsent(i, /*check=*/false);
  }
  for (const auto& [feed, index] : owed_detaches_) {
    (void)Apply(index, sfu::DetachRemoteFeed{feed});
  }
  owed_detaches_.clear();
  RunRelays();
}

}  // namespace vigil::sim
