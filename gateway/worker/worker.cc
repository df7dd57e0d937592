#include "gateway/worker/worker.h"

#include <algorithm>
#include <string>
#include <utility>
#include <variant>

#include "absl/strings/string_view.h"
#include "gateway/base/check.h"
#include "gateway/transport/demux.h"

namespace vigil::worker {
namespace {

// A peer whose timers have been served is not served again before this. Higher delays what a full
// pool held up; lower spins while it is full.
constexpr TimeDelta kRetryAfter = TimeDelta::Millis(1);
// Whoever was heard from an address this recently keeps it. A check names a peer and proves its
// password, but not the address that it seems to come from: without this, who is let in could take
// another's address away with one datagram. Two clients never share a 5-tuple, and a browser that
// reloads comes from another port. Higher than the 2.5 s between a silent receiver's checks, so
// that no moment is left for a thief; the higher, the longer waits a client whom a NAT has given
// the port of one that vanished.
constexpr TimeDelta kKeepsAddress = TimeDelta::Seconds(3);

// Whether a packet that was dropped for this has left its sequence number unused. What did not find
// room in the outbox has used it, and can be retransmitted; what SRTP has seen before, or may have,
// must not be tried again under the same number.
bool IsNumberFree(DropReason reason) {
  return reason != DropReason::kQueueFull && reason != DropReason::kDuplicate &&
         reason != DropReason::kTooOld;
}

void CountConnected(const peer::Peer& peer, WorkerReport& report) {
  const std::optional<ClientAddress>& selected = peer.ice().selected();
  if (peer.phase() != peer::Peer::Phase::kConnected || !selected) return;
  ++(selected->transport == Transport::kTcp ? report.connected_tcp : report.connected_udp);
}

// Reports tell no guess.
std::optional<TimeDelta> Measured(const stream::RoundTrip& round_trip) {
  return round_trip.known() ? std::optional(round_trip.value()) : std::nullopt;
}

sfu::CloseReason ReasonOf(peer::Peer::Phase phase) {
  switch (phase) {
    case peer::Peer::Phase::kExpired:
      return sfu::CloseReason::kConsentExpired;
    case peer::Peer::Phase::kClosedByClient:
      return sfu::CloseReason::kDtlsClosed;
    case peer::Peer::Phase::kConnectTimeout:
      return sfu::CloseReason::kConnectTimeout;
    default:
      return sfu::CloseReason::kDtlsFailed;
  }
}

}  // namespace

Worker::Worker(const WorkerOptions& options, const transport::DtlsContext& dtls, RelayMesh* mesh)
    : options_(options),
      mesh_(mesh),
      pool_(options.packets),
      rng_(options.seed),
      context_{.stun = stun_,
               .dtls = dtls,
               .pool = pool_,
               .wall_clock = options.wall_clock,
               .rng = rng_},
      router_(options.seed ^ 0x5f5f) {}

Worker::~Worker() { packet_ = {}; }

Worker::Owner* Worker::FindByAddress(const ClientAddress& client) {
  const auto it = by_address_.find(client);
  if (it == by_address_.end()) return nullptr;
  return it->second.entry->peer->ice().IsValidated(client) ? &it->second : nullptr;
}

Worker::Entry* Worker::FindById(PeerId id) {
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? nullptr : it->second;
}

// The way of one packet, from the datagram that io read in a batch (stop 1) to the outbox that io
// flushes in a batch (stop 6).
void Worker::HandleDatagram(io::InboundDatagram& datagram, Timestamp now, TurnOutput& out) {
  ++counters_.datagrams;
  std::optional<DropReason> dropped;
  const transport::DatagramKind kind = transport::Classify(datagram.packet->bytes());
  // A check is the only datagram an unknown address may send: it is what makes an address known.
  if (kind == transport::DatagramKind::kStun) return HandleStun(datagram, now, out);

  // Stop 2, peer: whose is it? Then demultiplex, authenticate and decrypt in place, parse.
  Owner* owner = FindByAddress(datagram.client);
  if (owner == nullptr) {
    counters_.ingress_drops.Add(DropReason::kUnknownSource);
    return;
  }
  Entry* entry = owner->entry;
  switch (kind) {
    case transport::DatagramKind::kRtp: {
      // Stop 3, stream (inside HandleRtp): duplicates, RTX, losses, arrival times, keyframe?
      dropped = entry->peer->HandleRtp(std::move(datagram.packet),
                                       {datagram.client, datagram.receive_time}, packet_);
      if (dropped) break;
      owner->heard_at = now;
      ++counters_.track_packets;
      // Stop 4, sfu: one rewrite or one drop per subscription.
      router_.Forward(entry->publishes, packet_, now, routed_);
      // Stop 5, peer: history, transport-wide number, one copy, SRTP protect -> outbox.
      Deliver(packet_, now, out);
      Relay(entry->publishes, packet_, out);
      Settle(now, out);
      packet_.packet.Reset();
      break;
    }
    case transport::DatagramKind::kRtcp:
      dropped = HandleRtcp(*entry, datagram, now, out);
      if (!dropped) owner->heard_at = now;
      break;
    case transport::DatagramKind::kDtls:
      dropped = HandleDtls(*entry, datagram, now, out);
      break;
    default:
      dropped = DropReason::kMalformed;
  }
  if (dropped) {
    counters_.ingress_drops.Add(*dropped);
    entry->NoteDrop(*dropped, now);
  }
  if (!CloseIfEnded(*entry, out)) Schedule(*entry);
}

void Worker::Deliver(const rtp::TrackPacket& packet, Timestamp now, TurnOutput& out) {
  for (const sfu::Delivery& delivery : routed_.deliveries) {
    Entry* subscriber = FindById(delivery.slot.peer);
    VIGIL_CHECK(subscriber != nullptr);
    const std::optional<DropReason> dropped =
        subscriber->peer->SendRtp(delivery.slot.index, packet, delivery.rewrite, now, out.outbox);
    if (!dropped) {
      ++counters_.sent;
      continue;
    }
    counters_.egress_drops.Add(*dropped);
    subscriber->NoteDrop(*dropped, now);
    if (IsNumberFree(*dropped)) router_.TakeBack(delivery);
  }
}

void Worker::Relay(FeedId feed, const rtp::TrackPacket& packet, TurnOutput& out) {
  for (const uint32_t to : routed_.relays) {
    RelayLink& link = mesh_->Link(options_.index, to);
    RelayedPacket* slot = link.packets.Reserve();
    if (slot == nullptr || !ToRelayed(feed, packet, *slot)) {
      counters_.egress_drops.Add(slot == nullptr ? DropReason::kQueueFull : DropReason::kOversized);
      continue;
    }
    link.packets.Commit();
    out.relayed_to |= uint64_t{1} << to;
    ++counters_.relayed_out;
  }
}

void Worker::Settle(Timestamp now, TurnOutput& out) {
  for (const sfu::ClockUpdate& update : routed_.clocks) {
    if (Entry* entry = FindById(update.slot.peer)) {
      entry->peer->SetClock(update.slot.index, update.clock);
    }
  }
  for (const sfu::KeyframeWish& wish : routed_.wishes) WishKeyframe(wish, now, out);
  out.events.insert(out.events.end(), routed_.events.begin(), routed_.events.end());
  routed_.Clear();
}

void Worker::WishKeyframe(const sfu::KeyframeWish& wish, Timestamp now, TurnOutput& out) {
  const auto local = publishers_.find(wish.feed);
  if (local != publishers_.end()) {
    local->second->peer->RequestKeyframe(wish.layer, now, out.outbox);
    Schedule(*local->second);
    return;
  }
  const auto remote = remote_feeds_.find(wish.feed);
  if (remote != remote_feeds_.end()) {
    Note(remote->second, RelayedWish{wish.feed, wish.layer}, out);
  }
}

// A note that does not fit is dropped: a receiver repeats its wish, a publisher its report.
void Worker::Note(uint32_t to_worker, const RelayNote& note, TurnOutput& out) {
  if (!mesh_->Link(options_.index, to_worker).notes.Push(note)) {
    counters_.relay_drops.Add(DropReason::kQueueFull);
    return;
  }
  out.relayed_to |= uint64_t{1} << to_worker;
}

bool Worker::HandleRelays(size_t limit, Timestamp now, TurnOutput& out) {
  if (mesh_ == nullptr) return false;
  const uint32_t workers = mesh_->workers();
  const uint32_t first = first_link_;
  size_t taken = 0;
  for (uint32_t i = 0; i < workers; ++i) {
    const uint32_t from = (first + i) % workers;
    if (from == options_.index) continue;
    RelayLink& link = mesh_->Link(from, options_.index);
    HandleNotes(link, now, out);
    if (taken == limit) continue;
    taken += TakeRelayed(link, limit - taken, now, out);
    if (taken == limit) first_link_ = (from + 1) % workers;
  }
  return taken == limit;
}

void Worker::HandleNotes(RelayLink& link, Timestamp now, TurnOutput& out) {
  // Bounded: the other worker goes on writing while this one reads.
  for (size_t i = 0; i < RelayLink::kNotes; ++i) {
    const RelayNote* note = link.notes.Front();
    if (note == nullptr) return;
    HandleNote(*note, now, out);
    link.notes.Release();
  }
}

size_t Worker::TakeRelayed(RelayLink& link, size_t limit, Timestamp now, TurnOutput& out) {
  for (size_t taken = 0; taken < limit; ++taken) {
    const RelayedPacket* relayed = link.packets.Front();
    if (relayed == nullptr) return taken;
    const std::optional<rtp::TrackPacket> packet = FromRelayed(*relayed, pool_);
    const FeedId feed = relayed->feed;
    link.packets.Release();
    // Detached meanwhile: the origin learns of it with its own next command.
    if (!packet || !remote_feeds_.contains(feed)) {
      counters_.relay_drops.Add(packet ? DropReason::kNoSubscriber : pool_.RefusalReason());
      continue;
    }
    ++counters_.relayed_in;
    router_.Forward(feed, *packet, now, routed_);
    Deliver(*packet, now, out);
    Settle(now, out);
  }
  return limit;
}

void Worker::HandleNote(const RelayNote& note, Timestamp now, TurnOutput& out) {
  if (const auto* wish = std::get_if<RelayedWish>(&note)) {
    WishKeyframe({wish->feed, wish->layer}, now, out);
  } else if (const auto* clock = std::get_if<RelayedClock>(&note)) {
    router_.OnClock(clock->feed, clock->kind, clock->layer, clock->clock, routed_);
    Settle(now, out);
  }
}

void Worker::HandleStun(io::InboundDatagram& datagram, Timestamp now, TurnOutput& out) {
  const auto username = ice::PeekUsername(datagram.packet->bytes());
  Entry* entry = nullptr;
  if (username) {
    const auto it =
        by_ufrag_.find(absl::string_view(username->local.data(), username->local.size()));
    if (it != by_ufrag_.end()) entry = it->second;
  } else {
    // A keepalive indication carries no user name.
    if (const Owner* owner = FindByAddress(datagram.client)) entry = owner->entry;
  }
  if (entry == nullptr) {
    counters_.ingress_drops.Add(username ? DropReason::kUnknownUfrag : DropReason::kStunUnexpected);
    return;
  }
  // Before the peer takes it for its address, and sends media there. A client checks again.
  if (IsTaken(*entry, datagram.client, now)) {
    counters_.ingress_drops.Add(DropReason::kAddressInUse);
    return;
  }
  const ice::CheckOutcome outcome =
      entry->peer->HandleStun(*datagram.packet, datagram.client, now, out.outbox);
  if (outcome.dropped) {
    counters_.ingress_drops.Add(*outcome.dropped);
    return;
  }
  ++counters_.stun;
  // Also when another peer was found behind this 5-tuple meanwhile, and has fallen silent.
  if (outcome.newly_validated || (outcome.authentic && IsMisbound(*entry, datagram.client))) {
    UnbindStale(*entry, out);
    Bind(*entry, datagram.client, now, out);
    OpenIfConnected(*entry, now, out);
  } else if (outcome.authentic) {
    if (Owner* owner = FindByAddress(datagram.client)) owner->heard_at = now;
  }
  Schedule(*entry);
}

std::optional<DropReason> Worker::HandleDtls(Entry& entry, io::InboundDatagram& datagram,
                                             Timestamp now, TurnOutput& out) {
  const auto dropped = entry.peer->HandleDtls(*datagram.packet, datagram.client, now, out.outbox);
  OpenIfConnected(entry, now, out);
  if (!dropped) ++counters_.dtls;
  return dropped;
}

void Worker::OpenIfConnected(Entry& entry, Timestamp now, TurnOutput& out) {
  if (entry.open || entry.peer->phase() != peer::Peer::Phase::kConnected ||
      !entry.peer->ice().selected()) {
    return;
  }
  entry.open = true;
  out.events.push_back(sfu::PeerConnected{entry.peer->id()});
  router_.OpenSlotsOf(entry.peer->id(), now, routed_);
  Settle(now, out);
}

std::optional<DropReason> Worker::HandleRtcp(Entry& entry, io::InboundDatagram& datagram,
                                             Timestamp now, TurnOutput& out) {
  rtcp_.Clear();
  const auto dropped = entry.peer->HandleRtcp(
      *datagram.packet, {datagram.client, datagram.receive_time}, now, rtcp_, out.outbox);
  for (uint8_t track = 0; rtcp_.keyframe_tracks >> track != 0; ++track) {
    if ((rtcp_.keyframe_tracks >> track & 1) != 0) {
      router_.OnKeyframeRequest({entry.peer->id(), track}, now, routed_);
    }
    if (track == 63) break;
  }
  for (const peer::ClockChange& change : rtcp_.clocks) {
    router_.OnClock(entry.publishes, change.kind, change.layer, change.clock, routed_);
    for (const uint32_t to : router_.RelaysOf(entry.publishes)) {
      Note(to, RelayedClock{entry.publishes, change.kind, change.layer, change.clock}, out);
    }
  }
  Settle(now, out);
  if (!dropped) ++counters_.rtcp;
  return dropped;
}

void Worker::HandleTimers(Timestamp now, TurnOutput& out) {
  while (Entry* entry = deadlines_.PopDue(now)) {
    entry->peer->HandleTimers(now, out.outbox);
    if (CloseIfEnded(*entry, out)) continue;
    // What could not be done now, for want of packets perhaps, is not tried again in this turn.
    ScheduleAt(*entry, std::max(entry->peer->NextDeadline(), now + kRetryAfter));
  }
}

// A deadline that moved later stays where it is: it is found too early, does nothing, and is set
// again. So most packets do not touch the heap.
void Worker::ScheduleAt(Entry& entry, Timestamp deadline) {
  if (deadline < entry.wake.deadline) deadlines_.Set(entry, deadline);
}

bool Worker::IsMisbound(const Entry& entry, const ClientAddress& client) const {
  if (!entry.peer->ice().IsValidated(client)) return false;
  const auto it = by_address_.find(client);
  return it == by_address_.end() || it->second.entry != &entry;
}

bool Worker::IsTaken(const Entry& entry, const ClientAddress& client, Timestamp now) const {
  const auto it = by_address_.find(client);
  return it != by_address_.end() && it->second.entry != &entry &&
         now - it->second.heard_at < kKeepsAddress;
}

void Worker::Bind(Entry& entry, const ClientAddress& client, Timestamp heard_at, TurnOutput& out) {
  Owner& owner = by_address_[client];
  // The same 5-tuple, authenticated for another peer: its former owner is gone.
  if (owner.entry != nullptr && owner.entry != &entry) std::erase(owner.entry->bound, client);
  if (owner.entry != &entry) entry.bound.push_back(client);
  owner = {&entry, heard_at};
  out.binds.push_back({client, entry.group, true});
}

void Worker::UnbindStale(Entry& entry, TurnOutput& out) {
  for (size_t i = entry.bound.size(); i-- > 0;) {
    if (entry.peer->ice().IsValidated(entry.bound[i])) continue;
    Unbind(entry, entry.bound[i], out);
    entry.bound.erase(entry.bound.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

void Worker::Unbind(const Entry& entry, const ClientAddress& client, TurnOutput& out) {
  by_address_.erase(client);
  out.binds.push_back({client, entry.group, false});
}

bool Worker::CloseIfEnded(Entry& entry, TurnOutput& out) {
  const peer::Peer::Phase phase = entry.peer->phase();
  if (phase == peer::Peer::Phase::kConnecting || phase == peer::Peer::Phase::kConnected) {
    return false;
  }
  Close(entry, ReasonOf(phase), out);
  return true;
}

void Worker::Close(Entry& entry, sfu::CloseReason reason, TurnOutput& out) {
  const PeerId id = entry.peer->id();
  ++counters_.closed[static_cast<size_t>(reason)];
  router_.RemoveSlotsOf(id);
  if (!entry.publishes.IsNone()) {
    publishers_.erase(entry.publishes);
    router_.RemoveFeed(entry.publishes, routed_);
    out.events.insert(out.events.end(), routed_.events.begin(), routed_.events.end());
    routed_.Clear();
  }
  former_send_drops_ += entry.peer->send_drops();
  for (const ClientAddress& client : entry.bound) Unbind(entry, client, out);
  for (const std::string& ufrag : entry.ufrags) by_ufrag_.erase(ufrag);
  by_id_.erase(id);
  deadlines_.Remove(entry);
  out.events.push_back(sfu::PeerClosed{id, reason});
  peers_.erase(id);
}

WorkerReport Worker::Report(const ReportScope& scope) const {
  WorkerReport report{.counters = counters_,
                      .router_drops = router_.drops(),
                      .copies = router_.copies(),
                      .delivered = router_.delivered(),
                      .subscriptions = router_.subscription_count(),
                      .send_drops = former_send_drops_,
                      .pool_in_use = pool_.in_use(),
                      .pool_capacity = pool_.capacity(),
                      .peer_count = peers_.size(),
                      .totals = context_.totals,
                      .keyframe_wait = router_.keyframe_wait(),
                      .peers = {}};
  for (const auto& [id, entry] : peers_) {
    report.send_drops += entry.peer->send_drops();
    CountConnected(*entry.peer, report);
    if (scope.peers == ReportScope::Peers::kAll) report.peers.push_back(ReportOf(entry));
  }
  for (const PeerId id : scope.some) {
    const auto it = by_id_.find(id);
    if (it != by_id_.end()) report.peers.push_back(ReportOf(*it->second));
  }
  return report;
}

PeerReport Worker::ReportOf(const Entry& entry) const {
  const PeerId id = entry.peer->id();
  PeerReport out{.peer = id,
                 .site = entry.site,
                 .publishes = entry.publishes,
                 .phase = entry.peer->phase(),
                 .selected = entry.peer->ice().selected(),
                 .publisher_round_trip = Measured(entry.peer->receiver().round_trip()),
                 .received = entry.peer->receiver().Report(),
                 .sent = {},
                 .dropped = entry.dropped,
                 .last_drop = entry.last_drop,
                 .last_drop_at = entry.last_drop_at};
  for (const auto& stream : out.received) {
    out.heard_at = std::max(out.heard_at, stream.last_packet_at);
  }
  for (size_t i = 0; i < entry.peer->sender().size(); ++i) {
    const stream::OutboundStream& stream = entry.peer->sender().stream(i);
    const auto index = static_cast<uint8_t>(i);
    const sfu::Router::Flow flow = router_.FlowOf({id, index});
    out.sent.push_back({.slot = index,
                        .feed = flow.feed,
                        .kind = stream.track().kind,
                        .ssrc = stream.track().ssrc,
                        .counters = stream.counters(),
                        .round_trip = Measured(stream.round_trip()),
                        .confirmed_at = stream.confirmed_at(),
                        .last_sent_at = stream.last_sent_at(),
                        .flows_since = flow.since,
                        .blocked = flow.blocked});
  }
  return out;
}

}  // namespace vigil::worker
