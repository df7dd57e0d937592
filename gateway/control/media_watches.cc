#include "gateway/control/media_watches.h"

#include <algorithm>
#include <utility>

#include "gateway/base/check.h"
#include "gateway/control/api_error.h"

namespace vigil::control {

class MediaWatches::Watch final : public MessageSource {
 public:
  struct Options {
    std::shared_ptr<const Caller> caller;
    std::string site;  // Empty: all of the caller's.
    MediaLog::Place place;
    std::shared_ptr<const Snapshot> snapshot;  // Null when resumed.
    Wake wake;
  };

  Watch(MediaWatches& watches, Options options, Timestamp now)
      : watches_(watches), options_(std::move(options)), heartbeat_at_(now + kHeartbeat) {
    watches_.watches_.insert(this);
  }
  ~Watch() override { watches_.watches_.erase(this); }

  Next Pull(google::protobuf::Message& message, Timestamp now) override {
    waiting_ = false;
    if (ended_) return Next::kEnd;
    auto& out = static_cast<v1::WatchMediaResponse&>(message);
    out.Clear();
    if (!Fill(out, now)) {
      waiting_ = true;
      return Next::kWait;
    }
    out.set_sequence(options_.place.sequence());
    // A snapshot cut short is no place to go on from.
    if (!out.snapshot().partial()) out.set_resume_token(watches_.log_.Token(options_.place));
    heartbeat_at_ = now + kHeartbeat;
    return Next::kMessage;
  }
  absl::Status status() const override { return absl::OkStatus(); }

  // Wakes the transport if it waits and there is something for it.
  void WakeIfDue(Timestamp now) {
    if (!waiting_) return;
    if (now < heartbeat_at_ && !watches_.log_.HasNext(options_.place)) return;
    waiting_ = false;
    options_.wake();
  }

  // A caller that may see every site sees those that are new, too. Without a gap, so that a token
  // tells by their number which they are.
  void OnNewSites(const std::set<SiteId>& all) {
    if (!options_.caller->all_sites || !options_.site.empty()) return;
    for (const SiteId site : all) options_.place.Add(site);
  }

 private:
  bool Fill(v1::WatchMediaResponse& out, Timestamp now) {
    if (options_.snapshot != nullptr) {
      FillSnapshot(out);
      return true;
    }
    if (const uint64_t lost = watches_.log_.Lost(options_.place); lost > 0) {
      out.mutable_lagged()->set_count(lost);
      ended_ = true;
      return true;
    }
    if (const v1::MediaEvent* event = watches_.log_.Next(options_.place)) {
      *out.mutable_event() = *event;
      Redact(*options_.caller, *out.mutable_event());
      return true;
    }
    if (now < heartbeat_at_) return false;
    *out.mutable_heartbeat()->mutable_time() = watches_.messages_->Time(now);
    return true;
  }

  void FillSnapshot(v1::WatchMediaResponse& out) {
    *out.mutable_snapshot() = (*options_.snapshot)[snapshot_part_++];
    for (v1::Participant& participant : *out.mutable_snapshot()->mutable_participants()) {
      for (v1::Peer& peer : *participant.mutable_peers()) Redact(*options_.caller, peer);
    }
    if (snapshot_part_ == options_.snapshot->size()) options_.snapshot.reset();
  }

