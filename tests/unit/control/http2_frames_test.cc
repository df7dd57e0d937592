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

std::vector<uint8_t> Preface() {
  const std::string text = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  return {text.begin(), text.end()};
}

TEST(Http2FramesTest, StreamsAreOpenedByTheClientAndEndedByTheServer) {
  Http2Streams streams;
  Http2Frames client(Sender::kClient);
  Http2Frames server(Sender::kServer);
  std::vector<uint8_t> said = Preface();
  Append(said, Frame(4, 0, 0, 0));  // SETTINGS.
  Append(said, Frame(1, 4, 1, 100));
  Append(said, Frame(0, kEndStream, 1, 20'000));
  Append(said, Frame(1, 4, 3, 100));
  EXPECT_FALSE(client.past_preface());
  client.Inspect(said, streams);
  EXPECT_TRUE(client.past_preface());
  EXPECT_EQ(streams.open, (std::set<uint32_t>{1, 3})) << "END_STREAM of the client ends no call";
  EXPECT_EQ(streams.opened, 2u);

  server.Inspect(Frame(4, 0, 0, 12), streams);
  server.Inspect(Frame(1, 4, 1, 50), streams);
  EXPECT_EQ(streams.open.size(), 2u);
  server.Inspect(Frame(1, 4 | kEndStream, 1, 50), streams);
  EXPECT_EQ(streams.open, (std::set<uint32_t>{3}));
  // Trailers of the client open nothing.
  client.Inspect(Frame(1, 4 | kEndStream, 3, 10), streams);
  EXPECT_EQ(streams.opened, 2u);
  EXPECT_EQ(streams.resets, 0u);
}

TEST(Http2FramesTest, ResetsOfBothSidesCount) {
  Http2Streams streams;
  Http2Frames client(Sender::kClient);
  Http2Frames server(Sender::kServer);
  client.Inspect(Preface(), streams);
  for (uint32_t stream = 1; stream < 200; stream += 2) {
    client.Inspect(Frame(1, 4, stream, 40), streams);
    (stream % 4 == 1 ? client : server).Inspect(Frame(3, 0, stream), streams);
  }
  EXPECT_EQ(streams.opened, 100u);
  EXPECT_EQ(streams.resets, 100u);
  EXPECT_TRUE(streams.open.empty());
}

TEST(Http2FramesTest, HoweverTheBytesAreCutTheCountIsTheSame) {
  std::vector<uint8_t> said = Preface();
  Rng rng(7);
  for (uint32_t stream = 1; stream < 400; stream += 2) {
    Append(said, Frame(1, 4, stream, rng.Below(300)));
    if (rng.Chance(0.5)) Append(said, Frame(0, 0, stream, rng.Below(3'000)));
    if (rng.Chance(0.5)) Append(said, Frame(3, 0, stream));
  }
  Http2Streams whole;
  Http2Frames(Sender::kClient).Inspect(said, whole);
  ASSERT_GT(whole.resets, 50u);
  for (int round = 0; round < 20; ++round) {
    Http2Streams cut;
    Http2Frames frames(Sender::kClient);
    for (std::span<const uint8_t> rest(said); !rest.empty();) {
      const size_t size = std::min<size_t>(rest.size(), 1 + rng.Below(round == 0 ? 1 : 50));
      frames.Inspect(rest.first(size), cut);
      rest = rest.subspan(size);
    }
    EXPECT_EQ(cut.opened, whole.opened);
    EXPECT_EQ(cut.resets, whole.resets);
    EXPECT_EQ(cut.open, whole.open);
  }
}

}  // namespace
}  // namespace vigil::control
