#include "gateway/ctl/stop_signal.h"

#include <pthread.h>
#include <signal.h>

#include <chrono>
#include <utility>

namespace vigil::ctl {
namespace {

// Ends the thread when nobody pressed Ctrl-C.
constexpr int kEnd = SIGUSR1;

sigset_t Signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, kEnd}) sigaddset(&set, signal);
  return set;
}

}  // namespace

StopSignal::StopSignal() {
  const sigset_t set = Signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  thread_ = std::thread([this] { Run(); });
}

StopSignal::~StopSignal() {
  pthread_kill(thread_.native_handle(), kEnd);
  thread_.join();
}

void StopSignal::Run() {
  const sigset_t set = Signals();
  for (;;) {
    int signal = 0;
    if (sigwait(&set, &signal) != 0 || signal == kEnd) return;
    std::function<void()> what;
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
      what = std::exchange(on_stop_, nullptr);
    }
    changed_.notify_all();
    if (what) what();
  }
}

void StopSignal::OnStop(std::function<void()> what) {
  {
    const std::lock_guard lock(mutex_);
    if (!stopped_) {
      on_stop_ = std::move(what);
      return;
    }
  }
  what();
}

bool StopSignal::WaitFor(TimeDelta most) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::nanoseconds(most.ns()), [this] { return stopped_; });
}

bool StopSignal::stopped() {
  const std::lock_guard lock(mutex_);
  return stopped_;
}

}  // namespace vigil::ctl
