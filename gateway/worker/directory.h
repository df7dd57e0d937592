#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gateway/base/strong_id.h"
#include "gateway/rtp/parameters.h"
#include "gateway/sfu/command.h"

namespace vigil::worker {

// A command and the worker it is for.
struct Posting {
  uint32_t worker = 0;
  sfu::Command command;
};

// "room-1/patient": a feed's name within its site.
struct FeedName {
  std::string participant;
  std::string feed;
  std::string ToString() const { return participant + "/" + feed; }
  auto operator<=>(const FeedName&) const = default;
};

// `[a-z0-9-]{1,63}`, as every id of the outside world.
bool IsValidName(std::string_view name);
// Empty unless it is two valid names with a slash between.
std::optional<FeedName> ParseFeedName(std::string_view text);

struct SlotRecord {
  rtp::MediaKind kind = rtp::MediaKind::kAudio;
  std::optional<FeedName> wanted;  // What the slot was told to carry; outlives the feed's absence.
};

struct PeerRecord {
  PeerId id;
  SiteId site;
  std::string participant;
  std::string resource;  // Unguessable; the last segment of its Location.
  uint32_t worker = 0;
  std::optional<FeedName> publishes;
  FeedId feed;
  std::vector<SlotRecord> slots;
  bool connected = false;
};

struct FeedRecord {
  FeedId id;
  SiteId site;
  FeedName name;
  PeerId publisher;
  uint32_t worker = 0;
  std::vector<rtp::Codec> audio_codecs;
  std::vector<rtp::Codec> video_codecs;
  uint8_t layers = 1;
  std::set<uint32_t> attached;  // Other workers that were told of it.
};

// Who lives where: participants, peers and feeds by name and by id, and on which worker. Hands out
// ids. Pure bookkeeping of the control thread: methods return the commands to post, in order.
// A slot is assigned by the feed's name, so that it gets the feed again when the room comes back.
class Directory {
 public:
  explicit Directory(uint32_t workers) : peers_on_(workers, 0) {}

  PeerId NextPeerId() { return PeerId(next_id_++); }
  FeedId NextFeedId() { return FeedId(next_id_++); }
  // The worker with the fewest peers.
  uint32_t ChooseWorker() const;

  // A peer whose CreatePeer has been applied. A publishing one makes its feed assignable, and
  // slots that have been waiting for that name are given it.
  std::vector<Posting> AddPeer(PeerRecord peer, const rtp::MediaParameters& media, uint8_t layers);
  // The peer is gone, for whatever reason: so are its slots and its feed. Unknown ids are fine.
  std::vector<Posting> RemovePeer(PeerId id);
  void OnConnected(PeerId id);

  // INVALID_ARGUMENT, NOT_FOUND: naming slot or feed. The last posting's answer is the caller's.
  absl::StatusOr<std::vector<Posting>> Assign(PeerId peer, uint32_t slot,
                                              const std::optional<FeedName>& feed);
  // The slot gets the feed as soon as it is published: for a player that comes before the room.
  void Expect(PeerId peer, uint32_t slot, const FeedName& feed);

  const PeerRecord* FindPeer(PeerId id) const;
  const PeerRecord* FindResource(std::string_view resource) const;
  const FeedRecord* FindFeed(SiteId site, const FeedName& name) const;
  const FeedRecord* FindFeed(FeedId id) const;
  // All of them, by id.
  const std::map<PeerId, PeerRecord>& peers() const { return peers_; }
  const std::map<FeedId, FeedRecord>& feeds() const { return feeds_; }

 private:
  void RouteTo(const PeerRecord& peer, uint8_t slot, FeedRecord& feed, std::vector<Posting>& out);

  uint64_t next_id_ = 1;
  std::vector<size_t> peers_on_;
  std::map<PeerId, PeerRecord> peers_;
  std::map<std::string, PeerId, std::less<>> resources_;
  std::map<FeedId, FeedRecord> feeds_;
  std::map<std::pair<SiteId, FeedName>, FeedId> feed_names_;
};

}  // namespace vigil::worker
