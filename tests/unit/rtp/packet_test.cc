#include "gateway/rtp/packet.h"

#include <algorithm>
#include <string>
#include <vector>

#include "gateway/base/byte_io.h"
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

// Fixed header with the first byte given: payload type 96, marker, sequence 0x1234.
Bytes Header(uint8_t first) { return {first, 0xe0, 0x12, 0x34, 1, 2, 3, 4, 0xa, 0xb, 0xc, 0xd}; }

// A whole packet with one extension block; `elements` are padded to 32 bits.
Bytes WithBlock(uint16_t profile, Bytes elements) {
  while (elements.size() % 4 != 0) elements.push_back(0);
  const auto words = static_cast<uint8_t>(elements.size() / 4);
  return Join({Header(0x90),
               {static_cast<uint8_t>(profile >> 8), static_cast<uint8_t>(profile), 0, words},
               elements,
               {0xaa}});
}

// A copy of the first `n` bytes on a heap block of exactly that size, so that reading past its end
// is seen by the sanitizer.
Bytes Prefix(const Bytes& bytes, size_t n) {
  return Bytes(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(n));
}

ExtensionMap FullMap(uint8_t first_id) {
  ExtensionMap map;
  for (size_t i = 0; i < kExtensionTypeCount; ++i) {
    map.Add(static_cast<ExtensionType>(i), static_cast<uint8_t>(first_id + i));
  }
  map.set_allow_mixed(true);
  return map;
}

// Ids 1..10 in the order of ExtensionType.
const ExtensionMap kMap = FullMap(1);
constexpr uint8_t kMidId = 1;
constexpr uint8_t kRidId = 2;
constexpr uint8_t kAbsSendTimeId = 4;
constexpr uint8_t kTransportSequenceId = 5;
constexpr uint8_t kAudioLevelId = 6;
constexpr uint8_t kPlayoutDelayId = 7;
constexpr uint8_t kAbsCaptureTimeId = 8;
constexpr uint8_t kVideoOrientationId = 9;
constexpr uint8_t kDependencyDescriptorId = 10;

Bytes OneByteElement(uint8_t id, const Bytes& value) {
  return Join({{static_cast<uint8_t>(id << 4 | (value.size() - 1))}, value});
}
Bytes TwoByteElement(uint8_t id, const Bytes& value) {
  return Join({{id, static_cast<uint8_t>(value.size())}, value});
}

TEST(Packet, ReadsTheFixedHeader) {
  const Bytes bytes = Join({Header(0x80), {7, 8, 9}});
  const std::optional<PacketView> packet = ParsePacket(bytes);
  ASSERT_TRUE(packet);
  EXPECT_EQ(packet->header, (PacketHeader{.marker = true,
                                          .payload_type = 96,
                                          .sequence = 0x1234,
                                          .timestamp = 0x01020304,
                                          .ssrc = 0x0a0b0c0d}));
  EXPECT_EQ(packet->header_size, 12u);
  EXPECT_EQ(packet->payload.data(), bytes.data() + 12);
  EXPECT_EQ(packet->payload.size(), 3u);
  EXPECT_EQ(packet->padding_size, 0);
  EXPECT_EQ(packet->extension_profile, 0);
}

