#include "gateway/base/drop_reason.h"

namespace vigil {

std::string_view ToString(DropReason reason) {
  switch (reason) {
    case DropReason::kMalformed:
      return "malformed";
    case DropReason::kOversized:
      return "oversized";
    case DropReason::kUnknownSource:
      return "unknown_source";
    case DropReason::kUnknownUfrag:
      return "unknown_ufrag";
    case DropReason::kStunUnauthenticated:
      return "stun_unauthenticated";
    case DropReason::kStunUnexpected:
      return "stun_unexpected";
    case DropReason::kDtlsNotReady:
      return "dtls_not_ready";
    case DropReason::kDtlsError:
      return "dtls_error";
    case DropReason::kSrtpAuth:
      return "srtp_auth";
    case DropReason::kSrtpReplay:
      return "srtp_replay";
    case DropReason::kUnknownSsrc:
      return "unknown_ssrc";
    case DropReason::kUnknownPayloadType:
      return "unknown_payload_type";
    case DropReason::kDuplicate:
      return "duplicate";
    case DropReason::kTooOld:
      return "too_old";
    case DropReason::kPaddingOnly:
      return "padding_only";
    case DropReason::kRtcpMalformed:
      return "rtcp_malformed";
    case DropReason::kNoSubscriber:
      return "no_subscriber";
    case DropReason::kWaitingForKeyframe:
      return "waiting_for_keyframe";
    case DropReason::kLayerNotWanted:
      return "layer_not_wanted";
    case DropReason::kCodecMismatch:
      return "codec_mismatch";
    case DropReason::kPeerNotConnected:
      return "peer_not_connected";
    case DropReason::kPoolExhausted:
      return "pool_exhausted";
    case DropReason::kQueueFull:
      return "queue_full";
    case DropReason::kSendFailed:
      return "send_failed";
    case DropReason::kSrtpIndexReserve:
      return "srtp_index_reserve";
    case DropReason::kWrongEpoch:
      return "wrong_epoch";
    case DropReason::kWrongGroup:
      return "wrong_group";
    case DropReason::kEdgeUnsupported:
      return "edge_unsupported";
    case DropReason::kDraining:
      return "draining";
    case DropReason::kStunReplay:
      return "stun_replay";
    case DropReason::kSrtpIndexMismatch:
      return "srtp_index_mismatch";
    case DropReason::kPoolReserve:
      return "pool_reserve";
    case DropReason::kAddressInUse:
      return "address_in_use";
    case DropReason::kCount:
      break;
  }
  return "unknown";
}

}  // namespace vigil
