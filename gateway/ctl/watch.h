#pragma once

#include <string>
#include <vector>

#include "gateway/base/time.h"
#include "vigil/v1/media.pb.h"

namespace vigil::ctl {

class NodeClient;
class StopSignal;

// What a watch shows of one message: no line for a heartbeat, one for an event, one for each
// participant's connection and each feed of a snapshot.
std::vector<std::string> WatchLines(const v1::WatchMediaResponse& message);

struct WatchOptions {
  std::string site;
  bool json = false;
};

// Prints until Ctrl-C, and goes on behind what it has printed when the node comes back. The exit
// code: 0 if it was stopped, 1 if the node cannot be watched at all.
int Watch(NodeClient& node, StopSignal& stop, const WatchOptions& options);

}  // namespace vigil::ctl
