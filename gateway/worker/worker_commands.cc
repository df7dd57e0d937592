// The commands of a worker, and its state as a value; what happens to packets is in worker.cc.

#include <algorithm>
#include <string>
#include <utility>
#include <variant>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "gateway/base/check.h"
#include "gateway/worker/worker.h"

namespace vigil::worker {
namespace {

constexpr size_t kMaxSlots = 64;  // Sets of slots are 64 bits.
constexpr size_t kMaxLayers = 4;  // As many as peer::MediaReceiver has room for.

std::vector<rtp::Codec> CodecsOf(const rtp::MediaParameters& media, rtp::MediaKind kind) {
  std::vector<rtp::Codec> codecs;
  for (const rtp::ReceiveTrack& track : media.receive) {
    if (track.kind != kind) continue;
    for (const rtp::PayloadMapping& payload : track.payloads) codecs.push_back(payload.codec);
  }
  return codecs;
}

std::optional<transport::SrtpKeys> KeysOf(const sfu::TransportDescription& transport) {
  transport::SrtpKeys keys;
  if (transport.srtp_profile > static_cast<uint8_t>(transport::SrtpProfile::kAes128CmSha1_80)) {
    return std::nullopt;
  }
  keys.profile = static_cast<transport::SrtpProfile>(transport.srtp_profile);
  const size_t size = transport::SrtpKeySize(keys.profile);
  if (transport.srtp_local_key.size() != size || transport.srtp_remote_key.size() != size) {
    return std::nullopt;
  }
  std::copy_n(transport.srtp_local_key.begin(), size, keys.local.begin());
  std::copy_n(transport.srtp_remote_key.begin(), size, keys.remote.begin());
  return keys;
}

sfu::FeedParameters FeedOf(const sfu::CreatePeer& command) {
  sfu::FeedParameters feed{.feed = command.publishes,
                           .site = command.site,
                           .audio_codecs = CodecsOf(command.media, rtp::MediaKind::kAudio),
                           .video_codecs = CodecsOf(command.media, rtp::MediaKind::kVideo)};
  for (const rtp::ReceiveTrack& track : command.media.receive) {
    feed.layers = std::max<uint8_t>(feed.layers, static_cast<uint8_t>(track.rids.size()));
  }
  return feed;
}

absl::StatusOr<peer::PeerParameters> ParametersOf(const sfu::CreatePeer& command) {
  const sfu::TransportDescription& transport = command.transport;
  peer::PeerParameters parameters{.id = command.peer,
                                  .local = {transport.local_ufrag, transport.local_password},
                                  .remote = {transport.remote_ufrag, transport.remote_password},
                                  .fingerprint = {},
                                  .media = command.media,
                                  .keys = {}};
  if (!transport.srtp_local_key.empty()) {
    const std::optional<transport::SrtpKeys> keys = KeysOf(transport);
    if (!keys) {
      return absl::InvalidArgumentError(
          absl::StrCat("peer ", command.peer.value(), " has srtp keys that fit no profile"));
    }
    parameters.keys = *keys;
    return parameters;
  }
  if (transport.fingerprint.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("peer ", command.peer.value(), " has neither a fingerprint nor keys"));
  }
  parameters.fingerprint = {transport.fingerprint_algorithm, transport.fingerprint};
  return parameters;
}

size_t CountOf(const rtp::MediaParameters& media, rtp::MediaKind kind) {
  return static_cast<size_t>(
      std::count_if(media.receive.begin(), media.receive.end(),
                    [kind](const rtp::ReceiveTrack& track) { return track.kind == kind; }));
}

// Every SSRC that is sent has SRTP indexes of its own, so no two tracks may share one.
bool SharesSsrc(const rtp::MediaParameters& media) {
  std::vector<uint32_t> ssrcs;
  for (const rtp::SendTrack& track : media.send) {
    ssrcs.push_back(track.ssrc);
    if (track.rtx_ssrc != 0) ssrcs.push_back(track.rtx_ssrc);
  }
  std::sort(ssrcs.begin(), ssrcs.end());
  return std::adjacent_find(ssrcs.begin(), ssrcs.end()) != ssrcs.end();
}

// What is wrong with the tracks of a new peer; null if nothing.
const char* FindFault(const sfu::CreatePeer& command) {
  const rtp::MediaParameters& media = command.media;
  if (command.peer.IsNone()) return "needs an id";
  if (command.transport.local_ufrag.empty()) return "needs a ufrag";
  if (command.publishes.IsNone() != media.receive.empty()) {
    return "must name a feed exactly if it sends tracks";
  }
  if (CountOf(media, rtp::MediaKind::kAudio) > 1 || CountOf(media, rtp::MediaKind::kVideo) > 1) {
    return "sends more than one track of a kind";
  }
  if (media.send.size() > kMaxSlots) return "has more than 64 slots";
  if (SharesSsrc(media)) return "has two slots with one ssrc";
  if (media.cname.size() > 255) return "has a cname over 255 bytes";
  const auto has_payloads = [](const auto& track) { return !track.payloads.empty(); };
  if (!std::all_of(media.send.begin(), media.send.end(), has_payloads) ||
      !std::all_of(media.receive.begin(), media.receive.end(), has_payloads)) {
    return "has a track without a codec";
  }
  for (const rtp::ReceiveTrack& track : media.receive) {
    if (track.rids.size() > kMaxLayers) return "sends more than 4 simulcast layers";
  }
  return nullptr;
}

absl::Status NoPeer(PeerId id) {
  return absl::NotFoundError(absl::StrCat("peer ", id.value(), " not found"));
}

absl::Status NoFeed(FeedId id) {
  return absl::NotFoundError(absl::StrCat("feed ", id.value(), " not found"));
}

absl::Status Inconsistent(std::string_view what, uint64_t id) {
  return absl::FailedPreconditionError(
      absl::StrCat("state of ", std::string(what), " ", id, " is not consistent"));
}

absl::Status NoOtherWorker(FeedId feed, uint32_t worker) {
  return absl::InvalidArgumentError(
      absl::StrCat("feed ", feed.value(), ": worker ", worker, " is no other worker of this node"));
}

}  // namespace

