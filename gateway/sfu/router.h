#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "gateway/base/drop_reason.h"
#include "gateway/base/histogram.h"
#include "gateway/base/rng.h"
#include "gateway/base/time.h"
#include "gateway/rtp/parameters.h"
#include "gateway/rtp/track_packet.h"
#include "gateway/sfu/command.h"
#include "gateway/sfu/event.h"
#include "gateway/sfu/forwarder.h"

namespace vigil::sfu {

// One copy of a packet for one slot.
struct Delivery {
  SlotKey slot;
  rtp::Rewrite rewrite;
};

// A keyframe is wanted of this layer of the feed's picture.
struct KeyframeWish {
  FeedId feed;
  uint8_t layer = 0;
};

// A slot's source clock in outgoing timestamps, for its sender reports; unknown after a switch to a
// source that has not reported yet.
struct ClockUpdate {
  SlotKey slot;
  rtp::ClockMapping clock;
};

// What one call of the router gave rise to besides deliveries. Reused: cleared by its owner.
struct RouterOutput {
  std::vector<Delivery> deliveries;
  std::vector<uint32_t> relays;  // Workers that get a copy of the packet.
  std::vector<KeyframeWish> wishes;
  std::vector<ClockUpdate> clocks;
  std::vector<Event> events;

  void Clear() {
    deliveries.clear();
    relays.clear();
    wishes.clear();
    clocks.clear();
    events.clear();
  }
};

struct FeedParameters {
  FeedId feed;
  SiteId site;
  std::vector<rtp::Codec> audio_codecs;  // Negotiated; empty: the feed has no sound.
  std::vector<rtp::Codec> video_codecs;
  uint8_t layers = 1;

  template <typename F>
  void Fields(F&& f) {
    f(feed, site, audio_codecs, video_codecs, layers);
  }
};

// Which slot carries which feed, and how each packet is rewritten for it. Knows neither peers nor
// sockets: packets come in, deliveries go out.
class Router {
 public:
  explicit Router(uint64_t seed) : rng_(seed) {}
  Router(const Router&) = delete;
  Router& operator=(const Router&) = delete;

  absl::Status AddFeed(const FeedParameters& parameters);
  // Its slots become empty, and FeedClosed is reported.
  void RemoveFeed(FeedId feed, RouterOutput& out);
  // Copies of the feed's packets go to another worker, or no longer do. Both may be repeated.
  absl::Status AddRelay(FeedId feed, uint32_t worker);
  absl::Status RemoveRelay(FeedId feed, uint32_t worker);
  // A new slot is closed: it can be assigned, but nothing is forwarded before its peer is there to
  // take it, so that outgoing counters begin with the first packet that is really sent: otherwise
  // they could run ahead of the receiver's rollover counter (RFC 3711, 3.3.1).
  void AddSlot(SlotKey key, const rtp::SendTrack& track);
  // Asks for the keyframes that the slots have been waiting for.
  void OpenSlotsOf(PeerId peer, Timestamp now, RouterOutput& out);
  void RemoveSlotsOf(PeerId peer);

  // NOT_FOUND for an unknown slot or feed; FAILED_PRECONDITION naming both sides' codecs when the
  // feed has no track of the slot's kind, or none of a codec the slot was negotiated for.
  absl::Status Assign(const AssignSlot& command, Timestamp now, RouterOutput& out);
  absl::Status Select(const SelectLayer& command, Timestamp now, RouterOutput& out);

  // Stop 4 of a packet's way: one delivery for each slot it goes to.
  void Forward(FeedId feed, const rtp::TrackPacket& packet, Timestamp now, RouterOutput& out);

  // The receiver of this slot cannot go on without a keyframe. Passed on at most once a second
  // while the slot is being fed.
  void OnKeyframeRequest(SlotKey slot, Timestamp now, RouterOutput& out);
  // The publisher's media clock was learned anew (a sender report).
  void OnClock(FeedId feed, rtp::MediaKind kind, uint8_t layer, const rtp::ClockMapping& clock,
               RouterOutput& out);
  // A delivery was not sent, and its sequence number is free.
  void TakeBack(const Delivery& delivery);
  // Continues the slot's outgoing sequence at `sequence` or later.
  void SkipTo(SlotKey slot, int64_t sequence);

  bool HasFeed(FeedId feed) const { return feeds_.contains(feed); }
  bool HasSlot(SlotKey slot) const { return slots_.contains(slot); }
  // Simulcast layers of the feed's picture, at least 1; 0 for an unknown feed.
  uint8_t LayersOf(FeedId feed) const;
  // Empty for an unknown feed.
  std::span<const uint32_t> RelaysOf(FeedId feed) const;
  FeedId FeedOf(SlotKey slot) const;
  // What a slot is to carry, since when its packets flow, or what they wait for.
  struct Flow {
    FeedId feed;
    Timestamp since = Timestamp::LongAgo();
    std::optional<DropReason> blocked;
  };
  Flow FlowOf(SlotKey slot) const;
  size_t subscription_count() const { return subscription_count_; }
  // Copies that were not delivered, by reason.
  const DropCounters& drops() const { return drops_; }
  // Packets times subscriptions, a packet without subscription counting once.
  uint64_t copies() const { return copies_; }
  uint64_t delivered() const { return delivered_; }
  // From a picture's assignment to its first packet, of all slots.
  const DurationHistogram& keyframe_wait() const { return keyframe_wait_; }

