#include "gateway/metrics/exporter.h"

#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vigil::metrics {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Exporter, CountersAndGaugesHaveTheirLabels) {
  Snapshot snapshot;
  snapshot.version = "1.2.3";
  snapshot.video.out.packets = 7;
  snapshot.audio.feeds = 2;
  snapshot.drops.Add(DropReason::kSrtpAuth, 3);
  snapshot.nacks = {.in = 4, .out = 5};
  snapshot.peers.connected_tcp = 6;
  const std::string text = ToText(Exporter(snapshot));
  EXPECT_THAT(text, HasSubstr("vigil_build_info{version=\"1.2.3\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("vigil_packets_total{direction=\"out\",kind=\"video\"} 7\n"));
  EXPECT_THAT(text, HasSubstr("vigil_feeds{kind=\"audio\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("vigil_packets_dropped_total{reason=\"srtp_auth\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("vigil_srtp_auth_failures_total 3\n"));
  EXPECT_THAT(text, HasSubstr("vigil_nack_total{direction=\"in\"} 4\n"));
  EXPECT_THAT(text, HasSubstr("vigil_nack_total{direction=\"out\"} 5\n"));
  EXPECT_THAT(text, HasSubstr("vigil_peers{state=\"connected\",transport=\"tcp\"} 6\n"));
}

TEST(Exporter, BucketsAreCumulativeAndTheObjectiveIsAnEdge) {
  Snapshot snapshot;
  snapshot.audio.forward_latency.Add(TimeDelta::Micros(60));
  snapshot.audio.forward_latency.Add(TimeDelta::Millis(250));
  snapshot.audio.forward_latency.Add(TimeDelta::Millis(251));
  snapshot.audio.forward_latency.Add(TimeDelta::Seconds(2));
  const std::string text = ToText(Exporter(snapshot));
  const auto bucket = [](const char* edge, int count) {
    return std::string("vigil_forward_latency_seconds_bucket{kind=\"audio\",le=\"") + edge +
           "\"} " + std::to_string(count) + "\n";
  };
  EXPECT_THAT(text, HasSubstr(bucket("5e-05", 0)));
  EXPECT_THAT(text, HasSubstr(bucket("0.0001", 1)));
  EXPECT_THAT(text, HasSubstr(bucket("0.25", 2)));
  EXPECT_THAT(text, HasSubstr(bucket("0.3", 3)));
  EXPECT_THAT(text, HasSubstr(bucket("1", 3)));
  EXPECT_THAT(text, HasSubstr(bucket("+Inf", 4)));
  EXPECT_THAT(text, HasSubstr("vigil_forward_latency_seconds_count{kind=\"audio\"} 4\n"));
}

TEST(Exporter, EveryDropReasonIsShownBeforeItHappens) {
  const std::string text = ToText(Exporter(Snapshot{}));
  for (size_t i = 0; i < kDropReasonCount; ++i) {
    const auto reason = static_cast<DropReason>(i);
    EXPECT_THAT(text, HasSubstr("{reason=\"" + std::string(ToString(reason)) + "\"} 0\n"));
  }
}

// Labels are bounded by the code and the number of workers: a room, a participant or an address as
// a label would make a series for each.
TEST(Exporter, LabelsAreTheKnownOnes) {
  Snapshot snapshot;
  snapshot.workers.resize(2);
  snapshot.closed_peers = {{"requested", 1}};
  snapshot.methods = {{.name = "NodeService/GetNode", .ended = {{"OK", 1}}, .time = {}}};
  const std::set<std::string> known = {"kind",   "direction", "reason", "state",  "transport",
                                       "worker", "method",    "code",   "version"};
  std::set<std::string> names;
  for (const prometheus::MetricFamily& family : Exporter(snapshot).Collect()) {
    EXPECT_TRUE(names.insert(family.name).second) << family.name << " is there twice";
    EXPECT_FALSE(family.help.empty()) << family.name;
    for (const prometheus::ClientMetric& metric : family.metric) {
      for (const auto& label : metric.label) EXPECT_TRUE(known.contains(label.name)) << label.name;
    }
  }
  EXPECT_GT(names.size(), 30u);
}

TEST(Exporter, NoCertificateHasNoDate) {
  Snapshot snapshot;
  EXPECT_THAT(ToText(Exporter(snapshot)), Not(HasSubstr("certificate_expiry")));
  snapshot.certificate_expires_unix_seconds = 1'800'000'000;
  EXPECT_THAT(ToText(Exporter(snapshot)),
              HasSubstr("vigil_certificate_expiry_timestamp_seconds 1800000000\n"));
}

}  // namespace
}  // namespace vigil::metrics
