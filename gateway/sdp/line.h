#pragma once

#include <charconv>
#include <cstddef>
#include <optional>
#include <string_view>

#include "absl/status/status.h"

// The lowest layer of SDP (RFC 8866, 5): a text is lines of the form <letter>=<value>.

namespace vigil::sdp {

// What one description may cost us. 256 KiB is some 45 picture m-lines as Chromium writes them
// (5.3 kB each, every codec listed); 64 KiB would refuse a physician who watches eight rooms with
// two views each. A higher limit lets a request hold more memory, a lower one refuses real offers.
constexpr size_t kMaxTextBytes = size_t{256} * 1024;
constexpr size_t kMaxLineBytes = 4096;

struct Line {
  size_t number = 0;  // Counted from 1, as editors do.
  char type = 0;
  std::string_view value;  // Points into the text.
};

// An InvalidArgument that names the line: "line 12: what is wrong".
absl::Status LineError(size_t line_number, std::string_view what);

// Hands out the lines of a text, which must outlive the reader. Both CRLF and LF end a line; blank
// lines are skipped, because proxies and hand-made clients add them.
class LineReader {
 public:
  explicit LineReader(std::string_view text);

  // The next line, or nothing at the end of the text and at the first line that is not SDP.
  std::optional<Line> Next();
  // Why Next() stopped: OK at the end, or an InvalidArgument fit for an HTTP 400 body.
  const absl::Status& status() const { return status_; }

 private:
  std::string_view rest_;
  size_t line_number_ = 0;
  absl::Status status_;
};

// Cuts the next word off `rest`; words are separated by one or more `separator`s. Empty at the end.
std::string_view NextWord(std::string_view& rest, char separator = ' ');

// The whole of `text` as a decimal number, or nothing.
template <typename T>
std::optional<T> ParseNumber(std::string_view text) {
  T value{};
  const char* const end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || at != end) return std::nullopt;
  return value;
}

// Whether `text` is a token (RFC 8866, 9) of 1 to 64 bytes: a mid, a group semantics, an encoding
// name. 64 is far over what anybody uses and keeps error texts readable.
bool IsToken(std::string_view text);

// ASCII, as SDP's case-insensitive names are.
bool EqualsIgnoreCase(std::string_view a, std::string_view b);

}  // namespace vigil::sdp