TEST(Packet, AcceptsAndRefusesByForm) {
  struct Row {
    const char* what;
    Bytes bytes;
    bool accepted;
    size_t header_size = 0;
    size_t payload_size = 0;
    uint8_t padding_size = 0;
  };
  const Row kRows[] = {
      {"no payload", Header(0x80), true, 12, 0},
      {"version 0", Header(0x00), false},
      {"version 1", Header(0x40), false},
      {"version 3", Header(0xc0), false},
      {"two CSRCs", Join({Header(0x82), Bytes(8, 1), {5}}), true, 20, 1},
      {"fifteen CSRCs", Join({Header(0x8f), Bytes(60, 1)}), true, 72, 0},
      {"a CSRC is missing", Join({Header(0x82), Bytes(7, 1)}), false},
      {"padding behind a payload", Join({Header(0xa0), {5, 6, 0, 0, 3}}), true, 12, 2, 3},
      {"padding only", Join({Header(0xa0), {0, 2}}), true, 12, 0, 2},
      {"padding longer than the packet", Join({Header(0xa0), {0, 3}}), false},
      {"padding of nothing, though one byte counts itself", Join({Header(0xa0), {1, 0}}), false},
      {"padding bit without a byte", Header(0xa0), false},
      {"padding must not reach into the extensions",
       Join({Header(0xb0), {0xbe, 0xde, 0, 1, 1, 1, 1, 1}, {2}}), false},
      {"empty extension block", Join({Header(0x90), {0xbe, 0xde, 0, 0}, {9}}), true, 16, 1},
      {"extension block cut short", Join({Header(0x90), {0xbe, 0xde, 0, 2, 1, 2, 3, 4}}), false},
      {"extension head cut short", Join({Header(0x90), {0xbe, 0xde, 0}}), false},
      {"extension block of 65535 words is not there",
       Join({Header(0x90), {0xbe, 0xde, 0xff, 0xff}, Bytes(100, 0)}), false},
      {"CSRCs and extensions and padding",
       Join({Header(0xb1), {1, 1, 1, 1}, {0x10, 0x05, 0, 1, 0, 0, 0, 0}, {7, 1}}), true, 24, 1, 1},
      {"unknown extension profile is skipped",
       Join({Header(0x90), {0x12, 0x34, 0, 1, 1, 2, 3, 4}, {9}}), true, 20, 1},
  };
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.what);
    const std::optional<PacketView> packet = ParsePacket(row.bytes);
    ASSERT_EQ(packet.has_value(), row.accepted);
    if (!packet) continue;
    EXPECT_EQ(packet->header_size, row.header_size);
    EXPECT_EQ(packet->payload.size(), row.payload_size);
    EXPECT_EQ(packet->padding_size, row.padding_size);
  }
}

TEST(Packet, NamesOnlyTheExtensionProfilesItCanRead) {
  struct Row {
    uint16_t wire;
    uint16_t seen;
  };
  for (const Row& row : {Row{0xbede, 0xbede}, Row{0x1000, 0x1000}, Row{0x100f, 0x100f},
                         Row{0x1010, 0}, Row{0xbedf, 0}, Row{0, 0}}) {
    const Bytes bytes = WithBlock(row.wire, {0, 0, 0, 0});
    const std::optional<PacketView> packet = ParsePacket(bytes);
    ASSERT_TRUE(packet);
    EXPECT_EQ(packet->extension_profile, row.seen);
    EXPECT_EQ(packet->extension_block.empty(), row.seen == 0);
  }
}

TEST(Packet, PeekSsrcNeedsAFixedHeader) {
  const Bytes bytes = Header(0x80);
  EXPECT_EQ(PeekSsrc(bytes), 0x0a0b0c0du);
  EXPECT_EQ(PeekSsrc(Prefix(bytes, 11)), 0u);
  EXPECT_EQ(PeekSsrc({}), 0u);
}

HeaderExtensions ExtensionsOf(const Bytes& bytes, const ExtensionMap& map = kMap) {
  const std::optional<PacketView> packet = ParsePacket(bytes);
  EXPECT_TRUE(packet);
  return packet ? ParseExtensions(*packet, map) : HeaderExtensions{};
}

const Bytes kAllValues[] = {
    {'m', '1'},
    {'h'},
    {'r', '2'},
    {1, 2, 3},
    {0xab, 0xcd},
    {0x80 | 42},
    {0x12, 0x3a, 0xbc},
    {0, 0, 0, 1, 0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xc0, 0, 0, 0},
    {0x02},
    {0xc5, 0x01, 0x02, 0x80},
};

