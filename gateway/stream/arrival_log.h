#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "gateway/base/byte_io.h"
#include "gateway/base/sequence.h"
#include "gateway/base/time.h"
#include "gateway/rtp/rtcp.h"

namespace vigil::stream {

// What a publisher's transport-wide sequence numbers did on their way here, and the feedback that
// tells it (draft-holmer-rmcat-transport-wide-cc-extensions-01).
class ArrivalLog {
 public:
  // libwebrtc expects feedback each 50 to 250 ms. A lower value reacts faster and costs more.
  static constexpr TimeDelta kInterval = TimeDelta::Millis(50);
  // Packets remembered between two feedbacks; 50 ms at 100 Mb/s. Feedback about so many is due at
  // once.
  static constexpr size_t kMaxArrivals = 600;

  void OnPacket(uint16_t sequence, Timestamp received);
  // Appends feedback packets for all that arrived since the last call, if feedback is due and as
  // far as there is room; the rest stays due. False if nothing was written. `out` needs room for
  // one packet (40 bytes) to make progress; out.ok() stays true without.
  bool WriteDue(uint32_t sender_ssrc, uint32_t media_ssrc, Timestamp now, ByteWriter& out);
  Timestamp NextDeadline() const { return due_; }

  // Another owner goes on. What the former one has reported is settled: SRTP's replay window is not
  // carried over, so an old number may come again, and the sender must not be told that it arrived
  // just now.
  void OnHandOver() {
    if (next_base_) floor_ = *next_base_;
  }
  // The former owner died after this state was taken: what it saw and reported since is unknown,
  // and must not be reported as lost.
  void ForgetUnreported() {
    OnHandOver();
    if (!arrivals_.empty()) floor_ = std::max(floor_, arrivals_.back().sequence + 1);
    arrivals_.clear();
    next_base_.reset();
    due_ = Timestamp::Never();
  }

  template <typename F>
  void Fields(F&& f) {
    f(sequences_, zero_, feedback_count_, arrivals_, next_base_, overflowed_, due_);
  }

 private:
  SequenceUnwrapper sequences_;
  std::vector<rtp::FeedbackArrival> arrivals_;  // Ascending by sequence, no duplicates.
  // The first sequence not reported yet.
  std::optional<int64_t> next_base_;
  // Numbers below are not reported. Only since a restore.
  int64_t floor_ = std::numeric_limits<int64_t>::min();
  // Reference zero of the reported times: a while before the first packet, never after one.
  std::optional<Timestamp> zero_;
  uint8_t feedback_count_ = 0;
  bool overflowed_ = false;
  Timestamp due_ = Timestamp::Never();
};

}  // namespace vigil::stream
