#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "gateway/base/time.h"

namespace vigil::ctl {

// Ctrl-C and SIGTERM as something that can be waited for. Make it before anything that starts
// threads, so that they inherit the mask and only this one's thread gets the signals.
class StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  // Called once, on another thread, when the signal comes; at once if it has come.
  void OnStop(std::function<void()> what);

  // Waits for the signal, at most so long. Whether it has come.
  bool WaitFor(TimeDelta most);
  bool stopped();

 private:
  void Run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::function<void()> on_stop_;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace vigil::ctl
