#include "gateway/stream/inbound_stream.h"

#include <algorithm>
#include <set>
#include <vector>

#include "gateway/base/archive.h"
#include "gateway/base/rng.h"
#include "gtest/gtest.h"

namespace vigil::stream {
namespace {

constexpr size_t kNoLimit = 1000;

Timestamp At(int64_t ms) { return Timestamp::FromNanos(1'000'000'000 + ms * 1'000'000); }

InboundStreamOptions Picture() {
  return {.ssrc = 77, .kind = rtp::MediaKind::kVideo, .clock_rate = 90'000, .nack = true};
}

// A stream with shorthand for what its tests do again and again.
struct Receiver {
  explicit Receiver(const InboundStreamOptions& options = Picture()) : stream(options) {}

  std::optional<DropReason> Packet(uint16_t sequence, Timestamp at = At(0),
                                   uint32_t timestamp = 0) {
    return stream.OnPacket({.sequence = sequence, .timestamp = timestamp, .ssrc = 77}, 100, at,
                           /*recovered=*/false, accepted);
  }
  std::optional<DropReason> Recovered(uint16_t sequence, Timestamp at = At(0)) {
    return stream.OnPacket({.sequence = sequence, .ssrc = 77}, 100, at, /*recovered=*/true,
                           accepted);
  }
  std::vector<uint16_t> Nacks(Timestamp now) {
    std::vector<uint16_t> sequences;
    gave_up = stream.TakeNacks(now, TimeDelta::Millis(50), kNoLimit, sequences);
    return sequences;
  }

  InboundStream stream;
  InboundStream::Accepted accepted;
  bool gave_up = false;
};

TEST(InboundStream, BeforeAnyPacketThereIsNothingToReport) {
  Receiver receiver;
  EXPECT_FALSE(receiver.stream.has_packets());
  EXPECT_FALSE(receiver.stream.MakeReportBlock(At(0)));
  EXPECT_TRUE(receiver.stream.NextDeadline().IsNever());
}

TEST(InboundStream, SequenceAndTimestampAreUnwrapped) {
  Receiver receiver;
  ASSERT_FALSE(receiver.Packet(65534, At(0), 0xffffff00));
  EXPECT_EQ(receiver.accepted.sequence, 65534);
  ASSERT_FALSE(receiver.Packet(1, At(1), 0x100));
  EXPECT_EQ(receiver.accepted.sequence, 65537);
  EXPECT_EQ(receiver.accepted.timestamp, 0x100000100);
  EXPECT_TRUE(receiver.accepted.newest);
  // Reordered over the wrap.
  ASSERT_FALSE(receiver.Packet(65535, At(2), 0xffffff80));
  EXPECT_EQ(receiver.accepted.sequence, 65535);
  EXPECT_EQ(receiver.accepted.timestamp, 0xffffff80);
  EXPECT_FALSE(receiver.accepted.newest);
}

TEST(InboundStream, ADuplicateIsDroppedWherever) {
  Receiver receiver;
  receiver.Packet(10);
  receiver.Packet(12);
  EXPECT_EQ(receiver.Packet(12), DropReason::kDuplicate);
  EXPECT_EQ(receiver.Packet(10), DropReason::kDuplicate);
  EXPECT_FALSE(receiver.Packet(11));
  EXPECT_EQ(receiver.Packet(11), DropReason::kDuplicate);
  EXPECT_EQ(receiver.stream.counters().packets, 3u);
}

TEST(InboundStream, DuplicatesAreToldApartAgainstASlowModel) {
  Rng rng(24);
  Receiver receiver;
  std::set<int64_t> seen;
  int64_t highest = 40'000;
  receiver.Packet(static_cast<uint16_t>(highest));
  seen.insert(highest);
  for (int i = 0; i < 200'000; ++i) {
    const int64_t sequence =
        highest + (rng.Chance(0.002) ? rng.Between(0, 5000) : rng.Between(-60, 3));
    const auto dropped = receiver.Packet(static_cast<uint16_t>(sequence));
    if (sequence <= highest - 2048) {
      ASSERT_EQ(dropped, DropReason::kTooOld);
      continue;
    }
    ASSERT_EQ(dropped.has_value(), !seen.insert(sequence).second) << sequence;
    if (dropped) continue;
    ASSERT_EQ(receiver.accepted.sequence, sequence);
    highest = std::max(highest, sequence);
  }
}

// RFC 3550, A.8, by hand. Clock 8 kHz, packets of 20 ms (160 units). D(i-1,i) is the change of
// transit time in units: 0, 80 (10 ms late), -80 (back on time), 8 (1 ms late).
// J: 0, 0 + 80/16 = 5, 5 + (80 - 5)/16 = 9.6875, 9.6875 + (8 - 9.6875)/16 = 9.58203125.
TEST(InboundStream, JitterFollowsTheFilterOfTheRfc) {
  Receiver receiver({.ssrc = 77, .clock_rate = 8000});
  receiver.Packet(0, At(0), 0);
  EXPECT_EQ(receiver.stream.MakeReportBlock(At(1))->jitter, 0u);
  receiver.Packet(1, At(20), 160);
  EXPECT_EQ(receiver.stream.MakeReportBlock(At(21))->jitter, 0u);
  receiver.Packet(2, At(50), 320);
  EXPECT_EQ(receiver.stream.MakeReportBlock(At(51))->jitter, 5u);
  receiver.Packet(3, At(60), 480);
  EXPECT_EQ(receiver.stream.MakeReportBlock(At(61))->jitter, 9u);
  EXPECT_NEAR(receiver.stream.jitter().seconds(), 9.6875 / 8000, 1e-9);
  receiver.Packet(4, At(81), 640);
  EXPECT_NEAR(receiver.stream.jitter().seconds(), 9.58203125 / 8000, 1e-9);
}

TEST(InboundStream, JitterDoesNotSeeTheTimestampWrapNorARestartedClock) {
  Receiver receiver({.ssrc = 77, .clock_rate = 48'000});
  uint32_t timestamp = 0xffffffff - 2000;
  for (uint16_t i = 0; i < 10; ++i, timestamp += 960) receiver.Packet(i, At(i * 20), timestamp);
  EXPECT_EQ(receiver.stream.jitter(), TimeDelta::Zero());
  receiver.Packet(10, At(200), timestamp + 0x30000000);
  receiver.Packet(11, At(220), timestamp + 0x30000000 + 960);
  EXPECT_EQ(receiver.stream.jitter(), TimeDelta::Zero());
}

TEST(InboundStream, RetransmissionsDoNotCountAsJitter) {
  Receiver receiver;
  receiver.Packet(0, At(0), 0);
  receiver.Packet(2, At(0), 0);
  receiver.Recovered(1, At(400));
  receiver.Packet(3, At(0), 0);
  EXPECT_EQ(receiver.stream.jitter(), TimeDelta::Zero());
}

// RFC 3550, A.3, by hand: base 100, highest 109, so expected 10, of which 8 came: lost 2,
// fraction 2 * 256 / 10 = 51. Then 110..119 with 110 missing and 105 arriving late: expected 10,
// received 10 in the interval, so fraction 0; lost 2 in all.
TEST(InboundStream, LossFollowsTheRfc) {
  Receiver receiver;
  for (const uint16_t s : {100, 101, 102, 103, 104, 106, 107, 109}) receiver.Packet(s);
  auto block = *receiver.stream.MakeReportBlock(At(0));
  EXPECT_EQ(block.ssrc, 77u);
  EXPECT_EQ(block.extended_highest_sequence, 109u);
  EXPECT_EQ(block.cumulative_lost, 2);
  EXPECT_EQ(block.fraction_lost, 51);
  receiver.Packet(105);
  for (uint16_t s = 111; s < 120; ++s) receiver.Packet(s);
  block = *receiver.stream.MakeReportBlock(At(0));
  EXPECT_EQ(block.cumulative_lost, 2);
  EXPECT_EQ(block.fraction_lost, 0);
  EXPECT_EQ(block.extended_highest_sequence, 119u);
  // Nothing came since the last report.
  EXPECT_EQ(receiver.stream.MakeReportBlock(At(0))->fraction_lost, 0);
}

TEST(InboundStream, TheExtendedHighestSequenceCountsCycles) {
  Receiver receiver;
  receiver.Packet(65535);
  receiver.Packet(0);
  EXPECT_EQ(receiver.stream.MakeReportBlock(At(0))->extended_highest_sequence, 65536u);
}

TEST(InboundStream, LosingNearlyAllIsAFractionOfAlmostOneNotOfZero) {
  Receiver receiver;
  receiver.Packet(0);
  receiver.stream.MakeReportBlock(At(0));
  receiver.Packet(30'000);
  EXPECT_EQ(receiver.stream.MakeReportBlock(At(0))->fraction_lost, 255);
}

TEST(InboundStream, AStartInDisorderIsNoLossAndNoGain) {
  Receiver receiver;
  receiver.Packet(10);
  receiver.Packet(8);
  auto block = *receiver.stream.MakeReportBlock(At(0));
  EXPECT_EQ(block.cumulative_lost, 1);
  receiver.Packet(9);
  block = *receiver.stream.MakeReportBlock(At(0));
  EXPECT_EQ(block.cumulative_lost, 0);
  EXPECT_EQ(block.fraction_lost, 0);
  EXPECT_EQ(block.extended_highest_sequence, 10u);
}

TEST(InboundStream, WhatOnlyRtxBroughtIsReportedLost) {
  Receiver receiver;
  receiver.Packet(0);
  receiver.Packet(3);
  EXPECT_EQ(receiver.Nacks(At(5)), (std::vector<uint16_t>{1, 2}));
  ASSERT_FALSE(receiver.Recovered(1));
  EXPECT_EQ(receiver.accepted.sequence, 1);
  EXPECT_EQ(receiver.stream.MakeReportBlock(At(0))->cumulative_lost, 2);
  EXPECT_EQ(receiver.stream.counters().recovered, 1u);
  EXPECT_EQ(receiver.stream.counters().packets, 3u);
  EXPECT_EQ(receiver.stream.counters().nacks_sent, 2u);
}

TEST(InboundStream, AnOriginalThatItsRetransmissionOvertookWasNotLost) {
  Receiver receiver;
  receiver.Packet(0);
  receiver.Packet(2);
  ASSERT_FALSE(receiver.Recovered(1));
  EXPECT_EQ(receiver.stream.MakeReportBlock(At(0))->cumulative_lost, 1);
  EXPECT_EQ(receiver.Packet(1), DropReason::kDuplicate);
  EXPECT_EQ(receiver.stream.MakeReportBlock(At(0))->cumulative_lost, 0);
  // Real duplicates do not make up for losses elsewhere.
  EXPECT_EQ(receiver.Packet(1), DropReason::kDuplicate);
  EXPECT_EQ(receiver.Packet(0), DropReason::kDuplicate);
  EXPECT_EQ(receiver.stream.MakeReportBlock(At(0))->cumulative_lost, 0);
}

TEST(InboundStream, RtxThatRepairsNothingIsDropped) {
  Receiver receiver;
  EXPECT_EQ(receiver.Recovered(5), DropReason::kTooOld);
  EXPECT_FALSE(receiver.stream.has_packets());
  receiver.Packet(10);
  EXPECT_EQ(receiver.Recovered(10), DropReason::kDuplicate);
  EXPECT_EQ(receiver.Recovered(11), DropReason::kTooOld);
  EXPECT_EQ(receiver.stream.counters().recovered, 0u);
}

TEST(InboundStream, WithoutNackNothingIsAskedFor) {
  Receiver receiver({.ssrc = 77, .clock_rate = 48'000, .nack = false});
  receiver.Packet(0);
  receiver.Packet(1000);
  EXPECT_FALSE(receiver.accepted.lost_track);
  EXPECT_TRUE(receiver.stream.NextDeadline().IsNever());
}

TEST(InboundStream, WithoutNackAPacketIsLostWhenItIsOverdue) {
  Receiver receiver({.ssrc = 77, .clock_rate = 48'000, .nack = false});
  // Every tenth is missing; one of them comes late, one too late to matter.
  for (uint16_t sequence = 0; sequence < 200; ++sequence) {
    if (sequence % 10 != 5) receiver.Packet(sequence);
    if (sequence == 60) receiver.Packet(55);
    if (sequence == 104) {
      EXPECT_EQ(receiver.stream.counters().given_up, 4u) << "5, 15, 25, 35";
    }
  }
  // Overdue are those up to 135, without 55.
  EXPECT_EQ(receiver.stream.counters().given_up, 13u);
  ASSERT_FALSE(receiver.Packet(15));
  EXPECT_EQ(receiver.stream.counters().given_up, 13u) << "it never falls";

  // The same stream elsewhere goes on counting.
  InboundStream moved(receiver.stream.Export(), At(0));
  InboundStream::Accepted accepted;
  for (uint16_t sequence = 200; sequence < 300; ++sequence) {
    moved.OnPacket({.sequence = sequence, .ssrc = 77}, 100, At(0), false, accepted);
  }
  EXPECT_EQ(moved.counters().given_up, 19u) << "145 to 195";
}

TEST(InboundStream, WithoutNackAGapIsLostButForWhatMayStillCome) {
  Receiver receiver({.ssrc = 77, .clock_rate = 48'000, .nack = false});
  receiver.Packet(10);
  receiver.Packet(5'011);
  EXPECT_EQ(receiver.stream.counters().given_up, 5'000u - 63u);
  for (uint16_t sequence = 5'012; sequence < 5'100; ++sequence) receiver.Packet(sequence);
  EXPECT_EQ(receiver.stream.counters().given_up, 5'000u);
}

TEST(InboundStream, AGapOverTheListLosesTrackOnceAndCountsWhatIsGone) {
  Receiver receiver;
  receiver.Packet(0);
  receiver.Packet(11);
  EXPECT_EQ(receiver.stream.missing(), 10u);
  ASSERT_FALSE(receiver.Packet(500));
  EXPECT_TRUE(receiver.accepted.lost_track);
  EXPECT_EQ(receiver.stream.missing(), 0u);
  EXPECT_EQ(receiver.stream.counters().given_up, 10u + 488u);
  ASSERT_FALSE(receiver.Packet(501));
  EXPECT_FALSE(receiver.accepted.lost_track);
  // What was given up may come after all.
  EXPECT_FALSE(receiver.Packet(300));
}

TEST(InboundStream, WhatIsGivenUpIsToldOnce) {
  Receiver receiver;
  receiver.Packet(0);
  receiver.Packet(2);
  EXPECT_EQ(receiver.Nacks(At(5)).size(), 1u);
  EXPECT_FALSE(receiver.gave_up);
  receiver.Nacks(At(1000));
  EXPECT_TRUE(receiver.gave_up);
  EXPECT_EQ(receiver.stream.counters().given_up, 1u);
  receiver.Nacks(At(2000));
  EXPECT_FALSE(receiver.gave_up);
}

TEST(InboundStream, APacketOlderThanTheWindowIsTooOld) {
  Receiver receiver;
  receiver.Packet(10'000);
  EXPECT_FALSE(receiver.Packet(10'000 - 2047));
  EXPECT_EQ(receiver.Packet(10'000 - 2048), DropReason::kTooOld);
}

TEST(InboundStream, TheReportAnswersTheLastSenderReport) {
  Receiver receiver;
  receiver.Packet(0);
  receiver.stream.OnSenderReport({.sender_ssrc = 77, .ntp = rtp::NtpTime(0x1111222233334444)},
                                 At(100));
  auto block = *receiver.stream.MakeReportBlock(At(350));
  EXPECT_EQ(block.last_sender_report, 0x22223333u);
  EXPECT_EQ(block.delay_since_last_report, 65536u / 4);
  // A stamp from within the turn may be later than the turn.
  EXPECT_EQ(receiver.stream.MakeReportBlock(At(99))->delay_since_last_report, 0u);
}

TEST(InboundStream, AHostileSenderChangesNothingButNumbers) {
  Rng rng(25);
  Receiver receiver;
  Timestamp now = At(0);
  for (int i = 0; i < 50'000; ++i) {
    now = now + TimeDelta::Micros(rng.Between(0, 2000));
    const rtp::PacketHeader header{.sequence = static_cast<uint16_t>(rng.Next()),
                                   .timestamp = static_cast<uint32_t>(rng.Next())};
    receiver.stream.OnPacket(header, 1000, now, rng.Chance(0.3), receiver.accepted);
    ASSERT_LE(receiver.stream.missing(), LossList::kMaxMissing);
    if (now >= receiver.stream.NextDeadline()) {
      ASSERT_LE(receiver.Nacks(now).size(), LossList::kMaxMissing);
      ASSERT_GT(receiver.stream.NextDeadline(), now);
    }
    if (i % 100 == 0) {
      const auto block = receiver.stream.MakeReportBlock(now);
      ASSERT_TRUE(!block || block->cumulative_lost <= 0x7fffff);
    }
  }
}

InboundStream Restored(const InboundStream& stream, Timestamp from, Timestamp to) {
  return InboundStream(*ReadArchive<InboundStream::State>(WriteArchive(stream.Export(), from), to),
                       to);
}

TEST(InboundStream, ARestoredStreamGoesOn) {
  Receiver receiver;
  for (const uint16_t s : {65500, 65501, 65503, 65510, 65511, 65535, 2}) {
    receiver.Packet(s, At(0), 1000);
  }
  receiver.stream.OnSenderReport({.ntp = rtp::NtpTime(0x0000000500000000)}, At(0));
  const auto before = *receiver.stream.MakeReportBlock(At(0));
  receiver.stream = Restored(receiver.stream, At(500), At(70'000));

  // Before anything arrives the report is the same, and the delay goes on.
  const auto after = *receiver.stream.MakeReportBlock(At(70'500));
  EXPECT_EQ(after.cumulative_lost, before.cumulative_lost);
  EXPECT_EQ(after.extended_highest_sequence, before.extended_highest_sequence);
  EXPECT_EQ(after.fraction_lost, 0);
  EXPECT_EQ(after.delay_since_last_report, 65536u);

  EXPECT_EQ(receiver.Packet(2), DropReason::kDuplicate);
  EXPECT_EQ(receiver.Packet(65510), DropReason::kDuplicate);
  ASSERT_FALSE(receiver.Packet(65502));
  EXPECT_EQ(receiver.accepted.sequence, 65502);
  ASSERT_FALSE(receiver.Packet(3, At(70'000), 2000));
  EXPECT_EQ(receiver.accepted.sequence, 65536 + 3);
  EXPECT_EQ(receiver.stream.MakeReportBlock(At(70'600))->cumulative_lost,
            before.cumulative_lost - 1);
}

TEST(InboundStream, ARestoredStreamAsksForWhatOfTheLast64IsMissing) {
  Receiver receiver;
  for (uint16_t s = 0; s < 200; ++s) {
    if (s != 100 && s != 136 && s != 150 && s != 198) receiver.Packet(s);
  }
  receiver.stream = Restored(receiver.stream, At(0), At(0));
  EXPECT_EQ(receiver.Nacks(At(5)), (std::vector<uint16_t>{136, 150, 198}));
  // Not told apart from what was seen.
  EXPECT_EQ(receiver.Packet(100), DropReason::kDuplicate);
}

TEST(InboundStream, AYoungStreamIsRestoredWithoutInventedLosses) {
  Receiver receiver;
  for (const uint16_t s : {5, 6, 8}) receiver.Packet(s);
  receiver.stream = Restored(receiver.stream, At(0), At(0));
  EXPECT_EQ(receiver.Nacks(At(5)), (std::vector<uint16_t>{7}));
  receiver.stream = Restored(InboundStream(Picture()), At(0), At(0));
  EXPECT_FALSE(receiver.stream.has_packets());
  EXPECT_FALSE(receiver.Packet(1));
}

}  // namespace
}  // namespace vigil::stream
