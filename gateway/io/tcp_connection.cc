#include "gateway/io/tcp_connection.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <utility>

#include "gateway/base/check.h"
#include "gateway/io/datagram.h"

namespace vigil::io {
namespace {

// What the kernel may hold unsent before it calls the socket full: enough to keep the link busy
// between two turns. More is delay that nothing here can drop.
constexpr int kKernelUnsentBytes = 32 * 1024;
// A client that acknowledges nothing for this long is gone (RFC 5482), whatever TCP would try.
constexpr int kUnacknowledgedMilliseconds = 15'000;

void SetTcp(int fd, int name, int value) {
  setsockopt(fd, IPPROTO_TCP, name, &value, sizeof value);
}

bool IsLater(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

}  // namespace

TcpConnection::TcpConnection(Fd fd, const ClientAddress& client,
                             const TcpConnectionOptions& options, Timestamp now)
    : fd_(std::move(fd)), client_(client), options_(options), opened_(now), last_received_(now) {
  SetTcp(fd_.get(), TCP_NODELAY, 1);
  SetTcp(fd_.get(), TCP_NOTSENT_LOWAT, kKernelUnsentBytes);
  SetTcp(fd_.get(), TCP_USER_TIMEOUT, kUnacknowledgedMilliseconds);
}

size_t TcpConnection::Receive(std::span<uint8_t> out, Timestamp now) {
  if (state_ == State::kClosed || out.empty()) return 0;
  const ssize_t n = recv(fd_.get(), out.data(), out.size(), MSG_DONTWAIT);
  if (n > 0) {
    last_received_ = now;
    return static_cast<size_t>(n);
  }
  if (n == 0 || !IsLater(errno)) Close();
  return 0;
}

bool TcpConnection::SendFrame(std::span<const uint8_t> header, std::span<const uint8_t> body) {
  if (state_ == State::kClosed) return false;
  const size_t frame = header.size() + body.size();
  // Checked before a byte is written: half a frame could never be taken back.
  if (waiting() + frame > QueueShare(options_.send_buffer_bytes, body.size())) return false;
  const size_t written = waiting() == 0 ? WriteNow(header, body) : 0;
  if (written == frame || state_ == State::kClosed) return state_ != State::kClosed;
  if (buffer_.capacity() == 0) buffer_.reserve(options_.send_buffer_bytes);
  if (buffer_.size() + frame > buffer_.capacity()) {
    buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(first_));
    first_ = 0;
  }
  const size_t of_header = std::min(written, header.size());
  const size_t of_body = written - of_header;
  buffer_.insert(buffer_.end(), header.begin() + static_cast<std::ptrdiff_t>(of_header),
                 header.end());
  buffer_.insert(buffer_.end(), body.begin() + static_cast<std::ptrdiff_t>(of_body), body.end());
  VIGIL_CHECK(buffer_.size() <= options_.send_buffer_bytes);
  return true;
}

void TcpConnection::Flush() {
  if (!wants_write()) return;
  first_ += WriteNow(std::span(buffer_).subspan(first_), {});
  if (waiting() == 0) {
    buffer_.clear();
    first_ = 0;
  }
}

// The number of bytes the kernel took.
size_t TcpConnection::WriteNow(std::span<const uint8_t> header, std::span<const uint8_t> body) {
  // sendmsg does not write through iov_base; the struct only lacks a const.
  std::array<iovec, 2> parts = {iovec{const_cast<uint8_t*>(header.data()), header.size()},
                                iovec{const_cast<uint8_t*>(body.data()), body.size()}};
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  const ssize_t n = sendmsg(fd_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n >= 0) return static_cast<size_t>(n);
  if (!IsLater(errno)) Close();
  return 0;
}

void TcpConnection::SetProven() {
  if (state_ == State::kProbation) state_ = State::kProven;
}

Timestamp TcpConnection::Expiry() const {
  switch (state_) {
    case State::kProbation:
      return opened_ + options_.probation;
    case State::kProven:
      return last_received_ + options_.idle;
    case State::kClosed:
      break;
  }
  return Timestamp::LongAgo();
}

void TcpConnection::Close() {
  state_ = State::kClosed;
  buffer_.clear();
  first_ = 0;
}

}  // namespace vigil::io
