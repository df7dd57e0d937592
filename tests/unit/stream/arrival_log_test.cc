#include "gateway/stream/arrival_log.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "gateway/base/archive.h"
#include "gateway/base/rng.h"
#include "gtest/gtest.h"

namespace vigil::stream {
namespace {

constexpr uint32_t kSender = 1;
constexpr uint32_t kMedia = 2;

Timestamp At(int64_t us) { return Timestamp::FromNanos(50'000'000'000 + us * 1000); }

// What a publisher learns from our feedback.
struct Learned {
  std::map<uint16_t, TimeDelta> received;
  std::map<uint16_t, int> missing;
  std::vector<uint8_t> counts;

  void Read(std::span<const uint8_t> rtcp) {
    rtp::RtcpReader reader(rtcp);
    while (const auto packet = reader.Next()) {
      const auto* feedback = std::get_if<rtp::TransportFeedback>(&*packet);
      ASSERT_NE(feedback, nullptr);
      EXPECT_EQ(feedback->sender_ssrc, kSender);
      EXPECT_EQ(feedback->media_ssrc, kMedia);
      counts.push_back(feedback->feedback_count);
      rtp::TransportFeedback::Cursor cursor(*feedback);
      while (const auto arrival = cursor.Next()) {
        if (arrival->received) {
          received[arrival->sequence] = arrival->time;
        } else {
          ++missing[arrival->sequence];
        }
      }
    }
    EXPECT_FALSE(reader.malformed());
  }
};

bool Write(ArrivalLog& log, Timestamp now, Learned& learned, size_t room = 1400) {
  std::vector<uint8_t> bytes(room);
  ByteWriter out(bytes);
  const bool wrote = log.WriteDue(kSender, kMedia, now, out);
  EXPECT_TRUE(out.ok());
  EXPECT_EQ(wrote, out.position() > 0);
  learned.Read(out.written());
  return wrote;
}

TEST(ArrivalLog, FeedbackIsDueFiftyMillisecondsAfterTheFirstPacket) {
  ArrivalLog log;
  EXPECT_TRUE(log.NextDeadline().IsNever());
  log.OnPacket(7, At(0));
  log.OnPacket(8, At(30'000));
  EXPECT_EQ(log.NextDeadline(), At(50'000));
  Learned learned;
  EXPECT_FALSE(Write(log, At(49'999), learned));
  EXPECT_TRUE(Write(log, At(50'000), learned));
  EXPECT_TRUE(log.NextDeadline().IsNever());
  ASSERT_EQ(learned.received.size(), 2u);
  EXPECT_EQ(learned.received[8] - learned.received[7], TimeDelta::Millis(30));
}

TEST(ArrivalLog, GapsAreReportedOnceAlsoBetweenFeedbacks) {
  ArrivalLog log;
  Learned learned;
  log.OnPacket(65533, At(0));
  log.OnPacket(65535, At(100));
  Write(log, At(50'000), learned);
  log.OnPacket(2, At(60'000));
  Write(log, At(110'000), learned);
  EXPECT_EQ(learned.received.size(), 3u);
  EXPECT_EQ(learned.missing, (std::map<uint16_t, int>{{65534, 1}, {0, 1}, {1, 1}}));
  EXPECT_EQ(learned.counts, (std::vector<uint8_t>{0, 1}));
}

TEST(ArrivalLog, ReorderedAndRepeatedPacketsAreReportedInOrderAndOnce) {
  ArrivalLog log;
  Learned learned;
  for (const uint16_t sequence : {5, 3, 3, 4, 5}) log.OnPacket(sequence, At(sequence * 1000));
  // The first packet seen is not the lowest: 3 and 4 came late.
  Write(log, At(60'000), learned);
  EXPECT_EQ(learned.received.size(), 3u);
  EXPECT_TRUE(learned.missing.empty());
  EXPECT_EQ(learned.received[5] - learned.received[3], TimeDelta::Millis(2));
}

TEST(ArrivalLog, APacketOvertakenByItsFeedbackIsReportedLate) {
  ArrivalLog log;
  Learned learned;
  log.OnPacket(10, At(0));
  log.OnPacket(12, At(1000));
  Write(log, At(50'000), learned);
  EXPECT_EQ(learned.missing.count(11), 1u);
  log.OnPacket(11, At(51'000));
  log.OnPacket(13, At(52'000));
  EXPECT_TRUE(Write(log, At(101'000), learned));
  EXPECT_EQ(learned.received.count(11), 1u);
  EXPECT_EQ(learned.received.count(13), 1u);
  // Nothing is said a second time about what was reported before.
  EXPECT_EQ(learned.missing, (std::map<uint16_t, int>{{11, 1}}));
}

TEST(ArrivalLog, AStampThatRunsBackwardsKeepsItsDistance) {
  ArrivalLog log;
  Learned learned;
  log.OnPacket(1, At(0));
  log.OnPacket(2, At(-200'000));
  log.OnPacket(3, At(-12'000'000));  // Before the reference zero.
  log.OnPacket(4, At(1000));
  Write(log, At(100'000), learned);
  ASSERT_EQ(learned.received.size(), 4u);
  EXPECT_EQ(learned.received[1] - learned.received[2], TimeDelta::Millis(200));
  EXPECT_EQ(learned.received[4] - learned.received[1], TimeDelta::Millis(1));
  EXPECT_EQ(learned.received[4] - learned.received[3], TimeDelta::Micros(12'001'000));
}

TEST(ArrivalLog, ABurstOverTheBoundIsDueAtOnceAndTheExcessIsNotReportedAsLost) {
  ArrivalLog log;
  Learned learned;
  const uint16_t excess = 50;
  const auto end = static_cast<uint16_t>(ArrivalLog::kMaxArrivals + excess);
  for (uint16_t i = 0; i < end; ++i) log.OnPacket(i, At(i));
  EXPECT_LE(log.NextDeadline(), At(end));
  while (Write(log, At(end), learned, 400)) {
  }
  EXPECT_EQ(learned.received.size(), ArrivalLog::kMaxArrivals);
  log.OnPacket(end, At(20'000));
  Write(log, At(80'000), learned);
  EXPECT_EQ(learned.received.count(end), 1u);
  EXPECT_TRUE(learned.missing.empty());
}

TEST(ArrivalLog, WhatFindsNoRoomSpoilsNothingAndStaysDue) {
  ArrivalLog log;
  Learned learned;
  for (uint16_t i = 0; i < 100; i += 2) log.OnPacket(i, At(i * 20'000));
  Timestamp now = At(3'000'000);
  EXPECT_FALSE(Write(log, now, learned, 12));
  EXPECT_LE(log.NextDeadline(), now);
  int packets = 0;
  while (Write(log, now, learned, 40)) ASSERT_LT(++packets, 200);
  EXPECT_EQ(learned.received.size(), 50u);
  EXPECT_EQ(learned.missing.size(), 49u);
  EXPECT_TRUE(log.NextDeadline().IsNever());
}

TEST(ArrivalLog, ASenderThatJumpsFarIsNotReportedAsLosingHalfTheNumbers) {
  ArrivalLog log;
  Learned learned;
  log.OnPacket(0, At(0));
  Write(log, At(50'000), learned);
  log.OnPacket(30'000, At(60'000));
  EXPECT_TRUE(Write(log, At(110'000), learned));
  EXPECT_TRUE(learned.missing.empty());
  EXPECT_EQ(learned.received.count(30'000), 1u);
}

// The reference time has 24 bits of 64 ms: it wraps after twelve days, with its sign after six.
TEST(ArrivalLog, TimesContinueWhenTheReferenceTimeWraps) {
  ArrivalLog log;
  Learned learned;
  log.OnPacket(0, At(0));
  Write(log, At(50'000), learned);
  const int64_t wrap_us = (int64_t{1} << 23) * 64'000;
  const int64_t hour_us = 3'600'000'000;
  uint16_t sequence = 1;
  for (int64_t us = hour_us; us < 3 * wrap_us; us += 6 * hour_us, ++sequence) {
    log.OnPacket(sequence, At(us));
    ASSERT_TRUE(Write(log, At(us + 50'000), learned));
    // All there is modulo 2^24 times 64 ms; the zero of the times lies ten seconds before us = 0.
    const int64_t period_us = (int64_t{1} << 24) * 64'000;
    const int64_t error_us = us + 10'000'000 - learned.received[sequence].us();
    ASSERT_EQ(error_us % period_us, 0) << us;
  }
}

TEST(ArrivalLog, ARestoreContinuesTimesAndReportsNoLossOfWhatTheFormerOwnerSaw) {
  ArrivalLog log;
  Learned learned;
  for (uint16_t i = 0; i < 10; ++i) log.OnPacket(i, At(i * 1000));
  Write(log, At(50'000), learned);
  for (uint16_t i = 10; i < 15; ++i) log.OnPacket(i, At(51'000 + i * 1000));
  // The other node's clock has another zero.
  const int64_t other = 7'000'000'000;
  auto restored = ReadArchive<ArrivalLog>(WriteArchive(log, At(80'000)), At(80'000 + other));
  ASSERT_TRUE(restored);
  restored->ForgetUnreported();
  restored->OnPacket(20, At(90'000 + other));
  EXPECT_TRUE(Write(*restored, At(200'000 + other), learned));
  EXPECT_TRUE(learned.missing.empty());
  EXPECT_EQ(learned.received[20] - learned.received[0], TimeDelta::Millis(90));
  EXPECT_EQ(learned.counts, (std::vector<uint8_t>{0, 1}));
}

TEST(ArrivalLog, AHandOverReportsWhatTheFormerOwnerHadNotReportedYet) {
  ArrivalLog log;
  Learned learned;
  for (uint16_t i = 0; i < 5; ++i) log.OnPacket(i, At(i * 1000));
  const int64_t other = 7'000'000'000;
  auto restored = ReadArchive<ArrivalLog>(WriteArchive(log, At(10'000)), At(10'000 + other));
  ASSERT_TRUE(restored);
  EXPECT_EQ(restored->NextDeadline(), At(50'000 + other));
  restored->OnPacket(7, At(20'000 + other));
  EXPECT_TRUE(Write(*restored, At(50'000 + other), learned));
  EXPECT_EQ(learned.received.size(), 6u);
  EXPECT_EQ(learned.missing.size(), 2u) << "5 and 6 came to nobody";
}

// SRTP does not know any more what it has seen, so somebody may send it in again.
TEST(ArrivalLog, WhatComesAgainAfterARestoreDidNotArriveThen) {
  for (const bool after_fault : {false, true}) {
    ArrivalLog log;
    Learned learned;
    for (uint16_t i = 10; i < 20; ++i) log.OnPacket(i, At(i * 1000));
    ASSERT_TRUE(Write(log, At(100'000), learned));
    log.OnPacket(20, At(110'000));
    auto restored = ReadArchive<ArrivalLog>(WriteArchive(log, At(120'000)), At(120'000));
    ASSERT_TRUE(restored);
    if (after_fault) {
      restored->ForgetUnreported();
    } else {
      restored->OnHandOver();
    }
    Learned since;
    restored->OnPacket(15, At(130'000));
    restored->OnPacket(16, At(140'000));
    restored->OnPacket(21, At(150'000));
    ASSERT_TRUE(Write(*restored, At(300'000), since));
    EXPECT_FALSE(since.received.contains(15));
    EXPECT_FALSE(since.received.contains(16));
    EXPECT_TRUE(since.received.contains(21));
    EXPECT_TRUE(since.missing.empty());
  }
}

TEST(ArrivalLog, FeedbackDecodesBackToTheArrivals) {
  Rng rng(22);
  for (int round = 0; round < 40; ++round) {
    ArrivalLog log;
    Learned learned;
    std::map<uint16_t, Timestamp> arrived;
    int64_t us = 0;
    int64_t next = rng.Between(0, 65535);
    std::vector<int64_t> held;  // Overtaken by those behind them.
    const auto deliver = [&](int64_t sequence) {
      const auto wire = static_cast<uint16_t>(sequence);
      log.OnPacket(wire, At(us));
      arrived.emplace(wire, At(us));
    };
    for (int step = 0; step < 3000; ++step) {
      us += rng.Between(0, 3000);
      const int64_t sequence = next++;
      if (rng.Chance(0.05)) continue;  // Lost.
      if (rng.Chance(0.05)) {
        held.push_back(sequence);
      } else {
        deliver(sequence);
      }
      if (!held.empty() && rng.Chance(0.3)) {
        deliver(held.front());
        held.erase(held.begin());
      }
      if (At(us) >= log.NextDeadline()) {
        ASSERT_TRUE(Write(log, At(us), learned, static_cast<size_t>(rng.Between(60, 1400))));
      }
    }
    for (int i = 0; i < 100; ++i) Write(log, At(us + 100'000), learned);
    ASSERT_EQ(learned.received.size(), arrived.size());
    const TimeDelta base = learned.received.begin()->second;
    const Timestamp base_at = arrived.begin()->second;
    for (const auto& [sequence, time] : learned.received) {
      // Each is rounded to ticks of 250 us by itself.
      const TimeDelta error = (time - base) - (arrived.at(sequence) - base_at);
      ASSERT_LE(std::abs(error.us()), 250);
    }
    for (const auto& [sequence, times] : learned.missing) ASSERT_EQ(times, 1) << sequence;
  }
}

}  // namespace
}  // namespace vigil::stream
