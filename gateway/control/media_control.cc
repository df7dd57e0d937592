#include "gateway/control/media_control.h"

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
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

}  // namespace

MediaControl::MediaControl(MediaControlOptions options, worker::Node& node)
    : options_(std::move(options)), node_(node), directory_(node.size()) {}

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
  if (!parsed.ok()) return parsed.status();
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
  return sdp::MakeAnswer(*parsed, options);
}

absl::StatusOr<MediaControl::Plan> MediaControl::MakePlan(sdp::Role role, SiteId site,
                                                          const std::string& participant,
                                                          const std::string& offer) {
  const uint32_t worker = directory_.ReserveWorker();
  worker::IceSecrets secrets;
  const absl::Status room = node_.CheckRoom(worker);
  absl::StatusOr<sdp::Answer> answer =
      room.ok() ? Answer(role, worker, offer, secrets) : absl::StatusOr<sdp::Answer>(room);
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
                 .worker = worker};
  for (const rtp::SendTrack& track : plan.command.media.send) {
    plan.record.slots.push_back({.kind = track.kind});
  }
  return plan;
}

void MediaControl::Publish(const PublishRequest& request, OnCreated done) {
  absl::StatusOr<Plan> plan =
      MakePlan(sdp::Role::kPublish, request.site, request.feed.participant, request.offer);
  if (!plan.ok()) return done(plan.status());
  plan->command.publishes = directory_.NextFeedId();
  plan->record.feed = plan->command.publishes;
  plan->record.publishes = request.feed;
  Create(*std::move(plan), std::move(done));
}

void MediaControl::Play(const PlayRequest& request, OnCreated done) {
  absl::StatusOr<Plan> plan =
      MakePlan(sdp::Role::kPlay, request.site, request.participant, request.offer);
  if (!plan.ok()) return done(plan.status());
  plan->feeds = request.feeds;
  Create(*std::move(plan), std::move(done));
}

void MediaControl::Create(Plan plan, OnCreated done) {
  const uint32_t worker = plan.record.worker;
  const sfu::CreatePeer command = plan.command;
  // std::function wants to be copied; the plan is not small.
  auto shared = std::make_shared<Plan>(std::move(plan));
  node_.Post(worker, sfu::Command(command), [this, shared, worker, done](worker::Answer& answer) {
    if (answer.status.ok()) return OnApplied(std::move(*shared), done);
    directory_.ReleaseWorker(worker);
    done(answer.status);
  });
}

void MediaControl::OnApplied(Plan plan, const OnCreated& done) {
  uint8_t layers = 1;
  for (const rtp::ReceiveTrack& track : plan.command.media.receive) {
    layers = std::max(layers, static_cast<uint8_t>(track.rids.size()));
  }
  CreatedPeer created{.resource = plan.record.resource,
                      .answer = std::move(plan.answer),
                      .etag = plan.command.transport.local_ufrag};
  const PeerId peer = plan.record.id;
  std::vector<worker::Posting> postings =
      directory_.AddPeer(std::move(plan.record), plan.command.media, layers);
  const std::vector<worker::Posting> assigned = AssignFirst(peer, plan.feeds);
  postings.insert(postings.end(), assigned.begin(), assigned.end());
  if (postings.empty()) return done(std::move(created));
  // A feed without sound leaves its sound slot empty; that is no failure of the whole request.
  PostAll(std::move(postings), [done, created](const absl::Status&) { done(created); });
}

std::vector<worker::Posting> MediaControl::AssignFirst(PeerId peer,
                                                       const std::vector<worker::FeedName>& feeds) {
  std::vector<worker::Posting> postings;
  const worker::PeerRecord& record = *directory_.FindPeer(peer);
  std::array<size_t, 2> next{};
  for (uint32_t slot = 0; slot < record.slots.size(); ++slot) {
    const size_t n = next[static_cast<size_t>(record.slots[slot].kind)]++;
    if (n >= feeds.size()) continue;
    const worker::FeedKey key{record.site, feeds[n]};
    const auto assigned = directory_.Assign(peer, slot, key);
    if (!assigned.ok()) {
      directory_.Expect(peer, slot, key);
      continue;
    }
    postings.insert(postings.end(), assigned->postings.begin(), assigned->postings.end());
  }
  return postings;
}

