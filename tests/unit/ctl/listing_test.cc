#include "gateway/ctl/listing.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gateway/ctl/watch.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/ctl/canned.h"

namespace vigil::ctl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(ListingTest, ParticipantsHaveARowForEachSlot) {
  const auto participant = Canned<v1::Participant>(R"(
    site: "default" participant: "dr-1"
    peers { peer: "bb" phase: PEER_PHASE_CONNECTED create_time @-192
            slots { index: 0 kind: MEDIA_KIND_VIDEO feed: "room-1/patient" }
            slots { index: 1 kind: MEDIA_KIND_AUDIO } })");
  EXPECT_EQ(ParticipantsText({participant}, kNow),
            "SITE     PARTICIPANT  PEER  PHASE      PUBLISHES  SLOT                      AGE\n"
            "default  dr-1         bb    connected  -          0 picture room-1/patient  3 m 12 s\n"
            "default  dr-1         bb    -          -          1 sound -                 -\n");
  EXPECT_EQ(ParticipantsText({}, kNow), "nobody is connected\n");
}

TEST(ListingTest, FeedsHaveTheirCodecsOnce) {
  const auto feed = Canned<v1::Feed>(R"(
    site: "default" feed: "room-1/patient" publish_time @-5 layers: 3 slots: 2
    video_codecs { name: "H264" parameters: "a" } video_codecs { name: "H264" parameters: "b" }
    video_codecs { name: "VP8" } audio_codecs { name: "opus" })");
  EXPECT_EQ(FeedsText({feed}, kNow),
            "SITE     FEED            PICTURE   SOUND  LAYERS  SLOTS  AGE\n"
            "default  room-1/patient  H264,VP8  opus        3      2  5.0 s\n");
}

TEST(ListingTest, AnAgeOfAClockThatIsAheadIsZero) {
  const auto feed = Canned<v1::Feed>(R"(feed: "a/b" publish_time { seconds: 1800000009 })");
  EXPECT_THAT(FeedsText({feed}, kNow), HasSubstr("0 us\n"));
}

TEST(ListingTest, StatsTellStreamsAndDrops) {
  const auto peer = Canned<v1::PeerStats>(R"(
    site: "default" participant: "room-1" peer: "aa" publishes: "room-1/patient"
    round_trip { nanos: 12000000 } dropped: 3 last_drop_reason: "srtp_replay" last_drop_time @-7
    inbound { kind: MEDIA_KIND_VIDEO layer: 1 codec { name: "VP8" } packets: 900 lost: 2
              jitter { nanos: 1500000 } last_packet_time @-2 }
    outbound { slot { index: 0 kind: MEDIA_KIND_AUDIO feed: "dr-1/voice" }
               blocked: "waiting_for_keyframe" })");
  const std::string text = StatsText({peer}, kNow);
  EXPECT_THAT(text, HasSubstr("default  room-1       aa    in layer 1  picture  VP8"));
  EXPECT_THAT(text, HasSubstr("900     2  1.5 ms  12 ms  2.0 s\n"));
  EXPECT_THAT(text, HasSubstr("dr-1/voice (waiting_for_keyframe)"));
  EXPECT_THAT(text, HasSubstr("never\n"));
  EXPECT_THAT(text, HasSubstr("default room-1 aa: 3 dropped, the last 7.0 s ago: srtp_replay\n"));
}

TEST(ListingTest, StatsOfTwoSitesAreToldApart) {
  const auto stats = [](const std::string& site) {
    return Canned<v1::PeerStats>("site: \"" + site + R"(" participant: "room-1" peer: "aa"
      dropped: 1 last_drop_reason: "srtp_auth" last_drop_time @-7
      inbound { kind: MEDIA_KIND_AUDIO })");
  };
  const std::string text = StatsText({stats("north"), stats("south")}, kNow);
  for (const char* site : {"north", "south"}) {
    EXPECT_THAT(text, HasSubstr(absl::StrCat("\n", site, "  room-1       aa    in ")));
    EXPECT_THAT(text, HasSubstr(absl::StrCat("\n", site, " room-1 aa: 1 dropped")));
  }
}

TEST(ListingTest, QuantilesAreTheEdgesOfTheirBuckets) {
  const auto distribution = Canned<v1::DurationDistribution>(R"(
    count: 100 edges { nanos: 50000 } edges { nanos: 100000 } edges { nanos: 1000000 }
    counts: 10 counts: 50 counts: 39 counts: 1)");
  EXPECT_EQ(QuantileText(distribution, 0.05), "<= 50 us");
  EXPECT_EQ(QuantileText(distribution, 0.5), "<= 100 us");
  EXPECT_EQ(QuantileText(distribution, 0.99), "<= 1.0 ms");
  EXPECT_EQ(QuantileText(distribution, 1.0), "> 1.0 ms");
  EXPECT_EQ(QuantileText({}, 0.5), "none");
}

TEST(ListingTest, ANodeTellsItsWorkersAndDropsOfAll) {
  const auto node = Canned<v1::Node>(R"(
    node: "vigil" version: "1" state: NODE_STATE_DRAINING start_time @-60 peers: 2 feeds: 1
    media_addresses: "10.0.0.1:7000" certificate_expire_time { seconds: 1800086400 }
    workers { drops { key: "duplicate" value: 2 } utilization: 0.125 pool_capacity: 9 }
    workers { worker: 1 drops { key: "duplicate" value: 3 }
              drops { key: "srtp_auth" value: 9 } })");
  const std::string text = NodeText(node, kNow);
  EXPECT_THAT(text, HasSubstr("DRAINING"));
  EXPECT_THAT(text, HasSubstr("up 1 m\n"));
  EXPECT_THAT(text, HasSubstr("ends in 1 d\n"));
  EXPECT_THAT(text, HasSubstr("drops        srtp_auth 9, duplicate 5\n"));
  EXPECT_THAT(text, HasSubstr("12.5%"));
}

std::vector<std::string> Lines(const std::string& text) {
  return WatchLines(Canned<v1::WatchMediaResponse>(text));
}

TEST(WatchLinesTest, AnEventIsOneLine) {
  EXPECT_THAT(Lines(R"(event { site: "default" time @-0 peer_closed {
                 participant: "dr-1" peer: "bb" reason: PEER_CLOSE_REASON_CONSENT_EXPIRED } })"),
              ElementsAre("2027-01-15 08:00:00Z default peer closed     dr-1 bb: consent_expired"));
  EXPECT_THAT(
      Lines(R"(event { site: "default" time @-0 slot_switched {
                 participant: "dr-1" peer: "bb" waited { nanos: 40000000 }
                 slot { index: 1 kind: MEDIA_KIND_AUDIO feed: "room-1/patient" } } })"),
      ElementsAre("2027-01-15 08:00:00Z default slot switched   dr-1 bb slot 1 (sound) carries "
                  "room-1/patient after 40 ms"));
  EXPECT_THAT(Lines("heartbeat { }"), IsEmpty());
  EXPECT_THAT(Lines("lagged { count: 7 }"), ElementsAre("lagged: 7 events were lost"));
}

TEST(WatchLinesTest, ASnapshotSaysWhenItIsComplete) {
  EXPECT_THAT(Lines(R"(snapshot { partial: true feeds { site: "s" feed: "a/b"
                       audio_codecs { name: "opus" } } })"),
              ElementsAre("there is        s feed  a/b, sound"));
  EXPECT_THAT(Lines("snapshot { }"), ElementsAre("that is all; what changes follows"));
}

}  // namespace
}  // namespace vigil::ctl
