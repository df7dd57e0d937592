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
#include "gateway/base/time.h"
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
  template <typename F>
  void Fields(F&& f) {
    f(participant, feed);
  }
};

// `[a-z0-9-]{1,63}`, as every id of the outside world.
bool IsValidName(std::string_view name);
// Empty unless it is two valid names with a slash between.
std::optional<FeedName> ParseFeedName(std::string_view text);

// A feed's name among those of all sites.
struct FeedKey {
  SiteId site;
  FeedName name;
  auto operator<=>(const FeedKey&) const = default;
  template <typename F>
  void Fields(F&& f) {
    f(site, name);
  }
};

struct SlotRecord {
  rtp::MediaKind kind = rtp::MediaKind::kAudio;
  std::string mid;  // Of its m-line.
  // What the slot was told to carry last, also when the worker has not answered yet; outlives the
  // feed's absence.
  std::optional<FeedKey> wanted;
  // What it was told to carry and the worker agreed to: what the outside is told.
  std::optional<FeedKey> assigned;
  uint64_t assignments = 0;  // Counts them: which one `wanted` is of.
  FeedId carries;            // The publication of `wanted` that the worker was told of.
  template <typename F>
  void Fields(F&& f) {
    f(kind, mid, wanted, assigned, assignments, carries);
  }
};

struct PeerRecord {
  PeerId id;
  SiteId site;
  std::string participant;
  std::string resource;      // Unguessable; the last segment of its Location.
  std::string etag;          // Names its ICE generation.
  std::string remote_ufrag;  // The client's user fragment in it.
  std::string device;        // What the client calls the device that it runs on; may be empty.
  Timestamp created_at;
  uint32_t worker = 0;
  std::optional<FeedName> publishes;
  FeedId feed;
  std::vector<SlotRecord> slots;
  bool connected = false;
  template <typename F>
  void Fields(F&& f) {
    f(id, site, participant, resource, etag, remote_ufrag, device, created_at, worker, publishes,
      feed, slots, connected);
  }
};

// One publication. Of those with one name, one holds it: that is the feed.
struct FeedRecord {
  FeedId id;
  FeedKey key;
  PeerId publisher;
  Timestamp published_at;
  uint32_t worker = 0;
  std::vector<rtp::Codec> audio_codecs;
  std::vector<rtp::Codec> video_codecs;
  uint8_t layers = 1;
  // The slots that carry it, by their worker. A worker that is not its own has it attached exactly
  // as long as there are any.
  std::map<uint32_t, std::set<sfu::SlotKey>> slots;
  // Without `slots`, which follow from what the peers' slots carry.
  template <typename F>
  void Fields(F&& f) {
    f(id, key, publisher, published_at, worker, audio_codecs, video_codecs, layers);
  }
};

// Who lives where: participants, peers and feeds by name and by id, and on which worker. Hands out
// ids. Pure bookkeeping of the control thread: methods return the commands to post, in order.
// A slot is assigned by the feed's name, so that it gets the feed again when the room comes back.
class Directory {
 public:
  explicit Directory(uint32_t workers) : peers_on_(workers, 0) {}

  PeerId NextPeerId() { return PeerId(next_id_++); }
  FeedId NextFeedId() { return FeedId(next_id_++); }
  // The worker with the fewest peers gets one more: AddPeer() or ReleaseWorker() follows.
  uint32_t ReserveWorker();
  void ReleaseWorker(uint32_t worker) { --peers_on_[worker]; }

  // A peer whose CreatePeer has been applied. What it publishes gets the name if nobody holds it;
  // otherwise once the peer is connected, so that an offer whose media never arrives takes no
  // room's picture away. Slots that have been waiting for the name are given it.
  std::vector<Posting> AddPeer(PeerRecord peer, const rtp::MediaParameters& media, uint8_t layers);
  // The peer is gone, for whatever reason: so are its slots and its feed. Unknown ids are fine.
  std::vector<Posting> RemovePeer(PeerId id);
  // Its publication takes the name over; the one that held it is closed.
  std::vector<Posting> OnConnected(PeerId id);

