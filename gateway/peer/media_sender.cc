#include "gateway/peer/media_sender.h"

#include <algorithm>

namespace vigil::peer {

MediaSender::MediaSender(const rtp::MediaParameters& media, rtp::WallClock wall_clock,
                         const PacketPool& pool, Rng& rng)
    : extensions_(media.extensions), cname_(media.cname), wall_clock_(wall_clock), pool_(pool) {
  streams_.reserve(media.send.size());
  for (const rtp::SendTrack& track : media.send) {
    streams_.emplace_back(track, static_cast<uint16_t>(rng.Below(0x4000) + 1));
  }
}

stream::ComposeContext MediaSender::ContextFor(uint8_t track, size_t size, Timestamp now) {
  const std::optional<rtp::ExtensionMap>& own = streams_[track].track().extensions;
  const rtp::ExtensionMap& extensions = own ? *own : extensions_;
  stream::ComposeContext context{.extensions = extensions,
                                 .wall_clock = wall_clock_,
                                 .now = now,
                                 .transport_sequence = {},
                                 .history = stream::HistoryFor(pool_)};
  if (extensions.Has(rtp::ExtensionType::kTransportSequence) &&
      streams_[track].track().feedback.transport_cc) {
    context.transport_sequence = log_.Next(track, size, now);
  }
  return context;
}

bool MediaSender::Compose(uint8_t track, const rtp::TrackPacket& source,
                          const rtp::Rewrite& rewrite, Timestamp now, Packet& out) {
  return streams_[track].Compose(source, rewrite, ContextFor(track, source.payload.size(), now),
                                 out);
}

bool MediaSender::Retransmit(uint8_t track, uint16_t sequence, Timestamp now, Packet& out) {
  return streams_[track].Retransmit(sequence, ContextFor(track, 0, now), out);
}

std::optional<uint8_t> MediaSender::TrackOf(uint32_t ssrc) const {
  for (size_t i = 0; i < streams_.size(); ++i) {
    if (streams_[i].track().ssrc == ssrc) return static_cast<uint8_t>(i);
  }
  return std::nullopt;
}

void MediaSender::OnReportBlock(const rtp::ReportBlock& block, Timestamp now,
                                MediaTotals::Direction& totals) {
  const std::optional<uint8_t> track = TrackOf(block.ssrc);
  if (!track) return;
  stream::OutboundStream& stream = streams_[*track];
  const uint64_t lost_before = stream.counters().most_lost;
  const rtp::SendTrack& parameters = stream.track();
  const uint32_t clock_rate = rtp::ClockRateOf(parameters.payloads.front().codec.type);
  totals.Of(parameters.kind).jitter.Add(TimeDelta::FromSeconds(1.0 * block.jitter / clock_rate));
  stream.OnReportBlock(block, now, wall_clock_);
  totals.lost += stream.counters().most_lost - lost_before;
}

void MediaSender::OnTransportFeedback(const rtp::TransportFeedback& feedback, Timestamp now) {
  const stream::SendLog::Acknowledged acknowledged = log_.OnFeedback(feedback);
  acknowledged_ += acknowledged.received;
  reported_lost_ += acknowledged.lost;
  for (size_t i = 0; i < streams_.size() && i < 64; ++i) {
    if ((acknowledged.tracks >> i & 1) != 0) streams_[i].OnConfirmed(now);
  }
}

void MediaSender::SetClock(uint8_t track, const rtp::ClockMapping& clock) {
  if (track < streams_.size()) streams_[track].SetClock(clock);
}

void MediaSender::WriteSenderReports(Timestamp now, size_t& next, ByteWriter& out) const {
  for (; next < streams_.size(); ++next) {
    const auto report = streams_[next].MakeSenderReport(now, wall_clock_);
    if (!report) continue;
    // RFC 3550, 6.5.1: receivers tell by the CNAME of each SSRC which ones belong together
    // (GStreamer's does, for lip-sync).
    ByteWriter both = out;
    rtp::WriteSenderReport(*report, {}, both);
    rtp::WriteCname(report->ssrc, cname_, both);
    if (!both.ok()) return;
    out = both;
  }
}

void MediaSender::Expire(Timestamp now) {
  const TimeDelta history = stream::HistoryFor(pool_);
  for (stream::OutboundStream& stream : streams_) stream.Expire(now, history);
}

bool MediaSender::has_history() const {
  return std::any_of(streams_.begin(), streams_.end(),
                     [](const stream::OutboundStream& stream) { return stream.has_history(); });
}

MediaSender::State MediaSender::Export() const {
  State state{
      .streams = {}, .log = log_, .acknowledged = acknowledged_, .reported_lost = reported_lost_};
  for (const stream::OutboundStream& stream : streams_) state.streams.push_back(stream.Export());
  return state;
}

bool MediaSender::Restore(const State& state, bool after_fault) {
  if (state.streams.size() != streams_.size()) return false;
  for (size_t i = 0; i < streams_.size(); ++i) {
    if (!(state.streams[i].track == streams_[i].track())) return false;
    streams_[i] = stream::OutboundStream(state.streams[i]);
  }
  log_ = state.log;
  acknowledged_ = state.acknowledged;
  reported_lost_ = state.reported_lost;
  if (after_fault) log_.SkipAhead();
  return true;
}

}  // namespace vigil::peer
