#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gateway/worker/directory.h"
#include "gateway/worker/worker_thread.h"

namespace vigil::control {

// The room-level truth as JSON: per peer what comes and goes, per node the counters. Times in
// seconds. `reports` has one entry per worker, null where none could be had.
std::string StatsJson(const worker::Directory& directory,
                      const std::vector<std::unique_ptr<worker::ThreadReport>>& reports);

}  // namespace vigil::control
