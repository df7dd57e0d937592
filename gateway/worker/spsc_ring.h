#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "gateway/base/check.h"

namespace vigil::worker {

// A bounded queue from exactly one thread to exactly one other. Slots are filled and read in
// place; nothing blocks, nothing allocates. A slot is constructed when it is first reserved: what
// a ring has never held costs no memory, and a node has thousands of rings that stay empty.
template <typename T>
class SpscRing {
 public:
  // `capacity` is a power of two.
  explicit SpscRing(size_t capacity) : mask_(capacity - 1) {
    VIGIL_CHECK(capacity > 0 && (capacity & mask_) == 0);
    slots_ = std::allocator<T>().allocate(capacity);
  }
  ~SpscRing() {
    std::destroy_n(slots_, constructed_);
    std::allocator<T>().deallocate(slots_, capacity());
  }
  SpscRing(const SpscRing&) = delete;
  SpscRing& operator=(const SpscRing&) = delete;

  // Producer: the next free slot, or null when full. Commit() makes it visible.
  T* Reserve() {
    const uint64_t tail = tail_.load(std::memory_order_relaxed);
    if (tail - cached_head_ > mask_) {
      cached_head_ = head_.load(std::memory_order_acquire);
      if (tail - cached_head_ > mask_) return nullptr;
    }
    // Slots come into use in order; the consumer sees one when Commit() has published it.
    if (constructed_ == tail && tail <= mask_) {
      std::uninitialized_default_construct_n(slots_ + constructed_, 1);
      ++constructed_;
    }
    return &slots_[tail & mask_];
  }
  void Commit() {
    tail_.store(tail_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  }
  bool Push(T item) {
    T* slot = Reserve();
    if (slot == nullptr) return false;
    *slot = std::move(item);
    Commit();
    return true;
  }

  // Consumer: the oldest item, or null when empty. Release() gives its slot back.
  T* Front() {
    const uint64_t head = head_.load(std::memory_order_relaxed);
    if (head == cached_tail_) {
      cached_tail_ = tail_.load(std::memory_order_acquire);
      if (head == cached_tail_) return nullptr;
    }
    return &slots_[head & mask_];
  }
  void Release() {
    head_.store(head_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  }

  size_t capacity() const { return mask_ + 1; }
  // What is in it; exact while neither side is at work.
  size_t size() const {
    return tail_.load(std::memory_order_acquire) - head_.load(std::memory_order_acquire);
  }

 private:
  T* slots_;
  const uint64_t mask_;
  // Each side's words on a cache line of its own.
  alignas(64) std::atomic<uint64_t> tail_{0};
  uint64_t cached_head_ = 0;
  uint64_t constructed_ = 0;  // The first so many slots.
  alignas(64) std::atomic<uint64_t> head_{0};
  uint64_t cached_tail_ = 0;
};

}  // namespace vigil::worker
