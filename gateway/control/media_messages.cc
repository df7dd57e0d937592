#include "gateway/control/media_messages.h"

#include <algorithm>
#include <string_view>

#include "absl/strings/str_cat.h"

namespace vigil::control {
namespace {

constexpr int64_t kNanosPerSecond = 1'000'000'000;
constexpr std::string_view kHidden = "-";

std::string FormatOf(const rtp::Codec& codec) {
  switch (codec.type) {
    case rtp::CodecType::kOpus:
    case rtp::CodecType::kVp8:
      return "";
    case rtp::CodecType::kVp9:
      return absl::StrCat("profile-id=", codec.profile);
    case rtp::CodecType::kAv1:
      return absl::StrCat("profile=", codec.profile);
    case rtp::CodecType::kH264:
      // The level decides nothing here: written as 3.1.
      return absl::StrCat("profile-level-id=", absl::Hex(codec.profile, absl::kZeroPad4),
                          "1f;packetization-mode=", codec.packetization_mode);
  }
  return "";
}

}  // namespace

google::protobuf::Duration ToProto(TimeDelta span) {
  google::protobuf::Duration out;
  out.set_seconds(span.ns() / kNanosPerSecond);
  out.set_nanos(static_cast<int32_t>(span.ns() % kNanosPerSecond));
  return out;
}

v1::MediaKind ToProto(rtp::MediaKind kind) {
  return kind == rtp::MediaKind::kVideo ? v1::MEDIA_KIND_VIDEO : v1::MEDIA_KIND_AUDIO;
}

v1::Codec ToProto(const rtp::Codec& codec) {
  v1::Codec out;
  out.set_name(std::string(rtp::NameOf(codec.type)));
  out.set_parameters(FormatOf(codec));
  return out;
}

google::protobuf::Timestamp MediaMessages::Time(Timestamp at) const {
  const int64_t nanos = std::max<int64_t>(clock_.unix_nanos(at), 0);
  google::protobuf::Timestamp out;
  out.set_seconds(nanos / kNanosPerSecond);
  out.set_nanos(static_cast<int32_t>(nanos % kNanosPerSecond));
  return out;
}

std::string MediaMessages::FeedName(const worker::FeedKey& feed, SiteId from) const {
  if (feed.site == from) return feed.name.ToString();
  return absl::StrCat(sites_.NameOf(feed.site), "/", feed.name.ToString());
}

v1::Slot MediaMessages::Slot(const worker::PeerRecord& peer, uint32_t index) const {
  const worker::SlotRecord& slot = peer.slots[index];
  v1::Slot out;
  out.set_index(index);
  out.set_kind(ToProto(slot.kind));
  out.set_mid(slot.mid);
  if (slot.assigned) out.set_feed(FeedName(*slot.assigned, peer.site));
  return out;
}

v1::Peer MediaMessages::Peer(const worker::PeerRecord& peer) const {
  v1::Peer out;
  out.set_peer(peer.resource);
  out.set_phase(peer.connected ? v1::PEER_PHASE_CONNECTED : v1::PEER_PHASE_CONNECTING);
  if (peer.publishes) out.set_publishes(peer.publishes->ToString());
  for (uint32_t i = 0; i < peer.slots.size(); ++i) *out.add_slots() = Slot(peer, i);
  *out.mutable_create_time() = Time(peer.created_at);
  out.set_device(peer.device);
  return out;
}

v1::Feed MediaMessages::Feed(const worker::FeedRecord& feed) const {
  v1::Feed out;
  out.set_site(sites_.NameOf(feed.key.site));
  out.set_feed(feed.key.name.ToString());
  for (const rtp::Codec& codec : feed.audio_codecs) *out.add_audio_codecs() = ToProto(codec);
  for (const rtp::Codec& codec : feed.video_codecs) *out.add_video_codecs() = ToProto(codec);
  out.set_layers(feed.layers);
  *out.mutable_publish_time() = Time(feed.published_at);
  return out;
}

void Redact(const Caller& caller, v1::Slot& slot) {
  const std::string& feed = slot.feed();
  if (std::count(feed.begin(), feed.end(), '/') != 2) return;
  if (!caller.MayUseSite(std::string_view(feed).substr(0, feed.find('/')))) {
    slot.set_feed(std::string(kHidden));
  }
}

void Redact(const Caller& caller, v1::Peer& peer) {
  for (v1::Slot& slot : *peer.mutable_slots()) Redact(caller, slot);
}

void Redact(const Caller& caller, v1::MediaEvent& event) {
  if (event.has_peer_opened()) Redact(caller, *event.mutable_peer_opened()->mutable_peer());
  if (event.has_slot_assigned()) Redact(caller, *event.mutable_slot_assigned()->mutable_slot());
  if (event.has_slot_switched()) Redact(caller, *event.mutable_slot_switched()->mutable_slot());
  if (event.has_slot_mismatched()) {
    Redact(caller, *event.mutable_slot_mismatched()->mutable_slot());
  }
}

}  // namespace vigil::control
