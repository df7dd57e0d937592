#include "gateway/metrics/exporter.h"

#include <initializer_list>
#include <limits>
#include <sstream>
#include <utility>

#include "prometheus/metric_type.h"
#include "prometheus/text_serializer.h"

namespace vigil::metrics {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

ClientMetric HistogramOf(const DurationHistogram& histogram) {
  ClientMetric metric;
  metric.histogram.sample_count = histogram.count;
  metric.histogram.sample_sum = histogram.sum.seconds();
  uint64_t cumulative = 0;
  for (size_t i = 0; i < DurationHistogram::kEdges.size(); ++i) {
    cumulative += histogram.buckets[i];
    // Not the sum of many nanoseconds times 1e-9: 0.25 is to be 0.25 exactly.
    const double edge = static_cast<double>(DurationHistogram::kEdges[i].us()) / 1e6;
    metric.histogram.bucket.push_back({cumulative, edge});
  }
  metric.histogram.bucket.push_back({histogram.count, std::numeric_limits<double>::infinity()});
  return metric;
}

// Collects families in the order in which they are begun.
class Families {
 public:
  explicit Families(std::vector<MetricFamily>& out) : out_(out) {}

  // Begins a family; what is added next belongs to it.
  Families& Counter(const char* name, const char* help) {
    return Begin(name, help, MetricType::Counter);
  }
  Families& Gauge(const char* name, const char* help) {
    return Begin(name, help, MetricType::Gauge);
  }
  Families& Histogram(const char* name, const char* help) {
    return Begin(name, help, MetricType::Histogram);
  }

