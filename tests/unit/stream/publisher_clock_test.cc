#include "gateway/stream/publisher_clock.h"

#include <limits>

#include "gateway/base/archive.h"
#include "gateway/base/rng.h"
#include "gateway/stream/round_trip.h"
#include "gtest/gtest.h"

namespace vigil::stream {
namespace {

const rtp::WallClock kWall{TimeDelta::Seconds(3'900'000'000)};

Timestamp At(int64_t ms) { return Timestamp::FromNanos(ms * 1'000'000); }
// What a publisher's clock that is `ahead` of ours shows at `t`.
rtp::NtpTime TheirTime(Timestamp t, TimeDelta ahead) { return kWall.At(t + ahead); }

TEST(PublisherClock, TheLeastDelayedReportGivesTheOffset) {
  PublisherClock clock;
  EXPECT_FALSE(clock.known());
  const TimeDelta ahead = TimeDelta::Seconds(5);
  for (const int delay : {40, 25, 90}) {
    clock.OnSenderReport(TheirTime(At(1000), ahead), At(1000 + delay), kWall);
  }
  // NTP fractions are rounded, so compare to the microsecond.
  EXPECT_EQ(clock.offset(TimeDelta::Zero()).us() / 10, (TimeDelta::Millis(25) - ahead).us() / 10);
  EXPECT_EQ(clock.offset(TimeDelta::Millis(50)).us() / 10, (-ahead).us() / 10);
}

TEST(PublisherClock, AnOldMinimumIsForgottenAfterSixteenReports) {
  PublisherClock clock;
  clock.OnSenderReport(TheirTime(At(0), TimeDelta::Zero()), At(10), kWall);
  for (int i = 0; i < 16; ++i) {
    clock.OnSenderReport(TheirTime(At(i * 500), TimeDelta::Zero()), At(i * 500 + 30), kWall);
  }
  EXPECT_NEAR(clock.offset(TimeDelta::Zero()).seconds(), 0.030, 1e-5);
}

TEST(PublisherClock, OneReportThatWasHeldUpForSecondsChangesNothing) {
  PublisherClock clock;
  for (const int delay : {20, 3000, 2500, 20, 3000}) {
    clock.OnSenderReport(TheirTime(At(0), TimeDelta::Zero()), At(delay), kWall);
  }
  EXPECT_NEAR(clock.offset(TimeDelta::Zero()).seconds(), 0.020, 1e-5);
}

TEST(PublisherClock, AClockThatWasSetBackIsFollowedAfterThreeReports) {
  PublisherClock clock;
  for (int i = 0; i < 16; ++i) {
    clock.OnSenderReport(TheirTime(At(i * 500), TimeDelta::Zero()), At(i * 500 + 20), kWall);
  }
  for (int i = 16; i < 19; ++i) {
    clock.OnSenderReport(TheirTime(At(i * 500), TimeDelta::Seconds(-3600)), At(i * 500 + 20),
                         kWall);
  }
  EXPECT_NEAR(clock.offset(TimeDelta::Zero()).seconds(), 3600.020, 1e-5);
}

TEST(PublisherClock, AClockThatWasSetForwardIsFollowedAtOnce) {
  PublisherClock clock;
  clock.OnSenderReport(TheirTime(At(0), TimeDelta::Zero()), At(20), kWall);
  clock.OnSenderReport(TheirTime(At(500), TimeDelta::Seconds(60)), At(520), kWall);
  EXPECT_NEAR(clock.offset(TimeDelta::Zero()).seconds(), 0.020 - 60, 1e-5);
}

TEST(PublisherClock, IsCarriedOverARestore) {
  PublisherClock clock;
  clock.OnSenderReport(TheirTime(At(0), TimeDelta::Zero()), At(20), kWall);
  const auto restored = ReadArchive<PublisherClock>(WriteArchive(clock, At(30)), At(99));
  ASSERT_TRUE(restored);
  EXPECT_EQ(restored->offset(TimeDelta::Zero()), clock.offset(TimeDelta::Zero()));
}

// Undefined overflow would be a crash on remote input under the sanitizers.
TEST(PublisherClock, AnyReportIsSurvived) {
  Rng rng(3);
  PublisherClock clock;
  for (int i = 0; i < 1000; ++i) {
    clock.OnSenderReport(rtp::NtpTime(rng.Next()), At(rng.Between(0, 1'000'000'000)), kWall);
    const TimeDelta offset = clock.offset(TimeDelta::Seconds(10));
    EXPECT_EQ(AddQ32(ToQ32(offset), ToQ32(-offset)), 0);
  }
}

TEST(Q32, SecondsAreFixedPointModuloTwoToThe64) {
  EXPECT_EQ(ToQ32(TimeDelta::Seconds(1)), int64_t{1} << 32);
  EXPECT_EQ(ToQ32(TimeDelta::Millis(-500)), -(int64_t{1} << 31));
  EXPECT_EQ(ToQ32(TimeDelta::Millis(2250)), (int64_t{9} << 32) / 4);
  // An NTP clock that counts from its start is 3.9e9 s off, more than 2^31.
  EXPECT_EQ(static_cast<uint64_t>(ToQ32(TimeDelta::Seconds(3'900'000'000))),
            uint64_t{3'900'000'000} << 32);
  EXPECT_EQ(AddQ32(std::numeric_limits<int64_t>::max(), 1), std::numeric_limits<int64_t>::min());
}

TEST(RoundTrip, TheFirstSampleCountsWholeAndLaterOnesAnEighth) {
  RoundTrip round_trip;
  EXPECT_EQ(round_trip.value(), RoundTrip::kInitial);
  round_trip.Add(TimeDelta::Millis(80));
  EXPECT_EQ(round_trip.value(), TimeDelta::Millis(80));
  round_trip.Add(TimeDelta::Millis(160));
  EXPECT_EQ(round_trip.value(), TimeDelta::Millis(90));
}

TEST(RoundTrip, ImpossibleSamplesAreIgnored) {
  RoundTrip round_trip;
  round_trip.Add(TimeDelta::Millis(-1));
  round_trip.Add(TimeDelta::Seconds(11));
  round_trip.AddCompact(0x80000000);
  round_trip.AddCompact(0 - 0x10000u);  // -1 s
  round_trip.AddCompact(11 * 0x10000u);
  EXPECT_FALSE(round_trip.known());
}

// Clocks drift while the far end holds a report, so on a short path the arithmetic of RFC 3550
// goes a little below zero; without a sample the guess for a WAN would stand.
TEST(RoundTrip, ASlightlyNegativeSampleIsAShortPath) {
  RoundTrip round_trip;
  round_trip.AddCompact(0 - 65u);  // -1 ms
  EXPECT_TRUE(round_trip.known());
  EXPECT_EQ(round_trip.value(), TimeDelta::Zero());
}

}  // namespace
}  // namespace vigil::stream
