#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gateway/base/byte_io.h"
#include "gateway/base/packet_pool.h"
#include "gateway/base/rng.h"
#include "gateway/base/time.h"
#include "gateway/peer/media_totals.h"
#include "gateway/rtp/parameters.h"
#include "gateway/rtp/rtcp.h"
#include "gateway/rtp/track_packet.h"
#include "gateway/stream/outbound_stream.h"
#include "gateway/stream/send_log.h"

namespace vigil::peer {

// Everything one client is sent: its send tracks' streams and their transport-wide numbering.
// Composes whole packets; protecting and addressing them is the peer's.
class MediaSender {
 public:
  // `pool` holds what is kept for retransmission, and tells how much that may be. `rng` draws the
  // first RTX sequence numbers.
  MediaSender(const rtp::MediaParameters& media, rtp::WallClock wall_clock, const PacketPool& pool,
              Rng& rng);

  // Composes one subscriber's copy of `source`. False if it would not fit into a packet.
  bool Compose(uint8_t track, const rtp::TrackPacket& source, const rtp::Rewrite& rewrite,
               Timestamp now, Packet& out);
  // Whether a NACKed packet is to be sent again; counts it if not.
  bool MayRetransmit(uint8_t track, uint16_t sequence, Timestamp now) {
    return streams_[track].MayRetransmit(sequence, now);
  }
  // Composes the RTX packet for one NACKed sequence number. Call MayRetransmit before, and
  // OnRetransmitted when it was protected.
  bool Retransmit(uint8_t track, uint16_t sequence, Timestamp now, Packet& out);
  void OnRetransmitted(uint8_t track, uint16_t sequence, Timestamp now) {
    streams_[track].OnRetransmitted(sequence, now);
  }

  // The send track with this media SSRC.
  std::optional<uint8_t> TrackOf(uint32_t ssrc) const;
  // Adds what it tells of to `totals`.
  void OnReportBlock(const rtp::ReportBlock& block, Timestamp now, MediaTotals::Direction& totals);
  void OnTransportFeedback(const rtp::TransportFeedback& feedback, Timestamp now);
  void SetClock(uint8_t track, const rtp::ClockMapping& clock);
  // Appends a sender report and the CNAME for each track that is sending, from track `next` on and
  // as far as there is room. `next` becomes the first track that found none, size() when all is
  // said.
  void WriteSenderReports(Timestamp now, size_t& next, ByteWriter& out) const;
  // Releases media that is too old to be asked for.
  void Expire(Timestamp now);
  bool has_history() const;

  bool empty() const { return streams_.empty(); }
  size_t size() const { return streams_.size(); }
  const stream::OutboundStream& stream(size_t i) const { return streams_[i]; }
  stream::OutboundStream& stream(size_t i) { return streams_[i]; }
  uint64_t acknowledged() const { return acknowledged_; }
  uint64_t reported_lost() const { return reported_lost_; }

  struct State {
    std::vector<stream::OutboundStream::State> streams;
    stream::SendLog log;
    uint64_t acknowledged = 0;
    uint64_t reported_lost = 0;
    template <typename F>
    void Fields(F&& f) {
      f(streams, log, acknowledged, reported_lost);
    }
  };
  State Export() const;
  // False if the state does not belong to these parameters. `after_fault`: the former owner may
  // have sent more than the state tells.
  bool Restore(const State& state, bool after_fault);

 private:
  stream::ComposeContext ContextFor(uint8_t track, size_t size, Timestamp now);

  rtp::ExtensionMap extensions_;
  std::string cname_;
  rtp::WallClock wall_clock_;
  const PacketPool& pool_;
  std::vector<stream::OutboundStream> streams_;
  stream::SendLog log_;
  uint64_t acknowledged_ = 0;  // Packets, by transport-wide feedback.
  uint64_t reported_lost_ = 0;
};

}  // namespace vigil::peer
