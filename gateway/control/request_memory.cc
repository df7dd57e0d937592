#include "gateway/control/request_memory.h"

#include <algorithm>
#include <utility>

#include "gateway/base/check.h"

namespace vigil::control {
namespace {

// What an entry costs beside its strings, about.
constexpr size_t kOverhead = 200;
// How often is looked for answers whose time is over.
constexpr TimeDelta kSweep = TimeDelta::Seconds(60);

}  // namespace

RequestMemory::Claim RequestMemory::Begin(const Key& key, const Digest& digest, Timestamp now,
                                          OnAnswer waiter, std::string& answer) {
  if (const auto own = answered_.find(key.caller); own != answered_.end()) ForgetOld(own, now);
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
  const size_t size = SizeOf(key, entry);
  bytes_ += size;
  Answered& own = answered_[key.caller];
  own.bytes += size;
  own.keys.push_back(key);
  Forget(now);
}

void RequestMemory::Forget(Timestamp now) {
  if (now - swept_at_ >= kSweep) {
    swept_at_ = now;
    for (auto it = answered_.begin(); it != answered_.end();) ForgetOld(it++, now);
  }
  while (bytes_ > kMaxBytes) {
    ++forgotten_early_;
    ForgetOne(std::max_element(
        answered_.begin(), answered_.end(),
        [](const auto& a, const auto& b) { return a.second.bytes < b.second.bytes; }));
  }
}

void RequestMemory::ForgetOld(std::map<std::string, Answered>::iterator caller, Timestamp now) {
  for (size_t left = caller->second.keys.size(); left > 0; --left) {
    if (now - entries_.at(caller->second.keys.front()).at < kKept) return;
    ForgetOne(caller);
  }
}

void RequestMemory::ForgetOne(std::map<std::string, Answered>::iterator caller) {
  Answered& own = caller->second;
  const auto oldest = entries_.find(own.keys.front());
  VIGIL_CHECK(oldest != entries_.end());
  const size_t size = SizeOf(oldest->first, oldest->second);
  bytes_ -= size;
  own.bytes -= size;
  entries_.erase(oldest);
  own.keys.pop_front();
  if (own.keys.empty()) answered_.erase(caller);
}

size_t RequestMemory::SizeOf(const Key& key, const Entry& entry) {
  return kOverhead + 2 * (key.caller.size() + key.method.size() + key.request_id.size()) +
         entry.answer->size();
}

RequestMemory::State RequestMemory::Export() const {
  State state;
  for (const auto& [caller, own] : answered_) {
    for (const Key& key : own.keys) {
      const Entry& entry = entries_.at(key);
      state.items.push_back({key, entry.digest, entry.at, *entry.answer});
    }
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
