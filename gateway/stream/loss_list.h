#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "gateway/base/time.h"

namespace vigil::stream {

// The packets of one stream that should have come and did not, and when to ask for each (again).
class LossList {
 public:
  // More missing packets than this cannot be repaired in time: the list is cleared and a keyframe
  // asked for instead. libwebrtc uses 1000; 300 is a whole second at 3 Mb/s.
  static constexpr size_t kMaxMissing = 300;
  // A packet that is this late has usually been overtaken, not lost. Higher values delay repair,
  // lower ones ask for packets that are on their way.
  static constexpr TimeDelta kReorderingWait = TimeDelta::Millis(5);
  // Asking longer than this is of no use: the receiver has shown later frames.
  static constexpr TimeDelta kGiveUpAfter = TimeDelta::Millis(1000);
  static constexpr int kMaxRequests = 10;

  // The packets from `first` up to, not including, `end` are missing; `first` is newer than any on
  // the list. False if that is more than the list holds: it was cleared, and they are not on it.
  bool OnGap(int64_t first, int64_t end, Timestamp now);
  // True if the packet was on the list; it is no longer.
  bool OnArrival(int64_t sequence);

  // Appends the sequences to be asked for now, at most `limit` of them, and schedules their next
  // request one `rtt` later. Returns how many packets were given up.
  size_t TakeDue(Timestamp now, TimeDelta rtt, size_t limit, std::vector<uint16_t>& due);
  // When TakeDue has something to do; Never when the list is empty. Later than the `now` of the
  // last TakeDue, unless that stopped at its limit.
  Timestamp NextDeadline() const { return next_; }

  size_t size() const { return missing_.size(); }
  void Clear();

 private:
  struct Missing {
    int64_t sequence = 0;
    Timestamp since;
    Timestamp ask_at;
    int requests = 0;
  };
  std::vector<Missing> missing_;  // Ascending.
  Timestamp next_ = Timestamp::Never();
};

}  // namespace vigil::stream
