#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>

#include "gateway/base/byte_io.h"
#include "gateway/base/time.h"
#include "gateway/rtp/rtcp.h"
#include "gateway/rtp/rtcp_wire.h"

// draft-holmer-rmcat-transport-wide-cc-extensions-01, 3.1. Section numbers below are of this draft.

namespace vigil::rtp {
namespace {

constexpr TimeDelta kDeltaTick = TimeDelta::Micros(250);     // 3.1.5
constexpr TimeDelta kReferenceTick = TimeDelta::Millis(64);  // 3.1
constexpr int kTicksPerReferenceBits = 8;                    // 64 ms are 2^8 times 250 us.
constexpr size_t kFixedSize = 16;  // Body up to the first chunk: SSRCs, base, count, time, number.
constexpr int64_t kMaxPackets = std::numeric_limits<uint16_t>::max();

// 3.1.1. The value of a symbol is the size of its delta in bytes.
constexpr uint8_t kMissing = 0;
constexpr uint8_t kSmallDelta = 1;
constexpr uint8_t kLargeDelta = 2;
constexpr uint8_t kReserved = 3;

constexpr size_t kMaxRun = 0x1fff;
constexpr size_t kOneBitSymbols = 14;
constexpr size_t kTwoBitSymbols = 7;

// 3.1.3 and 3.1.4: bit 15 tells a vector from a run, bit 14 a two-bit vector from a one-bit one.
constexpr bool IsRun(uint16_t chunk) { return (chunk & 0x8000) == 0; }
constexpr bool IsOneBitVector(uint16_t chunk) { return (chunk & 0xc000) == 0x8000; }
constexpr uint8_t RunSymbol(uint16_t chunk) { return chunk >> 13 & 3; }
constexpr uint16_t SymbolCount(uint16_t chunk) {
  if (IsRun(chunk)) return chunk & kMaxRun;
  return IsOneBitVector(chunk) ? kOneBitSymbols : kTwoBitSymbols;
}
constexpr uint8_t SymbolAt(uint16_t chunk, size_t i) {
  if (IsRun(chunk)) return RunSymbol(chunk);
  return IsOneBitVector(chunk) ? chunk >> (kOneBitSymbols - 1 - i) & 1
                               : chunk >> 2 * (kTwoBitSymbols - 1 - i) & 3;
}

// Bytes of deltas that the first `n` symbols of `chunk` ask for; empty if one of them is reserved.
std::optional<size_t> DeltaBytes(uint16_t chunk, size_t n) {
  if (IsRun(chunk)) {
    if (n > 0 && RunSymbol(chunk) == kReserved) return std::nullopt;
    return n * RunSymbol(chunk);
  }
  size_t bytes = 0;
  for (size_t i = 0; i < n; ++i) {
    const uint8_t symbol = SymbolAt(chunk, i);
    if (symbol == kReserved) return std::nullopt;
    bytes += symbol;
  }
  return bytes;
}

}  // namespace

// The work is a step a chunk, whatever packet_count says. Symbols of the last chunk beyond
// packet_count mean nothing. Feedback without deltas (libwebrtc sends it when asked to; nobody
// here asks) does not parse.
std::optional<TransportFeedback> TransportFeedback::Parse(std::span<const uint8_t> body) {
  ByteReader in(body);
  TransportFeedback feedback;
  feedback.sender_ssrc = in.U32();
  feedback.media_ssrc = in.U32();
  feedback.base_sequence = in.U16();
  feedback.packet_count = in.U16();
  feedback.reference_time = static_cast<int32_t>(in.U24() << 8) >> 8;
  feedback.feedback_count = in.U8();
  if (!in.ok() || feedback.packet_count == 0) return std::nullopt;

  size_t delta_bytes = 0;
  for (size_t left = feedback.packet_count; left > 0;) {
    const uint16_t chunk = in.U16();
    if (!in.ok()) return std::nullopt;
    const size_t symbols = std::min<size_t>(SymbolCount(chunk), left);
    const std::optional<size_t> bytes = DeltaBytes(chunk, symbols);
    if (!bytes) return std::nullopt;
    delta_bytes += *bytes;
    left -= symbols;
  }
  in.Skip(delta_bytes);
  if (!in.ok()) return std::nullopt;
  feedback.chunks_and_deltas = body.subspan(kFixedSize, in.position() - kFixedSize);
  return feedback;
}

TransportFeedback::Cursor::Cursor(const TransportFeedback& feedback)
    : feedback_(feedback), time_(kReferenceTick * feedback.reference_time) {
  for (size_t covered = 0; covered < feedback.packet_count; delta_at_ += 2) {
    covered += SymbolCount(ReadU16(feedback.chunks_and_deltas.data() + delta_at_));
  }
}

uint8_t TransportFeedback::Cursor::NextSymbol() {
  while (left_in_chunk_ == 0) {  // A run may be of length 0.
    chunk_ = ReadU16(feedback_.chunks_and_deltas.data() + chunk_at_);
    chunk_at_ += 2;
    left_in_chunk_ = SymbolCount(chunk_);
    symbol_in_chunk_ = 0;
  }
  --left_in_chunk_;
  return SymbolAt(chunk_, symbol_in_chunk_++);
}

std::optional<TransportFeedback::Arrival> TransportFeedback::Cursor::Next() {
  if (index_ >= feedback_.packet_count) return std::nullopt;
  Arrival arrival;
  arrival.sequence = static_cast<uint16_t>(feedback_.base_sequence + index_++);
  const uint8_t symbol = NextSymbol();
  if (symbol == kMissing) return arrival;
  const uint8_t* delta = feedback_.chunks_and_deltas.data() + delta_at_;
  delta_at_ += symbol;
  // 3.1.5: a small delta is unsigned, a large one signed.
  time_ += kDeltaTick * (symbol == kSmallDelta ? *delta : static_cast<int16_t>(ReadU16(delta)));
  arrival.received = true;
  arrival.time = time_;
  return arrival;
}

std::optional<TransportFeedback::Arrival> TransportFeedback::Cursor::NextReceived() {
  while (index_ < feedback_.packet_count) {
    if (left_in_chunk_ > 0 && IsRun(chunk_) && RunSymbol(chunk_) == kMissing) {
      const int skipped = std::min<int>(left_in_chunk_, feedback_.packet_count - index_);
      left_in_chunk_ = static_cast<uint16_t>(left_in_chunk_ - skipped);
      index_ = static_cast<uint16_t>(index_ + skipped);
      continue;
    }
    const std::optional<Arrival> arrival = Next();
    if (arrival->received) return arrival;
  }
  return std::nullopt;
}

// ---- Writing ----

namespace {

// Packs symbols into chunks as they come: a run as a run, a mixture into fourteen one-bit or seven
// two-bit symbols. At any moment what it holds fits one chunk.
class ChunkPacker {
 public:
  // Adds `n` symbols. Chunks that are full go to `emit(uint16_t)`.
  template <typename Emit>
  void Add(uint8_t symbol, size_t n, Emit&& emit) {
    while (n > 0) {
      if (!CanAdd(symbol)) emit(TakeFull());
      n -= AddSome(symbol, n);
    }
  }
  // The chunk of what is left. Must hold something.
  uint16_t Last() const {
    if (all_same_) return Run();
    return size_ <= kTwoBitSymbols ? TwoBitVector() : OneBitVector();
  }

