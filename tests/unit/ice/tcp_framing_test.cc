#include "gateway/ice/tcp_framing.h"

#include <algorithm>
#include <array>
#include <vector>

#include "gtest/gtest.h"
#include "tests/unit/ice/stun_messages.h"

namespace vigil::ice {
namespace {

using Bytes = std::vector<uint8_t>;

Bytes Framed(const std::vector<Bytes>& frames) {
  Bytes stream;
  for (const Bytes& frame : frames) {
    std::array<uint8_t, kFrameHeaderSize> header;
    WriteFrameHeader(frame.size(), header);
    stream.insert(stream.end(), header.begin(), header.end());
    stream.insert(stream.end(), frame.begin(), frame.end());
  }
  return stream;
}

// Feeds `stream` in pieces of `piece` bytes and collects the frames.
std::vector<Bytes> Deframe(const Bytes& stream, size_t piece) {
  TcpDeframer deframer;
  std::vector<Bytes> frames;
  for (size_t at = 0; at < stream.size(); at += piece) {
    std::span<const uint8_t> input =
        std::span(stream).subspan(at, std::min(piece, stream.size() - at));
    while (true) {
      const TcpDeframer::Result result = deframer.Next(input);
      if (result.status != TcpDeframer::Status::kFrame) {
        EXPECT_EQ(result.status, TcpDeframer::Status::kNeedMore);
        EXPECT_TRUE(input.empty());
        break;
      }
      frames.emplace_back(result.frame.begin(), result.frame.end());
    }
  }
  return frames;
}

TEST(TcpFraming, FramesSurviveAnySegmentation) {
  Bytes longest(kMaxFrameSize);
  for (size_t i = 0; i < longest.size(); ++i) longest[i] = static_cast<uint8_t>(i * 7);
  const std::vector<Bytes> frames = {{1}, {2, 3}, longest, {4, 5, 6}, longest};
  const Bytes stream = Framed(frames);
  for (const size_t piece : {size_t{1}, size_t{2}, size_t{3}, size_t{5}, size_t{1499}, size_t{1501},
                             size_t{1502}, stream.size()}) {
    EXPECT_EQ(Deframe(stream, piece), frames) << piece;
  }
}

TEST(TcpFraming, EmptyFramesAreSkipped) {
  const std::vector<Bytes> frames = {{1}};
  EXPECT_EQ(Deframe(Framed({{}, {}, {1}, {}}), 1), frames);
  EXPECT_EQ(Deframe(Framed({{}, {}, {1}, {}}), 100), frames);
}

TEST(TcpFraming, AnOversizedFrameEndsTheConnectionForGood) {
  TcpDeframer deframer;
  const Bytes stream = {0x05, 0xdd, 1, 2, 3, 0, 1, 9};
  std::span<const uint8_t> input = stream;
  EXPECT_EQ(deframer.Next(input).status, TcpDeframer::Status::kOversized);
  input = std::span(stream).subspan(5);
  EXPECT_EQ(deframer.Next(input).status, TcpDeframer::Status::kOversized);
}

TEST(TcpFraming, TheFirstWordsOfHttpAndTlsAreOversized) {
  for (const std::string_view hello :
       {std::string_view("GET / HTTP/1.1\r\n"), std::string_view("\x16\x03\x01\x02\x00\x01", 6)}) {
    TcpDeframer deframer;
    std::span<const uint8_t> input(reinterpret_cast<const uint8_t*>(hello.data()), hello.size());
    EXPECT_EQ(deframer.Next(input).status, TcpDeframer::Status::kOversized);
  }
}

TEST(TcpFraming, OnlyABindingRequestOpensAConnection) {
  EXPECT_TRUE(IsFirstFrame(testing::MakeCheck({})));
  EXPECT_FALSE(IsFirstFrame({}));
  EXPECT_FALSE(IsFirstFrame(Bytes{0x16, 0xfe, 0xfd}));
  EXPECT_FALSE(IsFirstFrame(testing::MakeCheck({.type = 0x0011}))) << "an indication";
  EXPECT_FALSE(IsFirstFrame(testing::MakeCheck({.username = "nocolon"})));
}

}  // namespace
}  // namespace vigil::ice
