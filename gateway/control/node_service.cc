#include "gateway/control/node_service.h"

#include <utility>

#include "gateway/base/histogram.h"
#include "gateway/control/api_error.h"
#include "gateway/control/media_messages.h"
#include "vigil/v1/node.pb.h"

namespace vigil::control {
namespace {

absl::Status Operator(const Caller& caller) { return caller.CheckRole(Role::kOperator); }

v1::DurationDistribution ToProto(const DurationHistogram& histogram) {
  v1::DurationDistribution out;
  out.set_count(histogram.count);
  *out.mutable_sum() = control::ToProto(histogram.sum);
  for (const TimeDelta edge : DurationHistogram::kEdges) {
    *out.add_edges() = control::ToProto(edge);
  }
  for (const uint64_t count : histogram.buckets) out.add_counts(count);
  return out;
}

v1::WorkerStats WorkerOf(uint32_t index, const worker::ThreadReport& report) {
  v1::WorkerStats out;
  out.set_worker(index);
  out.set_peers(static_cast<uint32_t>(report.worker.peer_count));
  out.set_subscriptions(static_cast<uint32_t>(report.worker.subscriptions));
  out.set_utilization(report.utilization);
  DurationHistogram dwell = report.port.sound.dwell;
  dwell += report.port.picture.dwell;
  *out.mutable_dwell() = ToProto(dwell);
  *out.mutable_turn() = ToProto(report.turn);
  out.set_datagrams_received(report.port.received);
  out.set_datagrams_sent(report.port.sent);
  const DropCounters drops = report.AllDrops();
  for (size_t i = 0; i < kDropReasonCount; ++i) {
    const auto reason = static_cast<DropReason>(i);
    if (drops.Get(reason) > 0) {
      (*out.mutable_drops())[std::string(vigil::ToString(reason))] = drops.Get(reason);
    }
  }
  out.set_pool_in_use(report.worker.pool_in_use);
  out.set_pool_capacity(report.worker.pool_capacity);
  return out;
}

class NodeService {
 public:
  NodeService(MediaControl& control, NodeIdentity identity, std::function<void(bool)> on_draining)
      : control_(control), identity_(std::move(identity)), on_draining_(std::move(on_draining)) {}

  template <typename Response>
  void Tell(const Done<Response>& done) const {
    control_.Counters([this, done](const MediaControl::Reports& reports) {
      Response response;
      *response.mutable_node() = Node(reports);
      done(std::move(response));
    });
  }
  v1::GetVersionResponse Version() const {
    v1::GetVersionResponse response;
    response.set_version(identity_.version);
    return response;
  }
  template <typename Response>
  void SetDraining(bool draining, const Done<Response>& done) const {
    if (!draining && control_.terminating()) {
      return done(ApiError(v1::ERROR_REASON_DRAINING, "the node is about to end"));
    }
    control_.SetDraining(draining);
    on_draining_(draining);
    Tell(done);
  }

 private:
  v1::Node Node(const MediaControl::Reports& reports) const {
    v1::Node node;
    node.set_node(identity_.name);
    node.set_version(identity_.version);
    node.set_state(control_.draining() ? v1::NODE_STATE_DRAINING : v1::NODE_STATE_SERVING);
    *node.mutable_start_time() = control_.messages().Time(identity_.started_at);
    node.set_peers(static_cast<uint32_t>(control_.directory().peers().size()));
    node.set_feeds(static_cast<uint32_t>(control_.directory().holders().size()));
    for (uint32_t i = 0; i < reports.size(); ++i) *node.add_workers() = WorkerOf(i, *reports[i]);
    for (const std::string& address : identity_.media_addresses) {
      node.add_media_addresses(address);
    }
    if (const int64_t expires = identity_.certificate_expires(); expires > 0) {
      node.mutable_certificate_expire_time()->set_seconds(expires);
    }
    return node;
  }

  MediaControl& control_;
  const NodeIdentity identity_;
  const std::function<void(bool)> on_draining_;
};

}  // namespace

void AddNodeService(Api& api, MediaControl& control, NodeIdentity identity,
                    std::function<void(bool)> on_draining) {
  const auto service =
      std::make_shared<NodeService>(control, std::move(identity), std::move(on_draining));
  api.AddUnary<v1::GetVersionRequest, v1::GetVersionResponse>(
      "NodeService.GetVersion", [](const Caller&) { return absl::OkStatus(); },
      [service](const CallContext&, const v1::GetVersionRequest&,
                const Done<v1::GetVersionResponse>& done) { done(service->Version()); });
  api.AddUnary<v1::GetNodeRequest, v1::GetNodeResponse>(
      "NodeService.GetNode", Operator,
      [service](const CallContext&, const v1::GetNodeRequest&,
                const Done<v1::GetNodeResponse>& done) { service->Tell(done); });
  api.AddUnary<v1::DrainRequest, v1::DrainResponse>(
      "NodeService.Drain", Operator,
      [service](const CallContext&, const v1::DrainRequest&, const Done<v1::DrainResponse>& done) {
        service->SetDraining(true, done);
      });
  api.AddUnary<v1::UndrainRequest, v1::UndrainResponse>(
      "NodeService.Undrain", Operator,
      [service](const CallContext&, const v1::UndrainRequest&,
                const Done<v1::UndrainResponse>& done) { service->SetDraining(false, done); });
}

}  // namespace vigil::control
