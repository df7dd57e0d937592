#include "gateway/control/stats_json.h"

#include "gateway/base/drop_reason.h"
#include "nlohmann/json.hpp"

namespace vigil::control {
namespace {

using nlohmann::json;

const char* NameOf(rtp::MediaKind kind) {
  return kind == rtp::MediaKind::kVideo ? "video" : "audio";
}

json ToJson(const DropCounters& drops) {
  json out = json::object();
  for (size_t i = 0; i < kDropReasonCount; ++i) {
    const auto reason = static_cast<DropReason>(i);
    if (drops.Get(reason) > 0) out[std::string(ToString(reason))] = drops.Get(reason);
  }
  return out;
}

json ToJson(const peer::MediaReceiver::StreamReport& stream) {
  json out = {{"kind", NameOf(stream.kind)},
              {"layer", stream.layer},
              {"packets", stream.counters.packets},
              {"bytes", stream.counters.bytes},
              {"recovered", stream.counters.recovered},
              {"nacksSent", stream.counters.nacks_sent},
              {"givenUp", stream.counters.given_up},
              {"keyframes", stream.counters.keyframes},
              {"jitter", stream.jitter.seconds()}};
  if (stream.codec) out["codec"] = rtp::Describe(*stream.codec);
  return out;
}

json ToJson(const worker::PeerReport::Sent& sent, const worker::Directory& directory) {
  const worker::FeedRecord* feed = directory.FindFeed(sent.feed);
  return {{"slot", sent.slot},
          {"kind", NameOf(sent.kind)},
          {"feed", feed == nullptr ? "" : feed->key.name.ToString()},
          {"packets", sent.counters.packets},
          {"bytes", sent.counters.bytes},
          {"retransmitted", sent.counters.retransmitted},
          {"nacked", sent.counters.nacked},
          {"reportedLost", sent.counters.reported_lost},
          {"roundTrip", sent.round_trip.seconds()}};
}

const char* NameOf(peer::Peer::Phase phase) {
  return phase == peer::Peer::Phase::kConnected ? "connected" : "connecting";
}

json PeerJson(const worker::PeerReport& peer, const worker::Directory& directory) {
  json out = {{"phase", NameOf(peer.phase)}, {"received", json::array()}, {"sent", json::array()}};
  if (const worker::PeerRecord* record = directory.FindPeer(peer.peer)) {
    out["peer"] = record->resource;
    out["participant"] = record->participant;
    out["worker"] = record->worker;
    if (record->publishes) out["feed"] = record->publishes->ToString();
  }
  if (peer.selected) {
    out["transport"] = peer.selected->transport == Transport::kUdp ? "udp" : "tcp";
  }
  for (const auto& stream : peer.received) out["received"].push_back(ToJson(stream));
  for (const auto& sent : peer.sent) out["sent"].push_back(ToJson(sent, directory));
  return out;
}

json WorkerJson(const worker::ThreadReport& report) {
  const worker::WorkerCounters& counters = report.worker.counters;
  json dwell = {{"count", report.port.dwell.count}, {"sum", report.port.dwell.sum.seconds()}};
  json edges = json::array();
  for (size_t i = 0; i < report.port.dwell.buckets.size(); ++i) {
    const bool last = i == DurationHistogram::kEdges.size();
    edges.push_back({{"le", last ? json("+Inf") : json(DurationHistogram::kEdges[i].seconds())},
                     {"count", report.port.dwell.buckets[i]}});
  }
  dwell["buckets"] = edges;
  return {{"datagrams", counters.datagrams},
          {"stun", counters.stun},
          {"dtls", counters.dtls},
          {"rtcp", counters.rtcp},
          {"trackPackets", counters.track_packets},
          {"copies", report.worker.copies},
          {"delivered", report.worker.delivered},
          {"sent", counters.sent},
          {"relayedIn", counters.relayed_in},
          {"relayedOut", counters.relayed_out},
          {"ingressDrops", ToJson(counters.ingress_drops)},
          {"routerDrops", ToJson(report.worker.router_drops)},
          {"egressDrops", ToJson(counters.egress_drops)},
          {"portInboundDrops", ToJson(report.port.inbound_drops)},
          {"portOutboundDrops", ToJson(report.port.outbound_drops)},
          {"kernelDropped", report.port.kernel_dropped},
          {"poolInUse", report.worker.pool_in_use},
          {"busy", report.busy.seconds()},
          {"running", report.running.seconds()},
          {"dwell", dwell}};
}

}  // namespace

std::string StatsJson(const worker::Directory& directory,
                      const std::vector<std::unique_ptr<worker::ThreadReport>>& reports) {
  json out = {{"peers", json::array()}, {"workers", json::array()}};
  for (const auto& report : reports) {
    if (report == nullptr) continue;
    for (const worker::PeerReport& peer : report->worker.peers) {
      out["peers"].push_back(PeerJson(peer, directory));
    }
    out["workers"].push_back(WorkerJson(*report));
  }
  return out.dump();
}

}  // namespace vigil::control
