#pragma once

#include <algorithm>
#include <cstdint>

#include "gateway/base/time.h"

namespace vigil::stream {

// Merges the wishes of many receivers for a keyframe of one received picture stream into few
// requests to its sender, and repeats a request that went unanswered.
class KeyframeRequester {
 public:
  // libwebrtc's encoder ignores requests closer than 300 ms. Lower values send requests in vain,
  // higher ones let a new viewer wait longer when another one has just asked.
  static constexpr TimeDelta kMinInterval = TimeDelta::Millis(310);
  // A request or its keyframe may be lost.
  static constexpr TimeDelta kRepeatAfter = TimeDelta::Millis(1000);

  // Somebody cannot decode until the next keyframe that starts after `now`.
  void Request(Timestamp now) {
    if (!wanted_) wanted_since_ = now;
    wanted_ = true;
    send_at_ = Earliest(send_at_, std::max(last_sent_ + kMinInterval, now));
  }
  // A keyframe's first packet arrived. It answers all wishes.
  void OnKeyframe() {
    wanted_ = false;
    send_at_ = Timestamp::Never();
  }
  // True if a request must be sent now; at most one per kMinInterval.
  bool TakeDue(Timestamp now) {
    if (now < send_at_) return false;
    last_sent_ = now;
    send_at_ = now + kRepeatAfter;
    ++requests_sent_;
    return true;
  }
  Timestamp NextDeadline() const { return send_at_; }
  bool wanted() const { return wanted_; }
  Timestamp wanted_since() const { return wanted_since_; }
  uint64_t requests_sent() const { return requests_sent_; }

  template <typename F>
  void Fields(F&& f) {
    f(wanted_, wanted_since_, send_at_, last_sent_, requests_sent_);
  }

 private:
  bool wanted_ = false;
  Timestamp wanted_since_ = Timestamp::LongAgo();
  Timestamp send_at_ = Timestamp::Never();
  Timestamp last_sent_ = Timestamp::LongAgo();
  uint64_t requests_sent_ = 0;
};

}  // namespace vigil::stream
