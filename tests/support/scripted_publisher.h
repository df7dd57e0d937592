#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "gateway/base/byte_io.h"
#include "gateway/base/rng.h"
#include "gateway/base/sequence.h"
#include "gateway/rtp/header_extensions.h"
#include "gateway/rtp/packet.h"
#include "gateway/rtp/rtcp.h"
#include "tests/support/scripted_client.h"
#include "tests/support/stamped_payload.h"

namespace vigil::sim {

struct VideoOptions {
  rtp::Codec codec = kVp8;
  int frames_per_second = 25;
  int most_packets = 4;           // Of a frame; keyframes have twice as many.
  size_t payload = 300;           // Bytes, at most.
  std::vector<std::string> rids;  // Empty: no simulcast.
  double padding = 0;             // Chance of a padding-only packet behind a frame.
};

struct PublisherOptions {
  ClientOptions client;
  FeedId feed;
  bool audio = true;
  std::optional<VideoOptions> video = VideoOptions{};
  bool signal_ssrcs = true;  // By a=ssrc; otherwise they are learned by mid and rid.
  bool answers_nack = true;
  bool capture_time = true;
  bool reports = true;  // Sender reports; without them nobody can know its clock.
};

// What is true about one RTP stream of a publisher, for the checkers.
struct SourceStream {
  rtp::MediaKind kind = rtp::MediaKind::kAudio;
  rtp::Codec codec;
  uint8_t layer = 0;
  uint8_t epoch = 0;
  uint32_t ssrc = 0;
  uint32_t rtx_ssrc = 0;
  uint32_t timestamp_base = 0;
  Timestamp started;                          // When timestamp_base was captured.
  std::set<int64_t> padding;                  // Sequence numbers of padding-only packets.
  std::map<uint16_t, int64_t> retransmitted;  // RTX sequence number to the original's.

  // When what carries `timestamp` was captured.
  Timestamp CapturedAt(uint32_t timestamp) const;
};

// A browser that publishes sound and picture: encoder, packetizer, RTX, reports, feedback.
class ScriptedPublisher : public ScriptedClient {
 public:
  static constexpr TimeDelta kKeyframeThrottle = TimeDelta::Millis(300);
  static constexpr TimeDelta kHistory = TimeDelta::Millis(1500);

  explicit ScriptedPublisher(const PublisherOptions& options);

  sfu::CreatePeer Describe() const override;
  void HandleDatagram(Packet& packet, Timestamp now, ClientOutput& out) override;
  void HandleTimers(Timestamp now, ClientOutput& out) override;
  Timestamp NextDeadline() const override;

  // New SSRCs, counters from anew, as after a reload of the encoder.
  void Restart(Timestamp now);
  // While paused nothing is sent but checks and reports.
  void set_paused(bool paused) { paused_ = paused; }
  // Simulcast: the layers from `count` on are not sent.
  void set_active_layers(size_t count) { active_layers_ = count; }

  const PublisherOptions& options() const { return options_; }
  // The stream with this SSRC, or the one that `ssrc` repairs.
  const SourceStream* FindStream(uint32_t ssrc) const;
  const SourceStream* FindStream(const PayloadStamp& stamp) const;
  uint64_t keyframe_requests() const { return keyframe_requests_; }
  uint64_t nacked() const { return nacked_; }
  uint64_t packets_sent() const { return packets_sent_; }

 protected:
  // In front of each picture or packet of sound, with this chance, up to `most` sequence numbers
  // are left out.
  void LeaveOut(int64_t most, double chance) {
    most_left_out_ = most;
    leaves_out_ = chance;
  }
  // Sender reports of all streams.
  void WriteReports(Timestamp now, ByteWriter& out) const;

 private:
  struct SentPacket {
    Timestamp at;
    rtp::PacketHeader header;
    std::vector<uint8_t> payload;
    DependencyBytes dependency;
  };
  struct Encoder {
    std::unique_ptr<SourceStream> stream;
    uint8_t payload_type = 0;
    std::optional<uint8_t> rtx_payload_type;
    std::string mid;
    std::string rid;
    int64_t next_sequence = 0;
    int64_t next_rtx_sequence = 0;
    uint32_t frame = 0;
    uint16_t picture_id = 0;
    uint8_t tl0 = 0;
    uint16_t frame_number = 0;
    bool keyframe_wanted = true;
    Timestamp last_request = Timestamp::LongAgo();
    Timestamp last_packet = Timestamp::LongAgo();
    uint32_t packets = 0;
    uint32_t bytes = 0;
    std::map<int64_t, SentPacket> history;
  };

  void Start(Encoder& encoder, Timestamp now);
  void SendFrame(Encoder& encoder, Timestamp now, ClientOutput& out);
  void SendPadding(Encoder& encoder, uint32_t timestamp, Timestamp now, ClientOutput& out);
  void SendPacket(Encoder& encoder, SentPacket packet, bool keep, ClientOutput& out);
  void Retransmit(Encoder& encoder, uint16_t sequence, Timestamp now, ClientOutput& out);
  void Transmit(const rtp::PacketHeader& header, rtp::HeaderExtensions& extensions,
                std::span<const uint8_t> payload, ClientOutput& out);
  void SendReports(Timestamp now, ClientOutput& out);
  void HandleRtcp(std::span<const uint8_t> compound, Timestamp now, ClientOutput& out);
  void OnKeyframeRequest(uint32_t ssrc, Timestamp now);
  Encoder* FindEncoder(uint32_t ssrc);

  PublisherOptions options_;
  rtp::ExtensionMap extensions_;
  Rng rng_;
  std::vector<Encoder> encoders_;  // Sound first, then the layers of the picture.
  std::vector<std::unique_ptr<SourceStream>> retired_;
  Timestamp next_audio_ = Timestamp::LongAgo();
  Timestamp next_video_ = Timestamp::LongAgo();
  Timestamp next_report_ = Timestamp::Never();
  bool paused_ = false;
  size_t active_layers_ = 8;
  uint8_t epoch_ = 0;
  uint16_t transport_sequence_ = 0;
  uint32_t picture_started_ = 0;
  struct ReferenceTime {
    uint32_t ssrc = 0;
    uint32_t compact = 0;
    Timestamp received;
  };
  std::optional<ReferenceTime> reference_time_;
  int64_t most_left_out_ = 0;
  double leaves_out_ = 0;
  uint64_t keyframe_requests_ = 0;
  uint64_t nacked_ = 0;
  uint64_t packets_sent_ = 0;
};

}  // namespace vigil::sim
