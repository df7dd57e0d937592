#pragma once

#include <optional>

#include "gateway/base/time.h"

namespace vigil::worker {

// How busy a thread is: the time for which it was not waiting, in all and lately. One thread.
class LoadMeter {
 public:
  // Longer hides a short rush, shorter shows what nobody could look at twice.
  static constexpr TimeDelta kWindow = TimeDelta::Seconds(10);

  explicit LoadMeter(Timestamp start) : start_(start), window_start_(start) {}

  // One turn, which ended now.
  void Add(TimeDelta busy, Timestamp now) {
    busy_ += busy;
    const TimeDelta window = now - window_start_;
    if (window < kWindow) return;
    of_window_ = (busy_ - before_window_).seconds() / window.seconds();
    window_start_ = now;
    before_window_ = busy_;
  }

  TimeDelta busy() const { return busy_; }
  // The part of the last whole window for which it was busy, 0 to 1; of the time since the start as
  // long as there is none.
  double Utilization(Timestamp now) const {
    if (of_window_) return *of_window_;
    return now > start_ ? busy_.seconds() / (now - start_).seconds() : 0;
  }

 private:
  Timestamp start_;
  TimeDelta busy_;
  Timestamp window_start_;
  TimeDelta before_window_;
  std::optional<double> of_window_;
};

}  // namespace vigil::worker
