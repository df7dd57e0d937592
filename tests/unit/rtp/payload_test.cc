#include "gateway/rtp/payload.h"

#include <string>
#include <vector>

#include "gateway/base/rng.h"
#include "gtest/gtest.h"

namespace vigil::rtp {
namespace {

using Bytes = std::vector<uint8_t>;

Bytes Join(std::initializer_list<Bytes> parts) {
  Bytes all;
  for (const Bytes& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

// On a heap block of exactly `n` bytes, so that reading past its end is seen by the sanitizer.
Bytes Prefix(const Bytes& bytes, size_t n) {
  return Bytes(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(n));
}

template <typename D>
D DescriptorOf(const std::optional<PayloadView>& view) {
  EXPECT_TRUE(view && std::holds_alternative<D>(view->descriptor));
  return view && std::holds_alternative<D>(view->descriptor) ? std::get<D>(view->descriptor) : D{};
}

std::optional<PayloadView> Parse(CodecType codec, const Bytes& payload, const Bytes& dd = {}) {
  return ParsePayload(codec, payload, dd);
}

TEST(Payload, SoundHasNoDescriptorAndCanBeDecodedFromAnyPacket) {
  const std::optional<PayloadView> view = Parse(CodecType::kOpus, {0x78, 1, 2});
  ASSERT_TRUE(view);
  EXPECT_TRUE(std::holds_alternative<std::monostate>(view->descriptor));
  EXPECT_TRUE(view->starts_keyframe);
}

TEST(Payload, AnEmptyPayloadIsMalformedForEveryCodec) {
  for (const CodecType codec :
       {CodecType::kOpus, CodecType::kVp8, CodecType::kVp9, CodecType::kAv1, CodecType::kH264}) {
    EXPECT_FALSE(Parse(codec, {}));
  }
}

// ---- VP8 (RFC 7741) ----

struct Vp8Row {
  const char* what;
  Bytes payload;
  Vp8Descriptor descriptor;
  bool starts_keyframe;
};

const Vp8Row kVp8Rows[] = {
    {"key frame, no extension", {0x10, 0x00}, {.size = 1, .start_of_partition = true}, true},
    {"inter frame", {0x10, 0x01}, {.size = 1, .start_of_partition = true}, false},
    {"key frame continued", {0x00, 0x00}, {.size = 1}, false},
    {"second partition",
     {0x11, 0x00},
     {.size = 1, .start_of_partition = true, .partition = 1},
     false},
    {"non-reference",
     {0x30, 0x01},
     {.size = 1, .non_reference = true, .start_of_partition = true},
     false},
    {"extension without a field",
     {0x90, 0x00, 0x00},
     {.size = 2, .start_of_partition = true},
     true},
    {"picture id of 7 bits",
     {0x90, 0x80, 0x7f, 0x00},
     {.size = 3, .start_of_partition = true, .picture_id = 127},
     true},
    {"picture id of 15 bits",
     {0x90, 0x80, 0x92, 0x34, 0x00},
     {.size = 4, .start_of_partition = true, .picture_id = 0x1234, .picture_id_is_15_bits = true},
     true},
    {"temporal id without key index",
     {0x90, 0x20, 0xbf, 0x01},
     {.size = 3, .start_of_partition = true, .temporal_id = 2, .layer_sync = true},
     false},
    {"key index without temporal id",
     {0x90, 0x10, 0xff, 0x01},
     {.size = 3, .start_of_partition = true, .key_index = 31},
     false},
    {"everything",
     {0xf3, 0xf0, 0x81, 0x02, 0x03, 0x45, 0x00},
     {.size = 6,
      .non_reference = true,
      .start_of_partition = true,
      .partition = 3,
      .picture_id = 0x102,
      .picture_id_is_15_bits = true,
      .tl0_picture_index = 3,
      .temporal_id = 1,
      .key_index = 5},
     false},
};

TEST(Vp8, ReadsDescriptorAndKeyframe) {
  for (const Vp8Row& row : kVp8Rows) {
    SCOPED_TRACE(row.what);
    const std::optional<PayloadView> view = Parse(CodecType::kVp8, row.payload);
    EXPECT_EQ(DescriptorOf<Vp8Descriptor>(view), row.descriptor);
    ASSERT_TRUE(view);
    EXPECT_EQ(view->starts_keyframe, row.starts_keyframe);
  }
}

TEST(Vp8, EveryPrefixOfADescriptorIsMalformed) {
  for (const Vp8Row& row : kVp8Rows) {
    SCOPED_TRACE(row.what);
    for (size_t n = 0; n < row.payload.size(); ++n) {
      EXPECT_FALSE(Parse(CodecType::kVp8, Prefix(row.payload, n)));
    }
  }
}

TEST(Vp8, CopyWidensThePictureIdAndKeepsTheRest) {
  const Bytes payload = {0xb0, 0xf8, 0x05, 0x09, 0xa3, 0x01, 0xde, 0xad};
  const auto descriptor = DescriptorOf<Vp8Descriptor>(Parse(CodecType::kVp8, payload));
  const PictureCounters counters{.picture_id = 0x4321, .tl0_picture_index = 77, .key_index = 12};
  Bytes out(payload.size() + 1);
  EXPECT_EQ(CopyWithCounters(payload, descriptor, counters, out), out.size());
  EXPECT_EQ(out, (Bytes{0xb0, 0xf8, 0xc3, 0x21, 77, 0xac, 0x01, 0xde, 0xad}));
}

TEST(Vp8, CopyWritesNoCounterThatIsNotThere) {
  const PictureCounters counters{.picture_id = 0x4321, .tl0_picture_index = 77, .key_index = 12};
  for (const Bytes& payload :
       {Bytes{0x10, 0x00, 0x07}, Bytes{0x90, 0x00, 0x00, 0x07}, Bytes{0x90, 0x20, 0xbf, 0x01}}) {
    const auto descriptor = DescriptorOf<Vp8Descriptor>(Parse(CodecType::kVp8, payload));
    Bytes out(payload.size());
    EXPECT_EQ(CopyWithCounters(payload, descriptor, counters, out), payload.size());
    EXPECT_EQ(out, payload);
  }
}

Bytes RandomVp8(Rng& rng) {
  Bytes payload(rng.Below(20) + 8);
  rng.Fill(payload);
  if (rng.Chance(0.8)) payload[0] |= 0x80;
  return payload;
}

TEST(Vp8, CopiedPayloadsReadBackWithTheNewCounters) {
  Rng rng(30);
  for (int i = 0; i < 20'000; ++i) {
    const Bytes payload = RandomVp8(rng);
    const std::optional<PayloadView> before = Parse(CodecType::kVp8, payload);
    const auto source = DescriptorOf<Vp8Descriptor>(before);
    const PictureCounters counters{.picture_id = static_cast<uint16_t>(rng.Below(0x8000)),
                                   .tl0_picture_index = static_cast<uint8_t>(rng.Next()),
                                   .key_index = static_cast<uint8_t>(rng.Below(32))};
    Bytes out(payload.size() + 1);
    out.resize(CopyWithCounters(payload, source, counters, out));

    Vp8Descriptor expected = source;
    if (source.picture_id) {
      expected.picture_id = counters.picture_id;
      expected.picture_id_is_15_bits = true;
      if (!source.picture_id_is_15_bits) ++expected.size;
    }
    if (source.tl0_picture_index) expected.tl0_picture_index = counters.tl0_picture_index;
    if (source.key_index) expected.key_index = counters.key_index;
    const std::optional<PayloadView> after = Parse(CodecType::kVp8, out);
    ASSERT_EQ(DescriptorOf<Vp8Descriptor>(after), expected);
    EXPECT_EQ(after->starts_keyframe, before->starts_keyframe);
    EXPECT_EQ(Bytes(out.begin() + expected.size, out.end()),
              Bytes(payload.begin() + source.size, payload.end()));
    for (size_t n = 0; n < out.size(); ++n) {
      Bytes small(n);
      ASSERT_EQ(CopyWithCounters(payload, source, counters, small), 0u);
    }
  }
}

// ---- VP9 (RFC 9628) ----

struct Vp9Row {
  const char* what;
  Bytes payload;
  Vp9Descriptor descriptor;
  bool starts_keyframe;
};

const Vp9Row kVp9Rows[] = {
    {"key frame, nothing else", {0x08, 1}, {.size = 1, .start_of_frame = true}, true},
    {"key frame continued", {0x04, 1}, {.size = 1, .end_of_frame = true}, false},
    {"inter frame", {0x48, 1}, {.size = 1, .inter_predicted = true, .start_of_frame = true}, false},
    {"picture id of 7 bits",
     {0x88, 0x7f, 1},
     {.size = 2, .start_of_frame = true, .picture_id = 127},
     true},
    {"picture id of 15 bits",
     {0x88, 0xff, 0xff, 1},
     {.size = 3, .start_of_frame = true, .picture_id = 0x7fff, .picture_id_is_15_bits = true},
     true},
    {"layers, not flexible",
     {0x28, 0x40, 9, 1},
     {.size = 3, .start_of_frame = true, .temporal_id = 2, .spatial_id = 0, .tl0_picture_index = 9},
     true},
    {"layers, flexible: no tl0",
     {0xb8, 0x05, 0x42, 1},
     {.size = 3,
      .flexible_mode = true,
      .start_of_frame = true,
      .picture_id = 5,
      .temporal_id = 2,
      .spatial_id = 1},
     false},
    {"upper spatial layer of a key picture",
     {0x28, 0x03, 9, 1},
     {.size = 3, .start_of_frame = true, .temporal_id = 0, .spatial_id = 1, .tl0_picture_index = 9},
     false},
    {"three references",
     {0xd8, 0x05, 0x03, 0x05, 0x06, 1},
     {.size = 5,
      .inter_predicted = true,
      .flexible_mode = true,
      .start_of_frame = true,
      .picture_id = 5},
     false},
    {"references need both P and F",
     {0x98, 0x05, 1},
     {.size = 2, .flexible_mode = true, .start_of_frame = true, .picture_id = 5},
     true},
    {"structure: one layer, nothing more",
     {0x0a, 0x00, 1},
     {.size = 2, .start_of_frame = true, .has_scalability_structure = true},
     true},
    {"structure: two layers with sizes",
     {0x0a, 0x30, 1, 2, 3, 4, 5, 6, 7, 8, 1},
     {.size = 10, .start_of_frame = true, .has_scalability_structure = true},
     true},
    {"structure: a picture group of two, with 0 and 3 references",
     {0x0a, 0x08, 2, 0x00, 0x2c, 1, 2, 3, 1},
     {.size = 8, .start_of_frame = true, .has_scalability_structure = true},
     true},
};

TEST(Vp9, ReadsDescriptorAndKeyframe) {
  for (const Vp9Row& row : kVp9Rows) {
    SCOPED_TRACE(row.what);
    const std::optional<PayloadView> view = Parse(CodecType::kVp9, row.payload);
    EXPECT_EQ(DescriptorOf<Vp9Descriptor>(view), row.descriptor);
    ASSERT_TRUE(view);
    EXPECT_EQ(view->starts_keyframe, row.starts_keyframe);
  }
}

TEST(Vp9, EveryPrefixOfADescriptorIsMalformed) {
  for (const Vp9Row& row : kVp9Rows) {
    SCOPED_TRACE(row.what);
    for (size_t n = 0; n < row.payload.size(); ++n) {
      EXPECT_FALSE(Parse(CodecType::kVp9, Prefix(row.payload, n)));
    }
  }
}

TEST(Vp9, MoreThanThreeReferencesAreMalformed) {
  EXPECT_FALSE(Parse(CodecType::kVp9, {0xd8, 0x05, 0x03, 0x05, 0x07, 0x02, 1}));
}

TEST(Vp9, TheLargestStructureIsRead) {
  // Eight sizes and 255 pictures with three references each.
  Bytes payload = {0x0a, 0xf8};
  payload.resize(payload.size() + 32, 1);
  payload.push_back(255);
  for (int i = 0; i < 255; ++i) payload = Join({payload, {0x0c, 1, 2, 3}});
  EXPECT_FALSE(Parse(CodecType::kVp9, payload));
  payload.push_back(1);
  const auto descriptor = DescriptorOf<Vp9Descriptor>(Parse(CodecType::kVp9, payload));
  EXPECT_EQ(descriptor.size, 1 + 1'054);
}

TEST(Vp9, CopyWidensThePictureIdAndKeepsTheRest) {
  const Bytes payload = {0xac, 0x05, 0x41, 0x09, 0xde, 0xad};
  const auto descriptor = DescriptorOf<Vp9Descriptor>(Parse(CodecType::kVp9, payload));
  const PictureCounters counters{.picture_id = 0x0001, .tl0_picture_index = 77};
  Bytes out(payload.size() + 1);
  EXPECT_EQ(CopyWithCounters(payload, descriptor, counters, out), out.size());
  EXPECT_EQ(out, (Bytes{0xac, 0x80, 0x01, 0x41, 77, 0xde, 0xad}));
}

TEST(Vp9, CopiedPayloadsReadBackWithTheNewCounters) {
  Rng rng(31);
  int copied = 0;
  for (int i = 0; i < 30'000; ++i) {
    Bytes payload(rng.Below(60) + 2);
    rng.Fill(payload);
    const std::optional<PayloadView> before = Parse(CodecType::kVp9, payload);
    if (!before) continue;
    ++copied;
    const auto source = DescriptorOf<Vp9Descriptor>(before);
    const PictureCounters counters{.picture_id = static_cast<uint16_t>(rng.Below(0x8000)),
                                   .tl0_picture_index = static_cast<uint8_t>(rng.Next())};
    Bytes out(payload.size() + 1);
    out.resize(CopyWithCounters(payload, source, counters, out));

    Vp9Descriptor expected = source;
    if (source.picture_id) {
      expected.picture_id = counters.picture_id;
      expected.picture_id_is_15_bits = true;
      if (!source.picture_id_is_15_bits) ++expected.size;
    }
    if (source.tl0_picture_index) expected.tl0_picture_index = counters.tl0_picture_index;
    const std::optional<PayloadView> after = Parse(CodecType::kVp9, out);
    ASSERT_EQ(DescriptorOf<Vp9Descriptor>(after), expected);
    EXPECT_EQ(after->starts_keyframe, before->starts_keyframe);
    EXPECT_EQ(Bytes(out.begin() + expected.size, out.end()),
              Bytes(payload.begin() + source.size, payload.end()));
    Bytes small(out.size() - 1);
    ASSERT_EQ(CopyWithCounters(payload, source, counters, small), 0u);
  }
  EXPECT_GT(copied, 10'000);
}

// ---- AV1 (AV1 RTP specification) ----

TEST(Av1, ReadsTheAggregationHeader) {
  struct Row {
    const char* what;
    Bytes payload;
    std::optional<Av1Descriptor> descriptor;
  };
  const Row kRows[] = {
      {"one element without length", {0x10, 1, 2}, Av1Descriptor{.obu_count = 1}},
      {"two elements", {0x20, 1, 0xaa, 0xbb}, Av1Descriptor{.obu_count = 2}},
      {"three elements", {0x30, 1, 0xaa, 2, 1, 1, 0xbb}, Av1Descriptor{.obu_count = 3}},
      {"uncounted, with lengths",
       {0x00, 1, 0xaa, 2, 1, 1, 1, 1, 1, 9},
       Av1Descriptor{.obu_count = 4}},
      {"length in two bytes", Join({{0x00, 0x81, 0x01}, Bytes(129, 7)}),
       Av1Descriptor{.obu_count = 1}},
      {"length padded to eight bytes",
       {0x00, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00, 7},
       Av1Descriptor{.obu_count = 1}},
      {"continued and to be continued",
       {0xd0, 1},
       Av1Descriptor{.continues_obu = true, .ends_incomplete = true, .obu_count = 1}},
      {"new sequence", {0x18, 1}, Av1Descriptor{.obu_count = 1, .new_coded_video_sequence = true}},
      {"an empty element, with a length", {0x20, 0, 1}, Av1Descriptor{.obu_count = 2}},
      {"new sequence in the middle of an OBU", {0x98, 1}, std::nullopt},
      {"no element", {0x10}, std::nullopt},
      {"no element, uncounted", {0x00}, std::nullopt},
      {"element longer than the payload", {0x20, 3, 1, 2}, std::nullopt},
      {"uncounted element longer than the payload", {0x00, 3, 1, 2}, std::nullopt},
      {"fewer elements than announced", {0x30, 1, 1, 1, 1}, std::nullopt},
      {"last element empty", {0x20, 1, 1}, std::nullopt},
      {"length cut short", {0x00, 1, 1, 0x80}, std::nullopt},
      {"length of nine bytes",
       {0x00, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00, 7},
       std::nullopt},
      {"length over 32 bits",
       {0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 7},
       std::nullopt},
  };
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.what);
    const std::optional<PayloadView> view = Parse(CodecType::kAv1, row.payload);
    ASSERT_EQ(view.has_value(), row.descriptor.has_value());
    if (view) {
      EXPECT_EQ(DescriptorOf<Av1Descriptor>(view), *row.descriptor);
    }
  }
}

TEST(Av1, CountsNoFurtherThan255Elements) {
  Bytes payload = {0x00};
  for (int i = 0; i < 300; ++i) payload = Join({payload, {1, 9}});
  EXPECT_EQ(DescriptorOf<Av1Descriptor>(Parse(CodecType::kAv1, payload)).obu_count, 255);
}

TEST(Av1, EveryPrefixIsSafe) {
  const Bytes payload = {0x38, 2, 0xaa, 0xbb, 0x83, 0x00, 1, 2, 3, 9};
  for (size_t n = 0; n < payload.size(); ++n) {
    EXPECT_FALSE(Parse(CodecType::kAv1, Prefix(payload, n))) << n;
  }
  EXPECT_TRUE(Parse(CodecType::kAv1, payload));
}

TEST(Av1, KeyframeIsToldByTheDependencyDescriptorIfThereIsOne) {
  const Bytes kNewSequence = {0x18, 1};
  const Bytes kPlain = {0x10, 1};
  const Bytes kStructure = {0x80, 0, 1, 0x80};
  struct Row {
    const char* what;
    Bytes payload;
    Bytes descriptor;
    bool starts_keyframe;
  };
  const Row kRows[] = {
      {"no descriptor, N set", kNewSequence, {}, true},
      {"no descriptor, N clear", kPlain, {}, false},
      {"structure at the start of a frame", kPlain, kStructure, true},
      {"structure inside a frame", kPlain, {0x00, 0, 1, 0x80}, false},
      {"start of a frame without a structure", kNewSequence, {0x80, 0, 1, 0x7f}, false},
      {"three bytes have no structure", kNewSequence, {0xc0, 0, 1}, false},
      {"a descriptor cut short counts as absent", kNewSequence, {0x80, 0}, true},
  };
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.what);
    const std::optional<PayloadView> view = Parse(CodecType::kAv1, row.payload, row.descriptor);
    ASSERT_TRUE(view);
    EXPECT_EQ(view->starts_keyframe, row.starts_keyframe);
  }
}

TEST(DependencyDescriptor, ReadsTheMandatoryFields) {
  const Bytes bytes = {0xc5, 0xab, 0xcd, 0x80};
  EXPECT_EQ(ParseDependencyDescriptor(bytes),
            (DependencyDescriptor{.start_of_frame = true,
                                  .end_of_frame = true,
                                  .template_id = 5,
                                  .frame_number = 0xabcd,
                                  .has_template_structure = true}));
  EXPECT_EQ(
      ParseDependencyDescriptor(Prefix(bytes, 3)),
      (DependencyDescriptor{
          .start_of_frame = true, .end_of_frame = true, .template_id = 5, .frame_number = 0xabcd}));
  const Bytes other = {0x3f, 0, 0, 0x7f, 0xff};
  EXPECT_EQ(ParseDependencyDescriptor(other), (DependencyDescriptor{.template_id = 63}));
  for (size_t n = 0; n < 3; ++n) {
    EXPECT_EQ(ParseDependencyDescriptor(Prefix(bytes, n)), std::nullopt);
  }
}

TEST(DependencyDescriptor, FrameNumberIsPatchedInPlace) {
  Bytes bytes = {0xc5, 0xab, 0xcd, 0x80};
  PatchFrameNumber(bytes, 0x1234);
  EXPECT_EQ(bytes, (Bytes{0xc5, 0x12, 0x34, 0x80}));
  Bytes too_short = {0xc5, 0xab};
  PatchFrameNumber(too_short, 0x1234);
  EXPECT_EQ(too_short, (Bytes{0xc5, 0xab}));
}

// ---- H.264 (RFC 6184) ----

constexpr uint8_t kStapA = 0x78;
constexpr uint8_t kFuA = 0x7c;
// 0x88 is a slice header that begins with first_mb_in_slice 0; 0x48 begins with 1.
constexpr uint8_t kFirstSlice = 0x88;
constexpr uint8_t kLaterSlice = 0x48;

struct H264Row {
  const char* what;
  Bytes payload;
  H264Descriptor descriptor;
  bool starts_keyframe;
};

const H264Row kH264Rows[] = {
    {"IDR slice", {0x65, kFirstSlice}, {.nal_type = 5, .has_idr = true}, true},
    {"second slice of an IDR picture",
     {0x65, kLaterSlice},
     {.nal_type = 5, .has_idr = true},
     false},
    {"IDR header alone", {0x65}, {.nal_type = 5, .has_idr = true}, false},
    {"non-IDR slice", {0x41, kFirstSlice}, {.nal_type = 1}, false},
    {"SPS", {0x67, 0x42}, {.nal_type = 7, .has_sps = true}, true},
    {"PPS", {0x68, 0xce}, {.nal_type = 8, .has_pps = true}, false},
    {"SEI", {0x06, 0x05}, {.nal_type = 6}, false},
    {"Chromium: SPS and PPS in a STAP-A before the IDR",
     {kStapA, 0, 2, 0x67, 0x42, 0, 2, 0x68, 0xce},
     {.nal_type = 24, .has_sps = true, .has_pps = true},
     true},
    {"STAP-A with an IDR slice",
     {kStapA, 0, 1, 0x09, 0, 2, 0x65, kFirstSlice},
     {.nal_type = 24, .has_idr = true},
     true},
    {"STAP-A of ordinary slices",
     {kStapA, 0, 2, 0x41, kFirstSlice, 0, 2, 0x41, kLaterSlice},
     {.nal_type = 24},
     false},
    {"FU-A, start of an IDR slice",
     {kFuA, 0x85, kFirstSlice},
     {.nal_type = 28, .has_idr = true},
     true},
    {"FU-A, start of a later IDR slice",
     {kFuA, 0x85, kLaterSlice},
     {.nal_type = 28, .has_idr = true},
     false},
    {"FU-A, middle of an IDR slice", {kFuA, 0x05, kFirstSlice}, {.nal_type = 28}, false},
    {"FU-A, end of an IDR slice", {kFuA, 0x45, kFirstSlice}, {.nal_type = 28}, false},
    {"FU-A, start of a non-IDR slice", {kFuA, 0x81, kFirstSlice}, {.nal_type = 28}, false},
    {"FU-A, start of an SPS", {kFuA, 0x87, 0x42}, {.nal_type = 28, .has_sps = true}, true},
    {"FU-A without a fragment", {kFuA, 0x85}, {.nal_type = 28, .has_idr = true}, false},
};

TEST(H264, FindsParameterSetsAndIdrSlices) {
  for (const H264Row& row : kH264Rows) {
    SCOPED_TRACE(row.what);
    const std::optional<PayloadView> view = Parse(CodecType::kH264, row.payload);
    EXPECT_EQ(DescriptorOf<H264Descriptor>(view), row.descriptor);
    ASSERT_TRUE(view);
    EXPECT_EQ(view->starts_keyframe, row.starts_keyframe);
  }
}

TEST(H264, RefusesWhatItsFormatForbids) {
  struct Row {
    const char* what;
    Bytes payload;
  };
  const Row kRows[] = {
      {"type 0", {0x60, 1}},
      {"type 30", {0x7e, 1}},
      {"type 31", {0x7f, 1}},
      {"STAP-B", {0x79, 0, 0, 0, 1, 0x65}},
      {"MTAP16", {0x7a, 0, 0, 0, 1, 0x65}},
      {"MTAP24", {0x7b, 0, 0, 0, 1, 0x65}},
      {"FU-B", {0x7d, 0x85, 0, 0}},
      {"STAP-A without a unit", {kStapA}},
      {"STAP-A with half a size", {kStapA, 0}},
      {"STAP-A with a unit of size 0", {kStapA, 0, 0}},
      {"STAP-A with a unit cut short", {kStapA, 0, 3, 0x67, 0x42}},
      {"STAP-A with a stray byte", {kStapA, 0, 1, 0x67, 0}},
      {"STAP-A in a STAP-A", {kStapA, 0, 4, kStapA, 0, 1, 0x67}},
      {"FU-A in a STAP-A", {kStapA, 0, 3, kFuA, 0x85, 1}},
      {"FU-A without its header", {kFuA}},
      {"FU-A of type 0", {kFuA, 0x80, 1}},
      {"FU-A of a STAP-A", {kFuA, 0x98, 1}},
      {"FU-A of a FU-A", {kFuA, 0x9c, 1}},
  };
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.what);
    EXPECT_FALSE(Parse(CodecType::kH264, row.payload));
  }
}

TEST(H264, EveryPrefixOfAStapAIsReadOnlyAtUnitBounds) {
  const Bytes payload = {kStapA, 0, 3, 0x67, 0x42, 0xe0, 0, 2, 0x68, 0xce, 0, 2, 0x65, 0x88};
  for (size_t n = 0; n <= payload.size(); ++n) {
    const std::optional<PayloadView> view = Parse(CodecType::kH264, Prefix(payload, n));
    EXPECT_EQ(view.has_value(), n == 6 || n == 10 || n == 14) << n;
  }
}

TEST(Payload, RandomBytesAreSafe) {
  Rng rng(32);
  int parsed = 0;
  for (int i = 0; i < 100'000; ++i) {
    Bytes payload(rng.Below(40));
    rng.Fill(payload);
    Bytes descriptor(rng.Below(6));
    rng.Fill(descriptor);
    const auto codec = static_cast<CodecType>(rng.Below(5));
    if (ParsePayload(codec, payload, descriptor)) ++parsed;
  }
  EXPECT_GT(parsed, 20'000);
  EXPECT_LT(parsed, 95'000);
}

}  // namespace
}  // namespace vigil::rtp