  struct SlotState {
    SlotKey key;
    rtp::SendTrack track;
    FeedId feed;
    uint8_t wanted_layer = 255;
    uint8_t layer = 0;
    Forwarder forwarder;
    Timestamp assigned_at = Timestamp::LongAgo();
    Timestamp flows_since = Timestamp::LongAgo();
    bool open = false;
    bool mismatch_reported = false;
    template <typename F>
    void Fields(F&& f) {
      f(key, track, feed, wanted_layer, layer, forwarder, assigned_at, flows_since, open,
        mismatch_reported);
    }
  };
  struct FeedState {
    FeedParameters parameters;
    std::array<std::vector<rtp::ClockMapping>, 2> clocks;
    std::vector<uint32_t> relays;
    std::array<std::vector<uint32_t>, 2> generations;
    template <typename F>
    void Fields(F&& f) {
      f(parameters, clocks, relays, generations);
    }
  };
  struct State {
    std::vector<FeedState> feeds;
    std::vector<SlotState> slots;
    Rng rng{0};
    template <typename F>
    void Fields(F&& f) {
      f(feeds, slots, rng);
    }
  };
  State Export() const;
  // Into a fresh router. False if the state cannot be one of ours.
  bool Restore(const State& state, Timestamp now);

 private:
  struct Slot {
    SlotKey key;
    rtp::SendTrack track;
    Forwarder forwarder;
    FeedId feed;
    uint8_t wanted_layer = 255;
    uint8_t layer = 0;
    Timestamp assigned_at = Timestamp::LongAgo();
    // When SlotSwitched was reported for this assignment; LongAgo: not yet.
    Timestamp flows_since = Timestamp::LongAgo();
    bool open = false;  // Its peer can be sent to.
    // The payload mapping of the codec that came last: codecs change rarely.
    rtp::Codec codec;
    std::optional<uint8_t> payload_index;
    bool mismatch_reported = false;
    // When it last wished for a keyframe, by layer; layers beyond the last share its place. Not
    // state: who restores it may as well wish at once.
    std::array<Timestamp, 4> wished_at = {Timestamp::LongAgo(), Timestamp::LongAgo(),
                                          Timestamp::LongAgo(), Timestamp::LongAgo()};
    Timestamp requested_at = Timestamp::LongAgo();  // By its receiver, while it was fed.
  };
  struct Track {
    std::vector<rtp::Codec> codecs;         // Empty: the feed has no such track.
    std::optional<rtp::Codec> current;      // Of the last packet.
    std::vector<rtp::ClockMapping> clocks;  // By layer.
    std::vector<Timestamp> last_packet;     // By layer.
    std::vector<uint32_t> generations;      // By layer, of the last packet; 0 before the first.
    std::vector<Slot*> slots;
  };
  struct Feed {
    FeedParameters parameters;
    std::array<Track, 2> tracks;   // By MediaKind.
    std::vector<uint32_t> relays;  // Ascending worker indexes.
    Track& Of(rtp::MediaKind kind) { return tracks[static_cast<size_t>(kind)]; }
  };

  Slot* FindSlot(SlotKey key);
  static absl::Status CheckFits(const Slot& slot, const Feed& feed);
  void Unsubscribe(Slot& slot);
  void Subscribe(Slot& slot, Feed& feed, Timestamp now);
  void RestartSource(Track& track, const rtp::TrackPacket& packet, Timestamp now,
                     RouterOutput& out);
  void WishOf(Slot& slot, Timestamp now, RouterOutput& out);
  uint8_t BestLayer(const Slot& slot) const;
  static void Wish(Slot& slot, uint8_t layer, Timestamp now, RouterOutput& out);
  static bool MayWishAgain(const Slot& slot, uint8_t layer, Timestamp now);
  static bool IsSent(const Track& track, uint8_t layer, Timestamp now);
  static bool IsBetterLayer(const Slot& slot, const Track& track, uint8_t layer, Timestamp now);
  static std::optional<DropReason> ChooseLayer(Slot& slot, const Track& track,
                                               const rtp::TrackPacket& packet, Timestamp now,
                                               RouterOutput& out);
  bool RestoreSlot(const SlotState& state);
  static bool ChoosePayload(Slot& slot, const rtp::Codec& codec, RouterOutput& out);
  std::optional<DropReason> ForwardTo(Slot& slot, Track& track, const rtp::TrackPacket& packet,
                                      Timestamp now, RouterOutput& out);
  // Unknown while the source's is.
  static rtp::ClockMapping ClockOf(const Slot& slot, const Track& track);

  Rng rng_;
  absl::flat_hash_map<FeedId, Feed> feeds_;
  std::vector<FeedId> feed_order_;  // What is walked in place of the hash map.
  // Ordered, so that everything that walks slots repeats by seed; nodes do not move.
  std::map<SlotKey, Slot> slots_;
  size_t subscription_count_ = 0;
  DropCounters drops_;
  uint64_t copies_ = 0;
  uint64_t delivered_ = 0;
  DurationHistogram keyframe_wait_;
};

}  // namespace vigil::sfu
