#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>

#include "gateway/base/byte_io.h"
#include "gateway/rtp/ntp_time.h"
#include "gateway/rtp/rtcp.h"
#include "gateway/rtp/rtcp_wire.h"

namespace vigil::rtp {
namespace {

using Parsed = std::optional<RtcpPacket>;

// One packet of a compound, its header checked and its padding taken off.
struct Frame {
  RtcpType type{};
  uint8_t count_or_format = 0;
  std::span<const uint8_t> body;
  size_t size = 0;  // On the wire, with header and padding.
};

// RFC 3550, 6.4.1 and A.2. The padding length is not required to be a multiple of four: libwebrtc
// and Pion pad transport feedback to a word with one to three bytes. They also pad each of several
// feedback packets in one datagram, so for these padding is accepted before the last packet too.
std::optional<Frame> ReadFrame(std::span<const uint8_t> rest) {
  ByteReader in(rest);
  const uint8_t first = in.U8();
  Frame frame;
  frame.type = static_cast<RtcpType>(in.U8());
  frame.count_or_format = first & 0x1f;
  frame.size = 4 * (size_t{in.U16()} + 1);
  if (!in.ok() || first >> 6 != 2 || frame.size > rest.size()) return std::nullopt;
  frame.body = rest.subspan(kRtcpHeaderSize, frame.size - kRtcpHeaderSize);
  if ((first & 0x20) == 0) return frame;

  const bool last = frame.size == rest.size();
  const bool feedback =
      frame.type == RtcpType::kRtpFeedback && frame.count_or_format == kFormatTransportFeedback;
  if ((!last && !feedback) || frame.body.empty()) return std::nullopt;
  const uint8_t padding = frame.body.back();
  if (padding == 0 || padding > frame.body.size()) return std::nullopt;
  frame.body = frame.body.first(frame.body.size() - padding);
  return frame;
}

// RFC 3550, 6.4.1. Profile-specific extensions after the blocks are ignored.
Parsed ParseSenderReport(size_t count, std::span<const uint8_t> body) {
  ByteReader in(body);
  SenderReport report;
  report.sender_ssrc = in.U32();
  report.ntp = NtpTime(in.U64());
  report.rtp_timestamp = in.U32();
  report.packet_count = in.U32();
  report.octet_count = in.U32();
  report.blocks = ReportBlocks(in.Bytes(count * kReportBlockSize));
  if (!in.ok()) return std::nullopt;
  return report;
}

Parsed ParseReceiverReport(size_t count, std::span<const uint8_t> body) {
  ByteReader in(body);
  ReceiverReport report;
  report.sender_ssrc = in.U32();
  report.blocks = ReportBlocks(in.Bytes(count * kReportBlockSize));
  if (!in.ok()) return std::nullopt;
  return report;
}

// RFC 3550, 6.5: each chunk is an SSRC, items, a zero, and zeros up to the next word. The body
// starts at a word of the packet, so positions within it align alike.
Parsed ParseSourceDescription(size_t count, std::span<const uint8_t> body) {
  ByteReader in(body);
  for (size_t chunk = 0; chunk < count && in.ok(); ++chunk) {
    in.Skip(4);
    // Past the end U8 gives 0, which ends this loop.
    while (in.U8() != 0) in.Skip(in.U8());
    in.Skip((4 - in.position() % 4) % 4);
  }
  if (!in.ok()) return std::nullopt;
  return SourceDescription{};
}

// RFC 3550, 6.6. A reason may follow the SSRCs; nobody here reads it.
Parsed ParseBye(size_t count, std::span<const uint8_t> body) {
  ByteReader in(body);
  Bye bye;
  bye.ssrcs = in.Bytes(4 * count);
  if (in.remaining() > 0) in.Skip(in.U8());
  if (!in.ok()) return std::nullopt;
  return bye;
}

Parsed ParseRtpFeedback(uint8_t format, std::span<const uint8_t> body) {
  if (format == kFormatTransportFeedback) {
    if (auto feedback = TransportFeedback::Parse(body)) return *feedback;
    return std::nullopt;
  }
  ByteReader in(body);
  GenericNack nack;
  nack.sender_ssrc = in.U32();
  nack.media_ssrc = in.U32();
  nack.items = in.Rest();
  if (!in.ok()) return std::nullopt;
  if (format != kFormatNack) return UnknownRtcp{static_cast<uint8_t>(RtcpType::kRtpFeedback)};
  // RFC 4585, 6.2.1: at least one item.
  if (nack.items.empty() || nack.items.size() % 4 != 0) return std::nullopt;
  return nack;
}

// draft-alvestrand-rmcat-remb-03, 2.2; `in` stands after the identifier. A rate above 2^63 - 1
// bit/s is no rate (and would turn negative in a DataRate): malformed.
Parsed ParseRemb(uint32_t sender_ssrc, ByteReader& in) {
  const uint8_t ssrc_count = in.U8();
  const uint32_t word = in.U24();
  in.Skip(size_t{4} * ssrc_count);
  if (!in.ok()) return std::nullopt;
  const uint32_t exponent = word >> 18;
  const uint64_t mantissa = word & 0x3ffff;
  constexpr uint64_t kMaxRate = std::numeric_limits<int64_t>::max();
  if (mantissa > kMaxRate >> exponent) return std::nullopt;
  return ReceiverEstimatedMaxBitrate{.sender_ssrc = sender_ssrc,
                                     .bitrate_bps = mantissa << exponent};
}

Parsed ParsePayloadFeedback(uint8_t format, std::span<const uint8_t> body) {
  ByteReader in(body);
  const uint32_t sender_ssrc = in.U32();
  const uint32_t media_ssrc = in.U32();
  if (!in.ok()) return std::nullopt;
  if (format == kFormatPli) return PictureLossIndication{sender_ssrc, media_ssrc};
  if (format == kFormatFir) {
    // RFC 5104, 4.3.1.2: the media SSRC of the header is unused; each entry has its own.
    FullIntraRequest request{.sender_ssrc = sender_ssrc, .entries = in.Rest()};
    if (request.entries.empty() || request.entries.size() % 8 != 0) return std::nullopt;
    return request;
  }
  if (format == kFormatApplication && AsText(in.Bytes(4)) == "REMB") {
    return ParseRemb(sender_ssrc, in);
  }
  return UnknownRtcp{static_cast<uint8_t>(RtcpType::kPayloadFeedback)};
}

// RFC 3611, 3: blocks of types nobody here reads are skipped. Of a repeated type the first counts.
Parsed ParseExtendedReport(std::span<const uint8_t> body) {
  ByteReader in(body);
  ExtendedReport report;
  report.sender_ssrc = in.U32();
  while (in.remaining() > 0) {
    const uint8_t type = in.U8();
    in.Skip(1);
    const size_t size = size_t{4} * in.U16();
    const std::span<const uint8_t> block = in.Bytes(size);
    if (!in.ok()) return std::nullopt;
    if (type == kBlockReceiverReferenceTime) {
      if (size != 8) return std::nullopt;
      if (!report.receiver_reference_time) {
        report.receiver_reference_time = NtpTime(ByteReader(block).U64());
      }
    } else if (type == kBlockDlrr) {
      if (size % kDlrrItemSize != 0) return std::nullopt;
      if (report.dlrr.empty()) report.dlrr = block;
    }
  }
  if (!in.ok()) return std::nullopt;
  return report;
}

Parsed ParseBody(const Frame& frame) {
  switch (frame.type) {
    case RtcpType::kSenderReport:
      return ParseSenderReport(frame.count_or_format, frame.body);
    case RtcpType::kReceiverReport:
      return ParseReceiverReport(frame.count_or_format, frame.body);
    case RtcpType::kSourceDescription:
      return ParseSourceDescription(frame.count_or_format, frame.body);
    case RtcpType::kBye:
      return ParseBye(frame.count_or_format, frame.body);
    case RtcpType::kRtpFeedback:
      return ParseRtpFeedback(frame.count_or_format, frame.body);
    case RtcpType::kPayloadFeedback:
      return ParsePayloadFeedback(frame.count_or_format, frame.body);
    case RtcpType::kExtendedReport:
      return ParseExtendedReport(frame.body);
  }
  return UnknownRtcp{static_cast<uint8_t>(frame.type)};
}

}  // namespace

ReportBlock ReportBlocks::operator[](size_t i) const {
  ByteReader in(bytes_.subspan(i * kReportBlockSize, kReportBlockSize));
  ReportBlock block;
  block.ssrc = in.U32();
  block.fraction_lost = in.U8();
  // Sign-extends the 24 bits.
  block.cumulative_lost = static_cast<int32_t>(in.U24() << 8) >> 8;
  block.extended_highest_sequence = in.U32();
  block.jitter = in.U32();
  block.last_sender_report = in.U32();
  block.delay_since_last_report = in.U32();
  return block;
}

std::optional<RtcpPacket> RtcpReader::Next() {
  if (rest_.empty()) return std::nullopt;
  const std::optional<Frame> frame = ReadFrame(rest_);
  Parsed packet = frame ? ParseBody(*frame) : std::nullopt;
  if (!packet) {
    malformed_ = true;
    rest_ = {};
    return std::nullopt;
  }
  rest_ = rest_.subspan(frame->size);
  return packet;
}

}  // namespace vigil::rtp
