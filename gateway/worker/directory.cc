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

uint32_t Directory::ChooseWorker() const {
  return static_cast<uint32_t>(std::min_element(peers_on_.begin(), peers_on_.end()) -
                               peers_on_.begin());
}

std::vector<Posting> Directory::AddPeer(PeerRecord peer, const rtp::MediaParameters& media,
                                        uint8_t layers) {
  std::vector<Posting> postings;
  ++peers_on_[peer.worker];
  resources_[peer.resource] = peer.id;
  const auto [it, added] = peers_.emplace(peer.id, std::move(peer));
  VIGIL_CHECK(added);
  const PeerRecord& record = it->second;
  if (!record.publishes) return postings;

  FeedRecord& feed = feeds_[record.feed];
  feed = {.id = record.feed,
          .site = record.site,
          .name = *record.publishes,
          .publisher = record.id,
          .worker = record.worker,
          .audio_codecs = CodecsOf(media, rtp::MediaKind::kAudio),
          .video_codecs = CodecsOf(media, rtp::MediaKind::kVideo),
          .layers = layers,
          .attached = {}};
  feed_names_[{feed.site, feed.name}] = feed.id;
  for (const auto& [id, subscriber] : peers_) {
    if (subscriber.site != feed.site) continue;
    for (size_t slot = 0; slot < subscriber.slots.size(); ++slot) {
      if (subscriber.slots[slot].wanted != feed.name) continue;
      RouteTo(subscriber, static_cast<uint8_t>(slot), feed, postings);
    }
  }
  return postings;
}

std::vector<Posting> Directory::RemovePeer(PeerId id) {
  std::vector<Posting> postings;
  const auto it = peers_.find(id);
  if (it == peers_.end()) return postings;
  const PeerRecord& peer = it->second;
  const auto feed = feeds_.find(peer.feed);
  if (feed != feeds_.end()) {
    for (const uint32_t worker : feed->second.attached) {
      postings.push_back({worker, sfu::DetachRemoteFeed{feed->first}});
    }
    const auto name = feed_names_.find({feed->second.site, feed->second.name});
    // A newer publication may have taken the name already.
    if (name != feed_names_.end() && name->second == feed->first) feed_names_.erase(name);
    feeds_.erase(feed);
  }
  --peers_on_[peer.worker];
  resources_.erase(peer.resource);
  peers_.erase(it);
  return postings;
}

void Directory::OnConnected(PeerId id) {
  const auto it = peers_.find(id);
  if (it != peers_.end()) it->second.connected = true;
}

absl::StatusOr<std::vector<Posting>> Directory::Assign(PeerId id, uint32_t slot,
                                                       const std::optional<FeedName>& name) {
  const auto it = peers_.find(id);
  if (it == peers_.end()) return absl::NotFoundError(absl::StrCat("peer ", id.value()));
  PeerRecord& peer = it->second;
  if (slot >= peer.slots.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("slot ", slot, " does not exist: the peer has ", peer.slots.size(), " slots"));
  }
  std::vector<Posting> postings;
  if (!name) {
    peer.slots[slot].wanted.reset();
    postings.push_back(
        {peer.worker, sfu::AssignSlot{{peer.id, static_cast<uint8_t>(slot)}, FeedId()}});
    return postings;
  }
  const auto feed_id = feed_names_.find({peer.site, *name});
  if (feed_id == feed_names_.end()) {
    return absl::NotFoundError(absl::StrCat("feed ", name->ToString(), " is not being published"));
  }
  peer.slots[slot].wanted = name;
  RouteTo(peer, static_cast<uint8_t>(slot), feeds_.at(feed_id->second), postings);
  return postings;
}

void Directory::Expect(PeerId id, uint32_t slot, const FeedName& feed) {
  const auto it = peers_.find(id);
  if (it != peers_.end() && slot < it->second.slots.size()) it->second.slots[slot].wanted = feed;
}

// Packets of a feed cross to another worker at most once, however many slots want them there.
void Directory::RouteTo(const PeerRecord& peer, uint8_t slot, FeedRecord& feed,
                        std::vector<Posting>& out) {
  if (feed.worker != peer.worker && feed.attached.insert(peer.worker).second) {
    out.push_back({peer.worker, sfu::AttachRemoteFeed{.feed = feed.id,
                                                      .origin_worker = feed.worker,
                                                      .audio_codecs = feed.audio_codecs,
                                                      .video_codecs = feed.video_codecs,
                                                      .layers = feed.layers}});
    out.push_back({feed.worker, sfu::AddRelay{feed.id, peer.worker}});
  }
  out.push_back({peer.worker, sfu::AssignSlot{{peer.id, slot}, feed.id}});
}

const PeerRecord* Directory::FindPeer(PeerId id) const {
  const auto it = peers_.find(id);
  return it == peers_.end() ? nullptr : &it->second;
}

const PeerRecord* Directory::FindResource(std::string_view resource) const {
  const auto it = resources_.find(resource);
  return it == resources_.end() ? nullptr : FindPeer(it->second);
}

const FeedRecord* Directory::FindFeed(SiteId site, const FeedName& name) const {
  const auto it = feed_names_.find({site, name});
  return it == feed_names_.end() ? nullptr : FindFeed(it->second);
}

const FeedRecord* Directory::FindFeed(FeedId id) const {
  const auto it = feeds_.find(id);
  return it == feeds_.end() ? nullptr : &it->second;
}

}  // namespace vigil::worker
