#include "gateway/worker/worker_thread.h"

#include <utility>

#include "gateway/io/clock.h"
#include "gateway/io/scheduling.h"

namespace vigil::worker {
namespace {

// Datagrams taken from the port before timers and commands get their turn again. Higher amortises
// better under load, lower bounds the time between two looks at the clock.
constexpr size_t kDatagramsPerTurn = 256;
constexpr size_t kRelaysPerTurn = 256;
// Relayed packets between two looks at how full the outbox is. The second half of the outbox has
// to hold what comes of so many; lower looks more often, and at every link each time.
constexpr size_t kRelaysAtOnce = 16;
// How long a thread with nothing to do sleeps at most.
constexpr TimeDelta kLongestWait = TimeDelta::Millis(500);
// A turn rarely takes longer. Higher lets busy threads of this machine finish their slice before a
// packet is looked at; lower than what the kernel takes (100 us) is not possible.
constexpr TimeDelta kSlice = TimeDelta::Micros(100);

}  // namespace

DropCounters ThreadReport::AllDrops() const {
  DropCounters drops = worker.counters.ingress_drops;
  for (const DropCounters* more :
       {&worker.router_drops, &worker.counters.egress_drops, &worker.counters.relay_drops,
        &worker.send_drops, &port.inbound_drops, &port.outbound_drops}) {
    drops += *more;
  }
  return drops;
}

WorkerThread::WorkerThread(std::unique_ptr<Worker> worker, io::DatagramPort& port,
                           io::Poller& poller, const io::Poller& control)
    : worker_(std::move(worker)),
      port_(port),
      poller_(poller),
      control_(control),
      inbound_(kDatagramsPerTurn) {}

WorkerThread::~WorkerThread() { Stop(); }

void WorkerThread::Start(std::vector<WorkerThread*> others) {
  others_ = std::move(others);
  thread_ = std::thread([this] { Run(); });
}

void WorkerThread::Stop() {
  if (!thread_.joinable()) return;
  stopping_.store(true, std::memory_order_relaxed);
  poller_.Wake();
  thread_.join();
}

void WorkerThread::Run() {
  io::AskForShortSlices(kSlice);
  Timestamp now = io::MonotonicNow();
  load_ = LoadMeter(now);
  while (!stopping_.load(std::memory_order_relaxed)) {
    last_turn_.store(now, std::memory_order_relaxed);
    const bool again = Turn(now);
    const Timestamp end = io::MonotonicNow();
    turn_.Add(end - now);
    load_.Add(end - now, end);
    const Timestamp wake = Earliest(worker_->NextDeadline(), port_.NextDeadline());
    const TimeDelta wait = std::min(wake - end, kLongestWait);
    poller_.Wait(again ? TimeDelta::Zero() : wait);
    now = io::MonotonicNow();
  }
}

// One turn of the duty cycle; true if there was more to do than a turn takes.
bool WorkerThread::Turn(Timestamp now) {
  bool again = TakeAsks(now);
  again = TakeRelays(now) || again;
  again = TakeDatagrams(now) == kDatagramsPerTurn || again;
  FlushIfHalfFull();
  worker_->HandleTimers(now, output_);
  Flush();
  PublishEvents();
  return again;
}

bool WorkerThread::TakeAsks(Timestamp now) {
  for (size_t i = 0; i < kCommandsPerTurn; ++i) {
    Ask* ask = asks_.Front();
    if (ask == nullptr) return false;
    Answer answer{.ticket = ask->ticket};
    const auto* report = std::get_if<ReportRequest>(&ask->what);
    const bool long_work = report != nullptr && report->scope.peers != ReportScope::Peers::kNone;
    if (const auto* command = std::get_if<sfu::Command>(&ask->what)) {
      answer.status = worker_->Apply(*command, now, output_);
    } else {
      answer.report =
          std::make_unique<ThreadReport>(ThreadReport{.worker = worker_->Report(report->scope),
                                                      .port = port_.counters(),
                                                      .turn = turn_,
                                                      .busy = load_.busy(),
                                                      .utilization = load_.Utilization(now),
                                                      .lagged_events = lagged_total_});
    }
    // Passwords and keys are not to lie in the ring until they are overwritten.
    *ask = {};
    asks_.Release();
    // Never full: no more than kMaxAsks are outstanding.
    VIGIL_CHECK(answers_.Push(std::move(answer)));
    control_.Wake();
    // Media waits for no second report in a turn.
    if (long_work) return true;
  }
  return true;
}

bool WorkerThread::TakeRelays(Timestamp now) {
  for (size_t taken = 0; taken < kRelaysPerTurn; taken += kRelaysAtOnce) {
    if (!worker_->HandleRelays(kRelaysAtOnce, now, output_)) return false;
    FlushIfHalfFull();
  }
  return true;
}

size_t WorkerThread::TakeDatagrams(Timestamp now) {
  size_t taken = 0;
  while (taken < kDatagramsPerTurn) {
    const std::span<io::InboundDatagram> room = std::span(inbound_).subspan(taken);
    const size_t received = port_.Receive(worker_->pool(), room, now);
    for (io::InboundDatagram& datagram : room.first(received)) {
      worker_->HandleDatagram(datagram, now, output_);
      datagram.packet.Reset();
      FlushIfHalfFull();
    }
    taken += received;
    if (received < room.size()) break;
  }
  return taken;
}

// A turn may bring more than the outbox holds: 256 packets of a room with 25 viewers are 6,400.
void WorkerThread::FlushIfHalfFull() {
  if (output_.outbox.size() >= kOutbox / 2) Flush();
}

void WorkerThread::Flush() {
  for (const BindChange& change : output_.binds) {
    if (change.bind) {
      port_.BindClient(change.client, change.group);
    } else {
      port_.UnbindClient(change.client);
    }
  }
  output_.binds.clear();
  if (!output_.outbox.empty()) {
    port_.Send(output_.outbox.datagrams());
    output_.outbox.Clear();
  }
  for (size_t i = 0; output_.relayed_to >> i != 0; ++i) {
    if ((output_.relayed_to >> i & 1) != 0) others_[i]->Wake();
    if (i == 63) break;
  }
  output_.relayed_to = 0;
}

void WorkerThread::PublishEvents() {
  if (output_.events.empty() && lagged_ == 0) return;
  if (lagged_ > 0 && events_.Push(sfu::Lagged{lagged_})) lagged_ = 0;
  for (sfu::Event& event : output_.events) {
    // Once one is lost, the rest of this turn is too: the reader sees a gap, never a reordering.
    if (lagged_ > 0 || !events_.Push(event)) {
      ++lagged_;
      ++lagged_total_;
    }
  }
  output_.events.clear();
  control_.Wake();
}

bool WorkerThread::Post(Ask ask) {
  if (!HasRoom()) return false;
  VIGIL_CHECK(asks_.Push(std::move(ask)));
  ++outstanding_;
  poller_.Wake();
  return true;
}

bool WorkerThread::Next(Answer& answer) {
  Answer* front = answers_.Front();
  if (front == nullptr) return false;
  answer = std::move(*front);
  answers_.Release();
  --outstanding_;
  return true;
}

bool WorkerThread::Next(sfu::Event& event) {
  sfu::Event* front = events_.Front();
  if (front == nullptr) return false;
  event = *front;
  events_.Release();
  return true;
}

}  // namespace vigil::worker
