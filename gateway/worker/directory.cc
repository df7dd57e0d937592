#include "gateway/worker/directory.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "gateway/base/check.h"

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

}  // namespace

bool IsValidName(std::string_view name) {
  return !name.empty() && name.size() <= 63 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

std::optional<FeedName> ParseFeedName(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const std::string_view participant = text.substr(0, slash);
  const std::string_view feed = text.substr(slash + 1);
  if (!IsValidName(participant) || !IsValidName(feed)) return std::nullopt;
  return FeedName{std::string(participant), std::string(feed)};
}

uint32_t Directory::ReserveWorker() {
  const auto least = std::min_element(peers_on_.begin(), peers_on_.end());
  ++*least;
  return static_cast<uint32_t>(least - peers_on_.begin());
}

std::vector<Posting> Directory::AddPeer(PeerRecord peer, const rtp::MediaParameters& media,
                                        uint8_t layers) {
  std::vector<Posting> postings;
  resources_[peer.resource] = peer.id;
  const auto [it, added] = peers_.emplace(peer.id, std::move(peer));
  VIGIL_CHECK(added);
  const PeerRecord& record = it->second;
  participants_[{record.site, record.participant}].insert(record.id);
  if (!record.publishes) return postings;

  FeedRecord& feed = feeds_[record.feed];
  feed = {.id = record.feed,
          .key = {record.site, *record.publishes},
          .publisher = record.id,
          .published_at = record.created_at,
          .worker = record.worker,
          .audio_codecs = CodecsOf(media, rtp::MediaKind::kAudio),
          .video_codecs = CodecsOf(media, rtp::MediaKind::kVideo),
          .layers = layers,
          .slots = {}};
  if (HolderOf(feed.key) == nullptr) HoldName(feed, postings);
  return postings;
}

// Every slot that wants the name carries this publication from now on.
void Directory::HoldName(FeedRecord& feed, std::vector<Posting>& out) {
  holders_[feed.key] = feed.id;
  const auto wishes = wishes_.find(feed.key);
  if (wishes == wishes_.end()) return;
  for (const sfu::SlotKey& slot : wishes->second) {
    Carry(peers_.at(slot.peer), slot.index, &feed, out);
  }
}

std::vector<Posting> Directory::OnConnected(PeerId id) {
  std::vector<Posting> postings;
  const auto it = peers_.find(id);
  if (it == peers_.end()) return postings;
  it->second.connected = true;
  const auto feed = feeds_.find(it->second.feed);
  if (feed == feeds_.end()) return postings;
  const FeedRecord* holder = HolderOf(feed->second.key);
  if (holder == &feed->second) return postings;
  const PeerId replaced = holder == nullptr ? PeerId() : holder->publisher;
  HoldName(feed->second, postings);
  if (replaced.IsNone()) return postings;
  const uint32_t worker = peers_.at(replaced).worker;
  const std::vector<Posting> removed = RemovePeer(replaced);
  postings.insert(postings.end(), removed.begin(), removed.end());
  postings.push_back({worker, sfu::ClosePeer{replaced}});
  return postings;
}

std::vector<Posting> Directory::RemovePeer(PeerId id) {
  std::vector<Posting> postings;
  const auto it = peers_.find(id);
  if (it == peers_.end()) return postings;
  PeerRecord& peer = it->second;
  for (size_t i = 0; i < peer.slots.size(); ++i) {
    const auto slot = static_cast<uint8_t>(i);
    SetWanted(peer, slot, std::nullopt);
    Leave(peer.slots[i].carries, peer.worker, {id, slot}, postings);
  }
  RemoveFeed(peer.feed, postings);
  ReleaseWorker(peer.worker);
  const auto participant = participants_.find({peer.site, peer.participant});
  participant->second.erase(id);
  if (participant->second.empty()) participants_.erase(participant);
  resources_.erase(peer.resource);
  peers_.erase(it);
  return postings;
}

void Directory::RemoveFeed(FeedId id, std::vector<Posting>& out) {
  const auto it = feeds_.find(id);
  if (it == feeds_.end()) return;
  const FeedRecord gone = std::move(it->second);
  feeds_.erase(it);
  for (const auto& [worker, slots] : gone.slots) {
    if (worker != gone.worker) out.push_back({worker, sfu::DetachRemoteFeed{id}});
    for (const sfu::SlotKey& slot : slots) peers_.at(slot.peer).slots[slot.index].carries = {};
  }
  const auto holder = holders_.find(gone.key);
  if (holder == holders_.end() || holder->second != id) return;
  holders_.erase(holder);
  // Another publication of this name may be on its way: the newest of them is it now.
  FeedRecord* heir = nullptr;
  for (auto& [other, feed] : feeds_) {
    if (feed.key == gone.key) heir = &feed;
  }
  if (heir != nullptr) HoldName(*heir, out);
}

absl::StatusOr<Directory::Assignment> Directory::Assign(PeerId id, uint32_t slot,
                                                        const std::optional<FeedKey>& key) {
  const auto it = peers_.find(id);
  if (it == peers_.end()) return absl::NotFoundError(absl::StrCat("peer ", id.value()));
  PeerRecord& peer = it->second;
  if (slot >= peer.slots.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("slot ", slot, " does not exist: the peer has ", peer.slots.size(), " slots"));
  }
  FeedRecord* feed = key ? HolderOf(*key) : nullptr;
  if (key && feed == nullptr) {
    return absl::NotFoundError(
        absl::StrCat("feed ", key->name.ToString(), " is not being published"));
  }
  Assignment assignment{
      .peer = id, .slot = slot, .feed = key, .number = ++peer.slots[slot].assignments};
  const auto index = static_cast<uint8_t>(slot);
  SetWanted(peer, index, key);
  Carry(peer, index, feed, assignment.postings);
  return assignment;
}

