#pragma once

#include <functional>
#include <string>
#include <vector>

#include "gateway/control/api.h"
#include "gateway/control/media_control.h"

namespace vigil::control {

struct NodeIdentity {
  std::string name;
  std::string version;
  Timestamp started_at;
  std::vector<std::string> media_addresses;  // "address:port", by worker.
  // Unix seconds; 0: there is no TLS.
  std::function<int64_t()> certificate_expires;
};

// The methods of vigil.v1.NodeService. `on_draining` is told when that changes. All outlive the
// API.
void AddNodeService(Api& api, MediaControl& control, NodeIdentity identity,
                    std::function<void(bool draining)> on_draining);

}  // namespace vigil::control
