#pragma once

#include <bit>
#include <cstddef>
#include <utility>
#include <vector>

#include "gateway/base/check.h"

namespace vigil {

// A bounded first-in first-out queue. The storage is allocated once, at construction.
template <typename T>
class RingBuffer {
 public:
  explicit RingBuffer(size_t capacity) : items_(capacity) { VIGIL_CHECK(capacity > 0); }

  bool empty() const { return size_ == 0; }
  bool full() const { return size_ == items_.size(); }
  size_t size() const { return size_; }
  size_t capacity() const { return items_.size(); }

  // False, and `item` is dropped, when full.
  bool Push(T item) {
    if (full()) return false;
    items_[Index(size_)] = std::move(item);
    ++size_;
    return true;
  }
  T& front() { return items_[first_]; }
  T& back() { return items_[Index(size_ - 1)]; }
  // The i-th oldest.
  T& operator[](size_t i) { return items_[Index(i)]; }
  const T& operator[](size_t i) const { return items_[Index(i)]; }
  void PopFront() {
    items_[first_] = T{};
    first_ = Index(1);
    --size_;
  }
  void Clear() {
    while (!empty()) PopFront();
  }

 private:
  size_t Index(size_t offset) const {
    const size_t i = first_ + offset;
    return i >= items_.size() ? i - items_.size() : i;
  }

  std::vector<T> items_;
  size_t first_ = 0;
  size_t size_ = 0;
};

}  // namespace vigil
