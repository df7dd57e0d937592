#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

struct bio_st;  // OpenSSL's BIO.

namespace vigil::transport {

using Datagrams = std::vector<std::vector<uint8_t>>;

// OpenSSL's view of one association: it reads one datagram at a time and each of its writes is one
// datagram, so that borders are kept both ways (a memory BIO would glue datagrams together).
class DatagramBio {
 public:
  DatagramBio() = default;
  DatagramBio(const DatagramBio&) = delete;
  DatagramBio& operator=(const DatagramBio&) = delete;

  // A BIO on this object, which must outlive it. The caller owns it (SSL_set_bio takes it over).
  // Null when out of memory.
  bio_st* MakeBio();

  // The one datagram that can be read next. It must stay where it is until it is cleared.
  void SetInput(std::span<const uint8_t> datagram) { input_ = datagram; }
  void ClearInput() { input_ = {}; }
  // What was written since the last call.
  Datagrams TakeOutput();

  // For OpenSSL's callbacks.
  size_t Read(std::span<uint8_t> out);
  void Write(std::span<const uint8_t> datagram);

 private:
  std::span<const uint8_t> input_;
  Datagrams output_;
};

}  // namespace vigil::transport
