#include "gateway/sdp/ice_attributes.h"

#include <algorithm>

#include "gateway/sdp/line.h"

namespace vigil::sdp {
namespace {

constexpr size_t kMaxOptions = 16;

bool IsIceString(std::string_view text, size_t min_size) {
  return text.size() >= min_size && text.size() <= 256 &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '+' || c == '/';
         });
}

std::optional<Transport> TransportFrom(std::string_view word) {
  if (EqualsIgnoreCase(word, "udp")) return Transport::kUdp;
  if (EqualsIgnoreCase(word, "tcp")) return Transport::kTcp;
  return std::nullopt;
}

// What follows the type: pairs of name and value. False when malformed.
bool ParseCandidateExtensions(std::string_view rest, Candidate& candidate) {
  for (std::string_view name = NextWord(rest); !name.empty(); name = NextWord(rest)) {
    const std::string_view value = NextWord(rest);
    if (value.empty()) return false;
    if (name == "raddr") {
      candidate.related_address = value;
    } else if (name == "rport") {
      const auto port = ParseNumber<uint16_t>(value);
      if (!port) return false;
      candidate.related_port = *port;
    } else if (name == "tcptype") {
      candidate.tcp_type = value;
    } else {
      if (!candidate.extensions.empty()) candidate.extensions += ' ';
      candidate.extensions.append(name).append(" ").append(value);
    }
  }
  if (candidate.related_address.empty()) candidate.related_port = 0;
  return true;
}

void ParseOptions(std::string_view value, std::vector<std::string>& options) {
  for (std::string_view word = NextWord(value); !word.empty(); word = NextWord(value)) {
    if (IsToken(word) && options.size() < kMaxOptions) options.emplace_back(word);
  }
}

}  // namespace

std::optional<Candidate> ParseCandidate(std::string_view text) {
  if (text.starts_with("a=")) text.remove_prefix(2);
  if (!text.starts_with("candidate:")) return std::nullopt;
  text.remove_prefix(10);
  Candidate candidate;
  candidate.foundation = NextWord(text);
  const auto component = ParseNumber<uint16_t>(NextWord(text));
  const auto transport = TransportFrom(NextWord(text));
  const auto priority = ParseNumber<uint32_t>(NextWord(text));
  candidate.address = NextWord(text);
  const auto port = ParseNumber<uint16_t>(NextWord(text));
  if (!component || !transport || !priority || !port || NextWord(text) != "typ") {
    return std::nullopt;
  }
  candidate.component = *component;
  candidate.transport = *transport;
  candidate.priority = *priority;
  candidate.port = *port;
  candidate.type = NextWord(text);
  if (candidate.type.empty() || !ParseCandidateExtensions(text, candidate)) return std::nullopt;
  return candidate;
}

std::string WriteCandidate(const Candidate& candidate) {
  std::string out = "candidate:" + candidate.foundation + ' ' +
                    std::to_string(candidate.component) +
                    (candidate.transport == Transport::kUdp ? " udp " : " tcp ") +
                    std::to_string(candidate.priority) + ' ' + candidate.address + ' ' +
                    std::to_string(candidate.port) + " typ " + candidate.type;
  if (!candidate.related_address.empty()) {
    out +=
        " raddr " + candidate.related_address + " rport " + std::to_string(candidate.related_port);
  }
  if (!candidate.tcp_type.empty()) out += " tcptype " + candidate.tcp_type;
  if (!candidate.extensions.empty()) out += ' ' + candidate.extensions;
  return out;
}

bool IceAttributes::HasOption(std::string_view option) const {
  return std::find(options.begin(), options.end(), option) != options.end();
}

bool IsIceUfrag(std::string_view text) { return IsIceString(text, 4); }

bool IsIcePassword(std::string_view text) { return IsIceString(text, 22); }

std::optional<std::string_view> ParseIceAttribute(std::string_view name, std::string_view value,
                                                  IceAttributes& ice) {
  if (name == "ice-ufrag") {
    if (!IsIceUfrag(value)) return "a=ice-ufrag is not 4 to 256 characters of A-Z a-z 0-9 + /";
    ice.ufrag = value;
  } else if (name == "ice-pwd") {
    if (!IsIcePassword(value)) return "a=ice-pwd is not 22 to 256 characters of A-Z a-z 0-9 + /";
    ice.password = value;
  } else if (name == "ice-options") {
    ParseOptions(value, ice.options);
  } else if (name == "end-of-candidates") {
    ice.end_of_candidates = true;
  } else if (name == "candidate") {
    if (ice.candidates.size() >= kMaxCandidates) return "";
    std::string text = "candidate:";
    text += value;
    if (auto candidate = ParseCandidate(text)) ice.candidates.push_back(std::move(*candidate));
  } else {
    return std::nullopt;
  }
  return "";
}

void WriteIceAttributes(const IceAttributes& ice, std::string& out) {
  for (const Candidate& candidate : ice.candidates) {
    out += "a=" + WriteCandidate(candidate) + "\r\n";
  }
  if (ice.end_of_candidates) out += "a=end-of-candidates\r\n";
  if (!ice.ufrag.empty()) out += "a=ice-ufrag:" + ice.ufrag + "\r\n";
  if (!ice.password.empty()) out += "a=ice-pwd:" + ice.password + "\r\n";
  if (!ice.options.empty()) {
    out += "a=ice-options:";
    for (size_t i = 0; i < ice.options.size(); ++i) {
      if (i > 0) out += ' ';
      out += ice.options[i];
    }
    out += "\r\n";
  }
}

}  // namespace vigil::sdp
