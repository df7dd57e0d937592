#include "gateway/ctl/why.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gateway/ctl/drop_meaning.h"
#include "gateway/ctl/listing.h"
#include "gateway/ctl/time_text.h"

namespace vigil::ctl {
namespace {

// One slot of somebody else's that is told to carry a feed of the room.
struct Receiver {
  const v1::PeerStats* peer;
  const v1::OutboundStats* out;
};

class Answer {
 public:
  explicit Answer(const RoomView& view) : view_(view) {
    for (const v1::PeerStats& peer : view.peers) {
      if (peer.site() == view.site && peer.participant() == view.room) own_.push_back(&peer);
      for (const v1::OutboundStats& out : peer.outbound()) {
        if (IsOfRoom(peer.site(), out.slot().feed())) receivers_.push_back({&peer, &out});
      }
    }
    for (const v1::Feed& feed : view.feeds) {
      if (feed.site() == view.site && IsOfRoom(feed.site(), feed.feed())) feeds_.push_back(&feed);
    }
  }

  WhyAnswer Tell() {
    WhyAnswer answer;
    answer.lines = {absl::StrCat("flows     ", Flows()), absl::StrCat("since     ", Since()),
                    absl::StrCat("dropped   ", Dropped()), absl::StrCat("affected  ", Affected()),
                    absl::StrCat("talkback  ", Talkback())};
    answer.flows = flows_;
    return answer;
  }

 private:
  // `feed` as a slot of a participant of `site` names it.
  bool IsOfRoom(const std::string& site, const std::string& feed) const {
    const std::string prefix = absl::StrCat(view_.room, "/");
    if (site == view_.site && feed.rfind(prefix, 0) == 0) return true;
    return feed.rfind(absl::StrCat(view_.site, "/", prefix), 0) == 0;
  }

  std::string Age(const google::protobuf::Timestamp& time) const {
    return SpanText(std::max(view_.now - ToSpan(time), TimeDelta::Zero()));
  }

  // Picture and sound as they come in; several layers count as one picture.
  std::string KindFlow(const v1::PeerStats& peer, v1::MediaKind kind, bool expected) {
    const v1::InboundStats* newest = nullptr;
    for (const v1::InboundStats& in : peer.inbound()) {
      if (in.kind() != kind || !in.has_last_packet_time()) continue;
      if (newest == nullptr || ToSpan(in.last_packet_time()) > ToSpan(newest->last_packet_time())) {
        newest = &in;
      }
    }
    const std::string name(KindText(kind));
    if (newest == nullptr) {
      if (!expected) return "";
      flows_ = false;
      return absl::StrCat("NO ", name, " (none came yet)");
    }
    const TimeDelta age = view_.now - ToSpan(newest->last_packet_time());
    if (age <= kSilent) return absl::StrCat(name, " (", newest->codec().name(), ")");
    flows_ = false;
    return absl::StrCat("NO ", name, " (silent for ", SpanText(age), ")");
  }

  std::string FeedFlow(const v1::Feed& feed) {
    const v1::PeerStats* peer = nullptr;
    for (const v1::PeerStats* one : own_) {
      if (one->publishes() == feed.feed()) peer = one;
    }
    if (peer == nullptr) {
      flows_ = false;
      return absl::StrCat(feed.feed(), " is announced, but its connection is gone");
    }
    if (peer->phase() != v1::PEER_PHASE_CONNECTED) return Connecting(*peer);
    std::vector<std::string> parts;
    for (const auto& [kind, expected] :
         {std::pair(v1::MEDIA_KIND_VIDEO, !feed.video_codecs().empty()),
          std::pair(v1::MEDIA_KIND_AUDIO, !feed.audio_codecs().empty())}) {
      std::string part = KindFlow(*peer, kind, expected);
      if (!part.empty()) parts.push_back(std::move(part));
    }
    return absl::StrCat(feed.feed(), " sends ", absl::StrJoin(parts, " and "), ".");
  }

  std::string Connecting(const v1::PeerStats& peer) {
    flows_ = false;
    return absl::StrCat(peer.publishes().empty() ? peer.participant() : peer.publishes(),
                        " has been connecting for ", Age(peer.create_time()),
                        ": no media path yet; a firewall between it and the media port does that.");
  }

