#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "gateway/base/client_address.h"
#include "gateway/base/drop_reason.h"
#include "gateway/base/outbox.h"
#include "gateway/base/packet_pool.h"
#include "gateway/base/rng.h"
#include "gateway/base/strong_id.h"
#include "gateway/base/time.h"
#include "gateway/ice/credentials.h"
#include "gateway/ice/ice_lite_agent.h"
#include "gateway/ice/stun.h"
#include "gateway/peer/media_receiver.h"
#include "gateway/peer/media_sender.h"
#include "gateway/peer/media_totals.h"
#include "gateway/rtp/parameters.h"
#include "gateway/transport/dtls_context.h"
#include "gateway/transport/dtls_session.h"
#include "gateway/transport/fingerprint.h"
#include "gateway/transport/srtp_receiver.h"
#include "gateway/transport/srtp_sender.h"

namespace vigil::peer {

// What all peers of one worker share. Outlives them.
struct PeerContext {
  ice::StunEndpoint& stun;
  const transport::DtlsContext& dtls;
  PacketPool& pool;
  rtp::WallClock wall_clock;
  Rng& rng;
  MediaTotals totals = {};
};

struct PeerParameters {
  PeerId id;
  ice::Credentials local;
  ice::Credentials remote;
  transport::Fingerprint fingerprint;
  rtp::MediaParameters media;
  // Agreed on otherwise than by DTLS (simulation, restore); empty: DTLS.
  std::optional<transport::SrtpKeys> keys;
};

// Where and when a datagram came in.
struct Arrival {
  ClientAddress from;
  Timestamp received;  // Kernel receive stamp.
};

// What a client's RTCP asked of others.
struct RtcpOutcome {
  uint64_t keyframe_tracks = 0;     // Bit n: a keyframe for send track n.
  std::vector<ClockChange> clocks;  // The last one of each track and layer.
  // A compound has room for dozens of reports about one stream. Only the last matters, and each
  // would be a note to every other worker, where it competes with wishes for keyframes.
  void Add(const ClockChange& change) {
    for (ClockChange& known : clocks) {
      if (known.kind != change.kind || known.layer != change.layer) continue;
      known = change;
      return;
    }
    clocks.push_back(change);
  }
  void Clear() {
    keyframe_tracks = 0;
    clocks.clear();
  }
};

// One WebRTC connection of a participant: ICE, DTLS, SRTP and the streams in both directions,
// without a socket. One thread; time is an argument; everything sent is appended to an outbox.
class Peer {
 public:
  enum class Phase : uint8_t {
    kConnecting,
    kConnected,
    kFailed,          // the DTLS handshake
    kConnectTimeout,  // it never came to its end
    kClosedByClient,  // close_notify
    kExpired,         // consent
  };

  // How long a client may take from its offer to the end of its handshake.
  static constexpr TimeDelta kConnectTimeout = TimeDelta::Seconds(30);
  // Sender and receiver reports, round trip and clock mapping. RFC 3550 would allow 5 s; lip-sync
  // and link health want them sooner.
  static constexpr TimeDelta kReportInterval = TimeDelta::Seconds(1);

  Peer(PeerContext& context, PeerParameters parameters, Timestamp now);
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  // ---- Stop 2: what comes from the client. Each consumes one datagram. ----

  // A STUN check by which this peer was found. The response goes out through `out`; the outcome
  // tells what became of the address.
  ice::CheckOutcome HandleStun(const Packet& packet, const ClientAddress& from, Timestamp now,
                               Outbox& out);
  std::optional<DropReason> HandleDtls(Packet& packet, const ClientAddress& from, Timestamp now,
                                       Outbox& out);
  // Authenticates and decrypts an RTP datagram in place, then passes it through its stream.
  std::optional<DropReason> HandleRtp(PacketRef packet, const Arrival& arrival,
                                      rtp::TrackPacket& out);
  // Retransmissions go straight to `out`; what concerns others is in `outcome`.
  std::optional<DropReason> HandleRtcp(Packet& packet, const Arrival& arrival, Timestamp now,
                                       RtcpOutcome& outcome, Outbox& out);

  // ---- Stop 5: what goes to the client. ----

  std::optional<DropReason> SendRtp(uint8_t track, const rtp::TrackPacket& source,
                                    const rtp::Rewrite& rewrite, Timestamp now, Outbox& out);
  void SetClock(uint8_t track, const rtp::ClockMapping& clock) { sender_.SetClock(track, clock); }
  // Somebody needs a keyframe of what this client publishes; sent at once if the throttle allows.
  void RequestKeyframe(uint8_t layer, Timestamp now, Outbox& out);

