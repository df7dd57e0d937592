#include "gateway/ctl/why.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/ctl/canned.h"

namespace vigil::ctl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kRoom[] = R"(
  site: "default" participant: "room-1" peer: "aa" phase: PEER_PHASE_CONNECTED
  publishes: "room-1/patient" create_time @-200
  inbound { kind: MEDIA_KIND_VIDEO codec { name: "VP8" } packets: 900 last_packet_time @-0 }
  inbound { kind: MEDIA_KIND_AUDIO codec { name: "opus" } packets: 900 last_packet_time @-1 })";
constexpr char kFeed[] = R"(
  site: "default" feed: "room-1/patient" publish_time @-192
  video_codecs { name: "VP8" } audio_codecs { name: "opus" } layers: 1)";
constexpr char kDoctor[] = R"(
  site: "default" participant: "dr-1" peer: "bb" phase: PEER_PHASE_CONNECTED create_time @-100
  outbound {
    slot { index: 0 kind: MEDIA_KIND_VIDEO feed: "room-1/patient" }
    last_sent_time @-0 flow_time @-90 confirm_time @-2 })";

class WhyTest : public testing::Test {
 protected:
  void AddPeer(const std::string& text) { view_.peers.push_back(Canned<v1::PeerStats>(text)); }
  void AddFeed(const std::string& text) { view_.feeds.push_back(Canned<v1::Feed>(text)); }
  // A canned text with one part of it changed.
  static std::string With(std::string text, const std::string& from, const std::string& to) {
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  }

  RoomView view_{.site = "default", .room = "room-1", .peers = {}, .feeds = {}, .now = kNow};
};

TEST_F(WhyTest, ARoomThatIsWell) {
  AddPeer(kRoom);
  AddPeer(kDoctor);
  AddFeed(kFeed);
  const WhyAnswer answer = Why(view_);
  EXPECT_TRUE(answer.flows);
  EXPECT_THAT(answer.lines,
              ElementsAre("flows     room-1/patient sends picture (VP8) and sound (opus).",
                          "since     room-1/patient is published for 3 m 12 s "
                          "(2027-01-15 07:56:48Z).",
                          "dropped   nothing of room-1 was dropped.",
                          "affected  dr-1 gets the picture of room-1/patient.",
                          "talkback  room-1 receives nothing: it has no slot."));
}

TEST_F(WhyTest, ARoomThatIsNotConnectedAtAll) {
  const WhyAnswer answer = Why(view_);
  EXPECT_FALSE(answer.flows);
  ASSERT_EQ(answer.lines.size(), 5u);
  EXPECT_THAT(answer.lines[0], HasSubstr("room-1 is not connected to this node: "));
  EXPECT_THAT(answer.lines[1], HasSubstr("not known"));
  EXPECT_THAT(answer.lines[3], HasSubstr("nobody: no slot is told to carry room-1."));
  EXPECT_THAT(answer.lines[4], HasSubstr("room-1 receives nothing: it is not connected."));
}

TEST_F(WhyTest, WhoWaitsForARoomThatIsNotConnected) {
  AddPeer(With(kDoctor, "last_sent_time @-0 flow_time @-90", R"(blocked: "not_published")"));
  EXPECT_THAT(Why(view_).lines[3],
              HasSubstr("dr-1 does NOT get the picture of room-1/patient: the slot waits: nobody "
                        "publishes it."));
  view_.site.clear();
  EXPECT_THAT(SitesOf(view_), ElementsAre("default"));
}

TEST_F(WhyTest, SoundThatCeased) {
  AddPeer(With(kRoom, "last_packet_time @-1", "last_packet_time @-40"));
  AddFeed(kFeed);
  const WhyAnswer answer = Why(view_);
  EXPECT_FALSE(answer.flows);
  EXPECT_THAT(answer.lines[0], HasSubstr("sends picture (VP8) and NO sound (silent for 40 s)."));
}

TEST_F(WhyTest, APictureThatWasPromisedAndNeverCame) {
  AddPeer(With(kRoom, "last_packet_time @-0", ""));
  AddFeed(kFeed);
  const WhyAnswer answer = Why(view_);
  EXPECT_FALSE(answer.flows);
  EXPECT_THAT(answer.lines[0], HasSubstr("sends NO picture (none came yet) and sound (opus)."));
}

TEST_F(WhyTest, AViewWithoutSoundLacksNothing) {
  AddPeer(With(kRoom, "last_packet_time @-1", ""));
  AddFeed(With(kFeed, R"(audio_codecs { name: "opus" })", ""));
  const WhyAnswer answer = Why(view_);
  EXPECT_TRUE(answer.flows);
  EXPECT_THAT(answer.lines[0], HasSubstr("sends picture (VP8)."));
}

TEST_F(WhyTest, ARoomWhoseMediaDoNotComeThrough) {
  AddPeer(With(kRoom, "PEER_PHASE_CONNECTED", "PEER_PHASE_CONNECTING"));
  const WhyAnswer answer = Why(view_);
  EXPECT_FALSE(answer.flows);
  EXPECT_THAT(answer.lines[0], HasSubstr("room-1/patient has been connecting for 3 m 20 s"));
  EXPECT_THAT(answer.lines[0], HasSubstr("firewall"));
}

