#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "gateway/base/sequence.h"
#include "gateway/base/time.h"
#include "gateway/rtp/rtcp.h"

namespace vigil::stream {

// The outgoing transport-wide sequence numbers of one peer: numbers packets, remembers which track
// each carried, and reads the receiver's feedback. What the feedback proves is the receiver's
// confirmation that a track flows (supervision), and later the input of bandwidth estimation.
class SendLog {
 public:
  // A power of two above what is in flight in a second at 8 Mb/s.
  static constexpr size_t kCapacity = 1024;

  // The number for the next packet of send track `track`, with `size` bytes of payload.
  uint16_t Next(uint8_t track, size_t size, Timestamp now);
  // After a fault: passes over the numbers that the former owner may have used since the state was
  // taken, so that feedback about its packets is not taken for feedback about ours.
  void SkipAhead() { next_ += kCapacity; }

  struct Acknowledged {
    uint32_t received = 0;
    uint32_t lost = 0;
    uint64_t received_bytes = 0;
    // Bit n: a packet of send track n was confirmed.
    uint64_t tracks = 0;
  };
  // Each packet is counted at most once as received and at most once as lost. Numbers that were
  // never given out, or so long ago that the log has forgotten them, do not count.
  Acknowledged OnFeedback(const rtp::TransportFeedback& feedback);

  template <typename F>
  void Fields(F&& f) {
    f(next_);
  }

 private:
  enum class Fate : uint8_t { kNone, kInFlight, kLost, kReceived };
  struct Sent {
    int64_t sequence = -1;
    Timestamp at;
    uint16_t size = 0;
    uint8_t track = 0;
    Fate fate = Fate::kNone;
  };
  void OnMissing(int64_t sequence, Acknowledged& result);
  void OnReceived(int64_t sequence, Acknowledged& result);
  Sent& At(int64_t sequence) {
    return sent_[static_cast<size_t>(sequence & static_cast<int64_t>(kCapacity - 1))];
  }

  std::vector<Sent> sent_;  // Allocated with the first packet: an idle peer costs nothing.
  int64_t next_ = 1;
};

}  // namespace vigil::stream
