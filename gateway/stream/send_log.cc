#include "gateway/stream/send_log.h"

#include <algorithm>

namespace vigil::stream {

uint16_t SendLog::Next(uint8_t track, size_t size, Timestamp now) {
  if (sent_.empty()) sent_.resize(kCapacity);
  const int64_t sequence = next_++;
  At(sequence) = {sequence, now, static_cast<uint16_t>(size), track, Fate::kInFlight};
  return static_cast<uint16_t>(sequence);
}

// A feedback of a few bytes can claim 65535 packets, so what is walked is the log, not the claim.
SendLog::Acknowledged SendLog::OnFeedback(const rtp::TransportFeedback& feedback) {
  Acknowledged result;
  if (sent_.empty()) return result;
  SequenceUnwrapper unwrapper;
  unwrapper.set_last(next_);
  const int64_t base = unwrapper.Peek(feedback.base_sequence);
  int64_t next = std::max(base, next_ - static_cast<int64_t>(kCapacity));
  const auto missing_up_to = [this, &next, &result](int64_t end) {
    for (; next < std::min(end, next_); ++next) OnMissing(next, result);
  };
  rtp::TransportFeedback::Cursor cursor(feedback);
  while (const auto arrival = cursor.NextReceived()) {
    const int64_t sequence =
        base + static_cast<uint16_t>(arrival->sequence - feedback.base_sequence);
    missing_up_to(sequence);
    OnReceived(sequence, result);
    next = std::max(next, sequence + 1);
  }
  missing_up_to(base + feedback.packet_count);
  return result;
}

void SendLog::OnMissing(int64_t sequence, Acknowledged& result) {
  Sent& sent = At(sequence);
  if (sent.sequence != sequence || sent.fate != Fate::kInFlight) return;
  sent.fate = Fate::kLost;
  ++result.lost;
}

void SendLog::OnReceived(int64_t sequence, Acknowledged& result) {
  Sent& sent = At(sequence);
  if (sent.sequence != sequence || (sent.fate != Fate::kInFlight && sent.fate != Fate::kLost)) {
    return;
  }
  sent.fate = Fate::kReceived;
  ++result.received;
  result.received_bytes += sent.size;
  if (sent.track < 64) result.tracks |= uint64_t{1} << sent.track;
}

}  // namespace vigil::stream
