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
  peer::PeerParameters parameters{
      .id = command.peer,
      .local = {transport.local_ufrag, transport.local_password},
      .remote = {transport.remote_ufrag, transport.remote_password},
      .fingerprint = {},
      .media = command.media,
      .keys = {}};
  if (!transport.srtp_local_key.empty()) {
    const std::optional<transport::SrtpKeys> keys = KeysOf(transport);
    if (!keys) return absl::InvalidArgumentError("srtp keys do not fit their profile");
    parameters.keys = *keys;
    return parameters;
  }
  const auto fingerprint =
      transport::MakeFingerprint(transport.fingerprint_algorithm, transport.fingerprint);
  if (!fingerprint) {
    return absl::InvalidArgumentError(
        absl::StrCat("fingerprint algorithm ", transport.fingerprint_algorithm,
                     " is unknown or its length is wrong"));
  }
  parameters.fingerprint = *fingerprint;
  return parameters;
}

absl::Status NoPeer(PeerId id) {
  return absl::NotFoundError(absl::StrCat("peer ", id.value(), " not found"));
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
  if (command.publishes.IsNone() != command.media.receive.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "peer ", command.peer.value(), " must name a feed exactly if it sends tracks"));
  }
  if (command.media.send.size() > 64) {
    return absl::InvalidArgumentError(
        absl::StrCat("peer ", command.peer.value(), " has more than 64 slots"));
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
  absl::Status status = router_.Select(command, routed_);
  Settle(now, out);
  return status;
}

absl::Status Worker::ApplyOne(const sfu::RequestKeyframe& command, Timestamp now,
                              TurnOutput& out) {
  if (!router_.HasFeed(command.feed)) {
    return absl::NotFoundError(absl::StrCat("feed ", command.feed.value(), " not found"));
  }
  WishKeyframe({command.feed, 0}, now, out);
  return absl::OkStatus();
}

absl::Status Worker::ApplyOne(const sfu::AttachRemoteFeed& command, Timestamp, TurnOutput&) {
  if (mesh_ == nullptr || command.origin_worker >= mesh_->workers() ||
      command.origin_worker == options_.index) {
    return absl::InvalidArgumentError(
        absl::StrCat("worker ", command.origin_worker, " is no other worker of this node"));
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
  if (remote_feeds_.erase(command.feed) == 0) {
    return absl::NotFoundError(absl::StrCat("feed ", command.feed.value(), " not found"));
  }
  router_.RemoveFeed(command.feed, routed_);
  // Its end is the origin's to report.
  routed_.events.clear();
  Settle(now, out);
  return absl::OkStatus();
}

absl::Status Worker::ApplyOne(const sfu::AddRelay& command, Timestamp, TurnOutput&) {
  if (mesh_ == nullptr || command.to_worker >= mesh_->workers() ||
      command.to_worker == options_.index) {
    return absl::InvalidArgumentError(
        absl::StrCat("worker ", command.to_worker, " is no other worker of this node"));
  }
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
      state.peers.push_back({entry.site, entry.group, entry.publishes, *std::move(exported)});
      continue;
    }
    // In its handshake: the client joins again, so nothing of it is carried over.
    std::erase_if(state.router.slots, [&](const auto& slot) { return slot.key.peer == id; });
    std::erase_if(state.router.feeds, [&](const auto& feed) {
      return feed.parameters.feed == entry.publishes;
    });
  }
  for (const auto& [feed, origin] : remote_feeds_) state.remote_feeds.push_back({feed, origin});
  return state;
}

absl::Status Worker::Restore(const WorkerState& state, transport::SrtpSender::RestoreMode mode, Timestamp now,
                             TurnOutput& out) {
  VIGIL_CHECK(peers_.empty());
  rng_ = state.rng;
  if (!router_.Restore(state.router, now)) {
    return absl::FailedPreconditionError("router state is not consistent");
  }
  for (const WorkerState::RemoteFeed& remote : state.remote_feeds) {
    remote_feeds_[remote.feed] = remote.origin_worker;
  }
  for (const WorkerState::PeerRecord& record : state.peers) {
    if (by_id_.contains(record.peer.id)) {
      return absl::FailedPreconditionError(
          absl::StrCat("peer ", record.peer.id.value(), " is there twice"));
    }
    std::unique_ptr<peer::Peer> restored =
        peer::Peer::Restore(context_, record.peer, mode, now);
    if (restored == nullptr) {
      return absl::FailedPreconditionError(
          absl::StrCat("state of peer ", record.peer.id.value(), " is not consistent"));
    }
    Entry& entry = Adopt({.peer = std::move(restored),
                          .site = record.site,
                          .group = record.group,
                          .publishes = record.publishes,
                          .bound = {},
                          .ufrags = {}});
    entry.open = record.peer.ice.selected.has_value();
    for (const ice::IceLiteAgent::Address& address : record.peer.ice.addresses) {
      Bind(entry, address.address, out);
    }
    RestoreSequences(entry);
  }
  if (mode == transport::SrtpSender::RestoreMode::kAfterFault) {
    for (auto& [id, entry] : peers_) {
      for (uint8_t layer = 0; layer < entry.peer->receiver().layers(); ++layer) {
        entry.peer->RequestKeyframe(layer, now, out.outbox);
      }
    }
  }
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