 private:
  bool CanAdd(uint8_t symbol) const {
    if (size_ < kTwoBitSymbols) return true;
    if (size_ < kOneBitSymbols && !has_large_ && symbol != kLargeDelta) return true;
    return size_ < kMaxRun && all_same_ && symbols_[0] == symbol;
  }
  // Adds at least one symbol, and of a run as many as go in at once; returns how many.
  size_t AddSome(uint8_t symbol, size_t n) {
    all_same_ = size_ == 0 || (all_same_ && symbols_[0] == symbol);
    has_large_ |= symbol == kLargeDelta;
    const size_t added = all_same_ ? std::min(n, kMaxRun - size_) : 1;
    for (size_t i = size_; i < std::min(size_ + added, symbols_.size()); ++i) symbols_[i] = symbol;
    size_ += added;
    return added;
  }
  uint16_t TakeFull() {
    if (all_same_ || size_ == kOneBitSymbols) {
      const uint16_t chunk = Last();
      *this = ChunkPacker();
      return chunk;
    }
    const uint16_t chunk = TwoBitVector();
    ChunkPacker rest;
    for (size_t i = kTwoBitSymbols; i < size_; ++i) rest.AddSome(symbols_[i], 1);
    *this = rest;
    return chunk;
  }
  uint16_t Run() const { return static_cast<uint16_t>(symbols_[0] << 13 | size_); }
  uint16_t OneBitVector() const {
    unsigned chunk = 0x8000;
    for (size_t i = 0; i < size_; ++i) chunk |= symbols_[i] << (kOneBitSymbols - 1 - i);
    return static_cast<uint16_t>(chunk);
  }
  uint16_t TwoBitVector() const {
    unsigned chunk = 0xc000;
    for (size_t i = 0; i < std::min(size_, kTwoBitSymbols); ++i) {
      chunk |= symbols_[i] << 2 * (kTwoBitSymbols - 1 - i);
    }
    return static_cast<uint16_t>(chunk);
  }

  std::array<uint8_t, kOneBitSymbols> symbols_{};  // Of a longer run the first stands for all.
  size_t size_ = 0;
  bool all_same_ = true;
  bool has_large_ = false;
};

// Turns arrivals into symbols and deltas. Each arrival is rounded to ticks by itself and deltas are
// differences of ticks, so that rounding errors do not add up.
class DeltaTracker {
 public:
  explicit DeltaTracker(const FeedbackArrival& first)
      : tick_(TickOf(first) >> kTicksPerReferenceBits << kTicksPerReferenceBits) {}
  int64_t DeltaTo(const FeedbackArrival& arrival) const { return TickOf(arrival) - tick_; }
  void MoveTo(const FeedbackArrival& arrival) { tick_ = TickOf(arrival); }
  // Of the first arrival's reference time, before MoveTo.
  uint32_t ReferenceTime() const {
    return static_cast<uint32_t>(tick_ >> kTicksPerReferenceBits) & 0xffffff;
  }

