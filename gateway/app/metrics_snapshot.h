#pragma once

#include "gateway/control/api.h"
#include "gateway/control/grpc_front.h"
#include "gateway/control/http_server.h"
#include "gateway/control/media_control.h"
#include "gateway/metrics/snapshot.h"

namespace vigil::app {

// What the control plane's own parts have counted.
struct ControlFigures {
  control::ApiCounters api;
  control::HttpCounters http;
  control::GrpcFrontCounters grpc;
  double start_unix_seconds = 0;
};

// The counters of all workers and of the control plane as one snapshot. Control thread.
metrics::Snapshot MakeSnapshot(const control::MediaControl::Reports& reports,
                               const control::MediaControl& media, const ControlFigures& figures);

}  // namespace vigil::app
