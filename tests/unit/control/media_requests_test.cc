#include "gateway/control/media_requests.h"

#include <string>

#include "gateway/control/api_error.h"
#include "gtest/gtest.h"

namespace vigil::control {
namespace {

v1::ErrorReason PublishReason(const Caller& caller, const PublishFields& fields) {
  return ReasonOf(ReadPublish(caller, fields).status());
}
v1::ErrorReason PlayReason(const Caller& caller, const PlayFields& fields) {
  return ReasonOf(ReadPlay(caller, fields).status());
}

class MediaRequestsTest : public testing::Test {
 protected:
  const Caller desk_{.subject = "desk", .sites = {"north"}, .roles = {Role::kController}};
  const Caller room_{.subject = "room-1",
                     .sites = {"north"},
                     .roles = {Role::kParticipant},
                     .publish = {{"room-1", "patient"}},
                     .subscribe = {{"dr-1", "*"}}};
  const PublishFields publish_{
      .site = "", .participant = "room-1", .feed = "patient", .device = "", .offer = "v=0"};
  const PlayFields play_{
      .site = "", .participant = "room-1", .device = "", .offer = "v=0", .feeds = {}};
};

TEST_F(MediaRequestsTest, AFeedIsOfTheGivenSiteUnlessItNamesItsOwn) {
  EXPECT_EQ(ParseSiteFeed("room-1/patient", "north")->site, "north");
  EXPECT_EQ(ParseSiteFeed("south/room-1/patient", "north")->site, "south");
  EXPECT_EQ(ParseSiteFeed("south/room-1/patient", "north")->feed.ToString(), "room-1/patient");
}

TEST_F(MediaRequestsTest, WhatIsNoFeedIsRefused) {
  for (const char* wrong : {"", "/", "//", "patient", "room-1/", "/patient", "a/b/c/d",
                            "/room-1/patient", "Room/patient", "South/room-1/patient"}) {
    EXPECT_EQ(ReasonOf(ParseSiteFeed(wrong, "north").status()), v1::ERROR_REASON_FIELD_INVALID)
        << wrong;
  }
}

TEST_F(MediaRequestsTest, APublicationTakesTheOnlySite) {
  const auto request = ReadPublish(room_, publish_);
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->site, "north");
  EXPECT_EQ(request->feed.ToString(), "room-1/patient");
}

TEST_F(MediaRequestsTest, EachFieldOfAPublicationIsChecked) {
  PublishFields wrong = publish_;
  wrong.participant = "Room";
  EXPECT_EQ(PublishReason(desk_, wrong), v1::ERROR_REASON_FIELD_INVALID);
  wrong = publish_;
  wrong.feed = "";
  EXPECT_EQ(PublishReason(desk_, wrong), v1::ERROR_REASON_FIELD_INVALID);
  wrong = publish_;
  const std::string long_device(65, 'a');
  wrong.device = long_device;
  EXPECT_EQ(PublishReason(desk_, wrong), v1::ERROR_REASON_FIELD_INVALID);
  wrong = publish_;
  wrong.offer = "";
  EXPECT_EQ(PublishReason(desk_, wrong), v1::ERROR_REASON_FIELD_INVALID);
  wrong = publish_;
  wrong.site = "south";
  EXPECT_EQ(PublishReason(desk_, wrong), v1::ERROR_REASON_NOT_GRANTED);
}

TEST_F(MediaRequestsTest, GrantsDecideWhatIsPublished) {
  PublishFields other = publish_;
  other.feed = "injector";
  EXPECT_EQ(PublishReason(room_, other), v1::ERROR_REASON_NOT_GRANTED);
  EXPECT_TRUE(ReadPublish(desk_, other).ok());
}

TEST_F(MediaRequestsTest, GrantsDecideWhatIsReceived) {
  PlayFields play = play_;
  play.feeds = {"dr-1/face"};
  EXPECT_TRUE(ReadPlay(room_, play).ok());
  play.feeds = {"dr-1/face", "room-2/patient"};
  EXPECT_EQ(PlayReason(room_, play), v1::ERROR_REASON_NOT_GRANTED);
  play.feeds = {"south/dr-1/face"};
  EXPECT_EQ(PlayReason(room_, play), v1::ERROR_REASON_NOT_GRANTED);
  EXPECT_EQ(PlayReason(desk_, play), v1::ERROR_REASON_NOT_GRANTED);
}

TEST_F(MediaRequestsTest, SoManyFeedsAndNoMore) {
  PlayFields play = play_;
  play.feeds.assign(64, "dr-1/face");
  EXPECT_TRUE(ReadPlay(desk_, play).ok());
  play.feeds.emplace_back("dr-1/face");
  EXPECT_EQ(PlayReason(desk_, play), v1::ERROR_REASON_FIELD_INVALID);
}

}  // namespace
}  // namespace vigil::control