void MediaControl::Close(const std::string& resource, OnDone done) {
  const worker::PeerRecord* peer = directory_.FindResource(resource);
  if (peer == nullptr)
    return done(absl::NotFoundError(absl::StrCat("peer ", resource, " not found")));
  const PeerId id = peer->id;
  std::vector<worker::Posting> postings = {{peer->worker, sfu::ClosePeer{id}}};
  const std::vector<worker::Posting> rest = directory_.RemovePeer(id);
  postings.insert(postings.begin(), rest.begin(), rest.end());
  PostAll(std::move(postings), std::move(done));
}

void MediaControl::Assign(const std::string& resource, uint32_t slot,
                          const std::optional<worker::FeedName>& feed, OnDone done) {
  const worker::PeerRecord* peer = directory_.FindResource(resource);
  if (peer == nullptr)
    return done(absl::NotFoundError(absl::StrCat("peer ", resource, " not found")));
  const absl::Status room = node_.CheckRoom(peer->worker);
  if (!room.ok()) return done(room);
  const PeerId id = peer->id;
  std::optional<worker::FeedKey> key;
  if (feed) key = {peer->site, *feed};
  auto assigned = directory_.Assign(id, slot, key);
  if (!assigned.ok()) return done(assigned.status());
  PostAll(std::move(assigned->postings),
          [this, id, slot, key, before = assigned->before, done](const absl::Status& status) {
            if (!status.ok() && key) PostAll(directory_.Revert(id, slot, *key, before), nullptr);
            done(status);
          });
}

void MediaControl::RequestKeyframe(SiteId site, const worker::FeedName& name, OnDone done) {
  const worker::FeedRecord* feed = directory_.FindFeed({site, name});
  if (feed == nullptr) {
    return done(
        absl::NotFoundError(absl::StrCat("feed ", name.ToString(), " is not being published")));
  }
  const absl::Status room = node_.CheckRoom(feed->worker);
  if (!room.ok()) return done(room);
  PostAll({{feed->worker, sfu::RequestKeyframe{feed->id}}}, std::move(done));
}

// However many ask, the workers make one report at a time: it walks all their peers.
void MediaControl::Report(const OnReports& done) {
  awaiting_report_.push_back(done);
  if (awaiting_report_.size() > 1) return;
  struct Collected {
    Reports reports;
    size_t missing = 0;
  };
  auto collected = std::make_shared<Collected>();
  collected->reports.resize(node_.size());
  collected->missing = node_.size();
  for (uint32_t i = 0; i < node_.size(); ++i) {
    node_.Post(i, worker::ReportRequest{}, [this, collected, i](worker::Answer& answer) {
      collected->reports[i] = std::move(answer.report);
      if (--collected->missing > 0) return;
      std::vector<OnReports> asked;
      asked.swap(awaiting_report_);
      for (const OnReports& ready : asked) ready(collected->reports);
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

void MediaControl::Pump() {
  node_.Pump([this](uint32_t worker, const sfu::Event& event) { OnEvent(worker, event); });
}

void MediaControl::OnEvent(uint32_t worker, const sfu::Event& event) {
  if (const auto* connected = std::get_if<sfu::PeerConnected>(&event)) {
    PostAll(directory_.OnConnected(connected->peer), nullptr);
  } else if (const auto* closed = std::get_if<sfu::PeerClosed>(&event)) {
    PostAll(directory_.RemovePeer(closed->peer), nullptr);
  } else if (const auto* lagged = std::get_if<sfu::Lagged>(&event)) {
    lagged_events_ += lagged->count;
    Reconcile(worker);
  }
}

// Events were lost, the beginning or the end of a peer may be among them: compares with what the
// worker has. Answers come in the order of the commands, so a peer that the directory knows was
// made before the report.
void MediaControl::Reconcile(uint32_t worker) {
  node_.Post(worker, worker::ReportRequest{}, [this, worker](worker::Answer& answer) {
    std::map<PeerId, bool> alive;  // Whether it is connected.
    for (const worker::PeerReport& peer : answer.report->worker.peers) {
      alive[peer.peer] = peer.phase == peer::Peer::Phase::kConnected;
    }
    std::vector<PeerId> gone;
    std::vector<PeerId> connected;
    for (const auto& [id, record] : directory_.peers()) {
      if (record.worker != worker) continue;
      const auto found = alive.find(id);
      if (found == alive.end()) gone.push_back(id);
      if (found != alive.end() && found->second && !record.connected) connected.push_back(id);
    }
    for (const PeerId id : gone) PostAll(directory_.RemovePeer(id), nullptr);
    for (const PeerId id : connected) PostAll(directory_.OnConnected(id), nullptr);
  });
}

}  // namespace vigil::control
