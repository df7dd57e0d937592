#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/base/client_address.h"

// The ICE attributes of SDP (RFC 8839), shared by descriptions and trickle fragments.

namespace vigil::sdp {

// a=candidate (RFC 8839, 5.1; RFC 6544, 4.5 for TCP).
struct Candidate {
  std::string foundation;
  uint16_t component = 1;  // 1 is RTP; with rtcp-mux there is no other.
  Transport transport = Transport::kUdp;
  uint32_t priority = 0;
  std::string address;  // An IP address, or a name of RFC 8828's mDNS kind ("....local").
  uint16_t port = 0;
  std::string type = "host";
  std::string related_address;  // Empty when absent.
  uint16_t related_port = 0;    // 0 unless there is a related address.
  std::string tcp_type;         // "active", "passive", "so"; empty for UDP.
  std::string extensions;       // Further "name value" pairs, verbatim.

  bool operator==(const Candidate&) const = default;
};

// From "candidate:..." with or without "a=", the way browsers and SDP hand it out. Nothing when it
// is malformed or of a transport that is neither UDP nor TCP: an agent ignores what it cannot use.
std::optional<Candidate> ParseCandidate(std::string_view text);
// "candidate:..." without "a=".
std::string WriteCandidate(const Candidate& candidate);

// What one m-section says about ICE. Empty strings are absent attributes.
struct IceAttributes {
  std::string ufrag;
  std::string password;
  std::vector<std::string> options;
  std::vector<Candidate> candidates;
  bool end_of_candidates = false;

  bool HasOption(std::string_view option) const;
  bool operator==(const IceAttributes&) const = default;
};

// More candidates of one m-section than this are not kept: an ICE-lite agent sends no check, so
// they are only of interest to people.
constexpr size_t kMaxCandidates = 64;

// RFC 8839, 5.4: 4 to 256 and 22 to 256 characters out of A-Z a-z 0-9 + /.
bool IsIceUfrag(std::string_view text);
bool IsIcePassword(std::string_view text);

// Puts one attribute (name and value of an a= line) into `ice` if it is ICE's. Nothing when it is
// not; otherwise what is wrong with it, empty when nothing is.
std::optional<std::string_view> ParseIceAttribute(std::string_view name, std::string_view value,
                                                  IceAttributes& ice);
// Appends the a= lines of `ice`, each with CRLF.
void WriteIceAttributes(const IceAttributes& ice, std::string& out);

}  // namespace vigil::sdp
