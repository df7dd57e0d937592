#include "gateway/sdp/payload_format.h"

#include "gtest/gtest.h"

namespace vigil::sdp {
namespace {

using rtp::Codec;
using rtp::CodecType;

Payload Video(std::string_view encoding, std::string_view format = "", uint8_t type = 96) {
  Payload payload;
  payload.type = type;
  payload.encoding = encoding;
  payload.clock_rate = 90'000;
  payload.format = format;
  return payload;
}

Payload Opus(std::string_view format = "") {
  Payload payload = Video("opus", format, 111);
  payload.clock_rate = 48'000;
  payload.channels = 2;
  return payload;
}

std::string AnswerTo(const Payload& payload, bool we_receive = true) {
  const auto codec = CodecOf(payload);
  EXPECT_TRUE(codec) << payload.encoding << " " << payload.format;
  return codec ? AnswerFormat(payload, *codec, we_receive) : "no codec";
}

TEST(CodecOf, KnowsTheCodecsThatAreForwarded) {
  EXPECT_EQ(CodecOf(Opus()), (Codec{CodecType::kOpus, 0, 0}));
  EXPECT_EQ(CodecOf(Video("vp8")), (Codec{CodecType::kVp8, 0, 0}));
  EXPECT_EQ(CodecOf(Video("VP9")), (Codec{CodecType::kVp9, 0, 0}));
  EXPECT_EQ(CodecOf(Video("VP9", "profile-id=2")), (Codec{CodecType::kVp9, 2, 0}));
  EXPECT_EQ(CodecOf(Video("AV1", "level-idx=5;profile=0;tier=0")), (Codec{CodecType::kAv1, 0, 0}));
  EXPECT_EQ(CodecOf(Video("H264", "packetization-mode=1;profile-level-id=42e01f")),
            (Codec{CodecType::kH264, 0x42e0, 1}));
  EXPECT_EQ(CodecOf(Video("H264", "profile-level-id=640C1F")),
            (Codec{CodecType::kH264, 0x640c, 0}));
  EXPECT_EQ(CodecOf(Video("H264")), (Codec{CodecType::kH264, 0x4200, 0}));
}

TEST(CodecOf, RefusesTheRest) {
  EXPECT_FALSE(CodecOf(Video("VP9", "profile-id=1")));
  EXPECT_FALSE(CodecOf(Video("VP9", "profile-id=x")));
  EXPECT_FALSE(CodecOf(Video("AV1", "profile=1")));
  EXPECT_FALSE(CodecOf(Video("H264", "packetization-mode=2")));
  EXPECT_FALSE(CodecOf(Video("H264", "profile-level-id=f4001f")));
  EXPECT_FALSE(CodecOf(Video("H264", "profile-level-id=42e0")));
  EXPECT_FALSE(CodecOf(Video("H264", "profile-level-id=42e01g")));
  EXPECT_FALSE(CodecOf(Video("H265")));
  EXPECT_FALSE(CodecOf(Video("red")));
  EXPECT_FALSE(CodecOf(Video("ulpfec")));
  EXPECT_FALSE(CodecOf(Video("flexfec-03")));
  EXPECT_FALSE(CodecOf(Video("")));
  Payload payload = Opus();
  payload.channels = 1;
  EXPECT_FALSE(CodecOf(payload));
  payload = Video("VP8");
  payload.clock_rate = 48'000;
  EXPECT_FALSE(CodecOf(payload));
}

TEST(CodecOf, RefusesPayloadTypesThatLookLikeRtcp) {
  EXPECT_TRUE(CodecOf(Video("VP8", "", 63)));
  EXPECT_FALSE(CodecOf(Video("VP8", "", 64)));
  EXPECT_FALSE(CodecOf(Video("VP8", "", 95)));
  EXPECT_FALSE(AptOf(Video("rtx", "apt=96", 95)));
}

TEST(AptOf, IsOfRtxOnly) {
  EXPECT_EQ(AptOf(Video("rtx", "apt=96;rtx-time=3000")), 96);
  EXPECT_FALSE(AptOf(Video("rtx")));
  EXPECT_FALSE(AptOf(Video("rtx", "apt=many")));
  EXPECT_FALSE(AptOf(Video("VP8", "apt=96")));
}

TEST(AnswerFormat, OpusAsksForFecAndStereoButNeverForSilence) {
  EXPECT_EQ(AnswerTo(Opus()), "useinbandfec=1");
  EXPECT_EQ(AnswerTo(Opus("minptime=10;useinbandfec=1")), "minptime=10;useinbandfec=1");
  EXPECT_EQ(AnswerTo(Opus("useinbandfec=0;usedtx=1")), "useinbandfec=1");
  EXPECT_EQ(AnswerTo(Opus("maxplaybackrate=48000;stereo=1;useinbandfec=1")),
            "maxplaybackrate=48000;stereo=1;useinbandfec=1");
  EXPECT_EQ(AnswerTo(Opus("sprop-stereo=1")), "stereo=1;useinbandfec=1");
  EXPECT_EQ(AnswerTo(Opus("sprop-stereo=1;usedtx=1"), false), "useinbandfec=1;usedtx=1");
}

TEST(AnswerFormat, PictureCodecsRepeatWhatMustMatch) {
  EXPECT_EQ(AnswerTo(Video("VP8", "max-fs=12288;max-fr=60")), "");
  EXPECT_EQ(AnswerTo(Video("VP9", "max-fs=12288;profile-id=2")), "profile-id=2");
  EXPECT_EQ(AnswerTo(Video("AV1", "profile=0;level-idx=5;tier=0")), "level-idx=5;profile=0;tier=0");
  EXPECT_EQ(AnswerTo(Video("H264",
                           "profile-level-id=42e01f;packetization-mode=1;sprop-parameter-sets=Z0"
                           ";max-mbps=1")),
            "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f");
  EXPECT_EQ(AnswerTo(Video("H264")), "level-asymmetry-allowed=1;packetization-mode=0");
}

}  // namespace
}  // namespace vigil::sdp