absl::Status Worker::Apply(const sfu::Command& command, Timestamp now, TurnOutput& out) {
  return std::visit([&](const auto& c) { return ApplyOne(c, now, out); }, command);
}

absl::Status Worker::ApplyOne(const sfu::CreatePeer& command, Timestamp now, TurnOutput&) {
  if (by_id_.contains(command.peer)) {
    return absl::AlreadyExistsError(absl::StrCat("peer ", command.peer.value(), " exists"));
  }
  if (by_ufrag_.contains(command.transport.local_ufrag)) {
    return absl::AlreadyExistsError(
        absl::StrCat("ufrag of peer ", command.peer.value(), " is in use"));
  }
  if (peers_.size() >= options_.max_peers) {
    return absl::ResourceExhaustedError(
        absl::StrCat("worker ", options_.index, " has its ", options_.max_peers, " peers"));
  }
  if (const char* fault = FindFault(command)) {
    return absl::InvalidArgumentError(absl::StrCat("peer ", command.peer.value(), " ", fault));
  }
  const absl::StatusOr<peer::PeerParameters> parameters = ParametersOf(command);
  if (!parameters.ok()) return parameters.status();
  if (!command.publishes.IsNone()) {
    absl::Status added = router_.AddFeed(FeedOf(command));
    if (!added.ok()) return added;
  }
  Adopt({.peer = std::make_unique<peer::Peer>(context_, *parameters, now),
         .site = command.site,
         .group = command.group,
         .publishes = command.publishes,
         .bound = {},
         .ufrags = {}});
  for (size_t i = 0; i < command.media.send.size(); ++i) {
    router_.AddSlot({command.peer, static_cast<uint8_t>(i)}, command.media.send[i]);
  }
  return absl::OkStatus();
}

Worker::Entry& Worker::Adopt(Entry entry) {
  const PeerId id = entry.peer->id();
  const auto [it, added] = peers_.emplace(id, std::move(entry));
  VIGIL_CHECK(added);
  Entry& adopted = it->second;
  by_id_[id] = &adopted;
  NameUfrags(adopted);
  if (!adopted.publishes.IsNone()) publishers_[adopted.publishes] = &adopted;
  Schedule(adopted);
  return adopted;
}

void Worker::NameUfrags(Entry& entry) {
  for (const std::string& ufrag : entry.ufrags) by_ufrag_.erase(ufrag);
  entry.ufrags = entry.peer->ufrags();
  for (const std::string& ufrag : entry.ufrags) by_ufrag_[ufrag] = &entry;
}

absl::Status Worker::ApplyOne(const sfu::ClosePeer& command, Timestamp, TurnOutput& out) {
  Entry* entry = FindById(command.peer);
  if (entry == nullptr) return NoPeer(command.peer);
  Close(*entry, sfu::CloseReason::kRequested, out);
  return absl::OkStatus();
}

