#include "gateway/app/shutdown.h"

#include <chrono>
#include <functional>
#include <future>
#include <thread>

#include "boost/asio/io_context.hpp"
#include "boost/asio/post.hpp"
#include "gtest/gtest.h"

namespace vigil::app {
namespace {

class ShutdownTest : public testing::Test {
 protected:
  ShutdownSteps Steps() {
    return {.refuse_new = [this] { ++refused_; },
            .is_idle = [this] { return connections_-- == 0; },
            .close = [this] { closed_on_ = std::this_thread::get_id(); }};
  }
  // Until it has stopped, or 20 s.
  void SignalAndRun(Shutdown& shutdown, int signals = 1) {
    for (int i = 0; i < signals; ++i) {
      boost::asio::post(context_, [&shutdown] { shutdown.OnSignal(); });
    }
    context_.run_for(std::chrono::seconds(20));
  }

  boost::asio::io_context context_;
  int refused_ = 0;
  int connections_ = 0;
  std::thread::id closed_on_;
};

TEST_F(ShutdownTest, AnIdleNodeClosesAtOnceAndBesideTheContext) {
  Shutdown shutdown(context_, Steps(), 1'000);
  SignalAndRun(shutdown);
  EXPECT_TRUE(context_.stopped());
  EXPECT_EQ(refused_, 1);
  EXPECT_NE(closed_on_, std::thread::id());
  EXPECT_NE(closed_on_, std::this_thread::get_id());
}

TEST_F(ShutdownTest, ConnectionsMayGoByThemselves) {
  connections_ = 2;
  Shutdown shutdown(context_, Steps(), 1'000);
  SignalAndRun(shutdown);
  EXPECT_TRUE(context_.stopped());
  EXPECT_EQ(connections_, -1);
}

TEST_F(ShutdownTest, ButNotForLongerThanTheyAreGiven) {
  connections_ = 1'000;
  Shutdown shutdown(context_, Steps(), 1);
  SignalAndRun(shutdown);
  EXPECT_TRUE(context_.stopped());
  EXPECT_EQ(connections_, 999);
}

TEST_F(ShutdownTest, ASecondSignalDoesNotWait) {
  connections_ = 1'000;
  Shutdown shutdown(context_, Steps(), 1'000);
  SignalAndRun(shutdown, 2);
  EXPECT_TRUE(context_.stopped());
  EXPECT_EQ(connections_, 999);
}

TEST(ShutdownDeathTest, ServersThatDoNotEndAreLeft) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto end = [] {
    boost::asio::io_context context;
    std::promise<void> never;
    Shutdown shutdown(context,
                      {.refuse_new = [] {},
                       .is_idle = [] { return true; },
                       .close = [&never] { never.get_future().wait(); }},
                      0, std::chrono::milliseconds(50));
    boost::asio::post(context, [&shutdown] { shutdown.OnSignal(); });
    context.run();
  };
  EXPECT_EXIT(end(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace vigil::app