void ExpectAllValues(const HeaderExtensions& x) {
  EXPECT_EQ(x.mid, "m1");
  EXPECT_EQ(x.rid, "h");
  EXPECT_EQ(x.repaired_rid, "r2");
  EXPECT_EQ(x.abs_send_time, 0x010203u);
  EXPECT_EQ(x.transport_sequence, 0xabcd);
  EXPECT_EQ(x.audio_level, (AudioLevel{.voice = true, .level = 42}));
  EXPECT_EQ(x.playout_delay, (PlayoutDelay{.min_10ms = 0x123, .max_10ms = 0xabc}));
  EXPECT_EQ(x.abs_capture_time,
            (AbsCaptureTime{.capture_time = NtpTime(0x1'8000'0000), .clock_offset = -0x4000'0000}));
  EXPECT_EQ(x.video_orientation, 2);
  EXPECT_EQ(x.dependency_descriptor.size(), 4u);
}

TEST(ParseExtensions, ReadsEveryTypeInTheOneByteForm) {
  Bytes elements;
  for (size_t i = 0; i < kExtensionTypeCount; ++i) {
    elements = Join({elements, OneByteElement(static_cast<uint8_t>(i + 1), kAllValues[i])});
  }
  const Bytes bytes = WithBlock(0xbede, elements);
  ExpectAllValues(ExtensionsOf(bytes));
}

TEST(ParseExtensions, ReadsEveryTypeInTheTwoByteForm) {
  Bytes elements;
  for (size_t i = 0; i < kExtensionTypeCount; ++i) {
    elements = Join({elements, TwoByteElement(static_cast<uint8_t>(i + 100), kAllValues[i])});
  }
  const Bytes bytes = WithBlock(0x1003, elements);
  ExpectAllValues(ExtensionsOf(bytes, FullMap(100)));
}

TEST(ParseExtensions, ReadsOnlyWhatWasNegotiated) {
  const Bytes bytes = WithBlock(
      0xbede, Join({OneByteElement(kMidId, {'m'}), OneByteElement(kTransportSequenceId, {1, 2})}));
  ExtensionMap map;
  EXPECT_EQ(ExtensionsOf(bytes, map), HeaderExtensions{});
  map.Add(ExtensionType::kTransportSequence, kTransportSequenceId);
  HeaderExtensions expected;
  expected.transport_sequence = 0x0102;
  EXPECT_EQ(ExtensionsOf(bytes, map), expected);
}

// What comes behind the element under test is "\x51\x00\x07": transport sequence 7, one-byte form.
TEST(ParseExtensions, OneByteFormBlockRules) {
  const Bytes kNext = OneByteElement(kTransportSequenceId, {0, 7});
  struct Row {
    const char* what;
    Bytes elements;
    bool next_is_read;
  };
  const Row kRows[] = {
      {"alone", kNext, true},
      {"behind padding", Join({{0, 0, 0}, kNext}), true},
      {"behind an unknown id", Join({OneByteElement(12, {1, 2, 3}), kNext}), true},
      {"behind a value of a wrong size", Join({OneByteElement(kAbsSendTimeId, {1}), kNext}), true},
      {"behind id 15, whose length must not be used", Join({{0xf0, 0x00}, kNext}), false},
      {"behind id 0 with a length", Join({{0x01, 0, 0}, kNext}), false},
      {"cut short by the end of the block", Join({{0, 0}, {0x51, 0}}), false},
      {"behind a length that leaves the block", Join({{0xcf, 1, 2, 3}, kNext}), false},
  };
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.what);
    const Bytes bytes = WithBlock(0xbede, row.elements);
    EXPECT_EQ(ExtensionsOf(bytes).transport_sequence.has_value(), row.next_is_read);
  }
}

TEST(ParseExtensions, TwoByteFormBlockRules) {
  const Bytes kNext = TwoByteElement(kTransportSequenceId, {0, 7});
  struct Row {
    const char* what;
    Bytes elements;
    bool next_is_read;
  };
  const Row kRows[] = {
      {"alone", kNext, true},
      {"behind padding", Join({{0, 0, 0}, kNext}), true},
      {"behind an element without a value", Join({TwoByteElement(kMidId, {}), kNext}), true},
      {"behind id 15", Join({TwoByteElement(15, {1}), kNext}), true},
      {"behind a value of 255 bytes", Join({TwoByteElement(200, Bytes(255, 1)), kNext}), true},
      {"length byte is missing", {0, 0, 0, kTransportSequenceId}, false},
      {"behind a length that leaves the block", Join({{200, 99, 1, 2}, kNext}), false},
  };
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.what);
    const Bytes bytes = WithBlock(0x1000, row.elements);
    EXPECT_EQ(ExtensionsOf(bytes).transport_sequence.has_value(), row.next_is_read);
  }
}

