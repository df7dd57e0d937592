#pragma once

#include <cstddef>
#include <cstdint>

namespace vigil::transport {

// Where the memory lies that a keyed cipher touches for each packet. With thousands of sessions it
// is out of the cache when a packet comes, and libsrtp and OpenSSL would find it pointer by
// pointer, one miss after the other; asked for at once, the misses overlap. Only a hint: wrong
// addresses cost time and nothing else.
class CipherFootprint {
 public:
  // Always inlined: GCC 12 takes a function that only prefetches for one without effect, and drops
  // the calls to it.
  [[gnu::always_inline]] inline void Prefetch() const {
    PrefetchLines(session_, kSessionBytes);
    PrefetchLines(cipher_, kCipherBytes);
    PrefetchLines(context_, kContextBytes);
    PrefetchLines(schedule_, kScheduleBytes);
  }

 private:
  friend class CipherFootprintScope;
  // Sizes in OpenSSL 3.0; too much would push out something useful, too little leaves misses.
  static constexpr size_t kSessionBytes = 256;
  static constexpr size_t kCipherBytes = 64;
  static constexpr size_t kContextBytes = 192;
  static constexpr size_t kScheduleBytes = 1024;

  [[gnu::always_inline]] static inline void PrefetchLines(const uint8_t* from, size_t size) {
    if (from == nullptr) return;
    for (size_t at = 0; at < size; at += 64) __builtin_prefetch(from + at);
    __builtin_prefetch(from + size);  // `from` need not be the beginning of a line.
  }

  const uint8_t* session_ = nullptr;  // Its list of streams is allocated right behind it.
  const uint8_t* cipher_ = nullptr;
  const uint8_t* context_ = nullptr;
  const uint8_t* schedule_ = nullptr;
};

// Notes the first cipher that libsrtp allocates on this thread during the life of the scope: in
// srtp_create() that is the one of the RTP packets. Scopes do not nest.
class CipherFootprintScope {
 public:
  CipherFootprintScope();
  ~CipherFootprintScope();
  CipherFootprintScope(const CipherFootprintScope&) = delete;
  CipherFootprintScope& operator=(const CipherFootprintScope&) = delete;

  // To be called while the cipher lives and has its key. `session` is libsrtp's.
  CipherFootprint Find(const void* session) const;
};

}  // namespace vigil::transport
