#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "gateway/base/client_address.h"
#include "gateway/base/drop_reason.h"

struct stun_agent_t;  // libnice's StunAgent.

// STUN as an ICE-lite responder needs it (RFC 8489, RFC 8445 section 7.3). Every byte is read and
// written by libnice's STUN API.

namespace vigil::ice {

// The two halves of USERNAME in a connectivity check: the ufrag of the agent that is asked, then
// the ufrag of the one who asks (RFC 8445, 7.2.2). The views point into the datagram.
struct CheckUsername {
  std::string_view local;
  std::string_view remote;
};

// The USERNAME of a well-formed binding request, by which the check finds its peer. Authenticates
// nothing, allocates nothing, and takes time linear in the datagram.
std::optional<CheckUsername> PeekUsername(std::span<const uint8_t> datagram);

// A ufrag of ours and its password. A check may come for more than one during an ICE restart.
struct StunKey {
  std::string_view ufrag;
  std::string_view password;
};

// By which a request is told from every other (RFC 8489, 5).
using TransactionId = std::array<uint8_t, 12>;

enum class StunKind : uint8_t {
  kDropped,     // see `reason`; nothing is answered
  kIndication,  // a valid binding indication: a keepalive that teaches nothing
  kRefused,     // authentic, but answered with an error
  kCheck,       // an authentic connectivity check, answered with success
};

struct StunVerdict {
  StunKind kind = StunKind::kDropped;
  DropReason reason = DropReason::kMalformed;  // Of kDropped.
  size_t key = 0;                              // Index into `keys`, of kCheck and kRefused.
  bool use_candidate = false;                  // Of kCheck.
  uint32_t priority = 0;                       // Of kCheck; 0 without the attribute.
  size_t response_size = 0;                    // Of kCheck and kRefused.
  TransactionId transaction{};                 // Of kCheck and kRefused.
};

// Reads, authenticates and answers checks. Stateless between calls; one per worker serves all of
// its peers (libnice's agent takes some 10 kB). Not thread-safe.
class StunEndpoint {
 public:
  // Every response fits into this many bytes; the longest is a 420 that lists 256 attributes.
  static constexpr size_t kMaxResponse = 640;

  StunEndpoint();
  ~StunEndpoint();
  StunEndpoint(const StunEndpoint&) = delete;
  StunEndpoint& operator=(const StunEndpoint&) = delete;

  // `from` is what the client will be told as its address. `response` holds kMaxResponse bytes or
  // more. FINGERPRINT and MESSAGE-INTEGRITY are required of a request; without both of them
  // nothing is answered, so that the gateway reflects nothing to a forged address.
  //
  // An authentic request is refused with 420 for an unknown comprehension-required attribute (RFC
  // 8489, 6.3.1), with 400 when it is not a binding request, and with 487 when the client claims
  // the controlled role: a lite agent never takes the other one (RFC 8445, 6.1.1 and 7.3.1.1).
  StunVerdict HandleDatagram(std::span<const uint8_t> datagram, const ClientAddress& from,
                             std::span<const StunKey> keys, std::span<uint8_t> response);

 private:
  std::unique_ptr<stun_agent_t> agent_;
};

}  // namespace vigil::ice
