#include "gateway/base/time.h"

#include <set>
#include <string_view>

#include "gateway/base/client_address.h"
#include "gateway/base/data_rate.h"
#include "gateway/base/drop_reason.h"
#include "gateway/base/histogram.h"
#include "gateway/base/ring_buffer.h"
#include "gtest/gtest.h"

namespace vigil {
namespace {

TEST(Time, InfiniteValuesStayInfinite) {
  EXPECT_TRUE((TimeDelta::Infinite() + TimeDelta::Seconds(-1)).IsInfinite());
  EXPECT_TRUE((Timestamp::Never() - TimeDelta::Seconds(1)).IsNever());
  EXPECT_TRUE((Timestamp() + TimeDelta::Infinite()).IsNever());
  EXPECT_LT(Timestamp::LongAgo() + TimeDelta::Seconds(1'000'000), Timestamp());
}

TEST(DataRate, BytesInASpan) {
  EXPECT_EQ(DataRate::KilobitsPerSecond(800).BytesIn(TimeDelta::Millis(10)), 1000);
}

TEST(DurationHistogram, TheEdgeItselfBelongsToItsBucket) {
  DurationHistogram histogram;
  histogram.Add(TimeDelta::Millis(250));
  histogram.Add(TimeDelta::Millis(250) + TimeDelta::Nanos(1));
  histogram.Add(TimeDelta::Seconds(9));
  EXPECT_EQ(histogram.buckets[13], 1u);
  EXPECT_EQ(histogram.buckets[14], 1u);
  EXPECT_EQ(histogram.buckets[18], 1u);
  EXPECT_EQ(histogram.count, 3u);
}

TEST(DropReason, EveryReasonHasItsOwnName) {
  std::set<std::string_view> names;
  for (size_t i = 0; i < kDropReasonCount; ++i) {
    names.insert(ToString(static_cast<DropReason>(i)));
  }
  EXPECT_EQ(names.size(), kDropReasonCount);
  EXPECT_FALSE(names.contains("unknown"));
}

TEST(ClientAddress, PrintsBothFamilies) {
  EXPECT_EQ(ClientAddress::V4(192, 0, 2, 1, 5000).ToString(), "udp 192.0.2.1:5000");
  ClientAddress v6;
  v6.ip = {0x20, 0x01, 0x0d, 0xb8};
  v6.port = 7;
  v6.transport = Transport::kTcp;
  EXPECT_EQ(v6.ToString(), "tcp [2001:db8:0:0:0:0:0:0]:7");
}

TEST(RingBuffer, RefusesWhenFullAndKeepsOrder) {
  RingBuffer<int> ring(3);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(ring.Push(i));
  EXPECT_FALSE(ring.Push(9));
  ring.PopFront();
  EXPECT_TRUE(ring.Push(3));
  EXPECT_EQ(ring.front(), 1);
  EXPECT_EQ(ring[1], 2);
  EXPECT_EQ(ring.back(), 3);
}

}  // namespace
}  // namespace vigil
