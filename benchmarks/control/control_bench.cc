// What the API of a running gateway costs, seen from a client over gRPC. Prints figures; judges
// nothing.
//   vigil_control_bench flood   --server HOST:PORT [--seconds 10] [--outstanding 256]
//   vigil_control_bench applied --server HOST:PORT --offers FOLDER [--calls 2000]
//   vigil_control_bench watches --server HOST:PORT --pid PID --offers FOLDER [--count 1000]
// `flood` makes as many unary calls as one thread can. `applied` measures AssignSlot, which is
// answered when the media worker has applied it. `watches` opens that many WatchMedia streams, and
// tells by how much the resident memory of the gateway's process grows, and whether each saw a
// change. `--offers` holds SDP offers of a publisher and a receiver.

#include <sys/utsname.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "benchmarks/control/room_calls.h"
#include "gateway/base/time.h"
#include "gateway/io/clock.h"
#include "grpcpp/grpcpp.h"
#include "nlohmann/json.hpp"
#include "vigil/v1/media.grpc.pb.h"

namespace vigil::bench {
namespace {

using nlohmann::json;
using Stub = v1::MediaService::Stub;

struct Options {
  std::string server;
  std::string offers;
  std::string commit;
  std::string json;
  int seconds = 10;
  int outstanding = 256;
  int calls = 2'000;
  int count = 1'000;
  int pid = 0;
};

std::shared_ptr<grpc::Channel> Connect(const Options& options, int number = 0) {
  grpc::ChannelArguments arguments;
  // Channels with the same arguments share one connection.
  arguments.SetInt("vigil.bench.channel", number);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(options.server, grpc::InsecureChannelCredentials(), arguments);
}

void Insist(const grpc::Status& status, const char* what) {
  if (!status.ok()) throw std::runtime_error(std::string(what) + ": " + status.error_message());
}

// ---- Results. ----

json Distribution(const std::string& name, std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  const auto at = [&seconds](double share) {
    const auto place = static_cast<size_t>(share * static_cast<double>(seconds.size()));
    return seconds[std::min(place, seconds.size() - 1)];
  };
  std::printf("%-28s n %zu  p50 %.0f us  p90 %.0f us  p99 %.0f us  p99.9 %.0f us  max %.0f us\n",
              name.c_str(), seconds.size(), at(0.5) * 1e6, at(0.9) * 1e6, at(0.99) * 1e6,
              at(0.999) * 1e6, seconds.back() * 1e6);
  return {{"name", name},      {"unit", "s"},          {"n", seconds.size()}, {"min", at(0)},
          {"p50", at(0.5)},    {"p90", at(0.9)},       {"p95", at(0.95)},     {"p99", at(0.99)},
          {"p999", at(0.999)}, {"max", seconds.back()}};
}

json Figure(const std::string& name, const std::string& unit, double value) {
  std::printf("%-28s %.6g %s\n", name.c_str(), value, unit.c_str());
  return {{"name", name}, {"unit", unit}, {"value", value}, {"spread", 0}};
}

void Write(const Options& options, const json& parameters, const json& results) {
  if (options.json.empty()) return;
  utsname machine{};
  uname(&machine);
  const std::time_t now = std::time(nullptr);
  char started[32];
  std::strftime(started, sizeof started, "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&now));
  std::ofstream(options.json) << json{{"benchmark", "control"},
                                      {"commit", options.commit},
                                      {"machine", std::string(machine.sysname) + " " +
                                                      machine.release + " " + machine.machine},
                                      {"started", started},
                                      {"parameters", parameters},
                                      {"results", results}}
                                     .dump(1)
                              << "\n";
}

// ---- A room and a physician who never connect: enough for commands. ----

void PublishRoom(Stub& stub, const Options& options, const std::string& participant) {
  Publish(stub, participant, ReadFile(options.offers + "/chromium-publish.sdp"));
}

// ---- flood ----

struct Call {
  grpc::ClientContext context;
  v1::ListFeedsResponse response;
  grpc::Status status;
  std::unique_ptr<grpc::ClientAsyncResponseReader<v1::ListFeedsResponse>> reader;
};

json Flood(const Options& options) {
  const auto stub = v1::MediaService::NewStub(Connect(options));
  grpc::CompletionQueue queue;
  const v1::ListFeedsRequest request;
  int running = 0;
  const auto start = [&] {
    auto call = std::make_unique<Call>();
    call->reader = stub->AsyncListFeeds(&call->context, request, &queue);
    Call* const raw = call.release();
    raw->reader->Finish(&raw->response, &raw->status, raw);
    ++running;
  };
  std::map<std::string, uint64_t> outcomes;
  const Timestamp begun = io::MonotonicNow();
  const Timestamp end = begun + TimeDelta::Seconds(options.seconds);
  for (int i = 0; i < options.outstanding; ++i) start();
  void* tag = nullptr;
  bool ok = false;
  while (running > 0 && queue.Next(&tag, &ok)) {
    const std::unique_ptr<Call> call(static_cast<Call*>(tag));
    --running;
    ++outcomes[call->status.ok() ? "answered"
                                 : "refused_" + std::to_string(call->status.error_code())];
    if (io::MonotonicNow() < end) start();
  }
  const double seconds = (io::MonotonicNow() - begun).seconds();
  json results = json::array();
  for (const auto& [outcome, count] : outcomes) {
    results.push_back(Figure("flood." + outcome, "1/s", static_cast<double>(count) / seconds));
  }
  return results;
}

// ---- applied ----

json Applied(const Options& options) {
  const auto stub = v1::MediaService::NewStub(Connect(options));
  for (const char* room : {"room-1", "room-2"}) PublishRoom(*stub, options, room);
  const v1::SubscribeResponse physician =
      Subscribe(*stub, "dr-1", ReadFile(options.offers + "/chromium-play.sdp"), "");
  std::vector<double> seconds;
  for (int i = 0; i < options.calls; ++i) {
    v1::AssignSlotRequest request;
    request.set_peer(physician.peer());
    request.set_slot(0);
    request.set_feed(i % 2 == 0 ? "room-1/patient" : "room-2/patient");
    grpc::ClientContext context;
    v1::AssignSlotResponse response;
    const Timestamp begun = io::MonotonicNow();
    Insist(stub->AssignSlot(&context, request, &response), "AssignSlot");
    seconds.push_back((io::MonotonicNow() - begun).seconds());
  }
  return json::array({Distribution("control.applied", std::move(seconds))});
}

// ---- watches ----

uint64_t ResidentBytes(int pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string word; status >> word;) {
    uint64_t kilobytes = 0;
    if (word == "VmRSS:" && status >> kilobytes) return kilobytes * 1'024;
  }
  throw std::runtime_error("no such process: " + std::to_string(pid));
}

struct Watch {
  grpc::ClientContext context;
  v1::WatchMediaResponse response;
  std::unique_ptr<grpc::ClientAsyncReader<v1::WatchMediaResponse>> reader;
  bool started = false;
  bool has_snapshot = false;
  bool has_event = false;
};

class Watches {
 public:
  Watches(const Options& options) {
    constexpr int kPerChannel = 100;
    for (int i = 0; i < options.count; ++i) {
      if (i % kPerChannel == 0) {
        stubs_.push_back(v1::MediaService::NewStub(Connect(options, i)));
      }
      Watch& watch = *watches_.emplace_back(std::make_unique<Watch>());
      watch.reader = stubs_.back()->AsyncWatchMedia(&watch.context, {}, &queue_, &watch);
    }
  }
  ~Watches() {
    for (const auto& watch : watches_) watch->context.TryCancel();
    queue_.Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
    }
  }
  // Reads until each watch has what is asked for.
  void Until(bool Watch::*has) {
    while (std::any_of(watches_.begin(), watches_.end(),
                       [has](const auto& watch) { return !((*watch).*has); })) {
      void* tag = nullptr;
      bool ok = false;
      if (!queue_.Next(&tag, &ok) || !ok) throw std::runtime_error("a watch has ended");
      Watch& watch = *static_cast<Watch*>(tag);
      if (watch.started) {
        watch.has_event = watch.has_event || watch.response.has_event();
        watch.has_snapshot = watch.has_snapshot || (watch.response.has_snapshot() &&
                                                    !watch.response.snapshot().partial());
      }
      watch.started = true;
      watch.reader->Read(&watch.response, &watch);
    }
  }