  // One assignment of a slot that the worker has not answered yet. Several may be on their way.
  struct Assignment {
    PeerId peer;
    uint32_t slot = 0;
    std::optional<FeedKey> feed;
    uint64_t number = 0;
    std::vector<Posting> postings;  // The last one's answer is the caller's.
  };
  // INVALID_ARGUMENT, NOT_FOUND: naming slot or feed. No feed clears the slot.
  absl::StatusOr<Assignment> Assign(PeerId peer, uint32_t slot, const std::optional<FeedKey>& feed);
  // The worker agreed: this is what the slot is assigned.
  void Accept(const Assignment& assignment);
  // The worker refused: unless the slot has been told something else meanwhile, it goes on carrying
  // what it was assigned.
  std::vector<Posting> Refuse(const Assignment& assignment);
  // The slot is meant to carry the feed, as soon as one of this name is published that fits: for a
  // player that comes before the room.
  void Expect(PeerId peer, uint32_t slot, const FeedKey& feed);

  const PeerRecord* FindPeer(PeerId id) const;
  const PeerRecord* FindResource(std::string_view resource) const;
  // The publication that holds this name.
  const FeedRecord* FindFeed(const FeedKey& key) const;
  const FeedRecord* FindFeed(FeedId id) const;
  // All of them, by id.
  const std::map<PeerId, PeerRecord>& peers() const { return peers_; }
  const std::map<FeedId, FeedRecord>& feeds() const { return feeds_; }
  // Who holds each name, and who is connected, by site and name: what lists walk.
  const std::map<FeedKey, FeedId>& holders() const { return holders_; }
  struct ParticipantKey {
    SiteId site;
    std::string participant;
    auto operator<=>(const ParticipantKey&) const = default;
  };
  const std::map<ParticipantKey, std::set<PeerId>>& participants() const { return participants_; }
  size_t PeersOf(const ParticipantKey& participant) const;
  // A new ICE generation of a peer.
  void SetIce(PeerId id, const std::string& etag, const std::string& remote_ufrag);

  // All that does not follow from the rest of it, for whoever takes over.
  struct State {
    uint64_t next_id = 1;
    std::vector<PeerRecord> peers;
    std::vector<FeedRecord> feeds;
    std::vector<FeedId> holders;  // The feeds that hold their names.
    template <typename F>
    void Fields(F&& f) {
      f(next_id, peers, feeds, holders);
    }
  };
  State Export() const;
  // Into a directory that is empty but for its workers. False, and it is to be thrown away, where
  // the state contradicts itself: an id twice, a worker, peer or feed that is not there.
  bool Restore(State state);

 private:
  void SetWanted(PeerRecord& peer, uint8_t slot, const std::optional<FeedKey>& feed);
  void Carry(PeerRecord& peer, uint8_t slot, FeedRecord* feed, std::vector<Posting>& out);
  void Leave(FeedId feed, uint32_t worker, sfu::SlotKey slot, std::vector<Posting>& out);
  void HoldName(FeedRecord& feed, std::vector<Posting>& out);
  void RemoveFeed(FeedId id, std::vector<Posting>& out);
  FeedRecord* HolderOf(const FeedKey& key);
  bool RestoreSlots(const PeerRecord& peer);

  uint64_t next_id_ = 1;
  std::vector<size_t> peers_on_;
  std::map<PeerId, PeerRecord> peers_;
  std::map<std::string, PeerId, std::less<>> resources_;
  std::map<FeedId, FeedRecord> feeds_;
  std::map<FeedKey, FeedId> holders_;
  std::map<ParticipantKey, std::set<PeerId>> participants_;
  std::map<FeedKey, std::set<sfu::SlotKey>> wishes_;  // Slots by what they want.
};

}  // namespace vigil::worker