TEST(ParseExtensions, WhatCameBeforeAMalformedElementCounts) {
  const Bytes bytes = WithBlock(0xbede, Join({OneByteElement(kMidId, {'m'}), {0x5f, 1}}));
  HeaderExtensions expected;
  expected.mid = "m";
  EXPECT_EQ(ExtensionsOf(bytes), expected);
}

TEST(ParseExtensions, ValuesOfAWrongSizeOrCharacterAreAbsent) {
  struct Row {
    const char* what;
    uint8_t id;
    Bytes value;
    bool present;
  };
  const Row kRows[] = {
      {"mid, sixteen bytes", kMidId, Bytes(16, 'x'), true},
      {"mid, seventeen bytes", kMidId, Bytes(17, 'x'), false},
      {"mid with a space", kMidId, {'a', ' '}, false},
      {"mid with a zero byte", kMidId, {'a', 0}, false},
      {"mid, empty", kMidId, {}, false},
      {"rid with a dot", kRidId, {'a', '.'}, false},
      {"rid", kRidId, {'a', '-', '1'}, true},
      {"abs-send-time, 2", kAbsSendTimeId, {1, 2}, false},
      {"abs-send-time, 4", kAbsSendTimeId, {1, 2, 3, 4}, false},
      {"transport sequence, 1", kTransportSequenceId, {1}, false},
      {"transport sequence, 4", kTransportSequenceId, {1, 2, 3, 4}, false},
      {"audio level, 2", kAudioLevelId, {1, 2}, false},
      {"playout delay, 2", kPlayoutDelayId, {1, 2}, false},
      {"capture time, 8", kAbsCaptureTimeId, Bytes(8, 1), true},
      {"capture time, 16", kAbsCaptureTimeId, Bytes(16, 1), true},
      {"capture time, 7", kAbsCaptureTimeId, Bytes(7, 1), false},
      {"capture time, 12", kAbsCaptureTimeId, Bytes(12, 1), false},
      {"orientation, empty", kVideoOrientationId, {}, false},
      {"dependency descriptor, 2", kDependencyDescriptorId, {1, 2}, false},
      {"dependency descriptor, 3", kDependencyDescriptorId, {1, 2, 3}, true},
      {"dependency descriptor, 255", kDependencyDescriptorId, Bytes(255, 3), true},
  };
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.what);
    const Bytes bytes = WithBlock(0x1000, TwoByteElement(row.id, row.value));
    EXPECT_EQ(ExtensionsOf(bytes) != HeaderExtensions{}, row.present);
  }
}

TEST(ParseExtensions, CaptureTimeWithoutOffset) {
  const Bytes bytes =
      WithBlock(0xbede, OneByteElement(kAbsCaptureTimeId, {0, 0, 0, 2, 0, 0, 0, 1}));
  const HeaderExtensions values = ExtensionsOf(bytes);
  ASSERT_TRUE(values.abs_capture_time);
  EXPECT_EQ(values.abs_capture_time->capture_time, NtpTime(0x2'0000'0001));
  EXPECT_EQ(values.abs_capture_time->clock_offset, std::nullopt);
}

