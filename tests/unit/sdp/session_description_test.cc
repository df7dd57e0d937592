#include "gateway/sdp/session_description.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/sdp/fixtures.h"

namespace vigil::sdp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string ErrorOf(std::string_view text) {
  const auto parsed = Parse(text);
  if (parsed.ok()) return "";
  EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(parsed.status().message());
}

// kMinimalOffer with one more line at its end, in the picture's m-section.
std::string ErrorOfLine(const std::string& line) {
  return ErrorOf(std::string(kMinimalOffer) + line + "\r\n");
}

// The picture's m-section of kMinimalOffer with more lines.
MediaSection SectionWith(const std::string& lines) {
  const auto parsed = Parse(std::string(kMinimalOffer) + lines);
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return parsed.ok() ? parsed->media[1] : MediaSection();
}

TEST(SessionDescription, WritingAndParsingAgainGivesTheSame) {
  for (const FixtureName& fixture : kFixtures) {
    for (const std::string& file :
         {std::string(fixture.name) + ".sdp", std::string(fixture.name) + ".answer.sdp"}) {
      const auto first = Parse(ReadFixture(file));
      ASSERT_TRUE(first.ok()) << file << ": " << first.status();
      const auto second = Parse(Write(*first));
      ASSERT_TRUE(second.ok()) << file << ": " << second.status();
      EXPECT_TRUE(*first == *second) << file;
    }
  }
}

