#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>

#include "gateway/base/byte_io.h"
#include "gateway/rtp/ntp_time.h"
#include "gateway/rtp/rtcp.h"
#include "gateway/rtp/rtcp_wire.h"

namespace vigil::rtp {
namespace {

constexpr size_t kFeedbackHeaderSize = kRtcpHeaderSize + 8;  // RFC 4585, 6.1: with both SSRCs.

void WriteReportBlock(const ReportBlock& block, ByteWriter& out) {
  // RFC 3550, A.3: the loss is clamped to what 24 bits hold.
  const int32_t lost = std::clamp(block.cumulative_lost, -0x800000, 0x7fffff);
  out.U32(block.ssrc);
  out.U8(block.fraction_lost);
  out.U24(static_cast<uint32_t>(lost) & 0xffffff);
  out.U32(block.extended_highest_sequence);
  out.U32(block.jitter);
  out.U32(block.last_sender_report);
  out.U32(block.delay_since_last_report);
}

size_t ReceiverReportSize(size_t blocks) { return kRtcpHeaderSize + 4 + blocks * kReportBlockSize; }

// The size of the receiver reports that carry `blocks` blocks, 31 each.
size_t ReceiverReportsSize(size_t blocks) {
  return blocks / kMaxRtcpCount * ReceiverReportSize(kMaxRtcpCount) +
         (blocks % kMaxRtcpCount != 0 ? ReceiverReportSize(blocks % kMaxRtcpCount) : 0);
}

void WriteOneReceiverReport(uint32_t sender_ssrc, std::span<const ReportBlock> blocks,
                            ByteWriter& out) {
  if (!BeginRtcpPacket(RtcpType::kReceiverReport, static_cast<uint8_t>(blocks.size()),
                       ReceiverReportSize(blocks.size()), out)) {
    return;
  }
  out.U32(sender_ssrc);
  for (const ReportBlock& block : blocks) WriteReportBlock(block, out);
}

struct NackItem {
  uint16_t packet_id = 0;
  uint16_t following = 0;  // Bit i: packet_id + 1 + i too.
};

// The item that names as many of the first of `sequences` as one item can; takes these off.
NackItem TakeNackItem(std::span<const uint16_t>& sequences) {
  NackItem item{.packet_id = sequences.front()};
  size_t taken = 1;
  for (; taken < sequences.size(); ++taken) {
    const auto ahead = static_cast<uint16_t>(sequences[taken] - item.packet_id);
    if (ahead > 16) break;
    if (ahead > 0) item.following |= static_cast<uint16_t>(1u << (ahead - 1));
  }
  sequences = sequences.subspan(taken);
  return item;
}

}  // namespace

void RefuseToWrite(ByteWriter& out) { out.Zeros(std::numeric_limits<size_t>::max()); }

bool ReserveBytes(size_t size, ByteWriter& out) {
  if (!out.ok() || size > out.remaining()) RefuseToWrite(out);
  return out.ok();
}

bool BeginRtcpPacket(RtcpType type, uint8_t count_or_format, size_t size, ByteWriter& out) {
  if (size > kMaxRtcpPacketSize) RefuseToWrite(out);
  if (!ReserveBytes(size, out)) return false;
  out.U8(static_cast<uint8_t>(0x80 | count_or_format));
  out.U8(static_cast<uint8_t>(type));
  out.U16(static_cast<uint16_t>(size / 4 - 1));
  return true;
}

void WriteSenderReport(const SenderReportFields& report, std::span<const ReportBlock> blocks,
                       ByteWriter& out) {
  const size_t first = std::min(blocks.size(), kMaxRtcpCount);
  const size_t size = kRtcpHeaderSize + 24 + first * kReportBlockSize;
  if (!ReserveBytes(size + ReceiverReportsSize(blocks.size() - first), out)) return;
  BeginRtcpPacket(RtcpType::kSenderReport, static_cast<uint8_t>(first), size, out);
  out.U32(report.ssrc);
  out.U64(report.ntp.value());
  out.U32(report.rtp_timestamp);
  out.U32(report.packet_count);
  out.U32(report.octet_count);
  for (const ReportBlock& block : blocks.first(first)) WriteReportBlock(block, out);
  if (blocks.size() > first) WriteReceiverReport(report.ssrc, blocks.subspan(first), out);
}

void WriteReceiverReport(uint32_t sender_ssrc, std::span<const ReportBlock> blocks,
                         ByteWriter& out) {
  // RFC 3550, 6.4.2: a report without blocks is sent too, it heads a compound packet.
  if (blocks.empty()) return WriteOneReceiverReport(sender_ssrc, blocks, out);
  if (!ReserveBytes(ReceiverReportsSize(blocks.size()), out)) return;
  while (!blocks.empty()) {
    const size_t n = std::min(blocks.size(), kMaxRtcpCount);
    WriteOneReceiverReport(sender_ssrc, blocks.first(n), out);
    blocks = blocks.subspan(n);
  }
}

void WriteCname(uint32_t ssrc, std::string_view cname, ByteWriter& out) {
  constexpr uint8_t kCnameItem = 1;
  if (cname.size() > std::numeric_limits<uint8_t>::max()) return RefuseToWrite(out);
  const size_t item_end = kRtcpHeaderSize + 4 + 2 + cname.size();
  const size_t size = (item_end / 4 + 1) * 4;  // One to four zeros end the chunk.
  if (!BeginRtcpPacket(RtcpType::kSourceDescription, 1, size, out)) return;
  out.U32(ssrc);
  out.U8(kCnameItem);
  out.U8(static_cast<uint8_t>(cname.size()));
  out.Text(cname);
  out.Zeros(size - item_end);
}

void WriteBye(std::span<const uint32_t> ssrcs, ByteWriter& out) {
  if (ssrcs.size() > kMaxRtcpCount) return RefuseToWrite(out);
  if (!BeginRtcpPacket(RtcpType::kBye, static_cast<uint8_t>(ssrcs.size()),
                       kRtcpHeaderSize + 4 * ssrcs.size(), out)) {
    return;
  }
  for (const uint32_t ssrc : ssrcs) out.U32(ssrc);
}

void WriteNack(uint32_t sender_ssrc, uint32_t media_ssrc, std::span<const uint16_t> sequences,
               ByteWriter& out) {
  if (sequences.empty()) return;
  size_t items = 0;
  for (std::span<const uint16_t> rest = sequences; !rest.empty(); ++items) TakeNackItem(rest);
  if (!BeginRtcpPacket(RtcpType::kRtpFeedback, kFormatNack, kFeedbackHeaderSize + 4 * items, out)) {
    return;
  }
  out.U32(sender_ssrc);
  out.U32(media_ssrc);
  for (std::span<const uint16_t> rest = sequences; !rest.empty();) {
    const NackItem item = TakeNackItem(rest);
    out.U16(item.packet_id);
    out.U16(item.following);
  }
}

void WritePli(uint32_t sender_ssrc, uint32_t media_ssrc, ByteWriter& out) {
  if (!BeginRtcpPacket(RtcpType::kPayloadFeedback, kFormatPli, kFeedbackHeaderSize, out)) return;
  out.U32(sender_ssrc);
  out.U32(media_ssrc);
}

void WriteFir(uint32_t sender_ssrc, uint32_t media_ssrc, uint8_t command_sequence,
              ByteWriter& out) {
  if (!BeginRtcpPacket(RtcpType::kPayloadFeedback, kFormatFir, kFeedbackHeaderSize + 8, out)) {
    return;
  }
  out.U32(sender_ssrc);
  out.U32(0);  // RFC 5104, 4.3.1.2: the media SSRC of the header is 0.
  out.U32(media_ssrc);
  out.U8(command_sequence);
  out.U24(0);
}

void WriteRemb(uint32_t sender_ssrc, uint64_t bitrate_bps, std::span<const uint32_t> ssrcs,
               ByteWriter& out) {
  if (ssrcs.size() > std::numeric_limits<uint8_t>::max()) return RefuseToWrite(out);
  if (!BeginRtcpPacket(RtcpType::kPayloadFeedback, kFormatApplication,
                       kFeedbackHeaderSize + 8 + 4 * ssrcs.size(), out)) {
    return;
  }
  uint64_t mantissa =
      std::min(bitrate_bps, static_cast<uint64_t>(std::numeric_limits<int64_t>::max()));
  uint32_t exponent = 0;
  for (; mantissa > 0x3ffff; mantissa >>= 1) ++exponent;
  out.U32(sender_ssrc);
  out.U32(0);
  out.Text("REMB");
  out.U8(static_cast<uint8_t>(ssrcs.size()));
  out.U24(exponent << 18 | static_cast<uint32_t>(mantissa));
  for (const uint32_t ssrc : ssrcs) out.U32(ssrc);
}

void WriteReceiverReferenceTime(uint32_t sender_ssrc, NtpTime ntp, ByteWriter& out) {
  if (!BeginRtcpPacket(RtcpType::kExtendedReport, 0, kRtcpHeaderSize + 4 + 4 + 8, out)) return;
  out.U32(sender_ssrc);
  out.U8(kBlockReceiverReferenceTime);
  out.U8(0);
  out.U16(2);
  out.U64(ntp.value());
}

void WriteDlrr(uint32_t sender_ssrc, std::span<const ExtendedReport::Dlrr> items, ByteWriter& out) {
  if (items.empty()) return;
  if (!BeginRtcpPacket(RtcpType::kExtendedReport, 0,
                       kRtcpHeaderSize + 4 + 4 + items.size() * kDlrrItemSize, out)) {
    return;
  }
  out.U32(sender_ssrc);
  out.U8(kBlockDlrr);
  out.U8(0);
  out.U16(static_cast<uint16_t>(items.size() * kDlrrItemSize / 4));
  for (const ExtendedReport::Dlrr& item : items) {
    out.U32(item.ssrc);
    out.U32(item.last_receiver_report);
    out.U32(item.delay_since_last_report);
  }
}

}  // namespace vigil::rtp
