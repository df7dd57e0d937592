#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "gateway/base/byte_io.h"
#include "gateway/base/time.h"
#include "gateway/rtp/ntp_time.h"

// RTCP read and written without allocation. A compound packet is read one packet at a time;
// lists inside a packet are bounded views that are decoded as they are walked.

namespace vigil::rtp {

// RFC 3550, 6.4.1.
struct ReportBlock {
  uint32_t ssrc = 0;
  uint8_t fraction_lost = 0;    // 1/256.
  int32_t cumulative_lost = 0;  // 24 bits, signed; may fall after a takeover.
  uint32_t extended_highest_sequence = 0;
  uint32_t jitter = 0;                   // RTP timestamp units.
  uint32_t last_sender_report = 0;       // Compact NTP, 0: none.
  uint32_t delay_since_last_report = 0;  // 1/65536 s.
};

// Report blocks of one SR or RR, at most 31.
class ReportBlocks {
 public:
  ReportBlocks() = default;
  explicit ReportBlocks(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  size_t size() const { return bytes_.size() / 24; }
  ReportBlock operator[](size_t i) const;

 private:
  std::span<const uint8_t> bytes_;
};

struct SenderReport {
  uint32_t sender_ssrc = 0;
  NtpTime ntp;
  uint32_t rtp_timestamp = 0;
  uint32_t packet_count = 0;
  uint32_t octet_count = 0;
  ReportBlocks blocks;
};

struct ReceiverReport {
  uint32_t sender_ssrc = 0;
  ReportBlocks blocks;
};

// Parsed for form only: CNAMEs are not used.
struct SourceDescription {};

struct Bye {
  std::span<const uint8_t> ssrcs;  // 4 bytes each.
  size_t size() const { return ssrcs.size() / 4; }
  uint32_t operator[](size_t i) const { return ReadU32(ssrcs.data() + 4 * i); }
};

// RFC 4585, 6.2.1. Each item names packet id `pid` and, by bit i of `blp`, pid + 1 + i.
struct GenericNack {
  uint32_t sender_ssrc = 0;
  uint32_t media_ssrc = 0;
  std::span<const uint8_t> items;  // 4 bytes each.

  template <typename F>  // F(uint16_t sequence)
  void ForEach(F&& f) const {
    for (size_t i = 0; i + 4 <= items.size(); i += 4) {
      const uint16_t pid = ReadU16(items.data() + i);
      const uint16_t blp = ReadU16(items.data() + i + 2);
      f(pid);
      for (int bit = 0; bit < 16; ++bit) {
        if ((blp >> bit & 1) != 0) f(static_cast<uint16_t>(pid + 1 + bit));
      }
    }
  }
};

struct PictureLossIndication {  // RFC 4585, 6.3.1.
  uint32_t sender_ssrc = 0;
  uint32_t media_ssrc = 0;
};

struct FullIntraRequest {  // RFC 5104, 4.3.1: (SSRC, command sequence) pairs, 8 bytes each.
  uint32_t sender_ssrc = 0;
  std::span<const uint8_t> entries;
  size_t size() const { return entries.size() / 8; }
  uint32_t ssrc(size_t i) const { return ReadU32(entries.data() + 8 * i); }
  uint8_t command(size_t i) const { return entries[8 * i + 4]; }
};

struct ReceiverEstimatedMaxBitrate {  // draft-alvestrand-rmcat-remb-03.
  uint32_t sender_ssrc = 0;
  uint64_t bitrate_bps = 0;
};

// draft-holmer-rmcat-transport-wide-cc-extensions-01, 3.1: which transport-wide sequence numbers
// arrived, and when. A Cursor decodes chunks and deltas as it goes; Parse has checked they fit.
struct TransportFeedback {
  // `body` is what follows the RTCP header, without padding. Empty when malformed: no packets,
  // chunks that do not cover packet_count, deltas that do not fit, a reserved status symbol.
  static std::optional<TransportFeedback> Parse(std::span<const uint8_t> body);

  uint32_t sender_ssrc = 0;
  uint32_t media_ssrc = 0;
  uint16_t base_sequence = 0;
  uint16_t packet_count = 0;
  int32_t reference_time = 0;  // Multiples of 64 ms, 24 bits signed.
  uint8_t feedback_count = 0;
  std::span<const uint8_t> chunks_and_deltas;  // Without what may stand behind the last delta.

  struct Arrival {
    uint16_t sequence = 0;
    bool received = false;
    // Of the receiver's clock, since its reference zero. Meaningless when not received.
    TimeDelta time;
  };
  // The i-th call of Next gives packet base_sequence + i; empty after packet_count of them. The
  // feedback must come from Parse and outlive the cursor.
  class Cursor {
   public:
    explicit Cursor(const TransportFeedback& feedback);
    std::optional<Arrival> Next();
    // The next packet that was received; those missed before it are passed over, runs of them in
    // one step. A few bytes can claim 65535 missing packets: walking with this costs no more than
    // the bytes of the feedback are worth, walking with Next costs packet_count.
    std::optional<Arrival> NextReceived();

