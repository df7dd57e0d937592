#include "gateway/ice/ice_lite_agent.h"

#include <algorithm>
#include <array>
#include <utility>

namespace vigil::ice {

IceLiteAgent::IceLiteAgent(Credentials local, Credentials remote, const Options& options)
    : options_(options) {
  state_.local = std::move(local);
  state_.remote = std::move(remote);
}

IceLiteAgent::IceLiteAgent(State state, const Options& options)
    : state_(std::move(state)), options_(options) {}

CheckOutcome IceLiteAgent::HandleCheck(StunEndpoint& endpoint, std::span<const uint8_t> datagram,
                                       const ClientAddress& from, Timestamp now,
                                       std::span<uint8_t> response) {
  std::array<StunKey, 2> keys = {StunKey{state_.local.ufrag, state_.local.password}, StunKey{}};
  const bool two_generations = state_.previous_local.has_value();
  if (two_generations) {
    keys[1] = {state_.previous_local->ufrag, state_.previous_local->password};
  }
  const StunVerdict verdict = endpoint.HandleDatagram(
      datagram, from, std::span(keys).first(two_generations ? 2 : 1), response);
  switch (verdict.kind) {
    case StunKind::kDropped:
      return {.dropped = verdict.reason};
    case StunKind::kIndication:
      return {};
    case StunKind::kRefused:
      return {.response_size = verdict.response_size};
    case StunKind::kCheck:
      break;
  }
  const bool current = verdict.key == 0;
  if (current) state_.previous_local.reset();
  CheckOutcome outcome{.response_size = verdict.response_size, .authentic = true};
  outcome.newly_validated = Validate(from, now);
  // A late check of the generation before keeps its pair alive, but no longer chooses.
  if (verdict.use_candidate && current) {
    outcome.selected_changed = Select(from, /*nominated=*/true);
  } else if (!state_.selected || (verdict.use_candidate && !state_.nominated)) {
    outcome.selected_changed = Select(from, verdict.use_candidate);
  }
  return outcome;
}

void IceLiteAgent::Restart(Credentials local, Credentials remote) {
  // Of two restarts without a check in between, the credentials that media runs on stay valid.
  if (!state_.previous_local) state_.previous_local = std::move(state_.local);
  state_.local = std::move(local);
  state_.remote = std::move(remote);
  ++state_.generation;
}

Timestamp IceLiteAgent::last_check() const {
  const Address* selected = state_.selected ? Find(*state_.selected) : nullptr;
  return selected != nullptr ? selected->last_check : Timestamp::LongAgo();
}

Timestamp IceLiteAgent::NextDeadline() const {
  return state_.selected ? last_check() + options_.consent_timeout : Timestamp::Never();
}

const IceLiteAgent::Address* IceLiteAgent::Find(const ClientAddress& address) const {
  const auto it =
      std::find_if(state_.addresses.begin(), state_.addresses.end(),
                   [&address](const Address& known) { return known.address == address; });
  return it != state_.addresses.end() ? &*it : nullptr;
}

bool IceLiteAgent::Validate(const ClientAddress& from, Timestamp now) {
  // While the old credentials are still there, no check with the new ones has come.
  const uint32_t generation = state_.generation - (state_.previous_local ? 1 : 0);
  for (Address& known : state_.addresses) {
    if (known.address != from) continue;
    known.last_check = now;
    known.generation = generation;
    return false;
  }
  if (state_.addresses.size() >= kMaxAddresses) EvictOldest();
  state_.addresses.push_back({from, now, generation});
  return true;
}

void IceLiteAgent::EvictOldest() {
  auto oldest = state_.addresses.end();
  for (auto it = state_.addresses.begin(); it != state_.addresses.end(); ++it) {
    if (state_.selected == it->address) continue;
    if (oldest == state_.addresses.end() || it->last_check < oldest->last_check) oldest = it;
  }
  state_.addresses.erase(oldest);
}

bool IceLiteAgent::Select(const ClientAddress& address, bool nominated) {
  const bool changed = state_.selected != address;
  state_.selected = address;
  state_.nominated = nominated;
  if (nominated) {
    std::erase_if(state_.addresses, [this](const Address& known) {
      return known.generation < state_.generation && !state_.previous_local;
    });
  }
  return changed;
}

}  // namespace vigil::ice
