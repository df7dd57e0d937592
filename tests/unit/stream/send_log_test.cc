#include "gateway/stream/send_log.h"

#include <initializer_list>
#include <variant>
#include <vector>

#include "gateway/base/archive.h"
#include "gateway/base/rng.h"
#include "gtest/gtest.h"

namespace vigil::stream {
namespace {

const Timestamp kNow = Timestamp::FromNanos(1'000'000'000);

// Feedback about the packets from `base` on that names `received` of them as received.
SendLog::Acknowledged Acknowledge(SendLog& log, int64_t base, std::vector<int64_t> received) {
  std::vector<rtp::FeedbackArrival> arrivals;
  for (const int64_t sequence : received) {
    arrivals.push_back({sequence, TimeDelta::Millis(100 + (sequence - base) % 1000)});
  }
  std::vector<uint8_t> bytes(4000);
  ByteWriter out(bytes);
  EXPECT_EQ(rtp::WriteTransportFeedback({1, 2, base, 0}, arrivals, out), arrivals.size());
  rtp::RtcpReader reader(out.written());
  const auto packet = reader.Next();
  return log.OnFeedback(std::get<rtp::TransportFeedback>(*packet));
}

TEST(SendLog, NumbersCountOnFromOneAndWrap) {
  SendLog log;
  for (int64_t i = 1; i < 70'000; ++i) {
    ASSERT_EQ(log.Next(0, 100, kNow), static_cast<uint16_t>(i));
  }
}

TEST(SendLog, FeedbackTellsWhatArrivedAndOfWhichTracks) {
  SendLog log;
  for (uint8_t track = 0; track < 4; ++track) log.Next(track, 100u + track, kNow);
  const SendLog::Acknowledged result = Acknowledge(log, 1, {1, 3, 4});
  EXPECT_EQ(result.received, 3u);
  EXPECT_EQ(result.lost, 1u);
  EXPECT_EQ(result.received_bytes, 305u);
  EXPECT_EQ(result.tracks, 0b1101u);
}

TEST(SendLog, ASecondAcknowledgementCountsNothing) {
  SendLog log;
  for (int i = 0; i < 4; ++i) log.Next(0, 100, kNow);
  Acknowledge(log, 1, {1, 4});
  const SendLog::Acknowledged again = Acknowledge(log, 1, {1, 4});
  EXPECT_EQ(again.received, 0u);
  EXPECT_EQ(again.lost, 0u);
  EXPECT_EQ(again.tracks, 0u);
}

TEST(SendLog, WhatWasReportedLostMayStillArrive) {
  SendLog log;
  for (int i = 0; i < 3; ++i) log.Next(5, 100, kNow);
  EXPECT_EQ(Acknowledge(log, 1, {1, 3}).lost, 1u);
  const SendLog::Acknowledged late = Acknowledge(log, 2, {2});
  EXPECT_EQ(late.received, 1u);
  EXPECT_EQ(late.tracks, 1u << 5);
}

// A receiver that invents numbers must not confirm a track that it never got anything of.
TEST(SendLog, NumbersThatWereNeverSentCountNothing) {
  SendLog log;
  EXPECT_EQ(Acknowledge(log, 1, {1}).received, 0u);  // Nothing was sent at all.
  log.Next(0, 100, kNow);
  for (const int64_t base :
       {int64_t{65535}, int64_t{0}, int64_t{2}, int64_t{1023}, int64_t{1024}, int64_t{30'000}}) {
    const SendLog::Acknowledged result = Acknowledge(log, base, {base});
    EXPECT_EQ(result.received, 0u) << base;
    EXPECT_EQ(result.lost, 0u) << base;
    EXPECT_EQ(result.tracks, 0u) << base;
  }
}

TEST(SendLog, FeedbackAcrossTheWrapIsUnderstood) {
  SendLog log;
  for (int i = 0; i < 65'540; ++i) log.Next(1, 10, kNow);
  const SendLog::Acknowledged result = Acknowledge(log, 65'530, {65'530, 65'535, 65'536, 65'540});
  EXPECT_EQ(result.received, 4u);
  EXPECT_EQ(result.lost, 7u);
}

TEST(SendLog, WhatTheLogHasForgottenCountsNothing) {
  SendLog log;
  for (int i = 0; i < 5000; ++i) log.Next(1, 10, kNow);
  EXPECT_EQ(Acknowledge(log, 100, {100, 101}).received, 0u);
  // One long feedback: only the last 1024 are known.
  const SendLog::Acknowledged result = Acknowledge(log, 1, {1, 5000});
  EXPECT_EQ(result.received, 1u);
  EXPECT_EQ(result.lost, SendLog::kCapacity - 1);
}

TEST(SendLog, AfterARestoreNumbersGoOnAndOldFeedbackCountsNothing) {
  SendLog log;
  for (int i = 0; i < 10; ++i) log.Next(0, 10, kNow);
  auto exact = ReadArchive<SendLog>(WriteArchive(log, kNow), kNow);
  ASSERT_TRUE(exact);
  EXPECT_EQ(exact->Next(0, 10, kNow), 11);
  EXPECT_EQ(Acknowledge(*exact, 8, {8, 9, 10, 11}).received, 1u);
  // After a fault the former owner may have sent more than the state tells.
  auto faulted = ReadArchive<SendLog>(WriteArchive(log, kNow), kNow);
  faulted->SkipAhead();
  EXPECT_EQ(faulted->Next(0, 10, kNow), 11 + SendLog::kCapacity);
  EXPECT_EQ(Acknowledge(*faulted, 11, {11, 12, 13}).received, 0u);
}

TEST(SendLog, EachPacketIsCountedOnceWhateverTheReceiverSays) {
  Rng rng(23);
  SendLog log;
  int64_t sent = 0;
  uint64_t received = 0;
  uint64_t lost = 0;
  for (int step = 0; step < 500; ++step) {
    for (int64_t n = rng.Between(0, 30); n > 0; --n, ++sent) log.Next(0, 1, kNow);
    const int64_t base = std::max<int64_t>(1, sent + rng.Between(-2000, 100));
    std::vector<int64_t> numbers;
    for (int64_t s = base; s < base + 60; ++s) {
      if (rng.Chance(0.5)) numbers.push_back(s);
    }
    if (numbers.empty()) continue;
    const SendLog::Acknowledged result = Acknowledge(log, base, numbers);
    EXPECT_EQ(result.received_bytes, result.received);
    received += result.received;
    lost += result.lost;
  }
  EXPECT_LE(received, static_cast<uint64_t>(sent));
  EXPECT_LE(lost, static_cast<uint64_t>(sent));
  EXPECT_GT(received, 100u);
}

}  // namespace
}  // namespace vigil::stream
