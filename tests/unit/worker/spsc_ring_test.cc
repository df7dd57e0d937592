#include "gateway/worker/spsc_ring.h"

#include <array>
#include <cstdint>
#include <memory>
#include <thread>

#include "gtest/gtest.h"

namespace vigil::worker {
namespace {

TEST(SpscRing, GivesBackInOrderWhatWasPut) {
  SpscRing<int> ring(4);
  EXPECT_EQ(ring.Front(), nullptr);
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(ring.Push(round * 10 + i));
    for (int i = 0; i < 3; ++i) {
      ASSERT_NE(ring.Front(), nullptr);
      EXPECT_EQ(*ring.Front(), round * 10 + i);
      ring.Release();
    }
    EXPECT_EQ(ring.Front(), nullptr);
  }
}

TEST(SpscRing, RefusesWhenFullAndTakesAgainAfterARelease) {
  SpscRing<int> ring(2);
  EXPECT_EQ(ring.capacity(), 2u);
  EXPECT_TRUE(ring.Push(1));
  EXPECT_TRUE(ring.Push(2));
  EXPECT_EQ(ring.Reserve(), nullptr);
  EXPECT_FALSE(ring.Push(3));
  EXPECT_EQ(*ring.Front(), 1);
  ring.Release();
  EXPECT_TRUE(ring.Push(3));
  EXPECT_FALSE(ring.Push(4));
  EXPECT_EQ(*ring.Front(), 2);
}

TEST(SpscRing, AReservedSlotIsNotSeenBeforeItIsCommitted) {
  SpscRing<int> ring(2);
  *ring.Reserve() = 7;
  EXPECT_EQ(ring.Front(), nullptr);
  ring.Commit();
  EXPECT_EQ(*ring.Front(), 7);
}

struct Counted {
  Counted() { ++alive; }
  ~Counted() { --alive; }
  static inline int alive = 0;
};

// A node of many workers has a ring for each ordered pair of them; most stay empty.
TEST(SpscRing, ASlotThatWasNeverUsedIsNeverTouched) {
  {
    SpscRing<Counted> ring(64);
    EXPECT_EQ(Counted::alive, 0);
    for (int i = 0; i < 3; ++i) {
      ASSERT_NE(ring.Reserve(), nullptr);
      ASSERT_NE(ring.Reserve(), nullptr);  // Not committed: the same slot.
      ring.Commit();
    }
    EXPECT_EQ(Counted::alive, 3);
    EXPECT_EQ(ring.size(), 3u);
    for (int i = 0; i < 200; ++i) {
      ASSERT_NE(ring.Reserve(), nullptr);
      ring.Commit();
      ASSERT_NE(ring.Front(), nullptr);
      ring.Release();
    }
    EXPECT_EQ(Counted::alive, 64);
  }
  EXPECT_EQ(Counted::alive, 0);
}

TEST(SpscRing, MovesWhatCannotBeCopied) {
  SpscRing<std::unique_ptr<int>> ring(2);
  ASSERT_TRUE(ring.Push(std::make_unique<int>(5)));
  const std::unique_ptr<int> item = std::move(*ring.Front());
  ring.Release();
  EXPECT_EQ(*item, 5);
}

// Under ThreadSanitizer this also proves that the slots themselves are handed over.
TEST(SpscRing, TwoThreadsLoseNothingAndSeeWholeItems) {
  struct Item {
    uint64_t number = 0;
    std::array<uint64_t, 30> copies{};
  };
  constexpr uint64_t kItems = 20'000;
  SpscRing<Item> ring(64);
  std::thread producer([&ring] {
    for (uint64_t n = 1; n <= kItems;) {
      Item* slot = ring.Reserve();
      if (slot == nullptr) {
        std::this_thread::yield();
        continue;
      }
      slot->number = n;
      slot->copies.fill(n);
      ring.Commit();
      ++n;
    }
  });
  uint64_t torn = 0;
  uint64_t disordered = 0;
  for (uint64_t n = 1; n <= kItems;) {
    const Item* item = ring.Front();
    if (item == nullptr) {
      std::this_thread::yield();
      continue;
    }
    disordered += item->number != n ? 1 : 0;
    for (const uint64_t copy : item->copies) torn += copy != n ? 1 : 0;
    ring.Release();
    ++n;
  }
  producer.join();
  EXPECT_EQ(disordered, 0u);
  EXPECT_EQ(torn, 0u);
  EXPECT_EQ(ring.Front(), nullptr);
}

}  // namespace
}  // namespace vigil::worker
