#pragma once

#include <string>
#include <utility>

#include "absl/status/status.h"

namespace vigil::io {

// Owns one file descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() { Reset(); }

  int get() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }
  void Reset();

 private:
  int fd_ = -1;
};

// A Status for a failed system call: "`what`: text of `error`". The code is that of
// absl::ErrnoToStatusCode, but EADDRINUSE is kAlreadyExists.
absl::Status SystemError(int error, const std::string& what);

}  // namespace vigil::io
