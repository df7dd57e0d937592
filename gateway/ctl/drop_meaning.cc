#include "gateway/ctl/drop_meaning.h"

#include <array>
#include <optional>

#include "absl/strings/str_cat.h"
#include "gateway/base/drop_reason.h"

namespace vigil::ctl {
namespace {

struct Meaning {
  DropReason reason;
  bool harmless;
  std::string_view text;
};

// In the order of DropReason.
constexpr std::array kMeanings = {
    Meaning{DropReason::kMalformed, false,
            "it could not be read: damaged, cut short, or no media at all"},
    Meaning{DropReason::kOversized, false,
            "longer than a packet may be: the sender's MTU is too large"},
    Meaning{DropReason::kUnknownSource, false, "a packet from an address that never proved itself"},
    Meaning{DropReason::kUnknownUfrag, false,
            "a connectivity check for a connection that is not here: it has ended, or is of "
            "another node"},
    Meaning{DropReason::kStunUnauthenticated, false,
            "a connectivity check with the wrong password: a client from before a restart, or a "
            "stranger"},
    Meaning{DropReason::kStunUnexpected, true, "a STUN message that a gateway has no use for"},
    Meaning{DropReason::kDtlsNotReady, false,
            "media came before the handshake was done, or after it failed"},
    Meaning{DropReason::kDtlsError, false,
            "the encryption handshake was refused: damaged, or not of this connection"},
    Meaning{DropReason::kSrtpAuth, false, "a packet that is not authentic: wrong key or damaged"},
    Meaning{DropReason::kSrtpReplay, false, "a packet that came twice or much too late"},
    Meaning{DropReason::kUnknownSsrc, false, "authentic, but of a stream that was not agreed on"},
    Meaning{DropReason::kUnknownPayloadType, false,
            "authentic, but of a codec that was not agreed on"},
    Meaning{DropReason::kDuplicate, true, "it came twice"},
    Meaning{DropReason::kTooOld, false,
            "it came too late to be of use: the sender's network reorders or delays a lot"},
    Meaning{DropReason::kPaddingOnly, true, "a probe of the sender's bandwidth estimate"},
    Meaning{DropReason::kRtcpMalformed, false, "a report that could not be read"},
    Meaning{DropReason::kNoSubscriber, true, "nobody is assigned to it"},
    Meaning{DropReason::kWaitingForKeyframe, false,
            "a receiver waits for the sender's next keyframe"},
    Meaning{DropReason::kLayerNotWanted, true, "another simulcast layer is being forwarded"},
    Meaning{DropReason::kCodecMismatch, false,
            "the feed's codec is none that the receiver offered"},
    Meaning{DropReason::kPeerNotConnected, false, "the receiver is not connected yet"},
    Meaning{DropReason::kPoolExhausted, false,
            "the node has no packet buffers left: it is overloaded"},
    Meaning{DropReason::kQueueFull, false, "the node is overloaded, or the receiver's network is"},
    Meaning{DropReason::kSendFailed, false,
            "this machine's network refused to send: route or firewall"},
    Meaning{DropReason::kSrtpIndexReserve, false,
            "the packet numbers that were set aside for this stream are used up"},
    Meaning{DropReason::kWrongEpoch, false,
            "an edge still sends for an earlier owner of the connection"},
    Meaning{DropReason::kWrongGroup, false,
            "an edge sends for a group of connections that is not on this node"},
    Meaning{DropReason::kEdgeUnsupported, false,
            "an edge of a version that this node does not speak"},
    Meaning{DropReason::kDraining, false, "the node is draining and takes nothing new"},
    Meaning{DropReason::kStunReplay, false,
            "a connectivity check that came from another address before: somebody copied it"},
    Meaning{DropReason::kSrtpIndexMismatch, false,
            "it would have been encrypted under a number that the receiver does not expect"},
    Meaning{DropReason::kPoolReserve, false,
            "few packet buffers are left, kept for sound: overloaded"},
    Meaning{DropReason::kAddressInUse, false,
            "a client came from an address that another one is alive on"},
};

constexpr bool IsComplete() {
  for (size_t i = 0; i < kMeanings.size(); ++i) {
    if (kMeanings[i].reason != static_cast<DropReason>(i)) return false;
  }
  return kMeanings.size() == kDropReasonCount;
}
static_assert(IsComplete(), "each reason has a meaning");

const Meaning* Find(std::string_view label) {
  for (const Meaning& meaning : kMeanings) {
    if (ToString(meaning.reason) == label) return &meaning;
  }
  return nullptr;
}

}  // namespace

std::string DropText(std::string_view label) {
  const Meaning* meaning = Find(label);
  if (meaning == nullptr) return std::string(label);
  return absl::StrCat(std::string(meaning->text), meaning->harmless ? ": harmless" : "");
}

bool IsHarmlessDrop(std::string_view label) {
  const Meaning* meaning = Find(label);
  return meaning != nullptr && meaning->harmless;
}

}  // namespace vigil::ctl
