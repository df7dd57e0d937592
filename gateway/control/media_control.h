#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gateway/base/strong_id.h"
#include "gateway/sdp/answer.h"
#include "gateway/sfu/event.h"
#include "gateway/worker/directory.h"
#include "gateway/worker/node.h"

namespace vigil::control {

struct MediaControlOptions {
  // Announced to clients; every worker listens on each of them, on its own port.
  std::vector<std::string> media_addresses;
  bool tcp = true;
};

struct PublishRequest {
  SiteId site;
  worker::FeedName feed;
  std::string offer;
};

struct PlayRequest {
  SiteId site;
  std::string participant;
  // The n-th picture slot takes the n-th feed's picture, the n-th sound slot its sound. A feed that
  // is not being published yet is given to its slots when it is.
  std::vector<worker::FeedName> feeds;
  std::string offer;
};

struct CreatedPeer {
  std::string resource;  // Unguessable.
  std::string answer;    // SDP.
  std::string etag;      // Names the ICE generation (RFC 9725, 4.3.1).
};

// What the control plane does, whoever asks: from an offer to an answer, assignments, the end of
// peers. Runs on the control thread; results come back there, when the worker has applied the
// command. Errors name the thing: InvalidArgument (400), NotFound (404), FailedPrecondition (406),
// AlreadyExists (409), ResourceExhausted (503).
class MediaControl {
 public:
  using OnCreated = std::function<void(absl::StatusOr<CreatedPeer>)>;
  using OnDone = std::function<void(absl::Status)>;
  using Reports = std::vector<std::unique_ptr<worker::ThreadReport>>;
  using OnReports = std::function<void(const Reports&)>;

  MediaControl(MediaControlOptions options, worker::Node& node);

  // Publishing a feed that is being published replaces it once the new connection is there: a
  // reloaded page must not wait for the old connection to time out.
  void Publish(const PublishRequest& request, OnCreated done);
  void Play(const PlayRequest& request, OnCreated done);
  void Close(const std::string& resource, OnDone done);
  // No feed clears the slot. What is refused changes nothing.
  void Assign(const std::string& resource, uint32_t slot,
              const std::optional<worker::FeedName>& feed, OnDone done);
  void RequestKeyframe(SiteId site, const worker::FeedName& feed, OnDone done);
  // One report per worker. Whoever asks while one is being made gets the same.
  void Report(const OnReports& done);

  // Handles what the workers have answered and reported. Call when the control poller is ready.
  void Pump();

  const worker::Directory& directory() const { return directory_; }
  // Peers whose end was learned of; for the log.
  uint64_t lagged_events() const { return lagged_events_; }

 private:
  struct Plan {
    sfu::CreatePeer command;
    worker::PeerRecord record;
    std::vector<worker::FeedName> feeds;  // For its slots.
    std::string answer;
  };

  absl::StatusOr<Plan> MakePlan(sdp::Role role, SiteId site, const std::string& participant,
                                const std::string& offer);
  absl::StatusOr<sdp::Answer> Answer(sdp::Role role, uint32_t worker, const std::string& offer,
                                     worker::IceSecrets& secrets);
  std::vector<sdp::Candidate> Candidates(uint32_t worker) const;
  void Create(Plan plan, OnCreated done);
  void OnApplied(Plan plan, const OnCreated& done);
  // The feeds that the new peer's slots begin with.
  std::vector<worker::Posting> AssignFirst(PeerId peer, const std::vector<worker::FeedName>& feeds);
  // Posts in order; `done`, which may be empty, gets the last one's answer.
  void PostAll(std::vector<worker::Posting> postings, OnDone done);
  void OnEvent(uint32_t worker, const sfu::Event& event);
  void Reconcile(uint32_t worker);
  uint32_t NewSsrc();
  std::string NewResource();

  MediaControlOptions options_;
  worker::Node& node_;
  worker::Directory directory_;
  std::vector<OnReports> awaiting_report_;
  uint64_t lagged_events_ = 0;
};

}  // namespace vigil::control
