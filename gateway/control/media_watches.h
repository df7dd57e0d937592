#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/base/time.h"
#include "gateway/control/api.h"
#include "gateway/control/media_events.h"
#include "gateway/control/media_log.h"
#include "gateway/control/media_messages.h"
#include "gateway/control/message_source.h"
#include "gateway/control/site_table.h"
#include "gateway/worker/directory.h"
#include "vigil/v1/media.pb.h"

namespace vigil::control {

// All running WatchMedia streams: a place in the log each. Control thread.
class MediaWatches final : public MediaEvents {
 public:
  // How long a watch may be silent. Higher lets a dead connection look alive for longer.
  static constexpr TimeDelta kHeartbeat = TimeDelta::Seconds(10);
  // Participants and feeds in one message of a snapshot. More make messages that slow readers
  // choke on, fewer cost more of them.
  static constexpr int kSnapshotPart = 200;
  // Snapshots of the same sites, of different moments, that somebody has not read to its end: each
  // is held in memory, about a kilobyte for each connection in it.
  static constexpr size_t kMaxUnread = 32;

  // Runs something on the control thread a little later.
  using Post = std::function<void(std::function<void()>)>;

  // `boot`: random, names this run. All outlive this.
  MediaWatches(uint64_t boot, SiteTable& sites, ControlClock clock, Post post);
  ~MediaWatches() override;

  // Where snapshots come from; before the first watch.
  void SetState(const worker::Directory& directory, const MediaMessages& messages);

  void OnChange(SiteId site, v1::MediaEvent event) override;
  // For heartbeats; call about once a second.
  void OnTick();

  absl::StatusOr<std::unique_ptr<MessageSource>> Open(const CallContext& context,
                                                      const v1::WatchMediaRequest& request,
                                                      MessageSource::Wake wake);
  size_t size() const { return watches_.size(); }

 private:
  class Watch;
  using Snapshot = std::vector<v1::MediaSnapshot>;

  absl::StatusOr<std::set<SiteId>> SitesOf(const Caller& caller, const std::string& named);
  // Null: too many are being read.
  std::shared_ptr<const Snapshot> SnapshotOf(const std::set<SiteId>& sites);
  void WakeWaiting();

  SiteTable& sites_;
  ControlClock clock_;
  Post post_;
  MediaLog log_;
  const worker::Directory* directory_ = nullptr;
  const MediaMessages* messages_ = nullptr;
  std::set<Watch*> watches_;
  bool wake_posted_ = false;
  // The last one, which many watches that begin at once share.
  struct Cached {
    std::set<SiteId> sites;
    uint64_t changes = 0;
    std::weak_ptr<const Snapshot> snapshot;
  };
  Cached cached_;
  std::map<std::set<SiteId>, std::vector<std::weak_ptr<const Snapshot>>> unread_;
  uint64_t changes_ = 0;
  // Ends with this: what was posted must not find it gone.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace vigil::control
