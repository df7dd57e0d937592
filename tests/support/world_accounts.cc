// What must add up in every run, and how a run ends.

#include <string>

#include "tests/support/world.h"

namespace vigil::sim {
namespace {

uint64_t Sum(const DropCounters& drops) {
  uint64_t sum = 0;
  for (const uint64_t count : drops.counts) sum += count;
  return sum;
}

}  // namespace

void World::CheckAccounts(uint32_t index) {
  const worker::WorkerReport report = nodes_[index].worker->Report();
  const worker::WorkerCounters& c = report.counters;
  const auto expect = [&](const char* what, uint64_t in, uint64_t out) {
    if (in == out) return;
    findings_.Add(now_, std::string(what) + ": " + std::to_string(in) + " in, " +
                            std::to_string(out) + " accounted for");
  };
  expect("datagrams", c.datagrams,
         c.stun + c.dtls + c.rtcp + c.track_packets + Sum(c.ingress_drops));
  expect("router copies", report.copies, report.delivered + Sum(report.router_drops));
  expect("deliveries", report.delivered, c.sent + c.relayed_out + Sum(c.egress_drops));
  if (report.pool_in_use > report.pool_capacity / 2) {
    findings_.Add(now_, std::to_string(report.pool_in_use) + " packets are held");
  }
}

// What one worker relayed, another has got, or it is in between.
void World::CheckRelays() {
  if (mesh_ == nullptr) return;
  uint64_t out = 0;
  uint64_t in = 0;
  for (const Node& node : nodes_) {
    const worker::WorkerCounters& counters = node.worker->counters();
    out += counters.relayed_out;
    in += counters.relayed_in + counters.relay_drops.Get(DropReason::kNoSubscriber) +
          counters.relay_drops.Get(DropReason::kPoolExhausted);
  }
  uint64_t in_between = 0;
  for (uint32_t from = 0; from < nodes_.size(); ++from) {
    for (uint32_t to = 0; to < nodes_.size(); ++to) {
      if (from != to) in_between += mesh_->Link(from, to).packets.size();
    }
  }
  if (finished_ && in_between > 0) {
    findings_.Add(now_, std::to_string(in_between) + " packets stay between workers");
  }
  if (out != in + in_between) {
    findings_.Add(now_, "relays: " + std::to_string(out) + " out, " + std::to_string(in) + " in, " +
                            std::to_string(in_between) + " in between");
  }
}

void World::ExpectNoDropsBut(const std::set<DropReason>& ingress,
                             const std::set<DropReason>& router) {
  const auto check = [this](const char* where, const DropCounters& drops,
                            const std::set<DropReason>& expected) {
    for (size_t i = 0; i < kDropReasonCount; ++i) {
      const auto reason = static_cast<DropReason>(i);
      if (drops.counts[i] == 0 || expected.contains(reason)) continue;
      findings_.Add(now_, std::string(where) + " dropped " + std::to_string(drops.counts[i]) +
                              " for " + std::string(ToString(reason)));
    }
  };
  for (const Node& node : nodes_) {
    DropCounters egress = node.egress_drops;
    DropCounters relays = node.relay_drops;
    check("ingress", node.ingress_drops, ingress);
    check("router", node.router_drops, router);
    if (!down_) {
      const worker::WorkerReport report = node.worker->Report();
      check("ingress", report.counters.ingress_drops, ingress);
      check("router", report.router_drops, router);
      check("sending", report.send_drops, {});
      egress += report.counters.egress_drops;
      relays += report.counters.relay_drops;
    }
    check("egress", egress, {});
    check("relays", relays, {DropReason::kNoSubscriber});
  }
}

// Whatever a scenario does, its workers can be replaced.
void World::Drill() {
  if (restores_ > 0 || !options_.no_drill_because.empty()) return;
  HandOver();
  RunFor(TimeDelta::Millis(200));
}

void World::CloseEverybody() {
  for (auto& [peer, client] : clients_) {
    if (!client.open) continue;
    const absl::Status closed = Apply(client.worker, sfu::ClosePeer{peer});
    if (!closed.ok()) findings_.Add(now_, "close failed: " + std::string(closed.message()));
  }
  DrainRelays();
  ExpectNothingHeld();
}

void World::ExpectNothingHeld() {
  for (const Node& node : nodes_) {
    const size_t held = node.worker->pool().in_use();
    if (held > 0) {
      findings_.Add(now_, std::to_string(held) + " packets are held when everybody is gone");
    }
  }
}

void World::Finish() {
  if (finished_) return;
  // A blackout that was begun comes to its end.
  if (!IsSteady()) RunFor(TimeDelta::Seconds(2));
  Drill();
  finished_ = true;
  if (down_) return;
  CloseEverybody();
  Bury();
}

}  // namespace vigil::sim
