#include "gateway/control/http_server.h"

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "boost/asio/io_context.hpp"
#include "boost/asio/ip/tcp.hpp"
#include "boost/asio/read.hpp"
#include "boost/asio/read_until.hpp"
#include "boost/asio/write.hpp"
#include "gtest/gtest.h"

namespace vigil::control {
namespace {

namespace asio = boost::asio;

class HttpServerTest : public testing::Test {
 protected:
  void SetUp() override {
    auto server = HttpServer::Open(
        {.port = 0}, context_, [this](const HttpRequest& request, HttpServer::Respond respond) {
          ++handled_;
          last_ = request;
          if (request.path == "/throw") throw std::runtime_error("no");
          if (request.path == "/late") {
            late_ = std::move(respond);
            return;
          }
          respond({.status = 200, .content_type = "text/plain", .body = "ok"});
        });
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  // Sends the bytes, closes this side's sending half and returns all that comes back.
  std::string Exchange(std::string_view bytes) {
    asio::ip::tcp::socket socket(context_);
    socket.connect({asio::ip::address_v4::loopback(), server_->port()});
    std::string reply;
    bool done = false;
    asio::write(socket, asio::buffer(bytes.data(), bytes.size()));
    asio::async_read(socket, asio::dynamic_buffer(reply),
                     [&done](const boost::system::error_code&, size_t) { done = true; });
    while (!done) context_.run_one();
    return reply;
  }
  std::string Get(std::string_view target) {
    return Exchange("GET " + std::string(target) +
                    " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  }

  asio::io_context context_{1};
  std::unique_ptr<HttpServer> server_;
  int handled_ = 0;
  HttpRequest last_;
  HttpServer::Respond late_;
};

TEST_F(HttpServerTest, WhatIsNoPathIsRefusedBeforeAnybodySeesIt) {
  for (const char* target : {"?x", "*", "x", "http://evil/", "/%00.js", "/a%0d%0ab", "/%7f"}) {
    EXPECT_EQ(Get(target).substr(0, 12), "HTTP/1.1 400") << target;
  }
  EXPECT_EQ(handled_, 0);
  EXPECT_EQ(Get("/a%20b?c=d%26&e").substr(0, 12), "HTTP/1.1 200");
  EXPECT_EQ(last_.path, "/a b");
  EXPECT_EQ(last_.QueryValue("c"), "d&");
}

TEST_F(HttpServerTest, AHandlerThatThrowsAnswersFiveHundredAndServesOn) {
  EXPECT_EQ(Get("/throw").substr(0, 12), "HTTP/1.1 500");
  EXPECT_EQ(Get("/").substr(0, 12), "HTTP/1.1 200");
}

TEST_F(HttpServerTest, AClientThatWaitsForLeaveToSendItsBodyGetsIt) {
  asio::ip::tcp::socket socket(context_);
  socket.connect({asio::ip::address_v4::loopback(), server_->port()});
  const auto send = [&socket](std::string_view bytes) {
    asio::write(socket, asio::buffer(bytes.data(), bytes.size()));
  };
  std::string reply;
  const auto read_until = [&](std::string_view end) {
    bool done = false;
    asio::async_read_until(socket, asio::dynamic_buffer(reply), std::string(end),
                           [&done](const boost::system::error_code&, size_t) { done = true; });
    while (!done) context_.run_one();
  };
  send("POST /a HTTP/1.1\r\nHost: localhost\r\nExpect: 100-Continue\r\nContent-Length: 4\r\n\r\n");
  read_until("\r\n\r\n");
  EXPECT_EQ(reply, "HTTP/1.1 100 Continue\r\n\r\n");
  EXPECT_EQ(handled_, 0);
  reply.clear();
  send("body");
  read_until("ok");
  EXPECT_EQ(reply.substr(0, 12), "HTTP/1.1 200");
  EXPECT_EQ(last_.body, "body");

  // What is too long is refused before it is sent.
  reply.clear();
  send(
      "POST /a HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
      "Content-Length: 9999999\r\n\r\n");
  read_until("\r\n\r\n");
  EXPECT_EQ(reply.substr(0, 12), "HTTP/1.1 413");
}

TEST_F(HttpServerTest, AnAnswerThatComesAfterTheClientIsGoneHarmsNobody) {
  {
    asio::ip::tcp::socket socket(context_);
    socket.connect({asio::ip::address_v4::loopback(), server_->port()});
    const std::string_view bytes = "GET /late HTTP/1.1\r\nHost: localhost\r\n\r\n";
    asio::write(socket, asio::buffer(bytes.data(), bytes.size()));
    while (!late_) context_.run_one();
  }
  late_({.status = 200, .content_type = "text/plain", .body = std::string(1 << 20, 'x')});
  late_ = nullptr;
  EXPECT_EQ(Get("/").substr(0, 12), "HTTP/1.1 200");
}

TEST_F(HttpServerTest, AnAddressAtItsBoundMakesRoomOfItsLongestIdleConnection) {
  auto server = HttpServer::Open(
      {.port = 0, .max_connections_per_address = 2}, context_,
      [](const HttpRequest&, HttpServer::Respond respond) { respond({.status = 204}); });
  ASSERT_TRUE(server.ok()) << server.status();
  server_ = *std::move(server);
  asio::ip::tcp::socket oldest(context_);
  asio::ip::tcp::socket younger(context_);
  for (asio::ip::tcp::socket* socket : {&oldest, &younger}) {
    socket->connect({asio::ip::address_v4::loopback(), server_->port()});
    const uint64_t accepted = server_->counters().accepted;
    while (server_->counters().accepted == accepted) context_.run_one();
  }
  const std::string reply = Get("/");
  EXPECT_EQ(reply.substr(0, 12), "HTTP/1.1 204");
  EXPECT_EQ(reply.find("Content-Length"), std::string::npos);  // RFC 9110, 8.6.
  EXPECT_EQ(server_->counters().shed, 1u);
  char byte = 0;
  boost::system::error_code error;
  oldest.read_some(asio::buffer(&byte, 1), error);
  EXPECT_EQ(error, asio::error::eof);
  younger.non_blocking(true);
  younger.read_some(asio::buffer(&byte, 1), error);
  EXPECT_EQ(error, asio::error::would_block);
}

}  // namespace
}  // namespace vigil::control
