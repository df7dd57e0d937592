#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <thread>

#include "boost/asio/io_context.hpp"
#include "boost/asio/steady_timer.hpp"

namespace vigil::app {

struct ShutdownSteps {
  std::function<void()> refuse_new;
  // Nobody is connected any more.
  std::function<bool()> is_idle;
  // Ends the servers; on a thread of its own, which it may block.
  std::function<void()> close;
};

// How the process ends: what is new is refused, connections may go by themselves for a time, then
// the servers end, then `context` stops. Lives on the thread that runs `context`.
class Shutdown {
 public:
  // How long the servers may take to end. More than calls are given to end by themselves.
  static constexpr std::chrono::milliseconds kCloseTimeout{10'000};

  Shutdown(boost::asio::io_context& context, ShutdownSteps steps, uint32_t drain_seconds,
           std::chrono::milliseconds close_timeout = kCloseTimeout);
  ~Shutdown();

  // A second signal does not wait for connections.
  void OnSignal();

 private:
  void Wait();
  void Close();

  boost::asio::io_context& context_;
  const ShutdownSteps steps_;
  uint32_t seconds_;
  const std::chrono::milliseconds close_timeout_;
  bool draining_ = false;
  boost::asio::steady_timer timer_;
  std::thread closer_;
};

}  // namespace vigil::app
