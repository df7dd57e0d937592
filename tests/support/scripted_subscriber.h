#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "gateway/base/rng.h"
#include "gateway/base/sequence.h"
#include "gateway/rtp/packet.h"
#include "gateway/rtp/rtcp.h"
#include "tests/support/scripted_client.h"
#include "tests/support/stamped_payload.h"

namespace vigil::sim {

struct SlotOptions {
  rtp::MediaKind kind = rtp::MediaKind::kVideo;
  std::vector<rtp::Codec> codecs = {kVp8, kH264, kVp9, kAv1};
};

struct SubscriberOptions {
  ClientOptions client;
  std::vector<SlotOptions> slots;
  bool playout_delay = true;  // Negotiates the extension.
  bool sends_nack = true;
  bool sends_reports = true;  // Receiver reports and transport-wide feedback.
};

// What a receiver of one slot got to see or hear.
struct SlotExperience {
  uint64_t packets = 0;        // Not counting retransmissions of what was there.
  uint64_t repaired = 0;       // Came by RTX only.
  uint64_t frames = 0;         // Decodable, in order.
  uint64_t broken_frames = 0;  // Complete, but without what they refer to.
  FeedId feed;                 // Of the last frame or sound packet.
  uint8_t layer = 0;
  rtp::CodecType codec = rtp::CodecType::kOpus;
  Timestamp last_frame_at = Timestamp::LongAgo();
  TimeDelta longest_gap;  // Between two frames (sound: packets).
  uint64_t keyframe_requests = 0;
  uint64_t nacked = 0;
};

// A browser's receiving half: jitter buffer, NACK, PLI, reports, and whether a decoder could go on.
class ScriptedSubscriber : public ScriptedClient {
 public:
  explicit ScriptedSubscriber(const SubscriberOptions& options);

  sfu::CreatePeer Describe() const override;
  void HandleDatagram(Packet& packet, Timestamp now, ClientOutput& out) override;
  void HandleTimers(Timestamp now, ClientOutput& out) override;
  Timestamp NextDeadline() const override;

  const SlotExperience& experience(size_t slot) const { return slots_[slot].experience; }
  // Forgets the gaps so far: what counts is what comes.
  void ForgetGaps();
  size_t slot_count() const { return slots_.size(); }
  const SubscriberOptions& options() const { return options_; }
  uint32_t ssrc(size_t slot) const { return slots_[slot].track.ssrc; }
  const rtp::SendTrack& track(size_t slot) const { return slots_[slot].track; }
  // The highest sequence number seen on the slot.
  uint16_t highest(size_t slot) const { return static_cast<uint16_t>(slots_[slot].highest); }
  uint32_t own_ssrc() const { return own_ssrc_; }

 private:
  struct Arrived {
    Timestamp at;
    std::optional<PayloadStamp> stamp;  // None: padding.
    rtp::CodecType codec = rtp::CodecType::kOpus;
  };
  struct Missing {
    Timestamp since;
    Timestamp asked = Timestamp::LongAgo();
    int requests = 0;
  };
  struct Slot {
    rtp::SendTrack track;
    SlotExperience experience;
    SequenceUnwrapper sequences;
    std::optional<int64_t> base;
    int64_t next = 0;  // The first one not played.
    int64_t highest = 0;
    std::map<int64_t, Arrived> buffer;
    std::map<int64_t, Missing> missing;
    std::optional<PayloadStamp> frame;    // Being assembled.
    std::optional<PayloadStamp> decoded;  // The last one.
    Timestamp blocked_since = Timestamp::Never();
    bool wants_keyframe = false;
    Timestamp last_request = Timestamp::LongAgo();
    uint64_t received = 0;
    uint32_t last_sender_report = 0;
    Timestamp last_sender_report_at = Timestamp::LongAgo();
  };

  void HandleRtp(std::span<const uint8_t> bytes, Timestamp now);
  void HandleRtcp(std::span<const uint8_t> compound, Timestamp now);
  void OnPacket(Slot& slot, uint16_t sequence, Arrived arrived, bool repaired);
  void Play(Slot& slot, Timestamp now);
  void PlayPacket(Slot& slot, const Arrived& arrived, Timestamp now);
  void OnFrame(Slot& slot, const Arrived& last, Timestamp now);
  static void Seen(Slot& slot, const Arrived& arrived, Timestamp now);
  bool SkipToKeyframe(Slot& slot);
  void Unblock(Slot& slot, Timestamp now);
  void SendFeedback(Slot& slot, Timestamp now, ClientOutput& out);
  void SendReports(Timestamp now, ClientOutput& out);
  void SendTransportFeedback(Timestamp now, ClientOutput& out);

  SubscriberOptions options_;
  rtp::ExtensionMap extensions_;
  Rng rng_;
  uint32_t own_ssrc_;
  std::vector<Slot> slots_;
  Timestamp next_tick_ = Timestamp::LongAgo();
  Timestamp next_report_ = Timestamp::Never();
  Timestamp next_transport_feedback_ = Timestamp::Never();
  SequenceUnwrapper transport_sequences_;
  std::map<int64_t, Timestamp> arrivals_;
  int64_t next_base_ = -1;
  uint8_t feedback_count_ = 0;
  TimeDelta round_trip_ = TimeDelta::Millis(100);
};

}  // namespace vigil::sim
