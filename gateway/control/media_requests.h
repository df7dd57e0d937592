#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/control/caller.h"
#include "gateway/control/media_control.h"

// What requests of any transport say, as the control plane's plain structs, or what is wrong with
// it, naming the field.

namespace vigil::control {

// "participant/feed", or "site/participant/feed"; without a site it is `site`. FIELD_INVALID.
absl::StatusOr<SiteFeed> ParseSiteFeed(std::string_view text, const std::string& site);

// An offer of `participant`/`feed` by this caller, and one to play. Names, grants and sizes are
// checked here, the SDP itself where it is answered.
struct PublishFields {
  std::string_view site;
  std::string_view participant;
  std::string_view feed;
  std::string_view device;
  std::string_view offer;
};
absl::StatusOr<PublishRequest> ReadPublish(const Caller& caller, const PublishFields& fields);

struct PlayFields {
  std::string_view site;
  std::string_view participant;
  std::string_view device;
  std::string_view offer;
  std::vector<std::string> feeds;
};
absl::StatusOr<PlayRequest> ReadPlay(const Caller& caller, const PlayFields& fields);

// A connection that the caller may steer: its own, or any of its sites' for a controller.
// PEER_NOT_FOUND, also for those of others.
absl::StatusOr<const worker::PeerRecord*> FindOwnPeer(const Caller& caller,
                                                      const MediaControl& control,
                                                      std::string_view resource);

}  // namespace vigil::control
