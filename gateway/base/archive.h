#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "gateway/base/byte_io.h"
#include "gateway/base/data_rate.h"
#include "gateway/base/strong_id.h"
#include "gateway/base/time.h"

// State as bytes. A struct lists its members once, in `template <typename F> void Fields(F&& f)`,
// and can then be written and read. Each struct carries its length, so a reader of version N-1
// skips what it does not know, and a reader of version N leaves members that are missing at their
// defaults: members are only ever added at the end.
//
// Instants are written relative to `now` of the export and read relative to `now` of the restore,
// because two nodes' monotonic clocks have nothing in common.

namespace vigil {

template <typename T>
concept HasFields = requires(T& t) {
  t.Fields([](auto&...) {});
};

class ArchiveWriter {
 public:
  explicit ArchiveWriter(Timestamp now) : now_(now) {}

  template <typename... T>
  void operator()(const T&... values) {
    (Write(values), ...);
  }
  std::vector<uint8_t> Take() { return std::move(bytes_); }

 private:
  void Number(uint64_t v, size_t width) {
    for (size_t i = 0; i < width; ++i) {
      bytes_.push_back(static_cast<uint8_t>(v >> (8 * (width - 1 - i))));
    }
  }
  template <typename T>
  requires std::integral<T> || std::is_enum_v<T>
  void Write(const T& v) { Number(static_cast<uint64_t>(v), sizeof(T)); }
  void Write(const double& v) { Number(std::bit_cast<uint64_t>(v), 8); }
  void Write(const TimeDelta& v) { Number(static_cast<uint64_t>(v.ns()), 8); }
  void Write(const DataRate& v) { Number(static_cast<uint64_t>(v.bps()), 8); }
  void Write(const Timestamp& t) {
    // Zero is a real age, so the two special instants get values no age can have.
    const int64_t relative = t.IsNever()     ? std::numeric_limits<int64_t>::max()
                             : t.IsLongAgo() ? std::numeric_limits<int64_t>::min()
                                             : (t - now_).ns();
    Number(static_cast<uint64_t>(relative), 8);
  }
  template <typename Tag, typename Rep>
  void Write(const StrongId<Tag, Rep>& id) {
    Write(id.value());
  }
  void Write(const std::string& s) {
    Number(s.size(), 4);
    bytes_.insert(bytes_.end(), s.begin(), s.end());
  }
  template <typename T>
  void Write(const std::optional<T>& v) {
    Write(v.has_value());
    if (v) Write(*v);
  }
  template <typename A, typename B>
  void Write(const std::pair<A, B>& v) {
    Write(v.first);
    Write(v.second);
  }
  template <typename T, size_t N>
  void Write(const std::array<T, N>& v) {
    for (const T& item : v) Write(item);
  }
  template <typename T>
  void Write(const std::vector<T>& v) {
    Number(v.size(), 4);
    for (const T& item : v) Write(item);
  }
  template <typename K, typename V>
  void Write(const std::map<K, V>& v) {
    Number(v.size(), 4);
    for (const auto& [key, value] : v) {
      Write(key);
      Write(value);
    }
  }
  template <HasFields T>
  void Write(const T& v) {
    const size_t at = bytes_.size();
    Number(0, 4);
    const_cast<T&>(v).Fields([this](const auto&... fields) { (*this)(fields...); });
    const auto size = static_cast<uint32_t>(bytes_.size() - at - 4);
    for (size_t i = 0; i < 4; ++i) bytes_[at + i] = static_cast<uint8_t>(size >> (24 - 8 * i));
  }

  Timestamp now_;
  std::vector<uint8_t> bytes_;
};

class ArchiveReader {
 public:
  ArchiveReader(std::span<const uint8_t> bytes, Timestamp now) : reader_(bytes), now_(now) {}

  template <typename... T>
  void operator()(T&... values) {
    (Read(values), ...);
  }
  // False once anything was cut short or out of range.
  bool ok() const { return reader_.ok() && ok_; }

 private:
  uint64_t Number(size_t width) {
    uint64_t v = 0;
    for (size_t i = 0; i < width; ++i) v = v << 8 | reader_.U8();
    return v;
  }
  // A count of items, each at least one byte long: bounded by what is left to read.
  size_t Count() {
    const auto n = static_cast<size_t>(Number(4));
    if (n > reader_.remaining()) ok_ = false;
    return ok_ ? n : 0;
  }
  template <typename T>
  requires std::integral<T> || std::is_enum_v<T>
  void Read(T& v) { v = static_cast<T>(Number(sizeof(T))); }
  void Read(double& v) { v = std::bit_cast<double>(Number(8)); }
  void Read(TimeDelta& v) { v = TimeDelta::Nanos(static_cast<int64_t>(Number(8))); }
  void Read(DataRate& v) { v = DataRate::BitsPerSecond(static_cast<int64_t>(Number(8))); }
  void Read(Timestamp& t) {
    const auto relative = static_cast<int64_t>(Number(8));
    if (relative == std::numeric_limits<int64_t>::max()) {
      t = Timestamp::Never();
    } else if (relative == std::numeric_limits<int64_t>::min()) {
      t = Timestamp::LongAgo();
    } else {
      t = now_ + TimeDelta::Nanos(relative);
    }
  }
  template <typename Tag, typename Rep>
  void Read(StrongId<Tag, Rep>& id) {
    Rep value{};
    Read(value);
    id = StrongId<Tag, Rep>(value);
  }
  void Read(std::string& s) {
    const std::span<const uint8_t> bytes = reader_.Bytes(Count());
    s.assign(bytes.begin(), bytes.end());
  }
  template <typename T>
  void Read(std::optional<T>& v) {
    bool present = false;
    Read(present);
    v.reset();
    if (present) Read(v.emplace());
  }
  template <typename A, typename B>
  void Read(std::pair<A, B>& v) {
    Read(v.first);
    Read(v.second);
  }
  template <typename T, size_t N>
  void Read(std::array<T, N>& v) {
    for (T& item : v) Read(item);
  }
  template <typename T>
  void Read(std::vector<T>& v) {
    v.clear();
    const size_t n = Count();
    for (size_t i = 0; i < n && ok(); ++i) Read(v.emplace_back());
  }
  template <typename K, typename V>
  void Read(std::map<K, V>& v) {
    v.clear();
    const size_t n = Count();
    for (size_t i = 0; i < n && ok(); ++i) {
      K key{};
      Read(key);
      Read(v[key]);
    }
  }
  template <HasFields T>
  void Read(T& v) {
    const size_t size = Count();
    ArchiveReader inner(reader_.Bytes(size), now_);
    v.Fields([&inner](auto&... fields) { (inner.ReadIfPresent(fields), ...); });
    ok_ = ok_ && inner.ok();
  }
  template <typename T>
  void ReadIfPresent(T& field) {
    if (reader_.remaining() > 0 || !reader_.ok()) Read(field);
  }

  ByteReader reader_;
  Timestamp now_;
  bool ok_ = true;
};

// The bytes of one struct, with instants relative to `now`.
template <HasFields T>
std::vector<uint8_t> WriteArchive(const T& value, Timestamp now) {
  ArchiveWriter writer(now);
  writer(value);
  return writer.Take();
}

// The struct back, or nothing if the bytes are not whole.
template <HasFields T>
std::optional<T> ReadArchive(std::span<const uint8_t> bytes, Timestamp now) {
  ArchiveReader reader(bytes, now);
  T value;
  reader(value);
  if (!reader.ok()) return std::nullopt;
  return value;
}

}  // namespace vigil
