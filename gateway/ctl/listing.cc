#include "gateway/ctl/listing.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "gateway/ctl/table.h"
#include "gateway/ctl/time_text.h"

namespace vigil::ctl {
namespace {

// "3 m 12 s"; the clocks of two machines never agree quite, and a negative age helps nobody.
std::string AgeText(const google::protobuf::Timestamp& since, TimeDelta now) {
  return SpanText(std::max(now - ToSpan(since), TimeDelta::Zero()));
}

std::string SlotText(const v1::Slot& slot) {
  return absl::StrCat(slot.index(), " ", std::string(KindText(slot.kind())), " ",
                      slot.feed().empty() ? "-" : slot.feed());
}

std::string CodecsText(const google::protobuf::RepeatedPtrField<v1::Codec>& codecs) {
  std::vector<std::string> names;
  for (const v1::Codec& codec : codecs) {
    if (std::find(names.begin(), names.end(), codec.name()) == names.end()) {
      names.push_back(codec.name());
    }
  }
  return absl::StrJoin(names, ",");
}

// What a stream carries, in one word.
std::string StreamText(const v1::InboundStats& in) {
  if (in.kind() == v1::MEDIA_KIND_AUDIO) return "in";
  return absl::StrCat("in layer ", in.layer());
}

void AddInbound(const v1::PeerStats& peer, const v1::InboundStats& in, TimeDelta now,
                Table& table) {
  table.AddRow({peer.site(), peer.participant(), peer.peer(), StreamText(in),
                std::string(KindText(in.kind())), in.codec().name(), peer.publishes(),
                absl::StrCat(in.packets()), absl::StrCat(in.lost()),
                in.has_jitter() ? SpanText(ToSpan(in.jitter())) : "",
                peer.has_round_trip() ? SpanText(ToSpan(peer.round_trip())) : "",
                in.has_last_packet_time() ? AgeText(in.last_packet_time(), now) : "never"});
}

void AddOutbound(const v1::PeerStats& peer, const v1::OutboundStats& out, TimeDelta now,
                 Table& table) {
  std::string feed = out.slot().feed();
  if (!out.blocked().empty()) absl::StrAppend(&feed, " (", out.blocked(), ")");
  table.AddRow({peer.site(), peer.participant(), peer.peer(),
                absl::StrCat("out slot ", out.slot().index()),
                std::string(KindText(out.slot().kind())), "", feed, absl::StrCat(out.packets()),
                absl::StrCat(out.reported_lost()), "",
                out.has_round_trip() ? SpanText(ToSpan(out.round_trip())) : "",
                out.has_last_sent_time() ? AgeText(out.last_sent_time(), now) : "never"});
}

std::string DropsText(const std::map<std::string, uint64_t>& drops) {
  if (drops.empty()) return "none";
  std::vector<std::pair<std::string, uint64_t>> sorted(drops.begin(), drops.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  return absl::StrJoin(sorted, ", ", absl::PairFormatter(" "));
}

}  // namespace

TimeDelta ToSpan(const google::protobuf::Timestamp& time) {
  return TimeDelta::Seconds(time.seconds()) + TimeDelta::Nanos(time.nanos());
}

TimeDelta ToSpan(const google::protobuf::Duration& span) {
  return TimeDelta::Seconds(span.seconds()) + TimeDelta::Nanos(span.nanos());
}

std::string_view KindText(v1::MediaKind kind) {
  switch (kind) {
    case v1::MEDIA_KIND_AUDIO:
      return "sound";
    case v1::MEDIA_KIND_VIDEO:
      return "picture";
    default:
      return "unknown";
  }
}

std::string_view PhaseText(v1::PeerPhase phase) {
  switch (phase) {
    case v1::PEER_PHASE_CONNECTING:
      return "connecting";
    case v1::PEER_PHASE_CONNECTED:
      return "connected";
    default:
      return "unknown";
  }
}

std::string ParticipantsText(const std::vector<v1::Participant>& participants, TimeDelta now) {
  Table table({{"SITE"}, {"PARTICIPANT"}, {"PEER"}, {"PHASE"}, {"PUBLISHES"}, {"SLOT"}, {"AGE"}});
  for (const v1::Participant& participant : participants) {
    for (const v1::Peer& peer : participant.peers()) {
      table.AddRow({participant.site(), participant.participant(), peer.peer(),
                    std::string(PhaseText(peer.phase())), peer.publishes(),
                    peer.slots().empty() ? "" : SlotText(peer.slots(0)),
                    AgeText(peer.create_time(), now)});
      for (int i = 1; i < peer.slots_size(); ++i) {
        table.AddRow({participant.site(), participant.participant(), peer.peer(), "", "",
                      SlotText(peer.slots(i)), ""});
      }
    }
  }
  return table.empty() ? "nobody is connected\n" : table.Text();
}

std::string FeedsText(const std::vector<v1::Feed>& feeds, TimeDelta now) {
  Table table({{"SITE"},
               {"FEED"},
               {"PICTURE"},
               {"SOUND"},
               {.head = "LAYERS", .is_number = true},
               {.head = "SLOTS", .is_number = true},
               {"AGE"}});
  for (const v1::Feed& feed : feeds) {
    table.AddRow({feed.site(), feed.feed(), CodecsText(feed.video_codecs()),
                  CodecsText(feed.audio_codecs()), absl::StrCat(feed.layers()),
                  absl::StrCat(feed.slots()), AgeText(feed.publish_time(), now)});
  }
  return table.empty() ? "nothing is being published\n" : table.Text();
}

std::string StatsText(const std::vector<v1::PeerStats>& peers, TimeDelta now) {
  Table table({{"SITE"},
               {"PARTICIPANT"},
               {"PEER"},
               {"STREAM"},
               {"KIND"},
               {"CODEC"},
               {"FEED"},
               {.head = "PACKETS", .is_number = true},
               {.head = "LOST", .is_number = true},
               {.head = "JITTER", .is_number = true},
               {.head = "RTT", .is_number = true},
               {"LAST"}});
  std::string drops;
  for (const v1::PeerStats& peer : peers) {
    for (const v1::InboundStats& in : peer.inbound()) AddInbound(peer, in, now, table);
    for (const v1::OutboundStats& out : peer.outbound()) AddOutbound(peer, out, now, table);
    if (peer.inbound().empty() && peer.outbound().empty()) {
      table.AddRow(
          {peer.site(), peer.participant(), peer.peer(), std::string(PhaseText(peer.phase()))});
    }
    if (peer.dropped() > 0) {
      absl::StrAppend(&drops, peer.site(), " ", peer.participant(), " ", peer.peer(), ": ",
                      peer.dropped(), " dropped, the last ", AgeText(peer.last_drop_time(), now),
                      " ago: ", peer.last_drop_reason(), "\n");
    }
  }
  return table.empty() ? "nobody is connected\n" : table.Text() + drops;
}

std::string QuantileText(const v1::DurationDistribution& distribution, double part) {
  if (distribution.count() == 0) return "none";
  const double wanted = part * static_cast<double>(distribution.count());
  uint64_t seen = 0;
  for (int i = 0; i < distribution.edges_size() && i < distribution.counts_size(); ++i) {
    seen += distribution.counts(i);
    if (static_cast<double>(seen) >= wanted) {
      return absl::StrCat("<= ", SpanText(ToSpan(distribution.edges(i))));
    }
  }
  if (distribution.edges().empty()) return "unknown";
  return absl::StrCat("> ", SpanText(ToSpan(*distribution.edges().rbegin())));
}

std::string NodeText(const v1::Node& node, TimeDelta now) {
  const bool draining = node.state() == v1::NODE_STATE_DRAINING;
  std::string text = absl::StrCat(
      "node         ", node.node(), ", version ", node.version(), "\nstate        ",
      draining ? "DRAINING: takes nothing new" : "serving", ", up ",
      AgeText(node.start_time(), now), "\nmedia        ", node.peers(), " connections, ",
      node.feeds(), " feeds, at ", absl::StrJoin(node.media_addresses(), " "), "\n");
  if (node.has_certificate_expire_time()) {
    const TimeDelta end = ToSpan(node.certificate_expire_time());
    absl::StrAppend(
        &text, "certificate  ",
        end > now ? absl::StrCat("ends in ", SpanText(end - now)) : "HAS EXPIRED: renew it", "\n");
  }
  Table table({{.head = "WORKER", .is_number = true},
               {.head = "PEERS", .is_number = true},
               {.head = "SLOTS", .is_number = true},
               {.head = "BUSY", .is_number = true},
               {.head = "DWELL P50", .is_number = true},
               {.head = "DWELL P99", .is_number = true},
               {.head = "RECEIVED", .is_number = true},
               {.head = "SENT", .is_number = true},
               {.head = "BUFFERS", .is_number = true}});
  std::map<std::string, uint64_t> drops;
  for (const v1::WorkerStats& worker : node.workers()) {
    table.AddRow({absl::StrCat(worker.worker()), absl::StrCat(worker.peers()),
                  absl::StrCat(worker.subscriptions()),
                  absl::StrFormat("%.1f%%", worker.utilization() * 100.0),
                  QuantileText(worker.dwell(), 0.5), QuantileText(worker.dwell(), 0.99),
                  absl::StrCat(worker.datagrams_received()), absl::StrCat(worker.datagrams_sent()),
                  absl::StrCat(worker.pool_in_use(), "/", worker.pool_capacity())});
    for (const auto& [reason, count] : worker.drops()) drops[reason] += count;
  }
  return absl::StrCat(text, "drops        ", DropsText(drops), "\n\n", table.Text());
}

}  // namespace vigil::ctl