  MediaWatches& watches_;
  Options options_;
  size_t snapshot_part_ = 0;
  Timestamp heartbeat_at_;
  bool waiting_ = false;
  bool ended_ = false;
};

MediaWatches::MediaWatches(uint64_t boot, SiteTable& sites, ControlClock clock, Post post)
    : sites_(sites), clock_(std::move(clock)), post_(std::move(post)), log_(boot) {}

MediaWatches::~MediaWatches() { *alive_ = false; }

void MediaWatches::SetState(const worker::Directory& directory, const MediaMessages& messages) {
  directory_ = &directory;
  messages_ = &messages;
}

void MediaWatches::OnChange(SiteId site, v1::MediaEvent event) {
  event.set_site(sites_.NameOf(site));
  *event.mutable_time() = messages_->Time(clock_.now());
  ++changes_;
  if (log_.Append(site, std::move(event))) {
    const std::set<SiteId> all = sites_.All();
    for (Watch* watch : watches_) watch->OnNewSites(all);
  }
  // Once for all that one step of the control thread changes.
  if (std::exchange(wake_posted_, true)) return;
  post_([this, alive = alive_] {
    if (*alive) WakeWaiting();
  });
}

void MediaWatches::WakeWaiting() {
  wake_posted_ = false;
  OnTick();
}

// Waking a watch may end it, and with it others of the same connection.
void MediaWatches::OnTick() {
  std::erase_if(unread_, [](const auto& of_sites) {
    return std::all_of(of_sites.second.begin(), of_sites.second.end(),
                       [](const auto& snapshot) { return snapshot.expired(); });
  });
  const Timestamp now = clock_.now();
  const std::vector<Watch*> watches(watches_.begin(), watches_.end());
  for (Watch* watch : watches) {
    if (watches_.contains(watch)) watch->WakeIfDue(now);
  }
}

// A site of the token in which nothing was made yet is watched, too.
absl::StatusOr<std::set<SiteId>> MediaWatches::SitesOf(const Caller& caller,
                                                       const std::string& named) {
  if (named.empty() && caller.all_sites) return sites_.All();
  std::set<std::string> names = caller.sites;
  if (!named.empty()) {
    const absl::StatusOr<std::string> site = caller.ResolveSite(named);
    if (!site.ok()) return site.status();
    names = {*site};
  }
  std::set<SiteId> sites;
  for (const std::string& name : names) {
    const absl::StatusOr<SiteId> site = sites_.Make(name);
    if (!site.ok()) return site.status();
    sites.insert(*site);
  }
  return sites;
}

absl::StatusOr<std::unique_ptr<MessageSource>> MediaWatches::Open(
    const CallContext& context, const v1::WatchMediaRequest& request, MessageSource::Wake wake) {
  const absl::StatusOr<std::set<SiteId>> sites = SitesOf(*context.caller, request.site());
  if (!sites.ok()) return sites.status();
  Watch::Options options{.caller = context.caller,
                         .site = request.site(),
                         .place = log_.End(*sites),
                         .snapshot = nullptr,
                         .wake = std::move(wake)};
  if (!request.resume_token().empty()) {
    const bool every_site = context.caller->all_sites && request.site().empty();
    auto place = every_site ? log_.ResumeEverySite(request.resume_token(), *sites)
                            : log_.Resume(request.resume_token(), *sites);
    if (!place.ok()) return place.status();
    options.place = *std::move(place);
  } else {
    options.snapshot = SnapshotOf(*sites);
    if (options.snapshot == nullptr) {
      return WithRetryDelay(
          ApiError(v1::ERROR_REASON_QUOTA_EXCEEDED,
                   "too many watches have not read their snapshot yet", {{"limit", "snapshots"}}),
          1);
    }
  }
  return std::make_unique<Watch>(*this, std::move(options), context.now);
}

std::shared_ptr<const MediaWatches::Snapshot> MediaWatches::SnapshotOf(
    const std::set<SiteId>& sites) {
  if (auto known = cached_.snapshot.lock();
      known != nullptr && cached_.sites == sites && cached_.changes == changes_) {
    return known;
  }
  std::vector<std::weak_ptr<const Snapshot>>& unread = unread_[sites];
  std::erase_if(unread, [](const auto& snapshot) { return snapshot.expired(); });
  if (unread.size() >= kMaxUnread) return nullptr;
  auto parts = std::make_shared<Snapshot>(1);
  const auto part = [&parts]() -> v1::MediaSnapshot& {
    if (parts->back().participants_size() + parts->back().feeds_size() >= kSnapshotPart) {
      parts->back().set_partial(true);
      parts->emplace_back();
    }
    return parts->back();
  };
  for (const auto& [key, peers] : directory_->participants()) {
    if (!sites.contains(key.site)) continue;
    v1::Participant& participant = *part().add_participants();
    participant.set_site(sites_.NameOf(key.site));
    participant.set_participant(key.participant);
    for (const PeerId id : peers) {
      *participant.add_peers() = messages_->Peer(*directory_->FindPeer(id));
    }
  }
  for (const auto& [key, id] : directory_->holders()) {
    if (!sites.contains(key.site)) continue;
    *part().add_feeds() = messages_->Feed(*directory_->FindFeed(id));
  }
  unread.push_back(parts);
  cached_ = {.sites = sites, .changes = changes_, .snapshot = parts};
  return parts;
}

}  // namespace vigil::control
