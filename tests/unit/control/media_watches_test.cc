#include "gateway/control/media_watches.h"

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gateway/control/api_error.h"
#include "gtest/gtest.h"

namespace vigil::control {
namespace {

using Next = MessageSource::Next;

class MediaWatchesTest : public testing::Test {
 protected:
  MediaWatchesTest() { watches_.SetState(directory_, messages_); }

  std::unique_ptr<MessageSource> Watch(const Caller& caller, const std::string& resume = "") {
    v1::WatchMediaRequest request;
    request.set_resume_token(resume);
    auto source = watches_.Open({.caller = std::make_shared<Caller>(caller), .now = now_}, request,
                                [this] { ++wakes_; });
    EXPECT_TRUE(source.ok()) << source.status();
    return source.ok() ? *std::move(source) : nullptr;
  }
  void Change(const std::string& site, const std::string& feed) {
    v1::MediaEvent event;
    event.mutable_feed_ended()->set_feed(feed);
    watches_.OnChange(*sites_.Make(site), std::move(event));
  }
  // What the control thread does a little later.
  void RunPosted() {
    std::vector<std::function<void()>> posted;
    posted.swap(posted_);
    for (const auto& what : posted) what();
  }
  v1::WatchMediaResponse Pull(MessageSource& watch) {
    v1::WatchMediaResponse message;
    EXPECT_EQ(watch.Pull(message, now_), Next::kMessage);
    return message;
  }
  Next PullNothing(MessageSource& watch) {
    v1::WatchMediaResponse message;
    return watch.Pull(message, now_);
  }

