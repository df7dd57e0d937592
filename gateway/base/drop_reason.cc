#include "gateway/base/drop_reason.h"

namespace vigil {
namespace {

// In the order of DropReason.
constexpr std::array<std::string_view, kDropReasonCount> kNames = {
    "malformed",
    "oversized",
    "unknown_source",
    "unknown_ufrag",
    "stun_unauthenticated",
    "stun_unexpected",
    "dtls_not_ready",
    "dtls_error",
    "srtp_auth",
    "srtp_replay",
    "unknown_ssrc",
    "unknown_payload_type",
    "duplicate",
    "too_old",
    "padding_only",
    "rtcp_malformed",
    "no_subscriber",
    "waiting_for_keyframe",
    "layer_not_wanted",
    "codec_mismatch",
    "peer_not_connected",
    "pool_exhausted",
    "queue_full",
    "send_failed",
    "srtp_index_reserve",
    "wrong_epoch",
    "wrong_group",
    "edge_unsupported",
    "draining",
    "stun_replay",
    "srtp_index_mismatch",
    "pool_reserve",
    "address_in_use",
};
static_assert(!kNames.back().empty(), "each reason has a name");

}  // namespace

std::string_view ToString(DropReason reason) {
  const auto i = static_cast<size_t>(reason);
  return i < kNames.size() ? kNames[i] : "unknown";
}

}  // namespace vigil