  Families& Add(double value, Labels labels = {}) {
    ClientMetric metric;
    (out_.back().type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
    return Push(std::move(metric), std::move(labels));
  }
  Families& Add(uint64_t value, Labels labels = {}) {
    return Add(static_cast<double>(value), std::move(labels));
  }
  Families& Add(const DurationHistogram& histogram, Labels labels = {}) {
    return Push(HistogramOf(histogram), std::move(labels));
  }
  Families& Add(const BothWays& count) {
    return Add(count.in, {{"direction", "in"}}).Add(count.out, {{"direction", "out"}});
  }
  // Of both kinds, in both directions.
  template <typename T>
  Families& Add(const Snapshot& now, T Flow::*figure) {
    for (const auto& [kind, of] :
         {std::pair("audio", &now.audio), std::pair("video", &now.video)}) {
      Add(of->in.*figure, {{"direction", "in"}, {"kind", kind}});
      Add(of->out.*figure, {{"direction", "out"}, {"kind", kind}});
    }
    return *this;
  }

 private:
  Families& Begin(const char* name, const char* help, MetricType type) {
    MetricFamily family;
    family.name = name;
    family.help = help;
    family.type = type;
    out_.push_back(std::move(family));
    return *this;
  }
  Families& Push(ClientMetric metric, Labels labels) {
    metric.label = std::move(labels);
    out_.back().metric.push_back(std::move(metric));
    return *this;
  }

  std::vector<MetricFamily>& out_;
};

Labels KindLabel(const char* kind) { return {{"kind", kind}}; }

void AddLatency(const Snapshot& now, Families& out) {
  out.Histogram("vigil_forward_latency_seconds",
                "The gateway's own dwell of a forwarded packet, from the kernel's receive stamp to "
                "the return of the send call.")
      .Add(now.audio.forward_latency, KindLabel("audio"))
      .Add(now.video.forward_latency, KindLabel("video"));
  out.Histogram("vigil_egress_jitter_seconds",
                "By how much the gap between two packets of a stream differs going out from coming "
                "in.")
      .Add(now.audio.egress_jitter, KindLabel("audio"))
      .Add(now.video.egress_jitter, KindLabel("video"));
  out.Histogram(
         "vigil_rtp_jitter_seconds",
         "Interarrival jitter (RFC 3550) at each report: ours of what comes in, the clients' "
         "of what goes out.")
      .Add(now, &Flow::jitter);
  out.Histogram("vigil_keyframe_wait_seconds",
                "From the assignment of a picture to a slot to its first packet.")
      .Add(now.keyframe_wait);
  out.Histogram("vigil_worker_turn_seconds", "Length of a media worker's turns.").Add(now.turn);
}

void AddMedia(const Snapshot& now, Families& out) {
  out.Counter("vigil_packets_total",
              "RTP packets: in, each once however it came; out, without retransmissions.")
      .Add(now, &Flow::packets);
  out.Counter("vigil_bytes_total",
              "Bytes of these packets, from the RTP header to the payload's "
              "end.")
      .Add(now, &Flow::bytes);
  out.Counter("vigil_packets_dropped_total",
              "Datagrams, packets and copies of packets that were "
              "dropped, by reason.");
  for (size_t i = 0; i < kDropReasonCount; ++i) {
    const auto reason = static_cast<DropReason>(i);
    out.Add(now.drops.Get(reason), {{"reason", std::string(ToString(reason))}});
  }
  out.Counter("vigil_packets_lost_total",
              "Packets that never came: from publishers, or to clients by their reports.")
      .Add(now.lost);
  out.Counter("vigil_nack_total",
              "Packets asked for again: in, by us of publishers; out, by clients of us.")
      .Add(now.nacks);
  out.Counter("vigil_pli_total",
              "Keyframe requests (PLI, FIR): in, by us to publishers; out, by clients to us.")
      .Add(now.keyframe_requests);
  out.Counter("vigil_packets_retransmitted_total", "Packets that were sent again.")
      .Add(now.retransmitted);
  out.Counter("vigil_srtp_auth_failures_total", "Packets whose SRTP authentication failed.")
      .Add(now.drops.Get(DropReason::kSrtpAuth));
  out.Counter("vigil_socket_dropped_total",
              "Datagrams that the kernel dropped because a socket's buffer was full.")
      .Add(now.kernel_dropped);
}

uint64_t CountOf(const std::vector<Named>& counts, std::string_view name) {
  uint64_t count = 0;
  for (const Named& one : counts) count += one.name == name ? one.count : 0;
  return count;
}

void AddPeers(const Snapshot& now, Families& out) {
  const auto labels = [](const char* state, const char* transport) {
    return Labels{{"state", state}, {"transport", transport}};
  };
  out.Gauge("vigil_peers", "WebRTC connections.")
      .Add(now.peers.connecting, labels("connecting", "unknown"))
      .Add(now.peers.connected_udp, labels("connected", "udp"))
      .Add(now.peers.connected_tcp, labels("connected", "tcp"));
  out.Counter("vigil_peers_closed_total", "WebRTC connections that have ended, by reason.");
  for (const Named& closed : now.closed_peers) out.Add(closed.count, {{"reason", closed.name}});
  out.Counter("vigil_ice_consent_expired_total", "Connections whose client fell silent (RFC 7675).")
      .Add(CountOf(now.closed_peers, "consent_expired"));
  out.Gauge("vigil_feeds", "Feeds that have a track of the kind.")
      .Add(now.audio.feeds, KindLabel("audio"))
      .Add(now.video.feeds, KindLabel("video"));
  out.Gauge("vigil_subscriptions", "Slots that carry a feed.").Add(now.subscriptions);
}

void AddWorkers(const Snapshot& now, Families& out) {
  const auto each = [&now, &out](const auto& value) {
    for (size_t i = 0; i < now.workers.size(); ++i) {
      out.Add(value(now.workers[i]), {{"worker", std::to_string(i)}});
    }
  };
  out.Gauge("vigil_worker_utilization_ratio",
            "The part of its time for which a media worker was not waiting, over the last whole "
            "ten seconds.");
  each([](const Worker& worker) { return worker.utilization; });
  out.Counter("vigil_worker_busy_seconds_total", "Time for which a media worker was not waiting.");
  each([](const Worker& worker) { return worker.busy_seconds; });
  out.Gauge("vigil_packet_buffers", "Packet buffers of a media worker.");
  each([](const Worker& worker) { return worker.packet_buffers; });
  out.Gauge("vigil_packet_buffers_in_use", "Of these, in use.");
  each([](const Worker& worker) { return worker.packet_buffers_in_use; });
  out.Counter("vigil_events_lagged_total",
              "Events of media workers that were lost because the control thread was late.")
      .Add(now.lagged_events);
}

void AddControl(const Snapshot& now, Families& out) {
  out.Counter("vigil_api_calls_total",
              "Calls of the API that have ended, by method and gRPC code.");
  for (const Method& method : now.methods) {
    for (const Named& ended : method.ended) {
      out.Add(ended.count, {{"code", ended.name}, {"method", method.name}});
    }
  }
  out.Histogram("vigil_api_call_seconds", "From a unary call of the API to its answer.");
  for (const Method& method : now.methods) {
    if (method.time.count > 0) out.Add(method.time, {{"method", method.name}});
  }
  out.Gauge("vigil_api_streams", "Watches that are running.").Add(now.streams);
  out.Gauge("vigil_api_requests_remembered", "Request ids that are remembered.")
      .Add(now.remembered_requests);
  out.Gauge("vigil_api_requests_remembered_bytes", "Memory that they take.")
      .Add(now.remembered_bytes);
  out.Counter(
         "vigil_api_requests_forgotten_early_total",
         "Request ids that were forgotten before their time, for want of memory: a retry would "
         "have a second effect.")
      .Add(now.forgotten_early);
  out.Counter("vigil_grpc_connections_total", "Connections that the gRPC port has accepted.")
      .Add(now.grpc_connections);
  out.Counter("vigil_grpc_connections_refused_total",
              "Of these, refused to stay within the port's bounds.")
      .Add(now.grpc_refused);
  out.Counter("vigil_grpc_connections_cut_total",
              "Of these, cut because they broke HTTP/2 or opened or reset too many streams.")
      .Add(now.grpc_cut);
  out.Counter("vigil_grpc_reads_delayed_total",
              "Times that a client was read later because its network begins too many calls.")
      .Add(now.grpc_delayed);
  out.Gauge("vigil_http_connections", "Connections of the HTTP port.").Add(now.http_connections);
  out.Counter("vigil_http_requests_total", "Requests on the HTTP port.").Add(now.http_requests);
  out.Counter("vigil_http_responses_total", "Responses on the HTTP port, by status code.");
  for (const Named& response : now.http_responses) {
    out.Add(response.count, {{"code", response.name}});
  }
  out.Counter("vigil_http_connections_shed_total",
              "Connections that were refused or ended to stay within the port's bounds.")
      .Add(now.http_shed);
  out.Counter("vigil_tls_failures_total", "TLS handshakes of the HTTP port that failed.")
      .Add(now.tls_failures);
  if (now.certificate_expires_unix_seconds > 0) {
    out.Gauge("vigil_certificate_expiry_timestamp_seconds",
              "When the certificate of the HTTP and gRPC port ends, in Unix time.")
        .Add(now.certificate_expires_unix_seconds);
  }
  out.Gauge("vigil_draining", "1 while the node takes nothing new.").Add(now.draining ? 1.0 : 0.0);
}

void AddProcess(const Snapshot& now, Families& out) {
  out.Gauge("vigil_build_info", "1; the version is in the label.")
      .Add(1.0, {{"version", now.version}});
  const Process& process = now.process;
  out.Counter("process_cpu_seconds_total", "User and system CPU time.").Add(process.cpu_seconds);
  out.Gauge("process_resident_memory_bytes", "Resident memory.").Add(process.resident_bytes);
  out.Gauge("process_virtual_memory_bytes", "Virtual memory.").Add(process.virtual_bytes);
  out.Gauge("process_open_fds", "Open file descriptors.").Add(process.open_fds);
  out.Gauge("process_max_fds", "Most open file descriptors.").Add(process.max_fds);
  out.Gauge("process_start_time_seconds", "Start of the process, in Unix time.")
      .Add(process.start_unix_seconds);
}

}  // namespace

std::vector<MetricFamily> Exporter::Collect() const {
  std::vector<MetricFamily> families;
  Families out(families);
  AddLatency(snapshot_, out);
  AddMedia(snapshot_, out);
  AddPeers(snapshot_, out);
  AddWorkers(snapshot_, out);
  AddControl(snapshot_, out);
  AddProcess(snapshot_, out);
  return families;
}

std::string ToText(const prometheus::Collectable& metrics) {
  std::ostringstream text;
  prometheus::TextSerializer().Serialize(text, metrics.Collect());
  return text.str();
}

}  // namespace vigil::metrics