void Directory::Accept(const Assignment& assignment) {
  const auto it = peers_.find(assignment.peer);
  if (it == peers_.end()) return;
  it->second.slots.at(assignment.slot).assigned = assignment.feed;
}

std::vector<Posting> Directory::Refuse(const Assignment& assignment) {
  std::vector<Posting> postings;
  const auto it = peers_.find(assignment.peer);
  if (it == peers_.end()) return postings;
  const SlotRecord& slot = it->second.slots.at(assignment.slot);
  if (slot.assignments != assignment.number) return postings;
  const std::optional<FeedKey> before = slot.assigned;
  const auto index = static_cast<uint8_t>(assignment.slot);
  SetWanted(it->second, index, before);
  Carry(it->second, index, before ? HolderOf(*before) : nullptr, postings);
  return postings;
}

void Directory::Expect(PeerId id, uint32_t slot, const FeedKey& feed) {
  const auto it = peers_.find(id);
  if (it == peers_.end() || slot >= it->second.slots.size()) return;
  SetWanted(it->second, static_cast<uint8_t>(slot), feed);
  it->second.slots[slot].assigned = feed;
}

void Directory::SetWanted(PeerRecord& peer, uint8_t slot, const std::optional<FeedKey>& feed) {
  std::optional<FeedKey>& wanted = peer.slots[slot].wanted;
  if (wanted == feed) return;
  const sfu::SlotKey key{peer.id, slot};
  if (wanted) {
    const auto wishes = wishes_.find(*wanted);
    wishes->second.erase(key);
    if (wishes->second.empty()) wishes_.erase(wishes);
  }
  if (feed) wishes_[*feed].insert(key);
  wanted = feed;
}

// Packets of a feed cross to another worker at most once, however many slots carry it there.
void Directory::Carry(PeerRecord& peer, uint8_t index, FeedRecord* feed,
                      std::vector<Posting>& out) {
  const sfu::SlotKey slot{peer.id, index};
  const FeedId before = peer.slots[index].carries;
  const FeedId after = feed == nullptr ? FeedId() : feed->id;
  peer.slots[index].carries = after;
  if (feed != nullptr) {
    std::set<sfu::SlotKey>& there = feed->slots[peer.worker];
    if (there.empty() && feed->worker != peer.worker) {
      out.push_back({peer.worker, sfu::AttachRemoteFeed{.feed = feed->id,
                                                        .origin_worker = feed->worker,
                                                        .audio_codecs = feed->audio_codecs,
                                                        .video_codecs = feed->video_codecs,
                                                        .layers = feed->layers}});
      out.push_back({feed->worker, sfu::AddRelay{feed->id, peer.worker}});
    }
    there.insert(slot);
  }
  // What is left behind goes first, so that the caller's answer is that of the assignment.
  if (before != after) Leave(before, peer.worker, slot, out);
  out.push_back({peer.worker, sfu::AssignSlot{slot, after}});
}

