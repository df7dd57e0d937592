#include "gateway/base/deadline_heap.h"

#include <algorithm>
#include <vector>

#include "gateway/base/rng.h"
#include "gtest/gtest.h"

namespace vigil {
namespace {

struct Item {
  DeadlineHook hook;
};
using Heap = DeadlineHeap<Item, &Item::hook>;

Timestamp At(int64_t ns) { return Timestamp::FromNanos(ns); }

TEST(DeadlineHeap, AnItemIsInItOnceHoweverOftenItIsSet) {
  Heap heap;
  Item item;
  for (int i = 100; i > 0; --i) heap.Set(item, At(i));
  for (int i = 0; i < 100; ++i) heap.Set(item, At(i));
  EXPECT_EQ(heap.size(), 1u);
  EXPECT_EQ(heap.next(), At(99));
  EXPECT_EQ(heap.PopDue(At(98)), nullptr);
  EXPECT_EQ(heap.PopDue(At(99)), &item);
  EXPECT_TRUE(heap.next().IsNever());
}

TEST(DeadlineHeap, NeverTakesOut) {
  Heap heap;
  Item item;
  heap.Set(item, At(5));
  heap.Set(item, Timestamp::Never());
  EXPECT_EQ(heap.size(), 0u);
  heap.Remove(item);
  EXPECT_EQ(heap.PopDue(At(100)), nullptr);
}

TEST(DeadlineHeap, AlwaysKnowsTheEarliest) {
  Rng rng(7);
  std::vector<Item> items(50);
  Heap heap;
  for (int step = 0; step < 20'000; ++step) {
    Item& item = items[rng.Below(items.size())];
    if (rng.Chance(0.2)) {
      heap.Remove(item);
    } else {
      heap.Set(item, At(rng.Between(0, 1000)));
    }
    Timestamp earliest = Timestamp::Never();
    size_t waiting = 0;
    for (const Item& other : items) {
      earliest = Earliest(earliest, other.hook.deadline);
      waiting += other.hook.place != DeadlineHook::kOut ? 1 : 0;
    }
    ASSERT_EQ(heap.next(), earliest);
    ASSERT_EQ(heap.size(), waiting);
    if (!rng.Chance(0.1) || earliest.IsNever()) continue;
    Item* due = heap.PopDue(earliest);
    ASSERT_NE(due, nullptr);
    ASSERT_EQ(due->hook.place, DeadlineHook::kOut);
  }
}

}  // namespace
}  // namespace vigil
