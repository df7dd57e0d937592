#include "gateway/io/edge_datagram.h"

#include <array>
#include <optional>
#include <variant>
#include <vector>

#include "gateway/base/rng.h"
#include "gtest/gtest.h"

namespace vigil::io {
namespace {

EdgeHeader SampleHeader() {
  EdgeHeader header;
  header.group = GroupId(0x01020304);
  header.epoch = Epoch(7);
  header.client = ClientAddress::V4(192, 0, 2, 33, 50'000);
  header.client.transport = Transport::kTcp;
  header.client.local = 3;
  header.age = TimeDelta::Micros(250);
  return header;
}

std::vector<uint8_t> Encode(const EdgeHeader& header, std::vector<uint8_t> payload) {
  std::vector<uint8_t> bytes(kEdgeHeaderSize);
  EXPECT_EQ(WriteEdgeHeader(header, bytes), kEdgeHeaderSize);
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  return bytes;
}

std::optional<DropReason> Refusal(std::span<const uint8_t> bytes) {
  const auto parsed = ParseEdgeDatagram(bytes);
  const DropReason* reason = std::get_if<DropReason>(&parsed);
  return reason == nullptr ? std::nullopt : std::optional(*reason);
}

TEST(EdgeDatagram, TheBytesOfVersionOneAreFixed) {
  const std::vector<uint8_t> expected = {
      1,    1,    36, 1, 1, 2, 3,    4,    0,    0,   0,    7,  // version, type, length, TCP, ids
      0,    0,    0,  0, 0, 0, 0,    0,    0,    0,   0xff, 0xff, 192, 0, 2, 33,  // IP
      0xc3, 0x50, 3,  0, 0, 3, 0xd0, 0x90, 0xaa, 0xbb};  // port, local, age, payload
  EXPECT_EQ(Encode(SampleHeader(), {0xaa, 0xbb}), expected);
}

TEST(EdgeDatagram, RoundTripsRandomHeaders) {
  Rng rng(2);
  for (int i = 0; i < 10'000; ++i) {
    EdgeHeader header;
    header.group = GroupId(static_cast<uint32_t>(rng.Between(1, 0xffffffff)));
    header.epoch = Epoch(static_cast<uint32_t>(rng.Between(1, 0xffffffff)));
    rng.Fill(header.client.ip);
    header.client.port = static_cast<uint16_t>(rng.Next());
    header.client.local = static_cast<uint8_t>(rng.Next());
    header.client.transport = rng.Chance(0.5) ? Transport::kTcp : Transport::kUdp;
    if (rng.Chance(0.8)) header.age = TimeDelta::Nanos(rng.Between(0, 0xfffffffe));
    header.type = static_cast<EdgeDatagramType>(rng.Between(1, 3));
    std::vector<uint8_t> payload;
    if (header.type == EdgeDatagramType::kData) payload.resize(rng.Between(1, 1500), 0x5a);

    const std::vector<uint8_t> bytes = Encode(header, payload);
    const auto parsed = ParseEdgeDatagram(bytes);
    const EdgeDatagram* datagram = std::get_if<EdgeDatagram>(&parsed);
    ASSERT_NE(datagram, nullptr) << "iteration " << i;
    ASSERT_EQ(datagram->header, header) << "iteration " << i;
    ASSERT_EQ(std::vector(datagram->payload.begin(), datagram->payload.end()), payload);
  }
}

TEST(EdgeDatagram, EveryTruncationIsMalformed) {
  const std::vector<uint8_t> bytes = Encode(SampleHeader(), {1});
  for (size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_EQ(Refusal(std::span(bytes).first(n)), DropReason::kMalformed) << n;
  }
  EXPECT_FALSE(Refusal(bytes));
}

TEST(EdgeDatagram, AReaderSkipsFieldsOfTheNextVersion) {
  std::vector<uint8_t> bytes = Encode(SampleHeader(), {0xaa});
  bytes[2] = kEdgeHeaderSize + 5;
  bytes.insert(bytes.begin() + kEdgeHeaderSize, {9, 9, 9, 9, 9});
  const auto parsed = ParseEdgeDatagram(bytes);
  const EdgeDatagram* datagram = std::get_if<EdgeDatagram>(&parsed);
  ASSERT_NE(datagram, nullptr);
  EXPECT_EQ(datagram->header, SampleHeader());
  ASSERT_EQ(datagram->payload.size(), 1u);
  EXPECT_EQ(datagram->payload[0], 0xaa);
}

TEST(EdgeDatagram, OtherVersionsAndTypesAreUnsupportedWhateverFollows) {
  std::vector<uint8_t> bytes = Encode(SampleHeader(), {1});
  for (const int version : {0, 2, 255}) {
    bytes[0] = static_cast<uint8_t>(version);
    EXPECT_EQ(Refusal(bytes), DropReason::kEdgeUnsupported);
    EXPECT_EQ(Refusal(std::span(bytes).first(4)), DropReason::kEdgeUnsupported);
  }
  bytes[0] = kEdgeDatagramVersion;
  for (const int type : {0, 4, 8, 255}) {
    bytes[1] = static_cast<uint8_t>(type);
    EXPECT_EQ(Refusal(bytes), DropReason::kEdgeUnsupported);
  }
}

TEST(EdgeDatagram, ImpossibleFieldsAreMalformed) {
  const std::vector<uint8_t> good = Encode(SampleHeader(), {1});
  const auto with = [&](size_t at, std::vector<uint8_t> values) {
    std::vector<uint8_t> bytes = good;
    std::copy(values.begin(), values.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at));
    return bytes;
  };
  EXPECT_EQ(Refusal(with(2, {kEdgeHeaderSize - 1})), DropReason::kMalformed);
  EXPECT_EQ(Refusal(with(2, {255})), DropReason::kMalformed) << "header beyond the datagram";
  EXPECT_EQ(Refusal(with(3, {2})), DropReason::kMalformed) << "transport";
  EXPECT_EQ(Refusal(with(4, {0, 0, 0, 0})), DropReason::kMalformed) << "group 0";
  EXPECT_EQ(Refusal(with(8, {0, 0, 0, 0})), DropReason::kMalformed) << "epoch 0";
  EXPECT_EQ(Refusal(with(1, {2})), DropReason::kMalformed) << "a bind with a payload";
}

TEST(EdgeDatagram, AnAgeOutOfRangeIsClamped) {
  EdgeHeader header = SampleHeader();
  for (const auto& [age, expected] : {std::pair{TimeDelta::Seconds(60), int64_t{0xfffffffe}},
                                      std::pair{TimeDelta::Infinite(), int64_t{0xfffffffe}},
                                      std::pair{TimeDelta::Millis(-1), int64_t{0}}}) {
    header.age = age;
    const std::vector<uint8_t> bytes = Encode(header, {1});
    const auto parsed = ParseEdgeDatagram(bytes);
    EXPECT_EQ(std::get<EdgeDatagram>(parsed).header.age->ns(), expected);
  }
}

TEST(EdgeDatagram, AShortBufferIsNotWritten) {
  std::array<uint8_t, kEdgeHeaderSize - 1> out{};
  EXPECT_EQ(WriteEdgeHeader(SampleHeader(), out), 0u);
}

}  // namespace
}  // namespace vigil::io
