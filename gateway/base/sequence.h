#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <type_traits>

namespace vigil {

// True if `a` comes after `b` on a counter of Wire's width that wraps (RFC 1982).
template <std::unsigned_integral Wire>
constexpr bool IsNewer(Wire a, Wire b) {
  constexpr Wire kHalf = static_cast<Wire>(Wire{1} << (sizeof(Wire) * 8 - 1));
  const Wire ahead = static_cast<Wire>(a - b);
  return ahead != 0 && (ahead < kHalf || (ahead == kHalf && a > b));
}

// Turns a wrapping wire counter of kBits into one that does not wrap. The value nearest to the
// last one is taken, so reordering over a wrap is harmless; the first value is taken as it is.
template <std::unsigned_integral Wire, int kBits = sizeof(Wire) * 8>
class Unwrapper {
 public:
  // The unwrapped value; becomes the new reference.
  constexpr int64_t Unwrap(Wire value) {
    last_ = Peek(value);
    return *last_;
  }
  // The unwrapped value; the reference stays.
  constexpr int64_t Peek(Wire value) const {
    if (!last_) return static_cast<int64_t>(value);
    constexpr int64_t kRange = int64_t{1} << kBits;
    const auto delta =
        static_cast<int64_t>((static_cast<uint64_t>(value) - static_cast<uint64_t>(*last_)) &
                             static_cast<uint64_t>(kRange - 1));
    return *last_ + (delta >= kRange / 2 ? delta - kRange : delta);
  }

  constexpr std::optional<int64_t> last() const { return last_; }
  constexpr void set_last(std::optional<int64_t> last) { last_ = last; }

  template <typename F>
  constexpr void Fields(F&& f) {
    f(last_);
  }

 private:
  std::optional<int64_t> last_;
};

using SequenceUnwrapper = Unwrapper<uint16_t>;
using RtpTimeUnwrapper = Unwrapper<uint32_t>;

}  // namespace vigil
