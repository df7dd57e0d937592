#include "gateway/stream/send_log.h"

namespace vigil::stream {

uint16_t SendLog::Next(uint8_t track, size_t size, Timestamp now) {
  if (sent_.empty()) sent_.resize(kCapacity);
  const int64_t sequence = next_++;
  sent_[static_cast<size_t>(sequence) % kCapacity] = {
      sequence, now, static_cast<uint16_t>(size), track, Fate::kInFlight};
  return static_cast<uint16_t>(sequence);
}

SendLog::Acknowledged SendLog::OnFeedback(const rtp::TransportFeedback& feedback) {
  Acknowledged result;
  if (sent_.empty()) return result;
  SequenceUnwrapper unwrapper;
  unwrapper.set_last(next_);
  int64_t sequence = unwrapper.Peek(feedback.base_sequence);
  rtp::TransportFeedback::Cursor cursor(feedback);
  while (const auto arrival = cursor.Next()) {
    // What is not in the log any more, or was never sent, matches no entry.
    Sent& sent = sent_[static_cast<size_t>(sequence & static_cast<int64_t>(kCapacity - 1))];
    if (sent.sequence == sequence && sent.fate != Fate::kReceived) {
      if (arrival->received) {
        sent.fate = Fate::kReceived;
        ++result.received;
        result.received_bytes += sent.size;
        if (sent.track < 64) result.tracks |= uint64_t{1} << sent.track;
      } else if (sent.fate == Fate::kInFlight) {
        sent.fate = Fate::kLost;
        ++result.lost;
      }
    }
    ++sequence;
  }
  return result;
}

}  // namespace vigil::stream