  static uint8_t SymbolOf(int64_t delta) {
    return delta >= 0 && delta <= 0xff ? kSmallDelta : kLargeDelta;
  }

 private:
  static int64_t TickOf(const FeedbackArrival& arrival) {
    return (arrival.time + kDeltaTick / 2).ns() / kDeltaTick.ns();
  }
  int64_t tick_ = 0;
};

struct FeedbackPlan {
  size_t arrivals = 0;  // How many of the arrivals go in.
  size_t size = 0;      // Of the packet.
  bool cut_for_room = false;
};

FeedbackPlan PlanFeedback(int64_t base_sequence, std::span<const FeedbackArrival> arrivals,
                          size_t room) {
  FeedbackPlan plan;
  ChunkPacker packer;
  DeltaTracker tracker(arrivals.front());
  size_t chunk_bytes = 2;  // With the last chunk, which is never empty.
  size_t delta_bytes = 0;
  const auto count_chunk = [&chunk_bytes](uint16_t) { chunk_bytes += 2; };
  int64_t expected = base_sequence;
  for (const FeedbackArrival& arrival : arrivals) {
    const int64_t delta = tracker.DeltaTo(arrival);
    if (arrival.sequence < expected || arrival.sequence - base_sequence >= kMaxPackets ||
        delta != static_cast<int16_t>(delta)) {
      break;
    }
    const uint8_t symbol = DeltaTracker::SymbolOf(delta);
    packer.Add(kMissing, static_cast<size_t>(arrival.sequence - expected), count_chunk);
    packer.Add(symbol, 1, count_chunk);
    delta_bytes += symbol;
    const size_t size = (kRtcpHeaderSize + kFixedSize + chunk_bytes + delta_bytes + 3) / 4 * 4;
    if (size > room) {
      plan.cut_for_room = true;
      break;
    }
    ++plan.arrivals;
    plan.size = size;
    tracker.MoveTo(arrival);
    expected = arrival.sequence + 1;
  }
  return plan;
}

void WriteChunks(int64_t base_sequence, std::span<const FeedbackArrival> arrivals,
                 ByteWriter& out) {
  ChunkPacker packer;
  DeltaTracker tracker(arrivals.front());
  const auto write_chunk = [&out](uint16_t chunk) { out.U16(chunk); };
  int64_t expected = base_sequence;
  for (const FeedbackArrival& arrival : arrivals) {
    packer.Add(kMissing, static_cast<size_t>(arrival.sequence - expected), write_chunk);
    packer.Add(DeltaTracker::SymbolOf(tracker.DeltaTo(arrival)), 1, write_chunk);
    tracker.MoveTo(arrival);
    expected = arrival.sequence + 1;
  }
  out.U16(packer.Last());
}

void WriteDeltas(std::span<const FeedbackArrival> arrivals, ByteWriter& out) {
  DeltaTracker tracker(arrivals.front());
  for (const FeedbackArrival& arrival : arrivals) {
    const int64_t delta = tracker.DeltaTo(arrival);
    if (DeltaTracker::SymbolOf(delta) == kSmallDelta) {
      out.U8(static_cast<uint8_t>(delta));
    } else {
      out.U16(static_cast<uint16_t>(delta));
    }
    tracker.MoveTo(arrival);
  }
}

}  // namespace

size_t WriteTransportFeedback(const FeedbackHeader& header,
                              std::span<const FeedbackArrival> arrivals, ByteWriter& out) {
  if (arrivals.empty() || !out.ok()) return 0;
  const FeedbackPlan plan = PlanFeedback(header.base_sequence, arrivals, out.remaining());
  if (plan.arrivals == 0) {
    if (plan.cut_for_room) RefuseToWrite(out);
    return 0;
  }
  const std::span<const FeedbackArrival> reported = arrivals.first(plan.arrivals);
  const size_t end = out.position() + plan.size;
  BeginRtcpPacket(RtcpType::kRtpFeedback, kFormatTransportFeedback, plan.size, out);
  out.U32(header.sender_ssrc);
  out.U32(header.media_ssrc);
  out.U16(static_cast<uint16_t>(header.base_sequence));
  out.U16(static_cast<uint16_t>(reported.back().sequence - header.base_sequence + 1));
  out.U24(DeltaTracker(reported.front()).ReferenceTime());
  out.U8(header.feedback_count);
  WriteChunks(header.base_sequence, reported, out);
  WriteDeltas(reported, out);
  // Plain zeros, not RTCP padding, which RFC 3550, 6.4.1 allows in a compound's last packet only:
  // receivers find the end of the deltas by counting.
  out.Zeros(end - out.position());
  return plan.arrivals;
}

}  // namespace vigil::rtp
