#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gateway/base/time.h"
#include "vigil/v1/media.pb.h"
#include "vigil/v1/node.pb.h"

namespace vigil::ctl {

// How a node is reached. Files are PEM.
struct NodeClientOptions {
  std::string server = "127.0.0.1:50051";  // HOST:PORT; IPv6 in brackets.
  std::string ca;           // Whom to believe about the node's name; empty: the system's list.
  std::string certificate;  // Shown to the node (mTLS); empty: none.
  std::string key;          // Of the certificate.
  bool plaintext = false;
  std::string token_file;  // Read anew for each call, so that a token can be rotated. Empty: none.
  TimeDelta timeout = TimeDelta::Seconds(10);  // Of each call; a watch has none.
};

// One node's API. Errors are as in call_error.h. One thread, but for CancelWatch.
class NodeClient {
 public:
  // Connects with the first call. INVALID_ARGUMENT: a file cannot be used.
  static absl::StatusOr<std::unique_ptr<NodeClient>> Open(const NodeClientOptions& options);
  ~NodeClient();

  absl::StatusOr<v1::ListParticipantsResponse> Call(const v1::ListParticipantsRequest& request);
  absl::StatusOr<v1::ListFeedsResponse> Call(const v1::ListFeedsRequest& request);
  absl::StatusOr<v1::GetStatsResponse> Call(const v1::GetStatsRequest& request);
  absl::StatusOr<v1::AssignSlotResponse> Call(const v1::AssignSlotRequest& request);
  absl::StatusOr<v1::ClosePeerResponse> Call(const v1::ClosePeerRequest& request);
  absl::StatusOr<v1::SelectLayerResponse> Call(const v1::SelectLayerRequest& request);
  absl::StatusOr<v1::RequestKeyframeResponse> Call(const v1::RequestKeyframeRequest& request);
  absl::StatusOr<v1::GetNodeResponse> Call(const v1::GetNodeRequest& request);
  absl::StatusOr<v1::DrainResponse> Call(const v1::DrainRequest& request);
  absl::StatusOr<v1::UndrainResponse> Call(const v1::UndrainRequest& request);

  // grpc.health.v1.Health/Check of the whole node: whether it says SERVING.
  absl::StatusOr<bool> CheckHealth();

  // Whether to go on.
  using OnWatched = std::function<bool(const v1::WatchMediaResponse&)>;
  // Gives each message of a watch until it ends; OK if `on_watched` said so, or the node ended it
  // well. `limit`: how long at most, then DEADLINE_EXCEEDED.
  absl::Status Watch(const v1::WatchMediaRequest& request, std::optional<TimeDelta> limit,
                     const OnWatched& on_watched);
  // Ends a watch under way, and each that comes later, with CANCELLED. From any thread.
  void CancelWatch();

 private:
  class Stubs;
  explicit NodeClient(std::unique_ptr<Stubs> stubs);

  std::unique_ptr<Stubs> stubs_;
};

}  // namespace vigil::ctl
