#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "gateway/base/byte_io.h"
#include "gateway/base/drop_reason.h"
#include "gateway/base/packet_pool.h"
#include "gateway/base/time.h"
#include "gateway/peer/media_totals.h"
#include "gateway/rtp/packet.h"
#include "gateway/rtp/parameters.h"
#include "gateway/rtp/rtcp.h"
#include "gateway/rtp/track_packet.h"
#include "gateway/stream/arrival_log.h"
#include "gateway/stream/inbound_stream.h"
#include "gateway/stream/keyframe_requester.h"
#include "gateway/stream/publisher_clock.h"
#include "gateway/stream/round_trip.h"

namespace vigil::peer {

// A publisher's media clock was learned anew.
struct ClockChange {
  rtp::MediaKind kind = rtp::MediaKind::kAudio;
  uint8_t layer = 0;
  rtp::ClockMapping clock;
};

// Everything one client sends: which SSRC belongs to which track and layer, its streams, and the
// feedback they are owed. Sees only authentic, decrypted packets.
class MediaReceiver {
 public:
  // SSRCs one client may use: four layers of picture and one of sound, each with RTX, twice over.
  static constexpr size_t kMaxSsrcs = 20;
  // So many SSRCs that others have replaced are remembered. A packet of theirs that comes late, or
  // that somebody held back, must not bring the old stream back: it would end the new one.
  static constexpr size_t kMaxRetired = 8;

  explicit MediaReceiver(const rtp::MediaParameters& media);

  // True if this SSRC belongs to a known stream: no more need be learned from the packet.
  bool Knows(uint32_t ssrc) const { return FindRoute(ssrc) != nullptr; }

  // Stop 3 of a packet's way: RTX is undone, duplicates and gaps are found, arrival is noted.
  // Fills `out`, whose views point into `packet`, or says why the packet ends here.
  std::optional<DropReason> Accept(PacketRef packet, Timestamp received, rtp::TrackPacket& out);

  std::optional<ClockChange> OnSenderReport(const rtp::SenderReport& report, Timestamp received,
                                            rtp::WallClock wall_clock);
  // Round trip by receiver reference time (RFC 3611, 4.5): the sender answered ours.
  void OnDlrr(const rtp::ExtendedReport::Dlrr& item, Timestamp now, rtp::WallClock wall_clock);
  // Somebody needs a keyframe of this layer of the picture.
  void RequestKeyframe(uint8_t layer, Timestamp now);

  // Appends the NACKs, keyframe requests and transport feedback that are due, as far as there is
  // room; the rest stays due. False when nothing was written. Call again with fresh room (40 bytes
  // at least) while it is true.
  bool WriteFeedback(Timestamp now, MediaTotals::Direction& totals, ByteWriter& out);
  // Fills `blocks` with one report block per stream that has received something. Adds what it
  // tells of to `totals`.
  void MakeReportBlocks(Timestamp now, MediaTotals::Direction& totals,
                        std::vector<rtp::ReportBlock>& blocks);
  Timestamp NextDeadline() const;

  bool empty() const { return tracks_.empty(); }
  const stream::RoundTrip& round_trip() const { return round_trip_; }

  struct StreamReport {
    rtp::MediaKind kind = rtp::MediaKind::kAudio;
    uint8_t layer = 0;
    uint32_t ssrc = 0;
    stream::InboundCounters counters;
    TimeDelta jitter;
    Timestamp last_packet_at = Timestamp::LongAgo();
    std::optional<rtp::Codec> codec;
  };
  std::vector<StreamReport> Report() const;

  // Which track, layer and role an SSRC has.
  struct Route {
    uint32_t ssrc = 0;
    uint8_t track = 0;
    uint8_t layer = 0;
    bool rtx = false;
    template <typename F>
    void Fields(F&& f) {
      f(ssrc, track, layer, rtx);
    }
  };
  struct LayerState {
    std::optional<stream::InboundStream::State> stream;
    stream::KeyframeRequester keyframes;
    // H.264: SPS are sent, so no keyframe begins without one.
    bool parameter_sets_in_band = false;
    uint32_t generation = 0;
    std::optional<uint8_t> fir_number;
    std::optional<rtp::Codec> codec;
    template <typename F>
    void Fields(F&& f) {
      f(stream, keyframes, parameter_sets_in_band, generation, fir_number, codec);
    }
  };
  struct State {
    std::vector<Route> routes;
    std::vector<std::vector<LayerState>> tracks;
    stream::ArrivalLog arrivals;
    stream::PublisherClock clock;
    stream::RoundTrip round_trip;
    uint8_t fir_sequence = 0;
    std::vector<uint32_t> retired;
    template <typename F>
    void Fields(F&& f) {
      f(routes, tracks, arrivals, clock, round_trip, fir_sequence, retired);
    }
  };
  State Export() const;
  // False if the state does not belong to these parameters.
  bool Restore(const State& state, bool after_fault, Timestamp now);
  const std::vector<Route>& routes() const { return routes_; }

 private:
  struct Layer {
    std::optional<stream::InboundStream> stream;
    stream::KeyframeRequester keyframes;
    std::optional<rtp::Codec> codec;  // Of the last packet.
    bool parameter_sets_in_band = false;
    // Of the full intra request that has not been met yet.
    std::optional<uint8_t> fir_number;
    uint32_t generation = 0;  // Streams begun so far.
    uint64_t lost = 0;        // Of this stream; what the totals have of it.
  };
  struct Track {
    rtp::ReceiveTrack parameters;
    std::vector<Layer> layers;
  };

  const Route* FindRoute(uint32_t ssrc) const;
  const Route* Learn(const rtp::PacketView& view, const rtp::HeaderExtensions& extensions);
  std::optional<uint8_t> TrackOf(uint8_t payload_type, std::string_view mid) const;
  const Route* AddRoute(const Route& route);
  void Retire(uint32_t ssrc);
  static void OnPictureBroken(Layer& layer, Timestamp now);
  void OnKeyframe(Layer& layer, bool newest, Timestamp received);
  void StartStream(const Route& route);
  static bool UndoRtx(rtp::PacketView& view);
  static void FindKeyframeStart(Layer& layer, rtp::PayloadView& content);
  uint64_t WriteNacks(const Track& track, Layer& layer, Timestamp now, ByteWriter& out);
  void WriteKeyframeRequest(const Track& track, Layer& layer, ByteWriter& out);
  stream::InboundStream* StreamOf(uint32_t ssrc);

  rtp::ExtensionMap extensions_;
  uint32_t local_ssrc_;
  std::vector<Track> tracks_;
  std::vector<Route> routes_;
  std::vector<uint32_t> retired_;  // Oldest first.
  stream::ArrivalLog arrivals_;
  stream::PublisherClock clock_;
  stream::RoundTrip round_trip_;
  uint8_t fir_sequence_ = 0;
  std::vector<uint16_t> nacks_;  // Scratch.
};

}  // namespace vigil::peer
