#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gateway/base/drop_reason.h"
#include "gateway/base/histogram.h"

// What the exporter shows, as values: counters since the process began, and how things stand.
// Filled by who owns the counters; holds no name of a participant, room, session or address.

namespace vigil::metrics {

// One direction of one kind of media.
struct Flow {
  uint64_t packets = 0;
  uint64_t bytes = 0;
  DurationHistogram jitter;  // RFC 3550, 6.4.1.
};

struct Kind {
  Flow in;
  Flow out;
  DurationHistogram forward_latency;  // The gateway's own dwell.
  DurationHistogram egress_jitter;    // What the gateway adds to the gaps between packets.
  uint64_t feeds = 0;
};

// `in`: from publishers, and what we ask of them. `out`: to receivers, and what they ask of us.
struct BothWays {
  uint64_t in = 0;
  uint64_t out = 0;
};

struct Peers {
  uint64_t connecting = 0;
  uint64_t connected_udp = 0;
  uint64_t connected_tcp = 0;
};

struct Worker {
  double busy_seconds = 0;  // Of turns that had something to do.
  double utilization = 0;   // Over the last whole ten seconds: 0 to 1.
  uint64_t packet_buffers_in_use = 0;
  uint64_t packet_buffers = 0;
};

// By the name of what is counted.
struct Named {
  std::string name;
  uint64_t count = 0;
};

// One method of the API.
struct Method {
  std::string name;          // "MediaService/AssignSlot".
  std::vector<Named> ended;  // By gRPC code.
  DurationHistogram time;    // Unary calls.
};

struct Process {
  double cpu_seconds = 0;
  uint64_t resident_bytes = 0;
  uint64_t virtual_bytes = 0;
  uint64_t open_fds = 0;
  uint64_t max_fds = 0;
  double start_unix_seconds = 0;
};

struct Snapshot {
  std::string version;
  Kind audio;
  Kind video;
  DropCounters drops;
  BothWays lost;
  BothWays nacks;
  BothWays keyframe_requests;
  uint64_t retransmitted = 0;
  DurationHistogram keyframe_wait;
  DurationHistogram turn;
  Peers peers;
  std::vector<Named> closed_peers;  // By reason.
  uint64_t subscriptions = 0;
  uint64_t kernel_dropped = 0;  // Datagrams lost in sockets' buffers before they were read.
  uint64_t lagged_events = 0;
  std::vector<Worker> workers;

  std::vector<Method> methods;
  uint64_t streams = 0;  // Running watches of the API.
  uint64_t remembered_requests = 0;
  uint64_t remembered_bytes = 0;
  uint64_t forgotten_early = 0;
  uint64_t grpc_connections = 0;  // Ever accepted.
  uint64_t grpc_refused = 0;
  uint64_t grpc_cut = 0;
  uint64_t grpc_delayed = 0;
  uint64_t http_connections = 0;
  uint64_t http_shed = 0;
  uint64_t http_requests = 0;
  std::vector<Named> http_responses;  // By status code.
  uint64_t tls_failures = 0;
  double certificate_expires_unix_seconds = 0;  // 0: there is none.
  bool draining = false;

  Process process;
};

}  // namespace vigil::metrics
