#include "gateway/control/media_lists.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gateway/control/api_error.h"

namespace vigil::control {
namespace {

constexpr size_t kDefaultPage = 100;
constexpr size_t kMaxPage = 1'000;
// Statistics are walked by the media threads.
constexpr size_t kDefaultStatsPage = 50;
constexpr size_t kMaxStatsPage = 100;

size_t PageSize(uint32_t asked, size_t standard, size_t most) {
  return asked == 0 ? standard : std::min<size_t>(asked, most);
}

// Which list a page token is of.
constexpr std::string_view kParticipantsList = "p";
constexpr std::string_view kFeedsList = "f";
constexpr std::string_view kStatsList = "s";

std::string PageToken(std::string_view list, const std::string& site, const std::string& name) {
  return absl::WebSafeBase64Escape(
      absl::StrCat(absl::string_view(list.data(), list.size()), " ", site, " ", name));
}

bool IsNameOf(std::string_view list, std::string_view name) {
  return list == kFeedsList ? worker::ParseFeedName(name).has_value() : worker::IsValidName(name);
}

bool BeginsWith(const std::string& name, const std::string& prefix) {
  return name.compare(0, prefix.size(), prefix) == 0;
}

}  // namespace

std::vector<std::string> MediaLists::SitesOf(const Caller& caller) const {
  if (!caller.all_sites) return {caller.sites.begin(), caller.sites.end()};
  std::vector<std::string> names = control_.sites().names();
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<MediaLists::Page> MediaLists::ReadPage(const Caller& caller, std::string_view list,
                                                      std::string_view site,
                                                      std::string_view token) const {
  Page page;
  page.sites = SitesOf(caller);
  if (!site.empty()) {
    absl::StatusOr<std::string> named = caller.ResolveSite(site);
    if (!named.ok()) return named.status();
    page.sites = {*std::move(named)};
  }
  if (token.empty()) return page;
  std::string text;
  std::vector<std::string> parts;
  if (token.size() < 512 &&
      absl::WebSafeBase64Unescape(absl::string_view(token.data(), token.size()), &text)) {
    parts = absl::StrSplit(text, ' ');
  }
  // Of this list, and of a site that the call is about: whether there is one is not looked at.
  const bool right = parts.size() == 3 && parts[0] == list && caller.MayUseSite(parts[1]) &&
                     (site.empty() || parts[1] == site) && IsNameOf(list, parts[2]);
  if (!right) {
    return ApiError(v1::ERROR_REASON_PAGE_TOKEN_INVALID, "page_token: is none of this list",
                    {{"field", "page_token"}});
  }
  page.after_site = parts[1];
  page.after_name = parts[2];
  std::erase_if(page.sites, [&page](const std::string& name) { return name < page.after_site; });
  return page;
}

void MediaLists::ListParticipants(const CallContext& context,
                                  const v1::ListParticipantsRequest& request,
                                  const Done<v1::ListParticipantsResponse>& done) const {
  const auto page =
      ReadPage(*context.caller, kParticipantsList, request.site(), request.page_token());
  if (!page.ok()) return done(page.status());
  const size_t size = PageSize(request.page_size(), kDefaultPage, kMaxPage);
  const auto& all = control_.directory().participants();
  v1::ListParticipantsResponse response;
  for (const std::string& site : page->sites) {
    const auto id = control_.sites().Find(site);
    if (!id) continue;
    const std::string after = site == page->after_site ? page->after_name : "";
    for (auto it = all.upper_bound({*id, after}); it != all.end() && it->first.site == *id; ++it) {
      if (!BeginsWith(it->first.participant, request.name_prefix())) continue;
      if (static_cast<size_t>(response.participants_size()) >= size) {
        const v1::Participant& last = *response.participants().rbegin();
        response.set_next_page_token(PageToken(kParticipantsList, last.site(), last.participant()));
        return done(std::move(response));
      }
      v1::Participant& participant = *response.add_participants();
      participant.set_site(site);
      participant.set_participant(it->first.participant);
      for (const PeerId peer : it->second) {
        v1::Peer message = control_.messages().Peer(*control_.directory().FindPeer(peer));
        Redact(*context.caller, message);
        *participant.add_peers() = std::move(message);
      }
    }
  }
  done(std::move(response));
}

void MediaLists::ListFeeds(const CallContext& context, const v1::ListFeedsRequest& request,
                           const Done<v1::ListFeedsResponse>& done) const {
  const auto page = ReadPage(*context.caller, kFeedsList, request.site(), request.page_token());
  if (!page.ok()) return done(page.status());
  const size_t size = PageSize(request.page_size(), kDefaultPage, kMaxPage);
  const auto& all = control_.directory().holders();
  const auto visible_slots = [&](const worker::FeedRecord& feed) {
    uint32_t count = 0;
    for (const auto& [worker, slots] : feed.slots) {
      for (const sfu::SlotKey& slot : slots) {
        const worker::PeerRecord* peer = control_.directory().FindPeer(slot.peer);
        if (context.caller->MayUseSite(control_.sites().NameOf(peer->site))) ++count;
      }
    }
    return count;
  };
  v1::ListFeedsResponse response;
  for (const std::string& site : page->sites) {
    const auto id = control_.sites().Find(site);
    if (!id) continue;
    // By participant, then feed: that is not the order of the texts, in which '-' precedes '/'.
    const auto after =
        site == page->after_site ? worker::ParseFeedName(page->after_name) : std::nullopt;
    for (auto it = all.upper_bound({*id, after.value_or(worker::FeedName())});
         it != all.end() && it->first.site == *id; ++it) {
      if (!BeginsWith(it->first.name.ToString(), request.name_prefix())) continue;
      if (static_cast<size_t>(response.feeds_size()) >= size) {
        const v1::Feed& last = *response.feeds().rbegin();
        response.set_next_page_token(PageToken(kFeedsList, last.site(), last.feed()));
        return done(std::move(response));
      }
      const worker::FeedRecord& feed = *control_.directory().FindFeed(it->second);
      v1::Feed& message = *response.add_feeds();
      message = control_.messages().Feed(feed);
      message.set_slots(visible_slots(feed));
    }
  }
  done(std::move(response));
}

void MediaLists::GetStats(const CallContext& context, const v1::GetStatsRequest& request,
                          const Done<v1::GetStatsResponse>& done) {
  const auto page = ReadPage(*context.caller, kStatsList, request.site(), request.page_token());
  if (!page.ok()) return done(page.status());
  if (!request.participant().empty() && !worker::IsValidName(request.participant())) {
    return done(FieldError("participant", "must match [a-z0-9-]{1,63}"));
  }
  const size_t size = PageSize(request.page_size(), kDefaultStatsPage, kMaxStatsPage);
  const auto& all = control_.directory().participants();
  std::vector<PeerId> peers;
  std::string next;
  std::string last;
  for (const std::string& site : page->sites) {
    const auto id = control_.sites().Find(site);
    if (!id || !next.empty()) continue;
    const std::string after = site == page->after_site ? page->after_name : "";
    for (auto it = all.upper_bound({*id, after}); it != all.end() && it->first.site == *id; ++it) {
      if (!request.participant().empty() && it->first.participant != request.participant()) {
        continue;
      }
      if (!peers.empty() && peers.size() + it->second.size() > size) {
        next = last;
        break;
      }
      peers.insert(peers.end(), it->second.begin(), it->second.end());
      last = PageToken(kStatsList, site, it->first.participant);
    }
  }
  const auto answer = [this, caller = context.caller, peers, next,
                       done](const MediaControl::Reports& reports) {
    std::map<PeerId, const worker::PeerReport*> by_id;
    for (const auto& report : reports) {
      for (const worker::PeerReport& peer : report->worker.peers) by_id[peer.peer] = &peer;
    }
    v1::GetStatsResponse response;
    for (const PeerId id : peers) {
      // Ended meanwhile.
      const worker::PeerRecord* peer = control_.directory().FindPeer(id);
      const auto report = by_id.find(id);
      if (peer == nullptr || report == by_id.end()) continue;
      *response.add_peers() = Stats(*peer, *report->second);
      for (v1::OutboundStats& slot : *response.mutable_peers()->rbegin()->mutable_outbound()) {
        Redact(*caller, *slot.mutable_slot());
      }
    }
    response.set_next_page_token(next);
    done(std::move(response));
  };
  if (peers.empty()) return answer({});
  // Media waits for a page; so pages wait for each other.
  const bool waits = pages_.Add(
      context.caller->Tenant(), [this, peers, answer](const std::function<void()>& finish) {
        control_.Report(peers, [answer, finish](const MediaControl::Reports& reports) {
          answer(reports);
          finish();
        });
      });
  if (waits) return;
  done(WithRetryDelay(
      ApiError(v1::ERROR_REASON_WORKER_BUSY, "too many pages of statistics are being made"), 1));
}

v1::PeerStats MediaLists::Stats(const worker::PeerRecord& peer,
                                const worker::PeerReport& report) const {
  v1::PeerStats out;
  out.set_site(control_.sites().NameOf(peer.site));
  out.set_participant(peer.participant);
  out.set_peer(peer.resource);
  const bool connected = report.phase == worker::PeerPhase::kConnected;
  out.set_phase(connected ? v1::PEER_PHASE_CONNECTED : v1::PEER_PHASE_CONNECTING);
  if (report.selected) {
    out.set_transport(report.selected->transport == Transport::kUdp ? v1::PEER_TRANSPORT_UDP
                                                                    : v1::PEER_TRANSPORT_TCP);
  }
  if (peer.publishes) out.set_publishes(peer.publishes->ToString());
  *out.mutable_create_time() = control_.messages().Time(peer.created_at);
  for (const auto& stream : report.received) *out.add_inbound() = Inbound(stream);
  for (const auto& sent : report.sent) *out.add_outbound() = Outbound(peer, sent);
  out.set_dropped(report.dropped);
  if (report.last_drop) {
    out.set_last_drop_reason(std::string(vigil::ToString(*report.last_drop)));
    *out.mutable_last_drop_time() = control_.messages().Time(report.last_drop_at);
  }
  if (report.publisher_round_trip) {
    *out.mutable_round_trip() = ToProto(*report.publisher_round_trip);
  }
  return out;
}

v1::InboundStats MediaLists::Inbound(const worker::ReceivedStream& stream) const {
  v1::InboundStats out;
  out.set_kind(ToProto(stream.kind));
  out.set_layer(stream.layer);
  out.set_ssrc(stream.ssrc);
  if (stream.codec) *out.mutable_codec() = ToProto(*stream.codec);
  out.set_packets(stream.counters.packets);
  out.set_bytes(stream.counters.bytes);
  out.set_recovered(stream.counters.recovered);
  out.set_nacks_sent(stream.counters.nacks_sent);
  out.set_lost(stream.counters.given_up);
  out.set_keyframes(stream.counters.keyframes);
  *out.mutable_jitter() = ToProto(stream.jitter);
  if (!stream.last_packet_at.IsLongAgo()) {
    *out.mutable_last_packet_time() = control_.messages().Time(stream.last_packet_at);
  }
  return out;
}

v1::OutboundStats MediaLists::Outbound(const worker::PeerRecord& peer,
                                       const worker::PeerReport::Sent& sent) const {
  v1::OutboundStats out;
  *out.mutable_slot() = control_.messages().Slot(peer, sent.slot);
  out.set_ssrc(sent.ssrc);
  out.set_packets(sent.counters.packets);
  out.set_bytes(sent.counters.bytes);
  out.set_retransmitted(sent.counters.retransmitted);
  out.set_nacked(sent.counters.nacked);
  out.set_reported_lost(static_cast<int64_t>(sent.counters.reported_lost));
  if (sent.round_trip) *out.mutable_round_trip() = ToProto(*sent.round_trip);
  if (!sent.last_sent_at.IsLongAgo()) {
    *out.mutable_last_sent_time() = control_.messages().Time(sent.last_sent_at);
  }
  if (!sent.confirmed_at.IsLongAgo()) {
    *out.mutable_confirm_time() = control_.messages().Time(sent.confirmed_at);
  }
  if (!sent.flows_since.IsLongAgo()) {
    *out.mutable_flow_time() = control_.messages().Time(sent.flows_since);
  }
  const worker::SlotRecord& slot = peer.slots.at(sent.slot);
  if (slot.assigned && slot.carries.IsNone()) {
    out.set_blocked("not_published");
  } else if (sent.blocked) {
    out.set_blocked(std::string(vigil::ToString(*sent.blocked)));
  }
  return out;
}

}  // namespace vigil::control
