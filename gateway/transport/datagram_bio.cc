#include "gateway/transport/datagram_bio.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <openssl/bio.h>

namespace vigil::transport {
namespace {

DatagramBio& Self(BIO* bio) { return *static_cast<DatagramBio*>(BIO_get_data(bio)); }

int ReadCallback(BIO* bio, char* out, int size) {
  BIO_clear_retry_flags(bio);
  const size_t n = Self(bio).Read({reinterpret_cast<uint8_t*>(out), static_cast<size_t>(size)});
  if (n > 0) return static_cast<int>(n);
  BIO_set_retry_read(bio);
  return -1;
}

int WriteCallback(BIO* bio, const char* data, int size) {
  BIO_clear_retry_flags(bio);
  Self(bio).Write({reinterpret_cast<const uint8_t*>(data), static_cast<size_t>(size)});
  return size;
}

// A flush always succeeds. All questions about MTU and peer addresses get 0, "nothing known":
// DtlsContext sets the MTU itself, headers of lower layers already taken off.
long ControlCallback(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

BIO_METHOD* MakeMethod() {
  BIO_METHOD* const method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "datagram");
  if (method == nullptr) return nullptr;
  BIO_meth_set_read(method, ReadCallback);
  BIO_meth_set_write(method, WriteCallback);
  BIO_meth_set_ctrl(method, ControlCallback);
  return method;
}

}  // namespace

BIO* DatagramBio::MakeBio() {
  static BIO_METHOD* const method = MakeMethod();  // Lives as long as the process.
  if (method == nullptr) return nullptr;
  BIO* const bio = BIO_new(method);
  if (bio == nullptr) return nullptr;
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  return bio;
}

Datagrams DatagramBio::TakeOutput() { return std::exchange(output_, {}); }

size_t DatagramBio::Read(std::span<uint8_t> out) {
  // What does not fit is cut off, as a socket does it. OpenSSL asks for 16 kB.
  const size_t n = std::min(out.size(), input_.size());
  if (n > 0) std::memcpy(out.data(), input_.data(), n);
  input_ = {};
  return n;
}

void DatagramBio::Write(std::span<const uint8_t> datagram) {
  output_.emplace_back(datagram.begin(), datagram.end());
}

}  // namespace vigil::transport
