#include "gateway/base/packet_pool.h"

#include <utility>

#include "gtest/gtest.h"

namespace vigil {
namespace {

TEST(PacketPool, ExhaustionIsCountedAndEndsWhenAPacketComesBack) {
  PacketPool pool(2);
  PacketRef a = pool.Take();
  PacketRef b = pool.Take();
  EXPECT_FALSE(pool.Take());
  EXPECT_EQ(pool.exhausted_count(), 1u);
  a.Reset();
  EXPECT_EQ(pool.in_use(), 1u);
  EXPECT_TRUE(pool.Take());
}

TEST(PacketPool, APacketReturnsWithItsLastReference) {
  PacketPool pool(1);
  PacketRef a = pool.Take();
  PacketRef b = a;
  PacketRef c = std::move(a);
  EXPECT_FALSE(a);
  c.Reset();
  EXPECT_EQ(pool.in_use(), 1u);
  b = b;
  EXPECT_EQ(pool.in_use(), 1u);
  b = PacketRef();
  EXPECT_EQ(pool.in_use(), 0u);
}

TEST(PacketPoolDeathTest, OutlivingReferencesAreABug) {
  PacketRef kept;
  EXPECT_DEATH(
      {
        PacketPool pool(1);
        kept = pool.Take();
      },
      "VIGIL_CHECK");
}

}  // namespace
}  // namespace vigil
