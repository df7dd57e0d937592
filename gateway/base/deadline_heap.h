#pragma once

#include <cstddef>
#include <limits>
#include <utility>
#include <vector>

#include "gateway/base/time.h"

namespace vigil {

// What an item of a DeadlineHeap carries.
struct DeadlineHook {
  static constexpr size_t kOut = std::numeric_limits<size_t>::max();
  Timestamp deadline = Timestamp::Never();
  size_t place = kOut;  // In the heap; kOut: not waiting.
};

// Who has to be woken when: a binary heap that knows each item's place, so that an item is in it
// once and moves in O(log n). It allocates when it holds more items than ever before. Items with
// the same deadline come in an order that depends on the calls alone, so it repeats by seed.
// `Hook` is a pointer to T's DeadlineHook member. An item must be removed before it goes away.
template <typename T, DeadlineHook T::*Hook>
class DeadlineHeap {
 public:
  // Never takes the item out.
  void Set(T& item, Timestamp deadline) {
    DeadlineHook& hook = item.*Hook;
    if (deadline.IsNever()) return Remove(item);
    if (hook.place == DeadlineHook::kOut) {
      hook.place = items_.size();
      items_.push_back(&item);
    }
    hook.deadline = deadline;
    Settle(hook.place);
  }
  void Remove(T& item) {
    DeadlineHook& hook = item.*Hook;
    hook.deadline = Timestamp::Never();
    if (hook.place == DeadlineHook::kOut) return;
    const size_t hole = std::exchange(hook.place, DeadlineHook::kOut);
    T* last = items_.back();
    items_.pop_back();
    if (last == &item) return;
    Put(hole, last);
    Settle(hole);
  }
  // The earliest item that is due, taken out; null if none is.
  T* PopDue(Timestamp now) {
    if (items_.empty() || DeadlineOf(0) > now) return nullptr;
    T* item = items_.front();
    Remove(*item);
    return item;
  }
  Timestamp next() const { return items_.empty() ? Timestamp::Never() : DeadlineOf(0); }
  size_t size() const { return items_.size(); }

 private:
  Timestamp DeadlineOf(size_t place) const { return (items_[place]->*Hook).deadline; }
  void Put(size_t place, T* item) {
    items_[place] = item;
    (item->*Hook).place = place;
  }
  void Swap(size_t a, size_t b) {
    T* item = items_[a];
    Put(a, items_[b]);
    Put(b, item);
  }
  // Moves the item at `place` up or down to where it belongs.
  void Settle(size_t place) {
    while (place > 0 && DeadlineOf(place) < DeadlineOf((place - 1) / 2)) {
      Swap(place, (place - 1) / 2);
      place = (place - 1) / 2;
    }
    for (;;) {
      size_t least = place;
      for (const size_t child : {2 * place + 1, 2 * place + 2}) {
        if (child < items_.size() && DeadlineOf(child) < DeadlineOf(least)) least = child;
      }
      if (least == place) return;
      Swap(place, least);
      place = least;
    }
  }

  std::vector<T*> items_;
};

}  // namespace vigil
