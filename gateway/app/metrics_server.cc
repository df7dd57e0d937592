#include "gateway/app/metrics_server.h"

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "boost/asio/post.hpp"
#include "gateway/io/clock.h"

namespace vigil::app {
namespace {

// How long the workers may take to tell their counters. Below the scraper's own time-out, so that
// it learns why.
constexpr std::chrono::seconds kMetricsTimeout{5};

control::HttpResponse Text(unsigned status, std::string text) {
  return {.status = status,
          .content_type = "text/plain; charset=utf-8",
          .body = std::move(text),
          .headers = {{"Cache-Control", "no-store"}},
          .stream = nullptr};
}

}  // namespace

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Open(const std::string& address,
                                                                   uint16_t port, Sources sources) {
  auto server = std::make_unique<MetricsServer>(std::move(sources));
  control::HttpServerOptions options{.address = address, .port = port, .tls = {}};
  options.max_body = 1'024;
  options.max_connections = 64;
  options.now = io::MonotonicNow;
  auto http = control::HttpServer::Open(options, server->context_,
                                        [raw = server.get()](const control::HttpRequest& request,
                                                             control::HttpServer::Respond respond) {
                                          raw->Handle(request, std::move(respond));
                                        });
  if (!http.ok()) return http.status();
  server->http_ = *std::move(http);
  server->thread_ = std::thread([raw = server.get()] { raw->context_.run(); });
  return server;
}

MetricsServer::MetricsServer(Sources sources) : sources_(std::move(sources)) {}

MetricsServer::~MetricsServer() {
  context_.stop();
  if (thread_.joinable()) thread_.join();
}

void MetricsServer::Handle(const control::HttpRequest& request,
                           control::HttpServer::Respond respond) {
  if (request.path != "/metrics" && request.path != "/livez" && request.path != "/readyz") {
    return respond(Text(404, "here are /metrics, /livez and /readyz\n"));
  }
  if (request.method != "GET" && request.method != "HEAD") {
    control::HttpResponse refused = Text(405, "GET only\n");
    refused.headers.emplace_back("Allow", "GET, HEAD");
    return respond(std::move(refused));
  }
  if (request.path == "/livez") return respond(Live());
  if (request.path == "/readyz") return respond(Ready());
  AnswerMetrics(std::move(respond));
}

control::HttpResponse MetricsServer::Live() const {
  const TimeDelta age = sources_.tick_age();
  return Text(
      age < kDead ? 200 : 503,
      absl::StrCat(age < kDead ? "ok" : "dead", ": the media loop turned ", age.ms(), " ms ago\n"));
}

control::HttpResponse MetricsServer::Ready() const {
  return ready_.load(std::memory_order_relaxed) ? Text(200, "ok\n")
                                                : Text(503, "starting or draining\n");
}

// The text or the time-out, whichever comes first. What is handed out knows the scrape by number
// only: it may be held for longer than this object lives.
void MetricsServer::AnswerMetrics(control::HttpServer::Respond respond) {
  const uint64_t number = next_scrape_++;
  Scrape& scrape =
      scrapes_.emplace(number, Scrape{std::move(respond), boost::asio::steady_timer(context_)})
          .first->second;
  scrape.timer.expires_after(kMetricsTimeout);
  scrape.timer.async_wait([this, number](const boost::system::error_code& error) {
    if (error) return;
    Answer(number, Text(503, "a worker or the control thread does not answer\n"));
  });
  sources_.metrics([this, number](std::string text) {
    boost::asio::post(context_, [this, number, text = std::move(text)]() mutable {
      control::HttpResponse response = Text(200, std::move(text));
      response.content_type = "text/plain; version=0.0.4; charset=utf-8";
      Answer(number, std::move(response));
    });
  });
}

void MetricsServer::Answer(uint64_t number, control::HttpResponse response) {
  const auto scrape = scrapes_.find(number);
  if (scrape == scrapes_.end()) return;
  const control::HttpServer::Respond respond = std::move(scrape->second.respond);
  scrapes_.erase(scrape);
  respond(std::move(response));
}

}  // namespace vigil::app
