#include "tests/support/scripted_publisher.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>
#include <variant>

#include "gateway/base/check.h"
#include "gateway/rtp/track_packet.h"

namespace vigil::sim {
namespace {

constexpr TimeDelta kAudioInterval = TimeDelta::Millis(20);
constexpr TimeDelta kReportInterval = TimeDelta::Millis(1000);

std::vector<uint8_t> MakeDatagram(const rtp::PacketHeader& header,
                                  const rtp::HeaderExtensions& extensions,
                                  const rtp::ExtensionMap& map, std::span<const uint8_t> payload) {
  std::vector<uint8_t> bytes(1500);
  const size_t size = rtp::WriteHeader(header, extensions, map, bytes, nullptr);
  VIGIL_CHECK(size > 0 && size + payload.size() <= bytes.size());
  std::copy(payload.begin(), payload.end(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
  bytes.resize(size + payload.size());
  return bytes;
}

}  // namespace

Timestamp SourceStream::CapturedAt(uint32_t timestamp) const {
  const auto units = static_cast<int64_t>(static_cast<int32_t>(timestamp - timestamp_base));
  const int64_t rate = rtp::ClockRateOf(codec.type);
  return started + TimeDelta::Nanos(units * 1'000'000 / rate * 1'000 +
                                    units * 1'000'000 % rate * 1'000 / rate);
}

ScriptedPublisher::ScriptedPublisher(const PublisherOptions& options)
    : ScriptedClient(options.client),
      options_(options),
      extensions_(AllExtensions()),
      rng_(options.client.seed ^ 0x9b15) {
  if (options_.audio) {
    Encoder& encoder = encoders_.emplace_back();
    encoder.payload_type = PayloadOf(kOpus).payload_type;
    encoder.mid = "0";
  }
  if (options_.video) {
    const size_t layers = std::max<size_t>(options_.video->rids.size(), 1);
    for (size_t i = 0; i < layers; ++i) {
      Encoder& encoder = encoders_.emplace_back();
      encoder.payload_type = PayloadOf(options_.video->codec).payload_type;
      encoder.rtx_payload_type = PayloadOf(options_.video->codec).rtx_payload_type;
      encoder.mid = "1";
      if (!options_.video->rids.empty()) encoder.rid = options_.video->rids[i];
    }
  }
  for (Encoder& encoder : encoders_) Start(encoder, Timestamp());
  transport_sequence_ = static_cast<uint16_t>(rng_.Next());
}

void ScriptedPublisher::Start(Encoder& encoder, Timestamp now) {
  if (encoder.stream) retired_.push_back(std::move(encoder.stream));
  encoder.stream = std::make_unique<SourceStream>();
  SourceStream& stream = *encoder.stream;
  const bool video = encoder.mid == "1";
  stream.kind = video ? rtp::MediaKind::kVideo : rtp::MediaKind::kAudio;
  stream.codec = video ? options_.video->codec : kOpus;
  const auto& rids = video ? options_.video->rids : std::vector<std::string>();
  stream.layer = static_cast<uint8_t>(
      rids.empty() ? 0 : std::find(rids.begin(), rids.end(), encoder.rid) - rids.begin());
  stream.epoch = epoch_;
  stream.ssrc = static_cast<uint32_t>(rng_.Next() | 1);
  stream.rtx_ssrc = encoder.rtx_payload_type ? static_cast<uint32_t>(rng_.Next() | 1) : 0;
  stream.timestamp_base = static_cast<uint32_t>(rng_.Next());
  stream.started = now;
  encoder.next_sequence = rng_.Between(1, 0x7000);
  encoder.next_rtx_sequence = rng_.Between(1, 0x7000);
  encoder.frame = 0;
  encoder.picture_id = static_cast<uint16_t>(rng_.Below(0x8000));
  encoder.tl0 = static_cast<uint8_t>(rng_.Next());
  encoder.frame_number = static_cast<uint16_t>(rng_.Next());
  encoder.keyframe_wanted = true;
  encoder.last_packet = Timestamp::LongAgo();
  encoder.packets = encoder.bytes = 0;
  encoder.history.clear();
}

void ScriptedPublisher::Restart(Timestamp now) {
  ++epoch_;
  for (Encoder& encoder : encoders_) Start(encoder, now);
}

sfu::CreatePeer ScriptedPublisher::Describe() const {
  sfu::CreatePeer command{.peer = peer(),
                          .group = options_.client.group,
                          .site = options_.client.site,
                          .transport = transport().Describe(),
                          .media = {},
                          .publishes = options_.feed};
  command.media.extensions = extensions_;
  command.media.local_ssrc = static_cast<uint32_t>(0x10000 + peer().value());
  command.media.cname = "gateway";
  const bool signal = options_.signal_ssrcs && (!options_.video || options_.video->rids.empty());
  for (const Encoder& encoder : encoders_) {
    if (encoder.stream->layer > 0) continue;
    rtp::ReceiveTrack& track = command.media.receive.emplace_back();
    track.kind = encoder.stream->kind;
    track.mid = encoder.mid;
    track.payloads = {PayloadOf(encoder.stream->codec)};
    track.feedback = AllFeedback();
    if (track.kind == rtp::MediaKind::kVideo) {
      track.rids = options_.video->rids;
    } else {
      track.feedback.nack = false;  // As Chromium offers sound.
    }
    if (signal) {
      track.ssrc = encoder.stream->ssrc;
      if (encoder.stream->rtx_ssrc != 0) track.rtx_ssrc = encoder.stream->rtx_ssrc;
    }
  }
  return command;
}

const SourceStream* ScriptedPublisher::FindStream(uint32_t ssrc) const {
  for (const Encoder& encoder : encoders_) {
    if (encoder.stream->ssrc == ssrc || encoder.stream->rtx_ssrc == ssrc) {
      return encoder.stream.get();
    }
  }
  for (const auto& stream : retired_) {
    if (stream->ssrc == ssrc || stream->rtx_ssrc == ssrc) return stream.get();
  }
  return nullptr;
}

const SourceStream* ScriptedPublisher::FindStream(const PayloadStamp& stamp) const {
  const auto is_it = [&stamp](const SourceStream& stream) {
    return stream.kind == stamp.kind && stream.layer == stamp.layer && stream.epoch == stamp.epoch;
  };
  for (const Encoder& encoder : encoders_) {
    if (is_it(*encoder.stream)) return encoder.stream.get();
  }
  for (const auto& stream : retired_) {
    if (is_it(*stream)) return stream.get();
  }
  return nullptr;
}

ScriptedPublisher::Encoder* ScriptedPublisher::FindEncoder(uint32_t ssrc) {
  for (Encoder& encoder : encoders_) {
    if (encoder.stream->ssrc == ssrc) return &encoder;
  }
  return nullptr;
}

Timestamp ScriptedPublisher::NextDeadline() const {
  Timestamp next = Earliest(transport().next_check(), next_report_);
  if (!transport().connected()) return next;
  if (options_.audio) next = Earliest(next, next_audio_);
  if (options_.video) next = Earliest(next, next_video_);
  return next;
}

void ScriptedPublisher::HandleTimers(Timestamp now, ClientOutput& out) {
  transport().SendCheckIfDue(now, out);
  if (!transport().connected()) return;
  if (next_audio_.IsLongAgo()) {
    // The encoder's phase is its own.
    next_audio_ = now + TimeDelta::Micros(rng_.Between(0, 20'000));
    next_video_ = now + TimeDelta::Micros(rng_.Between(0, 40'000));
    next_report_ = now + TimeDelta::Millis(rng_.Between(50, 400));
    for (Encoder& encoder : encoders_) encoder.stream->started = now;
  }
  if (options_.audio && now >= next_audio_) {
    next_audio_ = next_audio_ + kAudioInterval;
    if (!paused_) SendFrame(encoders_.front(), now, out);
  }
  if (options_.video && now >= next_video_) {
    next_video_ = next_video_ + TimeDelta::Micros(1'000'000 / options_.video->frames_per_second);
    for (Encoder& encoder : encoders_) {
      if (encoder.mid != "1" || encoder.stream->layer >= active_layers_) continue;
      if (!paused_) SendFrame(encoder, now, out);
    }
  }
  if (now >= next_report_) {
    next_report_ = now + kReportInterval;
    SendReports(now, out);
  }
}

void ScriptedPublisher::SendFrame(Encoder& encoder, Timestamp now, ClientOutput& out) {
  SourceStream& stream = *encoder.stream;
  const bool video = stream.kind == rtp::MediaKind::kVideo;
  const uint32_t rate = rtp::ClockRateOf(stream.codec.type);
  if (most_left_out_ > 0 && rng_.Chance(leaves_out_)) {
    encoder.next_sequence += rng_.Between(1, most_left_out_);
    // Most leaps with a keyframe, so that few of them are waited out.
    encoder.keyframe_wanted = encoder.keyframe_wanted || rng_.Chance(0.7);
  }
  PayloadStamp stamp{.feed = options_.feed,
                     .kind = stream.kind,
                     .layer = stream.layer,
                     .epoch = stream.epoch,
                     .keyframe = video && encoder.keyframe_wanted,
                     .frame = encoder.frame++};
  stamp.timestamp =
      stream.timestamp_base + static_cast<uint32_t>(rtp::ToRtpUnits(now - stream.started, rate));
  encoder.keyframe_wanted = false;
  encoder.picture_id = static_cast<uint16_t>((encoder.picture_id + 1) & 0x7fff);
  ++encoder.tl0;
  ++encoder.frame_number;
  stamp.picture_id = encoder.picture_id;
  stamp.tl0 = encoder.tl0;
  stamp.frame_number = encoder.frame_number;
  if (video) {
    const int most = options_.video->most_packets;
    stamp.count =
        static_cast<uint8_t>(stamp.keyframe ? rng_.Between(2, 2 * most) : rng_.Between(1, most));
  }
  for (uint8_t i = 0; i < stamp.count; ++i) {
    stamp.index = i;
    stamp.sequence = static_cast<int32_t>(encoder.next_sequence++);
    const auto most = static_cast<int64_t>(video ? options_.video->payload : 120);
    std::vector<uint8_t> payload(static_cast<size_t>(rng_.Between(kLeastPayload, most)));
    WritePayload(stream.codec.type, stamp, payload);
    SentPacket packet{.at = now,
                      .header = {.marker = video && stamp.last(),
                                 .payload_type = encoder.payload_type,
                                 .sequence = static_cast<uint16_t>(stamp.sequence),
                                 .timestamp = stamp.timestamp,
                                 .ssrc = stream.ssrc},
                      .payload = std::move(payload),
                      .dependency = {}};
    if (stream.codec.type == rtp::CodecType::kAv1) packet.dependency = MakeDependency(stamp);
    SendPacket(encoder, std::move(packet), encoder.rtx_payload_type.has_value(), out);
  }
  if (video && rng_.Chance(options_.video->padding)) {
    SendPadding(encoder, stamp.timestamp, now, out);
  }
}

void ScriptedPublisher::SendPadding(Encoder& encoder, uint32_t timestamp, Timestamp now,
                                    ClientOutput& out) {
  const int64_t sequence = encoder.next_sequence++;
  encoder.stream->padding.insert(sequence);
  rtp::HeaderExtensions extensions;
  extensions.transport_sequence = transport_sequence_++;
  std::vector<uint8_t> bytes = MakeDatagram({.marker = false,
                                             .payload_type = encoder.payload_type,
                                             .sequence = static_cast<uint16_t>(sequence),
                                             .timestamp = timestamp,
                                             .ssrc = encoder.stream->ssrc},
                                            extensions, extensions_, {});
  bytes[0] |= 0x20;
  bytes.resize(bytes.size() + 200);
  bytes.back() = 200;
  encoder.history[sequence] = {.at = now, .header = {}, .payload = {}, .dependency = {}};
  ++packets_sent_;
  transport().SendRtp(bytes, out);
}

void ScriptedPublisher::SendPacket(Encoder& encoder, SentPacket packet, bool keep,
                                   ClientOutput& out) {
  rtp::HeaderExtensions extensions;
  extensions.mid = encoder.mid;
  extensions.rid = encoder.rid;
  extensions.dependency_descriptor = packet.dependency.span();
  if (encoder.stream->kind == rtp::MediaKind::kAudio) {
    extensions.audio_level = rtp::AudioLevel{true, static_cast<uint8_t>(30 + rng_.Below(10))};
  }
  if (options_.capture_time && packet.at - encoder.last_packet >= TimeDelta::Millis(15)) {
    const Timestamp captured = encoder.stream->CapturedAt(packet.header.timestamp);
    extensions.abs_capture_time = rtp::AbsCaptureTime{NtpAt(captured), 0};
  }
  encoder.last_packet = packet.at;
  ++encoder.packets;
  encoder.bytes += static_cast<uint32_t>(packet.payload.size());
  Transmit(packet.header, extensions, packet.payload, out);
  if (!keep) return;
  std::erase_if(encoder.history,
                [&packet](const auto& sent) { return packet.at - sent.second.at > kHistory; });
  encoder.history[encoder.next_sequence - 1] = std::move(packet);
}

void ScriptedPublisher::Transmit(const rtp::PacketHeader& header, rtp::HeaderExtensions& extensions,
                                 std::span<const uint8_t> payload, ClientOutput& out) {
  extensions.transport_sequence = transport_sequence_++;
  ++packets_sent_;
  transport().SendRtp(MakeDatagram(header, extensions, extensions_, payload), out);
}

void ScriptedPublisher::Retransmit(Encoder& encoder, uint16_t sequence, Timestamp now,
                                   ClientOutput& out) {
  SequenceUnwrapper unwrapper;
  unwrapper.set_last(encoder.next_sequence);
  const int64_t wanted = unwrapper.Peek(sequence);
  const auto it = encoder.history.find(wanted);
  if (it == encoder.history.end() || now - it->second.at > kHistory) return;
  const SentPacket& sent = it->second;
  if (sent.payload.empty()) return;  // Padding.
  rtp::PacketHeader header = sent.header;
  header.payload_type = *encoder.rtx_payload_type;
  header.ssrc = encoder.stream->rtx_ssrc;
  header.sequence = static_cast<uint16_t>(encoder.next_rtx_sequence++);
  encoder.stream->retransmitted[header.sequence] = wanted;
  rtp::HeaderExtensions extensions;
  extensions.mid = encoder.mid;
  extensions.repaired_rid = encoder.rid;
  extensions.dependency_descriptor = sent.dependency.span();
  std::vector<uint8_t> payload = {static_cast<uint8_t>(sequence >> 8),
                                  static_cast<uint8_t>(sequence)};
  payload.insert(payload.end(), sent.payload.begin(), sent.payload.end());
  Transmit(header, extensions, payload, out);
}

void ScriptedPublisher::WriteReports(Timestamp now, ByteWriter& out) const {
  for (const Encoder& encoder : encoders_) {
    if (encoder.packets == 0) continue;
    const SourceStream& stream = *encoder.stream;
    const auto elapsed = rtp::ToRtpUnits(now - stream.started, rtp::ClockRateOf(stream.codec.type));
    rtp::WriteSenderReport({.ssrc = stream.ssrc,
                            .ntp = NtpAt(now),
                            .rtp_timestamp = stream.timestamp_base + static_cast<uint32_t>(elapsed),
                            .packet_count = encoder.packets,
                            .octet_count = encoder.bytes},
                           {}, out);
  }
}

void ScriptedPublisher::SendReports(Timestamp now, ClientOutput& out) {
  if (!options_.reports) return;
  std::array<uint8_t, 1200> buffer;
  ByteWriter writer(buffer);
  WriteReports(now, writer);
  if (writer.position() == 0) return;
  if (reference_time_) {
    const std::array<rtp::ExtendedReport::Dlrr, 1> item = {
        {{reference_time_->ssrc, reference_time_->compact,
          rtp::ToCompactNtp(now - reference_time_->received)}}};
    rtp::WriteDlrr(encoders_.front().stream->ssrc, item, writer);
  }
  VIGIL_CHECK(writer.ok());
  transport().SendRtcp(writer.written(), out);
}

void ScriptedPublisher::HandleDatagram(Packet& packet, Timestamp now, ClientOutput& out) {
  const bool was_connected = transport().connected();
  const ClientTransport::Kind kind = transport().Receive(packet, now);
  if (kind == ClientTransport::Kind::kRtcp) HandleRtcp(packet.bytes(), now, out);
  if (!was_connected && transport().connected()) HandleTimers(now, out);
}

void ScriptedPublisher::HandleRtcp(std::span<const uint8_t> compound, Timestamp now,
                                   ClientOutput& out) {
  rtp::RtcpReader reader(compound);
  while (const std::optional<rtp::RtcpPacket> rtcp = reader.Next()) {
    if (const auto* pli = std::get_if<rtp::PictureLossIndication>(&*rtcp)) {
      OnKeyframeRequest(pli->media_ssrc, now);
    } else if (const auto* fir = std::get_if<rtp::FullIntraRequest>(&*rtcp)) {
      for (size_t i = 0; i < fir->size(); ++i) OnKeyframeRequest(fir->ssrc(i), now);
    } else if (const auto* nack = std::get_if<rtp::GenericNack>(&*rtcp)) {
      Encoder* encoder = FindEncoder(nack->media_ssrc);
      nack->ForEach([&](uint16_t sequence) {
        ++nacked_;
        if (encoder == nullptr || !options_.answers_nack) return;
        Retransmit(*encoder, sequence, now, out);
      });
    } else if (const auto* xr = std::get_if<rtp::ExtendedReport>(&*rtcp)) {
      if (xr->receiver_reference_time) {
        reference_time_ = {xr->sender_ssrc, xr->receiver_reference_time->Compact(), now};
      }
    }
  }
}

void ScriptedPublisher::OnKeyframeRequest(uint32_t ssrc, Timestamp now) {
  ++keyframe_requests_;
  Encoder* encoder = FindEncoder(ssrc);
  if (encoder == nullptr || now - encoder->last_request < kKeyframeThrottle) return;
  encoder->last_request = now;
  encoder->keyframe_wanted = true;
}

}  // namespace vigil::sim
