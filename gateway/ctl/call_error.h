#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

// Why a call failed, as an absl::Status that carries the published reason, and how it is told.

namespace vigil::ctl {

// `reason`: google.rpc.ErrorInfo.reason, such as "PEER_NOT_FOUND"; empty: the node gave none.
absl::Status CallError(absl::StatusCode code, std::string_view message, std::string_view reason);

// "PEER_NOT_FOUND"; empty if there is none.
std::string ReasonOf(const absl::Status& status);

// What to do about an error, in one sentence.
std::string AdviceFor(const absl::Status& status);

// The error for a person, in two lines: what is wrong, and what to do. Ends with a newline.
std::string ErrorText(const absl::Status& status);

// The same as one JSON object.
std::string ErrorJson(const absl::Status& status);

// An error that was found on this machine: of a flag, a file, a key. One line, for a person or as
// ErrorJson, and no advice: its message says what is allowed.
std::string LocalErrorText(const absl::Status& status, bool json);

}  // namespace vigil::ctl
