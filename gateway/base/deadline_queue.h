#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "gateway/base/time.h"

namespace vigil {

// Who has to be woken when. A key may be in it more than once: its owner remembers the deadline
// that counts and ignores the others, so moving a deadline later costs nothing.
template <typename Key>
class DeadlineQueue {
 public:
  void Push(Timestamp deadline, Key key) {
    heap_.emplace_back(deadline, key);
    std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
  }
  // The earliest entry that is due, if any; removed.
  std::optional<std::pair<Timestamp, Key>> PopDue(Timestamp now) {
    if (heap_.empty() || heap_.front().first > now) return std::nullopt;
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
    const std::pair<Timestamp, Key> due = heap_.back();
    heap_.pop_back();
    return due;
  }
  Timestamp next() const { return heap_.empty() ? Timestamp::Never() : heap_.front().first; }
  size_t size() const { return heap_.size(); }

 private:
  std::vector<std::pair<Timestamp, Key>> heap_;
};

}  // namespace vigil
