#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "gateway/base/histogram.h"
#include "gateway/io/datagram.h"
#include "gateway/io/poller.h"
#include "gateway/sfu/command.h"
#include "gateway/sfu/event.h"
#include "gateway/worker/load_meter.h"
#include "gateway/worker/spsc_ring.h"
#include "gateway/worker/worker.h"

namespace vigil::worker {

// A copy of the counters of the worker, its thread and its port.
struct ReportRequest {
  ReportScope scope;
};

// What the control thread asks of a worker, and what it is answered under the same ticket.
struct Ask {
  uint64_t ticket = 0;
  std::variant<sfu::Command, ReportRequest> what;
};
struct ThreadReport {
  WorkerReport worker;
  io::PortCounters port;
  DurationHistogram turn;  // Length of the turns that had something to do.
  TimeDelta busy;          // Their sum.
  double utilization = 0;  // Lately, 0 to 1: see LoadMeter.
  uint64_t lagged_events = 0;

  // Of all stages, by reason.
  DropCounters AllDrops() const;
};
struct Answer {
  uint64_t ticket = 0;
  absl::Status status;
  std::unique_ptr<ThreadReport> report;  // Of a ReportRequest.
};

// The thread of one worker and its duty cycle: clock, at most 64 commands, relays, poll, due
// timers, flush. Everything between it and the control thread goes through bounded rings; there is
// exactly one control thread.
class WorkerThread {
 public:
  static constexpr size_t kMaxAsks = 256;      // Outstanding; more are refused at once.
  static constexpr size_t kMaxEvents = 4'096;  // Beyond: one Lagged tells how many were lost.
  static constexpr size_t kCommandsPerTurn = 64;
  // Datagrams between two flushes: one at the end of a turn, and one whenever it is half full. One
  // packet goes to all peers of a worker at most, and picture may fill three quarters (QueueShare).
  static constexpr size_t kOutbox = 8'192;

  // `port` and `poller` belong to this thread from Start() on. `control` is woken when there is an
  // answer or an event. All outlive this object.
  WorkerThread(std::unique_ptr<Worker> worker, io::DatagramPort& port, io::Poller& poller,
               const io::Poller& control);
  ~WorkerThread();
  WorkerThread(const WorkerThread&) = delete;
  WorkerThread& operator=(const WorkerThread&) = delete;

  // `others`: the threads of the node by worker index, this one too.
  void Start(std::vector<WorkerThread*> others);
  // Asks the thread to end and waits for it.
  void Stop();

  // ---- Control thread only. ----
  bool HasRoom() const { return outstanding_ < kMaxAsks; }
  // False when there is no room.
  bool Post(Ask ask);
  // The next answer or event, if any.
  bool Next(Answer& answer);
  bool Next(sfu::Event& event);

  // Any thread.
  void Wake() const { poller_.Wake(); }
  // When the last turn began; LongAgo before the first.
  Timestamp last_turn() const { return last_turn_.load(std::memory_order_relaxed); }

 private:
  void Run();
  bool Turn(Timestamp now);
  bool TakeAsks(Timestamp now);
  bool TakeRelays(Timestamp now);
  size_t TakeDatagrams(Timestamp now);
  void FlushIfHalfFull();
  void Flush();
  void PublishEvents();

  std::unique_ptr<Worker> worker_;
  io::DatagramPort& port_;
  io::Poller& poller_;
  const io::Poller& control_;
  std::vector<WorkerThread*> others_;
  std::thread thread_;
  std::atomic<bool> stopping_{false};
  std::atomic<Timestamp> last_turn_{Timestamp::LongAgo()};

  SpscRing<Ask> asks_{kMaxAsks};
  SpscRing<Answer> answers_{kMaxAsks};
  SpscRing<sfu::Event> events_{kMaxEvents};
  size_t outstanding_ = 0;  // Control thread's.

  // The thread's own.
  TurnOutput output_{kOutbox};
  std::vector<io::InboundDatagram> inbound_;
  DurationHistogram turn_;
  LoadMeter load_{Timestamp()};
  uint64_t lagged_ = 0;  // Not yet told.
  uint64_t lagged_total_ = 0;
};

}  // namespace vigil::worker
