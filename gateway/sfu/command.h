#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "gateway/base/strong_id.h"
#include "gateway/rtp/parameters.h"

// What can be asked of a worker. Plain structs: the HTTP and gRPC handlers, the simulator, the
// fuzzer and the load test all speak them. A command is applied by the one thread that owns its
// peer; the answer is an absl::Status naming the id that was wrong.

namespace vigil::sfu {

// One outgoing track of a peer: the index of its send track, which is its m-line's place.
struct SlotKey {
  PeerId peer;
  uint8_t index = 0;
  auto operator<=>(const SlotKey&) const = default;
  template <typename F>
  void Fields(F&& f) {
    f(peer, index);
  }
};

// The far end of one ICE and DTLS association, as offer and answer described it.
struct TransportDescription {
  std::string local_ufrag;
  std::string local_password;
  std::string remote_ufrag;
  std::string remote_password;
  std::string fingerprint_algorithm;  // "sha-256", ...
  // A digest by it, or several, one behind the other: the client's certificate has one of them.
  std::vector<uint8_t> fingerprint;
  // SRTP keys agreed on otherwise than by DTLS: simulation, and a restored peer. Empty: DTLS.
  // Master key and salt, ours then theirs, in the length of `srtp_profile`.
  uint8_t srtp_profile = 0;
  std::vector<uint8_t> srtp_local_key;
  std::vector<uint8_t> srtp_remote_key;

  template <typename F>
  void Fields(F&& f) {
    f(local_ufrag, local_password, remote_ufrag, remote_password, fingerprint_algorithm,
      fingerprint, srtp_profile, srtp_local_key, srtp_remote_key);
  }
};

// A client connection. Its receive tracks, if any, become the feed `publishes`.
struct CreatePeer {
  PeerId peer;
  GroupId group;
  SiteId site;
  TransportDescription transport;
  rtp::MediaParameters media;
  FeedId publishes;  // None: the peer only receives.
};

struct ClosePeer {
  PeerId peer;
};

// ICE restart (RFC 8445, 9): new credentials, same association.
struct RestartIce {
  PeerId peer;
  std::string local_ufrag;
  std::string local_password;
  std::string remote_ufrag;
  std::string remote_password;
};

// The slot carries `feed`'s track of its kind from the next keyframe on; none clears it.
struct AssignSlot {
  SlotKey slot;
  FeedId feed;
};

// Which simulcast layer a slot gets, by its index; the nearest lower one stands in while it is
// not sent. 255: the best there is.
struct SelectLayer {
  SlotKey slot;
  uint8_t layer = 255;
};

// Asks the feed's sender for a keyframe, through the usual throttle.
struct RequestKeyframe {
  FeedId feed;
};

// A feed that lives on another worker of this node becomes assignable here.
struct AttachRemoteFeed {
  FeedId feed;
  uint32_t origin_worker = 0;
  std::vector<rtp::Codec> audio_codecs;  // Empty: no sound.
  std::vector<rtp::Codec> video_codecs;  // Empty: no picture.
  uint8_t layers = 1;
};

struct DetachRemoteFeed {
  FeedId feed;
};

// Packets of a feed that lives here go to another worker of this node, too.
struct AddRelay {
  FeedId feed;
  uint32_t to_worker = 0;
};

struct RemoveRelay {
  FeedId feed;
  uint32_t to_worker = 0;
};

using Command =
    std::variant<CreatePeer, ClosePeer, RestartIce, AssignSlot, SelectLayer, RequestKeyframe,
                 AttachRemoteFeed, DetachRemoteFeed, AddRelay, RemoveRelay>;

}  // namespace vigil::sfu