Bytes Write(const PacketHeader& header, const HeaderExtensions& values, const ExtensionMap& map,
            StampOffsets* offsets = nullptr) {
  Bytes out(1'000);
  out.resize(WriteHeader(header, values, map, out, offsets));
  return out;
}

TEST(WriteHeader, NoExtensionsMeansNoBlock) {
  const PacketHeader header{.payload_type = 111, .sequence = 1, .timestamp = 2, .ssrc = 3};
  const Bytes kExpected = {0x80, 111, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3};
  EXPECT_EQ(Write(header, {}, kMap), kExpected);
  HeaderExtensions values;
  values.transport_sequence = 1;
  EXPECT_EQ(Write(header, values, ExtensionMap()), kExpected);
}

TEST(WriteHeader, GoldenBytesOfBothForms) {
  HeaderExtensions values;
  values.transport_sequence = 0xabcd;
  values.audio_level = AudioLevel{.voice = true, .level = 5};
  ExtensionMap map;
  map.Add(ExtensionType::kTransportSequence, 3);
  ExtensionMap wide = map;
  map.Add(ExtensionType::kAudioLevel, 14);
  wide.Add(ExtensionType::kAudioLevel, 16);
  const PacketHeader header{.marker = true, .payload_type = 111, .ssrc = 1};
  const Bytes kFixed = {0x90, 0xef, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  EXPECT_EQ(Write(header, values, map),
            Join({kFixed, {0xbe, 0xde, 0, 2, 0x31, 0xab, 0xcd, 0xe0, 0x85, 0, 0, 0}}));
  EXPECT_EQ(Write(header, values, wide),
            Join({kFixed, {0x10, 0x00, 0, 2, 3, 2, 0xab, 0xcd, 16, 1, 0x85, 0}}));
}

TEST(WriteHeader, TakesTheTwoByteFormOnlyWhenAnElementNeedsIt) {
  const Bytes kSixteen(16, 1);
  const Bytes kSeventeen(17, 1);
  struct Row {
    const char* what;
    uint8_t id;
    Bytes descriptor;
    uint16_t profile;
  };
  const Row kRows[] = {
      {"id 14, 16 bytes", 14, kSixteen, 0xbede},
      {"id 16", 16, kSixteen, 0x1000},
      {"17 bytes", 14, kSeventeen, 0x1000},
      {"a negotiated wide id that is not used", 16, {}, 0xbede},
  };
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.what);
    ExtensionMap map;
    map.Add(ExtensionType::kMid, 1);
    map.Add(ExtensionType::kDependencyDescriptor, row.id);
    map.set_allow_mixed(true);
    HeaderExtensions values;
    values.mid = "0";
    values.dependency_descriptor = row.descriptor;
    const Bytes bytes = Write({}, values, map);
    const std::optional<PacketView> packet = ParsePacket(bytes);
    ASSERT_TRUE(packet);
    EXPECT_EQ(packet->extension_profile, row.profile);
    EXPECT_EQ(ParseExtensions(*packet, map), values);
  }
}

// RFC 8285, 4.1.2: who did not agree to both forms gets one.
TEST(WriteHeader, WithoutAllowMixedThereIsOneForm) {
  const Bytes kSeventeen(17, 1);
  HeaderExtensions values;
  values.mid = "0";
  values.dependency_descriptor = kSeventeen;
  ExtensionMap map;
  map.Add(ExtensionType::kMid, 1);
  map.Add(ExtensionType::kDependencyDescriptor, 2);
  EXPECT_EQ(map.form(), ExtensionForm::kOneByte);
  Bytes bytes = Write({}, values, map);
  std::optional<PacketView> packet = ParsePacket(bytes);
  ASSERT_TRUE(packet);
  EXPECT_EQ(packet->extension_profile, 0xbede);
  EXPECT_EQ(ParseExtensions(*packet, map).mid, "0");
  EXPECT_TRUE(ParseExtensions(*packet, map).dependency_descriptor.empty());

  ExtensionMap wide;
  wide.Add(ExtensionType::kMid, 1);
  wide.Add(ExtensionType::kDependencyDescriptor, 16);
  EXPECT_EQ(wide.form(), ExtensionForm::kTwoByte);
  for (const Bytes& descriptor : {kSeventeen, Bytes{}}) {
    values.dependency_descriptor = descriptor;
    bytes = Write({}, values, wide);
    packet = ParsePacket(bytes);
    ASSERT_TRUE(packet);
    EXPECT_EQ(packet->extension_profile, 0x1000);
    EXPECT_EQ(ParseExtensions(*packet, wide), values);
  }
}

