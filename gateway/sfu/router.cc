#include "gateway/sfu/router.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/base/check.h"

namespace vigil::sfu {
namespace {

// A layer without a packet for this long is not being sent.
constexpr TimeDelta kLayerTimeout = TimeDelta::Millis(500);
// A slot that waits wishes again this long after its last wish for the layer: the wish, or the
// first packet of the keyframe, may have been lost on the way between workers. Higher leaves the
// picture black for longer after such a loss; lower fills the way with wishes that a publisher's
// throttle (stream::KeyframeRequester) merges anyway.
constexpr TimeDelta kWishAgain = TimeDelta::Millis(300);
// The receiver of a slot that is being fed may ask for a keyframe this often. A keyframe costs
// everybody who watches the feed a burst, and the publisher its quality: at a lower value one
// receiver that asks all the time, because its path is bad or it means harm, decides for all of
// them. At a higher one a receiver whose keyframe was lost waits longer for the next.
constexpr TimeDelta kRequestAgain = TimeDelta::Millis(1000);

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
    track.generations.resize(track.clocks.size(), 0);
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

void Router::OpenSlotsOf(PeerId peer, Timestamp now, RouterOutput& out) {
  for (auto it = slots_.lower_bound({peer, 0}); it != slots_.end() && it->first.peer == peer;
       ++it) {
    if (it->second.open) continue;
    it->second.open = true;
    WishOf(it->second, now, out);
  }
}

void Router::RemoveSlotsOf(PeerId peer) {
  for (auto it = slots_.lower_bound({peer, 0}); it != slots_.end() && it->first.peer == peer;) {
    Unsubscribe(it->second);
    it = slots_.erase(it);
  }
}

// The text goes to callers, who know feed and slot by other names: our ids count those of all
// sites.
absl::Status Router::CheckFits(const Slot& slot, const Feed& feed) {
  const Track& track = feed.tracks[static_cast<size_t>(slot.track.kind)];
  const char* kind = slot.track.kind == rtp::MediaKind::kVideo ? "picture" : "sound";
  if (track.codecs.empty()) {
    return absl::FailedPreconditionError(absl::StrCat("the feed has no ", kind));
  }
  std::vector<rtp::Codec> offered = track.codecs;
  if (track.current) offered = {*track.current};
  for (const rtp::Codec& codec : offered) {
    if (FindPayload(slot.track, codec)) return absl::OkStatus();
  }
  std::vector<rtp::Codec> accepted;
  for (const rtp::PayloadMapping& payload : slot.track.payloads) accepted.push_back(payload.codec);
  return absl::FailedPreconditionError(absl::StrCat("the feed sends ", DescribeAll(offered),
                                                    "; the slot takes ", DescribeAll(accepted)));
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
  WishOf(*slot, now, out);
  return absl::OkStatus();
}

absl::Status Router::Select(const SelectLayer& command, Timestamp now, RouterOutput& out) {
  Slot* slot = FindSlot(command.slot);
  if (slot == nullptr) return absl::NotFoundError(absl::StrCat(Name(command.slot), " not found"));
  slot->wanted_layer = command.layer;
  WishOf(*slot, now, out);
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
  slot.flows_since = Timestamp::LongAgo();
  slot.payload_index.reset();
  slot.mismatch_reported = false;
  slot.wished_at.fill(Timestamp::LongAgo());
  slot.forwarder.Begin();
  ++subscription_count_;
}

void Router::Forward(FeedId id, const rtp::TrackPacket& packet, Timestamp now, RouterOutput& out) {
  const auto it = feeds_.find(id);
  VIGIL_CHECK(it != feeds_.end());
  Feed& feed = it->second;
  Track& track = feed.Of(packet.kind);
  if (packet.layer >= track.last_packet.size()) {
    // A feed of another worker was attached with fewer layers than it has.
    ++copies_;
    drops_.Add(DropReason::kLayerNotWanted);
    return;
  }
  track.last_packet[packet.layer] = now;
  track.current = packet.codec;
  if (packet.generation != track.generations[packet.layer]) RestartSource(track, packet, now, out);
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

void Router::RestartSource(Track& track, const rtp::TrackPacket& packet, Timestamp now,
                           RouterOutput& out) {
  track.generations[packet.layer] = packet.generation;
  track.clocks[packet.layer] = {};
  for (Slot* slot : track.slots) {
    if (slot->layer != packet.layer) continue;
    slot->forwarder.Begin();
    if (!packet.content.starts_keyframe) WishOf(*slot, now, out);
  }
}

std::optional<DropReason> Router::ForwardTo(Slot& slot, Track& track,
                                            const rtp::TrackPacket& packet, Timestamp now,
                                            RouterOutput& out) {
  if (!slot.open) return DropReason::kPeerNotConnected;
  if (packet.layer != slot.layer || slot.forwarder.waiting()) {
    const std::optional<DropReason> refused = ChooseLayer(slot, track, packet, now, out);
    if (refused) return refused;
  }
  if (!ChoosePayload(slot, packet.codec, out)) {
    // Should the codec come back, it does so with a keyframe, and without a gap.
    slot.forwarder.Begin();
    return DropReason::kCodecMismatch;
  }
  Delivery delivery{.slot = slot.key, .rewrite = {.payload_index = *slot.payload_index}};
  const std::optional<DropReason> dropped =
      slot.forwarder.Forward(packet, rtp::ClockRateOf(packet.codec.type), now, delivery.rewrite);
  if (dropped) return dropped;
  const rtp::ClockMapping& clock = track.clocks[slot.layer];
  if (clock.IsKnown()) delivery.rewrite.publisher_clock_offset = clock.publisher_clock_offset;
  if (delivery.rewrite.first_of_feed) {
    // Also when it is not known: reports by the clock of the source before would be wrong.
    out.clocks.push_back({slot.key, ClockOf(slot, track)});
    if (slot.flows_since.IsLongAgo()) {
      out.events.push_back(SlotSwitched{slot.key, slot.feed, now - slot.assigned_at});
      if (packet.kind == rtp::MediaKind::kVideo) keyframe_wait_.Add(now - slot.assigned_at);
      slot.flows_since = now;
    }
  }
  ++delivered_;
  out.deliveries.push_back(delivery);
  return std::nullopt;
}

// Of a packet that is not of the slot's layer, or of a slot that waits: the slot goes over to its
// layer if that is better and a keyframe starts here, or else says why not.
std::optional<DropReason> Router::ChooseLayer(Slot& slot, const Track& track,
                                              const rtp::TrackPacket& packet, Timestamp now,
                                              RouterOutput& out) {
  if (!IsBetterLayer(slot, track, packet.layer, now)) return DropReason::kLayerNotWanted;
  const bool waiting = slot.forwarder.waiting();
  if (packet.payload.empty()) {
    return waiting ? DropReason::kPaddingOnly : DropReason::kLayerNotWanted;
  }
  if (slot.track.kind == rtp::MediaKind::kVideo && !packet.content.starts_keyframe) {
    // One that cannot take the codec waits for another, not for a keyframe of this one.
    if (MayWishAgain(slot, packet.layer, now) && FindPayload(slot.track, packet.codec)) {
      Wish(slot, packet.layer, now, out);
    }
    return waiting ? DropReason::kWaitingForKeyframe : DropReason::kLayerNotWanted;
  }
  slot.layer = packet.layer;
  slot.forwarder.Begin();
  return std::nullopt;
}

// Finds the slot's payload mapping for the codec; false, and reported once, if it has none.
bool Router::ChoosePayload(Slot& slot, const rtp::Codec& codec, RouterOutput& out) {
  if (!slot.payload_index || slot.codec != codec) {
    slot.codec = codec;
    slot.payload_index = FindPayload(slot.track, codec);
  }
  if (slot.payload_index) return true;
  if (!slot.mismatch_reported) out.events.push_back(SlotCodecMismatch{slot.key, slot.feed});
  slot.mismatch_reported = true;
  return false;
}

bool Router::IsSent(const Track& track, uint8_t layer, Timestamp now) {
  return now - track.last_packet[layer] < kLayerTimeout;
}

// Whether the slot should carry this layer, which is being sent, rather than its own. A waiting
// slot has none of its own: it takes the first keyframe that it wants, or any if no layer it wants
// is being sent, and changes to a better one later.
bool Router::IsBetterLayer(const Slot& slot, const Track& track, uint8_t layer, Timestamp now) {
  if (slot.forwarder.waiting()) {
    if (layer <= slot.wanted_layer) return true;
    for (uint8_t i = 0; i < layer; ++i) {
      if (IsSent(track, i, now)) return false;
    }
    return true;
  }
  const bool current_is_sent = IsSent(track, slot.layer, now);
  const bool current_is_wanted = slot.layer <= slot.wanted_layer;
  if (layer <= slot.wanted_layer) {
    return !current_is_sent || !current_is_wanted || layer > slot.layer;
  }
  // Nothing low enough is sent: the lowest there is beats none.
  return !current_is_sent || (!current_is_wanted && layer < slot.layer);
}

rtp::ClockMapping Router::ClockOf(const Slot& slot, const Track& track) {
  rtp::ClockMapping clock = track.clocks[slot.layer];
  if (clock.IsKnown()) clock.rtp += slot.forwarder.timestamp_offset();
  return clock;
}

void Router::OnKeyframeRequest(SlotKey key, Timestamp now, RouterOutput& out) {
  Slot* slot = FindSlot(key);
  if (slot == nullptr) return;
  if (slot->forwarder.waiting()) {
    if (!MayWishAgain(*slot, BestLayer(*slot), now)) return;
  } else {
    if (now - slot->requested_at < kRequestAgain) return;
    slot->requested_at = now;
  }
  WishOf(*slot, now, out);
}

// Wishes for a keyframe of the layer that the slot carries or, while it waits, wants best.
void Router::WishOf(Slot& slot, Timestamp now, RouterOutput& out) {
  if (slot.feed.IsNone() || !slot.open) return;
  if (slot.track.kind != rtp::MediaKind::kVideo) return;
  Wish(slot, slot.forwarder.waiting() ? BestLayer(slot) : slot.layer, now, out);
}

// The best layer of the feed's picture that the slot wants.
uint8_t Router::BestLayer(const Slot& slot) const {
  const auto it = feeds_.find(slot.feed);
  if (it == feeds_.end()) return 0;
  const Track& track = it->second.tracks[static_cast<size_t>(rtp::MediaKind::kVideo)];
  return static_cast<uint8_t>(std::min<size_t>(slot.wanted_layer, track.last_packet.size() - 1));
}

void Router::Wish(Slot& slot, uint8_t layer, Timestamp now, RouterOutput& out) {
  slot.wished_at[std::min<size_t>(layer, slot.wished_at.size() - 1)] = now;
  out.wishes.push_back({slot.feed, layer});
}

bool Router::MayWishAgain(const Slot& slot, uint8_t layer, Timestamp now) {
  return now - slot.wished_at[std::min<size_t>(layer, slot.wished_at.size() - 1)] >= kWishAgain;
}

void Router::OnClock(FeedId feed, rtp::MediaKind kind, uint8_t layer,
                     const rtp::ClockMapping& clock, RouterOutput& out) {
  const auto it = feeds_.find(feed);
  if (it == feeds_.end()) return;
  Track& track = it->second.Of(kind);
  if (layer >= track.clocks.size()) return;
  track.clocks[layer] = clock;
  for (const Slot* slot : track.slots) {
    if (slot->layer != layer || slot->forwarder.waiting()) continue;
    out.clocks.push_back({slot->key, ClockOf(*slot, track)});
  }
}

void Router::TakeBack(const Delivery& delivery) {
  if (Slot* slot = FindSlot(delivery.slot)) slot->forwarder.TakeBack(delivery.rewrite.sequence);
}

void Router::SkipTo(SlotKey key, int64_t sequence) {
  if (Slot* slot = FindSlot(key)) slot->forwarder.SkipTo(sequence);
}

uint8_t Router::LayersOf(FeedId id) const {
  const auto it = feeds_.find(id);
  return it == feeds_.end() ? 0 : std::max<uint8_t>(it->second.parameters.layers, 1);
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

Router::Flow Router::FlowOf(SlotKey key) const {
  const auto it = slots_.find(key);
  if (it == slots_.end() || it->second.feed.IsNone()) return {};
  const Slot& slot = it->second;
  Flow flow{.feed = slot.feed, .since = slot.flows_since, .blocked = std::nullopt};
  if (!slot.open) {
    flow.blocked = DropReason::kPeerNotConnected;
  } else if (slot.mismatch_reported) {
    flow.blocked = DropReason::kCodecMismatch;
  } else if (slot.forwarder.waiting()) {
    flow.blocked = DropReason::kWaitingForKeyframe;
  }
  return flow;
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
    for (size_t kind = 0; kind < 2; ++kind) {
      out.clocks[kind] = feed.tracks[kind].clocks;
      out.generations[kind] = feed.tracks[kind].generations;
    }
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
                           .flows_since = slot.flows_since,
                           .open = slot.open,
                           .mismatch_reported = slot.mismatch_reported});
  }
  return state;
}

bool Router::Restore(const State& state, Timestamp now) {
  for (const FeedState& feed : state.feeds) {
    if (!AddFeed(feed.parameters).ok()) return false;
    Feed& restored = feeds_.at(feed.parameters.feed);
    restored.relays = feed.relays;
    for (size_t kind = 0; kind < restored.tracks.size(); ++kind) {
      Track& track = restored.tracks[kind];
      if (feed.clocks[kind].size() != track.clocks.size() ||
          feed.generations[kind].size() != track.generations.size()) {
        return false;
      }
      track.clocks = feed.clocks[kind];
      track.generations = feed.generations[kind];
      // In doubt every layer is being sent: one that is not shows soon, and slots must not wander
      // because the first packet was not of theirs.
      std::fill(track.last_packet.begin(), track.last_packet.end(), now);
    }
  }
  for (const SlotState& slot : state.slots) {
    if (!RestoreSlot(slot)) return false;
  }
  rng_ = state.rng;
  return true;
}

bool Router::RestoreSlot(const SlotState& state) {
  if (!state.forwarder.IsConsistent() || HasSlot(state.key)) return false;
  AddSlot(state.key, state.track);
  Slot& slot = slots_.at(state.key);
  slot.open = state.open;
  slot.wanted_layer = state.wanted_layer;
  const auto feed = feeds_.find(state.feed);
  if (feed != feeds_.end()) {
    if (state.layer >= feed->second.Of(state.track.kind).last_packet.size()) return false;
    Subscribe(slot, feed->second, state.assigned_at);
    slot.layer = state.layer;
    slot.flows_since = state.flows_since;
    slot.mismatch_reported = state.mismatch_reported;
  }
  slot.forwarder = state.forwarder;
  // Its publisher was in its handshake and will join anew.
  if (slot.feed.IsNone()) slot.forwarder.Stop();
  return true;
}

}  // namespace vigil::sfu
