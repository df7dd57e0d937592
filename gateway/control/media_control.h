#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gateway/base/strong_id.h"
#include "gateway/base/time.h"
#include "gateway/control/control_clock.h"
#include "gateway/control/media_events.h"
#include "gateway/control/media_messages.h"
#include "gateway/control/site_table.h"
#include "gateway/sdp/answer.h"
#include "gateway/sfu/event.h"
#include "gateway/worker/directory.h"
#include "gateway/worker/node.h"

namespace vigil::control {

struct MediaControlOptions {
  // Announced to clients; every worker listens on each of them, on its own port.
  std::vector<std::string> media_addresses;
  bool tcp = true;
  // Connections of one participant. A room needs three, a physician's wall some ten.
  size_t peers_per_participant = 32;
};

struct PublishRequest {
  std::string site;
  worker::FeedName feed;
  std::string device;  // Opaque; who has the same one replaces.
  std::string offer;
};

// A feed by name, of a site by name.
struct SiteFeed {
  std::string site;
  worker::FeedName feed;
};

struct PlayRequest {
  std::string site;
  std::string participant;
  std::string device;
  // The n-th picture slot takes the n-th feed's picture, the n-th sound slot its sound. A feed that
  // is not being published yet is given to its slots when it is.
  std::vector<SiteFeed> feeds;
  std::string offer;
};

struct CreatedPeer {
  PeerId id;
  std::string resource;  // Unguessable.
  std::string answer;    // SDP.
  std::string etag;      // Names the ICE generation (RFC 9725, 4.3.1).
};

struct RestartedIce {
  std::string ufrag;
  std::string password;
  std::string etag;
  std::vector<sdp::Candidate> candidates;
};

// What the control plane does, whoever asks: from an offer to an answer, assignments, the end of
// peers. Runs on the control thread; results come back there, when the worker has applied the
// command. Errors carry a reason and name the thing (api_error.h). Whether the caller may is
// decided before.
class MediaControl {
 public:
  using OnCreated = std::function<void(absl::StatusOr<CreatedPeer>)>;
  using OnRestarted = std::function<void(absl::StatusOr<RestartedIce>)>;
  using OnDone = std::function<void(absl::Status)>;
  using Reports = std::vector<std::unique_ptr<worker::ThreadReport>>;
  using OnReports = std::function<void(const Reports&)>;

  // `events` is told of every change. All outlive this.
  MediaControl(MediaControlOptions options, worker::Node& node, SiteTable& sites,
               ControlClock clock, MediaEvents& events);

  // Publishing a feed again from the same device replaces it once the new connection is there: a
  // reloaded page must not wait for the old connection to time out. From another device while the
  // old one is healthy: FEED_HELD.
  void Publish(const PublishRequest& request, OnCreated done);
  void Play(const PlayRequest& request, OnCreated done);
  void Close(PeerId peer, OnDone done);
  // No feed clears the slot. What is refused changes nothing.
  void Assign(PeerId peer, uint32_t slot, const std::optional<SiteFeed>& feed, OnDone done);
  // 255: the best there is.
  void SelectLayer(PeerId peer, uint32_t slot, uint8_t layer, OnDone done);
  void RequestKeyframe(const SiteFeed& feed, OnDone done);
  // `etag`: the generation that the caller knows, or "*". ETAG_STALE.
  void RestartIce(PeerId peer, const std::string& etag, const worker::IceSecrets& remote,
                  OnRestarted done);
  // The counters of each worker. Whoever asks while they are being fetched gets the same.
  void Counters(const OnReports& done);
  // The same, and what there is to tell of these peers: at most some hundred, media waits.
  void Report(const std::vector<PeerId>& peers, const OnReports& done);

  // Nothing new from now on: DRAINING. What runs goes on.
  void SetDraining(bool draining) { draining_ = draining; }
  bool draining() const { return draining_; }
  // The process is about to end: it drains, and that is not taken back.
  void SetTerminating() { terminating_ = draining_ = true; }
  bool terminating() const { return terminating_; }

  // Handles what the workers have answered and reported. Call when the control poller is ready.
  void Pump();

  const worker::Directory& directory() const { return directory_; }
  const SiteTable& sites() const { return sites_; }
  const MediaMessages& messages() const { return messages_; }
  worker::Node& node() { return node_; }
  // What clients may still be told to try: host candidates of a worker.
  std::vector<sdp::Candidate> Candidates(uint32_t worker) const;

 private:
  struct Plan {
    sfu::CreatePeer command;
    worker::PeerRecord record;
    std::vector<worker::FeedKey> feeds;  // For its slots.
    std::string answer;
  };

  absl::Status CheckNew(SiteId site, const std::string& participant) const;
  void CheckDevice(const PublishRequest& request, const worker::FeedKey& key, OnDone done);
  void PublishNow(const PublishRequest& request, const worker::FeedKey& key, OnCreated done);
  absl::StatusOr<Plan> MakePlan(sdp::Role role, SiteId site, const std::string& participant,
                                const std::string& offer);
  absl::StatusOr<sdp::Answer> Answer(sdp::Role role, uint32_t worker, const std::string& offer,
                                     worker::IceSecrets& secrets);
  void Create(Plan plan, OnCreated done);
  void OnApplied(Plan plan, const OnCreated& done);
  // The feeds that the new peer's slots begin with.
  std::vector<worker::Posting> AssignFirst(PeerId peer, const std::vector<worker::FeedKey>& feeds);
  // The peer with this slot and room in its worker's queue.
  absl::StatusOr<const worker::PeerRecord*> FindSlot(PeerId peer, uint32_t slot) const;
  // Posts in order; `done`, which may be empty, gets the last one's answer.
  void PostAll(std::vector<worker::Posting> postings, OnDone done);
  void Remove(PeerId peer, v1::PeerCloseReason reason);
  void TellClosed(const worker::PeerRecord& peer, v1::PeerCloseReason reason);
  void TellHolder(const worker::FeedKey& key, FeedId publication);
  void TellFeedEnded(const worker::FeedKey& key);
  void TellAssigned(PeerId peer, uint32_t slot);
  void TellSwitched(const sfu::SlotSwitched& switched);
  void TellMismatched(const sfu::SlotCodecMismatch& mismatch);
  const worker::PeerRecord* FindAssigned(sfu::SlotKey slot, FeedId feed) const;
  void Connect(PeerId peer);
  void OnEvent(uint32_t worker, const sfu::Event& event);
  void Reconcile(uint32_t worker);
  uint32_t NewSsrc();
  std::string NewResource();

  MediaControlOptions options_;
  worker::Node& node_;
  ControlClock clock_;
  MediaEvents& events_;
  SiteTable& sites_;
  MediaMessages messages_;
  worker::Directory directory_;
  // Offers that their worker has not answered yet: of each participant, and of each feed.
  std::map<worker::Directory::ParticipantKey, size_t> creating_;
  struct Publishing {
    std::string device;
    size_t offers = 0;
  };
  std::map<worker::FeedKey, Publishing> publishing_;
  std::vector<OnReports> awaiting_counters_;
  bool draining_ = false;
  bool terminating_ = false;
};

}  // namespace vigil::control
