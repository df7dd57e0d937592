#include "gateway/sfu/router.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/base/check.h"

namespace vigil::sfu {
namespace {

// A layer without a packet for this long is not being sent.
constexpr TimeDelta kLayerTimeout = TimeDelta::Millis(500);

std::string DescribeAll(const std::vector<rtp::Codec>& codecs) {
  std::string text;
  for (const rtp::Codec& codec : codecs) {
    absl::StrAppend(&text, text.empty() ? "" : ", ", rtp::Describe(codec));
  }
  return text;
}

std::optional<uint8_t> FindPayload(const rtp::SendTrack& track, const rtp::Codec& codec) {
  for (size_t i = 0; i < track.payloads.size(); ++i) {
    if (rtp::Fits(codec, track.payloads[i].codec)) return static_cast<uint8_t>(i);
  }
  return std::nullopt;
}

std::string Name(SlotKey key) {
  return absl::StrCat("slot ", key.index, " of peer ", key.peer.value());
}

}  // namespace

std::string_view ToString(CloseReason reason) {
  switch (reason) {
    case CloseReason::kRequested:
      return "requested";
    case CloseReason::kConsentExpired:
      return "consent_expired";
    case CloseReason::kDtlsClosed:
      return "dtls_closed";
    case CloseReason::kDtlsFailed:
      return "dtls_failed";
    case CloseReason::kConnectTimeout:
      return "connect_timeout";
  }
  return "unknown";
}

absl::Status Router::AddFeed(const FeedParameters& parameters) {
  if (feeds_.contains(parameters.feed)) {
    return absl::AlreadyExistsError(absl::StrCat("feed ", parameters.feed.value(), " exists"));
  }
  Feed feed;
  feed.parameters = parameters;
  feed.Of(rtp::MediaKind::kAudio).codecs = parameters.audio_codecs;
  feed.Of(rtp::MediaKind::kVideo).codecs = parameters.video_codecs;
  for (Track& track : feed.tracks) {
    track.clocks.resize(std::max<size_t>(parameters.layers, 1));
    track.last_packet.resize(track.clocks.size(), Timestamp::LongAgo());
  }
  feeds_.emplace(parameters.feed, std::move(feed));
  feed_order_.push_back(parameters.feed);
  return absl::OkStatus();
}

void Router::RemoveFeed(FeedId id, RouterOutput& out) {
  const auto it = feeds_.find(id);
  if (it == feeds_.end()) return;
  for (Track& track : it->second.tracks) {
    while (!track.slots.empty()) Unsubscribe(*track.slots.back());
  }
  feeds_.erase(it);
  std::erase(feed_order_, id);
  out.events.push_back(FeedClosed{id});
}

absl::Status Router::AddRelay(FeedId id, uint32_t worker) {
  const auto it = feeds_.find(id);
  if (it == feeds_.end()) {
    return absl::NotFoundError(absl::StrCat("feed ", id.value(), " not found"));
  }
  std::vector<uint32_t>& relays = it->second.relays;
  const auto at = std::lower_bound(relays.begin(), relays.end(), worker);
  if (at == relays.end() || *at != worker) relays.insert(at, worker);
  return absl::OkStatus();
}

absl::Status Router::RemoveRelay(FeedId id, uint32_t worker) {
  const auto it = feeds_.find(id);
  if (it == feeds_.end()) {
    return absl::NotFoundError(absl::StrCat("feed ", id.value(), " not found"));
  }
  std::erase(it->second.relays, worker);
  return absl::OkStatus();
}

void Router::AddSlot(SlotKey key, const rtp::SendTrack& track) {
  // Initial values below half the range: the first wrap is then counted right (RFC 3711, 3.3.1).
  const auto first_sequence = static_cast<uint16_t>(rng_.Below(0x4000) + 1);
  const auto first_timestamp = static_cast<uint32_t>(rng_.Below(0x40000000));
  const bool added =
      slots_
          .emplace(key, Slot{.key = key,
                             .track = track,
                             .forwarder = Forwarder(track.kind, first_sequence, first_timestamp)})
          .second;
  VIGIL_CHECK(added);
}

void Router::OpenSlotsOf(PeerId peer, RouterOutput& out) {
  for (auto it = slots_.lower_bound({peer, 0}); it != slots_.end() && it->first.peer == peer;
       ++it) {
    it->second.open = true;
    OnKeyframeRequest(it->first, out);
  }
}

void Router::RemoveSlotsOf(PeerId peer) {
  for (auto it = slots_.lower_bound({peer, 0}); it != slots_.end() && it->first.peer == peer;) {
    Unsubscribe(it->second);
    it = slots_.erase(it);
  }
}

absl::Status Router::CheckFits(const Slot& slot, const Feed& feed) {
  const Track& track = feed.tracks[static_cast<size_t>(slot.track.kind)];
  const char* kind = slot.track.kind == rtp::MediaKind::kVideo ? "picture" : "sound";
  if (track.codecs.empty()) {
    return absl::FailedPreconditionError(absl::StrCat("feed ", feed.parameters.feed.value(),
                                                      " has no ", kind, " for ", Name(slot.key)));
  }
  std::vector<rtp::Codec> offered = track.codecs;
  if (track.current) offered = {*track.current};
  for (const rtp::Codec& codec : offered) {
    if (FindPayload(slot.track, codec)) return absl::OkStatus();
  }
  std::vector<rtp::Codec> accepted;
  for (const rtp::PayloadMapping& payload : slot.track.payloads) accepted.push_back(payload.codec);
  return absl::FailedPreconditionError(
      absl::StrCat("feed ", feed.parameters.feed.value(), " sends ", DescribeAll(offered), "; ",
                   Name(slot.key), " takes ", DescribeAll(accepted)));
}

absl::Status Router::Assign(const AssignSlot& command, Timestamp now, RouterOutput& out) {
  Slot* slot = FindSlot(command.slot);
  if (slot == nullptr) return absl::NotFoundError(absl::StrCat(Name(command.slot), " not found"));
  if (command.feed.IsNone()) {
    Unsubscribe(*slot);
    return absl::OkStatus();
  }
  const auto it = feeds_.find(command.feed);
  if (it == feeds_.end()) {
    return absl::NotFoundError(absl::StrCat("feed ", command.feed.value(), " not found"));
  }
  if (slot->feed == command.feed) return absl::OkStatus();
  absl::Status fits = CheckFits(*slot, it->second);
  if (!fits.ok()) return fits;
  Unsubscribe(*slot);
  Subscribe(*slot, it->second, now);
  OnKeyframeRequest(slot->key, out);
  return absl::OkStatus();
}

absl::Status Router::Select(const SelectLayer& command, RouterOutput& out) {
  Slot* slot = FindSlot(command.slot);
  if (slot == nullptr) return absl::NotFoundError(absl::StrCat(Name(command.slot), " not found"));
  slot->wanted_layer = command.layer;
  OnKeyframeRequest(slot->key, out);
  return absl::OkStatus();
}

void Router::Unsubscribe(Slot& slot) {
  if (slot.feed.IsNone()) return;
  const auto it = feeds_.find(slot.feed);
  VIGIL_CHECK(it != feeds_.end());
  std::erase(it->second.Of(slot.track.kind).slots, &slot);
  slot.feed = FeedId();
  slot.forwarder.Stop();
  --subscription_count_;
}

void Router::Subscribe(Slot& slot, Feed& feed, Timestamp now) {
  feed.Of(slot.track.kind).slots.push_back(&slot);
  slot.feed = feed.parameters.feed;
  slot.layer = 0;
  slot.assigned_at = now;
  slot.announced = false;
  slot.payload_index.reset();
  slot.mismatch_reported = false;
  slot.forwarder.Begin();
  ++subscription_count_;
}

void Router::Forward(FeedId id, const rtp::TrackPacket& packet, Timestamp now, RouterOutput& out) {
  const auto it = feeds_.find(id);
  VIGIL_CHECK(it != feeds_.end());
  Feed& feed = it->second;
  Track& track = feed.Of(packet.kind);
  VIGIL_CHECK(packet.layer < track.last_packet.size());
  track.last_packet[packet.layer] = now;
  if (!track.current || *track.current != packet.codec) track.current = packet.codec;
  if (packet.first_of_stream) {
    RestartSource(track, packet.layer);
    // The keyframe that the new stream began with was lost, and no receiver can see that.
    if (packet.kind == rtp::MediaKind::kVideo && !packet.content.starts_keyframe) {
      out.wishes.push_back({id, packet.layer});
    }
  }
  if (track.slots.empty() && feed.relays.empty()) {
    ++copies_;
    drops_.Add(DropReason::kNoSubscriber);
    return;
  }
  out.relays.insert(out.relays.end(), feed.relays.begin(), feed.relays.end());
  copies_ += feed.relays.size();
  delivered_ += feed.relays.size();
  for (Slot* slot : track.slots) {
    ++copies_;
    const std::optional<DropReason> dropped = ForwardTo(*slot, track, packet, now, out);
    if (dropped) drops_.Add(*dropped);
  }
}

void Router::RestartSource(Track& track, uint8_t layer) {
  track.clocks[layer] = {};
  for (Slot* slot : track.slots) {
    if (slot->layer == layer) slot->forwarder.Begin();
  }
}

std::optional<DropReason> Router::ForwardTo(Slot& slot, Track& track,
                                            const rtp::TrackPacket& packet, Timestamp now,
                                            RouterOutput& out) {
  if (!slot.open) return DropReason::kPeerNotConnected;
  if (packet.layer != slot.layer || slot.forwarder.waiting()) {
    const bool better = slot.forwarder.waiting() || IsBetterLayer(slot, track, packet.layer, now);
    if (!better) return DropReason::kLayerNotWanted;
    if (slot.track.kind == rtp::MediaKind::kVideo && !packet.content.starts_keyframe) {
      if (track.last_packet.size() > 1) out.wishes.push_back({slot.feed, packet.layer});
      return slot.forwarder.waiting() ? DropReason::kWaitingForKeyframe
                                      : DropReason::kLayerNotWanted;
    }
    slot.layer = packet.layer;
    slot.forwarder.Begin();
  }
  if (!slot.payload_index || slot.codec != packet.codec) {
    slot.codec = packet.codec;
    slot.payload_index = FindPayload(slot.track, packet.codec);
  }
  if (!slot.payload_index) {
    if (!slot.mismatch_reported) out.events.push_back(SlotCodecMismatch{slot.key, slot.feed});
    slot.mismatch_reported = true;
    return DropReason::kCodecMismatch;
  }
  Delivery delivery{.slot = slot.key, .rewrite = {.payload_index = *slot.payload_index}};
  const std::optional<DropReason> dropped =
      slot.forwarder.Forward(packet, rtp::ClockRateOf(packet.codec.type), now, delivery.rewrite);
  if (dropped) return dropped;
  if (track.clocks[slot.layer].IsKnown()) {
    delivery.rewrite.publisher_clock_offset = track.clocks[slot.layer].publisher_clock_offset;
  }
  if (delivery.rewrite.first_of_feed) {
    if (const std::optional<ClockUpdate> clock = ClockOf(slot, track)) {
      out.clocks.push_back(*clock);
    }
    if (!slot.announced) {
      out.events.push_back(SlotSwitched{slot.key, slot.feed, now - slot.assigned_at});
      slot.announced = true;
    }
  }
  ++delivered_;
  out.deliveries.push_back(delivery);
  return std::nullopt;
}

// Whether the slot should move from its layer to this one, which is being sent.
bool Router::IsBetterLayer(const Slot& slot, const Track& track, uint8_t layer, Timestamp now) {
  const bool current_is_sent = now - track.last_packet[slot.layer] < kLayerTimeout;
  const bool current_is_wanted = slot.layer <= slot.wanted_layer;
  if (layer <= slot.wanted_layer) {
    return !current_is_sent || !current_is_wanted || layer > slot.layer;
  }
  // Nothing low enough is sent: the lowest there is beats none.
  return !current_is_sent || (!current_is_wanted && layer < slot.layer);
}

std::optional<ClockUpdate> Router::ClockOf(const Slot& slot, const Track& track) {
  rtp::ClockMapping clock = track.clocks[slot.layer];
  if (!clock.IsKnown() || slot.forwarder.waiting()) return std::nullopt;
  clock.rtp += slot.forwarder.timestamp_offset();
  return ClockUpdate{slot.key, clock};
}

void Router::OnKeyframeRequest(SlotKey key, RouterOutput& out) {
  const Slot* slot = FindSlot(key);
  if (slot == nullptr || slot->feed.IsNone() || !slot->open ||
      slot->track.kind != rtp::MediaKind::kVideo) {
    return;
  }
  const auto it = feeds_.find(slot->feed);
  VIGIL_CHECK(it != feeds_.end());
  const Track& track = it->second.Of(rtp::MediaKind::kVideo);
  const auto best =
      static_cast<uint8_t>(std::min<size_t>(slot->wanted_layer, track.last_packet.size() - 1));
  out.wishes.push_back({slot->feed, slot->forwarder.waiting() ? best : slot->layer});
}

void Router::OnClock(FeedId feed, rtp::MediaKind kind, uint8_t layer,
                     const rtp::ClockMapping& clock, RouterOutput& out) {
  const auto it = feeds_.find(feed);
  if (it == feeds_.end()) return;
  Track& track = it->second.Of(kind);
  if (layer >= track.clocks.size()) return;
  track.clocks[layer] = clock;
  for (const Slot* slot : track.slots) {
    if (slot->layer != layer) continue;
    if (const std::optional<ClockUpdate> update = ClockOf(*slot, track)) {
      out.clocks.push_back(*update);
    }
  }
}

void Router::SkipTo(SlotKey key, int64_t sequence) {
  if (Slot* slot = FindSlot(key)) slot->forwarder.SkipTo(sequence);
}

std::span<const uint32_t> Router::RelaysOf(FeedId id) const {
  const auto it = feeds_.find(id);
  if (it == feeds_.end()) return {};
  return it->second.relays;
}

FeedId Router::FeedOf(SlotKey key) const {
  const auto it = slots_.find(key);
  return it == slots_.end() ? FeedId() : it->second.feed;
}

Router::Slot* Router::FindSlot(SlotKey key) {
  const auto it = slots_.find(key);
  return it == slots_.end() ? nullptr : &it->second;
}

Router::State Router::Export() const {
  State state;
  state.rng = rng_;
  for (const FeedId id : feed_order_) {
    const Feed& feed = feeds_.at(id);
    FeedState& out = state.feeds.emplace_back();
    out.parameters = feed.parameters;
    for (size_t kind = 0; kind < 2; ++kind) out.clocks[kind] = feed.tracks[kind].clocks;
    out.relays = feed.relays;
  }
  for (const auto& [key, slot] : slots_) {
    state.slots.push_back({.key = key,
                           .track = slot.track,
                           .feed = slot.feed,
                           .wanted_layer = slot.wanted_layer,
                           .layer = slot.layer,
                           .forwarder = slot.forwarder,
                           .assigned_at = slot.assigned_at,
                           .announced = slot.announced,
                           .open = slot.open});
  }
  return state;
}

bool Router::Restore(const State& state, Timestamp now) {
  rng_ = state.rng;
  for (const FeedState& feed : state.feeds) {
    if (!AddFeed(feed.parameters).ok()) return false;
    Feed& restored = feeds_.at(feed.parameters.feed);
    restored.relays = feed.relays;
    for (size_t kind = 0; kind < 2; ++kind) {
      if (feed.clocks[kind].size() == restored.tracks[kind].clocks.size()) {
        restored.tracks[kind].clocks = feed.clocks[kind];
      }
    }
  }
  for (const SlotState& slot : state.slots) {
    if (!slot.forwarder.IsConsistent() || slots_.contains(slot.key)) return false;
    AddSlot(slot.key, slot.track);
    Slot& restored = slots_.at(slot.key);
    const auto feed = feeds_.find(slot.feed);
    if (feed != feeds_.end()) Subscribe(restored, feed->second, slot.assigned_at);
    restored.wanted_layer = slot.wanted_layer;
    restored.layer = slot.layer;
    // Its layer counts as being sent, or the first packet of any other would look better.
    if (feed != feeds_.end() && slot.layer < feed->second.Of(slot.track.kind).last_packet.size()) {
      feed->second.Of(slot.track.kind).last_packet[slot.layer] = now;
    }
    restored.announced = slot.announced;
    restored.open = slot.open;
    restored.forwarder = slot.forwarder;
  }
  rng_ = state.rng;
  return true;
}

}  // namespace vigil::sfu