TEST_F(WhyTest, ABlockedReceiverIsNamedFirst) {
  AddPeer(kRoom);
  AddPeer(kDoctor);
  AddPeer(
      With(With(kDoctor, "dr-1", "dr-2"), "flow_time", R"(blocked: "codec_mismatch" flow_time)"));
  AddFeed(kFeed);
  const WhyAnswer answer = Why(view_);
  EXPECT_FALSE(answer.flows);
  EXPECT_EQ(answer.lines[3],
            "affected  dr-2 does NOT get the picture of room-1/patient: the slot is blocked: the "
            "feed's codec is none that the receiver offered. dr-1 gets the picture of "
            "room-1/patient.");
}

TEST_F(WhyTest, AReceiverThatFellSilent) {
  AddPeer(kRoom);
  AddPeer(With(kDoctor, "confirm_time @-2", "confirm_time @-31"));
  AddFeed(kFeed);
  EXPECT_THAT(Why(view_).lines[3], HasSubstr("has not confirmed anything for 31 s"));
}

TEST_F(WhyTest, TheLastDropOfTheRoom) {
  AddPeer(std::string(kRoom) + R"( dropped: 12 last_drop_reason: "srtp_auth" last_drop_time @-5)");
  AddFeed(kFeed);
  EXPECT_EQ(Why(view_).lines[2],
            "dropped   srtp_auth 5.0 s ago (a packet that is not authentic: wrong key or damaged); "
            "12 in all.");
}

TEST_F(WhyTest, AHarmlessDropIsSaidToBeAndHidesNoOther) {
  AddPeer(std::string(kRoom) +
          R"( dropped: 12 last_drop_reason: "padding_only" last_drop_time @-1)");
  AddFeed(kFeed);
  EXPECT_EQ(Why(view_).lines[2],
            "dropped   padding_only 1.0 s ago (a probe of the sender's bandwidth estimate: "
            "harmless); 12 in all, of which others may not be: `vigilctl node` counts the reasons "
            "of all connections.");
  AddPeer(With(kRoom, R"("aa")", R"("ab")") +
          R"( dropped: 1 last_drop_reason: "srtp_auth" last_drop_time @-70)");
  EXPECT_EQ(Why(view_).lines[2],
            "dropped   srtp_auth 1 m 10 s ago (a packet that is not authentic: wrong key or "
            "damaged); 13 in all.");
}

TEST_F(WhyTest, OneHarmlessDropHidesNothing) {
  AddPeer(std::string(kRoom) + R"( dropped: 1 last_drop_reason: "duplicate" last_drop_time @-1)");
  AddFeed(kFeed);
  EXPECT_EQ(Why(view_).lines[2],
            "dropped   duplicate 1.0 s ago (it came twice: harmless); 1 in all.");
}

TEST_F(WhyTest, TalkbackIsWhatTheRoomReceives) {
  AddPeer(kRoom);
  AddFeed(kFeed);
  AddFeed(With(kFeed, "room-1/patient", "dr-1/voice"));
  AddPeer(With(With(With(kDoctor, "dr-1", "room-1"), "room-1/patient", "dr-1/voice"),
               "MEDIA_KIND_VIDEO", "MEDIA_KIND_AUDIO"));
  const WhyAnswer answer = Why(view_);
  EXPECT_TRUE(answer.flows);
  EXPECT_EQ(answer.lines[4], "talkback  room-1 gets the sound of dr-1/voice.");
}

TEST_F(WhyTest, AnotherSitesRoomOfTheSameNameIsAnotherRoom) {
  AddPeer(kRoom);
  AddFeed(kFeed);
  AddPeer(With(kDoctor, "default", "north"));
  EXPECT_THAT(Why(view_).lines[3], HasSubstr("nobody"));
  AddPeer(With(With(kDoctor, "default", "north"), "room-1/patient", "default/room-1/patient"));
  EXPECT_THAT(Why(view_).lines[3],
              HasSubstr("north/dr-1 gets the picture of default/room-1/patient."));
  AddPeer(With(kRoom, "default", "north"));
  EXPECT_THAT(SitesOf(view_), ElementsAre("default", "north"));
}

TEST_F(WhyTest, WhatFlowsIsToldByTheNodesClock) {
  // This machine's clock is a minute ahead of the node's.
  AddPeer(With(kRoom, "last_packet_time @-0", "ssrc: 7 last_packet_time @-60"));
  AddPeer(kDoctor);
  std::vector<v1::PeerStats> before = view_.peers;
  EXPECT_EQ(NodeNow(before, view_.peers, kNow), kNow);
  before[0].mutable_inbound(0)->set_packets(800);
  EXPECT_EQ(NodeNow(before, view_.peers, kNow), kNow - TimeDelta::Seconds(60));
  EXPECT_EQ(NodeNow({}, view_.peers, kNow), kNow);
}

}  // namespace
}  // namespace vigil::ctl
