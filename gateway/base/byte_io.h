#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace vigil {

// Reads big-endian values off a span. A read past the end returns zero (or an empty span) and
// makes ok() false for good, so that a parser checks once, at its end.
class ByteReader {
 public:
  explicit constexpr ByteReader(std::span<const uint8_t> data) : data_(data) {}

  constexpr bool ok() const { return ok_; }
  constexpr size_t remaining() const { return ok_ ? data_.size() - position_ : 0; }
  constexpr size_t position() const { return position_; }

  constexpr uint8_t U8() { return static_cast<uint8_t>(Unsigned(1)); }
  constexpr uint16_t U16() { return static_cast<uint16_t>(Unsigned(2)); }
  constexpr uint32_t U24() { return static_cast<uint32_t>(Unsigned(3)); }
  constexpr uint32_t U32() { return static_cast<uint32_t>(Unsigned(4)); }
  constexpr uint64_t U64() { return Unsigned(8); }

  constexpr std::span<const uint8_t> Bytes(size_t n) {
    if (!Take(n)) return {};
    return data_.subspan(position_ - n, n);
  }
  constexpr std::span<const uint8_t> Rest() { return Bytes(remaining()); }
  constexpr void Skip(size_t n) { Take(n); }

 private:
  constexpr bool Take(size_t n) {
    if (!ok_ || n > data_.size() - position_) {
      ok_ = false;
      return false;
    }
    position_ += n;
    return true;
  }
  constexpr uint64_t Unsigned(size_t n) {
    if (!Take(n)) return 0;
    uint64_t value = 0;
    for (size_t i = position_ - n; i < position_; ++i) value = value << 8 | data_[i];
    return value;
  }

  std::span<const uint8_t> data_;
  size_t position_ = 0;
  bool ok_ = true;
};

// Writes big-endian values into a caller's buffer. A write that does not fit writes nothing and
// makes ok() false for good.
class ByteWriter {
 public:
  explicit constexpr ByteWriter(std::span<uint8_t> out) : out_(out) {}

  constexpr bool ok() const { return ok_; }
  constexpr size_t position() const { return position_; }
  constexpr size_t remaining() const { return ok_ ? out_.size() - position_ : 0; }
  constexpr std::span<uint8_t> written() const { return out_.first(position_); }

  constexpr void U8(uint8_t v) { Unsigned(v, 1); }
  constexpr void U16(uint16_t v) { Unsigned(v, 2); }
  constexpr void U24(uint32_t v) { Unsigned(v, 3); }
  constexpr void U32(uint32_t v) { Unsigned(v, 4); }
  constexpr void U64(uint64_t v) { Unsigned(v, 8); }

  void Bytes(std::span<const uint8_t> bytes) {
    if (!Take(bytes.size()) || bytes.empty()) return;
    std::memcpy(out_.data() + position_ - bytes.size(), bytes.data(), bytes.size());
  }
  void Text(std::string_view text) {
    Bytes({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  }
  constexpr void Zeros(size_t n) {
    if (!Take(n)) return;
    for (size_t i = position_ - n; i < position_; ++i) out_[i] = 0;
  }
  // Overwrites two bytes written earlier at `at` (a length that is known only afterwards).
  constexpr void PatchU16(size_t at, uint16_t v) {
    if (!ok_ || at + 2 > position_) return;
    out_[at] = static_cast<uint8_t>(v >> 8);
    out_[at + 1] = static_cast<uint8_t>(v);
  }

 private:
  constexpr bool Take(size_t n) {
    if (!ok_ || n > out_.size() - position_) {
      ok_ = false;
      return false;
    }
    position_ += n;
    return true;
  }
  constexpr void Unsigned(uint64_t v, size_t n) {
    if (!Take(n)) return;
    for (size_t i = 0; i < n; ++i) {
      out_[position_ - 1 - i] = static_cast<uint8_t>(v >> (8 * i));
    }
  }

  std::span<uint8_t> out_;
  size_t position_ = 0;
  bool ok_ = true;
};

constexpr uint16_t ReadU16(const uint8_t* p) { return static_cast<uint16_t>(p[0] << 8 | p[1]); }
constexpr uint32_t ReadU32(const uint8_t* p) {
  return static_cast<uint32_t>(p[0]) << 24 | static_cast<uint32_t>(p[1]) << 16 |
         static_cast<uint32_t>(p[2]) << 8 | p[3];
}

inline std::string_view AsText(std::span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace vigil
