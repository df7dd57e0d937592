#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "gateway/base/check.h"
#include "gateway/ice/ice_lite_agent.h"
#include "tests/unit/ice/stun_messages.h"

// The first byte says whether the rest is shown as it is, or with an integrity and a fingerprint
// that are right, so that what lies behind authentication is reached too.

namespace {

using vigil::ClientAddress;
using vigil::Timestamp;
using vigil::ice::CheckOutcome;
using vigil::ice::IceLiteAgent;
using vigil::ice::StunEndpoint;

const vigil::ice::Credentials kLocal = {"abcd", "a password of the gateway"};

std::vector<uint8_t> Sealed(std::span<const uint8_t> body) {
  std::vector<uint8_t> message(body.begin(), body.end());
  message.resize(std::max<size_t>(message.size() / 4 * 4, 20));
  return vigil::ice::testing::MessageBuilder(std::move(message))
      .Integrity(kLocal.password)
      .Fingerprint()
      .Take();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static StunEndpoint endpoint;
  if (size == 0 || size > 1'500) return 0;
  const std::span<const uint8_t> rest(data + 1, size - 1);
  const bool seal = (data[0] & 1) != 0;
  std::vector<uint8_t> datagram(rest.begin(), rest.end());
  if (seal) datagram = Sealed(rest);
  datagram.shrink_to_fit();  // So that a read past the end is seen.
  IceLiteAgent agent(kLocal, {"efgh", "x"}, IceLiteAgent::Options());
  std::array<uint8_t, StunEndpoint::kMaxResponse> response;
  const ClientAddress from = ClientAddress::V4(192, 0, 2, 1, 5000);
  const auto username = vigil::ice::PeekUsername(datagram);
  const CheckOutcome outcome = agent.HandleCheck(endpoint, datagram, from, Timestamp(), response);
  if (outcome.dropped) VIGIL_CHECK(outcome.response_size == 0 && !outcome.newly_validated);
  // Only a check that could have been routed by its username may teach an address.
  if (outcome.newly_validated) VIGIL_CHECK(username && username->local == kLocal.ufrag);
  if (!seal && outcome.newly_validated) VIGIL_CHECK(agent.selected() == from);
  VIGIL_CHECK(outcome.response_size <= response.size());
  if (outcome.response_size > 0) {
    VIGIL_CHECK(vigil::ice::testing::IsSealed(std::span(response).first(outcome.response_size),
                                              kLocal.password));
  }
  return 0;
}