  // ---- Time. ----

  void HandleTimers(Timestamp now, Outbox& out);
  Timestamp NextDeadline() const;

  void RestartIce(ice::Credentials local, ice::Credentials remote);

  PeerId id() const { return parameters_.id; }
  // The user fragments by which checks may find this peer: one, and two during an ICE restart.
  std::vector<std::string> ufrags() const;
  Phase phase() const { return phase_; }
  const ice::IceLiteAgent& ice() const { return ice_; }
  const MediaReceiver& receiver() const { return receiver_; }
  const MediaSender& sender() const { return sender_; }
  const rtp::MediaParameters& media() const { return parameters_.media; }
  // Packets that could not be sent, by reason, of those not passed to SendRtp (RTX, RTCP, STUN).
  const DropCounters& send_drops() const { return send_drops_; }

  // The client's last receiver reference time, to be answered (RFC 3611, 4.5).
  struct ReferenceTime {
    uint32_t ssrc = 0;
    uint32_t compact_ntp = 0;
    Timestamp received;
    template <typename F>
    void Fields(F&& f) {
      f(ssrc, compact_ntp, received);
    }
  };

  struct State {
    PeerId id;
    ice::IceLiteAgent::State ice;
    transport::SrtpKeys keys;
    transport::SrtpSender::State srtp_sender;
    transport::SrtpReceiver::State srtp_receiver;
    rtp::MediaParameters media;
    MediaReceiver::State receiver;
    MediaSender::State sender;
    // What goes on being understood of the client's DTLS; empty when keys were injected.
    std::optional<transport::DtlsSession::Connected> dtls;
    std::optional<ReferenceTime> reference_time;
    DropCounters send_drops;
    template <typename F>
    void Fields(F&& f) {
      f(id, ice, keys, srtp_sender, srtp_receiver, media, receiver, sender, dtls, reference_time,
        send_drops);
    }
  };
  // Empty while the client is still in its handshake: libssl cannot be carried over, the client
  // joins again.
  std::optional<State> Export() const;
  // A connected peer continued from its state. kAfterFault skips every SRTP index the former owner
  // may have used, which its limits tell. Empty if the state is not consistent.
  static std::unique_ptr<Peer> Restore(PeerContext& context, const State& state,
                                       transport::SrtpSender::RestoreMode mode, Timestamp now);
  // The next outgoing sequence number of a send track, as its SRTP index.
  int64_t NextSequence(uint8_t track) const;

 private:
  std::optional<DropReason> TrySendRtp(uint8_t track, const rtp::TrackPacket& source,
                                       const rtp::Rewrite& rewrite, Timestamp now, Outbox& out);
  void SetPhase(Phase next);
  void Connect(const transport::SrtpKeys& keys);
  void AddSendStreams();
  void LiftIndexLimits();
  void RetireSrtpStream(uint32_t newest);
  void SendDtls(const transport::Datagrams& flight, const ClientAddress& to, Outbox& out);
  void HandleRtcpPacket(const rtp::RtcpPacket& packet, Timestamp received, Timestamp now,
                        RtcpOutcome& outcome, Outbox& out);
  void HandleNack(const rtp::GenericNack& nack, Timestamp now, Outbox& out);
  void SendReports(Timestamp now, Outbox& out);
  // Writes one compound; `next_track` goes on where the one before had no more room. False if there
  // is nothing to say.
  bool WriteReports(Timestamp now, size_t& next_track, ByteWriter& out);
  void SendFeedback(Timestamp now, Outbox& out);
  void SendRtcp(PacketRef packet, Outbox& out);
  // A packet from the pool, or nothing (counted).
  PacketRef TakePacket(PacketUse use = PacketUse::kEssential);
  void Push(ClientAddress to, PacketRef packet, Outbox& out);

  PeerContext& context_;
  PeerParameters parameters_;
  Phase phase_ = Phase::kConnecting;
  ice::IceLiteAgent ice_;
  std::unique_ptr<transport::DtlsSession> dtls_;
  std::optional<transport::SrtpKeys> keys_;
  std::unique_ptr<transport::SrtpSender> srtp_sender_;
  std::unique_ptr<transport::SrtpReceiver> srtp_receiver_;
  MediaReceiver receiver_;
  MediaSender sender_;
  Timestamp connect_deadline_;
  Timestamp next_report_;
  // Every m-line takes feedback outside of compounds (RFC 5506).
  bool reduced_size_ = true;
  std::optional<ReferenceTime> reference_time_;
  std::vector<rtp::ReportBlock> blocks_;  // Scratch.
  DropCounters send_drops_;
};

}  // namespace vigil::peer
