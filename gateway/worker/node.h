#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "gateway/base/strong_id.h"
#include "gateway/io/datagram.h"
#include "gateway/io/poller.h"
#include "gateway/rtp/ntp_time.h"
#include "gateway/transport/dtls_context.h"
#include "gateway/worker/relay.h"
#include "gateway/worker/worker_thread.h"

namespace vigil::worker {

// What one worker stands on. The port is the in-process edge, or the link to a remote one.
struct WorkerGround {
  std::unique_ptr<io::Poller> poller;
  std::unique_ptr<io::DatagramPort> port;
  GroupId group;
  uint16_t media_port = 0;
};

struct NodeOptions {
  rtp::WallClock wall_clock;
  // Fills a span with random bytes fit for passwords (the operating system's).
  std::function<void(std::span<uint8_t>)> random;
  size_t packets = 65'536;  // Packet buffers of each worker.
};

struct IceSecrets {
  std::string ufrag;
  std::string password;
};

// All workers of one gateway process, as the control thread sees them: it posts commands, each
// with what to do with the answer, and pumps answers and events. One control thread.
class Node {
 public:
  using OnAnswer = std::function<void(Answer&)>;
  using OnEvent = std::function<void(uint32_t worker, const sfu::Event&)>;

  // `control` is woken when Pump() has something to do; it outlives the node.
  Node(NodeOptions options, std::vector<WorkerGround> grounds,
       std::unique_ptr<transport::DtlsContext> dtls, const io::Poller& control);
  ~Node();

  void Start();
  void Stop();

  // RESOURCE_EXHAUSTED when the worker has all the commands waiting that its queue takes. Asked
  // before a request from outside changes anything.
  absl::Status CheckRoom(uint32_t worker) const;
  // Commands reach a worker in the order of these calls. What has been accepted is never lost: what
  // the worker's queue has no room for waits here, bounded by what the requests let in by
  // CheckRoom() and the workers' events can give rise to. `done` may be empty.
  void Post(uint32_t worker, std::variant<sfu::Command, ReportRequest> what, OnAnswer done);
  // Runs what is ready: answers to their callers, events to `on_event`, an event always after the
  // answer to the command that it follows from.
  void Pump(const OnEvent& on_event);
  // Answers that have not come will not be waited for any more. What their callers hold goes now:
  // before whatever it belongs to, such as the HTTP server's connections.
  void DropWaiting();

  uint32_t size() const { return static_cast<uint32_t>(threads_.size()); }
  GroupId group(uint32_t worker) const { return grounds_[worker].group; }
  uint16_t media_port(uint32_t worker) const { return grounds_[worker].media_port; }
  const transport::DtlsContext& dtls() const { return *dtls_; }
  // Fresh credentials for a peer on `worker`; the ufrag names its group.
  IceSecrets MakeIceSecrets(uint32_t worker) const;
  uint64_t Random64() const;
  // When the worker that is furthest behind began its last turn. Any thread.
  Timestamp OldestTurn() const;

 private:
  NodeOptions options_;
  // Destroyed last: packets in flight refer to the workers' pools, ports to the pollers.
  std::unique_ptr<transport::DtlsContext> dtls_;
  std::vector<WorkerGround> grounds_;
  RelayMesh mesh_;
  std::vector<std::unique_ptr<WorkerThread>> threads_;
  void FillQueue(uint32_t worker);

  uint64_t next_ticket_ = 1;
  std::vector<std::deque<Ask>> backlog_;  // By worker.
  std::map<uint64_t, OnAnswer> waiting_;
  std::vector<sfu::Event> events_;  // Of one worker, while they are being told.
};

}  // namespace vigil::worker
