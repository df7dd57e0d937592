#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "gateway/base/byte_io.h"
#include "gateway/base/check.h"
#include "gateway/base/time.h"
#include "gateway/rtp/ntp_time.h"
#include "gateway/rtp/rtcp.h"

// Reads any bytes as RTCP, walks every list of what was read, writes it again and checks that what
// was written reads as the same. What the writers do not write (the reason of a BYE, the SSRCs of a
// REMB, losses after the last arrival) is left out of the comparison.

namespace vigil::rtp {
namespace {

std::array<uint8_t, 1 << 19> g_buffer;

// The only packet of what `write` wrote.
template <typename T, typename F>
T ReadBack(F&& write) {
  ByteWriter out(g_buffer);
  write(out);
  VIGIL_CHECK(out.ok());
  VIGIL_CHECK(out.position() % 4 == 0);
  RtcpReader reader(out.written());
  const std::optional<RtcpPacket> packet = reader.Next();
  VIGIL_CHECK(packet && std::holds_alternative<T>(*packet));
  VIGIL_CHECK(!reader.Next() && !reader.malformed());
  return std::get<T>(*packet);
}

bool Same(const ReportBlock& a, const ReportBlock& b) {
  return a.ssrc == b.ssrc && a.fraction_lost == b.fraction_lost &&
         a.cumulative_lost == b.cumulative_lost &&
         a.extended_highest_sequence == b.extended_highest_sequence && a.jitter == b.jitter &&
         a.last_sender_report == b.last_sender_report &&
         a.delay_since_last_report == b.delay_since_last_report;
}

std::vector<ReportBlock> Blocks(const ReportBlocks& blocks) {
  std::vector<ReportBlock> all;
  for (size_t i = 0; i < blocks.size(); ++i) all.push_back(blocks[i]);
  return all;
}

void CheckSame(const ReportBlocks& a, const ReportBlocks& b) {
  VIGIL_CHECK(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) VIGIL_CHECK(Same(a[i], b[i]));
}

void Rewrite(const SenderReport& report) {
  const std::vector<ReportBlock> blocks = Blocks(report.blocks);
  const auto back = ReadBack<SenderReport>([&](ByteWriter& out) {
    WriteSenderReport({report.sender_ssrc, report.ntp, report.rtp_timestamp, report.packet_count,
                       report.octet_count},
                      blocks, out);
  });
  VIGIL_CHECK(back.sender_ssrc == report.sender_ssrc && back.ntp == report.ntp);
  VIGIL_CHECK(back.rtp_timestamp == report.rtp_timestamp);
  VIGIL_CHECK(back.packet_count == report.packet_count);
  VIGIL_CHECK(back.octet_count == report.octet_count);
  CheckSame(back.blocks, report.blocks);
}

void Rewrite(const ReceiverReport& report) {
  const std::vector<ReportBlock> blocks = Blocks(report.blocks);
  const auto back = ReadBack<ReceiverReport>(
      [&](ByteWriter& out) { WriteReceiverReport(report.sender_ssrc, blocks, out); });
  VIGIL_CHECK(back.sender_ssrc == report.sender_ssrc);
  CheckSame(back.blocks, report.blocks);
}

void Rewrite(const Bye& bye) {
  std::vector<uint32_t> ssrcs;
  for (size_t i = 0; i < bye.size(); ++i) ssrcs.push_back(bye[i]);
  const auto back = ReadBack<Bye>([&](ByteWriter& out) { WriteBye(ssrcs, out); });
  VIGIL_CHECK(std::ranges::equal(back.ssrcs, bye.ssrcs));
}

void Rewrite(const GenericNack& nack) {
  std::vector<uint16_t> sequences;
  nack.ForEach([&](uint16_t sequence) { sequences.push_back(sequence); });
  const auto back = ReadBack<GenericNack>(
      [&](ByteWriter& out) { WriteNack(nack.sender_ssrc, nack.media_ssrc, sequences, out); });
  VIGIL_CHECK(back.sender_ssrc == nack.sender_ssrc && back.media_ssrc == nack.media_ssrc);
  // The same set: what was read may be unsorted and may repeat itself.
  std::set<uint16_t> named;
  back.ForEach([&](uint16_t sequence) { named.insert(sequence); });
  VIGIL_CHECK(named == std::set<uint16_t>(sequences.begin(), sequences.end()));
}

void Rewrite(const PictureLossIndication& pli) {
  const auto back = ReadBack<PictureLossIndication>(
      [&](ByteWriter& out) { WritePli(pli.sender_ssrc, pli.media_ssrc, out); });
  VIGIL_CHECK(back.sender_ssrc == pli.sender_ssrc && back.media_ssrc == pli.media_ssrc);
}

void Rewrite(const FullIntraRequest& request) {
  for (size_t i = 0; i < request.size(); ++i) {
    const auto back = ReadBack<FullIntraRequest>([&](ByteWriter& out) {
      WriteFir(request.sender_ssrc, request.ssrc(i), request.command(i), out);
    });
    VIGIL_CHECK(back.sender_ssrc == request.sender_ssrc && back.size() == 1);
    VIGIL_CHECK(back.ssrc(0) == request.ssrc(i) && back.command(0) == request.command(i));
  }
}

void Rewrite(const ReceiverEstimatedMaxBitrate& remb) {
  const std::vector<uint32_t> ssrcs(3, remb.sender_ssrc);
  const auto back = ReadBack<ReceiverEstimatedMaxBitrate>(
      [&](ByteWriter& out) { WriteRemb(remb.sender_ssrc, remb.bitrate_bps, ssrcs, out); });
  VIGIL_CHECK(back.sender_ssrc == remb.sender_ssrc && back.bitrate_bps == remb.bitrate_bps);
}

void Rewrite(const ExtendedReport& report) {
  if (report.receiver_reference_time) {
    const auto back = ReadBack<ExtendedReport>([&](ByteWriter& out) {
      WriteReceiverReferenceTime(report.sender_ssrc, *report.receiver_reference_time, out);
    });
    VIGIL_CHECK(back.sender_ssrc == report.sender_ssrc && back.dlrr_size() == 0);
    VIGIL_CHECK(back.receiver_reference_time == report.receiver_reference_time);
  }
  if (report.dlrr_size() == 0) return;
  std::vector<ExtendedReport::Dlrr> items;
  for (size_t i = 0; i < report.dlrr_size(); ++i) items.push_back(report.dlrr_at(i));
  const auto back =
      ReadBack<ExtendedReport>([&](ByteWriter& out) { WriteDlrr(report.sender_ssrc, items, out); });
  VIGIL_CHECK(back.sender_ssrc == report.sender_ssrc && !back.receiver_reference_time);
  VIGIL_CHECK(std::ranges::equal(back.dlrr, report.dlrr));
}

// Both walks of the cursor; they must agree.
std::vector<FeedbackArrival> Arrivals(const TransportFeedback& feedback) {
  std::vector<FeedbackArrival> arrivals;
  TransportFeedback::Cursor every(feedback);
  TransportFeedback::Cursor received(feedback);
  int64_t sequence = feedback.base_sequence;
  for (; const auto arrival = every.Next(); ++sequence) {
    VIGIL_CHECK(arrival->sequence == static_cast<uint16_t>(sequence));
    if (!arrival->received) continue;
    const auto same = received.NextReceived();
    VIGIL_CHECK(same && same->sequence == arrival->sequence && same->time == arrival->time);
    arrivals.push_back({sequence, arrival->time});
  }
  VIGIL_CHECK(sequence - feedback.base_sequence == feedback.packet_count);
  VIGIL_CHECK(!received.NextReceived());
  return arrivals;
}

void Rewrite(const TransportFeedback& feedback) {
  // The writer takes times from zero on: so many cycles of the reference time later.
  constexpr TimeDelta kCycle = TimeDelta::Millis(64) * (1 << 24);
  constexpr TimeDelta kShift = kCycle * 600;
  std::vector<FeedbackArrival> arrivals = Arrivals(feedback);
  if (arrivals.empty()) return;
  for (FeedbackArrival& arrival : arrivals) arrival.time += kShift;
  const auto back = ReadBack<TransportFeedback>([&](ByteWriter& out) {
    const size_t n = WriteTransportFeedback({feedback.sender_ssrc, feedback.media_ssrc,
                                             feedback.base_sequence, feedback.feedback_count},
                                            arrivals, out);
    VIGIL_CHECK(n == arrivals.size());
  });
  VIGIL_CHECK(back.sender_ssrc == feedback.sender_ssrc && back.media_ssrc == feedback.media_ssrc);
  VIGIL_CHECK(back.base_sequence == feedback.base_sequence);
  VIGIL_CHECK(back.feedback_count == feedback.feedback_count);
  const std::vector<FeedbackArrival> again = Arrivals(back);
  VIGIL_CHECK(again.size() == arrivals.size());
  for (size_t i = 0; i < again.size(); ++i) {
    VIGIL_CHECK(again[i].sequence == arrivals[i].sequence);
    VIGIL_CHECK((arrivals[i].time - again[i].time).ns() % kCycle.ns() == 0);
    VIGIL_CHECK(arrivals[i].time - again[i].time == arrivals[0].time - again[0].time);
  }
}

void Rewrite(const SourceDescription&) {}
void Rewrite(const UnknownRtcp&) {}

}  // namespace
}  // namespace vigil::rtp

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vigil::rtp;
  RtcpReader reader({data, size});
  while (const std::optional<RtcpPacket> packet = reader.Next()) {
    std::visit([](const auto& known) { Rewrite(known); }, *packet);
  }
  VIGIL_CHECK(!reader.Next());
  return 0;
}
