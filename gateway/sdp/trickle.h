#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/sdp/ice_attributes.h"

// application/trickle-ice-sdpfrag (RFC 8840, 9), the body of a WHIP PATCH and of its answer
// (RFC 9725, 4.3).

namespace vigil::sdp {

// One pseudo m-line of a fragment.
struct TrickleSection {
  std::string media_line;  // What follows "m=", verbatim; it carries no meaning beyond its place.
  std::string mid;
  IceAttributes ice;

  bool operator==(const TrickleSection&) const = default;
};

struct TrickleFragment {
  bool ice_lite = false;
  IceAttributes ice;                      // Of the session level; no candidates (RFC 8840, 9).
  std::vector<std::string> bundled_mids;  // Of a=group:BUNDLE.
  std::vector<TrickleSection> sections;

  // The credentials of the client's ICE session: those of the session level or, as browsers'
  // libraries send them, of the first m-line that has some. With BUNDLE there is only one.
  const std::string& Ufrag() const;
  const std::string& Password() const;

  bool operator==(const TrickleFragment&) const = default;
};

// Same leniency, bounds and errors as Parse of a description.
absl::StatusOr<TrickleFragment> ParseTrickle(std::string_view text);
// Lines ended by CRLF. ParseTrickle(WriteTrickle(x)) == x for every x that ParseTrickle returned.
std::string WriteTrickle(const TrickleFragment& fragment);

}  // namespace vigil::sdp
