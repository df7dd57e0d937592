#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <variant>

#include "gateway/base/strong_id.h"
#include "gateway/base/time.h"
#include "gateway/sfu/command.h"

// What a worker reports. Events leave through a bounded ring; what does not fit is replaced by one
// Lagged, never waited for.

namespace vigil::sfu {

enum class CloseReason : uint8_t {
  kRequested,       // ClosePeer
  kConsentExpired,  // no authenticated check for 15 s (RFC 7675)
  kDtlsClosed,      // close_notify
  kDtlsFailed,      // handshake failed, or the certificate was not the offered one
  kConnectTimeout,  // never connected
};
constexpr size_t kCloseReasonCount = 5;
std::string_view ToString(CloseReason reason);

struct PeerConnected {
  PeerId peer;
};
struct PeerClosed {
  PeerId peer;
  CloseReason reason = CloseReason::kRequested;
};
// The slot's first packet of this feed was forwarded.
struct SlotSwitched {
  SlotKey slot;
  FeedId feed;
  TimeDelta waited;  // From the assignment to the first packet.
};
// The feed sends a codec which the slot was not negotiated for; nothing flows.
struct SlotCodecMismatch {
  SlotKey slot;
  FeedId feed;
};
// The feed is gone; its slots are empty.
struct FeedClosed {
  FeedId feed;
};
// `count` events were lost because nobody read them in time.
struct Lagged {
  uint64_t count = 0;
};

using Event =
    std::variant<PeerConnected, PeerClosed, SlotSwitched, SlotCodecMismatch, FeedClosed, Lagged>;

}  // namespace vigil::sfu
