#include "gateway/ice/stun.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>

#include <stun/stunagent.h>
#include <stun/stunmessage.h>

#include "gateway/base/byte_io.h"
#include "gateway/base/check.h"

namespace vigil::ice {
namespace {

// The comprehension-required attributes that a check may carry (RFC 8445, 7.1). libnice's own list
// also holds those of TURN and of old drafts, which a responder has to refuse.
constexpr uint16_t kKnownAttributes[] = {STUN_ATTRIBUTE_USERNAME, STUN_ATTRIBUTE_MESSAGE_INTEGRITY,
                                         STUN_ATTRIBUTE_PRIORITY, STUN_ATTRIBUTE_USE_CANDIDATE, 0};
constexpr uint16_t kHmacSha1Size = 20;
constexpr size_t kTransactionIdOffset = 8;  // RFC 8489, 5.

// A view for libnice's accessors, which read only; empty unless the datagram is exactly one
// well-formed STUN message with the magic cookie.
std::optional<StunMessage> ParseMessage(std::span<const uint8_t> datagram) {
  const int length =
      stun_message_validate_buffer_length(datagram.data(), datagram.size(), /*has_padding=*/true);
  if (length < STUN_MESSAGE_HEADER_LENGTH || static_cast<size_t>(length) != datagram.size()) {
    return std::nullopt;
  }
  StunMessage message{};
  message.buffer = const_cast<uint8_t*>(datagram.data());
  message.buffer_len = datagram.size();
  if (!stun_message_has_cookie(&message)) return std::nullopt;
  return message;
}

std::optional<CheckUsername> UsernameOf(const StunMessage& message) {
  uint16_t size = 0;
  const void* value = stun_message_find(&message, STUN_ATTRIBUTE_USERNAME, &size);
  if (value == nullptr) return std::nullopt;
  const std::string_view text(static_cast<const char*>(value), size);
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  return CheckUsername{text.substr(0, colon), text.substr(colon + 1)};
}

struct KeySearch {
  std::span<const StunKey> keys;
  size_t found = 0;
};

// libnice asks for the password of a USERNAME. RFC 8445, 7.3: only the first half is compared,
// since the other half may not be known yet.
bool FindPassword(StunAgent*, StunMessage* message, uint8_t*, uint16_t, uint8_t** password,
                  size_t* password_size, void* context) {
  auto& search = *static_cast<KeySearch*>(context);
  const std::optional<CheckUsername> username = UsernameOf(*message);
  if (!username) return false;
  for (size_t i = 0; i < search.keys.size(); ++i) {
    const StunKey& key = search.keys[i];
    if (key.ufrag != username->local || key.password.empty()) continue;
    *password = reinterpret_cast<uint8_t*>(const_cast<char*>(key.password.data()));
    *password_size = key.password.size();
    search.found = i;
    return true;
  }
  return false;
}

socklen_t ToSockaddr(const ClientAddress& address, sockaddr_storage& out) {
  out = {};
  if (address.IsV4()) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(address.port);
    std::memcpy(&v4.sin_addr, address.ip.data() + 12, 4);
    std::memcpy(&out, &v4, sizeof v4);
    return sizeof v4;
  }
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(address.port);
  std::memcpy(&v6.sin6_addr, address.ip.data(), 16);
  std::memcpy(&out, &v6, sizeof v6);
  return sizeof v6;
}

size_t WriteError(StunAgent& agent, const StunMessage& request, StunError code,
                  std::span<uint8_t> response) {
  StunMessage message{};
  if (!stun_agent_init_error(&agent, &message, response.data(), response.size(), &request, code)) {
    return 0;
  }
  return stun_agent_finish_message(&agent, &message, nullptr, 0);
}

size_t WriteUnknownAttributes(StunAgent& agent, const StunMessage& request,
                              std::span<uint8_t> response) {
  StunMessage message{};
  return stun_agent_build_unknown_attributes_error(&agent, &message, response.data(),
                                                   response.size(), &request);
}

// The key of the request is reused for the MESSAGE-INTEGRITY of the response (RFC 8489, 9.1.4).
size_t WriteSuccess(StunAgent& agent, const StunMessage& request, const ClientAddress& mapped,
                    std::span<uint8_t> response) {
  StunMessage message{};
  sockaddr_storage address;
  const socklen_t address_size = ToSockaddr(mapped, address);
  if (!stun_agent_init_response(&agent, &message, response.data(), response.size(), &request) ||
      stun_message_append_xor_addr(&message, STUN_ATTRIBUTE_XOR_MAPPED_ADDRESS, &address,
                                   address_size) != STUN_MESSAGE_RETURN_SUCCESS) {
    return 0;
  }
  return stun_agent_finish_message(&agent, &message, nullptr, 0);
}

StunVerdict Dropped(DropReason reason) { return {.kind = StunKind::kDropped, .reason = reason}; }

StunVerdict Answered(StunKind kind, size_t key, size_t response_size, const StunMessage& request) {
  // The buffer is large enough by contract, and nothing else can fail.
  VIGIL_CHECK(response_size > 0);
  StunVerdict verdict{.kind = kind, .key = key, .response_size = response_size};
  std::memcpy(verdict.transaction.data(), request.buffer + kTransactionIdOffset,
              verdict.transaction.size());
  return verdict;
}

StunVerdict VerdictOnIndication(StunValidationStatus status, const StunMessage& message) {
  const bool keepalive =
      status == STUN_VALIDATION_SUCCESS && stun_message_get_method(&message) == STUN_BINDING;
  if (!keepalive) return Dropped(DropReason::kStunUnexpected);
  return {.kind = StunKind::kIndication};
}

}  // namespace

