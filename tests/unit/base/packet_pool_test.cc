#include "gateway/base/packet_pool.h"

#include <unistd.h>

#include <cstdio>
#include <utility>
#include <vector>

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

TEST(PacketPool, TheLastQuarterIsNotForPicture) {
  PacketPool pool(16);
  std::vector<PacketRef> taken;
  while (PacketRef packet = pool.Take(PacketUse::kPicture)) taken.push_back(std::move(packet));
  EXPECT_EQ(taken.size(), 12u);
  EXPECT_EQ(pool.RefusalReason(), DropReason::kPoolReserve);
  EXPECT_TRUE(pool.IsOverHalf());
  EXPECT_TRUE(pool.IsOverTwoThirds());
  while (PacketRef packet = pool.Take()) taken.push_back(std::move(packet));
  EXPECT_EQ(taken.size(), 16u);
  EXPECT_EQ(pool.RefusalReason(), DropReason::kPoolExhausted);
  EXPECT_EQ(pool.exhausted_count(), 2u);
}

// Pages of this process in memory.
long ResidentPages() {
  long all = 0;
  long resident = 0;
  FILE* file = fopen("/proc/self/statm", "r");
  if (file == nullptr || fscanf(file, "%ld %ld", &all, &resident) != 2) resident = -1;
  if (file != nullptr) fclose(file);
  return resident;
}

TEST(PacketPool, PacketsThatWereNeverTakenCostNoMemory) {
  constexpr size_t kPackets = 65'536;
  const long before = ResidentPages();
  ASSERT_GT(before, 0);
  PacketPool pool(kPackets);
  { PacketRef one = pool.Take(); }
  EXPECT_TRUE(pool.Take());
  // A sanitizer may note what it was given, an eighth of it.
  const long most = static_cast<long>(kPackets * sizeof(Packet) / 4) / sysconf(_SC_PAGESIZE);
  EXPECT_LT(ResidentPages() - before, most);
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
