#include "gateway/worker/load_meter.h"

#include "gtest/gtest.h"

namespace vigil::worker {
namespace {

Timestamp At(double seconds) {
  return Timestamp::FromNanos(7'000'000'000) + TimeDelta::FromSeconds(seconds);
}

TEST(LoadMeterTest, UntilThereIsAWindowItIsTheTimeSinceTheStart) {
  LoadMeter meter(At(0));
  EXPECT_EQ(meter.Utilization(At(0)), 0);
  meter.Add(TimeDelta::Seconds(1), At(2));
  EXPECT_DOUBLE_EQ(meter.Utilization(At(4)), 0.25);
}

TEST(LoadMeterTest, ARushShowsInItsWindowAndIsForgottenWithIt) {
  LoadMeter meter(At(0));
  double t = 0;
  const auto run = [&](double until, double share) {
    for (; t < until; t += 0.5) meter.Add(TimeDelta::FromSeconds(0.5 * share), At(t + 0.5));
  };
  run(1000, 0.01);
  EXPECT_NEAR(meter.Utilization(At(t)), 0.01, 1e-9);
  run(1010, 0.9);
  EXPECT_NEAR(meter.Utilization(At(t)), 0.9, 1e-9);
  run(1015, 0.01);
  EXPECT_NEAR(meter.Utilization(At(t)), 0.9, 1e-9) << "of the last whole window";
  run(1020, 0.01);
  EXPECT_NEAR(meter.Utilization(At(t)), 0.01, 1e-9);
  EXPECT_NEAR(meter.busy().seconds(), 10 + 9 + 0.1, 1e-6);
}

}  // namespace
}  // namespace vigil::worker
