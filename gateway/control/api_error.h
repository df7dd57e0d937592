#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "google/rpc/status.pb.h"
#include "vigil/v1/common.pb.h"

// Errors of the API: an absl::Status that carries a google.rpc.ErrorInfo, so that the reason goes
// from where it is found to every transport without anybody in between knowing of it.

namespace vigil::control {

// What an error is about, such as {"feed", "room-1/patient"}. Never another site's, never personal.
using ErrorSubject = std::pair<std::string_view, std::string_view>;

// The code follows from the reason: one table, so that no caller can disagree with another.
absl::Status ApiError(v1::ErrorReason reason, std::string_view message,
                      std::initializer_list<ErrorSubject> about = {});

// INVALID_ARGUMENT of one field of a request, by its name in the proto.
absl::Status FieldError(std::string_view field, std::string_view message);

// The same error with how long to wait before the next try.
absl::Status WithRetryDelay(absl::Status status, int seconds);

// UNSPECIFIED for a status without an ErrorInfo.
v1::ErrorReason ReasonOf(const absl::Status& status);
// Seconds to wait before the next try; 0 if the status does not say.
int RetryDelayOf(const absl::Status& status);

// As it goes over the wire, details included. A status without a reason gets the one that its code
// suggests, so that no error leaves without one.
google::rpc::Status ToRpcStatus(const absl::Status& status);

}  // namespace vigil::control