absl::Status Worker::ApplyOne(const sfu::RestartIce& command, Timestamp, TurnOutput&) {
  Entry* entry = FindById(command.peer);
  if (entry == nullptr) return NoPeer(command.peer);
  if (by_ufrag_.contains(command.local_ufrag)) {
    return absl::AlreadyExistsError(
        absl::StrCat("ufrag of peer ", command.peer.value(), " is in use"));
  }
  entry->peer->RestartIce({command.local_ufrag, command.local_password},
                          {command.remote_ufrag, command.remote_password});
  NameUfrags(*entry);
  return absl::OkStatus();
}

absl::Status Worker::ApplyOne(const sfu::AssignSlot& command, Timestamp now, TurnOutput& out) {
  absl::Status status = router_.Assign(command, now, routed_);
  Settle(now, out);
  return status;
}

absl::Status Worker::ApplyOne(const sfu::SelectLayer& command, Timestamp now, TurnOutput& out) {
  absl::Status status = router_.Select(command, now, routed_);
  Settle(now, out);
  return status;
}

absl::Status Worker::ApplyOne(const sfu::RequestKeyframe& command, Timestamp now, TurnOutput& out) {
  if (!router_.HasFeed(command.feed)) return NoFeed(command.feed);
  for (uint8_t layer = 0; layer < router_.LayersOf(command.feed); ++layer) {
    WishKeyframe({command.feed, layer}, now, out);
  }
  return absl::OkStatus();
}

absl::Status Worker::ApplyOne(const sfu::AttachRemoteFeed& command, Timestamp, TurnOutput&) {
  if (mesh_ == nullptr || command.origin_worker >= mesh_->workers() ||
      command.origin_worker == options_.index) {
    return NoOtherWorker(command.feed, command.origin_worker);
  }
  absl::Status added = router_.AddFeed({.feed = command.feed,
                                        .site = {},
                                        .audio_codecs = command.audio_codecs,
                                        .video_codecs = command.video_codecs,
                                        .layers = command.layers});
  if (!added.ok()) return added;
  remote_feeds_[command.feed] = command.origin_worker;
  return absl::OkStatus();
}

absl::Status Worker::ApplyOne(const sfu::DetachRemoteFeed& command, Timestamp now,
                              TurnOutput& out) {
  if (remote_feeds_.erase(command.feed) == 0) return NoFeed(command.feed);
  router_.RemoveFeed(command.feed, routed_);
  // Its end is the origin's to report.
  routed_.events.clear();
  Settle(now, out);
  return absl::OkStatus();
}

absl::Status Worker::ApplyOne(const sfu::AddRelay& command, Timestamp, TurnOutput&) {
  if (mesh_ == nullptr || command.to_worker >= mesh_->workers() ||
      command.to_worker == options_.index) {
    return NoOtherWorker(command.feed, command.to_worker);
  }
  // A feed that came from another worker is not passed on: its origin sends it to everybody.
  if (!publishers_.contains(command.feed)) return NoFeed(command.feed);
  return router_.AddRelay(command.feed, command.to_worker);
}

absl::Status Worker::ApplyOne(const sfu::RemoveRelay& command, Timestamp, TurnOutput&) {
  return router_.RemoveRelay(command.feed, command.to_worker);
}

WorkerState Worker::Export() const {
  WorkerState state{.peers = {}, .remote_feeds = {}, .router = router_.Export(), .rng = rng_};
  for (const auto& [id, entry] : peers_) {
    std::optional<peer::Peer::State> exported = entry.peer->Export();
    if (exported) {
      WorkerState::PeerRecord& record = state.peers.emplace_back();
      record = {entry.site, entry.group, entry.publishes, *std::move(exported), {}};
      for (const ClientAddress& client : entry.bound) {
        if (!entry.peer->ice().IsValidated(client)) continue;
        record.addresses.push_back({client, by_address_.at(client).heard_at});
      }
      continue;
    }
    // In its handshake: the client joins again, so nothing of it is carried over.
    const PeerId peer = id;
    const FeedId publishes = entry.publishes;
    std::erase_if(state.router.slots, [peer](const auto& slot) { return slot.key.peer == peer; });
    std::erase_if(state.router.feeds,
                  [publishes](const auto& feed) { return feed.parameters.feed == publishes; });
  }
  for (const auto& [feed, origin] : remote_feeds_) state.remote_feeds.push_back({feed, origin});
  return state;
}

