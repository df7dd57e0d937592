#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <span>

namespace vigil::control {

// The streams of one HTTP/2 connection (RFC 9113, 5.1), by the frames that pass in both directions.
struct Http2Streams {
  std::set<uint32_t> open;
  uint32_t last_opened = 0;
  uint64_t opened = 0;
  // RST_STREAM frames of both sides, that of a stream which was not open among them.
  uint64_t resets = 0;
};

// Follows one direction of an HTTP/2 connection from its first byte on, however its bytes are cut.
// Looks at frame headers only (RFC 9113, 4.1), and takes whatever comes: what is no HTTP/2 is for
// the server to refuse.
class Http2Frames {
 public:
  enum class Sender : uint8_t { kClient, kServer };
  explicit Http2Frames(Sender sender)
      : sender_(sender), skip_(sender == Sender::kClient ? kPreface : 0) {}

  void Inspect(std::span<const uint8_t> bytes, Http2Streams& streams);
  // Of the client: its preface is complete (RFC 9113, 3.4).
  bool past_preface() const { return past_preface_ || sender_ == Sender::kServer; }

 private:
  static constexpr size_t kPreface = 24;
  static constexpr size_t kFrameHeader = 9;
  void OnFrame(Http2Streams& streams) const;

  Sender sender_;
  size_t skip_;  // Bytes up to the next frame header.
  bool past_preface_ = false;
  uint8_t header_[kFrameHeader] = {};
  size_t have_ = 0;  // Bytes of it.
};

}  // namespace vigil::control