  std::string Flows() {
    if (own_.empty() && feeds_.empty()) {
      flows_ = false;
      return absl::StrCat(view_.room,
                          " is not connected to this node: nothing comes from it. Look at the "
                          "room's own screen and network, and whether it dials this node.");
    }
    std::vector<std::string> parts;
    for (const v1::Feed* feed : feeds_) parts.push_back(FeedFlow(*feed));
    // A publication counts when it is connected: until then it is in no list of feeds.
    for (const v1::PeerStats* peer : own_) {
      const bool listed = std::any_of(feeds_.begin(), feeds_.end(), [peer](const v1::Feed* feed) {
        return feed->feed() == peer->publishes();
      });
      if (listed || peer->publishes().empty()) continue;
      if (peer->phase() == v1::PEER_PHASE_CONNECTED) continue;
      parts.push_back(Connecting(*peer));
    }
    if (parts.empty()) {
      flows_ = false;
      return absl::StrCat(view_.room, " is connected, but publishes nothing.");
    }
    return absl::StrJoin(parts, " ");
  }

  std::string Since() const {
    if (own_.empty() && feeds_.empty()) {
      return "not known: a node does not remember who has left; `vigilctl watch` tells it live.";
    }
    std::vector<std::string> parts;
    for (const v1::Feed* feed : feeds_) {
      parts.push_back(absl::StrCat(feed->feed(), " is published for ", Age(feed->publish_time()),
                                   " (", UtcText(ToSpan(feed->publish_time())), ")."));
    }
    if (!parts.empty()) return absl::StrJoin(parts, " ");
    return absl::StrCat(view_.room, " is connected for ", Age(own_.front()->create_time()), ".");
  }

  // Of each connection the last drop is known. A harmless one must not hide another's that is not.
  const v1::PeerStats* LastDrop() const {
    const v1::PeerStats* last = nullptr;
    for (const v1::PeerStats* peer : own_) {
      if (!peer->has_last_drop_time()) continue;
      const auto rank = [](const v1::PeerStats& one) {
        return std::pair(!IsHarmlessDrop(one.last_drop_reason()), ToSpan(one.last_drop_time()));
      };
      if (last == nullptr || rank(*peer) > rank(*last)) last = peer;
    }
    return last;
  }

  std::string Dropped() const {
    if (own_.empty()) return "nothing is known of a room that is not connected.";
    const v1::PeerStats* last = LastDrop();
    if (last == nullptr) return absl::StrCat("nothing of ", view_.room, " was dropped.");
    uint64_t count = 0;
    for (const v1::PeerStats* peer : own_) count += peer->dropped();
    // The node keeps no reasons of a connection but the last.
    const bool may_hide = IsHarmlessDrop(last->last_drop_reason()) && count > 1;
    return absl::StrCat(last->last_drop_reason(), " ", Age(last->last_drop_time()), " ago (",
                        DropText(last->last_drop_reason()), "); ", count, " in all",
                        may_hide ? ", of which others may not be: `vigilctl node` counts the "
                                   "reasons of all connections."
                                 : ".");
  }

  // How one slot fares: empty if all is well.
  std::string Trouble(const v1::PeerStats& peer, const v1::OutboundStats& out) const {
    if (peer.phase() != v1::PEER_PHASE_CONNECTED) return "is not connected yet";
    const bool published =
        std::any_of(view_.feeds.begin(), view_.feeds.end(), [&](const v1::Feed& feed) {
          const std::string& name = out.slot().feed();
          return (feed.site() == peer.site() && feed.feed() == name) ||
                 absl::StrCat(feed.site(), "/", feed.feed()) == name;
        });
    // Before what the node calls it: people know what to do about this one.
    if (!published) return "waits: nobody publishes it";
    if (!out.blocked().empty()) return absl::StrCat("is blocked: ", DropText(out.blocked()));
    if (!out.has_flow_time()) return "has got nothing yet";
    if (!out.has_last_sent_time()) return "has got nothing yet";
    const TimeDelta age = view_.now - ToSpan(out.last_sent_time());
    if (age > kSilent) return absl::StrCat("has got nothing for ", SpanText(age));
    if (!out.has_confirm_time()) return "";
    // Reports come every few seconds at the most.
    const TimeDelta confirmed = view_.now - ToSpan(out.confirm_time());
    if (confirmed <= TimeDelta::Seconds(15)) return "";
    return absl::StrCat("has not confirmed anything for ", SpanText(confirmed));
  }

