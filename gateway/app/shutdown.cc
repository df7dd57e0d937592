#include "gateway/app/shutdown.h"

#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/app/log.h"

namespace vigil::app {

Shutdown::Shutdown(boost::asio::io_context& context, ShutdownSteps steps, uint32_t drain_seconds,
                   std::chrono::milliseconds close_timeout)
    : context_(context),
      steps_(std::move(steps)),
      seconds_(drain_seconds),
      close_timeout_(close_timeout),
      timer_(context) {}

Shutdown::~Shutdown() {
  if (closer_.joinable()) closer_.join();
}

void Shutdown::OnSignal() {
  if (draining_) seconds_ = 0;
  draining_ = true;
  LogInfo("draining", {{"seconds", absl::StrCat(seconds_)}});
  steps_.refuse_new();
  Wait();
}

void Shutdown::Wait() {
  if (closer_.joinable()) return;
  if (seconds_ == 0 || steps_.is_idle()) return Close();
  --seconds_;
  timer_.expires_after(std::chrono::seconds(1));
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) Wait();
  });
}

void Shutdown::Close() {
  // gRPC waits without end for calls that its clients have reset by the ten thousand. What is lost
  // then is what a node loses that dies.
  timer_.expires_after(close_timeout_);
  timer_.async_wait([](const boost::system::error_code& error) {
    if (error) return;
    LogError("the API's port does not end: left as it is");
    std::_Exit(0);
  });
  closer_ = std::thread([this] {
    steps_.close();
    context_.stop();
  });
}

}  // namespace vigil::app
