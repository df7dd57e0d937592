#pragma once

#include <cstddef>
#include <cstdint>

#include "gateway/base/byte_io.h"

// Numbers of the RTCP wire format, shared by its readers and writers. Private to this folder.

namespace vigil::rtp {

enum class RtcpType : uint8_t {
  kSenderReport = 200,  // RFC 3550, 12.1
  kReceiverReport = 201,
  kSourceDescription = 202,
  kBye = 203,
  kRtpFeedback = 205,  // RFC 4585, 6.1
  kPayloadFeedback = 206,
  kExtendedReport = 207,  // RFC 3611, 2
};

// FMT of kRtpFeedback.
inline constexpr uint8_t kFormatNack = 1;                // RFC 4585, 6.2.1
inline constexpr uint8_t kFormatTransportFeedback = 15;  // draft-holmer-rmcat-twcc-01, 3.1
// FMT of kPayloadFeedback.
inline constexpr uint8_t kFormatPli = 1;           // RFC 4585, 6.3.1
inline constexpr uint8_t kFormatFir = 4;           // RFC 5104, 4.3.1
inline constexpr uint8_t kFormatApplication = 15;  // RFC 4585, 6.4; REMB is one.
// Block types of kExtendedReport.
inline constexpr uint8_t kBlockReceiverReferenceTime = 4;  // RFC 3611, 4.4
inline constexpr uint8_t kBlockDlrr = 5;                   // RFC 3611, 4.5

inline constexpr size_t kRtcpHeaderSize = 4;
// The length field counts words less one, in 16 bits; the count field has 5 bits.
inline constexpr size_t kMaxRtcpPacketSize = size_t{4} * 65536;
inline constexpr size_t kMaxRtcpCount = 31;
inline constexpr size_t kReportBlockSize = 24;
inline constexpr size_t kDlrrItemSize = 12;

// Makes out.ok() false and writes nothing: what was asked for does not fit.
void RefuseToWrite(ByteWriter& out);
// True if `size` bytes fit `out`; refuses otherwise.
bool ReserveBytes(size_t size, ByteWriter& out);
// Appends the header of a packet of `size` bytes (a multiple of 4, header included). Writes nothing
// and returns false, with out.ok() false, when the whole packet would not fit.
bool BeginRtcpPacket(RtcpType type, uint8_t count_or_format, size_t size, ByteWriter& out);

}  // namespace vigil::rtp
