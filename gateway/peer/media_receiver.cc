#include "gateway/peer/media_receiver.h"

#include <algorithm>
#include <utility>
#include <variant>

namespace vigil::peer {
namespace {

constexpr size_t kNackHeaderSize = 12;       // RFC 4585, 6.1.
constexpr size_t kNackItemSize = 4;          // RFC 4585, 6.2.1.
constexpr size_t kKeyframeRequestSize = 20;  // A FIR; a PLI is shorter.

struct PayloadMatch {
  const rtp::PayloadMapping* mapping = nullptr;
  bool rtx = false;
};

PayloadMatch FindPayload(const rtp::ReceiveTrack& track, uint8_t payload_type) {
  for (const rtp::PayloadMapping& mapping : track.payloads) {
    if (mapping.payload_type == payload_type) return {&mapping, false};
    if (mapping.rtx_payload_type == payload_type) return {&mapping, true};
  }
  return {};
}

}  // namespace

MediaReceiver::MediaReceiver(const rtp::MediaParameters& media)
    : extensions_(media.extensions), local_ssrc_(media.local_ssrc) {
  for (const rtp::ReceiveTrack& parameters : media.receive) {
    Track& track = tracks_.emplace_back();
    track.parameters = parameters;
    track.layers.resize(std::max<size_t>(parameters.rids.size(), 1));
    const auto index = static_cast<uint8_t>(tracks_.size() - 1);
    if (!parameters.rids.empty()) continue;
    if (parameters.ssrc) AddRoute({*parameters.ssrc, index, 0, false});
    if (parameters.rtx_ssrc) AddRoute({*parameters.rtx_ssrc, index, 0, true});
  }
}

const MediaReceiver::Route* MediaReceiver::FindRoute(uint32_t ssrc) const {
  for (const Route& route : routes_) {
    if (route.ssrc == ssrc) return &route;
  }
  return nullptr;
}

std::optional<DropReason> MediaReceiver::Accept(PacketRef packet, Timestamp received,
                                                rtp::TrackPacket& out) {
  std::optional<rtp::PacketView> view = rtp::ParsePacket(packet->bytes());
  if (!view) return DropReason::kMalformed;
  out.extensions = rtp::ParseExtensions(*view, extensions_);
  if (out.extensions.transport_sequence) {
    arrivals_.OnPacket(*out.extensions.transport_sequence, received);
  }
  const Route* route = FindRoute(view->header.ssrc);
  if (route == nullptr) route = Learn(*view, out.extensions);
  if (route == nullptr) return DropReason::kUnknownSsrc;
  Track& track = tracks_[route->track];
  Layer& layer = track.layers[route->layer];

  const PayloadMatch payload = FindPayload(track.parameters, view->header.payload_type);
  if (payload.mapping == nullptr || payload.rtx != route->rtx) {
    return DropReason::kUnknownPayloadType;
  }
  if (payload.rtx) {
    if (view->payload.empty()) return DropReason::kPaddingOnly;
    if (!layer.stream) return DropReason::kTooOld;
    if (!UndoRtx(*view)) return DropReason::kMalformed;
  }
  const rtp::Codec& codec = payload.mapping->codec;
  out.content = {};
  if (!view->payload.empty()) {
    const auto content =
        rtp::ParsePayload(codec.type, view->payload, out.extensions.dependency_descriptor);
    if (!content) return DropReason::kMalformed;
    out.content = *content;
    FindKeyframeStart(layer, out.content);
  }
  if (!layer.stream) StartStream(*route);

  stream::InboundStream::Accepted accepted;
  const std::optional<DropReason> dropped =
      layer.stream->OnPacket(view->header, view->payload.size(), received, payload.rtx, accepted);
  if (dropped) return dropped;
  if (accepted.lost_track) OnPictureBroken(layer, received);
  if (out.content.starts_keyframe && track.parameters.kind == rtp::MediaKind::kVideo) {
    OnKeyframe(layer, accepted.newest, received);
    // What follows it has gone by: nobody can begin here any more.
    out.content.starts_keyframe = accepted.newest;
  }
  layer.codec = codec;
  out.kind = track.parameters.kind;
  out.codec = codec;
  out.layer = route->layer;
  out.generation = layer.generation;
  out.marker = view->header.marker;
  out.sequence = accepted.sequence;
  out.timestamp = accepted.timestamp;
  out.payload = view->payload;
  out.received = received;
  out.packet = std::move(packet);
  return std::nullopt;
}

// What is asked for from here on is another keyframe than before.
void MediaReceiver::OnPictureBroken(Layer& layer, Timestamp now) {
  layer.fir_number.reset();
  layer.keyframes.Request(now);
}

void MediaReceiver::OnKeyframe(Layer& layer, bool newest, Timestamp received) {
  layer.stream->OnKeyframe();
  layer.fir_number.reset();
  if (newest) {
    layer.keyframes.OnKeyframe();
  } else if (layer.keyframes.wanted()) {
    // It came too late for those who wait.
    layer.keyframes.Request(received);
  }
}

// An H.264 keyframe is announced twice: by its parameter sets, and by its first slice. A receiver
// that joins at the slice cannot decode it, so the slice only counts where no sets are sent.
void MediaReceiver::FindKeyframeStart(Layer& layer, rtp::PayloadView& content) {
  const auto* h264 = std::get_if<rtp::H264Descriptor>(&content.descriptor);
  if (h264 == nullptr) return;
  layer.parameter_sets_in_band = layer.parameter_sets_in_band || h264->has_sps;
  if (layer.parameter_sets_in_band && !h264->has_sps) content.starts_keyframe = false;
}

// RFC 4588, 4: the payload starts with the original sequence number.
bool MediaReceiver::UndoRtx(rtp::PacketView& view) {
  if (view.payload.size() < 2) return false;
  view.header.sequence = ReadU16(view.payload.data());
  view.payload = view.payload.subspan(2);
  return true;
}

// RFC 8843, 9.2: by mid, else by payload type if only one m-line has it. Simulcast streams are
// told apart by rid, their retransmissions by repaired-rid (RFC 8852).
const MediaReceiver::Route* MediaReceiver::Learn(const rtp::PacketView& view,
                                                 const rtp::HeaderExtensions& extensions) {
  if (std::find(retired_.begin(), retired_.end(), view.header.ssrc) != retired_.end()) {
    return nullptr;
  }
  const std::optional<uint8_t> track = TrackOf(view.header.payload_type, extensions.mid);
  if (!track) return nullptr;
  const rtp::ReceiveTrack& parameters = tracks_[*track].parameters;
  const PayloadMatch payload = FindPayload(parameters, view.header.payload_type);
  if (payload.mapping == nullptr) return nullptr;
  Route route{view.header.ssrc, *track, 0, payload.rtx};
  if (!parameters.rids.empty()) {
    const std::string_view rid = payload.rtx ? extensions.repaired_rid : extensions.rid;
    const auto it = std::find(parameters.rids.begin(), parameters.rids.end(), rid);
    if (it == parameters.rids.end()) return nullptr;
    route.layer = static_cast<uint8_t>(it - parameters.rids.begin());
  }
  return AddRoute(route);
}

std::optional<uint8_t> MediaReceiver::TrackOf(uint8_t payload_type, std::string_view mid) const {
  std::optional<uint8_t> found;
  for (size_t i = 0; i < tracks_.size(); ++i) {
    const bool matches = mid.empty()
                             ? FindPayload(tracks_[i].parameters, payload_type).mapping != nullptr
                             : tracks_[i].parameters.mid == mid;
    if (!matches) continue;
    if (found) return std::nullopt;
    found = static_cast<uint8_t>(i);
  }
  return found;
}

// A stream has one SSRC at a time: a new one for the same track, layer and role takes the place of
// the old (a sender that restarted its encoder), and its stream begins anew.
const MediaReceiver::Route* MediaReceiver::AddRoute(const Route& route) {
  const auto same_place = [&route](const Route& known) {
    return known.track == route.track && known.layer == route.layer;
  };
  const bool replaces = std::any_of(routes_.begin(), routes_.end(), [&](const Route& known) {
    return same_place(known) && known.rtx == route.rtx;
  });
  if (replaces) {
    // The old stream's retransmissions have numbers that mean nothing in the new one.
    std::erase_if(routes_, [&](const Route& known) {
      const bool ends = same_place(known) && (known.rtx || !route.rtx);
      if (ends) Retire(known.ssrc);
      return ends;
    });
    if (!route.rtx) tracks_[route.track].layers[route.layer].stream.reset();
  }
  if (routes_.size() >= kMaxSsrcs) return nullptr;
  routes_.push_back(route);
  return &routes_.back();
}

void MediaReceiver::Retire(uint32_t ssrc) {
  if (retired_.size() >= kMaxRetired) retired_.erase(retired_.begin());
  retired_.push_back(ssrc);
}

void MediaReceiver::StartStream(const Route& route) {
  const rtp::ReceiveTrack& parameters = tracks_[route.track].parameters;
  Layer& layer = tracks_[route.track].layers[route.layer];
  ++layer.generation;
  layer.lost = 0;
  layer.stream.emplace(stream::InboundStreamOptions{
      .ssrc = route.ssrc,
      .kind = parameters.kind,
      .clock_rate = rtp::ClockRateOf(parameters.payloads.front().codec.type),
      .nack = parameters.feedback.nack});
}

stream::InboundStream* MediaReceiver::StreamOf(uint32_t ssrc) {
  const Route* route = FindRoute(ssrc);
  if (route == nullptr || route->rtx) return nullptr;
  std::optional<stream::InboundStream>& stream = tracks_[route->track].layers[route->layer].stream;
  return stream ? &*stream : nullptr;
}

std::optional<ClockChange> MediaReceiver::OnSenderReport(const rtp::SenderReport& report,
                                                         Timestamp received,
                                                         rtp::WallClock wall_clock) {
  stream::InboundStream* stream = StreamOf(report.sender_ssrc);
  if (stream == nullptr || report.ntp.IsZero()) return std::nullopt;
  stream->OnSenderReport(report, received);
  clock_.OnSenderReport(report.ntp, received, wall_clock);
  const TimeDelta offset =
      clock_.offset(round_trip_.known() ? round_trip_.value() : TimeDelta::Zero());
  const Route* route = FindRoute(report.sender_ssrc);
  return ClockChange{.kind = tracks_[route->track].parameters.kind,
                     .layer = route->layer,
                     .clock = {.at = wall_clock.ToTimestamp(report.ntp) + offset,
                               .rtp = stream->UnwrapTimestamp(report.rtp_timestamp),
                               .publisher_clock_offset = stream::ToQ32(-offset)}};
}

void MediaReceiver::OnDlrr(const rtp::ExtendedReport::Dlrr& item, Timestamp now,
                           rtp::WallClock wall_clock) {
  if (item.ssrc != local_ssrc_ || item.last_receiver_report == 0) return;
  round_trip_.AddCompact(wall_clock.At(now).Compact() - item.last_receiver_report -
                         item.delay_since_last_report);
}

void MediaReceiver::RequestKeyframe(uint8_t layer, Timestamp now) {
  for (Track& track : tracks_) {
    if (track.parameters.kind != rtp::MediaKind::kVideo || layer >= track.layers.size()) continue;
    track.layers[layer].keyframes.Request(now);
  }
}

bool MediaReceiver::WriteFeedback(Timestamp now, MediaTotals::Direction& totals, ByteWriter& out) {
  const size_t before = out.position();
  for (Track& track : tracks_) {
    for (Layer& layer : track.layers) {
      if (!layer.stream) continue;
      totals.nacks += WriteNacks(track, layer, now, out);
      // A stream that is not known yet is asked once its first packet has shown its SSRC.
      if (out.remaining() >= kKeyframeRequestSize && layer.keyframes.TakeDue(now)) {
        WriteKeyframeRequest(track, layer, out);
        ++totals.keyframe_requests;
      }
    }
  }
  const uint32_t media_ssrc = routes_.empty() ? 0 : routes_.front().ssrc;
  arrivals_.WriteDue(local_ssrc_, media_ssrc, now, out);
  return out.position() > before;
}

// How many sequence numbers were asked for.
uint64_t MediaReceiver::WriteNacks(const Track& track, Layer& layer, Timestamp now,
                                   ByteWriter& out) {
  if (now < layer.stream->NextDeadline() || out.remaining() < kNackHeaderSize + kNackItemSize) {
    return 0;
  }
  // The worst case: no two of the sequence numbers fit into one item.
  const size_t limit = (out.remaining() - kNackHeaderSize) / kNackItemSize;
  nacks_.clear();
  if (layer.stream->TakeNacks(now, round_trip_.value(), limit, nacks_) &&
      track.parameters.kind == rtp::MediaKind::kVideo) {
    OnPictureBroken(layer, now);
  }
  if (!nacks_.empty()) {
    rtp::WriteNack(local_ssrc_, layer.stream->options().ssrc, nacks_, out);
  }
  return nacks_.size();
}

// RFC 5104, 4.3.1.2: a request that is repeated keeps its number, or the sender would answer both.
void MediaReceiver::WriteKeyframeRequest(const Track& track, Layer& layer, ByteWriter& out) {
  const uint32_t ssrc = layer.stream->options().ssrc;
  if (track.parameters.feedback.pli || !track.parameters.feedback.fir) {
    rtp::WritePli(local_ssrc_, ssrc, out);
  } else {
    if (!layer.fir_number) layer.fir_number = ++fir_sequence_;
    rtp::WriteFir(local_ssrc_, ssrc, *layer.fir_number, out);
  }
}

void MediaReceiver::MakeReportBlocks(Timestamp now, MediaTotals::Direction& totals,
                                     std::vector<rtp::ReportBlock>& blocks) {
  for (Track& track : tracks_) {
    for (Layer& layer : track.layers) {
      if (!layer.stream) continue;
      const auto block = layer.stream->MakeReportBlock(now);
      if (!block) continue;
      blocks.push_back(*block);
      totals.Of(track.parameters.kind).jitter.Add(layer.stream->jitter());
      const uint64_t lost = layer.stream->counters().given_up;
      totals.lost += lost - std::exchange(layer.lost, lost);
    }
  }
}

Timestamp MediaReceiver::NextDeadline() const {
  Timestamp next = arrivals_.NextDeadline();
  for (const Track& track : tracks_) {
    for (const Layer& layer : track.layers) {
      if (!layer.stream) continue;
      next = Earliest(next, layer.stream->NextDeadline());
      next = Earliest(next, layer.keyframes.NextDeadline());
    }
  }
  return next;
}

std::vector<MediaReceiver::StreamReport> MediaReceiver::Report() const {
  std::vector<StreamReport> reports;
  for (const Track& track : tracks_) {
    for (size_t i = 0; i < track.layers.size(); ++i) {
      const Layer& layer = track.layers[i];
      if (!layer.stream) continue;
      reports.push_back({.kind = track.parameters.kind,
                         .layer = static_cast<uint8_t>(i),
                         .ssrc = layer.stream->options().ssrc,
                         .counters = layer.stream->counters(),
                         .jitter = layer.stream->jitter(),
                         .last_packet_at = layer.stream->last_packet_at(),
                         .codec = layer.codec});
    }
  }
  return reports;
}

MediaReceiver::State MediaReceiver::Export() const {
  State state{.routes = routes_,
              .tracks = {},
              .arrivals = arrivals_,
              .clock = clock_,
              .round_trip = round_trip_,
              .fir_sequence = fir_sequence_,
              .retired = retired_};
  for (const Track& track : tracks_) {
    std::vector<LayerState>& layers = state.tracks.emplace_back();
    for (const Layer& layer : track.layers) {
      LayerState& out = layers.emplace_back();
      if (layer.stream) out.stream = layer.stream->Export();
      out.keyframes = layer.keyframes;
      out.parameter_sets_in_band = layer.parameter_sets_in_band;
      out.fir_number = layer.fir_number;
      out.codec = layer.codec;
      out.generation = layer.generation;
    }
  }
  return state;
}

bool MediaReceiver::Restore(const State& state, bool after_fault, Timestamp now) {
  if (state.tracks.size() != tracks_.size() || state.routes.size() > kMaxSsrcs) return false;
  for (const Route& route : state.routes) {
    if (route.track >= tracks_.size()) return false;
    if (route.layer >= tracks_[route.track].layers.size()) return false;
  }
  for (size_t i = 0; i < tracks_.size(); ++i) {
    if (state.tracks[i].size() != tracks_[i].layers.size()) return false;
    for (size_t j = 0; j < tracks_[i].layers.size(); ++j) {
      const LayerState& from = state.tracks[i][j];
      Layer& to = tracks_[i].layers[j];
      if (from.stream) {
        to.stream.emplace(*from.stream, now);
        // The former owner's totals have it.
        to.lost = to.stream->counters().given_up;
      }
      to.keyframes = from.keyframes;
      to.parameter_sets_in_band = from.parameter_sets_in_band;
      to.generation = from.generation;
      to.fir_number = from.fir_number;
      to.codec = from.codec;
    }
  }
  routes_ = state.routes;
  arrivals_ = state.arrivals;
  if (after_fault) {
    arrivals_.ForgetUnreported();
  } else {
    arrivals_.OnHandOver();
  }
  clock_ = state.clock;
  round_trip_ = state.round_trip;
  fir_sequence_ = state.fir_sequence;
  retired_ = state.retired;
  return true;
}

}  // namespace vigil::peer