void Directory::Leave(FeedId id, uint32_t worker, sfu::SlotKey slot, std::vector<Posting>& out) {
  const auto feed = feeds_.find(id);
  if (feed == feeds_.end()) return;
  const auto there = feed->second.slots.find(worker);
  if (there == feed->second.slots.end()) return;
  there->second.erase(slot);
  if (!there->second.empty()) return;
  feed->second.slots.erase(there);
  if (worker == feed->second.worker) return;
  out.push_back({feed->second.worker, sfu::RemoveRelay{id, worker}});
  out.push_back({worker, sfu::DetachRemoteFeed{id}});
}

FeedRecord* Directory::HolderOf(const FeedKey& key) {
  const auto it = holders_.find(key);
  return it == holders_.end() ? nullptr : &feeds_.at(it->second);
}

size_t Directory::PeersOf(const ParticipantKey& participant) const {
  const auto it = participants_.find(participant);
  return it == participants_.end() ? 0 : it->second.size();
}

void Directory::SetIce(PeerId id, const std::string& etag, const std::string& remote_ufrag) {
  const auto it = peers_.find(id);
  if (it == peers_.end()) return;
  it->second.etag = etag;
  it->second.remote_ufrag = remote_ufrag;
}

Directory::State Directory::Export() const {
  State state{.next_id = next_id_, .peers = {}, .feeds = {}, .holders = {}};
  for (const auto& [id, peer] : peers_) state.peers.push_back(peer);
  for (const auto& [id, feed] : feeds_) state.feeds.push_back(feed);
  for (const auto& [key, feed] : holders_) state.holders.push_back(feed);
  return state;
}

bool Directory::Restore(State state) {
  next_id_ = state.next_id;
  for (FeedRecord& feed : state.feeds) {
    if (feed.worker >= peers_on_.size()) return false;
    if (!feeds_.emplace(feed.id, std::move(feed)).second) return false;
  }
  for (PeerRecord& peer : state.peers) {
    if (peer.worker >= peers_on_.size() || !RestoreSlots(peer)) return false;
    ++peers_on_[peer.worker];
    participants_[{peer.site, peer.participant}].insert(peer.id);
    if (!resources_.emplace(peer.resource, peer.id).second) return false;
    if (!peers_.emplace(peer.id, std::move(peer)).second) return false;
  }
  for (const FeedId id : state.holders) {
    const auto feed = feeds_.find(id);
    if (feed == feeds_.end() || !holders_.emplace(feed->second.key, id).second) return false;
  }
  return std::all_of(feeds_.begin(), feeds_.end(), [&](const auto& feed) {
    const PeerRecord* publisher = FindPeer(feed.second.publisher);
    return publisher != nullptr && publisher->feed == feed.first;
  });
}

bool Directory::RestoreSlots(const PeerRecord& peer) {
  for (size_t i = 0; i < peer.slots.size(); ++i) {
    const sfu::SlotKey key{peer.id, static_cast<uint8_t>(i)};
    const SlotRecord& slot = peer.slots[i];
    if (slot.wanted) wishes_[*slot.wanted].insert(key);
    if (slot.carries.IsNone()) continue;
    const auto feed = feeds_.find(slot.carries);
    if (feed == feeds_.end()) return false;
    feed->second.slots[peer.worker].insert(key);
  }
  return true;
}

const PeerRecord* Directory::FindPeer(PeerId id) const {
  const auto it = peers_.find(id);
  return it == peers_.end() ? nullptr : &it->second;
}

const PeerRecord* Directory::FindResource(std::string_view resource) const {
  const auto it = resources_.find(resource);
  return it == resources_.end() ? nullptr : FindPeer(it->second);
}

const FeedRecord* Directory::FindFeed(const FeedKey& key) const {
  const auto it = holders_.find(key);
  return it == holders_.end() ? nullptr : FindFeed(it->second);
}

const FeedRecord* Directory::FindFeed(FeedId id) const {
  const auto it = feeds_.find(id);
  return it == feeds_.end() ? nullptr : &it->second;
}

}  // namespace vigil::worker
