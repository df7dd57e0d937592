#include "tests/support/scripted_subscriber.h"

#include <algorithm>
#include <array>
#include <utility>
#include <variant>

#include "gateway/base/check.h"

namespace vigil::sim {
namespace {

constexpr TimeDelta kTick = TimeDelta::Millis(10);
constexpr TimeDelta kReportInterval = TimeDelta::Millis(1000);
constexpr TimeDelta kTransportFeedbackInterval = TimeDelta::Millis(100);
constexpr TimeDelta kReorderingWait = TimeDelta::Millis(10);
constexpr TimeDelta kRequestInterval = TimeDelta::Millis(300);
// As libwebrtc: a frame is waited for this long before a keyframe is asked for.
constexpr TimeDelta kPatience = TimeDelta::Millis(250);
constexpr TimeDelta kGiveUp = TimeDelta::Millis(1000);
constexpr int64_t kLargestGap = 1000;
constexpr int kMaxRequests = 10;

bool SameSource(const PayloadStamp& a, const PayloadStamp& b) {
  return a.feed == b.feed && a.layer == b.layer && a.epoch == b.epoch;
}

}  // namespace

ScriptedSubscriber::ScriptedSubscriber(const SubscriberOptions& options)
    : ScriptedClient(options.client),
      options_(options),
      extensions_(AllExtensions()),
      rng_(options.client.seed ^ 0x5b5b),
      own_ssrc_(static_cast<uint32_t>(0x7000'0000 + options.client.peer.value())) {
  if (!options_.playout_delay) {
    rtp::ExtensionMap without;
    for (size_t i = 0; i < rtp::kExtensionTypeCount; ++i) {
      const auto type = static_cast<rtp::ExtensionType>(i);
      if (type == rtp::ExtensionType::kPlayoutDelay) continue;
      VIGIL_CHECK(without.Add(type, extensions_.IdOf(type)));
    }
    extensions_ = without;
  }
  const auto first = static_cast<uint32_t>(0x100'0000 + options_.client.peer.value() * 256);
  for (size_t i = 0; i < options_.slots.size(); ++i) {
    Slot& slot = slots_.emplace_back();
    slot.track.kind = options_.slots[i].kind;
    slot.track.mid = std::to_string(i);
    slot.track.ssrc = first + static_cast<uint32_t>(2 * i);
    slot.track.feedback = AllFeedback();
    const bool video = slot.track.kind == rtp::MediaKind::kVideo;
    if (video) slot.track.rtx_ssrc = slot.track.ssrc + 1;
    slot.track.feedback.nack = video;
    const std::vector<rtp::Codec> sound = {kOpus};
    for (const rtp::Codec& codec : video ? options_.slots[i].codecs : sound) {
      slot.track.payloads.push_back(PayloadOf(codec));
    }
    transport().ExpectStream(slot.track.ssrc);
    if (video) transport().ExpectStream(slot.track.rtx_ssrc);
  }
}

sfu::CreatePeer ScriptedSubscriber::Describe() const {
  sfu::CreatePeer command{.peer = peer(),
                          .group = options_.client.group,
                          .site = options_.client.site,
                          .transport = transport().Describe(),
                          .media = {},
                          .publishes = FeedId()};
  command.media.extensions = extensions_;
  command.media.local_ssrc = static_cast<uint32_t>(0x20000 + peer().value());
  command.media.cname = "gateway";
  for (const Slot& slot : slots_) command.media.send.push_back(slot.track);
  return command;
}

void ScriptedSubscriber::ForgetGaps() {
  for (Slot& slot : slots_) slot.experience.longest_gap = TimeDelta::Zero();
}

Timestamp ScriptedSubscriber::NextDeadline() const {
  if (!transport().connected()) return transport().next_check();
  return Earliest(transport().next_check(), next_tick_);
}

void ScriptedSubscriber::HandleTimers(Timestamp now, ClientOutput& out) {
  transport().SendCheckIfDue(now, out);
  if (!transport().connected() || now < next_tick_) return;
  if (next_tick_.IsLongAgo()) {
    next_tick_ = now + TimeDelta::Micros(rng_.Between(0, 10'000));
    next_report_ = now + TimeDelta::Millis(rng_.Between(200, 800));
    next_transport_feedback_ = now + TimeDelta::Millis(rng_.Between(20, 100));
    return;
  }
  next_tick_ = now + kTick;
  for (Slot& slot : slots_) {
    if (slot.track.kind != rtp::MediaKind::kVideo) continue;
    Play(slot, now);
    SendFeedback(slot, now, out);
  }
  if (!options_.sends_reports) return;
  if (now >= next_report_) {
    next_report_ = now + kReportInterval;
    SendReports(now, out);
  }
  if (now >= next_transport_feedback_) {
    next_transport_feedback_ = now + kTransportFeedbackInterval;
    SendTransportFeedback(now, out);
  }
}

void ScriptedSubscriber::HandleDatagram(Packet& packet, Timestamp now, ClientOutput& out) {
  switch (transport().Receive(packet, now)) {
    case ClientTransport::Kind::kRtp:
      HandleRtp(packet.bytes(), now);
      break;
    case ClientTransport::Kind::kRtcp:
      HandleRtcp(packet.bytes(), now);
      break;
    case ClientTransport::Kind::kOther:
      break;
  }
  if (next_tick_.IsLongAgo()) HandleTimers(now, out);
}

void ScriptedSubscriber::HandleRtp(std::span<const uint8_t> bytes, Timestamp now) {
  const std::optional<rtp::PacketView> view = rtp::ParsePacket(bytes);
  if (!view) return;
  const rtp::HeaderExtensions extensions = rtp::ParseExtensions(*view, extensions_);
  if (extensions.transport_sequence) {
    const int64_t sequence = transport_sequences_.Unwrap(*extensions.transport_sequence);
    if (next_base_ < 0) next_base_ = sequence;
    if (sequence >= next_base_) arrivals_.emplace(sequence, now);
  }
  for (Slot& slot : slots_) {
    const bool repaired = slot.track.rtx_ssrc != 0 && view->header.ssrc == slot.track.rtx_ssrc;
    if (!repaired && view->header.ssrc != slot.track.ssrc) continue;
    std::span<const uint8_t> payload = view->payload;
    uint16_t sequence = view->header.sequence;
    if (repaired) {
      if (payload.size() < 2) return;
      sequence = ReadU16(payload.data());
      payload = payload.subspan(2);
    }
    for (const rtp::PayloadMapping& mapping : slot.track.payloads) {
      const bool matches = repaired ? mapping.rtx_payload_type == view->header.payload_type
                                    : mapping.payload_type == view->header.payload_type;
      if (!matches) continue;
      const rtp::CodecType codec = mapping.codec.type;
      OnPacket(slot, sequence, {now, ReadStamp(codec, payload), codec}, repaired);
    }
    if (slot.track.kind == rtp::MediaKind::kVideo) Play(slot, now);
  }
}

void ScriptedSubscriber::OnPacket(Slot& slot, uint16_t sequence, Arrived arrived, bool repaired) {
  const int64_t unwrapped =
      repaired ? slot.sequences.Peek(sequence) : slot.sequences.Unwrap(sequence);
  if (!slot.base) {
    if (repaired) return;
    slot.base = unwrapped;
    slot.next = unwrapped;
    slot.highest = unwrapped - 1;
  }
  if (!repaired) ++slot.received;
  slot.missing.erase(unwrapped);
  const bool known = unwrapped < slot.next || slot.buffer.contains(unwrapped);
  if (known) return;
  ++slot.experience.packets;
  if (repaired) ++slot.experience.repaired;
  if (slot.track.kind == rtp::MediaKind::kAudio) {
    Seen(slot, arrived, arrived.at);
    slot.highest = std::max(slot.highest, unwrapped);
    return;
  }
  if (unwrapped > slot.highest + kLargestGap) {
    // Beyond repair: libwebrtc drops its list and begins anew.
    slot.missing.clear();
    slot.buffer.clear();
    slot.next = unwrapped;
    slot.frame.reset();
    slot.decoded.reset();
    slot.wants_keyframe = true;
  } else {
    for (int64_t s = slot.highest + 1; s < unwrapped; ++s) {
      slot.missing.emplace(s, Missing{.since = arrived.at});
    }
  }
  slot.highest = std::max(slot.highest, unwrapped);
  slot.buffer.emplace(unwrapped, std::move(arrived));
}

void ScriptedSubscriber::Seen(Slot& slot, const Arrived& arrived, Timestamp now) {
  SlotExperience& experience = slot.experience;
  if (!experience.last_frame_at.IsLongAgo()) {
    experience.longest_gap = std::max(experience.longest_gap, now - experience.last_frame_at);
  }
  experience.last_frame_at = now;
  ++experience.frames;
  experience.codec = arrived.codec;
  if (arrived.stamp) {
    experience.feed = arrived.stamp->feed;
    experience.layer = arrived.stamp->layer;
  }
}

void ScriptedSubscriber::Play(Slot& slot, Timestamp now) {
  if (!slot.base) return;
  for (;;) {
    const auto it = slot.buffer.find(slot.next);
    if (it == slot.buffer.end()) break;
    PlayPacket(slot, it->second, now);
    slot.buffer.erase(it);
    ++slot.next;
    slot.blocked_since = Timestamp::Never();
  }
  if (!slot.buffer.empty()) Unblock(slot, now);
}

void ScriptedSubscriber::Unblock(Slot& slot, Timestamp now) {
  if (slot.blocked_since.IsNever()) slot.blocked_since = now;
  const TimeDelta blocked = now - slot.blocked_since;
  if (blocked >= kPatience && SkipToKeyframe(slot)) return;
  if (blocked >= kPatience) slot.wants_keyframe = true;
  if (blocked >= kGiveUp) {
    slot.next = slot.buffer.begin()->first;
    slot.frame.reset();
    slot.decoded.reset();
    slot.blocked_since = Timestamp::Never();
  }
}

// True if a whole keyframe lies behind the gap: playing goes on there.
bool ScriptedSubscriber::SkipToKeyframe(Slot& slot) {
  for (const auto& [sequence, arrived] : slot.buffer) {
    if (!arrived.stamp || !arrived.stamp->keyframe || !arrived.stamp->first()) continue;
    bool whole = true;
    for (int64_t i = 1; i < arrived.stamp->count; ++i) {
      whole = whole && slot.buffer.contains(sequence + i);
    }
    if (!whole) continue;
    slot.next = sequence;
    slot.buffer.erase(slot.buffer.begin(), slot.buffer.find(sequence));
    slot.missing.erase(slot.missing.begin(), slot.missing.lower_bound(sequence));
    slot.blocked_since = Timestamp::Never();
    return true;
  }
  return false;
}

void ScriptedSubscriber::PlayPacket(Slot& slot, const Arrived& arrived, Timestamp now) {
  if (!arrived.stamp) return;  // Padding.
  const PayloadStamp& stamp = *arrived.stamp;
  if (stamp.first()) {
    slot.frame = stamp;
  } else if (slot.frame && SameSource(*slot.frame, stamp) && slot.frame->frame == stamp.frame &&
             slot.frame->index + 1 == stamp.index) {
    slot.frame = stamp;
  } else {
    slot.frame.reset();
    slot.wants_keyframe = true;
    return;
  }
  if (stamp.last()) OnFrame(slot, arrived, now);
}

void ScriptedSubscriber::OnFrame(Slot& slot, const Arrived& last, Timestamp now) {
  const PayloadStamp& stamp = *last.stamp;
  slot.frame.reset();
  const bool continues =
      slot.decoded && SameSource(*slot.decoded, stamp) && slot.decoded->frame + 1 == stamp.frame;
  if (!stamp.keyframe && !continues) {
    ++slot.experience.broken_frames;
    slot.wants_keyframe = true;
    return;
  }
  if (stamp.keyframe) slot.wants_keyframe = false;
  slot.decoded = stamp;
  Seen(slot, last, now);
}

void ScriptedSubscriber::SendFeedback(Slot& slot, Timestamp now, ClientOutput& out) {
  std::array<uint8_t, 1400> buffer;
  ByteWriter writer(buffer);
  rtp::WriteReceiverReport(own_ssrc_, {}, writer);
  const size_t empty = writer.position();
  std::vector<uint16_t> sequences;
  std::erase_if(slot.missing, [now](const auto& missing) {
    return now - missing.second.since > kGiveUp || missing.second.requests >= kMaxRequests;
  });
  for (auto& [sequence, missing] : slot.missing) {
    if (!options_.sends_nack || sequences.size() >= 200) break;
    if (now - missing.since < kReorderingWait) continue;
    if (now - missing.asked < std::max(round_trip_, TimeDelta::Millis(20))) continue;
    missing.asked = now;
    ++missing.requests;
    sequences.push_back(static_cast<uint16_t>(sequence));
  }
  if (!sequences.empty()) {
    rtp::WriteNack(own_ssrc_, slot.track.ssrc, sequences, writer);
    slot.experience.nacked += sequences.size();
  }
  if (slot.wants_keyframe && now - slot.last_request >= kRequestInterval) {
    slot.last_request = now;
    ++slot.experience.keyframe_requests;
    rtp::WritePli(own_ssrc_, slot.track.ssrc, writer);
  }
  VIGIL_CHECK(writer.ok());
  if (writer.position() > empty) transport().SendRtcp(writer.written(), out);
}

void ScriptedSubscriber::SendReports(Timestamp now, ClientOutput& out) {
  std::vector<rtp::ReportBlock> blocks;
  for (const Slot& slot : slots_) {
    if (!slot.base) continue;
    rtp::ReportBlock block;
    block.ssrc = slot.track.ssrc;
    block.extended_highest_sequence = static_cast<uint32_t>(slot.highest);
    block.cumulative_lost =
        static_cast<int32_t>(slot.highest - *slot.base + 1 - static_cast<int64_t>(slot.received));
    block.last_sender_report = slot.last_sender_report;
    if (slot.last_sender_report != 0) {
      block.delay_since_last_report = rtp::ToCompactNtp(now - slot.last_sender_report_at);
    }
    blocks.push_back(block);
  }
  std::array<uint8_t, 1400> buffer;
  ByteWriter writer(buffer);
  rtp::WriteReceiverReport(own_ssrc_, std::span(blocks).first(std::min<size_t>(blocks.size(), 31)),
                           writer);
  rtp::WriteCname(own_ssrc_, "client", writer);
  rtp::WriteReceiverReferenceTime(own_ssrc_, NtpAt(now), writer);
  VIGIL_CHECK(writer.ok());
  transport().SendRtcp(writer.written(), out);
}

void ScriptedSubscriber::SendTransportFeedback(Timestamp, ClientOutput& out) {
  if (arrivals_.empty()) return;
  std::vector<rtp::FeedbackArrival> arrivals;
  for (const auto& [sequence, at] : arrivals_) {
    arrivals.push_back({sequence, at - Timestamp()});
  }
  std::array<uint8_t, 1400> buffer;
  ByteWriter writer(buffer);
  const size_t reported = rtp::WriteTransportFeedback(
      {own_ssrc_, slots_.front().track.ssrc, next_base_, feedback_count_++}, arrivals, writer);
  if (reported > 0) {
    next_base_ = arrivals[reported - 1].sequence + 1;
    arrivals_.erase(arrivals_.begin(), arrivals_.lower_bound(next_base_));
    transport().SendRtcp(writer.written(), out);
  } else {
    next_base_ = arrivals.back().sequence + 1;
    arrivals_.clear();
  }
}

void ScriptedSubscriber::HandleRtcp(std::span<const uint8_t> compound, Timestamp now) {
  rtp::RtcpReader reader(compound);
  while (const std::optional<rtp::RtcpPacket> rtcp = reader.Next()) {
    if (const auto* report = std::get_if<rtp::SenderReport>(&*rtcp)) {
      for (Slot& slot : slots_) {
        if (slot.track.ssrc != report->sender_ssrc) continue;
        slot.last_sender_report = report->ntp.Compact();
        slot.last_sender_report_at = now;
      }
    } else if (const auto* xr = std::get_if<rtp::ExtendedReport>(&*rtcp)) {
      for (size_t i = 0; i < xr->dlrr_size(); ++i) {
        const rtp::ExtendedReport::Dlrr item = xr->dlrr_at(i);
        if (item.ssrc != own_ssrc_ || item.last_receiver_report == 0) continue;
        const uint32_t elapsed =
            NtpAt(now).Compact() - item.last_receiver_report - item.delay_since_last_report;
        if (elapsed < 0x80000000) round_trip_ = rtp::FromCompactNtp(elapsed);
      }
    }
  }
}

}  // namespace vigil::sim
