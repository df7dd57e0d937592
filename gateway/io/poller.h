#pragma once

#include <sys/epoll.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gateway/base/time.h"
#include "gateway/io/fd.h"

namespace vigil::io {

// Where a thread waits: for descriptors, for a deadline with nanosecond resolution, and for Wake()
// of another thread. Level-triggered. All but Wake() belong to the waiting thread.
class Poller {
 public:
  struct Ready {
    uint64_t token = 0;
    bool readable = false;  // Also at end of stream and on errors: the next read tells.
    bool writable = false;
  };
  // epoll_pwait2 is the timer of choice; a timerfd serves kernels before 5.11 and sandboxes whose
  // filter does not know the call. kBest finds out by itself.
  enum class Timer { kBest, kTimerFd };
  // At most this many descriptors are reported by one Wait(); the others come with the next.
  static constexpr size_t kMaxReady = 64;
  // The two highest tokens are the poller's own.
  static constexpr uint64_t kMaxToken = UINT64_MAX - 2;

  // Errors: those of epoll_create1(2), eventfd(2), timerfd_create(2), by SystemError.
  static absl::StatusOr<std::unique_ptr<Poller>> Open(Timer timer = Timer::kBest);
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  // Reports `fd` under `token` when it is readable. kAlreadyExists when it is in already.
  absl::Status Add(int fd, uint64_t token);
  // Reports it also when it is writable, or no longer.
  void WatchWritable(int fd, uint64_t token, bool wanted);
  // Before `fd` is closed. Events of it that Wait() has already returned stay in the span.
  void Remove(int fd);

  // Waits until a descriptor is ready, Wake() is called or `timeout` is over; zero and less only
  // looks, Infinite has no end. What is ready, possibly nothing; valid until the next Wait().
  std::span<const Ready> Wait(TimeDelta timeout);

  // Whether the last Wait() had something to say about `token`.
  bool Reported(uint64_t token) const;

  // Ends the current or the next Wait(). From any thread, and from signal handlers.
  void Wake() const;

  // Readable when Wait() would return at once: a poller can be watched by another.
  int fd() const { return epoll_.get(); }

 private:
  Poller(Fd epoll, Fd wake, Fd timer);
  int WaitFor(TimeDelta timeout);

  Fd epoll_;
  Fd wake_;
  Fd timer_;  // Open when epoll_pwait2 cannot be had.
  std::array<epoll_event, kMaxReady> events_{};
  std::array<Ready, kMaxReady> ready_{};
  size_t ready_count_ = 0;
};

}  // namespace vigil::io
