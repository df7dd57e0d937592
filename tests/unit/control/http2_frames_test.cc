#include "gateway/control/http2_frames.h"

#include <string>
#include <vector>

#include "gateway/base/rng.h"
#include "gtest/gtest.h"

namespace vigil::control {
namespace {

using Sender = Http2Frames::Sender;

constexpr uint8_t kEndStream = 1;

std::vector<uint8_t> Frame(uint8_t type, uint8_t flags, uint32_t stream, size_t size = 4) {
  std::vector<uint8_t> frame = {static_cast<uint8_t>(size >> 16),
                                static_cast<uint8_t>(size >> 8),
                                static_cast<uint8_t>(size),
                                type,
                                flags,
                                static_cast<uint8_t>(stream >> 24),
                                static_cast<uint8_t>(stream >> 16),
                                static_cast<uint8_t>(stream >> 8),
                                static_cast<uint8_t>(stream)};
  // As headers of frames, so that whoever loses count is found out.
  for (size_t i = 0; i < size; ++i) frame.push_back(i % 9 == 3 ? 3 : 0);
  return frame;
}

void Append(std::vector<uint8_t>& to, const std::vector<uint8_t>& more) {
  to.insert(to.end(), more.begin(), more.end());
}

constexpr uint8_t kData = 0;
constexpr uint8_t kHeaders = 1;
constexpr uint8_t kReset = 3;
constexpr uint8_t kSettings = 4;
constexpr uint8_t kPing = 6;
constexpr uint8_t kContinuation = 9;
constexpr uint8_t kEndHeaders = 4;
constexpr Timestamp kNow = Timestamp::FromNanos(1'000);

Http2Streams Follow(const std::vector<std::vector<uint8_t>>& frames) {
  Http2Streams streams;
  Http2Frames client(Sender::kClient);
  for (const auto& frame : frames) client.Inspect(frame, kNow, streams);
  return streams;
}

TEST(Http2FramesTest, StreamsAreOpenedByTheClientAndEndedByTheServer) {
  Http2Streams streams;
  Http2Frames client(Sender::kClient);
  Http2Frames server(Sender::kServer);
  std::vector<uint8_t> said = Frame(kSettings, 0, 0, 0);
  Append(said, Frame(kHeaders, kEndHeaders, 1, 100));
  Append(said, Frame(kData, kEndStream, 1, 20'000));
  Append(said, Frame(kHeaders, kEndHeaders, 3, 100));
  client.Inspect(said, kNow, streams);
  ASSERT_EQ(streams.open.size(), 2u) << "END_STREAM of the client ends no call";
  EXPECT_TRUE(streams.open.at(1).finished);
  EXPECT_FALSE(streams.open.at(3).finished);
  EXPECT_EQ(streams.open.at(3).opened_at, kNow);
  EXPECT_EQ(streams.opened, 2u);

  EXPECT_FALSE(server.begun());
  server.Inspect(Frame(kSettings, 0, 0, 12), kNow, streams);
  EXPECT_TRUE(server.begun());
  EXPECT_EQ(streams.answered, 0u);
  server.Inspect(Frame(kHeaders, kEndHeaders, 1, 50), kNow, streams);
  EXPECT_EQ(streams.open.size(), 2u);
  EXPECT_EQ(streams.answered, 1u);
  server.Inspect(Frame(kHeaders, kEndHeaders | kEndStream, 1, 50), kNow, streams);
  EXPECT_EQ(streams.open.size(), 1u);
  EXPECT_EQ(streams.answered, 0u);
  // Trailers of the client open nothing.
  client.Inspect(Frame(kHeaders, kEndHeaders | kEndStream, 3, 10), kNow, streams);
  EXPECT_EQ(streams.opened, 2u);
  EXPECT_TRUE(streams.open.at(3).finished);
  EXPECT_EQ(streams.resets, 0u);
  EXPECT_FALSE(streams.violated);
}

TEST(Http2FramesTest, ResetsOfBothSidesCount) {
  Http2Streams streams;
  Http2Frames client(Sender::kClient);
  Http2Frames server(Sender::kServer);
  for (uint32_t stream = 1; stream < 200; stream += 2) {
    client.Inspect(Frame(kHeaders, kEndHeaders, stream, 40), kNow, streams);
    (stream % 4 == 1 ? client : server).Inspect(Frame(kReset, 0, stream), kNow, streams);
  }
  EXPECT_EQ(streams.opened, 100u);
  EXPECT_EQ(streams.resets, 100u);
  EXPECT_TRUE(streams.open.empty());
}

TEST(Http2FramesTest, WhatIsNoClientsFrameIsAViolation) {
  const auto headers = Frame(kHeaders, kEndHeaders, 3, 40);
  EXPECT_FALSE(Follow({headers, Frame(kData, 0, 3), Frame(kReset, 0, 1)}).violated);
  EXPECT_TRUE(Follow({Frame(kHeaders, kEndHeaders, 0x7ffffffe, 40)}).violated) << "an even id";
  EXPECT_TRUE(Follow({Frame(kHeaders, kEndHeaders, 0, 40)}).violated);
  EXPECT_TRUE(Follow({headers, Frame(kData, 0, 5)}).violated) << "of a stream that is not there";
  EXPECT_TRUE(Follow({headers, Frame(kReset, 0, 5)}).violated);
  EXPECT_TRUE(Follow({headers, Frame(5, kEndHeaders, 3)}).violated) << "PUSH_PROMISE";
}

TEST(Http2FramesTest, ABlockOfHeaderFieldsIsInOnePieceAndBounded) {
  const auto begin = Frame(kHeaders, 0, 1, 8'000);
  const auto more = Frame(kContinuation, 0, 1, 8'000);
  const auto end = Frame(kContinuation, kEndHeaders, 1, 8'000);
  EXPECT_FALSE(Follow({begin, more, more, end, Frame(kHeaders, 4, 3)}).violated);
  EXPECT_TRUE(Follow({begin, more, more, more, more}).violated) << "frames without end";
  EXPECT_TRUE(Follow({begin, Frame(kContinuation, 0, 1, 30'000)}).violated) << "bytes without end";
  EXPECT_TRUE(Follow({Frame(kHeaders, kEndHeaders, 1, 40'000)}).violated);
  EXPECT_TRUE(Follow({begin, Frame(kPing, 0, 0, 8)}).violated);
  EXPECT_TRUE(Follow({begin, Frame(kContinuation, kEndHeaders, 3)}).violated);
  EXPECT_TRUE(Follow({end}).violated);
}

TEST(Http2FramesTest, HoweverTheBytesAreCutTheCountIsTheSame) {
  std::vector<uint8_t> said;
  Rng rng(7);
  for (uint32_t stream = 1; stream < 400; stream += 2) {
    Append(said, Frame(1, 4, stream, rng.Below(300)));
    if (rng.Chance(0.5)) Append(said, Frame(0, 0, stream, rng.Below(3'000)));
    if (rng.Chance(0.5)) Append(said, Frame(3, 0, stream));
  }
  Http2Streams whole;
  Http2Frames(Sender::kClient).Inspect(said, kNow, whole);
  ASSERT_GT(whole.resets, 50u);
  for (int round = 0; round < 20; ++round) {
    Http2Streams cut;
    Http2Frames frames(Sender::kClient);
    for (std::span<const uint8_t> rest(said); !rest.empty();) {
      const size_t size = std::min<size_t>(rest.size(), 1 + rng.Below(round == 0 ? 1 : 50));
      frames.Inspect(rest.first(size), kNow, cut);
      rest = rest.subspan(size);
    }
    EXPECT_EQ(cut.opened, whole.opened);
    EXPECT_EQ(cut.resets, whole.resets);
    EXPECT_EQ(cut.open.size(), whole.open.size());
    EXPECT_FALSE(cut.violated);
  }
}

}  // namespace
}  // namespace vigil::control
