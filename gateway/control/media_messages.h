#pragma once

#include <string>

#include "gateway/base/time.h"
#include "gateway/control/caller.h"
#include "gateway/control/control_clock.h"
#include "gateway/control/site_table.h"
#include "gateway/rtp/codec.h"
#include "gateway/worker/directory.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"
#include "vigil/v1/media.pb.h"

// The directory's records as messages of the API.

namespace vigil::control {

google::protobuf::Duration ToProto(TimeDelta span);
v1::MediaKind ToProto(rtp::MediaKind kind);
v1::Codec ToProto(const rtp::Codec& codec);

class MediaMessages {
 public:
  MediaMessages(const SiteTable& sites, ControlClock clock)
      : sites_(sites), clock_(std::move(clock)) {}

  google::protobuf::Timestamp Time(Timestamp at) const;
  // "participant/feed", or "site/participant/feed" if it is of another site than `from`.
  std::string FeedName(const worker::FeedKey& feed, SiteId from) const;
  v1::Slot Slot(const worker::PeerRecord& peer, uint32_t index) const;
  v1::Peer Peer(const worker::PeerRecord& peer) const;
  v1::Feed Feed(const worker::FeedRecord& feed) const;

 private:
  const SiteTable& sites_;
  ControlClock clock_;
};

// A slot may carry a feed of a site that whoever looks may not see: then it is "-".
void Redact(const Caller& caller, v1::Slot& slot);
void Redact(const Caller& caller, v1::Peer& peer);
void Redact(const Caller& caller, v1::MediaEvent& event);

}  // namespace vigil::control
