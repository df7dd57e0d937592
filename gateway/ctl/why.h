#pragma once

#include <string>
#include <vector>

#include "gateway/base/time.h"
#include "vigil/v1/media.pb.h"

namespace vigil::ctl {

// What is known when somebody asks why a room is dark.
struct RoomView {
  std::string site;                  // The room's.
  std::string room;                  // Its participant name.
  std::vector<v1::PeerStats> peers;  // All that the token sees, the room's and its receivers'.
  std::vector<v1::Feed> feeds;       // All that the token sees.
  TimeDelta now;                     // The node's or this machine's wall clock, since 1970.
};

struct WhyAnswer {
  // Everything that should flow from and to the room does.
  bool flows = false;
  // Five: what flows, since when, the last drop, who is affected, what the room itself receives.
  std::vector<std::string> lines;
};

// A stream without a packet for longer counts as silent: sound comes every 20 ms, and picture at
// least every second. Lower calls a short radio gap a failure, higher tells of one later.
inline constexpr TimeDelta kSilent = TimeDelta::Seconds(3);

WhyAnswer Why(const RoomView& view);

// The sites in which a participant of that name is connected or publishes; if there is none, those
// in which a slot waits for it. In their order.
std::vector<std::string> SitesOf(const RoomView& view);

// The node's wall clock by its own stamps: that of the newest packet of a stream that went on
// between two looks. `otherwise` if none did. An age by another machine's clock would call a stream
// silent when only the clocks disagree.
TimeDelta NodeNow(const std::vector<v1::PeerStats>& before, const std::vector<v1::PeerStats>& after,
                  TimeDelta otherwise);

}  // namespace vigil::ctl