TEST(WriteHeader, OffsetsPointAtTheStamps) {
  HeaderExtensions values;
  values.mid = "m";
  values.abs_send_time = 0x112233;
  values.transport_sequence = 0x4455;
  for (const ExtensionMap& map : {FullMap(1), FullMap(20)}) {
    StampOffsets offsets;
    Bytes bytes = Write({}, values, map, &offsets);
    ASSERT_NE(offsets.abs_send_time, 0);
    ASSERT_NE(offsets.transport_sequence, 0);
    bytes[offsets.abs_send_time] = 0x99;
    bytes[offsets.transport_sequence + 1u] = 0x77;
    const HeaderExtensions back = ExtensionsOf(bytes, map);
    EXPECT_EQ(back.abs_send_time, 0x992233u);
    EXPECT_EQ(back.transport_sequence, 0x4477);
  }
  StampOffsets offsets{.abs_send_time = 5, .transport_sequence = 5};
  Write({}, values, ExtensionMap(), &offsets);
  EXPECT_EQ(offsets.abs_send_time, 0);
  EXPECT_EQ(offsets.transport_sequence, 0);
}

TEST(WriteHeader, LeavesOutWhatNobodyWouldRead) {
  const std::string long_name(17, 'x');
  const Bytes long_descriptor(256, 1);
  HeaderExtensions values;
  values.mid = long_name;
  values.rid = "a b";
  values.repaired_rid = std::string_view("\0", 1);
  values.dependency_descriptor = long_descriptor;
  EXPECT_EQ(Write({}, values, kMap).size(), kFixedHeaderSize);
  values.dependency_descriptor = std::span(long_descriptor).first(2);
  EXPECT_EQ(Write({}, values, kMap).size(), kFixedHeaderSize);
}

TEST(WriteHeader, ClampsValuesWiderThanTheirFields) {
  HeaderExtensions values;
  values.playout_delay = PlayoutDelay{.min_10ms = 0, .max_10ms = 0x1000};
  values.audio_level = AudioLevel{.voice = false, .level = 200};
  const Bytes bytes = Write({.payload_type = 0xff}, values, kMap);
  const std::optional<PacketView> packet = ParsePacket(bytes);
  ASSERT_TRUE(packet);
  EXPECT_FALSE(packet->header.marker);
  EXPECT_EQ(packet->header.payload_type, 127);
  const HeaderExtensions back = ParseExtensions(*packet, kMap);
  EXPECT_EQ(back.playout_delay, (PlayoutDelay{.min_10ms = 0, .max_10ms = 0xfff}));
  EXPECT_EQ(back.audio_level, (AudioLevel{.voice = false, .level = 127}));
}

TEST(WriteHeader, WithoutExtensionsNeedsNoRoomForABlock) {
  for (size_t n = kFixedHeaderSize; n < kFixedHeaderSize + 8; ++n) {
    Bytes out(n);
    EXPECT_EQ(WriteHeader({}, {}, kMap, out, nullptr), kFixedHeaderSize) << n;
  }
}

TEST(WriteHeader, IntoEveryTooSmallBufferWritesZero) {
  HeaderExtensions values;
  values.mid = "mid";
  values.transport_sequence = 1;
  for (const ExtensionMap& map : {FullMap(1), FullMap(20)}) {
    const size_t size = Write({}, values, map).size();
    for (size_t n = 0; n < size; ++n) {
      Bytes out(n);
      StampOffsets offsets;
      EXPECT_EQ(WriteHeader({}, values, map, out, &offsets), 0u);
      EXPECT_EQ(offsets.transport_sequence, 0);
    }
    Bytes out(size);
    EXPECT_EQ(WriteHeader({}, values, map, out, nullptr), size);
  }
}

