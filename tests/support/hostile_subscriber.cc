#include "tests/support/hostile_subscriber.h"

#include <algorithm>
#include <array>
#include <utility>

#include "gateway/base/byte_io.h"
#include "gateway/rtp/packet.h"

namespace vigil::sim {

HostileSubscriber::HostileSubscriber(const SubscriberOptions& options)
    : ScriptedSubscriber(options), rng_(options.client.seed ^ 0xbad) {}

void HostileSubscriber::Begin(TimeDelta interval, std::vector<Attack> attacks) {
  interval_ = interval;
  attacks_ = std::move(attacks);
}

Timestamp HostileSubscriber::NextDeadline() const {
  const Timestamp next = ScriptedSubscriber::NextDeadline();
  if (!transport().connected() || interval_.IsInfinite()) return next;
  return Earliest(next, next_attack_);
}

void HostileSubscriber::HandleTimers(Timestamp now, ClientOutput& out) {
  ScriptedSubscriber::HandleTimers(now, out);
  if (!transport().connected() || interval_.IsInfinite() || now < next_attack_) return;
  next_attack_ = now + interval_;
  const auto count = static_cast<uint64_t>(Attack::kCount);
  Send(attacks_.empty() ? static_cast<Attack>(rng_.Below(count))
                        : attacks_[rng_.Below(attacks_.size())],
       out);
}

void HostileSubscriber::Send(Attack attack, ClientOutput& out) {
  if (attack == Attack::kMedia) {
    std::array<uint8_t, 100> bytes;
    rng_.Fill(bytes);
    bytes[0] = 0x80;
    ++media_sequence_;
    bytes[2] = static_cast<uint8_t>(media_sequence_ >> 8);
    bytes[3] = static_cast<uint8_t>(media_sequence_);
    // Few SSRCs: what a client may make us remember is bounded, and tested elsewhere.
    ByteWriter(std::span(bytes).subspan(8, 4)).U32(static_cast<uint32_t>(77 + rng_.Below(3)));
    if (rng_.Chance(0.1)) transport().SendRtp(bytes, out);
    return;
  }
  transport().SendRtcp(Make(attack), out);
}

uint32_t HostileSubscriber::AnySsrc() {
  switch (rng_.Below(3)) {
    case 0:
      return ssrc(rng_.Below(slot_count()));
    case 1:
      return static_cast<uint32_t>(rng_.Next());
    default:  // Near the SSRCs of the other subscribers.
      return ssrc(0) + static_cast<uint32_t>(rng_.Between(-1024, 1024));
  }
}

void HostileSubscriber::WriteStrangeReports(ByteWriter& out) {
  std::vector<rtp::ReportBlock> blocks(20);
  for (rtp::ReportBlock& block : blocks) {
    block = {.ssrc = AnySsrc(),
             .fraction_lost = 255,
             .cumulative_lost = static_cast<int32_t>(rng_.Between(-0x800000, 0x7fffff)),
             .extended_highest_sequence = static_cast<uint32_t>(rng_.Next()),
             .jitter = static_cast<uint32_t>(rng_.Next()),
             .last_sender_report = static_cast<uint32_t>(rng_.Next()),
             .delay_since_last_report = static_cast<uint32_t>(rng_.Next())};
  }
  rtp::WriteSenderReport({.ssrc = AnySsrc(),
                          .ntp = rtp::NtpTime(rng_.Next()),
                          .rtp_timestamp = static_cast<uint32_t>(rng_.Next())},
                         blocks, out);
  const std::array<uint32_t, 3> ssrcs = {AnySsrc(), AnySsrc(), own_ssrc()};
  rtp::WriteBye(ssrcs, out);
  const std::array<rtp::ExtendedReport::Dlrr, 2> items = {
      {{AnySsrc(), static_cast<uint32_t>(rng_.Next()), 0}, {own_ssrc(), 1, 0xffffffff}}};
  rtp::WriteDlrr(own_ssrc(), items, out);
  rtp::WriteReceiverReferenceTime(own_ssrc(), rtp::NtpTime(rng_.Next()), out);
  rtp::WriteRemb(own_ssrc(), 0, ssrcs, out);
}

std::vector<uint8_t> HostileSubscriber::Make(Attack attack) {
  std::array<uint8_t, 1400> buffer;
  ByteWriter out(buffer);
  rtp::WriteReceiverReport(own_ssrc(), {}, out);
  const size_t slot = rng_.Below(slot_count());
  switch (attack) {
    case Attack::kNackFlood: {
      std::vector<uint16_t> sequences;
      for (int i = 250; i > 0; --i) {
        sequences.push_back(static_cast<uint16_t>(highest(slot) - i + 5));
      }
      for (int i = 0; i < 6; ++i) rtp::WriteNack(own_ssrc(), ssrc(slot), sequences, out);
      break;
    }
    case Attack::kKeyframeFlood:
      for (int i = 0; i < 20; ++i) {
        rtp::WritePli(own_ssrc(), ssrc(slot), out);
        rtp::WriteFir(own_ssrc(), ssrc(slot), static_cast<uint8_t>(rng_.Next()), out);
      }
      break;
    case Attack::kForeignStreams:
      for (int i = 0; i < 8; ++i) {
        const std::array<uint16_t, 2> two = {static_cast<uint16_t>(rng_.Below(0x8000)), 0x9000};
        rtp::WriteNack(own_ssrc(), AnySsrc(), two, out);
        rtp::WritePli(own_ssrc(), AnySsrc(), out);
        rtp::WriteFir(own_ssrc(), AnySsrc(), 1, out);
      }
      break;
    case Attack::kStrangeReports:
      WriteStrangeReports(out);
      break;
    case Attack::kFeedback:
      // Run-length chunks of packets that did not arrive: 12 bytes claim 65535 of them.
      out.U32(0x8fcd0009);
      out.U32(own_ssrc());
      out.U32(AnySsrc());
      out.U16(static_cast<uint16_t>(rng_.Next()));
      out.U16(0xffff);
      out.U32(static_cast<uint32_t>(rng_.Next()));
      for (int i = 0; i < 8; ++i) out.U16(0x1fff);
      out.U32(0x1fff1fff);
      break;
    default: {
      const auto words = static_cast<uint16_t>(rng_.Below(40));
      out.U8(static_cast<uint8_t>(0x80 | rng_.Below(32)));
      out.U8(static_cast<uint8_t>(200 + rng_.Below(8)));
      out.U16(static_cast<uint16_t>(words + (rng_.Chance(0.3) ? rng_.Below(20) : 0)));
      for (int i = 0; i < words; ++i) out.U32(static_cast<uint32_t>(rng_.Next()));
      break;
    }
  }
  const std::span<const uint8_t> bytes = out.written();
  return {bytes.begin(), bytes.end()};
}

}  // namespace vigil::sim
