#include "gateway/control/api_error.h"

#include "absl/strings/cord.h"
#include "google/rpc/error_details.pb.h"

namespace vigil::control {
namespace {

constexpr char kErrorInfoUrl[] = "type.googleapis.com/google.rpc.ErrorInfo";
constexpr char kRetryInfoUrl[] = "type.googleapis.com/google.rpc.RetryInfo";
constexpr std::string_view kPrefix = "ERROR_REASON_";

absl::StatusCode CodeOf(v1::ErrorReason reason) {
  switch (reason) {
    case v1::ERROR_REASON_FIELD_INVALID:
    case v1::ERROR_REASON_REQUEST_ID_REUSED:
    case v1::ERROR_REASON_SDP_INVALID:
    case v1::ERROR_REASON_SDP_UNPROCESSABLE:
    case v1::ERROR_REASON_PAGE_TOKEN_INVALID:
    case v1::ERROR_REASON_SITE_REQUIRED:
      return absl::StatusCode::kInvalidArgument;
    case v1::ERROR_REASON_TOKEN_MISSING:
    case v1::ERROR_REASON_TOKEN_INVALID:
    case v1::ERROR_REASON_TOKEN_EXPIRED:
    case v1::ERROR_REASON_TOKEN_REVOKED:
      return absl::StatusCode::kUnauthenticated;
    case v1::ERROR_REASON_NOT_GRANTED:
      return absl::StatusCode::kPermissionDenied;
    case v1::ERROR_REASON_PEER_NOT_FOUND:
    case v1::ERROR_REASON_FEED_NOT_FOUND:
    case v1::ERROR_REASON_SLOT_NOT_FOUND:
    case v1::ERROR_REASON_PARTICIPANT_NOT_FOUND:
      return absl::StatusCode::kNotFound;
    case v1::ERROR_REASON_FEED_HELD:
      return absl::StatusCode::kAlreadyExists;
    case v1::ERROR_REASON_SDP_UNANSWERABLE:
    case v1::ERROR_REASON_SLOT_UNFIT:
    case v1::ERROR_REASON_ETAG_STALE:
      return absl::StatusCode::kFailedPrecondition;
    case v1::ERROR_REASON_RESUME_EXPIRED:
      return absl::StatusCode::kOutOfRange;
    case v1::ERROR_REASON_RATE_LIMITED:
    case v1::ERROR_REASON_QUOTA_EXCEEDED:
    case v1::ERROR_REASON_WORKER_BUSY:
    case v1::ERROR_REASON_MESSAGE_TOO_LARGE:
      return absl::StatusCode::kResourceExhausted;
    case v1::ERROR_REASON_DRAINING:
      return absl::StatusCode::kUnavailable;
    case v1::ERROR_REASON_NOT_BUILT:
      return absl::StatusCode::kUnimplemented;
    default:
      return absl::StatusCode::kInternal;
  }
}

// For a status of a layer that knows no reasons. The core's own messages name the thing.
v1::ErrorReason ReasonFor(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
      return v1::ERROR_REASON_FIELD_INVALID;
    case absl::StatusCode::kUnauthenticated:
      return v1::ERROR_REASON_TOKEN_INVALID;
    case absl::StatusCode::kPermissionDenied:
      return v1::ERROR_REASON_NOT_GRANTED;
    case absl::StatusCode::kNotFound:
      return v1::ERROR_REASON_PEER_NOT_FOUND;
    case absl::StatusCode::kAlreadyExists:
      return v1::ERROR_REASON_FEED_HELD;
    case absl::StatusCode::kFailedPrecondition:
      return v1::ERROR_REASON_SLOT_UNFIT;
    case absl::StatusCode::kOutOfRange:
      return v1::ERROR_REASON_RESUME_EXPIRED;
    case absl::StatusCode::kResourceExhausted:
      return v1::ERROR_REASON_QUOTA_EXCEEDED;
    case absl::StatusCode::kUnavailable:
      return v1::ERROR_REASON_DRAINING;
    case absl::StatusCode::kUnimplemented:
      return v1::ERROR_REASON_NOT_BUILT;
    default:
      return v1::ERROR_REASON_DEFECT;
  }
}

std::string NameOf(v1::ErrorReason reason) {
  return v1::ErrorReason_Name(reason).substr(kPrefix.size());
}

google::rpc::ErrorInfo InfoOf(v1::ErrorReason reason) {
  google::rpc::ErrorInfo info;
  info.set_reason(NameOf(reason));
  info.set_domain("vigil.v1");
  return info;
}

template <typename Detail>
bool Read(const absl::Status& status, const char* url, Detail& detail) {
  const auto payload = status.GetPayload(url);
  return payload.has_value() && detail.ParseFromString(std::string(*payload));
}

void Add(const google::protobuf::Message& detail, const char* url, google::rpc::Status& out) {
  google::protobuf::Any& any = *out.add_details();
  any.set_type_url(url);
  any.set_value(detail.SerializeAsString());
}

}  // namespace

absl::Status ApiError(v1::ErrorReason reason, std::string_view message,
                      std::initializer_list<ErrorSubject> about) {
  google::rpc::ErrorInfo info = InfoOf(reason);
  for (const auto& [key, value] : about) {
    (*info.mutable_metadata())[std::string(key)] = std::string(value);
  }
  absl::Status status(CodeOf(reason), absl::string_view(message.data(), message.size()));
  status.SetPayload(kErrorInfoUrl, absl::Cord(info.SerializeAsString()));
  return status;
}

absl::Status FieldError(std::string_view field, std::string_view message) {
  return ApiError(v1::ERROR_REASON_FIELD_INVALID, std::string(field) + ": " + std::string(message),
                  {{"field", field}});
}

absl::Status WithRetryDelay(absl::Status status, int seconds) {
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(seconds);
  status.SetPayload(kRetryInfoUrl, absl::Cord(retry.SerializeAsString()));
  return status;
}

v1::ErrorReason ReasonOf(const absl::Status& status) {
  google::rpc::ErrorInfo info;
  v1::ErrorReason reason = v1::ERROR_REASON_UNSPECIFIED;
  if (!Read(status, kErrorInfoUrl, info)) return reason;
  v1::ErrorReason_Parse(std::string(kPrefix) + info.reason(), &reason);
  return reason;
}

int RetryDelayOf(const absl::Status& status) {
  google::rpc::RetryInfo retry;
  if (!Read(status, kRetryInfoUrl, retry)) return 0;
  return static_cast<int>(retry.retry_delay().seconds());
}

google::rpc::Status ToRpcStatus(const absl::Status& status) {
  google::rpc::Status out;
  out.set_code(static_cast<int>(status.code()));
  out.set_message(std::string(status.message()));
  if (status.ok()) return out;
  google::rpc::ErrorInfo info;
  if (!Read(status, kErrorInfoUrl, info)) {
    // The caller's own doing: the code says all.
    if (status.code() == absl::StatusCode::kDeadlineExceeded) return out;
    info = InfoOf(ReasonFor(status.code()));
  }
  Add(info, kErrorInfoUrl, out);
  google::rpc::RetryInfo retry;
  if (Read(status, kRetryInfoUrl, retry)) Add(retry, kRetryInfoUrl, out);
  return out;
}

}  // namespace vigil::control
