#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "gateway/ctl/global_flags.h"

// The commands that ask a node. Each prints, and returns the exit code.

namespace vigil::ctl {

int ListParticipants(const GlobalFlags& global, const std::string& prefix);
int ListFeeds(const GlobalFlags& global, const std::string& prefix);
int WatchMedia(const GlobalFlags& global);
// `feed`: "-" for none.
int Assign(const GlobalFlags& global, const std::string& peer, uint32_t slot,
           const std::string& feed);
int Close(const GlobalFlags& global, const std::string& peer);
int Keyframe(const GlobalFlags& global, const std::string& feed);
// `layer`: nothing for the best.
int Layer(const GlobalFlags& global, const std::string& peer, uint32_t slot,
          std::optional<uint32_t> layer);
int Stats(const GlobalFlags& global, const std::string& participant);
int ShowNode(const GlobalFlags& global);
int WhyRoom(const GlobalFlags& global, const std::string& room);
int Drain(const GlobalFlags& global, bool wait);
int Undrain(const GlobalFlags& global);

}  // namespace vigil::ctl