   private:
    uint8_t NextSymbol();
    const TransportFeedback& feedback_;
    size_t chunk_at_ = 0;
    size_t delta_at_ = 0;
    uint16_t index_ = 0;
    uint16_t left_in_chunk_ = 0;
    uint16_t chunk_ = 0;
    uint8_t symbol_in_chunk_ = 0;
    TimeDelta time_;
  };
};

// RFC 3611: receiver reference time (RRTR) and delay since last RR (DLRR), by which a receiver
// that sends no media learns its round-trip time. The first block of each type counts.
struct ExtendedReport {
  uint32_t sender_ssrc = 0;
  std::optional<NtpTime> receiver_reference_time;
  std::span<const uint8_t> dlrr;  // 12 bytes each: SSRC, last RR, delay since last RR.
  struct Dlrr {
    uint32_t ssrc = 0;
    uint32_t last_receiver_report = 0;
    uint32_t delay_since_last_report = 0;
  };
  size_t dlrr_size() const { return dlrr.size() / 12; }
  Dlrr dlrr_at(size_t i) const {
    const uint8_t* p = dlrr.data() + 12 * i;
    return {ReadU32(p), ReadU32(p + 4), ReadU32(p + 8)};
  }
};

// Well-formed, of a type nobody here reads (APP, slice loss, ...).
struct UnknownRtcp {
  uint8_t packet_type = 0;
};

using RtcpPacket =
    std::variant<SenderReport, ReceiverReport, SourceDescription, Bye, GenericNack,
                 PictureLossIndication, FullIntraRequest, ReceiverEstimatedMaxBitrate,
                 TransportFeedback, ExtendedReport, UnknownRtcp>;

// Walks a compound (or reduced-size, RFC 5506) packet.
class RtcpReader {
 public:
  explicit RtcpReader(std::span<const uint8_t> datagram) : rest_(datagram) {}
  // The next packet; empty at the end or at the first malformed one.
  std::optional<RtcpPacket> Next();
  // True once a malformed packet was met. What came before it has been returned and counts.
  bool malformed() const { return malformed_; }

 private:
  std::span<const uint8_t> rest_;
  bool malformed_ = false;
};

// ---- Writing. Each appends one packet to `out`; out.ok() tells whether it fit. What does not fit
// the buffer or the format's own limits is not written at all. ----

struct SenderReportFields {
  uint32_t ssrc = 0;
  NtpTime ntp;
  uint32_t rtp_timestamp = 0;
  uint32_t packet_count = 0;
  uint32_t octet_count = 0;
};
// A report packet holds 31 blocks; receiver reports with the others follow it (RFC 3550, 6.4.2).
void WriteSenderReport(const SenderReportFields& report, std::span<const ReportBlock> blocks,
                       ByteWriter& out);
void WriteReceiverReport(uint32_t sender_ssrc, std::span<const ReportBlock> blocks,
                         ByteWriter& out);
// One chunk with one CNAME of at most 255 bytes (RFC 3550, 6.5.1).
void WriteCname(uint32_t ssrc, std::string_view cname, ByteWriter& out);
// At most 31 of them.
void WriteBye(std::span<const uint32_t> ssrcs, ByteWriter& out);
// `sequences` ascending (modulo 2^16); they are packed into as few items as possible. Nothing is
// written for none.
void WriteNack(uint32_t sender_ssrc, uint32_t media_ssrc, std::span<const uint16_t> sequences,
               ByteWriter& out);
void WritePli(uint32_t sender_ssrc, uint32_t media_ssrc, ByteWriter& out);
void WriteFir(uint32_t sender_ssrc, uint32_t media_ssrc, uint8_t command_sequence, ByteWriter& out);
// At most 255 `ssrcs`. The rate is rounded down to 18 significant bits.
void WriteRemb(uint32_t sender_ssrc, uint64_t bitrate_bps, std::span<const uint32_t> ssrcs,
               ByteWriter& out);
void WriteReceiverReferenceTime(uint32_t sender_ssrc, NtpTime ntp, ByteWriter& out);
// Nothing is written for no items.
void WriteDlrr(uint32_t sender_ssrc, std::span<const ExtendedReport::Dlrr> items, ByteWriter& out);

// One packet's arrival for WriteTransportFeedback.
struct FeedbackArrival {
  int64_t sequence = 0;  // Unwrapped.
  TimeDelta time;        // Since the receiver's reference zero; never negative.

  template <typename F>
  void Fields(F&& f) {
    f(sequence, time);
  }
};
struct FeedbackHeader {
  uint32_t sender_ssrc = 0;
  uint32_t media_ssrc = 0;
  int64_t base_sequence = 0;  // Unwrapped.
  uint8_t feedback_count = 0;
};
// Writes one feedback packet for base_sequence up to the last of `arrivals`, which is sorted by
// sequence and not empty. Packets not listed are reported as not received. Stops early when the
// packet would not fit `out`, when a delta does not fit 16 bits, or after 65535 packets; returns
// how many of `arrivals` were reported, so that the caller goes on with a next packet. Returns 0
// and writes nothing when not even the first goes in: out.ok() is false if for want of room, true
// if it is not within 65535 packets from base_sequence on.
size_t WriteTransportFeedback(const FeedbackHeader& header,
                              std::span<const FeedbackArrival> arrivals, ByteWriter& out);

}  // namespace vigil::rtp
