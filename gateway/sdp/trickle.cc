#include "gateway/sdp/trickle.h"

#include <utility>

#include "gateway/sdp/line.h"
#include "gateway/sdp/session_description.h"

namespace vigil::sdp {
namespace {

// What is wrong with an a= line, empty when nothing is. `section` is nullptr at session level.
std::string_view ParseTrickleAttribute(std::string_view text, TrickleFragment& fragment,
                                       TrickleSection* section) {
  const std::string_view name = text.substr(0, text.find(':'));
  std::string_view value =
      name.size() < text.size() ? text.substr(name.size() + 1) : std::string_view();
  if (name == "mid") {
    if (section == nullptr) return "a=mid comes before the first m= line";
    if (!section->mid.empty()) return "is a second a=mid of one m-line";
    if (!IsToken(value)) return "a=mid is not a token of 1 to 64 characters";
    for (const TrickleSection& other : fragment.sections) {
      if (other.mid == value) return "a=mid is already that of another m-line";
    }
    section->mid = value;
    return "";
  }
  if (name == "ice-lite") {
    fragment.ice_lite = true;
    return "";
  }
  if (name == "group" && section == nullptr && fragment.bundled_mids.empty()) {
    if (NextWord(value) != "BUNDLE") return "";
    for (std::string_view mid = NextWord(value); !mid.empty(); mid = NextWord(value)) {
      if (!IsToken(mid)) return "a=group has an identification tag that is not a token";
      if (fragment.bundled_mids.size() >= kMaxMediaSections)
        return "a=group lists too many m-lines";
      fragment.bundled_mids.emplace_back(mid);
    }
    return "";
  }
  if (name == "candidate" && section == nullptr)
    return "a=candidate comes before the first m= line";
  return ParseIceAttribute(name, value, section ? section->ice : fragment.ice).value_or("");
}

}  // namespace

const std::string& TrickleFragment::Ufrag() const {
  for (const TrickleSection& section : sections) {
    if (ice.ufrag.empty() && !section.ice.ufrag.empty()) return section.ice.ufrag;
  }
  return ice.ufrag;
}

const std::string& TrickleFragment::Password() const {
  for (const TrickleSection& section : sections) {
    if (ice.password.empty() && !section.ice.password.empty()) return section.ice.password;
  }
  return ice.password;
}

absl::StatusOr<TrickleFragment> ParseTrickle(std::string_view text) {
  TrickleFragment fragment;
  LineReader lines(text);
  while (const std::optional<Line> line = lines.Next()) {
    TrickleSection* const section = fragment.sections.empty() ? nullptr : &fragment.sections.back();
    if (line->type == 'm') {
      if (fragment.sections.size() >= kMaxMediaSections) {
        return LineError(line->number, "there are more than 64 m= lines");
      }
      fragment.sections.emplace_back().media_line = line->value;
    } else if (line->type == 'a') {
      const std::string_view complaint = ParseTrickleAttribute(line->value, fragment, section);
      if (!complaint.empty()) return LineError(line->number, complaint);
    }
  }
  if (!lines.status().ok()) return lines.status();
  return fragment;
}

std::string WriteTrickle(const TrickleFragment& fragment) {
  std::string out;
  if (fragment.ice_lite) out += "a=ice-lite\r\n";
  if (!fragment.bundled_mids.empty()) {
    out += "a=group:BUNDLE";
    for (const std::string& mid : fragment.bundled_mids) out += ' ' + mid;
    out += "\r\n";
  }
  WriteIceAttributes(fragment.ice, out);
  for (const TrickleSection& section : fragment.sections) {
    out += "m=" + section.media_line + "\r\n";
    if (!section.mid.empty()) out += "a=mid:" + section.mid + "\r\n";
    WriteIceAttributes(section.ice, out);
  }
  return out;
}

}  // namespace vigil::sdp