 private:
  grpc::CompletionQueue queue_;
  std::vector<std::unique_ptr<Stub>> stubs_;
  std::vector<std::unique_ptr<Watch>> watches_;
};

json MeasureWatches(const Options& options) {
  const auto stub = v1::MediaService::NewStub(Connect(options, -1));
  // Whatever the first watch and the first peer cost is not the watches' doing.
  PublishRoom(*stub, options, "room-1");
  Options one = options;
  one.count = 1;
  Watches(one).Until(&Watch::has_snapshot);
  const uint64_t before = ResidentBytes(options.pid);
  Watches watches(options);
  watches.Until(&Watch::has_snapshot);
  const uint64_t idle = ResidentBytes(options.pid);
  const Timestamp begun = io::MonotonicNow();
  PublishRoom(*stub, options, "room-2");
  watches.Until(&Watch::has_event);
  const TimeDelta told = io::MonotonicNow() - begun;
  const uint64_t busy = ResidentBytes(options.pid);
  return json::array({Figure("watches.memory", "B", static_cast<double>(idle - before)),
                      Figure("watches.memory_after_event", "B", static_cast<double>(busy - before)),
                      Figure("watches.all_told", "s", told.seconds())});
}

int Run(int argc, char** argv) {
  Options options;
  CLI::App app{"vigil_control_bench: what the API of a running gateway costs"};
  app.require_subcommand(1);
  app.fallthrough();
  app.add_option("--server", options.server, "gRPC address, HOST:PORT")->required();
  app.add_option("--json", options.json, "File for the figures");
  app.add_option("--commit", options.commit, "Noted in the JSON");
  app.add_option("--offers", options.offers, "Folder of SDP offers");
  auto* flood = app.add_subcommand("flood", "As many unary calls as one thread can make");
  flood->add_option("--seconds", options.seconds)->check(CLI::Range(1, 3'600));
  flood->add_option("--outstanding", options.outstanding)->check(CLI::Range(1, 10'000));
  auto* applied = app.add_subcommand("applied", "From a command to its answer");
  applied->add_option("--calls", options.calls)->check(CLI::Range(1, 1'000'000));
  auto* watches = app.add_subcommand("watches", "Memory of many watches");
  watches->add_option("--count", options.count)->check(CLI::Range(1, 10'000));
  watches->add_option("--pid", options.pid, "Of the gateway")->required();
  CLI11_PARSE(app, argc, argv);
  try {
    if (flood->parsed()) {
      Write(options, {{"seconds", options.seconds}, {"outstanding", options.outstanding}},
            Flood(options));
    } else if (applied->parsed()) {
      Write(options, {{"calls", options.calls}}, Applied(options));
    } else {
      Write(options, {{"count", options.count}}, MeasureWatches(options));
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "vigil_control_bench: %s\n", error.what());
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace vigil::bench

int main(int argc, char** argv) { return vigil::bench::Run(argc, argv); }
