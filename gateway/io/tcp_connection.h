#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "gateway/base/client_address.h"
#include "gateway/base/time.h"
#include "gateway/io/fd.h"

namespace vigil::io {

struct TcpConnectionOptions {
  // What waits here when the client reads too slowly. Together with what the kernel may hold
  // unsent it bounds the delay: 64 KiB are 200 ms of picture at 2.5 Mb/s. Higher grows the delay,
  // lower drops more of each keyframe.
  size_t send_buffer_bytes = 65'536;
  // How long a new connection has to prove itself. A check comes within a round trip or two.
  TimeDelta probation = TimeDelta::Seconds(5);
  // How long a proven one may be silent: the consent of RFC 7675 is over after 30 s anyway.
  TimeDelta idle = TimeDelta::Seconds(45);
};

// One accepted TCP connection, non-blocking, bytes only: frames are the business of its owner.
// Belongs to one thread.
class TcpConnection {
 public:
  enum class State { kProbation, kProven, kClosed };

  // Sets TCP_NODELAY, a bound on what the kernel holds unsent, and a bound on how long sent bytes
  // may stay unacknowledged.
  TcpConnection(Fd fd, const ClientAddress& client, const TcpConnectionOptions& options,
                Timestamp now);
  TcpConnection(const TcpConnection&) = delete;
  TcpConnection& operator=(const TcpConnection&) = delete;

  // Reads once into `out`; the number of bytes. 0 with state kClosed at the end of the stream or
  // on an error, 0 otherwise when there is nothing now.
  size_t Receive(std::span<uint8_t> out, Timestamp now);

  // Sends `header` and `body` as one frame: the whole of it is taken, or nothing (false) when the
  // buffer has no room for it. The last quarter of the buffer is for frames of sound and checks
  // (QueueShare of datagram.h).
  bool SendFrame(std::span<const uint8_t> header, std::span<const uint8_t> body);
  // Gives the kernel more of what waits.
  void Flush();

  // Bytes wait: the owner watches for writability.
  bool wants_write() const { return state_ != State::kClosed && waiting() > 0; }
  size_t waiting() const { return buffer_.size() - first_; }

  // The client has authenticated itself.
  void SetProven();
  // When its patience is over: closing it then is the owner's part.
  Timestamp Expiry() const;
  // Ends it for good. The descriptor itself goes with the object.
  void Close();

  State state() const { return state_; }
  const ClientAddress& client() const { return client_; }
  int fd() const { return fd_.get(); }

 private:
  size_t WriteNow(std::span<const uint8_t> header, std::span<const uint8_t> body);

  Fd fd_;
  ClientAddress client_;
  TcpConnectionOptions options_;
  State state_ = State::kProbation;
  Timestamp opened_;
  Timestamp last_received_;
  // Bytes from first_ on wait. Allocated once, at the first frame that does not fit the kernel.
  std::vector<uint8_t> buffer_;
  size_t first_ = 0;
};

}  // namespace vigil::io