TEST(SessionDescription, ReadsWhatChromiumOffers) {
  const auto offer = Parse(ReadFixture("chromium-publish.sdp"));
  ASSERT_TRUE(offer.ok()) << offer.status();
  EXPECT_FALSE(offer->ice_lite);
  EXPECT_EQ(offer->groups, (std::vector<Group>{{"BUNDLE", {"0", "1"}}}));
  ASSERT_EQ(offer->media.size(), 2u);
  const MediaSection& video = offer->media[1];
  EXPECT_EQ(video.Kind(), rtp::MediaKind::kVideo);
  EXPECT_EQ(video.protocol, "UDP/TLS/RTP/SAVPF");
  EXPECT_EQ(video.mid, "1");
  EXPECT_EQ(video.direction, Direction::kSendOnly);
  EXPECT_TRUE(video.rtcp_mux && video.rtcp_reduced_size && video.extmap_allow_mixed);
  EXPECT_EQ(video.setup, Setup::kActPass);
  ASSERT_EQ(video.fingerprints.size(), 1u);
  EXPECT_EQ(video.fingerprints[0].hash, HashFunction::kSha256);
  EXPECT_EQ(video.fingerprints[0].digest.size(), 32u);
  EXPECT_TRUE(IsIceUfrag(video.ice.ufrag));
  EXPECT_TRUE(IsIcePassword(video.ice.password));
  EXPECT_THAT(video.ice.options, ElementsAre("trickle"));
  ASSERT_FALSE(video.ice.candidates.empty());
  EXPECT_EQ(video.ice.candidates.back().transport, Transport::kTcp);
  EXPECT_EQ(video.ice.candidates.back().tcp_type, "active");
  ASSERT_GE(video.payloads.size(), 2u);
  EXPECT_EQ(video.payloads[0].encoding, "VP8");
  EXPECT_EQ(video.payloads[0].clock_rate, 90'000u);
  EXPECT_THAT(video.payloads[0].feedback,
              ElementsAre("goog-remb", "transport-cc", "ccm fir", "nack", "nack pli"));
  EXPECT_EQ(FormatParameter(video.payloads[1].format, "apt"), "96");
  ASSERT_EQ(video.ssrc_groups.size(), 1u);
  ASSERT_EQ(video.ssrcs.size(), 2u);
  EXPECT_EQ(video.ssrc_groups[0].semantics, "FID");
  EXPECT_THAT(video.ssrc_groups[0].ssrcs, ElementsAre(video.ssrcs[0].ssrc, video.ssrcs[1].ssrc));
  EXPECT_EQ(video.ssrcs[0].msid, video.msids[0].stream + " " + video.msids[0].track);
}

TEST(SessionDescription, ReadsSimulcast) {
  const auto offer = Parse(ReadFixture("chromium-publish-simulcast.sdp"));
  ASSERT_TRUE(offer.ok()) << offer.status();
  const MediaSection& video = offer->media[1];
  ASSERT_EQ(video.rids.size(), 3u);
  EXPECT_TRUE(video.rids[0].sends);
  EXPECT_EQ(video.simulcast.send,
            (std::vector<SimulcastStream>{{{"q", false}}, {{"h", false}}, {{"f", false}}}));
  EXPECT_THAT(video.simulcast.receive, IsEmpty());
}

TEST(SessionDescription, ReadsRidRestrictionsAlternativesAndPausedStreams) {
  const MediaSection section = SectionWith(
      "a=rid:a send pt=96,97;max-width=1280;max-fps=15\na=rid:b recv\n"
      "a=simulcast:recv b send a,~c;~d\n");
  ASSERT_EQ(section.rids.size(), 2u);
  EXPECT_THAT(section.rids[0].payload_types, ElementsAre(96, 97));
  EXPECT_EQ(section.rids[0].restrictions, "max-width=1280;max-fps=15");
  EXPECT_FALSE(section.rids[1].sends);
  EXPECT_EQ(section.simulcast.send,
            (std::vector<SimulcastStream>{{{"a", false}, {"c", true}}, {{"d", true}}}));
  EXPECT_EQ(section.simulcast.receive, (std::vector<SimulcastStream>{{{"b", false}}}));
}

TEST(SessionDescription, SessionLevelAttributesAreDefaultsOfTheSections) {
  const auto offer = Parse(
      With(kMinimalOffer, "a=mid:1\r\n", "a=mid:1\r\na=setup:active\r\na=ice-ufrag:other\r\n"));
  ASSERT_TRUE(offer.ok()) << offer.status();
  EXPECT_EQ(offer->media[0].ice.ufrag, "abcd");
  EXPECT_EQ(offer->media[1].ice.ufrag, "other");
  EXPECT_EQ(offer->media[0].setup, Setup::kActPass);
  EXPECT_EQ(offer->media[1].setup, Setup::kActive);
  EXPECT_EQ(offer->media[1].ice.password, "0123456789abcdefghijkl");
  EXPECT_EQ(offer->media[0].fingerprints, offer->media[1].fingerprints);
}

TEST(SessionDescription, ASessionLevelDirectionAndExtmapAreDefaultsToo) {
  const auto offer = Parse(
      "v=0\no=- 1 1 IN IP4 0\na=inactive\na=extmap:4 urn:x\na=extmap-allow-mixed\n"
      "m=audio 9 RTP/SAVPF 0\nm=audio 9 RTP/SAVPF 0\na=sendonly\na=extmap:5 urn:y\n");
  ASSERT_TRUE(offer.ok()) << offer.status();
  EXPECT_EQ(offer->media[0].direction, Direction::kInactive);
  EXPECT_EQ(offer->media[1].direction, Direction::kSendOnly);
  EXPECT_EQ(offer->media[0].extensions[0].uri, "urn:x");
  EXPECT_EQ(offer->media[1].extensions[0].uri, "urn:y");
  EXPECT_TRUE(offer->media[0].extmap_allow_mixed && offer->media[1].extmap_allow_mixed);
}

TEST(SessionDescription, WildcardFeedbackIsThatOfEveryPayloadType) {
  const MediaSection section =
      SectionWith("a=rtcp-fb:* nack\na=rtcp-fb:96 nack\na=rtcp-fb:96 ccm fir\n");
  EXPECT_THAT(section.payloads[0].feedback, ElementsAre("nack", "ccm fir"));
  EXPECT_THAT(section.payloads[1].feedback, ElementsAre("nack"));
}

TEST(SessionDescription, LeavesOutWhatItDoesNotKnow) {
  const std::string extra =
      "b=AS:1000\r\na=made-up:1 2 3\r\na=rtpmap:55 X/1\r\na=fmtp:55 y=1\r\na=rtcp-fb:55 nack\r\n"
      "z=0 0\r\na=fingerprint:sha-1 00:11\r\na=candidate:garbage\r\na=candidate:1 1 sctp 1 h 1 typ "
      "host\r\n\r\n";
  EXPECT_EQ(SectionWith(extra), SectionWith(""));
}

TEST(SessionDescription, BareLineFeedsAndAMissingLastOneAreFine) {
  std::string text(kMinimalOffer);
  std::erase(text, '\r');
  text.pop_back();
  const auto parsed = Parse(text);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(*parsed, *Parse(kMinimalOffer));
}

TEST(SessionDescription, SectionsThatAreNotRtpKeepTheirFormats) {
  const auto offer = Parse(ReadFixture("chromium-play-two-pictures.sdp"));
  ASSERT_TRUE(offer.ok()) << offer.status();
  const MediaSection& data = offer->media.back();
  EXPECT_EQ(data.media, "application");
  EXPECT_EQ(data.Kind(), std::nullopt);
  EXPECT_THAT(data.formats, ElementsAre("webrtc-datachannel"));
  EXPECT_THAT(data.payloads, IsEmpty());
}

TEST(SessionDescription, BundleOnlyAndMuxOnlyAreRead) {
  const auto offer = Parse(ReadFixture("gstreamer-publish.sdp"));
  ASSERT_TRUE(offer.ok()) << offer.status();
  EXPECT_EQ(offer->media[1].port, 0);
  EXPECT_TRUE(offer->media[1].bundle_only);
  EXPECT_THAT(offer->media[1].ice.options, ElementsAre("trickle"));
  EXPECT_TRUE(SectionWith("a=rtcp-mux-only\n").rtcp_mux);
}

TEST(SessionDescription, ErrorsNameTheLine) {
  EXPECT_EQ(ErrorOf(""), "line 1: a session description starts with v=0");
  EXPECT_EQ(ErrorOf("v=1\n"), "line 1: a session description starts with v=0");
  EXPECT_EQ(ErrorOf("v=0\ns=-\n"), "the description has no o= line");
  EXPECT_EQ(ErrorOf("v=0\no=- 1 1 IN IP4\n"), "line 2: o= does not have six fields");
  EXPECT_EQ(ErrorOf("v=0\r\n\r\nhello\r\n"), "line 3: is not of the form <letter>=<value>");
  EXPECT_EQ(ErrorOf(std::string("v=0\ns=a\0b\n", 10)), "line 2: has a control character");
  EXPECT_EQ(ErrorOf("v=0\nm=audio x RTP/AVP 0\n"),
            "line 2: m= is not <media> <port> <protocol> <formats>");
  EXPECT_EQ(ErrorOf("v=0\nm=audio 9 RTP/AVP\n"), "line 2: m= lists no format");
  EXPECT_EQ(ErrorOf("v=0\nm=audio 9 RTP/AVP 128\n"),
            "line 2: m= has a payload type that is not 0 to 127");
  EXPECT_EQ(ErrorOf("v=0\nm=audio 9 RTP/AVP 8 0 8\n"), "line 2: m= lists a payload type twice");
  EXPECT_EQ(ErrorOfLine("a=mid:2"), "line 24: is a second a=mid of one m-line");
  EXPECT_EQ(ErrorOf(With(kMinimalOffer, "a=mid:1", "a=mid:0")),
            "line 18: a=mid is already that of another m-line");
}

TEST(SessionDescription, RefusesAttributesThatMediaDependsOnWhenTheyAreMalformed) {
  EXPECT_THAT(ErrorOfLine("a=setup:later"), HasSubstr("line 24: a=setup is none of"));
  EXPECT_THAT(ErrorOfLine("a=ice-ufrag:abc"), HasSubstr("a=ice-ufrag is not 4 to 256"));
  EXPECT_THAT(ErrorOfLine("a=ice-ufrag:" + std::string(257, 'a')), HasSubstr("a=ice-ufrag"));
  EXPECT_THAT(ErrorOfLine("a=ice-pwd:" + std::string(21, 'a')), HasSubstr("a=ice-pwd is not 22"));
  EXPECT_THAT(ErrorOfLine("a=ice-pwd:abcdefghijklmnopqrst:v"), HasSubstr("a=ice-pwd"));
  EXPECT_THAT(ErrorOfLine("a=fingerprint:sha-256 00:11"), HasSubstr("a=fingerprint is not as"));
  EXPECT_THAT(ErrorOfLine("a=extmap:0 urn:x"), HasSubstr("id of 1 or more"));
  EXPECT_THAT(ErrorOfLine("a=extmap:1/sideways urn:x"), HasSubstr("unknown direction"));
  EXPECT_THAT(ErrorOfLine("a=extmap:1"), HasSubstr("a=extmap has no URI"));
  EXPECT_THAT(ErrorOfLine("a=extmap:1 urn:x\r\na=extmap:1 urn:y"), HasSubstr("line 25: "));
  EXPECT_THAT(ErrorOfLine("a=rtpmap:96 VP8"), HasSubstr("a=rtpmap is not"));
  EXPECT_THAT(ErrorOfLine("a=rtpmap:96 VP8/0"), HasSubstr("a=rtpmap is not"));
  EXPECT_THAT(ErrorOfLine("a=rtpmap:96 opus/48000/256"), HasSubstr("a=rtpmap is not"));
  EXPECT_THAT(ErrorOfLine("a=rtcp-fb:96"), HasSubstr("a=rtcp-fb names no feedback"));
  EXPECT_THAT(ErrorOfLine("a=ssrc:4294967296 cname:x"), HasSubstr("32-bit"));
  EXPECT_THAT(ErrorOfLine("a=ssrc-group:FID 1 x"), HasSubstr("32-bit"));
  EXPECT_THAT(ErrorOfLine("a=rid:x sideways"), HasSubstr("a=rid is not"));
  EXPECT_THAT(ErrorOfLine("a=rid:x send\r\na=rid:x recv"), HasSubstr("twice"));
  EXPECT_THAT(ErrorOfLine("a=simulcast:send"), HasSubstr("a=simulcast is not"));
  EXPECT_THAT(ErrorOfLine("a=simulcast:send ,;"), HasSubstr("a=simulcast is not"));
  EXPECT_THAT(ErrorOfLine("a=msid:"), HasSubstr("a=msid names no stream"));
  EXPECT_THAT(ErrorOfLine("a=mid:"), HasSubstr("second a=mid"));
}

// `count` numbered lines, each `before` + number + `after`.
std::string Lines(size_t count, std::string_view before, std::string_view after) {
  std::string out;
  for (size_t i = 1; i <= count; ++i) {
    out.append(before).append(std::to_string(i)).append(after).append("\n");
  }
  return out;
}

TEST(SessionDescription, EveryListHasABound) {
  struct Bound {
    size_t most;
    std::string_view before;
    std::string_view after;
  };
  for (const Bound& bound :
       std::initializer_list<Bound>{{kMaxExtensions, "a=extmap:", " urn:x"},
                                    {kMaxSsrcs, "a=ssrc:", " cname:x"},
                                    {kMaxSsrcGroups, "a=ssrc-group:FID ", ""},
                                    {kMaxFeedbackPerPayload, "a=rtcp-fb:96 x", ""},
                                    {kMaxFeedbackPerPayload, "a=rtcp-fb:* x", ""},
                                    {kMaxRids, "a=rid:", " send"},
                                    {kMaxMsids, "a=msid:", ""}}) {
    EXPECT_EQ(ErrorOfLine(Lines(bound.most, bound.before, bound.after)), "") << bound.before;
    EXPECT_THAT(ErrorOfLine(Lines(bound.most + 1, bound.before, bound.after)), HasSubstr("more"))
        << bound.before;
  }
  const std::string head = "v=0\no=- 1 1 IN IP4 0\n";
  EXPECT_EQ(ErrorOf(head + Lines(kMaxMediaSections, "m=audio ", " RTP/AVP 0")), "");
  EXPECT_EQ(ErrorOf(head + Lines(kMaxMediaSections + 1, "m=audio ", " RTP/AVP 0")),
            "line 67: there are more than 64 m= lines");
  EXPECT_THAT(ErrorOf(head + Lines(kMaxGroups + 1, "a=group:LS ", "")), HasSubstr("more than 16"));
}

TEST(SessionDescription, CandidatesOverTheBoundAreLeftOut) {
  const MediaSection section =
      SectionWith(Lines(kMaxCandidates + 1, "a=candidate:", " 1 udp 1 192.0.2.9 1 typ host"));
  EXPECT_EQ(section.ice.candidates.size(), kMaxCandidates);
}

TEST(SessionDescription, LongTextsAndLongLinesAreRefused) {
  const std::string offer(kMinimalOffer);
  const std::string line(kMaxLineBytes - 4, 'x');
  EXPECT_EQ(ErrorOf(offer + "a=x:" + line + "\n"), "");
  EXPECT_EQ(ErrorOf(offer + "a=x:" + line + "x\n"), "line 24: is longer than 4096 bytes");
  std::string text = offer;
  while (text.size() + 100 < kMaxTextBytes) text += "a=" + std::string(97, 'x') + "\n";
  EXPECT_EQ(ErrorOf(text), "");
  text += "a=" + std::string(97, 'x') + "\n";
  EXPECT_EQ(ErrorOf(text), "the text is longer than 262144 bytes");
}

TEST(SessionDescription, AnOfferOfEightRoomsWithTwoPicturesEachFits) {
  const std::string offer = ReadFixture("chromium-play-two-pictures.sdp");
  const size_t video = offer.find("m=video");
  const size_t next = offer.find("m=video", video + 1);
  std::string text = offer.substr(0, video);
  for (int i = 0; i < 16; ++i) {
    text += With(std::string_view(offer).substr(video, next - video), "a=mid:1",
                 "a=mid:v" + std::to_string(i));
  }
  EXPECT_GT(text.size(), 64u * 1024);
  EXPECT_EQ(ErrorOf(text), "");
}

TEST(SessionDescription, EveryCutOfARealOfferIsParsedOrRefused) {
  for (const FixtureName& fixture : kFixtures) {
    const std::string text = ReadFixture(std::string(fixture.name) + ".sdp");
    for (size_t size = 0; size < text.size(); size += 53) {
      const auto parsed = Parse(std::string_view(text).substr(0, size));
      if (parsed.ok()) {
        EXPECT_EQ(*Parse(Write(*parsed)), *parsed) << fixture.name << " cut at " << size;
      } else {
        EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument);
      }
    }
  }
}

