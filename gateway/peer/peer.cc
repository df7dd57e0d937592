#include "gateway/peer/peer.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <type_traits>
#include <utility>
#include <variant>

#include "gateway/base/byte_io.h"
#include "gateway/base/check.h"

namespace vigil::peer {
namespace {

// An RTCP packet stays below any path's MTU and leaves room for the SRTCP trailer. A full compound
// with the longest CNAME (276 bytes) leaves enough to make progress with whatever is due.
constexpr size_t kRtcpRoom = 1400;

// An owner without limits may have used any index: nobody can take over from it after a fault.
bool AllLimited(const transport::SrtpSender::State& state) {
  return std::all_of(state.streams.begin(), state.streams.end(), [](const auto& stream) {
    return stream.second.rtp.limit != transport::SrtpSender::kUnlimited &&
           stream.second.rtcp.limit != transport::SrtpSender::kUnlimited;
  });
}

}  // namespace

Peer::Peer(PeerContext& context, PeerParameters parameters, Timestamp now)
    : context_(context),
      parameters_(std::move(parameters)),
      ice_(parameters_.local, parameters_.remote, ice::IceLiteAgent::Options{}),
      receiver_(parameters_.media),
      sender_(parameters_.media, context.wall_clock, context.pool, context.rng),
      connect_deadline_(now + kConnectTimeout),
      next_report_(Timestamp::Never()) {
  for (const rtp::ReceiveTrack& track : parameters_.media.receive) {
    reduced_size_ = reduced_size_ && track.feedback.reduced_size;
  }
  if (parameters_.keys) {
    Connect(*parameters_.keys);
    next_report_ = now + kReportInterval / 4;
  } else {
    dtls_ = std::make_unique<transport::DtlsSession>(context.dtls, parameters_.fingerprint,
                                                     transport::DtlsSession::Options{});
  }
}

void Peer::SetPhase(Phase next) {
  LeaveTrail("peer phase", parameters_.id.value() << 8 | static_cast<uint64_t>(next));
  phase_ = next;
}

void Peer::Connect(const transport::SrtpKeys& keys) {
  keys_ = keys;
  srtp_sender_ = std::make_unique<transport::SrtpSender>(keys.profile, keys.LocalKey());
  srtp_receiver_ = std::make_unique<transport::SrtpReceiver>(keys.profile, keys.RemoteKey());
  AddSendStreams();
  for (const MediaReceiver::Route& route : receiver_.routes()) {
    srtp_receiver_->AddStream(route.ssrc);
  }
  ice_.OnConnected();
  SetPhase(Phase::kConnected);
}

void Peer::AddSendStreams() {
  srtp_sender_->AddStream(parameters_.media.local_ssrc);
  for (const rtp::SendTrack& track : parameters_.media.send) {
    srtp_sender_->AddStream(track.ssrc);
    if (track.rtx_ssrc != 0) srtp_sender_->AddStream(track.rtx_ssrc);
  }
}

ice::CheckOutcome Peer::HandleStun(const Packet& packet, const ClientAddress& from, Timestamp now,
                                   Outbox& out) {
  PacketRef response = TakePacket();
  if (!response) return {.dropped = DropReason::kPoolExhausted};
  const ice::CheckOutcome outcome =
      ice_.HandleCheck(context_.stun, packet.bytes(), from, now, response->room());
  if (outcome.response_size > 0) {
    response->size = static_cast<uint16_t>(outcome.response_size);
    Push(from, std::move(response), out);
  }
  return outcome;
}

std::optional<DropReason> Peer::HandleDtls(Packet& packet, const ClientAddress& from, Timestamp now,
                                           Outbox& out) {
  if (dtls_ == nullptr) return DropReason::kDtlsNotReady;
  transport::Datagrams flight;
  const transport::DtlsSession::Result result = dtls_->HandleDatagram(packet.bytes(), now, flight);
  SendDtls(flight, from, out);
  switch (result) {
    case transport::DtlsSession::Result::kConnected:
      // Once only: a second SRTP session with the same keys would use every index again.
      if (phase_ != Phase::kConnecting) return DropReason::kDtlsError;
      Connect(*dtls_->keys());
      // The client's Finished is the one record of DTLS that proves where the client is: what comes
      // later are repetitions of it, which anyone can send, and the close_notify.
      ice_.OnAuthentic(from, now);
      next_report_ = now + kReportInterval / 4;
      return std::nullopt;
    case transport::DtlsSession::Result::kClosed:
      SetPhase(Phase::kClosedByClient);
      return std::nullopt;
    case transport::DtlsSession::Result::kFailed:
      SetPhase(Phase::kFailed);
      return DropReason::kDtlsError;
    case transport::DtlsSession::Result::kIgnored:
      return DropReason::kDtlsError;
    case transport::DtlsSession::Result::kHandshaking:
      return std::nullopt;
  }
  return std::nullopt;
}

void Peer::SendDtls(const transport::Datagrams& flight, const ClientAddress& to, Outbox& out) {
  for (const std::vector<uint8_t>& datagram : flight) {
    PacketRef packet = TakePacket();
    if (!packet || datagram.size() > packet->room().size()) return;
    std::memcpy(packet->data.data(), datagram.data(), datagram.size());
    packet->size = static_cast<uint16_t>(datagram.size());
    Push(to, std::move(packet), out);
  }
}

std::optional<DropReason> Peer::HandleRtp(PacketRef packet, const Arrival& arrival,
                                          rtp::TrackPacket& out) {
  if (srtp_receiver_ == nullptr) return DropReason::kDtlsNotReady;
  if (receiver_.empty()) return DropReason::kUnknownSsrc;
  // An SSRC that the offer did not name is taken only if the packet proves to be the client's.
  const uint32_t ssrc = rtp::PeekSsrc(packet->bytes());
  const auto dropped = srtp_receiver_->HasStream(ssrc) ? srtp_receiver_->UnprotectRtp(*packet)
                                                       : srtp_receiver_->TryUnprotectRtp(*packet);
  if (dropped) return dropped;
  if (srtp_receiver_->IsOverfull()) RetireSrtpStream(ssrc);
  const uint64_t bytes = packet->size;
  const auto refused = receiver_.Accept(std::move(packet), arrival.received, out);
  if (!refused) {
    MediaTotals::Flow& flow = context_.totals.in.Of(out.kind);
    ++flow.packets;
    flow.bytes += bytes;
  }
  // After a restore SRTP's replay window has holes that the stream's has not.
  if (refused != DropReason::kDuplicate && refused != DropReason::kTooOld) {
    ice_.OnAuthentic(arrival.from, arrival.received);
  }
  return refused;
}

std::optional<DropReason> Peer::HandleRtcp(Packet& packet, const Arrival& arrival, Timestamp now,
                                           RtcpOutcome& outcome, Outbox& out) {
  if (srtp_receiver_ == nullptr) return DropReason::kDtlsNotReady;
  if (const auto dropped = srtp_receiver_->UnprotectRtcp(packet)) return dropped;
  if (srtp_receiver_->IsOverfull()) RetireSrtpStream(ReadU32(packet.data.data() + 4));
  ice_.OnAuthentic(arrival.from, arrival.received);
  rtp::RtcpReader reader(packet.bytes());
  while (const std::optional<rtp::RtcpPacket> rtcp = reader.Next()) {
    HandleRtcpPacket(*rtcp, arrival.received, now, outcome, out);
  }
  if (reader.malformed()) return DropReason::kRtcpMalformed;
  return std::nullopt;
}

// A client that has changed its SSRCs many times begins another one: the stream idle for longest
// ends, but no stream that media comes by, and not the newest.
void Peer::RetireSrtpStream(uint32_t newest) {
  std::array<uint32_t, MediaReceiver::kMaxSsrcs + 1> in_use;
  size_t count = 0;
  in_use[count++] = newest;
  for (const MediaReceiver::Route& route : receiver_.routes()) in_use[count++] = route.ssrc;
  srtp_receiver_->RetireOldest(std::span(in_use).first(count));
}

void Peer::HandleRtcpPacket(const rtp::RtcpPacket& packet, Timestamp received, Timestamp now,
                            RtcpOutcome& outcome, Outbox& out) {
  const auto wants_keyframe = [this, &outcome](uint32_t ssrc) {
    ++context_.totals.out.keyframe_requests;
    const std::optional<uint8_t> track = sender_.TrackOf(ssrc);
    if (track && *track < 64) outcome.keyframe_tracks |= uint64_t{1} << *track;
  };
  const auto read_blocks = [this, now](const rtp::ReportBlocks& blocks) {
    for (size_t i = 0; i < blocks.size(); ++i) {
      sender_.OnReportBlock(blocks[i], now, context_.totals.out);
    }
  };
  if (const auto* sr = std::get_if<rtp::SenderReport>(&packet)) {
    const auto change = receiver_.OnSenderReport(*sr, received, context_.wall_clock);
    if (change) outcome.Add(*change);
    read_blocks(sr->blocks);
  } else if (const auto* rr = std::get_if<rtp::ReceiverReport>(&packet)) {
    read_blocks(rr->blocks);
  } else if (const auto* nack = std::get_if<rtp::GenericNack>(&packet)) {
    HandleNack(*nack, now, out);
  } else if (const auto* pli = std::get_if<rtp::PictureLossIndication>(&packet)) {
    wants_keyframe(pli->media_ssrc);
  } else if (const auto* fir = std::get_if<rtp::FullIntraRequest>(&packet)) {
    for (size_t i = 0; i < fir->size(); ++i) wants_keyframe(fir->ssrc(i));
  } else if (const auto* feedback = std::get_if<rtp::TransportFeedback>(&packet)) {
    sender_.OnTransportFeedback(*feedback, now);
  } else if (const auto* xr = std::get_if<rtp::ExtendedReport>(&packet)) {
    for (size_t i = 0; i < xr->dlrr_size(); ++i) {
      receiver_.OnDlrr(xr->dlrr_at(i), received, context_.wall_clock);
    }
    if (xr->receiver_reference_time) {
      reference_time_ = {xr->sender_ssrc, xr->receiver_reference_time->Compact(), received};
    }
  }
  // BYE says nothing that ICE and DTLS do not say better, and anyone with the keys of one stream
  // could end the others with it. REMB is superseded by transport-wide feedback.
}

void Peer::HandleNack(const rtp::GenericNack& nack, Timestamp now, Outbox& out) {
  const std::optional<uint8_t> track = sender_.TrackOf(nack.media_ssrc);
  const std::optional<ClientAddress> to = ice_.selected();
  if (!track || !to) return;
  nack.ForEach([&](uint16_t sequence) {
    ++context_.totals.out.nacks;
    if (!sender_.MayRetransmit(*track, sequence, now)) return;
    const stream::OutboundStream& stream = sender_.stream(*track);
    const auto index = static_cast<uint64_t>(stream.next_rtx_sequence());
    if (const auto refused = srtp_sender_->CheckRtp(stream.track().rtx_ssrc, index)) {
      return send_drops_.Add(*refused);
    }
    PacketRef packet = TakePacket(PacketUse::kPicture);
    if (!packet || !sender_.Retransmit(*track, sequence, now, *packet)) return;
    if (const auto dropped = srtp_sender_->ProtectRtp(*packet, index)) {
      return send_drops_.Add(*dropped);
    }
    sender_.OnRetransmitted(*track, sequence, now);
    ++context_.totals.retransmitted;
    Push(*to, std::move(packet), out);
  });
}

std::optional<DropReason> Peer::SendRtp(uint8_t track, const rtp::TrackPacket& source,
                                        const rtp::Rewrite& rewrite, Timestamp now, Outbox& out) {
  const std::optional<DropReason> dropped = TrySendRtp(track, source, rewrite, now, out);
  if (dropped) sender_.stream(track).OnUnsent();
  return dropped;
}

std::optional<DropReason> Peer::TrySendRtp(uint8_t track, const rtp::TrackPacket& source,
                                           const rtp::Rewrite& rewrite, Timestamp now,
                                           Outbox& out) {
  const std::optional<ClientAddress>& to = ice_.selected();
  if (srtp_sender_ == nullptr || !to) return DropReason::kPeerNotConnected;
  // Before anything is counted: a packet that is refused leaves no trace.
  const auto index = static_cast<uint64_t>(rewrite.sequence);
  const uint32_t ssrc = sender_.stream(track).track().ssrc;
  if (const auto refused = srtp_sender_->CheckRtp(ssrc, index)) return refused;
  const bool picture = source.kind == rtp::MediaKind::kVideo;
  const PacketUse use = picture ? PacketUse::kPicture : PacketUse::kEssential;
  PacketRef packet = context_.pool.Take(use);
  if (!packet) {
    // Our own history is the first to go.
    sender_.Expire(now);
    packet = context_.pool.Take(use);
  }
  if (!packet) return context_.pool.RefusalReason();
  if (!sender_.Compose(track, source, rewrite, now, *packet)) return DropReason::kOversized;
  const uint64_t bytes = packet->size;
  if (const auto dropped = srtp_sender_->ProtectRtp(*packet, index)) return dropped;
  const ForwardStamp forwards{.received_at = source.received, .ssrc = ssrc, .is_picture = picture};
  if (!out.Push({*to, std::move(packet), forwards})) return DropReason::kQueueFull;
  MediaTotals::Flow& flow = context_.totals.out.Of(source.kind);
  ++flow.packets;
  flow.bytes += bytes;
  return std::nullopt;
}

void Peer::RequestKeyframe(uint8_t layer, Timestamp now, Outbox& out) {
  receiver_.RequestKeyframe(layer, now);
  if (phase_ == Phase::kConnected) SendFeedback(now, out);
}

void Peer::HandleTimers(Timestamp now, Outbox& out) {
  ice_.HandleTimeout(now);
  if (ice_.ConsentExpired(now)) {
    SetPhase(Phase::kExpired);
    return;
  }
  if (phase_ == Phase::kConnecting && now >= connect_deadline_) {
    SetPhase(Phase::kConnectTimeout);
    return;
  }
  if (dtls_ != nullptr && now >= dtls_->NextDeadline()) {
    transport::Datagrams flight;
    const bool failed =
        dtls_->HandleTimeout(now, flight) == transport::DtlsSession::Result::kFailed;
    if (ice_.selected()) SendDtls(flight, *ice_.selected(), out);
    if (failed) return SetPhase(Phase::kFailed);
  }
  if (phase_ != Phase::kConnected) return;
  if (now >= receiver_.NextDeadline()) SendFeedback(now, out);
  if (now >= next_report_) {
    sender_.Expire(now);
    SendReports(now, out);
    next_report_ = now + kReportInterval;
  }
}

Timestamp Peer::NextDeadline() const {
  Timestamp next = ice_.NextDeadline();
  if (dtls_ != nullptr) next = Earliest(next, dtls_->NextDeadline());
  if (phase_ == Phase::kConnecting) return Earliest(next, connect_deadline_);
  return Earliest(next, Earliest(receiver_.NextDeadline(), next_report_));
}

void Peer::SendFeedback(Timestamp now, Outbox& out) {
  for (;;) {
    PacketRef packet = TakePacket();
    if (!packet) return;
    ByteWriter writer(packet->room().first(kRtcpRoom));
    if (!reduced_size_) {
      // RFC 3550, 6.1: a compound starts with a report and carries a CNAME.
      rtp::WriteReceiverReport(parameters_.media.local_ssrc, {}, writer);
      rtp::WriteCname(parameters_.media.local_ssrc, parameters_.media.cname, writer);
    }
    if (!receiver_.WriteFeedback(now, context_.totals.in, writer) || !writer.ok()) return;
    packet->size = static_cast<uint16_t>(writer.position());
    SendRtcp(std::move(packet), out);
  }
}

void Peer::SendReports(Timestamp now, Outbox& out) {
  size_t next_track = 0;
  do {
    PacketRef packet = TakePacket();
    if (!packet) return;
    ByteWriter writer(packet->room().first(kRtcpRoom));
    const size_t first_track = next_track;
    if (!WriteReports(now, next_track, writer)) return;
    VIGIL_CHECK(writer.ok() && (next_track > first_track || next_track == sender_.size()));
    packet->size = static_cast<uint16_t>(writer.position());
    SendRtcp(std::move(packet), out);
  } while (next_track < sender_.size());
}

// RR first, so that every RTCP packet of ours has one sender SSRC and with it one SRTCP index. All
// that concerns the whole peer goes into the first compound.
bool Peer::WriteReports(Timestamp now, size_t& next_track, ByteWriter& out) {
  const uint32_t local_ssrc = parameters_.media.local_ssrc;
  const bool first = next_track == 0;
  blocks_.clear();
  if (first) receiver_.MakeReportBlocks(now, context_.totals.in, blocks_);
  rtp::WriteReceiverReport(local_ssrc, blocks_, out);
  rtp::WriteCname(local_ssrc, parameters_.media.cname, out);
  if (first && !receiver_.empty()) {
    rtp::WriteReceiverReferenceTime(local_ssrc, context_.wall_clock.At(now), out);
  }
  if (first && reference_time_) {
    const std::array<rtp::ExtendedReport::Dlrr, 1> item = {
        {{reference_time_->ssrc, reference_time_->compact_ntp,
          rtp::ToCompactNtp(now - reference_time_->received)}}};
    rtp::WriteDlrr(local_ssrc, item, out);
  }
  const size_t before = out.position();
  sender_.WriteSenderReports(now, next_track, out);
  const bool sending = out.position() > before;
  return sending || (first && (!blocks_.empty() || reference_time_));
}

void Peer::SendRtcp(PacketRef packet, Outbox& out) {
  const std::optional<ClientAddress>& to = ice_.selected();
  if (srtp_sender_ == nullptr || !to) return;
  if (const auto dropped = srtp_sender_->ProtectRtcp(*packet)) {
    send_drops_.Add(*dropped);
    return;
  }
  Push(*to, std::move(packet), out);
}

PacketRef Peer::TakePacket(PacketUse use) {
  PacketRef packet = context_.pool.Take(use);
  if (!packet) send_drops_.Add(context_.pool.RefusalReason());
  return packet;
}

void Peer::Push(ClientAddress to, PacketRef packet, Outbox& out) {
  if (!out.Push({.client = to, .packet = std::move(packet), .forwards = {}})) {
    send_drops_.Add(DropReason::kQueueFull);
  }
}

void Peer::RestartIce(ice::Credentials local, ice::Credentials remote) {
  ice_.Restart(std::move(local), std::move(remote));
}

std::vector<std::string> Peer::ufrags() const {
  const ice::IceLiteAgent::State state = ice_.Export();
  std::vector<std::string> ufrags = {state.local.ufrag};
  if (state.previous_local) ufrags.push_back(state.previous_local->ufrag);
  return ufrags;
}

std::optional<Peer::State> Peer::Export() const {
  if (phase_ != Phase::kConnected) return std::nullopt;
  return State{.id = parameters_.id,
               .ice = ice_.Export(),
               .keys = *keys_,
               .srtp_sender = srtp_sender_->Export(),
               .srtp_receiver = srtp_receiver_->Export(),
               .media = parameters_.media,
               .receiver = receiver_.Export(),
               .sender = sender_.Export(),
               .dtls = dtls_ ? dtls_->Export() : std::nullopt,
               .reference_time = reference_time_,
               .send_drops = send_drops_};
}

std::unique_ptr<Peer> Peer::Restore(PeerContext& context, const State& state,
                                    transport::SrtpSender::RestoreMode mode, Timestamp now) {
  const bool after_fault = mode == transport::SrtpSender::RestoreMode::kAfterFault;
  if (after_fault && !AllLimited(state.srtp_sender)) return nullptr;
  auto peer = std::make_unique<Peer>(context,
                                     PeerParameters{.id = state.id,
                                                    .local = state.ice.local,
                                                    .remote = state.ice.remote,
                                                    .fingerprint = {},
                                                    .media = state.media,
                                                    .keys = state.keys},
                                     now);
  peer->ice_ = ice::IceLiteAgent(state.ice, ice::IceLiteAgent::Options{});
  peer->srtp_sender_ = std::make_unique<transport::SrtpSender>(
      state.keys.profile, state.keys.LocalKey(), state.srtp_sender, mode);
  peer->srtp_receiver_ = std::make_unique<transport::SrtpReceiver>(
      state.keys.profile, state.keys.RemoteKey(), state.srtp_receiver);
  if (state.dtls) {
    peer->dtls_ = std::make_unique<transport::DtlsSession>(context.dtls, *state.dtls,
                                                           transport::DtlsSession::Options{});
  }
  peer->AddSendStreams();
  if (after_fault) peer->LiftIndexLimits();
  if (!peer->receiver_.Restore(state.receiver, after_fault, now) ||
      !peer->sender_.Restore(state.sender, after_fault)) {
    return nullptr;
  }
  for (const MediaReceiver::Route& route : peer->receiver_.routes()) {
    peer->srtp_receiver_->AddStream(route.ssrc);
  }
  for (size_t i = 0; i < peer->sender_.size(); ++i) {
    const uint32_t rtx_ssrc = peer->sender_.stream(i).track().rtx_ssrc;
    if (rtx_ssrc == 0) continue;
    peer->sender_.stream(i).SkipRtxTo(
        static_cast<int64_t>(peer->srtp_sender_->next_index(rtx_ssrc)));
  }
  peer->reference_time_ = state.reference_time;
  peer->send_drops_ = state.send_drops;
  peer->next_report_ = now;
  return peer;
}

// Without a standby of its own the new owner may use every index from here on.
void Peer::LiftIndexLimits() {
  srtp_sender_->SetRtcpLimit(parameters_.media.local_ssrc, transport::SrtpSender::kUnlimited);
  for (const rtp::SendTrack& track : parameters_.media.send) {
    srtp_sender_->SetLimit(track.ssrc, transport::SrtpSender::kUnlimited);
    if (track.rtx_ssrc != 0) {
      srtp_sender_->SetLimit(track.rtx_ssrc, transport::SrtpSender::kUnlimited);
    }
  }
}

int64_t Peer::NextSequence(uint8_t track) const {
  return static_cast<int64_t>(srtp_sender_->next_index(sender_.stream(track).track().ssrc));
}

}  // namespace vigil::peer
