#include "gateway/sdp/answer.h"

#include <algorithm>
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/sdp/fixtures.h"

namespace vigil::sdp {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::string_view kTwccUri =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

absl::StatusOr<Answer> AnswerTo(std::string_view text, const AnswerOptions& options) {
  const auto offer = Parse(text);
  if (!offer.ok()) return offer.status();
  return MakeAnswer(*offer, options);
}

Answer AnswerOf(std::string_view text, Role role) {
  auto answer = AnswerTo(text, OptionsFor(role));
  EXPECT_TRUE(answer.ok()) << answer.status();
  return answer.ok() ? std::move(*answer) : Answer();
}

// kMinimalOffer with further lines at the end, that is in its picture's m-section.
std::string OfferWith(std::string_view lines) {
  return std::string(kMinimalOffer) + std::string(lines);
}

std::vector<uint8_t> PayloadTypes(const MediaSection& section) {
  std::vector<uint8_t> types;
  for (const Payload& payload : section.payloads) types.push_back(payload.type);
  return types;
}

std::vector<std::string> Uris(const MediaSection& section) {
  std::vector<std::string> uris;
  for (const HeaderExtension& extension : section.extensions) uris.push_back(extension.uri);
  return uris;
}

TEST(Answer, SaysWhoWeAre) {
  const AnswerOptions options = OptionsFor(Role::kPublish);
  const Answer answer = AnswerOf(kMinimalOffer, Role::kPublish);
  const SessionDescription& description = answer.description;
  EXPECT_TRUE(description.ice_lite);
  EXPECT_EQ(description.origin.session_id, "4711");
  EXPECT_EQ(description.groups, (std::vector<Group>{{"BUNDLE", {"0", "1"}}}));
  ASSERT_EQ(description.media.size(), 2u);
  for (const MediaSection& section : description.media) {
    EXPECT_EQ(section.ice.ufrag, options.ice_ufrag);
    EXPECT_EQ(section.ice.password, options.ice_password);
    EXPECT_EQ(section.setup, Setup::kPassive);
    EXPECT_THAT(section.fingerprints, ElementsAre(options.fingerprint));
    EXPECT_TRUE(section.rtcp_mux);
  }
  EXPECT_EQ(description.media[0].ice.candidates, options.candidates);
  EXPECT_TRUE(description.media[0].ice.end_of_candidates);
  EXPECT_THAT(description.media[1].ice.candidates, IsEmpty());
  EXPECT_EQ(answer.media.local_ssrc, 77u);
  EXPECT_EQ(answer.media.cname, "vigil-cname");
}

// RFC 8122, 5: of the strongest hash all count, and of the others none.
TEST(Answer, AllFingerprintsOfTheStrongestHashAreRemembered) {
  const auto line = [](std::string_view hash, size_t size, std::string_view byte) {
    std::string text = "a=fingerprint:" + std::string(hash) + " " + std::string(byte);
    for (size_t i = 1; i < size; ++i) text += ":" + std::string(byte);
    return text + "\r\n";
  };
  const Answer answer =
      AnswerOf(With(kMinimalOffer, "a=setup",
                    line("sha-384", 48, "AA") + line("sha-224", 28, "00") +
                        line("sha-384", 48, "BB") + line("sha-256", 32, "CC") + "a=setup"),
               Role::kPublish);
  EXPECT_EQ(answer.remote.fingerprint.hash, HashFunction::kSha384);
  ASSERT_EQ(answer.remote.fingerprint.digest.size(), 96u);
  EXPECT_EQ(answer.remote.fingerprint.digest[47], 0xaa);
  EXPECT_EQ(answer.remote.fingerprint.digest[48], 0xbb);
}

TEST(Answer, RemembersTheRemoteTransport) {
  const Answer answer =
      AnswerOf(With(kMinimalOffer, "a=setup", "a=ice-options:trickle renomination\r\na=setup"),
               Role::kPublish);
  EXPECT_EQ(answer.remote.ice_ufrag, "abcd");
  EXPECT_EQ(answer.remote.ice_password, "0123456789abcdefghijkl");
  EXPECT_EQ(answer.remote.fingerprint.hash, HashFunction::kSha256);
  EXPECT_EQ(answer.remote.fingerprint.digest[31], 0x1f);
  EXPECT_TRUE(answer.remote.trickle);
  EXPECT_TRUE(answer.remote.renomination);
  EXPECT_THAT(answer.description.media[0].ice.options, ElementsAre("ice2", "trickle"));
  EXPECT_FALSE(AnswerOf(kMinimalOffer, Role::kPublish).remote.trickle);
}

TEST(Answer, ToAPublisherReceives) {
  const Answer answer = AnswerOf(ReadFixture("chromium-publish.sdp"), Role::kPublish);
  ASSERT_EQ(answer.media.receive.size(), 2u);
  EXPECT_THAT(answer.media.send, IsEmpty());
  for (const MediaSection& section : answer.description.media) {
    EXPECT_EQ(section.direction, Direction::kRecvOnly);
    EXPECT_THAT(section.msids, IsEmpty());
    EXPECT_THAT(section.ssrcs, IsEmpty());
  }
  const auto offer = Parse(ReadFixture("chromium-publish.sdp"));
  const rtp::ReceiveTrack& audio = answer.media.receive[0];
  EXPECT_EQ(audio.kind, rtp::MediaKind::kAudio);
  EXPECT_EQ(audio.mid, "0");
  EXPECT_EQ(audio.payloads,
            (std::vector<rtp::PayloadMapping>{{111, std::nullopt, {rtp::CodecType::kOpus, 0, 0}}}));
  EXPECT_TRUE(audio.feedback.transport_cc) << "negotiated on audio too: link health needs it";
  EXPECT_FALSE(audio.feedback.nack);
  const rtp::ReceiveTrack& video = answer.media.receive[1];
  EXPECT_EQ(video.ssrc, offer->media[1].ssrcs[0].ssrc);
  EXPECT_EQ(video.rtx_ssrc, offer->media[1].ssrcs[1].ssrc);
  EXPECT_EQ(video.payloads.front(), (rtp::PayloadMapping{96, 97, {rtp::CodecType::kVp8, 0, 0}}));
  std::set<rtp::CodecType> types;
  for (const rtp::PayloadMapping& mapping : video.payloads) {
    types.insert(mapping.codec.type);
    EXPECT_TRUE(mapping.rtx_payload_type) << rtp::Describe(mapping.codec);
  }
  EXPECT_EQ(types.size(), 4u);
  EXPECT_TRUE(video.feedback.nack && video.feedback.pli && video.feedback.fir &&
              video.feedback.transport_cc && video.feedback.reduced_size);
  EXPECT_FALSE(video.feedback.remb);
  EXPECT_EQ(answer.media.extensions.IdOf(rtp::ExtensionType::kMid), 4);
  EXPECT_EQ(answer.media.extensions.IdOf(rtp::ExtensionType::kAudioLevel), 1);
  EXPECT_EQ(answer.media.extensions.IdOf(rtp::ExtensionType::kTransportSequence), 3);
}

TEST(Answer, ToAPlayerSendsWithFixedSsrcs) {
  const Answer answer = AnswerOf(ReadFixture("chromium-play-two-pictures.sdp"), Role::kPlay);
  ASSERT_EQ(answer.media.send.size(), 3u);
  EXPECT_THAT(answer.media.receive, IsEmpty());
  const rtp::SendTrack& audio = answer.media.send[0];
  EXPECT_EQ(audio.ssrc, 1000u);
  EXPECT_EQ(audio.rtx_ssrc, 0u) << "no RTX is offered for audio";
  const rtp::SendTrack& second_picture = answer.media.send[2];
  EXPECT_EQ(second_picture.mid, "2");
  EXPECT_EQ(second_picture.ssrc, 3000u);
  EXPECT_EQ(second_picture.rtx_ssrc, 3001u);
  EXPECT_EQ(second_picture.payloads, answer.media.send[1].payloads);
  const MediaSection& section = answer.description.media[2];
  EXPECT_EQ(section.direction, Direction::kSendOnly);
  EXPECT_EQ(section.ssrc_groups, (std::vector<SsrcGroup>{{"FID", {3000, 3001}}}));
  ASSERT_EQ(section.ssrcs.size(), 2u);
  EXPECT_EQ(section.ssrcs[0].cname, "vigil-cname");
  EXPECT_EQ(section.ssrcs[1].msid, "slot-2 slot-2");
  EXPECT_EQ(section.msids, (std::vector<Msid>{{"slot-2", "slot-2"}}));
  EXPECT_NE(section.msids, answer.description.media[0].msids) << "one stream would be lip-synced";
}

TEST(Answer, RejectsADataChannelInItsPlace) {
  const Answer answer = AnswerOf(ReadFixture("chromium-play-two-pictures.sdp"), Role::kPlay);
  ASSERT_EQ(answer.description.media.size(), 4u);
  const MediaSection& data = answer.description.media[3];
  EXPECT_EQ(data.media, "application");
  EXPECT_EQ(data.port, 0);
  EXPECT_EQ(data.mid, "3");
  EXPECT_THAT(data.formats, ElementsAre("webrtc-datachannel"));
  EXPECT_EQ(answer.description.groups, (std::vector<Group>{{"BUNDLE", {"0", "1", "2"}}}));
}

TEST(Answer, DropsRedFecAndToneEvents) {
  const Answer answer = AnswerOf(ReadFixture("chromium-publish.sdp"), Role::kPublish);
  EXPECT_THAT(PayloadTypes(answer.description.media[0]), ElementsAre(111));
  for (const Payload& payload : answer.description.media[1].payloads) {
    EXPECT_THAT((std::set<std::string>{"VP8", "VP9", "AV1", "H264", "rtx"}),
                Contains(payload.encoding));
  }
}

TEST(Answer, KeepsTheOfferersOrder) {
  const Answer answer =
      AnswerOf(With(OfferWith("a=rtpmap:98 H264/90000\r\na=rtpmap:99 VP9/90000\r\n"
                              "a=rtpmap:100 rtx/90000\r\na=fmtp:100 apt=98\r\n"),
                    "SAVPF 96 97", "SAVPF 100 99 97 98 96"),
               Role::kPublish);
  EXPECT_THAT(PayloadTypes(answer.description.media[1]), ElementsAre(100, 99, 97, 98, 96));
  ASSERT_EQ(answer.media.receive[1].payloads.size(), 3u);
  EXPECT_EQ(answer.media.receive[1].payloads[0].codec.type, rtp::CodecType::kVp9);
  EXPECT_EQ(answer.media.receive[1].payloads[1].rtx_payload_type, 100);
}

TEST(Answer, TakesOnlyTheCodecsThatAreAllowed) {
  AnswerOptions options = OptionsFor(Role::kPublish);
  options.allowed_codecs = {rtp::CodecType::kOpus, rtp::CodecType::kH264};
  const auto answer = AnswerTo(ReadFixture("chromium-publish.sdp"), options);
  ASSERT_TRUE(answer.ok()) << answer.status();
  for (const rtp::PayloadMapping& mapping : answer->media.receive[1].payloads) {
    EXPECT_EQ(mapping.codec.type, rtp::CodecType::kH264);
  }
  // Each kept payload type is a codec or the RTX of a kept one.
  EXPECT_EQ(answer->description.media[1].payloads.size(),
            2 * answer->media.receive[1].payloads.size());
}

TEST(Answer, LeavesRtxOutWithoutAnRtxSsrc) {
  AnswerOptions options = OptionsFor(Role::kPlay);
  options.send_ssrcs = {{1, 0}, {2, 0}};
  const auto answer = AnswerTo(kMinimalOffer, options);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_THAT(PayloadTypes(answer->description.media[1]), ElementsAre(96));
  EXPECT_THAT(answer->description.media[1].ssrc_groups, IsEmpty());
  EXPECT_EQ(answer->media.send[1].payloads[0].rtx_payload_type, std::nullopt);
}

TEST(Answer, ASectionWithoutACommonCodecIsRejectedAloneAndTheNextOneIsTagged) {
  const Answer answer = AnswerOf(With(kMinimalOffer, "opus/48000/2", "PCMU/8000"), Role::kPublish);
  EXPECT_EQ(answer.description.media[0].port, 0);
  EXPECT_EQ(answer.description.media[0].direction, Direction::kInactive);
  EXPECT_THAT(PayloadTypes(answer.description.media[0]), ElementsAre(111));
  EXPECT_EQ(answer.description.groups, (std::vector<Group>{{"BUNDLE", {"1"}}}));
  EXPECT_THAT(answer.description.media[0].ice.candidates, IsEmpty());
  EXPECT_EQ(answer.description.media[1].ice.candidates.size(), 2u);
  ASSERT_EQ(answer.media.receive.size(), 1u);
}

TEST(Answer, TheTaggedSectionsTransportCounts) {
  const std::string offer = With(kMinimalOffer, "a=mid:1\r\n", "a=mid:1\r\na=ice-ufrag:other\r\n");
  EXPECT_EQ(AnswerOf(offer, Role::kPublish).remote.ice_ufrag, "abcd");
  EXPECT_EQ(AnswerOf(With(offer, "BUNDLE 0 1", "BUNDLE 1 0"), Role::kPublish).remote.ice_ufrag,
            "other");
  EXPECT_EQ(AnswerOf(With(offer, "opus/48000/2", "PCMU/8000"), Role::kPublish).remote.ice_ufrag,
            "other");
}

TEST(Answer, ABundleOnlySectionUsesTheTaggedOnesTransport) {
  // RFC 8843, 7.2: port 0, and no transport attribute of its own.
  std::string offer(kMinimalOffer);
  const size_t defaults = offer.find("a=ice-ufrag");
  const std::string transport = offer.substr(defaults, offer.find("m=audio") - defaults);
  offer.erase(defaults, transport.size());
  offer = With(offer, "a=mid:0\r\n", "a=mid:0\r\n" + transport);
  offer = With(offer, "m=video 9", "m=video 0");
  offer = With(offer, "a=mid:1\r\n", "a=mid:1\r\na=bundle-only\r\n");
  EXPECT_EQ(AnswerOf(offer, Role::kPublish).media.receive.size(), 2u);
  const Answer picture_only = AnswerOf(With(offer, "opus/48000/2", "PCMU/8000"), Role::kPublish);
  ASSERT_EQ(picture_only.media.receive.size(), 1u);
  EXPECT_EQ(picture_only.remote.ice_ufrag, "abcd");
}

TEST(Answer, SectionsOutsideTheBundleAndRejectedOnesAreRejected) {
  EXPECT_EQ(AnswerOf(With(kMinimalOffer, "BUNDLE 0 1", "BUNDLE 0"), Role::kPublish)
                .description.media[1]
                .port,
            0);
  EXPECT_EQ(AnswerOf(With(kMinimalOffer, "m=video 9", "m=video 0"), Role::kPublish)
                .description.media[1]
                .port,
            0);
  EXPECT_EQ(
      AnswerOf(With(kMinimalOffer, "video 9 UDP/TLS/RTP/SAVPF", "video 9 RTP/AVP"), Role::kPublish)
          .description.media[1]
          .port,
      0);
}

TEST(Answer, TheWrongDirectionIsRejected) {
  const std::string sendonly = With(kMinimalOffer, "a=sendrecv", "a=sendonly");
  const Answer play = AnswerOf(sendonly, Role::kPlay);
  EXPECT_EQ(play.description.media[0].port, 0);
  ASSERT_EQ(play.media.send.size(), 1u);
  EXPECT_EQ(play.media.send[0].kind, rtp::MediaKind::kVideo);
  EXPECT_EQ(play.media.send[0].ssrc, 1000u) << "SSRCs go to accepted m-lines";
  const std::string recvonly = With(kMinimalOffer, "a=sendrecv", "a=recvonly");
  EXPECT_EQ(AnswerOf(recvonly, Role::kPublish).description.media[0].port, 0);
  EXPECT_EQ(AnswerOf(recvonly, Role::kPlay).media.send.size(), 2u);
}

TEST(Answer, MirrorsSimulcast) {
  const Answer answer = AnswerOf(ReadFixture("chromium-publish-simulcast.sdp"), Role::kPublish);
  const rtp::ReceiveTrack& video = answer.media.receive[1];
  EXPECT_THAT(video.rids, ElementsAre("q", "h", "f"));
  EXPECT_EQ(video.ssrc, std::nullopt);
  const MediaSection& section = answer.description.media[1];
  ASSERT_EQ(section.rids.size(), 3u);
  EXPECT_FALSE(section.rids[0].sends);
  EXPECT_THAT(section.simulcast.send, IsEmpty());
  EXPECT_EQ(section.simulcast.receive.size(), 3u);
}

constexpr std::string_view kRidExtension =
    "a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\n";

TEST(Answer, SimulcastIsLimitedToWhatCanBeToldApart) {
  const std::string many =
      "a=rid:a send\na=rid:b send pt=97,98\na=rid:c send pt=98\na=rid:d send\na=rid:e send\n"
      "a=rid:f send\na=rid:g recv\na=simulcast:send a,a;b;c;g;unknown;d;e;f\n";
  const Answer answer = AnswerOf(OfferWith(std::string(kRidExtension) + many), Role::kPublish);
  EXPECT_THAT(answer.media.receive[1].rids, ElementsAre("a", "b", "d", "e"));
  EXPECT_THAT(answer.description.media[1].rids[1].payload_types, ElementsAre(97));
  EXPECT_EQ(answer.description.media[1].simulcast.receive.size(), 4u);

  const Answer no_extension = AnswerOf(OfferWith(many), Role::kPublish);
  EXPECT_THAT(no_extension.media.receive[1].rids, IsEmpty());
  EXPECT_TRUE(no_extension.description.media[1].simulcast.IsEmpty());
  EXPECT_THAT(no_extension.description.media[1].rids, IsEmpty());
}

TEST(Answer, ExtensionsKeepIdsAndDirections) {
  const std::string lines = std::string("a=extmap-allow-mixed\n") +
                            "a=extmap:20 urn:ietf:params:rtp-hdrext:sdes:mid\n"
                            "a=extmap:5/sendonly urn:3gpp:video-orientation\n"
                            "a=extmap:6/recvonly http://www.webrtc.org/experiments/rtp-hdrext/"
                            "playout-delay\n"
                            "a=extmap:7/inactive http://www.webrtc.org/experiments/rtp-hdrext/"
                            "abs-send-time\n"
                            "a=extmap:8 urn:unknown\n"
                            "a=extmap:4100 http://www.webrtc.org/experiments/rtp-hdrext/"
                            "abs-capture-time\n";
  const Answer publish = AnswerOf(OfferWith(lines), Role::kPublish);
  const MediaSection& received = publish.description.media[1];
  EXPECT_THAT(Uris(received),
              ElementsAre("urn:ietf:params:rtp-hdrext:sdes:mid", "urn:3gpp:video-orientation"));
  EXPECT_EQ(received.extensions[0].direction, std::nullopt);
  EXPECT_EQ(received.extensions[1].direction, Direction::kRecvOnly);
  EXPECT_TRUE(received.extmap_allow_mixed);
  EXPECT_FALSE(publish.description.media[0].extmap_allow_mixed);
  EXPECT_EQ(publish.media.extensions.IdOf(rtp::ExtensionType::kMid), 20);
  EXPECT_FALSE(publish.media.extensions.Has(rtp::ExtensionType::kPlayoutDelay));

  const Answer play = AnswerOf(OfferWith(lines), Role::kPlay);
  EXPECT_EQ(play.description.media[1].extensions.size(), 2u);
  EXPECT_EQ(play.description.media[1].extensions[1].direction, Direction::kSendOnly);
  EXPECT_EQ(play.media.extensions.IdOf(rtp::ExtensionType::kPlayoutDelay), 6);
}

TEST(Answer, EachSendTrackHasTheExtensionsOfItsOwnSection) {
  const std::string offer =
      With(OfferWith("a=extmap-allow-mixed\na=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\n"
                     "a=extmap:6 http://www.webrtc.org/experiments/rtp-hdrext/playout-delay\n"),
           "a=mid:0\r\n",
           "a=mid:0\r\na=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\r\n"
           "a=extmap:2 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n");
  const Answer play = AnswerOf(offer, Role::kPlay);
  ASSERT_EQ(play.media.send.size(), 2u);
  const rtp::ExtensionMap& sound = *play.media.send[0].extensions;
  const rtp::ExtensionMap& picture = *play.media.send[1].extensions;
  EXPECT_TRUE(sound.Has(rtp::ExtensionType::kAudioLevel));
  EXPECT_FALSE(sound.Has(rtp::ExtensionType::kPlayoutDelay));
  EXPECT_FALSE(picture.Has(rtp::ExtensionType::kAudioLevel));
  EXPECT_TRUE(picture.Has(rtp::ExtensionType::kPlayoutDelay));
  EXPECT_TRUE(picture.allow_mixed());
  EXPECT_FALSE(sound.allow_mixed());
  EXPECT_FALSE(play.media.extensions.allow_mixed()) << "not of all m-lines";
  const Answer all =
      AnswerOf(With(offer, "a=group:", "a=extmap-allow-mixed\r\na=group:"), Role::kPlay);
  EXPECT_TRUE(all.media.extensions.allow_mixed());
}

TEST(Answer, ExtensionIdsThatContradictAnEarlierSectionAreLeftOut) {
  // aiortc gives id 2 to audio-level in the first m-line and to abs-send-time in the second.
  const Answer aiortc = AnswerOf(ReadFixture("aiortc-publish.sdp"), Role::kPublish);
  EXPECT_EQ(aiortc.media.extensions.TypeOf(2), rtp::ExtensionType::kAudioLevel);
  EXPECT_FALSE(aiortc.media.extensions.Has(rtp::ExtensionType::kAbsSendTime));
  EXPECT_THAT(Uris(aiortc.description.media[1]),
              ElementsAre("urn:ietf:params:rtp-hdrext:sdes:mid"));
  EXPECT_TRUE(aiortc.media.receive[1].feedback.remb) << "it offers no transport-cc";

  const Answer two_ids =
      AnswerOf(With(OfferWith("a=extmap:2 urn:ietf:params:rtp-hdrext:sdes:mid\n"), "a=mid:0\r\n",
                    "a=mid:0\r\na=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\r\n"),
               Role::kPublish);
  EXPECT_EQ(two_ids.media.extensions.IdOf(rtp::ExtensionType::kMid), 1);
  EXPECT_THAT(Uris(two_ids.description.media[1]), IsEmpty());
}

TEST(Answer, RembIsTheFallbackForTransportCc) {
  const std::string feedback =
      "a=rtcp-fb:96 goog-remb\na=rtcp-fb:96 transport-cc\na=rtcp-fb:96 nack\na=rtcp-fb:96 nack "
      "rpsi\n"
      "a=rtcp-fb:97 nack\n";
  const Answer without = AnswerOf(OfferWith(feedback), Role::kPublish);
  EXPECT_THAT(without.description.media[1].payloads[0].feedback, ElementsAre("goog-remb", "nack"));
  EXPECT_TRUE(without.media.receive[1].feedback.remb);
  EXPECT_FALSE(without.media.receive[1].feedback.transport_cc) << "its header extension is missing";
  const Answer with =
      AnswerOf(OfferWith(feedback + "a=extmap:3 " + std::string(kTwccUri) + "\n"), Role::kPublish);
  EXPECT_THAT(with.description.media[1].payloads[0].feedback, ElementsAre("transport-cc", "nack"));
  EXPECT_FALSE(with.media.receive[1].feedback.remb);
  EXPECT_TRUE(with.media.receive[1].feedback.transport_cc);
}

TEST(Answer, SecondPictureOrSoundOfAPublisherIsRefused) {
  const std::string video = std::string(kMinimalOffer.substr(kMinimalOffer.find("m=video")));
  const auto answer = AnswerTo(With(std::string(kMinimalOffer) + With(video, "a=mid:1", "a=mid:2"),
                                    "BUNDLE 0 1", "BUNDLE 0 1 2"),
                               OptionsFor(Role::kPublish));
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(
      answer.status().message(),
      "m-line 3 (video, mid 2) is a second video m-line; a feed has one picture and one sound "
      "at most");
}

TEST(Answer, SsrcBasedSimulcastIsRefused) {
  const auto answer = AnswerTo(OfferWith("a=ssrc-group:SIM 1 2 3\n"), OptionsFor(Role::kPublish));
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_THAT(std::string(answer.status().message()), HasSubstr("a=ssrc-group:SIM"));
}

TEST(Answer, MoreTracksThanSsrcsAreRefused) {
  AnswerOptions options = OptionsFor(Role::kPlay);
  options.send_ssrcs.resize(1);
  const auto answer = AnswerTo(kMinimalOffer, options);
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(answer.status().message(),
            "the offer asks for more than the 1 tracks that can be sent to one client");
}

TEST(Answer, NothingLeftIsRefusedWithTheReasons) {
  const auto answer = AnswerTo(ReadFixture("chromium-play.sdp"), OptionsFor(Role::kPublish));
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(
      answer.status().message(),
      "no m-line of the offer can be carried: m-line 1 (audio, mid 0) does not send, m-line 2 "
      "(video, mid 1) does not send");
  std::string many = "v=0\no=- 1 1 IN IP4 0\na=group:BUNDLE 0\n";
  for (int i = 0; i < 64; ++i) many += "m=audio 9 RTP/SAVPF 0\n";
  const auto refused = AnswerTo(many, OptionsFor(Role::kPublish));
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_LT(refused.status().message().size(), 1024u);
  EXPECT_EQ(AnswerTo("v=0\no=- 1 1 IN IP4 0\na=group:BUNDLE\n", OptionsFor(Role::kPlay))
                .status()
                .message(),
            "no m-line of the offer can be carried");
}

TEST(Answer, WhatWebRtcRequiresIsNamedWhenItIsMissing) {
  struct Case {
    std::string offer;
    std::string error;
  };
  const std::string offer(kMinimalOffer);
  for (const Case& c : std::initializer_list<Case>{
           {With(offer, "a=group:BUNDLE 0 1\r\n", ""),
            "the offer has no a=group:BUNDLE, which is required"},
           {With(offer, "a=ice-ufrag:abcd\r\n", ""),
            "m-line 1 (audio, mid 0) has no a=ice-ufrag or no a=ice-pwd"},
           {With(offer, "a=ice-pwd:0123456789abcdefghijkl\r\n", ""),
            "m-line 1 (audio, mid 0) has no a=ice-ufrag or no a=ice-pwd"},
           {With(offer, "a=fingerprint:sha-256 ", "a=fingerprint:sha-1 "),
            "m-line 1 (audio, mid 0) has no a=fingerprint of sha-256 or better"},
           {With(offer, "a=rtcp-mux\r\n", ""),
            "m-line 1 (audio, mid 0) has no a=rtcp-mux, which is required"},
           {With(offer, "a=setup:actpass", "a=setup:passive"),
            "m-line 1 (audio, mid 0) has a=setup:passive, but the client must be the DTLS client: "
            "use actpass"},
           {With(offer, "a=setup:actpass", "a=setup:holdconn"),
            "m-line 1 (audio, mid 0) has a=setup:holdconn, but the client must be the DTLS client: "
            "use actpass"},
           {With(offer, "a=setup:actpass", "a=ice-lite"),
            "the offer is of an ICE-lite agent, and so is this gateway"},
           {With(With(offer, "SAVPF 111", "SAVPF 96"), "a=rtpmap:111", "a=rtpmap:96"),
            "m-line 2 (video, mid 1) uses payload type 96 for something else than an earlier "
            "m-line "
            "of its BUNDLE"}}) {
    const auto answer = AnswerTo(c.offer, OptionsFor(Role::kPublish));
    EXPECT_EQ(answer.status().code(), absl::StatusCode::kInvalidArgument) << c.error;
    EXPECT_EQ(answer.status().message(), c.error);
  }
  EXPECT_TRUE(AnswerTo(With(offer, "a=setup:actpass\r\n", ""), OptionsFor(Role::kPublish)).ok());
  EXPECT_TRUE(AnswerTo(With(offer, "actpass", "active"), OptionsFor(Role::kPublish)).ok());
}

TEST(Answer, IsItselfAValidDescription) {
  for (const FixtureName& fixture : kFixtures) {
    const Answer answer = AnswerOf(ReadFixture(std::string(fixture.name) + ".sdp"), fixture.role);
    const auto again = Parse(Write(answer.description));
    ASSERT_TRUE(again.ok()) << fixture.name << ": " << again.status();
    EXPECT_EQ(*again, answer.description) << fixture.name;
  }
}

template <typename T>
bool IsSubset(std::vector<T> part, std::vector<T> whole) {
  std::sort(part.begin(), part.end());
  std::sort(whole.begin(), whole.end());
  return std::includes(whole.begin(), whole.end(), part.begin(), part.end());
}

// One line of a real offer lost on its way may change the answer or refuse it, but the answer never
// names a payload type, an extension id or a mid that the offer does not have.
TEST(Answer, NeverSaysMoreThanTheOffer) {
  for (const FixtureName& fixture : kFixtures) {
    const std::string text = ReadFixture(std::string(fixture.name) + ".sdp");
    for (size_t at = 0; at < text.size(); at = text.find('\n', at) + 1) {
      std::string cut = text;
      cut.erase(at, text.find('\n', at) + 1 - at);
      const auto offer = Parse(cut);
      if (!offer.ok()) continue;
      const auto answer = MakeAnswer(*offer, OptionsFor(fixture.role));
      if (!answer.ok()) continue;
      ASSERT_EQ(answer->description.media.size(), offer->media.size());
      for (size_t i = 0; i < offer->media.size(); ++i) {
        const MediaSection& ours = answer->description.media[i];
        EXPECT_EQ(ours.mid, offer->media[i].mid);
        EXPECT_TRUE(IsSubset(PayloadTypes(ours), PayloadTypes(offer->media[i])));
        EXPECT_TRUE(IsSubset(Uris(ours), Uris(offer->media[i])));
      }
    }
  }
}

}  // namespace
}  // namespace vigil::sdp
