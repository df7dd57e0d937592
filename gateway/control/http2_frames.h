#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>

#include "gateway/base/time.h"

namespace vigil::control {

// RFC 9113, 3.4.
constexpr char kHttp2Preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr size_t kHttp2PrefaceSize = sizeof kHttp2Preface - 1;

// RFC 9113, 4.1.
struct Http2FrameHeader {
  static constexpr size_t kSize = 9;

  size_t length = 0;  // Of what follows it.
  uint8_t type = 0;
  uint8_t flags = 0;
  uint32_t stream = 0;

  static Http2FrameHeader Parse(std::span<const uint8_t, kSize> bytes);
  // A client's first frame (RFC 9113, 3.4): SETTINGS that acknowledge nothing.
  bool IsSettings() const;
};

// The streams of one HTTP/2 connection (RFC 9113, 5.1), by the frames that pass in both directions.
struct Http2Streams {
  struct Stream {
    Timestamp opened_at;
    bool finished = false;  // The client has said all.
    bool answered = false;  // The server has begun to.
  };
  std::map<uint32_t, Stream> open;
  size_t answered = 0;  // Of the open ones.
  uint32_t last_opened = 0;
  uint64_t opened = 0;
  // RST_STREAM frames of both sides, that of a stream which was not open among them.
  uint64_t resets = 0;
  // The client did what ends an HTTP/2 connection, or what no call needs. gRPC lets some of it
  // pass, and then takes streams for what they are not.
  bool violated = false;

  void Close(uint32_t stream);
};

// Follows one direction of an HTTP/2 connection, however its bytes are cut: the client's from
// behind its preface, the server's from its first byte. Looks at frame headers only.
class Http2Frames {
 public:
  enum class Sender : uint8_t { kClient, kServer };
  // One block of header fields: a call's has a token of 8 kB at most and some names. More frames,
  // or more bytes, are what somebody sends to use up memory.
  static constexpr size_t kMaxHeaderBlock = 32 * 1024;
  static constexpr size_t kMaxHeaderFrames = 4;

  explicit Http2Frames(Sender sender) : sender_(sender) {}

  void Inspect(std::span<const uint8_t> bytes, Timestamp now, Http2Streams& streams);
  // A frame has begun.
  bool begun() const { return begun_; }

 private:
  void OnClientFrame(const Http2FrameHeader& frame, Timestamp now, Http2Streams& streams);
  void OnHeaderBlock(const Http2FrameHeader& frame, Http2Streams& streams);
  static void OnServerFrame(const Http2FrameHeader& frame, Http2Streams& streams);

  Sender sender_;
  bool begun_ = false;
  size_t skip_ = 0;  // Bytes up to the next frame header.
  uint8_t header_[Http2FrameHeader::kSize] = {};
  size_t have_ = 0;  // Bytes of it.
  // The block of header fields that is not complete.
  uint32_t block_stream_ = 0;  // 0: none.
  size_t block_bytes_ = 0;
  size_t block_frames_ = 0;
};

}  // namespace vigil::control
