#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "gateway/base/data_rate.h"
#include "gateway/base/rng.h"
#include "gateway/base/time.h"

namespace vigil::sim {

// One direction of one client's path. The default is a wire: nothing lost, nothing late.
struct LinkModel {
  TimeDelta delay;
  TimeDelta jitter;  // Uniform in [0, jitter], in order.
  // Gilbert-Elliott: chances per datagram to change state, and of loss in each state.
  double good_to_bad = 0;
  double bad_to_good = 1;
  double loss_in_good = 0;
  double loss_in_bad = 0;
  DataRate rate;                                 // Zero: unlimited.
  TimeDelta max_queue = TimeDelta::Millis(200);  // What does not fit is dropped at the tail.
  double reorder = 0;  // Chance that a datagram is held back by reorder_delay.
  TimeDelta reorder_delay;
  double duplicate = 0;

  bool IsLossless() const { return loss_in_good == 0 && loss_in_bad == 0 && rate.bps() == 0; }
  // The longest a datagram can take.
  TimeDelta Longest() const {
    return delay + jitter + reorder_delay + (rate.bps() > 0 ? max_queue : TimeDelta::Zero());
  }
};

// Decides when each datagram of a direction arrives, if it does. Repeats by seed; knows no bytes.
class SimulatedLink {
 public:
  SimulatedLink(const LinkModel& model, uint64_t seed) : model_(model), rng_(seed) {}

  // The arrival times of a datagram sent at `now`: none when lost, two when duplicated.
  std::vector<Timestamp> Transmit(size_t bytes, Timestamp now);

  void set_model(const LinkModel& model) { model_ = model; }
  const LinkModel& model() const { return model_; }
  uint64_t lost() const { return lost_; }

 private:
  bool IsLost();

  LinkModel model_;
  Rng rng_;
  bool bad_ = false;
  Timestamp sent_until_ = Timestamp::LongAgo();  // The bottleneck is busy until then.
  Timestamp last_arrival_ = Timestamp::LongAgo();
  uint64_t lost_ = 0;
};

}  // namespace vigil::sim
