#include "gateway/io/datagram.h"

#include <array>
#include <utility>

#include "gateway/io/clock.h"
#include "gtest/gtest.h"
#include "tests/unit/io/loopback.h"

namespace vigil::io {
namespace {

OutboundDatagram Datagram(PacketPool& pool, size_t size, uint16_t port) {
  return {ClientAddress::V4(192, 0, 2, 1, port), MakePacket(pool, size, 0)};
}

TEST(Outbox, TheLastQuarterIsForSmallDatagrams) {
  PacketPool pool(32);
  Outbox outbox(8);
  for (uint16_t i = 0; i < 6; ++i) EXPECT_TRUE(outbox.Push(Datagram(pool, 1200, i)));
  EXPECT_FALSE(outbox.Push(Datagram(pool, 1200, 6)));
  EXPECT_TRUE(outbox.Push(Datagram(pool, 160, 7)));
  EXPECT_TRUE(outbox.Push(Datagram(pool, kSmallDatagramBytes, 8)));
  EXPECT_FALSE(outbox.Push(Datagram(pool, 160, 9)));
  EXPECT_EQ(outbox.refused_count(), 2u);
  EXPECT_EQ(outbox.size(), 8u);
  EXPECT_EQ(outbox.datagrams()[6].client.port, 7) << "order is kept";
  EXPECT_EQ(pool.in_use(), 8u) << "a refused datagram's packet goes back to its pool";
}

TEST(Outbox, ClearReleasesAndMakesRoom) {
  PacketPool pool(4);
  Outbox outbox(4);
  EXPECT_TRUE(outbox.Push(Datagram(pool, 1200, 1)));
  const OutboundDatagram* storage = outbox.datagrams().data();
  outbox.Clear();
  EXPECT_TRUE(outbox.empty());
  EXPECT_EQ(pool.in_use(), 0u);
  EXPECT_TRUE(outbox.Push(Datagram(pool, 1200, 2)));
  EXPECT_EQ(outbox.datagrams().data(), storage) << "the storage is allocated once";
  outbox.Clear();
}

TEST(DwellRecorder, CountsOnlyWhatForwardsSomething) {
  PortCounters counters;
  const std::array<ForwardStamp, 3> stamps = {
      {{.received_at = MonotonicNow() - TimeDelta::Seconds(3)},
       {},
       {.received_at = MonotonicNow()}}};
  DwellRecorder().Record(stamps, counters);
  EXPECT_EQ(counters.sound.dwell.count, 2u);
  EXPECT_EQ(counters.sound.dwell.buckets.back(), 1u) << "three seconds are above the last edge";
  EXPECT_GE(counters.sound.dwell.sum, TimeDelta::Seconds(3));
  EXPECT_EQ(counters.picture.dwell.count, 0u);
}

TEST(DwellRecorder, JitterIsTheChangeOfDwellWithinOneStream) {
  PortCounters counters;
  DwellRecorder recorder;
  const Timestamp now = MonotonicNow();
  const auto picture = [now](uint32_t ssrc, TimeDelta ago) {
    return ForwardStamp{.received_at = now - ago, .ssrc = ssrc, .is_picture = true};
  };
  const std::array<ForwardStamp, 5> stamps = {
      picture(1, TimeDelta::Seconds(5)), picture(2, TimeDelta::Millis(1)),
      picture(1, TimeDelta::Seconds(2)), picture(2, TimeDelta::Millis(1)),
      picture(1, TimeDelta::Seconds(4))};
  recorder.Record(stamps, counters);
  EXPECT_EQ(counters.picture.jitter.count, 3u) << "the first of a stream has none before it";
  EXPECT_EQ(counters.picture.jitter.sum, TimeDelta::Seconds(5)) << "3 s of stream 1, then 2 s";
  EXPECT_EQ(counters.picture.jitter.buckets.front(), 1u) << "stream 2 stayed even";
}

}  // namespace
}  // namespace vigil::io
