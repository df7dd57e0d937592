#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "gateway/base/check.h"
#include "gateway/sdp/answer.h"
#include "gateway/sdp/trickle.h"

// The input is one text: read as a description and as a trickle fragment. What was read must
// survive being written and read again, and every answer must be a valid description that keeps
// the offer's m-lines.

namespace vigil::sdp {
namespace {

AnswerOptions OptionsFor(Role role) {
  AnswerOptions options;
  options.role = role;
  options.ice_ufrag = "g7k1";
  options.ice_password = "kXn9PqTz3LwVb6RmYc2HsD";
  options.fingerprint.digest.resize(32);
  Candidate candidate;
  candidate.foundation = "1";
  candidate.priority = 2'130'706'431;
  candidate.address = "192.0.2.1";
  candidate.port = 7000;
  options.candidates = {candidate};
  options.send_ssrcs = {{1000, 1001}, {2000, 0}, {3000, 3001}, {4000, 4001}};
  options.cname = "fuzz";
  return options;
}

void CheckAnswer(const SessionDescription& offer, Role role) {
  const auto answer = MakeAnswer(offer, OptionsFor(role));
  if (!answer.ok()) {
    VIGIL_CHECK(!answer.status().message().empty());
    return;
  }
  const SessionDescription& ours = answer->description;
  VIGIL_CHECK(ours.media.size() == offer.media.size());
  size_t accepted = 0;
  for (size_t i = 0; i < ours.media.size(); ++i) {
    VIGIL_CHECK(ours.media[i].mid == offer.media[i].mid);
    if (ours.media[i].port != 0) ++accepted;
  }
  VIGIL_CHECK(accepted == ours.groups[0].mids.size());
  VIGIL_CHECK(accepted == answer->media.receive.size() + answer->media.send.size());
  for (const rtp::ReceiveTrack& track : answer->media.receive) {
    VIGIL_CHECK(!track.payloads.empty() && track.rids.size() <= kMaxSimulcastLayers);
  }
  const auto again = Parse(Write(ours));
  VIGIL_CHECK(again.ok() && *again == ours);
}

}  // namespace
}  // namespace vigil::sdp

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace vigil::sdp;  // NOLINT(google-build-using-namespace): the entry point is global.
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  if (const auto description = Parse(text); description.ok()) {
    const auto again = Parse(Write(*description));
    VIGIL_CHECK(again.ok() && *again == *description);
    CheckAnswer(*description, Role::kPublish);
    CheckAnswer(*description, Role::kPlay);
  }
  if (const auto fragment = ParseTrickle(text); fragment.ok()) {
    const auto again = ParseTrickle(WriteTrickle(*fragment));
    VIGIL_CHECK(again.ok() && *again == *fragment);
  }
  return 0;
}
