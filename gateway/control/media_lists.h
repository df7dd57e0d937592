#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/control/api.h"
#include "gateway/control/fair_queue.h"
#include "gateway/control/media_control.h"
#include "vigil/v1/media.pb.h"

namespace vigil::control {

// The lists of MediaService: pages over the directory, by site and name. A page token is the name
// that the last page ended with, so that what comes and goes meanwhile neither repeats nor hides
// anything else.
class MediaLists {
 public:
  explicit MediaLists(MediaControl& control) : control_(control) {}

  void ListParticipants(const CallContext& context, const v1::ListParticipantsRequest& request,
                        const Done<v1::ListParticipantsResponse>& done) const;
  void ListFeeds(const CallContext& context, const v1::ListFeedsRequest& request,
                 const Done<v1::ListFeedsResponse>& done) const;
  void GetStats(const CallContext& context, const v1::GetStatsRequest& request,
                const Done<v1::GetStatsResponse>& done);

 private:
  // One page's bounds.
  struct Page {
    std::vector<std::string> sites;  // To walk, by name.
    std::string after_site;          // Where the page before ended.
    std::string after_name;
  };
  absl::StatusOr<Page> ReadPage(const Caller& caller, std::string_view list, std::string_view site,
                                std::string_view token) const;
  std::vector<std::string> SitesOf(const Caller& caller) const;
  v1::PeerStats Stats(const worker::PeerRecord& peer, const worker::PeerReport& report) const;
  v1::OutboundStats Outbound(const worker::PeerRecord& peer,
                             const worker::PeerReport::Sent& sent) const;
  v1::InboundStats Inbound(const worker::ReceivedStream& stream) const;

  MediaControl& control_;
  FairQueue pages_;  // Of statistics.
};

}  // namespace vigil::control
