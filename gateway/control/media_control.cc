#include "gateway/control/media_control.h"

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "gateway/control/api_error.h"
#include "gateway/sdp/session_description.h"

namespace vigil::control {
namespace {

// ICE candidate priorities (RFC 8445, 5.1.2.1): host candidates, UDP before TCP, addresses in the
// order of the configuration.
uint32_t Priority(Transport transport, size_t address) {
  const uint32_t type_preference = transport == Transport::kUdp ? 126 : 90;
  const auto local_preference = static_cast<uint32_t>(65'535 - address);
  return type_preference << 24 | local_preference << 8 | 255;
}

sfu::TransportDescription TransportOf(const worker::IceSecrets& secrets,
                                      const sdp::RemoteTransport& remote) {
  return {.local_ufrag = secrets.ufrag,
          .local_password = secrets.password,
          .remote_ufrag = remote.ice_ufrag,
          .remote_password = remote.ice_password,
          .fingerprint_algorithm = std::string(sdp::NameOf(remote.fingerprint.hash)),
          .fingerprint = remote.fingerprint.digest};
}

// How long a publisher may be silent and still count as healthy. A camera sends some thirty times a
// second and sound fifty; less would let another device in during a hiccup, more makes a replaced
// appliance wait.
constexpr TimeDelta kHealthySilence = TimeDelta::Seconds(3);

absl::Status NoPeer() { return ApiError(v1::ERROR_REASON_PEER_NOT_FOUND, "peer: not found"); }

absl::Status NoFeed(const worker::FeedName& feed) {
  return ApiError(v1::ERROR_REASON_FEED_NOT_FOUND,
                  absl::StrCat("feed ", feed.ToString(), " is not being published"),
                  {{"feed", feed.ToString()}});
}

v1::PeerCloseReason ReasonOf(sfu::CloseReason reason) {
  switch (reason) {
    case sfu::CloseReason::kRequested:
      return v1::PEER_CLOSE_REASON_REQUESTED;
    case sfu::CloseReason::kConsentExpired:
      return v1::PEER_CLOSE_REASON_CONSENT_EXPIRED;
    case sfu::CloseReason::kDtlsClosed:
      return v1::PEER_CLOSE_REASON_DTLS_CLOSED;
    case sfu::CloseReason::kDtlsFailed:
      return v1::PEER_CLOSE_REASON_DTLS_FAILED;
    case sfu::CloseReason::kConnectTimeout:
      return v1::PEER_CLOSE_REASON_CONNECT_TIMEOUT;
  }
  return v1::PEER_CLOSE_REASON_UNSPECIFIED;
}

absl::Status SdpError(const absl::Status& status) {
  // An offer that can be read but not answered: no common codec (RFC 9725 asks for 406).
  if (status.code() == absl::StatusCode::kFailedPrecondition) {
    return ApiError(v1::ERROR_REASON_SDP_UNANSWERABLE, std::string(status.message()));
  }
  if (status.code() == absl::StatusCode::kOutOfRange) {
    return ApiError(v1::ERROR_REASON_SDP_UNPROCESSABLE, std::string(status.message()));
  }
  return ApiError(v1::ERROR_REASON_SDP_INVALID, std::string(status.message()),
                  {{"field", "sdp_offer"}});
}

// What the core says of ids is turned into what the caller knows: its ids count all sites' peers.
absl::Status FromWorker(const absl::Status& status) {
  if (status.code() == absl::StatusCode::kResourceExhausted) {
    return ApiError(v1::ERROR_REASON_WORKER_BUSY, "the media worker is busy");
  }
  if (status.code() == absl::StatusCode::kNotFound) return NoPeer();
  return status;
}

}  // namespace

MediaControl::MediaControl(MediaControlOptions options, worker::Node& node, SiteTable& sites,
                           ControlClock clock, MediaEvents& events)
    : options_(std::move(options)),
      node_(node),
      clock_(std::move(clock)),
      events_(events),
      sites_(sites),
      messages_(sites_, clock_),
      directory_(node.size()) {}

uint32_t MediaControl::NewSsrc() {
  // Zero means none, and all ones looks like a mistake in every tool.
  for (;;) {
    const auto ssrc = static_cast<uint32_t>(node_.Random64());
    if (ssrc != 0 && ssrc != 0xffffffff) return ssrc;
  }
}

std::string MediaControl::NewResource() {
  return absl::StrCat(absl::Hex(node_.Random64(), absl::kZeroPad16),
                      absl::Hex(node_.Random64(), absl::kZeroPad16));
}

std::vector<sdp::Candidate> MediaControl::Candidates(uint32_t worker) const {
  std::vector<sdp::Candidate> candidates;
  for (const Transport transport : {Transport::kUdp, Transport::kTcp}) {
    if (transport == Transport::kTcp && !options_.tcp) continue;
    for (size_t i = 0; i < options_.media_addresses.size(); ++i) {
      sdp::Candidate candidate;
      candidate.foundation = absl::StrCat(candidates.size() + 1);
      candidate.transport = transport;
      candidate.priority = Priority(transport, i);
      candidate.address = options_.media_addresses[i];
      candidate.port = node_.media_port(worker);
      if (transport == Transport::kTcp) candidate.tcp_type = "passive";
      candidates.push_back(std::move(candidate));
    }
  }
  return candidates;
}

absl::StatusOr<sdp::Answer> MediaControl::Answer(sdp::Role role, uint32_t worker,
                                                 const std::string& offer,
                                                 worker::IceSecrets& secrets) {
  const absl::StatusOr<sdp::SessionDescription> parsed = sdp::Parse(offer);
  if (!parsed.ok()) return SdpError(parsed.status());
  secrets = node_.MakeIceSecrets(worker);
  sdp::AnswerOptions options;
  options.role = role;
  options.session_id = node_.Random64() >> 1;
  options.ice_ufrag = secrets.ufrag;
  options.ice_password = secrets.password;
  const std::optional<sdp::Fingerprint> ours =
      sdp::ParseFingerprint(node_.dtls().fingerprint().ToString());
  if (!ours) return absl::InternalError("our own fingerprint cannot be written");
  options.fingerprint = *ours;
  options.candidates = Candidates(worker);
  if (role == sdp::Role::kPlay) {
    for (size_t i = 0; i < sdp::kMaxMediaSections; ++i) {
      options.send_ssrcs.push_back({NewSsrc(), NewSsrc()});
    }
  }
  options.local_ssrc = NewSsrc();
  options.cname = absl::StrCat(absl::Hex(node_.Random64(), absl::kZeroPad16));
  absl::StatusOr<sdp::Answer> answer = sdp::MakeAnswer(*parsed, options);
  if (!answer.ok()) return SdpError(answer.status());
  return answer;
}

absl::StatusOr<MediaControl::Plan> MediaControl::MakePlan(sdp::Role role, SiteId site,
                                                          const std::string& participant,
                                                          const std::string& offer) {
  const uint32_t worker = directory_.ReserveWorker();
  worker::IceSecrets secrets;
  const absl::Status room = node_.CheckRoom(worker);
  absl::StatusOr<sdp::Answer> answer = room.ok() ? Answer(role, worker, offer, secrets)
                                                 : absl::StatusOr<sdp::Answer>(FromWorker(room));
  if (!answer.ok()) {
    directory_.ReleaseWorker(worker);
    return answer.status();
  }
  Plan plan;
  plan.answer = sdp::Write(answer->description);
  plan.command = {.peer = directory_.NextPeerId(),
                  .group = node_.group(worker),
                  .site = site,
                  .transport = TransportOf(secrets, answer->remote),
                  .media = std::move(answer->media),
                  .publishes = {}};
  plan.record = {.id = plan.command.peer,
                 .site = site,
                 .participant = participant,
                 .resource = NewResource(),
                 .etag = secrets.ufrag,
                 .remote_ufrag = plan.command.transport.remote_ufrag,
                 .created_at = clock_.now(),
                 .worker = worker};
  for (const rtp::SendTrack& track : plan.command.media.send) {
    plan.record.slots.push_back({.kind = track.kind, .mid = track.mid});
  }
  return plan;
}

absl::Status MediaControl::CheckNew(SiteId site, const std::string& participant) const {
  if (draining_) {
    return WithRetryDelay(
        ApiError(v1::ERROR_REASON_DRAINING, "the node is draining: use another one"), 1);
  }
  const worker::Directory::ParticipantKey key{site, participant};
  const auto creating = creating_.find(key);
  const size_t peers =
      directory_.PeersOf(key) + (creating == creating_.end() ? 0 : creating->second);
  if (peers < options_.peers_per_participant) return absl::OkStatus();
  return ApiError(v1::ERROR_REASON_QUOTA_EXCEEDED,
                  absl::StrCat("participant ", participant, " has its ",
                               options_.peers_per_participant, " connections"),
                  {{"limit", "peers_per_participant"}});
}

void MediaControl::Publish(const PublishRequest& request, OnCreated done) {
  const absl::StatusOr<SiteId> site = sites_.Make(request.site);
  if (!site.ok()) return done(site.status());
  const absl::Status fresh = CheckNew(*site, request.feed.participant);
  if (!fresh.ok()) return done(fresh);
  const worker::FeedKey key{*site, request.feed};
  CheckDevice(request, key, [this, request, key, done](const absl::Status& status) {
    if (!status.ok()) return done(status);
    PublishNow(request, key, done);
  });
}

// OK unless another device publishes the feed and is healthy.
void MediaControl::CheckDevice(const PublishRequest& request, const worker::FeedKey& key,
                               OnDone done) {
  const absl::Status held =
      ApiError(v1::ERROR_REASON_FEED_HELD,
               absl::StrCat("feed ", request.feed.ToString(), " is published by another device"),
               {{"feed", request.feed.ToString()}});
  const auto on_its_way = publishing_.find(key);
  if (on_its_way != publishing_.end() && on_its_way->second.device != request.device) {
    return done(held);
  }
  const worker::FeedRecord* holder = directory_.FindFeed(key);
  if (holder == nullptr) return done(absl::OkStatus());
  const worker::PeerRecord* peer = directory_.FindPeer(holder->publisher);
  if (peer->device == request.device) return done(absl::OkStatus());
  // One that has just been made is taken for healthy until it has had the time to connect and send.
  if (clock_.now() - peer->created_at < kHealthySilence) return done(held);
  const worker::ReportScope scope{.peers = worker::ReportScope::Peers::kSome, .some = {peer->id}};
  node_.Post(peer->worker, worker::ReportRequest{scope},
             [this, request, key, held, holder = peer->id,
              done = std::move(done)](worker::Answer& answer) {
               // Another device may have come meanwhile.
               const worker::FeedRecord* now = directory_.FindFeed(key);
               if (publishing_.contains(key) || (now != nullptr && now->publisher != holder)) {
                 return CheckDevice(request, key, done);
               }
               const auto& peers = answer.report->worker.peers;
               const bool healthy =
                   !peers.empty() && clock_.now() - peers.front().heard_at < kHealthySilence;
               done(healthy ? held : absl::OkStatus());
             });
}

void MediaControl::PublishNow(const PublishRequest& request, const worker::FeedKey& key,
                              OnCreated done) {
  // Asked again: a while may have passed.
  const absl::Status fresh = CheckNew(key.site, request.feed.participant);
  if (!fresh.ok()) return done(fresh);
  absl::StatusOr<Plan> plan =
      MakePlan(sdp::Role::kPublish, key.site, request.feed.participant, request.offer);
  if (!plan.ok()) return done(plan.status());
  plan->command.publishes = directory_.NextFeedId();
  plan->record.feed = plan->command.publishes;
  plan->record.publishes = request.feed;
  plan->record.device = request.device;
  Publishing& publishing = publishing_[key];
  publishing.device = request.device;
  ++publishing.offers;
  Create(*std::move(plan), [this, key, done](absl::StatusOr<CreatedPeer> created) {
    const auto offer = publishing_.find(key);
    if (--offer->second.offers == 0) publishing_.erase(offer);
    done(std::move(created));
  });
}

void MediaControl::Play(const PlayRequest& request, OnCreated done) {
  const absl::StatusOr<SiteId> site = sites_.Make(request.site);
  if (!site.ok()) return done(site.status());
  const absl::Status fresh = CheckNew(*site, request.participant);
  if (!fresh.ok()) return done(fresh);
  std::vector<worker::FeedKey> feeds;
  for (const SiteFeed& feed : request.feeds) {
    const absl::StatusOr<SiteId> from = sites_.Make(feed.site);
    if (!from.ok()) return done(from.status());
    feeds.push_back({*from, feed.feed});
  }
  absl::StatusOr<Plan> plan = MakePlan(sdp::Role::kPlay, *site, request.participant, request.offer);
  if (!plan.ok()) return done(plan.status());
  plan->record.device = request.device;
  plan->feeds = std::move(feeds);
  Create(*std::move(plan), std::move(done));
}

void MediaControl::Create(Plan plan, OnCreated done) {
  const uint32_t worker = plan.record.worker;
  const sfu::CreatePeer command = plan.command;
  // std::function wants to be copied; the plan is not small.
  auto shared = std::make_shared<Plan>(std::move(plan));
  const worker::Directory::ParticipantKey key{shared->record.site, shared->record.participant};
  ++creating_[key];
  node_.Post(worker, sfu::Command(command),
             [this, shared, key, worker, done](worker::Answer& answer) {
               const auto creating = creating_.find(key);
               if (--creating->second == 0) creating_.erase(creating);
               if (answer.status.ok()) return OnApplied(std::move(*shared), done);
               directory_.ReleaseWorker(worker);
               done(FromWorker(answer.status));
             });
}

void MediaControl::OnApplied(Plan plan, const OnCreated& done) {
  uint8_t layers = 1;
  for (const rtp::ReceiveTrack& track : plan.command.media.receive) {
    layers = std::max(layers, static_cast<uint8_t>(track.rids.size()));
  }
  CreatedPeer created{.id = plan.record.id,
                      .resource = plan.record.resource,
                      .answer = std::move(plan.answer),
                      .etag = plan.record.etag};
  std::vector<worker::Posting> postings =
      directory_.AddPeer(std::move(plan.record), plan.command.media, layers);
  const std::vector<worker::Posting> assigned = AssignFirst(created.id, plan.feeds);
  postings.insert(postings.end(), assigned.begin(), assigned.end());
  const worker::PeerRecord& peer = *directory_.FindPeer(created.id);
  v1::MediaEvent event;
  event.mutable_peer_opened()->set_participant(peer.participant);
  *event.mutable_peer_opened()->mutable_peer() = messages_.Peer(peer);
  events_.OnChange(peer.site, std::move(event));
  if (peer.publishes) TellHolder({peer.site, *peer.publishes}, peer.feed);
  if (postings.empty()) return done(std::move(created));
  // A feed without sound leaves its sound slot empty; that is no failure of the whole request.
  PostAll(std::move(postings), [done, created](const absl::Status&) { done(created); });
}

std::vector<worker::Posting> MediaControl::AssignFirst(PeerId peer,
                                                       const std::vector<worker::FeedKey>& feeds) {
  std::vector<worker::Posting> postings;
  const worker::PeerRecord& record = *directory_.FindPeer(peer);
  std::array<size_t, 2> next{};
  for (uint32_t slot = 0; slot < record.slots.size(); ++slot) {
    const size_t n = next[static_cast<size_t>(record.slots[slot].kind)]++;
    if (n >= feeds.size()) continue;
    const auto assigned = directory_.Assign(peer, slot, feeds[n]);
    directory_.Expect(peer, slot, feeds[n]);
    if (!assigned.ok()) continue;
    postings.insert(postings.end(), assigned->postings.begin(), assigned->postings.end());
  }
  return postings;
}

// If this publication holds the name now, everybody is told that the feed is there.
void MediaControl::TellHolder(const worker::FeedKey& key, FeedId publication) {
  const worker::FeedRecord* holder = directory_.FindFeed(key);
  if (holder == nullptr || holder->id != publication) return;
  v1::MediaEvent event;
  *event.mutable_feed_published()->mutable_feed() = messages_.Feed(*holder);
  events_.OnChange(key.site, std::move(event));
}

void MediaControl::Close(PeerId id, OnDone done) {
  const worker::PeerRecord* peer = directory_.FindPeer(id);
  if (peer == nullptr) return done(NoPeer());
  const uint32_t worker = peer->worker;
  Remove(id, v1::PEER_CLOSE_REASON_REQUESTED);
  PostAll({{worker, sfu::ClosePeer{id}}},
          [done](const absl::Status& status) { done(FromWorker(status)); });
}

absl::StatusOr<const worker::PeerRecord*> MediaControl::FindSlot(PeerId id, uint32_t slot) const {
  const worker::PeerRecord* peer = directory_.FindPeer(id);
  if (peer == nullptr) return NoPeer();
  if (slot >= peer->slots.size()) {
    return ApiError(
        v1::ERROR_REASON_SLOT_NOT_FOUND,
        absl::StrCat("slot ", slot, " does not exist: the peer has ", peer->slots.size(), " slots"),
        {{"field", "slot"}});
  }
  const absl::Status room = node_.CheckRoom(peer->worker);
  if (!room.ok()) return FromWorker(room);
  return peer;
}

void MediaControl::Assign(PeerId id, uint32_t slot, const std::optional<SiteFeed>& feed,
                          OnDone done) {
  const auto peer = FindSlot(id, slot);
  if (!peer.ok()) return done(peer.status());
  std::optional<worker::FeedKey> key;
  if (feed) {
    const std::optional<SiteId> site = sites_.Find(feed->site);
    if (!site) return done(NoFeed(feed->feed));
    key = {*site, feed->feed};
    if (directory_.FindFeed(*key) == nullptr) return done(NoFeed(feed->feed));
  }
  auto assigned = directory_.Assign(id, slot, key);
  if (!assigned.ok()) return done(assigned.status());
  std::vector<worker::Posting> postings = std::move(assigned->postings);
  PostAll(std::move(postings),
          [this, assignment = *std::move(assigned), done](const absl::Status& status) {
            if (status.ok()) {
              directory_.Accept(assignment);
              TellAssigned(assignment.peer, assignment.slot);
              return done(status);
            }
            PostAll(directory_.Refuse(assignment), nullptr);
            if (status.code() != absl::StatusCode::kFailedPrecondition)
              return done(FromWorker(status));
            const std::string name = assignment.feed ? assignment.feed->name.ToString() : "";
            done(ApiError(v1::ERROR_REASON_SLOT_UNFIT,
                          absl::StrCat("feed ", name, " does not fit slot ", assignment.slot, ": ",
                                       status.message()),
                          {{"feed", name}, {"slot", std::to_string(assignment.slot)}}));
          });
}

void MediaControl::TellAssigned(PeerId id, uint32_t slot) {
  const worker::PeerRecord* peer = directory_.FindPeer(id);
  if (peer == nullptr) return;
  v1::MediaEvent event;
  v1::SlotAssigned& assigned = *event.mutable_slot_assigned();
  assigned.set_participant(peer->participant);
  assigned.set_peer(peer->resource);
  *assigned.mutable_slot() = messages_.Slot(*peer, slot);
  events_.OnChange(peer->site, std::move(event));
}

void MediaControl::SelectLayer(PeerId id, uint32_t slot, uint8_t layer, OnDone done) {
  const auto peer = FindSlot(id, slot);
  if (!peer.ok()) return done(peer.status());
  PostAll({{(*peer)->worker, sfu::SelectLayer{{id, static_cast<uint8_t>(slot)}, layer}}},
          [done](const absl::Status& status) { done(FromWorker(status)); });
}

void MediaControl::RequestKeyframe(const SiteFeed& name, OnDone done) {
  const std::optional<SiteId> site = sites_.Find(name.site);
  const worker::FeedRecord* feed = site ? directory_.FindFeed({*site, name.feed}) : nullptr;
  if (feed == nullptr) return done(NoFeed(name.feed));
  const absl::Status room = node_.CheckRoom(feed->worker);
  if (!room.ok()) return done(FromWorker(room));
  PostAll({{feed->worker, sfu::RequestKeyframe{feed->id}}},
          [done](const absl::Status& status) { done(FromWorker(status)); });
}

void MediaControl::RestartIce(PeerId id, const std::string& etag, const worker::IceSecrets& remote,
                              OnRestarted done) {
  const worker::PeerRecord* peer = directory_.FindPeer(id);
  if (peer == nullptr) return done(NoPeer());
  if (etag != "*" && etag != peer->etag) {
    return done(ApiError(v1::ERROR_REASON_ETAG_STALE, "etag: ICE was restarted meanwhile",
                         {{"field", "etag"}}));
  }
  const absl::Status room = node_.CheckRoom(peer->worker);
  if (!room.ok()) return done(FromWorker(room));
  const worker::IceSecrets local = node_.MakeIceSecrets(peer->worker);
  // Later requests see the new generation at once: two restarts at a time must not both succeed.
  const std::string old_etag = peer->etag;
  const std::string old_remote = peer->remote_ufrag;
  directory_.SetIce(id, local.ufrag, remote.ufrag);
  const uint32_t worker = peer->worker;
  PostAll({{worker, sfu::RestartIce{.peer = id,
                                    .local_ufrag = local.ufrag,
                                    .local_password = local.password,
                                    .remote_ufrag = remote.ufrag,
                                    .remote_password = remote.password}}},
          [this, id, worker, local, old_etag, old_remote, done](const absl::Status& status) {
            if (!status.ok()) {
              // RFC 9725, 4.3.3: then the ICE session that was there goes on.
              const worker::PeerRecord* still = directory_.FindPeer(id);
              if (still != nullptr && still->etag == local.ufrag) {
                directory_.SetIce(id, old_etag, old_remote);
              }
              return done(FromWorker(status));
            }
            done(RestartedIce{.ufrag = local.ufrag,
                              .password = local.password,
                              .etag = local.ufrag,
                              .candidates = Candidates(worker)});
          });
}

// However many ask, the workers count once at a time.
void MediaControl::Counters(const OnReports& done) {
  awaiting_counters_.push_back(done);
  if (awaiting_counters_.size() > 1) return;
  Report({}, [this](const Reports& reports) {
    std::vector<OnReports> asked;
    asked.swap(awaiting_counters_);
    for (const OnReports& ready : asked) ready(reports);
  });
}

void MediaControl::Report(const std::vector<PeerId>& peers, const OnReports& done) {
  struct Collected {
    Reports reports;
    size_t missing = 0;
  };
  auto collected = std::make_shared<Collected>();
  collected->reports.resize(node_.size());
  collected->missing = node_.size();
  std::vector<worker::ReportScope> scopes(node_.size(),
                                          {.peers = worker::ReportScope::Peers::kNone});
  for (const PeerId id : peers) {
    const worker::PeerRecord* peer = directory_.FindPeer(id);
    if (peer == nullptr) continue;
    scopes[peer->worker].peers = worker::ReportScope::Peers::kSome;
    scopes[peer->worker].some.push_back(id);
  }
  for (uint32_t i = 0; i < node_.size(); ++i) {
    node_.Post(i, worker::ReportRequest{std::move(scopes[i])},
               [collected, i, done](worker::Answer& answer) {
                 collected->reports[i] = std::move(answer.report);
                 if (--collected->missing == 0) done(collected->reports);
               });
  }
}

void MediaControl::PostAll(std::vector<worker::Posting> postings, OnDone done) {
  if (postings.empty() && done) return done(absl::OkStatus());
  for (size_t i = 0; i < postings.size(); ++i) {
    worker::Node::OnAnswer on_answer;
    if (i + 1 == postings.size() && done) {
      on_answer = [done](worker::Answer& answer) { done(answer.status); };
    }
    node_.Post(postings[i].worker, std::move(postings[i].command), std::move(on_answer));
  }
}

// Forgets the peer and tells everybody; unknown ids are fine.
void MediaControl::Remove(PeerId id, v1::PeerCloseReason reason) {
  const worker::PeerRecord* found = directory_.FindPeer(id);
  if (found == nullptr) return;
  const worker::PeerRecord peer = *found;
  const worker::FeedRecord* holder =
      peer.publishes ? directory_.FindFeed({peer.site, *peer.publishes}) : nullptr;
  const bool held = holder != nullptr && holder->publisher == id;
  PostAll(directory_.RemovePeer(id), nullptr);
  if (held) TellFeedEnded({peer.site, *peer.publishes});
  TellClosed(peer, reason);
}

void MediaControl::TellClosed(const worker::PeerRecord& peer, v1::PeerCloseReason reason) {
  v1::MediaEvent event;
  v1::PeerClosed& closed = *event.mutable_peer_closed();
  closed.set_participant(peer.participant);
  closed.set_peer(peer.resource);
  closed.set_reason(reason);
  events_.OnChange(peer.site, std::move(event));
}

// The feed has ended, or another publication has inherited its name.
void MediaControl::TellFeedEnded(const worker::FeedKey& key) {
  v1::MediaEvent event;
  event.mutable_feed_ended()->set_feed(key.name.ToString());
  events_.OnChange(key.site, std::move(event));
  if (const worker::FeedRecord* heir = directory_.FindFeed(key)) TellHolder(key, heir->id);
}

void MediaControl::Connect(PeerId id) {
  const worker::PeerRecord* peer = directory_.FindPeer(id);
  if (peer == nullptr || peer->connected) return;
  std::optional<worker::PeerRecord> replaced;
  if (peer->publishes) {
    const worker::FeedRecord* holder = directory_.FindFeed({peer->site, *peer->publishes});
    if (holder != nullptr && holder->publisher != id) {
      replaced = *directory_.FindPeer(holder->publisher);
    }
  }
  PostAll(directory_.OnConnected(id), nullptr);
  v1::MediaEvent event;
  event.mutable_peer_connected()->set_participant(peer->participant);
  event.mutable_peer_connected()->set_peer(peer->resource);
  events_.OnChange(peer->site, std::move(event));
  if (!replaced) return;
  TellClosed(*replaced, v1::PEER_CLOSE_REASON_REPLACED);
  TellHolder({peer->site, *peer->publishes}, peer->feed);
}

void MediaControl::Pump() {
  node_.Pump([this](uint32_t worker, const sfu::Event& event) { OnEvent(worker, event); });
}

void MediaControl::OnEvent(uint32_t worker, const sfu::Event& event) {
  if (const auto* connected = std::get_if<sfu::PeerConnected>(&event)) {
    Connect(connected->peer);
  } else if (const auto* closed = std::get_if<sfu::PeerClosed>(&event)) {
    Remove(closed->peer, ReasonOf(closed->reason));
  } else if (const auto* switched = std::get_if<sfu::SlotSwitched>(&event)) {
    TellSwitched(*switched);
  } else if (const auto* mismatch = std::get_if<sfu::SlotCodecMismatch>(&event)) {
    TellMismatched(*mismatch);
  } else if (std::holds_alternative<sfu::Lagged>(event)) {
    Reconcile(worker);
  }
}

// The peer, if its slot is assigned the feed that the worker speaks of. What has been assigned
// something else meanwhile is not worth telling.
const worker::PeerRecord* MediaControl::FindAssigned(sfu::SlotKey slot, FeedId id) const {
  const worker::PeerRecord* peer = directory_.FindPeer(slot.peer);
  const worker::FeedRecord* feed = directory_.FindFeed(id);
  if (peer == nullptr || feed == nullptr) return nullptr;
  return peer->slots.at(slot.index).assigned == feed->key ? peer : nullptr;
}

void MediaControl::TellSwitched(const sfu::SlotSwitched& switched) {
  const worker::PeerRecord* peer = FindAssigned(switched.slot, switched.feed);
  if (peer == nullptr) return;
  v1::MediaEvent event;
  v1::SlotSwitched& told = *event.mutable_slot_switched();
  told.set_participant(peer->participant);
  told.set_peer(peer->resource);
  *told.mutable_slot() = messages_.Slot(*peer, switched.slot.index);
  *told.mutable_waited() = ToProto(switched.waited);
  events_.OnChange(peer->site, std::move(event));
}

void MediaControl::TellMismatched(const sfu::SlotCodecMismatch& mismatch) {
  const auto [slot, feed] = mismatch;
  const worker::PeerRecord* peer = FindAssigned(slot, feed);
  if (peer == nullptr) return;
  v1::MediaEvent event;
  v1::SlotMismatched& told = *event.mutable_slot_mismatched();
  told.set_participant(peer->participant);
  told.set_peer(peer->resource);
  *told.mutable_slot() = messages_.Slot(*peer, slot.index);
  events_.OnChange(peer->site, std::move(event));
}

// Events were lost, the beginning or the end of a peer may be among them: compares with what the
// worker has. Answers come in the order of the commands, so a peer that the directory knows was
// made before the report.
void MediaControl::Reconcile(uint32_t worker) {
  node_.Post(worker, worker::ReportRequest{}, [this, worker](worker::Answer& answer) {
    std::map<PeerId, bool> alive;  // Whether it is connected.
    for (const worker::PeerReport& peer : answer.report->worker.peers) {
      alive[peer.peer] = peer.phase == worker::PeerPhase::kConnected;
    }
    std::vector<PeerId> gone;
    std::vector<PeerId> connected;
    for (const auto& [id, record] : directory_.peers()) {
      if (record.worker != worker) continue;
      const auto found = alive.find(id);
      if (found == alive.end()) gone.push_back(id);
      if (found != alive.end() && found->second && !record.connected) connected.push_back(id);
    }
    for (const PeerId id : gone) Remove(id, v1::PEER_CLOSE_REASON_UNSPECIFIED);
    for (const PeerId id : connected) Connect(id);
  });
}

}  // namespace vigil::control