// A world of random values; strings and spans live in the struct.
struct RandomPacket {
  explicit RandomPacket(Rng& rng) {
    header.marker = rng.Chance(0.5);
    header.payload_type = static_cast<uint8_t>(rng.Below(128));
    header.sequence = static_cast<uint16_t>(rng.Next());
    header.timestamp = static_cast<uint32_t>(rng.Next());
    header.ssrc = static_cast<uint32_t>(rng.Next());
    for (size_t i = 0; i < kExtensionTypeCount; ++i) {
      // Refused adds (id 15, taken ids) leave a type out, which is part of the world.
      const uint64_t bound = rng.Chance(0.7) ? 15 : 256;
      map.Add(static_cast<ExtensionType>(i), static_cast<uint8_t>(rng.Below(bound)));
    }
    map.set_allow_mixed(rng.Chance(0.7));
    for (std::string* name : {&mid, &rid, &repaired_rid}) {
      const size_t size = rng.Below(kMaxStreamNameSize + 1);
      for (size_t i = 0; i < size; ++i) name->push_back(static_cast<char>('a' + rng.Below(26)));
    }
    descriptor.resize(rng.Chance(0.5) ? 0 : static_cast<size_t>(rng.Between(3, 255)));
    rng.Fill(descriptor);
    values.mid = mid;
    values.rid = rid;
    values.repaired_rid = repaired_rid;
    values.dependency_descriptor = descriptor;
    if (rng.Chance(0.5)) values.abs_send_time = static_cast<uint32_t>(rng.Below(1 << 24));
    if (rng.Chance(0.5)) values.transport_sequence = static_cast<uint16_t>(rng.Next());
    if (rng.Chance(0.5)) {
      values.audio_level =
          AudioLevel{.voice = rng.Chance(0.5), .level = static_cast<uint8_t>(rng.Below(128))};
    }
    if (rng.Chance(0.5)) {
      values.playout_delay = PlayoutDelay{.min_10ms = static_cast<uint16_t>(rng.Below(4096)),
                                          .max_10ms = static_cast<uint16_t>(rng.Below(4096))};
    }
    if (rng.Chance(0.5)) {
      values.abs_capture_time.emplace().capture_time = NtpTime(rng.Next());
      if (rng.Chance(0.5)) {
        values.abs_capture_time->clock_offset = static_cast<int64_t>(rng.Next());
      }
    }
    if (rng.Chance(0.5)) values.video_orientation = static_cast<uint8_t>(rng.Next());
  }

  // What a reader with the same map must see.
  HeaderExtensions Negotiated() const {
    HeaderExtensions seen = values;
    if (!map.Has(ExtensionType::kMid)) seen.mid = {};
    if (!map.Has(ExtensionType::kRid)) seen.rid = {};
    if (!map.Has(ExtensionType::kRepairedRid)) seen.repaired_rid = {};
    if (!map.Has(ExtensionType::kAbsSendTime)) seen.abs_send_time.reset();
    if (!map.Has(ExtensionType::kTransportSequence)) seen.transport_sequence.reset();
    if (!map.Has(ExtensionType::kAudioLevel)) seen.audio_level.reset();
    if (!map.Has(ExtensionType::kPlayoutDelay)) seen.playout_delay.reset();
    if (!map.Has(ExtensionType::kAbsCaptureTime)) seen.abs_capture_time.reset();
    if (!map.Has(ExtensionType::kVideoOrientation)) seen.video_orientation.reset();
    if (!map.Has(ExtensionType::kDependencyDescriptor)) seen.dependency_descriptor = {};
    if (map.form() == ExtensionForm::kOneByte && descriptor.size() > 16) {
      seen.dependency_descriptor = {};
    }
    return seen;
  }

  PacketHeader header;
  ExtensionMap map;
  std::string mid, rid, repaired_rid;
  Bytes descriptor;
  HeaderExtensions values;
};

