#include "gateway/io/poller.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "gateway/base/check.h"

namespace vigil::io {
namespace {

constexpr uint64_t kWakeToken = Poller::kMaxToken + 1;
constexpr uint64_t kTimerToken = Poller::kMaxToken + 2;

timespec ToTimespec(TimeDelta span) {
  return {.tv_sec = span.ns() / 1'000'000'000, .tv_nsec = span.ns() % 1'000'000'000};
}

epoll_event EventFor(uint64_t token, uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = token;
  return event;
}

bool HasPwait2(int epoll) {
  epoll_event event;
  const timespec zero{};
  return epoll_pwait2(epoll, &event, 1, &zero, nullptr) >= 0;
}

// Empties an eventfd or a timerfd.
void ReadOut(int fd) {
  uint64_t count = 0;
  while (read(fd, &count, sizeof count) < 0 && errno == EINTR) {
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Poller>> Poller::Open(Timer timer) {
  Fd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.is_open()) return SystemError(errno, "epoll_create1");
  Fd wake(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!wake.is_open()) return SystemError(errno, "eventfd");
  Fd timer_fd;
  if (timer == Timer::kTimerFd || !HasPwait2(epoll.get())) {
    timer_fd = Fd(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
    if (!timer_fd.is_open()) return SystemError(errno, "timerfd_create");
  }
  epoll_event event = EventFor(kWakeToken, EPOLLIN);
  if (epoll_ctl(epoll.get(), EPOLL_CTL_ADD, wake.get(), &event) != 0) {
    return SystemError(errno, "epoll_ctl");
  }
  event = EventFor(kTimerToken, EPOLLIN);
  if (timer_fd.is_open() && epoll_ctl(epoll.get(), EPOLL_CTL_ADD, timer_fd.get(), &event) != 0) {
    return SystemError(errno, "epoll_ctl");
  }
  return std::unique_ptr<Poller>(
      new Poller(std::move(epoll), std::move(wake), std::move(timer_fd)));
}

Poller::Poller(Fd epoll, Fd wake, Fd timer)
    : epoll_(std::move(epoll)), wake_(std::move(wake)), timer_(std::move(timer)) {}

absl::Status Poller::Add(int fd, uint64_t token) {
  VIGIL_CHECK(token <= kMaxToken);
  epoll_event event = EventFor(token, EPOLLIN);
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return SystemError(errno, "epoll_ctl");
  }
  return absl::OkStatus();
}

void Poller::WatchWritable(int fd, uint64_t token, bool wanted) {
  epoll_event event = EventFor(token, wanted ? EPOLLIN | EPOLLOUT : EPOLLIN);
  VIGIL_CHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) == 0);
}

void Poller::Remove(int fd) {
  VIGIL_CHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr) == 0);
}

std::span<const Poller::Ready> Poller::Wait(TimeDelta timeout) {
  const int count = WaitFor(std::max(timeout, TimeDelta::Zero()));
  // A signal ends a wait early, which callers see as a timeout.
  VIGIL_CHECK(count >= 0 || errno == EINTR);
  ready_count_ = 0;
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events_[static_cast<size_t>(i)];
    if (event.data.u64 == kWakeToken) {
      ReadOut(wake_.get());
    } else if (event.data.u64 == kTimerToken) {
      ReadOut(timer_.get());
    } else {
      ready_[ready_count_++] = {event.data.u64,
                                (event.events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0,
                                (event.events & EPOLLOUT) != 0};
    }
  }
  return std::span(ready_).first(ready_count_);
}

bool Poller::Reported(uint64_t token) const {
  const auto end = ready_.begin() + static_cast<std::ptrdiff_t>(ready_count_);
  return std::any_of(ready_.begin(), end,
                     [token](const Ready& ready) { return ready.token == token; });
}

int Poller::WaitFor(TimeDelta timeout) {
  if (!timer_.is_open()) {
    const timespec wait = ToTimespec(timeout);
    return epoll_pwait2(epoll_.get(), events_.data(), kMaxReady,
                        timeout.IsInfinite() ? nullptr : &wait, nullptr);
  }
  if (timeout == TimeDelta::Zero()) return epoll_wait(epoll_.get(), events_.data(), kMaxReady, 0);
  // A zero it_value disarms, which is what Infinite wants. Arming again also forgets an expiry
  // that was never read.
  itimerspec timer{};
  if (!timeout.IsInfinite()) timer.it_value = ToTimespec(timeout);
  VIGIL_CHECK(timerfd_settime(timer_.get(), 0, &timer, nullptr) == 0);
  return epoll_wait(epoll_.get(), events_.data(), kMaxReady, -1);
}

void Poller::Wake() const {
  const uint64_t one = 1;
  // EAGAIN means that the counter is full of wakes nobody has seen yet: one of them is enough.
  while (write(wake_.get(), &one, sizeof one) < 0 && errno == EINTR) {
  }
}

}  // namespace vigil::io
