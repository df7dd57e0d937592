#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "gateway/base/time.h"
#include "vigil/v1/media.pb.h"
#include "vigil/v1/node.pb.h"

// What the node answers, as tables for people. `now` is the wall clock of this machine, since 1970.

namespace vigil::ctl {

TimeDelta ToSpan(const google::protobuf::Timestamp& time);  // Since 1970.
TimeDelta ToSpan(const google::protobuf::Duration& span);

// "picture", "sound".
std::string_view KindText(v1::MediaKind kind);
// "connected", "connecting".
std::string_view PhaseText(v1::PeerPhase phase);

// One row for each connection, and one below it for each further slot.
std::string ParticipantsText(const std::vector<v1::Participant>& participants, TimeDelta now);
std::string FeedsText(const std::vector<v1::Feed>& feeds, TimeDelta now);
// One row for each stream of each connection.
std::string StatsText(const std::vector<v1::PeerStats>& peers, TimeDelta now);
std::string NodeText(const v1::Node& node, TimeDelta now);

// The value that `part` (0 to 1) of a distribution is at or below, as the edge of its bucket:
// "<= 200 us", "> 1.0 s"; "none" if it is empty.
std::string QuantileText(const v1::DurationDistribution& distribution, double part);

}  // namespace vigil::ctl