  const Caller north_{.subject = "wall", .sites = {"north"}, .roles = {Role::kViewer}};
  const Caller everywhere_{.subject = "ops", .all_sites = true, .roles = {Role::kViewer}};
  Timestamp now_ = Timestamp::FromNanos(1'000'000'000);
  int wakes_ = 0;
  std::vector<std::function<void()>> posted_;
  SiteTable sites_;
  ControlClock clock_{.now = [this] { return now_; },
                      .unix_nanos = [](Timestamp at) { return at.ns(); }};
  worker::Directory directory_{1};
  MediaMessages messages_{sites_, clock_};
  MediaWatches watches_{7, sites_, clock_,
                        [this](std::function<void()> what) { posted_.push_back(std::move(what)); }};
};

TEST_F(MediaWatchesTest, ASnapshotComesFirstAndThenChangesAsTheyAre) {
  const auto watch = Watch(north_);
  EXPECT_TRUE(Pull(*watch).has_snapshot());
  EXPECT_EQ(PullNothing(*watch), Next::kWait);
  Change("north", "room-1/patient");
  Change("north", "room-2/patient");
  // Once for both.
  EXPECT_EQ(posted_.size(), 1u);
  RunPosted();
  EXPECT_EQ(wakes_, 1);
  const v1::WatchMediaResponse first = Pull(*watch);
  EXPECT_EQ(first.event().feed_ended().feed(), "room-1/patient");
  EXPECT_EQ(first.event().site(), "north");
  EXPECT_EQ(first.sequence(), 1u);
  EXPECT_EQ(Pull(*watch).sequence(), 2u);
  EXPECT_EQ(PullNothing(*watch), Next::kWait);
}

TEST_F(MediaWatchesTest, AChangeOfAnotherSiteWakesNobody) {
  const auto watch = Watch(north_);
  Pull(*watch);
  EXPECT_EQ(PullNothing(*watch), Next::kWait);
  Change("south", "room-1/patient");
  RunPosted();
  EXPECT_EQ(wakes_, 0);
  EXPECT_EQ(PullNothing(*watch), Next::kWait);
}

TEST_F(MediaWatchesTest, WhoSeesEverySiteSeesANewOne) {
  const auto watch = Watch(everywhere_);
  Pull(*watch);
  Change("east", "room-1/patient");
  EXPECT_EQ(Pull(*watch).event().site(), "east");
}

TEST_F(MediaWatchesTest, AHeartbeatComesTenSecondsAfterTheLastMessage) {
  const auto watch = Watch(north_);
  Pull(*watch);
  EXPECT_EQ(PullNothing(*watch), Next::kWait);
  now_ = now_ + TimeDelta::Seconds(9);
  watches_.OnTick();
  EXPECT_EQ(wakes_, 0);
  now_ = now_ + TimeDelta::Seconds(1);
  watches_.OnTick();
  EXPECT_EQ(wakes_, 1);
  EXPECT_TRUE(Pull(*watch).has_heartbeat());
  EXPECT_EQ(PullNothing(*watch), Next::kWait);
}

TEST_F(MediaWatchesTest, WhoReadsTooSlowlyIsToldHowMuchIsLostAndTheStreamEnds) {
  const auto watch = Watch(north_);
  Pull(*watch);
  for (size_t i = 0; i < MediaLog::kKept + 3; ++i) Change("north", "room-1/patient");
  const v1::WatchMediaResponse message = Pull(*watch);
  EXPECT_EQ(message.lagged().count(), 3u);
  EXPECT_EQ(PullNothing(*watch), Next::kEnd);
  EXPECT_TRUE(watch->status().ok());
}

TEST_F(MediaWatchesTest, AWatchGoesOnBehindWhatWasHandled) {
  const auto watch = Watch(north_);
  Pull(*watch);
  Change("north", "room-1/patient");
  Change("north", "room-2/patient");
  const auto resumed = Watch(north_, Pull(*watch).resume_token());
  const v1::WatchMediaResponse next = Pull(*resumed);
  EXPECT_EQ(next.event().feed_ended().feed(), "room-2/patient");
  EXPECT_EQ(next.sequence(), 2u);
}

TEST_F(MediaWatchesTest, WhatWasPostedMayOutliveTheWatches) {
  {
    MediaWatches gone(8, sites_, clock_,
                      [this](std::function<void()> what) { posted_.push_back(std::move(what)); });
    gone.SetState(directory_, messages_);
    gone.OnChange(*sites_.Make("north"), v1::MediaEvent());
  }
  EXPECT_EQ(posted_.size(), 1u);
  RunPosted();
}

TEST_F(MediaWatchesTest, AnEndedWatchIsForgotten) {
  auto watch = Watch(north_);
  EXPECT_EQ(watches_.size(), 1u);
  watch.reset();
  EXPECT_EQ(watches_.size(), 0u);
  Change("north", "room-1/patient");
  RunPosted();
  EXPECT_EQ(wakes_, 0);
}

TEST_F(MediaWatchesTest, SnapshotsThatNobodyReadsAreFew) {
  std::vector<std::unique_ptr<MessageSource>> unread;
  Change("south", "a/b");
  for (size_t i = 0; i < MediaWatches::kMaxUnread; ++i) {
    Change("north", "a/b");
    unread.push_back(Watch(north_));
    unread.push_back(Watch(north_));  // Shares the last one.
  }
  Change("north", "a/b");
  const auto open = [this](const Caller& caller) {
    return watches_.Open({.caller = std::make_shared<Caller>(caller), .now = now_}, {}, [] {});
  };
  EXPECT_EQ(ReasonOf(open(north_).status()), v1::ERROR_REASON_QUOTA_EXCEEDED);
  EXPECT_TRUE(open(everywhere_).ok()) << "others are not concerned";
  // One that is read makes room.
  Pull(*unread[0]);
  Pull(*unread[1]);
  EXPECT_TRUE(open(north_).ok());
}

TEST_F(MediaWatchesTest, AWatchOfEverySiteGoesOnThoughASiteWasOnlyLookedAt) {
  Change("north", "a/b");
  const auto watch = Watch(everywhere_);
  Pull(*watch);
  Watch({.subject = "wall", .sites = {"quiet"}, .roles = {Role::kViewer}});
  Change("south", "c/d");
  const std::string token = Pull(*watch).resume_token();
  Change("south", "e/f");
  EXPECT_EQ(Pull(*Watch(everywhere_, token)).event().feed_ended().feed(), "e/f");
}

}  // namespace
}  // namespace vigil::control
