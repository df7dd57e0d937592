#include "gateway/transport/srtp_receiver.h"

#include <algorithm>

#include <srtp2/srtp.h>

#include "gateway/base/byte_io.h"
#include "gateway/base/check.h"

namespace vigil::transport {
namespace {

constexpr size_t kRtpHeaderSize = 12;
constexpr size_t kRtcpHeaderSize = 8;
constexpr uint32_t kRtcpIndexMask = 0x7fffffff;

DropReason ReasonOf(srtp_err_status_t status) {
  switch (status) {
    case srtp_err_status_replay_fail:
    case srtp_err_status_replay_old:
    case srtp_err_status_pkt_idx_old:
      return DropReason::kSrtpReplay;
    case srtp_err_status_bad_param:
    case srtp_err_status_parse_err:
      return DropReason::kMalformed;
    case srtp_err_status_no_ctx:
      return DropReason::kUnknownSsrc;
    default:
      return DropReason::kSrtpAuth;
  }
}

// libsrtp's guess of the index (RFC 3711, appendix A), which it does not tell: while the highest
// index is in the first half of rollover counter 0, every sequence number is taken for one of it.
uint64_t GuessIndex(std::optional<uint64_t> highest, uint16_t sequence) {
  if (!highest || *highest <= 0x8000) return sequence;
  const auto local_sequence = static_cast<int32_t>(*highest & 0xffff);
  uint64_t rollover = *highest >> 16;
  if (local_sequence < 0x8000) {
    if (sequence - local_sequence > 0x8000) --rollover;
  } else if (local_sequence - 0x8000 > sequence) {
    ++rollover;
  }
  return rollover << 16 | sequence;
}

}  // namespace

SrtpReceiver::SrtpReceiver(SrtpProfile profile, std::span<const uint8_t> key) : profile_(profile) {
  const CipherFootprintScope scope;
  session_ = MakeSrtpSession(profile, key, SrtpDirection::kInbound);
  footprint_ = scope.Find(session_.get());
}

SrtpReceiver::SrtpReceiver(SrtpProfile profile, std::span<const uint8_t> key, const State& state)
    : SrtpReceiver(profile, key) {
  const SrtpSession scratch = MakeSrtpSession(profile, key, SrtpDirection::kOutbound);
  for (const auto& [ssrc, restored] : state.streams) {
    Stream* const stream = FindOrMake(ssrc);
    if (stream == nullptr) break;
    stream->state = restored;
    if (restored.highest_rtcp_index) stream->rtcp_floor = *restored.highest_rtcp_index + 1;
    uses_ = std::max(uses_, restored.last_use);
    if (restored.highest_index) Seed(scratch.get(), ssrc, *restored.highest_index);
  }
  retired_ = state.retired;
}

bool SrtpReceiver::AddStream(uint32_t ssrc) {
  Stream* const stream = FindOrMake(ssrc);
  if (stream == nullptr) return false;
  stream->state.named = true;
  return true;
}

void SrtpReceiver::RemoveStream(uint32_t ssrc) {
  std::erase_if(streams_, [ssrc](const Stream& stream) { return stream.ssrc == ssrc; });
  // No harm if libsrtp never saw a packet of it. This function alone takes network byte order.
  srtp_remove_stream(session_.get(), __builtin_bswap32(ssrc));
}

bool SrtpReceiver::HasStream(uint32_t ssrc) const {
  const Stream* const stream = Find(ssrc);
  return stream != nullptr && stream->state.named;
}

std::optional<DropReason> SrtpReceiver::UnprotectRtp(Packet& packet) {
  footprint_.Prefetch();
  if (packet.size < kRtpHeaderSize) return DropReason::kMalformed;
  Stream* const stream = Find(ReadU32(packet.data.data() + 8));
  if (stream == nullptr || !stream->state.named) return DropReason::kUnknownSsrc;
  return Unprotect(*stream, packet);
}

std::optional<DropReason> SrtpReceiver::TryUnprotectRtp(Packet& packet) {
  if (packet.size < kRtpHeaderSize) return DropReason::kMalformed;
  const uint32_t ssrc = ReadU32(packet.data.data() + 8);
  Stream* const known = Find(ssrc);
  if (known == nullptr && MayNotBegin(ssrc)) return DropReason::kUnknownSsrc;
  Stream provisional;
  provisional.ssrc = ssrc;
  Stream& stream = known != nullptr ? *known : provisional;
  if (const std::optional<DropReason> reason = Unprotect(stream, packet)) return reason;
  stream.state.named = true;
  if (known == nullptr) streams_.push_back(provisional);
  return std::nullopt;
}

std::optional<DropReason> SrtpReceiver::UnprotectRtcp(Packet& packet) {
  if (packet.size < kRtcpHeaderSize) return DropReason::kMalformed;
  const std::optional<uint32_t> index = PeekRtcpIndex(packet);
  if (!index) return DropReason::kMalformed;
  const uint32_t ssrc = ReadU32(packet.data.data() + 4);
  Stream* stream = Find(ssrc);
  if (stream == nullptr && MayNotBegin(ssrc)) return DropReason::kUnknownSsrc;
  if (stream != nullptr && *index < stream->rtcp_floor) return DropReason::kSrtpReplay;
  int size = packet.size;
  const srtp_err_status_t status = srtp_unprotect_rtcp(session_.get(), packet.data.data(), &size);
  if (status != srtp_err_status_ok) return ReasonOf(status);
  packet.size = static_cast<uint16_t>(size);
  if (stream == nullptr) {
    stream = &streams_.emplace_back();
    stream->ssrc = ssrc;
  }
  stream->state.last_use = ++uses_;
  std::optional<uint32_t>& highest = stream->state.highest_rtcp_index;
  highest = std::max(highest.value_or(0), *index);
  return std::nullopt;
}

SrtpReceiver::State SrtpReceiver::Export() const {
  State state;
  for (const Stream& stream : streams_) state.streams[stream.ssrc] = stream.state;
  state.retired = retired_;
  return state;
}

bool SrtpReceiver::MayNotBegin(uint32_t ssrc) const {
  // One too many, until its owner has chosen which is to end.
  const size_t most = retired_.size() < kMaxRetired ? kMaxStreams + 1 : kMaxStreams;
  return streams_.size() >= most ||
         std::find(retired_.begin(), retired_.end(), ssrc) != retired_.end();
}

void SrtpReceiver::RetireOldest(std::span<const uint32_t> in_use) {
  const Stream* oldest = nullptr;
  for (const Stream& stream : streams_) {
    if (std::find(in_use.begin(), in_use.end(), stream.ssrc) != in_use.end()) continue;
    if (oldest == nullptr || stream.state.last_use < oldest->state.last_use) oldest = &stream;
  }
  if (oldest == nullptr) return;
  retired_.push_back(oldest->ssrc);
  RemoveStream(oldest->ssrc);
}

const SrtpReceiver::Stream* SrtpReceiver::Find(uint32_t ssrc) const {
  for (const Stream& stream : streams_) {
    if (stream.ssrc == ssrc) return &stream;
  }
  return nullptr;
}

SrtpReceiver::Stream* SrtpReceiver::Find(uint32_t ssrc) {
  return const_cast<Stream*>(static_cast<const SrtpReceiver*>(this)->Find(ssrc));
}

SrtpReceiver::Stream* SrtpReceiver::FindOrMake(uint32_t ssrc) {
  if (Stream* const stream = Find(ssrc)) return stream;
  if (streams_.size() >= kMaxStreams) return nullptr;
  Stream& stream = streams_.emplace_back();
  stream.ssrc = ssrc;
  return &stream;
}

std::optional<DropReason> SrtpReceiver::Unprotect(Stream& stream, Packet& packet) {
  const uint16_t sequence = ReadU16(packet.data.data() + 2);
  int size = packet.size;
  const srtp_err_status_t status = srtp_unprotect(session_.get(), packet.data.data(), &size);
  if (status != srtp_err_status_ok) return ReasonOf(status);
  packet.size = static_cast<uint16_t>(size);
  stream.state.last_use = ++uses_;
  std::optional<uint64_t>& highest = stream.state.highest_index;
  highest = std::max(highest.value_or(0), GuessIndex(highest, sequence));
  return std::nullopt;
}

std::optional<uint32_t> SrtpReceiver::PeekRtcpIndex(const Packet& packet) const {
  // RFC 7714, 9.1 puts the index behind the tag, RFC 3711, 3.4 in front of it.
  const size_t from_end = profile_ == SrtpProfile::kAeadAes128Gcm ? 4 : 4 + 10;
  if (packet.size < kRtcpHeaderSize + from_end) return std::nullopt;
  return ReadU32(packet.data.data() + packet.size - from_end) & kRtcpIndexMask;
}

void SrtpReceiver::Seed(srtp_ctx_t_* scratch, uint32_t ssrc, uint64_t index) {
  const auto rollover = static_cast<uint32_t>(index >> 16);
  // srtp_set_stream_roc needs a stream, and only a packet of rollover counter 0 makes one; alone it
  // would not do, because a stream that is restored at a wrap then guesses wrong for good. So both
  // sides are led to rollover counter and sequence number by real packets.
  if (rollover > 0) {
    DummyPacket first = DummyPacket::Rtp(ssrc, 0);
    VIGIL_CHECK(srtp_protect(scratch, first.bytes.data(), &first.size) == srtp_err_status_ok);
    VIGIL_CHECK(srtp_unprotect(session_.get(), first.bytes.data(), &first.size) ==
                srtp_err_status_ok);
    VIGIL_CHECK(srtp_set_stream_roc(scratch, ssrc, rollover) == srtp_err_status_ok);
    VIGIL_CHECK(srtp_set_stream_roc(session_.get(), ssrc, rollover) == srtp_err_status_ok);
  }
  DummyPacket newest = DummyPacket::Rtp(ssrc, static_cast<uint16_t>(index));
  VIGIL_CHECK(srtp_protect(scratch, newest.bytes.data(), &newest.size) == srtp_err_status_ok);
  VIGIL_CHECK(srtp_unprotect(session_.get(), newest.bytes.data(), &newest.size) ==
              srtp_err_status_ok);
}

}  // namespace vigil::transport
