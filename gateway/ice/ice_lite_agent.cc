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
    : state_(std::move(state)), options_(options) {
  if (state_.seen.size() > kMaxSeenChecks) state_.seen.resize(kMaxSeenChecks);
  state_.next_seen %= kMaxSeenChecks;
}

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
    case StunKind::kCheck:
      break;
  }
  if (const SeenCheck* seen = FindSeen(verdict.transaction)) {
    if (seen->from != from) return {.dropped = DropReason::kStunReplay};
    return {.response_size = verdict.response_size, .repeated = true};
  }
  Remember(verdict.transaction, from);
  if (verdict.kind == StunKind::kRefused) return {.response_size = verdict.response_size};
  if (verdict.key == 0) state_.previous_local.reset();
  CheckOutcome outcome{.response_size = verdict.response_size, .authentic = true};
  outcome.newly_validated = Validate(from, verdict, now);
  outcome.selected_changed = Choose(*Find(from), now);
  return outcome;
}

bool IceLiteAgent::OnAuthentic(const ClientAddress& from, Timestamp now) {
  if (state_.selected == from) {
    state_.heard_at = now;
    return false;
  }
  const Address* known = Find(from);
  return known != nullptr && IsPending(*known) && Select(*known, now);
}

bool IceLiteAgent::HandleTimeout(Timestamp now) {
  if (!state_.selected || now < state_.heard_at + kSilence) return false;
  const Address* wanted = nullptr;
  for (const Address& known : state_.addresses) {
    if (!IsPending(known)) continue;
    if (wanted == nullptr || known.nomination > wanted->nomination) wanted = &known;
  }
  return wanted != nullptr && Select(*wanted, now);
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
  if (!state_.selected) return Timestamp::Never();
  const Timestamp expiry = last_check() + options_.consent_timeout;
  const bool pending = std::any_of(state_.addresses.begin(), state_.addresses.end(),
                                   [this](const Address& known) { return IsPending(known); });
  return pending ? Earliest(expiry, state_.heard_at + kSilence) : expiry;
}

const IceLiteAgent::Address* IceLiteAgent::Find(const ClientAddress& address) const {
  const auto it =
      std::find_if(state_.addresses.begin(), state_.addresses.end(),
                   [&address](const Address& known) { return known.address == address; });
  return it != state_.addresses.end() ? &*it : nullptr;
}

const IceLiteAgent::SeenCheck* IceLiteAgent::FindSeen(const TransactionId& transaction) const {
  const auto it = std::find_if(state_.seen.begin(), state_.seen.end(), [&](const SeenCheck& seen) {
    return seen.transaction == transaction;
  });
  return it != state_.seen.end() ? &*it : nullptr;
}

void IceLiteAgent::Remember(const TransactionId& transaction, const ClientAddress& from) {
  if (state_.seen.size() < kMaxSeenChecks) {
    state_.seen.push_back({transaction, from});
    return;
  }
  state_.seen[state_.next_seen] = {transaction, from};
  state_.next_seen = (state_.next_seen + 1) % kMaxSeenChecks;
}

bool IceLiteAgent::Validate(const ClientAddress& from, const StunVerdict& check, Timestamp now) {
  auto known = std::find_if(state_.addresses.begin(), state_.addresses.end(),
                            [&from](const Address& a) { return a.address == from; });
  const bool is_new = known == state_.addresses.end();
  if (is_new) {
    if (state_.addresses.size() >= kMaxAddresses) EvictOldest();
    known = state_.addresses.insert(state_.addresses.end(), {.address = from});
  }
  known->last_check = now;
  known->generation = generation();
  known->priority = check.priority;
  // A late check of the generation before keeps its pair alive, but no longer chooses.
  if (check.use_candidate && (check.key == 0 || !state_.nominated)) {
    known->nomination = ++state_.nominations;
  }
  if (state_.selected == from) state_.heard_at = now;
  return is_new;
}

void IceLiteAgent::EvictOldest() {
  auto oldest = state_.addresses.end();
  // What the client wishes to move to goes last.
  const auto age = [this](const Address& known) {
    return std::pair(IsPending(known), known.last_check);
  };
  for (auto it = state_.addresses.begin(); it != state_.addresses.end(); ++it) {
    if (state_.selected == it->address) continue;
    if (oldest == state_.addresses.end() || age(*it) < age(*oldest)) oldest = it;
  }
  state_.addresses.erase(oldest);
}

bool IceLiteAgent::IsPending(const Address& address) const {
  if (!state_.selected || address.nomination == 0) return false;
  if (address.address == *state_.selected || address.generation < generation()) return false;
  const Address* selected = Find(*state_.selected);
  return selected == nullptr || address.nomination > selected->nomination;
}

bool IceLiteAgent::Choose(const Address& from, Timestamp now) {
  if (!state_.selected) return Select(from, now);
  const Address* selected = Find(*state_.selected);
  if (selected == &from) return from.nomination > 0 && Select(from, now);
  if (!IsPending(from)) return false;
  const bool preferred = selected != nullptr && selected->nomination > 0 &&
                         selected->generation == generation() && selected->priority > from.priority;
  if (!state_.connected && !preferred) return Select(from, now);
  return HandleTimeout(now);
}

bool IceLiteAgent::Select(Address address, Timestamp now) {
  const bool changed = state_.selected != address.address;
  state_.selected = address.address;
  state_.nominated = address.nomination > 0;
  state_.heard_at = now;
  if (state_.nominated) {
    std::erase_if(state_.addresses, [&](const Address& known) {
      return known.generation < generation() && known.address != address.address;
    });
  }
  return changed;
}

}  // namespace vigil::ice
