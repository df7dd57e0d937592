#include "gateway/transport/srtp_sender.h"

#include <algorithm>

#include <srtp2/srtp.h>

#include "gateway/base/byte_io.h"
#include "gateway/base/check.h"
#include "gateway/base/sequence.h"

namespace vigil::transport {
namespace {

constexpr size_t kRtpHeaderSize = 12;
constexpr size_t kRtcpHeaderSize = 8;
// RFC 3711, 9.2: the key is worn out after 2^48 SRTP or 2^31 SRTCP packets.
constexpr uint64_t kEndOfIndexes = uint64_t{1} << 48;
constexpr uint64_t kEndOfRtcpIndexes = uint64_t{1} << 31;
// The farthest jump forward for which the guess of RFC 3711, appendix A is right.
constexpr uint64_t kMaxGuess = 32767;

std::optional<DropReason> ReasonOf(srtp_err_status_t status) {
  switch (status) {
    case srtp_err_status_ok:
      return std::nullopt;
    case srtp_err_status_replay_fail:
      return DropReason::kDuplicate;
    case srtp_err_status_replay_old:
      return DropReason::kTooOld;
    default:
      return DropReason::kMalformed;
  }
}

// The index nearest to `next - 1`, the newest one; negative before the first.
int64_t IndexOf(uint64_t next, uint16_t sequence) {
  if (next == 0) return sequence;
  SequenceUnwrapper unwrapper;
  unwrapper.set_last(static_cast<int64_t>(next - 1));
  return unwrapper.Peek(sequence);
}

uint64_t AfterFault(const SrtpSender::Counter& counter) {
  VIGIL_CHECK(counter.limit != SrtpSender::kUnlimited);
  return counter.limit + SrtpSender::kFaultJump;
}

}  // namespace

SrtpSender::SrtpSender(SrtpProfile profile, std::span<const uint8_t> key) {
  const CipherFootprintScope scope;
  session_ = MakeSrtpSession(profile, key, SrtpDirection::kOutbound);
  footprint_ = scope.Find(session_.get());
}

SrtpSender::SrtpSender(SrtpProfile profile, std::span<const uint8_t> key, const State& state,
                       RestoreMode mode)
    : SrtpSender(profile, key) {
  for (const auto& [ssrc, counters] : state.streams) {
    AddStream(ssrc);
    SetLimit(ssrc, counters.rtp.limit);
    SetRtcpLimit(ssrc, counters.rtcp.limit);
    const bool exact = mode == RestoreMode::kExact;
    AdvanceTo(ssrc, exact ? counters.rtp.next_index : AfterFault(counters.rtp));
    AdvanceRtcpTo(ssrc, exact ? counters.rtcp.next_index : AfterFault(counters.rtcp));
  }
}

void SrtpSender::AddStream(uint32_t ssrc) {
  if (HasStream(ssrc)) return;
  Stream stream;
  stream.ssrc = ssrc;
  streams_.push_back(stream);
}

std::optional<DropReason> SrtpSender::CheckRtp(uint32_t ssrc, uint64_t index) const {
  const Stream* const stream = Find(ssrc);
  if (stream == nullptr) return DropReason::kUnknownSsrc;
  const auto wanted = static_cast<int64_t>(index);
  if (IndexOf(stream->rtp.next_index, static_cast<uint16_t>(index)) != wanted) {
    return DropReason::kSrtpIndexMismatch;
  }
  return Check(*stream, wanted);
}

std::optional<DropReason> SrtpSender::Check(const Stream& stream, int64_t index) {
  if (index < static_cast<int64_t>(stream.floor)) return DropReason::kTooOld;
  if (static_cast<uint64_t>(index) >= std::min(stream.rtp.limit, kEndOfIndexes)) {
    return DropReason::kSrtpIndexReserve;
  }
  return std::nullopt;
}

std::optional<DropReason> SrtpSender::ProtectRtp(Packet& packet, std::optional<uint64_t> wanted) {
  footprint_.Prefetch();
  if (packet.size < kRtpHeaderSize) return DropReason::kMalformed;
  if (packet.size + kMaxTrailer > Packet::kCapacity) return DropReason::kOversized;
  Stream* const stream = Find(ReadU32(packet.data.data() + 8));
  if (stream == nullptr) return DropReason::kUnknownSsrc;
  const int64_t guess = IndexOf(stream->rtp.next_index, ReadU16(packet.data.data() + 2));
  const auto index = static_cast<uint64_t>(guess);
  if (wanted && *wanted != index) return DropReason::kSrtpIndexMismatch;
  if (const auto refused = Check(*stream, guess)) return refused;
  Position(*stream, index);
  int size = packet.size;
  const srtp_err_status_t status = srtp_protect(session_.get(), packet.data.data(), &size);
  if (status != srtp_err_status_ok) {
    // A rollover counter that Position set and no packet took up must not meet a later packet.
    srtp_set_stream_roc(session_.get(), stream->ssrc, 0);
    return ReasonOf(status);
  }
  packet.size = static_cast<uint16_t>(size);
  stream->highest = std::max(stream->highest.value_or(0), index);
  stream->rtp.next_index = std::max(stream->rtp.next_index, index + 1);
  return std::nullopt;
}

std::optional<DropReason> SrtpSender::ProtectRtcp(Packet& packet) {
  if (packet.size < kRtcpHeaderSize) return DropReason::kMalformed;
  if (packet.size + kMaxTrailer > Packet::kCapacity) return DropReason::kOversized;
  Stream* const stream = Find(ReadU32(packet.data.data() + 4));
  if (stream == nullptr) return DropReason::kUnknownSsrc;
  if (stream->rtcp.next_index >= std::min(stream->rtcp.limit, kEndOfRtcpIndexes)) {
    return DropReason::kSrtpIndexReserve;
  }
  // Counted even if libsrtp fails: it may have counted before it failed.
  ++stream->rtcp.next_index;
  int size = packet.size;
  const srtp_err_status_t status = srtp_protect_rtcp(session_.get(), packet.data.data(), &size);
  if (status != srtp_err_status_ok) return ReasonOf(status);
  packet.size = static_cast<uint16_t>(size);
  return std::nullopt;
}

void SrtpSender::SetLimit(uint32_t ssrc, uint64_t limit) {
  Stream* const stream = Find(ssrc);
  VIGIL_CHECK(stream != nullptr);
  stream->rtp.limit = limit;
}

void SrtpSender::SetRtcpLimit(uint32_t ssrc, uint64_t limit) {
  Stream* const stream = Find(ssrc);
  VIGIL_CHECK(stream != nullptr);
  stream->rtcp.limit = limit;
}

uint64_t SrtpSender::next_index(uint32_t ssrc) const {
  const Stream* const stream = Find(ssrc);
  VIGIL_CHECK(stream != nullptr);
  return stream->rtp.next_index;
}

uint64_t SrtpSender::next_rtcp_index(uint32_t ssrc) const {
  const Stream* const stream = Find(ssrc);
  VIGIL_CHECK(stream != nullptr);
  return stream->rtcp.next_index;
}

void SrtpSender::AdvanceTo(uint32_t ssrc, uint64_t index) {
  Stream* const stream = Find(ssrc);
  VIGIL_CHECK(stream != nullptr);
  stream->floor = std::max(stream->floor, index);
  stream->rtp.next_index = std::max(stream->rtp.next_index, index);
}

void SrtpSender::AdvanceRtcpTo(uint32_t ssrc, uint64_t index) {
  Stream* const stream = Find(ssrc);
  VIGIL_CHECK(stream != nullptr && index <= kEndOfRtcpIndexes);
  for (; stream->rtcp.next_index < index; ++stream->rtcp.next_index) {
    DummyPacket dummy = DummyPacket::Rtcp(ssrc);
    const srtp_err_status_t status =
        srtp_protect_rtcp(session_.get(), dummy.bytes.data(), &dummy.size);
    VIGIL_CHECK(status == srtp_err_status_ok);
  }
}

SrtpSender::State SrtpSender::Export() const {
  State state;
  for (const Stream& stream : streams_) state.streams[stream.ssrc] = {stream.rtp, stream.rtcp};
  return state;
}

const SrtpSender::Stream* SrtpSender::Find(uint32_t ssrc) const {
  for (const Stream& stream : streams_) {
    if (stream.ssrc == ssrc) return &stream;
  }
  return nullptr;
}

SrtpSender::Stream* SrtpSender::Find(uint32_t ssrc) {
  return const_cast<Stream*>(static_cast<const SrtpSender*>(this)->Find(ssrc));
}

void SrtpSender::Position(Stream& stream, uint64_t index) {
  if (!stream.highest) {
    // A new stream takes its first sequence number for one of rollover counter 0.
    if (index >> 16 == 0) return;
    // srtp_set_stream_roc needs a stream, which only a packet makes. What is encrypted under index
    // 0 here never leaves, so that the index is not used in the sense that matters.
    ProtectDummy(stream, 0);
    stream.highest = 0;
  }
  if (index <= *stream.highest + kMaxGuess) return;
  if (index == *stream.highest + kMaxGuess + 1) {
    // libsrtp would obey the rollover counter but then never forget it. One step makes the guess
    // right; the index of the dummy counts as given up.
    ++*stream.highest;
    stream.floor = std::max(stream.floor, *stream.highest + 1);
    ProtectDummy(stream, static_cast<uint16_t>(*stream.highest));
    return;
  }
  const auto rollover = static_cast<uint32_t>(index >> 16);
  const srtp_err_status_t status = srtp_set_stream_roc(session_.get(), stream.ssrc, rollover);
  VIGIL_CHECK(status == srtp_err_status_ok);
}

void SrtpSender::ProtectDummy(Stream& stream, uint16_t sequence) {
  DummyPacket dummy = DummyPacket::Rtp(stream.ssrc, sequence);
  const srtp_err_status_t status = srtp_protect(session_.get(), dummy.bytes.data(), &dummy.size);
  VIGIL_CHECK(status == srtp_err_status_ok);
}

}  // namespace vigil::transport
