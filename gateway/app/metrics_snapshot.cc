#include "gateway/app/metrics_snapshot.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "gateway/worker/directory.h"

namespace vigil::app {
namespace {

void AddFlow(const peer::MediaTotals::Flow& more, metrics::Flow& sum) {
  sum.packets += more.packets;
  sum.bytes += more.bytes;
  sum.jitter += more.jitter;
}

void AddForwarded(const io::PortCounters::Forwarded& more, metrics::Kind& sum) {
  sum.forward_latency += more.dwell;
  sum.egress_jitter += more.jitter;
}

void AddTotals(const peer::MediaTotals& more, metrics::Snapshot& sum) {
  AddFlow(more.in.audio, sum.audio.in);
  AddFlow(more.in.video, sum.video.in);
  AddFlow(more.out.audio, sum.audio.out);
  AddFlow(more.out.video, sum.video.out);
  sum.nacks.in += more.in.nacks;
  sum.nacks.out += more.out.nacks;
  sum.keyframe_requests.in += more.in.keyframe_requests;
  sum.keyframe_requests.out += more.out.keyframe_requests;
  sum.lost.in += more.in.lost;
  sum.lost.out += more.out.lost;
  sum.retransmitted += more.retransmitted;
}

void AddPeers(const worker::WorkerReport& more, metrics::Snapshot& sum) {
  sum.peers.connected_udp += more.connected_udp;
  sum.peers.connected_tcp += more.connected_tcp;
  sum.peers.connecting += more.peer_count - more.connected_udp - more.connected_tcp;
  for (size_t i = 0; i < sfu::kCloseReasonCount; ++i) {
    sum.closed_peers[i].count += more.counters.closed[i];
  }
}

void AddWorker(const worker::ThreadReport& report, metrics::Snapshot& sum) {
  AddForwarded(report.port.sound, sum.audio);
  AddForwarded(report.port.picture, sum.video);
  AddTotals(report.worker.totals, sum);
  AddPeers(report.worker, sum);
  sum.keyframe_wait += report.worker.keyframe_wait;
  sum.turn += report.turn;
  sum.drops += report.AllDrops();
  sum.subscriptions += report.worker.subscriptions;
  sum.kernel_dropped += report.port.kernel_dropped;
  sum.lagged_events += report.lagged_events;
  sum.workers.push_back({.busy_seconds = report.busy.seconds(),
                         .utilization = report.utilization,
                         .packet_buffers_in_use = report.worker.pool_in_use,
                         .packet_buffers = report.worker.pool_capacity});
}

void AddFeeds(const worker::Directory& directory, metrics::Snapshot& sum) {
  for (const auto& [key, id] : directory.holders()) {
    const worker::FeedRecord* feed = directory.FindFeed(id);
    if (feed == nullptr) continue;
    if (!feed->audio_codecs.empty()) ++sum.audio.feeds;
    if (!feed->video_codecs.empty()) ++sum.video.feeds;
  }
}

void AddControl(const ControlFigures& figures, metrics::Snapshot& sum) {
  for (const auto& [name, method] : figures.api.methods) {
    metrics::Method& out = sum.methods.emplace_back();
    out.name = name;
    out.time = method.time;
    for (const auto& [code, count] : method.ended) {
      out.ended.push_back({absl::StatusCodeToString(code), count});
    }
  }
  sum.streams = figures.api.streams;
  sum.remembered_requests = figures.api.remembered_requests;
  sum.remembered_bytes = figures.api.remembered_bytes;
  sum.forgotten_early = figures.api.forgotten_early;
  sum.grpc_connections = figures.grpc.accepted;
  sum.grpc_refused = figures.grpc.refused;
  sum.grpc_cut = figures.grpc.cut;
  sum.grpc_delayed = figures.grpc.delayed;
  sum.http_connections = figures.http.connections;
  sum.http_requests = figures.http.requests;
  for (const auto& [code, count] : figures.http.responses) {
    sum.http_responses.push_back({std::to_string(code), count});
  }
  sum.http_shed = figures.http.shed;
  sum.tls_failures = figures.http.tls_failures;
  sum.certificate_expires_unix_seconds =
      static_cast<double>(figures.http.certificate_expires_unix_seconds);
}

uint64_t CountFds() {
  DIR* folder = opendir("/proc/self/fd");
  if (folder == nullptr) return 0;
  uint64_t count = 0;
  while (readdir(folder) != nullptr) ++count;
  closedir(folder);
  return count - 3;  // "." and "..", and the folder itself.
}

double SecondsOf(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

metrics::Process ReadProcess(double start_unix_seconds) {
  metrics::Process process{.start_unix_seconds = start_unix_seconds};
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) == 0) {
    process.cpu_seconds = SecondsOf(usage.ru_utime) + SecondsOf(usage.ru_stime);
  }
  uint64_t pages = 0;
  uint64_t resident_pages = 0;
  if (std::ifstream("/proc/self/statm") >> pages >> resident_pages) {
    const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
    process.virtual_bytes = pages * page;
    process.resident_bytes = resident_pages * page;
  }
  process.open_fds = CountFds();
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) process.max_fds = limit.rlim_cur;
  return process;
}

}  // namespace

metrics::Snapshot MakeSnapshot(const control::MediaControl::Reports& reports,
                               const control::MediaControl& media, const ControlFigures& figures) {
  metrics::Snapshot snapshot;
  snapshot.version = VIGIL_VERSION;
  for (size_t i = 0; i < sfu::kCloseReasonCount; ++i) {
    const auto reason = static_cast<sfu::CloseReason>(i);
    snapshot.closed_peers.push_back({std::string(sfu::ToString(reason)), 0});
  }
  for (const auto& report : reports) AddWorker(*report, snapshot);
  AddFeeds(media.directory(), snapshot);
  AddControl(figures, snapshot);
  snapshot.draining = media.draining();
  snapshot.process = ReadProcess(figures.start_unix_seconds);
  return snapshot;
}

}  // namespace vigil::app