absl::Status Worker::Restore(const WorkerState& state, transport::SrtpSender::RestoreMode mode,
                             Timestamp now, TurnOutput& out) {
  VIGIL_CHECK(peers_.empty());
  absl::Status consistent = CheckState(state);
  if (!consistent.ok()) return consistent;
  rng_ = state.rng;
  if (!router_.Restore(state.router, now)) {
    return absl::FailedPreconditionError("router state is not consistent");
  }
  for (const WorkerState::RemoteFeed& remote : state.remote_feeds) {
    remote_feeds_[remote.feed] = remote.origin_worker;
  }
  for (const WorkerState::PeerRecord& record : state.peers) {
    absl::Status restored = RestorePeer(record, mode, now, out);
    if (!restored.ok()) return restored;
  }
  if (mode == transport::SrtpSender::RestoreMode::kAfterFault) {
    // Every receiver has missed something.
    for (const sfu::Router::SlotState& slot : state.router.slots) {
      router_.OnKeyframeRequest(slot.key, now, routed_);
    }
    Settle(now, out);
  }
  return absl::OkStatus();
}

// Whether peers, slots, feeds and workers that name each other are all there.
absl::Status Worker::CheckState(const WorkerState& state) const {
  const auto is_other_worker = [this](uint32_t worker) {
    return mesh_ != nullptr && worker < mesh_->workers() && worker != options_.index;
  };
  std::map<PeerId, size_t> slots;
  std::map<FeedId, bool> feeds;  // Whether somebody provides it.
  for (const WorkerState::PeerRecord& record : state.peers) {
    slots[record.peer.id] = record.peer.media.send.size();
  }
  for (const sfu::Router::FeedState& feed : state.router.feeds) {
    feeds[feed.parameters.feed] = false;
    if (!std::all_of(feed.relays.begin(), feed.relays.end(), is_other_worker)) {
      return Inconsistent("feed", feed.parameters.feed.value());
    }
  }
  for (const WorkerState::PeerRecord& record : state.peers) {
    // Packets of a peer that publishes nothing would belong to no feed.
    if (record.publishes.IsNone() != record.peer.media.receive.empty()) {
      return Inconsistent("peer", record.peer.id.value());
    }
    if (record.publishes.IsNone()) continue;
    const auto feed = feeds.find(record.publishes);
    if (feed == feeds.end() || feed->second) return Inconsistent("peer", record.peer.id.value());
    feed->second = true;
  }
  for (const WorkerState::RemoteFeed& remote : state.remote_feeds) {
    const auto feed = feeds.find(remote.feed);
    if (feed == feeds.end() || feed->second || !is_other_worker(remote.origin_worker)) {
      return Inconsistent("feed", remote.feed.value());
    }
    feed->second = true;
  }
  for (const auto& [feed, provided] : feeds) {
    if (!provided) return Inconsistent("feed", feed.value());
  }
  for (const sfu::Router::SlotState& slot : state.router.slots) {
    const auto peer = slots.find(slot.key.peer);
    if (peer == slots.end() || slot.key.index >= peer->second) {
      return Inconsistent("a slot of peer", slot.key.peer.value());
    }
  }
  return absl::OkStatus();
}

absl::Status Worker::RestorePeer(const WorkerState::PeerRecord& record,
                                 transport::SrtpSender::RestoreMode mode, Timestamp now,
                                 TurnOutput& out) {
  if (by_id_.contains(record.peer.id)) {
    return absl::FailedPreconditionError(
        absl::StrCat("peer ", record.peer.id.value(), " is there twice"));
  }
  std::unique_ptr<peer::Peer> restored = peer::Peer::Restore(context_, record.peer, mode, now);
  if (restored == nullptr) return Inconsistent("peer", record.peer.id.value());
  Entry& entry = Adopt({.peer = std::move(restored),
                        .site = record.site,
                        .group = record.group,
                        .publishes = record.publishes,
                        .bound = {},
                        .ufrags = {}});
  entry.open = record.peer.ice.selected.has_value();
  // Not all that were ever validated: one may be another peer's by now.
  for (const WorkerState::OwnAddress& own : record.addresses) {
    if (by_address_.contains(own.address) || !entry.peer->ice().IsValidated(own.address)) {
      return Inconsistent("peer", record.peer.id.value());
    }
    Bind(entry, own.address, own.heard_at, out);
  }
  RestoreSequences(entry);
  return absl::OkStatus();
}

// An outgoing sequence number is its SRTP index: neither may fall behind the other.
void Worker::RestoreSequences(Entry& entry) {
  for (size_t i = 0; i < entry.peer->sender().size(); ++i) {
    const auto index = static_cast<uint8_t>(i);
    router_.SkipTo({entry.peer->id(), index}, entry.peer->NextSequence(index));
  }
}

}  // namespace vigil::worker
