#include "gateway/app/metrics_server.h"

#include <atomic>
#include <iterator>
#include <string>
#include <thread>
#include <utility>

#include <gtest/gtest.h>

#include "boost/asio/ip/tcp.hpp"

namespace vigil::app {
namespace {

using boost::asio::ip::tcp;

// The whole response to one request.
std::string Ask(uint16_t port, const std::string& request) {
  tcp::iostream stream;
  stream.connect("127.0.0.1", std::to_string(port));
  stream << request << " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" << std::flush;
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

class MetricsServerTest : public testing::Test {
 protected:
  MetricsServerTest() {
    auto server =
        MetricsServer::Open("127.0.0.1", 0,
                            {.tick_age = [this] { return TimeDelta::Millis(age_ms_.load()); },
                             .metrics = [](MetricsServer::OnText done) { done("vigil_x 1\n"); }});
    EXPECT_TRUE(server.ok()) << server.status().message();
    server_ = *std::move(server);
  }
  std::string Ask(const std::string& request) { return app::Ask(server_->port(), request); }

  std::atomic<int64_t> age_ms_{0};
  std::unique_ptr<MetricsServer> server_;
};

TEST_F(MetricsServerTest, LivesUntilTheMediaLoopHasNotTurnedForTenSeconds) {
  age_ms_ = 9'999;
  EXPECT_TRUE(Ask("GET /livez").starts_with("HTTP/1.1 200 "));
  age_ms_ = 10'000;
  EXPECT_TRUE(Ask("GET /livez").starts_with("HTTP/1.1 503 "));
}

TEST_F(MetricsServerTest, IsReadyWhenItIsTold) {
  EXPECT_TRUE(Ask("GET /readyz").starts_with("HTTP/1.1 503 "));
  server_->SetReady(true);
  EXPECT_TRUE(Ask("GET /readyz").starts_with("HTTP/1.1 200 "));
  server_->SetReady(false);
  EXPECT_TRUE(Ask("GET /readyz").starts_with("HTTP/1.1 503 "));
}

TEST_F(MetricsServerTest, MetricsAreInPrometheusTextFormat) {
  const std::string response = Ask("GET /metrics");
  EXPECT_TRUE(response.starts_with("HTTP/1.1 200 "));
  EXPECT_NE(response.find("Content-Type: text/plain; version=0.0.4"), std::string::npos);
  EXPECT_TRUE(response.ends_with("\r\n\r\nvigil_x 1\n"));
}

TEST_F(MetricsServerTest, EverythingElseIsRefused) {
  EXPECT_TRUE(Ask("GET /").starts_with("HTTP/1.1 404 "));
  EXPECT_TRUE(Ask("POST /metrics").starts_with("HTTP/1.1 405 "));
}

// The control thread that would collect them never answers; the port goes on answering.
TEST(MetricsServer, LivezDoesNotWaitForMetrics) {
  MetricsServer::OnText kept;
  std::atomic<bool> asked{false};
  auto server = MetricsServer::Open("127.0.0.1", 0,
                                    {.tick_age = [] { return TimeDelta::Zero(); },
                                     .metrics =
                                         [&](MetricsServer::OnText done) {
                                           kept = std::move(done);
                                           asked = true;
                                         }});
  ASSERT_TRUE(server.ok());
  tcp::iostream scrape;
  scrape.connect("127.0.0.1", std::to_string((*server)->port()));
  scrape << "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" << std::flush;
  while (!asked) std::this_thread::yield();
  EXPECT_TRUE(app::Ask((*server)->port(), "GET /livez").starts_with("HTTP/1.1 200 "));
  kept("late 1\n");
  const std::string response{std::istreambuf_iterator<char>(scrape),
                             std::istreambuf_iterator<char>()};
  EXPECT_TRUE(response.ends_with("late 1\n"));
}

TEST(MetricsServer, APortThatIsTakenIsNamed) {
  const MetricsServer::Sources sources{.tick_age = [] { return TimeDelta::Zero(); },
                                       .metrics = [](const MetricsServer::OnText&) {}};
  auto first = MetricsServer::Open("127.0.0.1", 0, sources);
  ASSERT_TRUE(first.ok());
  const auto second = MetricsServer::Open("127.0.0.1", (*first)->port(), sources);
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.status().message().find(std::to_string((*first)->port())), std::string::npos);
}

}  // namespace
}  // namespace vigil::app
