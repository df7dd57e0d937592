#include "gateway/stream/loss_list.h"

#include <algorithm>

namespace vigil::stream {

bool LossList::OnGap(int64_t first, int64_t end, Timestamp now) {
  if (missing_.size() + static_cast<size_t>(end - first) > kMaxMissing) {
    Clear();
    return false;
  }
  for (int64_t sequence = first; sequence < end; ++sequence) {
    missing_.push_back({sequence, now, now + kReorderingWait, 0});
  }
  next_ = Earliest(next_, now + kReorderingWait);
  return true;
}

bool LossList::OnArrival(int64_t sequence) {
  const auto it = std::lower_bound(
      missing_.begin(), missing_.end(), sequence,
      [](const Missing& missing, int64_t wanted) { return missing.sequence < wanted; });
  if (it == missing_.end() || it->sequence != sequence) return false;
  missing_.erase(it);
  if (missing_.empty()) next_ = Timestamp::Never();
  return true;
}

size_t LossList::TakeDue(Timestamp now, TimeDelta rtt, size_t limit, std::vector<uint16_t>& due) {
  if (now < next_) return 0;
  const size_t given_up = std::erase_if(missing_, [now](const Missing& missing) {
    return now - missing.since >= kGiveUpAfter ||
           (missing.requests >= kMaxRequests && now >= missing.ask_at);
  });
  next_ = Timestamp::Never();
  // A second request before the first one's answer can be here only costs bandwidth.
  const TimeDelta again = std::max(rtt + TimeDelta::Millis(5), TimeDelta::Millis(15));
  for (Missing& missing : missing_) {
    if (now >= missing.ask_at && limit > 0) {
      --limit;
      due.push_back(static_cast<uint16_t>(missing.sequence));
      ++missing.requests;
      missing.ask_at = now + again;
    }
    next_ = Earliest(next_, Earliest(missing.ask_at, missing.since + kGiveUpAfter));
  }
  return given_up;
}

void LossList::Clear() {
  missing_.clear();
  next_ = Timestamp::Never();
}

}  // namespace vigil::stream
