#include "gateway/control/caller.h"

#include "gateway/control/api_error.h"
#include "gtest/gtest.h"

namespace vigil::control {
namespace {

const worker::FeedName kPatient{"room-1", "patient"};

Caller Participant() {
  return {.subject = "room-1",
          .sites = {"north"},
          .roles = {Role::kParticipant},
          .publish = {{"room-1", "*"}},
          .subscribe = {{"dr-1", "face"}}};
}

Caller Controller() {
  return {.subject = "desk", .sites = {"north"}, .roles = {Role::kController}};
}

TEST(CallerTest, EachSiteNamesItsOwnCallers) {
  Caller north = Participant();
  Caller south = Participant();
  south.sites = {"south"};
  EXPECT_NE(north.Identity(), south.Identity());
  Caller again = Participant();
  again.token_id = "another token";
  EXPECT_EQ(north.Identity(), again.Identity());
  again.subject = "room-2";
  EXPECT_NE(north.Identity(), again.Identity());
  Caller everywhere = Participant();
  everywhere.all_sites = true;
  EXPECT_NE(north.Identity(), everywhere.Identity());
}

TEST(CallerTest, TheOnlySiteNeedsNoName) {
  EXPECT_EQ(*Controller().ResolveSite(""), "north");
  EXPECT_EQ(*Controller().ResolveSite("north"), "north");
  Caller both = Controller();
  both.sites.insert("south");
  EXPECT_EQ(ReasonOf(both.ResolveSite("").status()), v1::ERROR_REASON_SITE_REQUIRED);
  EXPECT_EQ(*both.ResolveSite("south"), "south");
}

TEST(CallerTest, WhoMayUseEverySiteNamesOne) {
  Caller everywhere{.subject = "ops", .sites = {"north"}, .all_sites = true};
  EXPECT_EQ(ReasonOf(everywhere.ResolveSite("").status()), v1::ERROR_REASON_SITE_REQUIRED);
  EXPECT_EQ(*everywhere.ResolveSite("anywhere"), "anywhere");
}

TEST(CallerTest, AnotherSiteIsNotGrantedAndAWrongNameIsNoSite) {
  EXPECT_EQ(ReasonOf(Controller().ResolveSite("south").status()), v1::ERROR_REASON_NOT_GRANTED);
  for (const char* wrong : {"South", "so uth", "north/", "../north"}) {
    EXPECT_EQ(ReasonOf(Controller().ResolveSite(wrong).status()), v1::ERROR_REASON_FIELD_INVALID)
        << wrong;
  }
}

TEST(CallerTest, AParticipantActsForItself) {
  EXPECT_TRUE(Participant().CheckActsAs("room-1").ok());
  EXPECT_EQ(ReasonOf(Participant().CheckActsAs("room-2")), v1::ERROR_REASON_NOT_GRANTED);
  EXPECT_TRUE(Controller().CheckActsAs("room-2").ok());
  Caller viewer = Participant();
  viewer.roles = {Role::kViewer};
  EXPECT_FALSE(viewer.CheckActsAs("room-1").ok());
}

TEST(CallerTest, PatternsSayWhatAParticipantPublishesAndReceives) {
  const Caller room = Participant();
  EXPECT_TRUE(room.CheckPublish(kPatient).ok());
  EXPECT_FALSE(room.CheckPublish({"room-2", "patient"}).ok());
  EXPECT_TRUE(room.CheckSubscribe({"dr-1", "face"}).ok());
  EXPECT_FALSE(room.CheckSubscribe({"dr-1", "desk"}).ok());
  EXPECT_FALSE(room.CheckSubscribe(kPatient).ok());
  EXPECT_TRUE(Controller().CheckPublish(kPatient).ok());
  EXPECT_TRUE(Controller().CheckSubscribe(kPatient).ok());
}

TEST(CallerTest, APatternForAnotherDoesNotLetActForIt) {
  Caller room = Participant();
  room.publish = {{"*", "*"}};
  EXPECT_FALSE(room.CheckPublish({"room-2", "patient"}).ok());
}

TEST(CallerTest, WhoMaySteerMayLookAndNobodyElseIsMoreThanTheyAre) {
  EXPECT_TRUE(Controller().CheckRole(Role::kViewer).ok());
  EXPECT_FALSE(Controller().CheckRole(Role::kOperator).ok());
  EXPECT_FALSE(Participant().CheckRole(Role::kViewer).ok());
  const Caller operate{.subject = "ops", .roles = {Role::kOperator}};
  EXPECT_TRUE(operate.CheckRole(Role::kOperator).ok());
  EXPECT_FALSE(operate.CheckRole(Role::kViewer).ok());
}

}  // namespace
}  // namespace vigil::control
