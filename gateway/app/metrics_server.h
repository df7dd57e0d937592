#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "boost/asio/io_context.hpp"
#include "boost/asio/steady_timer.hpp"
#include "gateway/base/time.h"
#include "gateway/control/http_server.h"

namespace vigil::app {

// The port for those who watch the process: `/metrics`, `/livez` and `/readyz`, on a thread of its
// own. So whether the media loop lives can be told while the control thread does not answer.
class MetricsServer {
 public:
  // To be called once, with the metrics as text, on any thread, while the server is there. May be
  // destroyed later.
  using OnText = std::function<void(std::string)>;

  struct Sources {
    // How long ago the media worker that is furthest behind began its last turn. Any thread.
    std::function<TimeDelta()> tick_age;
    // Asks for the metrics. Called on the server's thread.
    std::function<void(OnText)> metrics;
  };

  // A media loop that has not turned for so long is not coming back: `/livez` fails. Lower would
  // have a busy machine end a process that still forwards; higher leaves rooms dark for longer.
  static constexpr TimeDelta kDead = TimeDelta::Seconds(10);

  static absl::StatusOr<std::unique_ptr<MetricsServer>> Open(const std::string& address,
                                                             uint16_t port, Sources sources);
  explicit MetricsServer(Sources sources);
  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

  uint16_t port() const { return http_->port(); }
  // What `/readyz` says: started, listening and not draining. Any thread.
  void SetReady(bool ready) { ready_.store(ready, std::memory_order_relaxed); }

 private:
  struct Scrape {
    control::HttpServer::Respond respond;
    boost::asio::steady_timer timer;
  };

  void Handle(const control::HttpRequest& request, control::HttpServer::Respond respond);
  control::HttpResponse Live() const;
  control::HttpResponse Ready() const;
  void AnswerMetrics(control::HttpServer::Respond respond);
  void Answer(uint64_t number, control::HttpResponse response);

  Sources sources_;
  std::atomic<bool> ready_{false};
  boost::asio::io_context context_{1};
  std::unique_ptr<control::HttpServer> http_;
  // That wait for their metrics. The server's thread.
  std::map<uint64_t, Scrape> scrapes_;
  uint64_t next_scrape_ = 0;
  std::thread thread_;
};

}  // namespace vigil::app