TEST(Fingerprint, IsReadInEitherCaseAndWrittenInUpperCase) {
  std::string digits = "ab";
  for (int i = 1; i < 48; ++i) digits += ":0f";
  const auto fingerprint = ParseFingerprint("SHA-384 " + digits);
  ASSERT_TRUE(fingerprint);
  EXPECT_EQ(fingerprint->hash, HashFunction::kSha384);
  EXPECT_EQ(fingerprint->digest.front(), 0xab);
  EXPECT_EQ(WriteFingerprint(*fingerprint).substr(0, 14), "sha-384 AB:0F:");
  EXPECT_EQ(ParseFingerprint(WriteFingerprint(*fingerprint)), fingerprint);
  EXPECT_FALSE(ParseFingerprint("sha-384 " + digits + ":00"));
  EXPECT_FALSE(ParseFingerprint("sha-384 " + With(digits, ":", "-")));
  EXPECT_FALSE(ParseFingerprint("sha-384 " + With(digits, "ab", "gb")));
  EXPECT_FALSE(ParseFingerprint("md5 00:11"));
}

TEST(FormatParameter, IsFoundByNameWhateverTheBlanksAndTheCase) {
  EXPECT_EQ(FormatParameter("a=1;b=2", "b"), "2");
  EXPECT_EQ(FormatParameter("a=1; B=2 ;c", "b"), "2");
  EXPECT_EQ(FormatParameter("a=1;b", "b"), "");
  EXPECT_EQ(FormatParameter("ab=1", "b"), std::nullopt);
  EXPECT_EQ(FormatParameter("", "b"), std::nullopt);
}

}  // namespace
}  // namespace vigil::sdp
