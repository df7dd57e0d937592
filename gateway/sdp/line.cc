#include "gateway/sdp/line.h"

#include <algorithm>
#include <string>

namespace vigil::sdp {
namespace {

// A control character would travel from an offer into our answer and into logs of the client.
bool HasControlCharacter(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && c != '\t') || byte == 0x7f;
  });
}

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

absl::Status LineError(size_t line_number, std::string_view what) {
  return absl::InvalidArgumentError("line " + std::to_string(line_number) + ": " +
                                    std::string(what));
}

LineReader::LineReader(std::string_view text) : rest_(text) {
  if (text.size() > kMaxTextBytes) {
    status_ = absl::InvalidArgumentError("the text is longer than " +
                                         std::to_string(kMaxTextBytes) + " bytes");
  }
}

std::optional<Line> LineReader::Next() {
  while (status_.ok() && !rest_.empty()) {
    const size_t end = std::min(rest_.find('\n'), rest_.size());
    std::string_view text = rest_.substr(0, end);
    rest_.remove_prefix(std::min(end + 1, rest_.size()));
    ++line_number_;
    if (text.ends_with('\r')) text.remove_suffix(1);
    if (text.empty()) continue;
    if (text.size() > kMaxLineBytes) {
      status_ =
          LineError(line_number_, "is longer than " + std::to_string(kMaxLineBytes) + " bytes");
    } else if (HasControlCharacter(text)) {
      status_ = LineError(line_number_, "has a control character");
    } else if (text.size() < 2 || text[1] != '=') {
      status_ = LineError(line_number_, "is not of the form <letter>=<value>");
    } else {
      return Line{line_number_, text[0], text.substr(2)};
    }
  }
  return std::nullopt;
}

std::string_view NextWord(std::string_view& rest, char separator) {
  rest.remove_prefix(std::min(rest.find_first_not_of(separator), rest.size()));
  const std::string_view word = rest.substr(0, rest.find(separator));
  rest.remove_prefix(word.size());
  return word;
}

bool IsToken(std::string_view text) {
  constexpr std::string_view kNotInTokens = "\"(),/:;<=>?@[\\]";
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [&](char c) {
    return c > 0x20 && c < 0x7f && kNotInTokens.find(c) == std::string_view::npos;
  });
}

bool EqualsIgnoreCase(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return Lower(x) == Lower(y); });
}

}  // namespace vigil::sdp
