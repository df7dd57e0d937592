#include "gateway/worker/node.h"

#include <array>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/ice/credentials.h"

namespace vigil::worker {

Node::Node(NodeOptions options, std::vector<WorkerGround> grounds,
           std::unique_ptr<transport::DtlsContext> dtls, const io::Poller& control)
    : options_(std::move(options)),
      dtls_(std::move(dtls)),
      grounds_(std::move(grounds)),
      mesh_(static_cast<uint32_t>(grounds_.size())),
      backlog_(grounds_.size()) {
  for (uint32_t i = 0; i < grounds_.size(); ++i) {
    auto worker = std::make_unique<Worker>(WorkerOptions{.index = i,
                                                         .group = grounds_[i].group,
                                                         .wall_clock = options_.wall_clock,
                                                         .seed = Random64(),
                                                         .packets = options_.packets},
                                           *dtls_, &mesh_);
    threads_.push_back(std::make_unique<WorkerThread>(std::move(worker), *grounds_[i].port,
                                                      *grounds_[i].poller, control));
  }
}

Node::~Node() {
  Stop();
  // A port may still hold packets it deferred; they go back to pools that die with the threads.
  for (WorkerGround& ground : grounds_) ground.port.reset();
}

void Node::Start() {
  std::vector<WorkerThread*> all;
  for (const auto& thread : threads_) all.push_back(thread.get());
  for (const auto& thread : threads_) thread->Start(all);
}

void Node::Stop() {
  for (const auto& thread : threads_) thread->Stop();
}

absl::Status Node::CheckRoom(uint32_t worker) const {
  if (backlog_[worker].empty() && threads_[worker]->HasRoom()) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("worker ", worker, " has ", WorkerThread::kMaxAsks, " commands waiting"));
}

void Node::Post(uint32_t worker, std::variant<sfu::Command, ReportRequest> what, OnAnswer done) {
  const uint64_t ticket = next_ticket_++;
  if (done) waiting_.emplace(ticket, std::move(done));
  backlog_[worker].push_back({ticket, std::move(what)});
  FillQueue(worker);
}

void Node::FillQueue(uint32_t worker) {
  std::deque<Ask>& backlog = backlog_[worker];
  while (!backlog.empty() && threads_[worker]->HasRoom()) {
    threads_[worker]->Post(std::move(backlog.front()));
    backlog.pop_front();
  }
}

void Node::DropWaiting() { waiting_.clear(); }

void Node::Pump(const OnEvent& on_event) {
  for (uint32_t i = 0; i < threads_.size(); ++i) {
    // Taken first and told last: a worker answers before it tells what follows from a command, and
    // whoever listens is to hear it in this order.
    sfu::Event event;
    while (threads_[i]->Next(event)) events_.push_back(event);
    Answer answer;
    while (threads_[i]->Next(answer)) {
      auto waiting = waiting_.extract(answer.ticket);
      if (!waiting.empty()) waiting.mapped()(answer);
    }
    FillQueue(i);
    for (const sfu::Event& taken : events_) on_event(i, taken);
    events_.clear();
  }
}

IceSecrets Node::MakeIceSecrets(uint32_t worker) const {
  std::array<uint8_t, 10> ufrag;
  std::array<uint8_t, 20> password;
  options_.random(ufrag);
  options_.random(password);
  return {ice::MakeUfrag(grounds_[worker].group, ufrag), ice::MakePassword(password)};
}

uint64_t Node::Random64() const {
  std::array<uint8_t, 8> bytes;
  options_.random(bytes);
  uint64_t value = 0;
  std::memcpy(&value, bytes.data(), bytes.size());
  return value;
}

Timestamp Node::OldestTurn() const {
  Timestamp oldest = Timestamp::Never();
  for (const auto& thread : threads_) oldest = Earliest(oldest, thread->last_turn());
  return oldest;
}

}  // namespace vigil::worker
