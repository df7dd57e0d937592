#include "tests/support/simulated_network.h"

#include <algorithm>

namespace vigil::sim {

bool SimulatedLink::IsLost() {
  bad_ = bad_ ? !rng_.Chance(model_.bad_to_good) : rng_.Chance(model_.good_to_bad);
  return rng_.Chance(bad_ ? model_.loss_in_bad : model_.loss_in_good);
}

std::vector<Timestamp> SimulatedLink::Transmit(size_t bytes, Timestamp now) {
  if (IsLost()) {
    ++lost_;
    return {};
  }
  Timestamp leaves = now;
  if (model_.rate.bps() > 0) {
    const Timestamp starts = std::max(now, sent_until_);
    if (starts - now > model_.max_queue) {
      ++lost_;
      return {};
    }
    leaves = starts +
             TimeDelta::Nanos(static_cast<int64_t>(bytes) * 8 * 1'000'000'000 / model_.rate.bps());
    sent_until_ = leaves;
  }
  Timestamp arrives = leaves + model_.delay;
  if (model_.jitter > TimeDelta::Zero()) {
    arrives = arrives + TimeDelta::Nanos(rng_.Between(0, model_.jitter.ns()));
  }
  if (rng_.Chance(model_.reorder)) {
    arrives = arrives + model_.reorder_delay;
  } else {
    arrives = std::max(arrives, last_arrival_);
    last_arrival_ = arrives;
  }
  std::vector<Timestamp> arrivals = {arrives};
  if (rng_.Chance(model_.duplicate)) {
    arrivals.push_back(arrives + TimeDelta::Micros(rng_.Between(0, 5'000)));
  }
  return arrivals;
}

}  // namespace vigil::sim