TEST(WriteHeader, RandomValuesComeBack) {
  Rng rng(20);
  int two_byte_forms = 0;
  for (int i = 0; i < 20'000; ++i) {
    const RandomPacket random(rng);
    Bytes bytes = Write(random.header, random.values, random.map);
    ASSERT_NE(bytes.size(), 0u);
    EXPECT_EQ(bytes.size() % 4, 0u);
    bytes.push_back(0x55);
    const std::optional<PacketView> packet = ParsePacket(bytes);
    ASSERT_TRUE(packet);
    EXPECT_EQ(packet->header, random.header);
    EXPECT_EQ(packet->header_size, bytes.size() - 1);
    EXPECT_EQ(ParseExtensions(*packet, random.map), random.Negotiated());
    if (packet->extension_profile == 0x1000) ++two_byte_forms;
  }
  EXPECT_GT(two_byte_forms, 1'000);
  EXPECT_LT(two_byte_forms, 19'000);
}

TEST(Packet, EveryPrefixIsSafeAndTheHeaderIsNeededWhole) {
  Rng rng(21);
  for (int i = 0; i < 300; ++i) {
    const RandomPacket random(rng);
    const Bytes whole = Join({Write(random.header, random.values, random.map), {1, 2, 3}});
    const size_t header_size = whole.size() - 3;
    for (size_t n = 0; n < whole.size(); ++n) {
      const Bytes cut = Prefix(whole, n);
      const std::optional<PacketView> packet = ParsePacket(cut);
      ASSERT_EQ(packet.has_value(), n >= header_size);
      if (packet) {
        EXPECT_EQ(packet->payload.size(), n - header_size);
      }
      PeekSsrc(cut);
    }
  }
}

TEST(ParseExtensions, EveryPrefixOfABlockYieldsAPrefixOfItsValues) {
  Bytes elements;
  for (size_t i = 0; i < kExtensionTypeCount; ++i) {
    elements = Join({elements, OneByteElement(static_cast<uint8_t>(i + 1), kAllValues[i])});
  }
  size_t values_before = 0;
  for (size_t n = 0; n <= elements.size(); ++n) {
    const Bytes block = Prefix(elements, n);
    PacketView packet;
    packet.extension_profile = 0xbede;
    packet.extension_block = block;
    const HeaderExtensions x = ParseExtensions(packet, kMap);
    const size_t values = size_t{!x.mid.empty()} + !x.rid.empty() + !x.repaired_rid.empty() +
                          x.abs_send_time.has_value() + x.transport_sequence.has_value() +
                          x.audio_level.has_value() + x.playout_delay.has_value() +
                          x.abs_capture_time.has_value() + x.video_orientation.has_value() +
                          !x.dependency_descriptor.empty();
    EXPECT_GE(values, values_before);
    EXPECT_LE(values, values_before + 1);
    values_before = values;
  }
  EXPECT_EQ(values_before, kExtensionTypeCount);
}

TEST(Packet, RandomBytesAreSafeAndViewsStayInside) {
  Rng rng(22);
  const ExtensionMap map = FullMap(1);
  for (int i = 0; i < 50'000; ++i) {
    Bytes bytes(rng.Below(80));
    rng.Fill(bytes);
    if (!bytes.empty() && rng.Chance(0.9)) {
      bytes[0] = static_cast<uint8_t>(0x80 | (bytes[0] & 0x31));
    }
    if (bytes.size() > 16 && rng.Chance(0.8)) {
      bytes[12] = rng.Chance(0.5) ? 0xbe : 0x10;
      bytes[13] = bytes[12] == 0xbe ? 0xde : 0x00;
      bytes[14] = 0;
      bytes[15] %= 16;
    }
    const std::optional<PacketView> packet = ParsePacket(bytes);
    if (!packet) continue;
    EXPECT_EQ(packet->header_size + packet->payload.size() + packet->padding_size, bytes.size());
    const HeaderExtensions values = ParseExtensions(*packet, map);
    EXPECT_TRUE(values.mid.empty() || IsMid(values.mid));
    EXPECT_TRUE(values.rid.empty() || IsRid(values.rid));
  }
}

}  // namespace
}  // namespace vigil::rtp