  std::string SlotSentence(const v1::PeerStats& peer, const v1::OutboundStats& out,
                           const std::string& trouble) const {
    const std::string what =
        absl::StrCat("the ", std::string(KindText(out.slot().kind())), " of ", out.slot().feed());
    const std::string who = peer.site() == view_.site
                                ? peer.participant()
                                : absl::StrCat(peer.site(), "/", peer.participant());
    if (trouble.empty()) return absl::StrCat(who, " gets ", what, ".");
    return absl::StrCat(who, " does NOT get ", what, ": the slot ", trouble, ".");
  }

  std::string Affected() {
    if (receivers_.empty())
      return absl::StrCat("nobody: no slot is told to carry ", view_.room, ".");
    std::vector<std::string> good;
    std::vector<std::string> bad;
    for (const Receiver& receiver : receivers_) {
      const std::string trouble = Trouble(*receiver.peer, *receiver.out);
      (trouble.empty() ? good : bad)
          .push_back(SlotSentence(*receiver.peer, *receiver.out, trouble));
    }
    if (!bad.empty()) flows_ = false;
    // What is wrong is read first.
    bad.insert(bad.end(), good.begin(), good.end());
    return absl::StrJoin(bad, " ");
  }

  std::string Talkback() {
    std::vector<std::string> parts;
    size_t slots = 0;
    for (const v1::PeerStats* peer : own_) {
      for (const v1::OutboundStats& out : peer->outbound()) {
        ++slots;
        if (out.slot().feed().empty()) continue;
        const std::string trouble = Trouble(*peer, out);
        if (!trouble.empty()) flows_ = false;
        parts.push_back(SlotSentence(*peer, out, trouble));
      }
    }
    if (own_.empty()) return absl::StrCat(view_.room, " receives nothing: it is not connected.");
    if (slots == 0) return absl::StrCat(view_.room, " receives nothing: it has no slot.");
    if (parts.empty()) {
      return absl::StrCat(view_.room, " receives nothing: its slots are assigned to nobody.");
    }
    return absl::StrJoin(parts, " ");
  }

  const RoomView& view_;
  std::vector<const v1::PeerStats*> own_;
  std::vector<const v1::Feed*> feeds_;
  std::vector<Receiver> receivers_;
  bool flows_ = true;
};

}  // namespace

WhyAnswer Why(const RoomView& view) { return Answer(view).Tell(); }

std::vector<std::string> SitesOf(const RoomView& view) {
  std::set<std::string> sites;
  for (const v1::PeerStats& peer : view.peers) {
    if (peer.participant() == view.room) sites.insert(peer.site());
  }
  const std::string prefix = absl::StrCat(view.room, "/");
  for (const v1::Feed& feed : view.feeds) {
    if (feed.feed().rfind(prefix, 0) == 0) sites.insert(feed.site());
  }
  if (!sites.empty()) return {sites.begin(), sites.end()};
  // Not connected: where it is waited for.
  for (const v1::PeerStats& peer : view.peers) {
    for (const v1::OutboundStats& out : peer.outbound()) {
      const std::string& feed = out.slot().feed();
      const size_t at = feed.find(absl::StrCat("/", prefix));
      if (feed.rfind(prefix, 0) == 0) sites.insert(peer.site());
      if (at != std::string::npos) sites.insert(feed.substr(0, at));
    }
  }
  return {sites.begin(), sites.end()};
}

TimeDelta NodeNow(const std::vector<v1::PeerStats>& before, const std::vector<v1::PeerStats>& after,
                  TimeDelta otherwise) {
  std::map<std::pair<std::string, uint32_t>, uint64_t> packets;  // By connection and SSRC.
  for (const v1::PeerStats& peer : before) {
    for (const auto& in : peer.inbound()) packets[{peer.peer(), in.ssrc()}] = in.packets();
    for (const auto& out : peer.outbound()) packets[{peer.peer(), out.ssrc()}] = out.packets();
  }
  std::optional<TimeDelta> newest;
  const auto look = [&](const v1::PeerStats& peer, uint32_t ssrc, uint64_t count,
                        const auto& time) {
    const auto known = packets.find({peer.peer(), ssrc});
    if (known == packets.end() || known->second >= count) return;
    newest = std::max(newest.value_or(TimeDelta::Zero()), ToSpan(time));
  };
  for (const v1::PeerStats& peer : after) {
    for (const auto& in : peer.inbound())
      look(peer, in.ssrc(), in.packets(), in.last_packet_time());
    for (const auto& out : peer.outbound()) {
      look(peer, out.ssrc(), out.packets(), out.last_sent_time());
    }
  }
  return newest.value_or(otherwise);
}

}  // namespace vigil::ctl
