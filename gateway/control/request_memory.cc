#include "gateway/control/request_memory.h"

#include <utility>

#include "gateway/base/check.h"

namespace vigil::control {
namespace {

// What an entry costs beside its strings, about.
constexpr size_t kOverhead = 200;

}  // namespace

RequestMemory::Claim RequestMemory::Begin(const Key& key, const Digest& digest, Timestamp now,
                                          OnAnswer waiter, std::string& answer) {
  Forget(now);
  const auto [it, added] = entries_.try_emplace(key);
  Entry& entry = it->second;
  if (added) {
    entry.digest = digest;
    entry.at = now;
    return Claim::kFirst;
  }
  if (entry.digest != digest) return Claim::kReused;
  if (!entry.answer) {
    entry.waiters.push_back(std::move(waiter));
    return Claim::kWaits;
  }
  answer = *entry.answer;
  return Claim::kAnswered;
}

void RequestMemory::Finish(const Key& key, const absl::StatusOr<std::string>& answer,
                           Timestamp now) {
  const auto it = entries_.find(key);
  VIGIL_CHECK(it != entries_.end() && !it->second.answer);
  std::vector<OnAnswer> waiters = std::move(it->second.waiters);
  it->second.waiters.clear();
  if (answer.ok()) {
    Keep(key, it->second, *answer, now);
  } else {
    entries_.erase(it);
  }
  for (const OnAnswer& waiter : waiters) waiter(answer);
}

void RequestMemory::Keep(const Key& key, Entry& entry, std::string answer, Timestamp now) {
  entry.at = now;
  entry.answer = std::move(answer);
  bytes_ += SizeOf(key, entry);
  answered_.push_back(key);
  Forget(now);
}

void RequestMemory::Forget(Timestamp now) {
  while (!answered_.empty()) {
    const auto oldest = entries_.find(answered_.front());
    VIGIL_CHECK(oldest != entries_.end());
    const bool due = now - oldest->second.at >= kKept;
    if (!due && bytes_ <= kMaxBytes) return;
    if (!due) ++forgotten_early_;
    bytes_ -= SizeOf(oldest->first, oldest->second);
    entries_.erase(oldest);
    answered_.pop_front();
  }
}

size_t RequestMemory::SizeOf(const Key& key, const Entry& entry) {
  return kOverhead + 2 * (key.caller.size() + key.method.size() + key.request_id.size()) +
         entry.answer->size();
}

RequestMemory::State RequestMemory::Export() const {
  State state;
  for (const Key& key : answered_) {
    const Entry& entry = entries_.at(key);
    state.items.push_back({key, entry.digest, entry.at, *entry.answer});
  }
  return state;
}

void RequestMemory::Restore(const State& state) {
  for (const State::Item& item : state.items) {
    const auto [it, added] = entries_.try_emplace(item.key);
    if (!added) continue;
    it->second.digest = item.digest;
    Keep(item.key, it->second, item.answer, item.at);
  }
}

}  // namespace vigil::control