std::optional<CheckUsername> PeekUsername(std::span<const uint8_t> datagram) {
  const std::optional<StunMessage> message = ParseMessage(datagram);
  if (!message || stun_message_get_class(&*message) != STUN_REQUEST ||
      stun_message_get_method(&*message) != STUN_BINDING) {
    return std::nullopt;
  }
  return UsernameOf(*message);
}

StunEndpoint::StunEndpoint() : agent_(std::make_unique<stun_agent_t>()) {
  constexpr auto kUsage = static_cast<StunAgentUsageFlags>(STUN_AGENT_USAGE_SHORT_TERM_CREDENTIALS |
                                                           STUN_AGENT_USAGE_USE_FINGERPRINT |
                                                           STUN_AGENT_USAGE_NO_INDICATION_AUTH);
  stun_agent_init(agent_.get(), kKnownAttributes, STUN_COMPATIBILITY_RFC5389, kUsage);
}

StunEndpoint::~StunEndpoint() = default;

StunVerdict StunEndpoint::HandleDatagram(std::span<const uint8_t> datagram,
                                         const ClientAddress& from, std::span<const StunKey> keys,
                                         std::span<uint8_t> response) {
  VIGIL_CHECK(response.size() >= kMaxResponse);
  const std::optional<StunMessage> parsed = ParseMessage(datagram);
  if (!parsed) return Dropped(DropReason::kMalformed);
  // libnice compares 20 bytes whatever the length of the attribute says, which may be less.
  uint16_t integrity_size = 0;
  const bool has_integrity =
      stun_message_find(&*parsed, STUN_ATTRIBUTE_MESSAGE_INTEGRITY, &integrity_size) != nullptr;
  if (has_integrity && integrity_size != kHmacSha1Size) {
    return Dropped(DropReason::kStunUnauthenticated);
  }
  StunMessage request{};
  KeySearch search{.keys = keys};
  const StunValidationStatus status = stun_agent_validate(agent_.get(), &request, datagram.data(),
                                                          datagram.size(), FindPassword, &search);
  const StunClass message_class = stun_message_get_class(&*parsed);
  if (message_class == STUN_INDICATION) return VerdictOnIndication(status, *parsed);
  // We never ask, so no response is one of ours.
  if (message_class != STUN_REQUEST) return Dropped(DropReason::kStunUnexpected);
  const bool unknown_attribute = status == STUN_VALIDATION_UNKNOWN_REQUEST_ATTRIBUTE;
  if (status != STUN_VALIDATION_SUCCESS && !unknown_attribute) {
    return Dropped(DropReason::kStunUnauthenticated);
  }
  if (unknown_attribute) {
    return Answered(StunKind::kRefused, search.found,
                    WriteUnknownAttributes(*agent_, request, response), request);
  }
  if (stun_message_get_method(&request) != STUN_BINDING) {
    return Answered(StunKind::kRefused, search.found,
                    WriteError(*agent_, request, STUN_ERROR_BAD_REQUEST, response), request);
  }
  if (stun_message_has_attribute(&request, STUN_ATTRIBUTE_ICE_CONTROLLED)) {
    return Answered(StunKind::kRefused, search.found,
                    WriteError(*agent_, request, STUN_ERROR_ROLE_CONFLICT, response), request);
  }
  StunVerdict verdict = Answered(StunKind::kCheck, search.found,
                                 WriteSuccess(*agent_, request, from, response), request);
  (void)stun_message_find32(&request, STUN_ATTRIBUTE_PRIORITY, &verdict.priority);
  verdict.use_candidate = stun_message_has_attribute(&request, STUN_ATTRIBUTE_USE_CANDIDATE);
  return verdict;
}

}  // namespace vigil::ice
