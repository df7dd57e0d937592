// What one worker costs without sockets: nanoseconds and allocations per delivered packet in steady
// state, and resident memory per connected, idle peer. Prints figures; judges nothing.
//   vigil_core_bench [--peers 2000] [--packets 20000] [--rounds 7] [--commit TEXT] [--json FILE]
// VIGIL_BENCH_TRACE=1 in the environment shows where each counted allocation was made.

#include <malloc.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "benchmarks/core/counted_malloc.h"
#include "gateway/rtp/packet.h"
#include "gateway/transport/dtls_context.h"
#include "gateway/transport/evp_cipher.h"
#include "gateway/worker/relay.h"
#include "gateway/worker/worker.h"
#include "tests/support/client_transport.h"
#include "tests/support/dtls_client.h"

namespace vigil::bench {
namespace {

struct Options {
  int peers = 2000;
  int packets = 20'000;
  int rounds = 7;
  std::string commit = "unknown";
  std::string json;
};

// One single figure of the JSON; interfaces.md names the form.
struct Result {
  std::string name;
  std::string unit;
  double value = 0;
  double spread = 0;  // Highest less lowest round.
};

constexpr GroupId kGroup{1};
constexpr SiteId kSite{1};

double ThreadSeconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

size_t ResidentBytes() {
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  unsigned long total = 0, resident = 0;
  if (file == nullptr || std::fscanf(file, "%lu %lu", &total, &resident) != 2) std::abort();
  std::fclose(file);
  return resident * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

rtp::MediaParameters Media() {
  rtp::MediaParameters media;
  media.extensions.Add(rtp::ExtensionType::kMid, 1);
  media.extensions.Add(rtp::ExtensionType::kAbsSendTime, 2);
  media.extensions.Add(rtp::ExtensionType::kTransportSequence, 3);
  media.cname = "bench";
  return media;
}

std::vector<rtp::PayloadMapping> Payloads(rtp::MediaKind kind) {
  if (kind == rtp::MediaKind::kAudio) return {{111, std::nullopt, {rtp::CodecType::kOpus}}};
  return {{96, 97, {rtp::CodecType::kVp8}}, {98, 99, {rtp::CodecType::kH264, 0x42e0, 1}}};
}

constexpr rtp::FeedbackOptions kFeedback{
    .nack = true, .pli = true, .fir = true, .transport_cc = true, .reduced_size = true};

// A worker and its clients, driven by hand.
class Bench {
 public:
  explicit Bench(size_t max_peers)
      : dtls_(*transport::DtlsContext::Create({.wall_seconds = 1'700'000'000})),
        worker_({.group = kGroup, .seed = 1, .packets = 60'000, .max_peers = max_peers}, *dtls_,
                nullptr),
        output_(16'384) {}

  void Apply(const sfu::Command& command) {
    const absl::Status status = worker_.Apply(command, now_, output_);
    if (!status.ok()) {
      std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
      std::abort();
    }
    Clear();
  }
  void Put(const ClientAddress& from, std::span<const uint8_t> bytes) {
    io::InboundDatagram datagram{.client = from, .group = kGroup, .receive_time = now_};
    datagram.packet = worker_.pool().Take();
    std::memcpy(datagram.packet->data.data(), bytes.data(), bytes.size());
    datagram.packet->size = static_cast<uint16_t>(bytes.size());
    worker_.HandleDatagram(datagram, now_, output_);
  }
  void Clear() {
    output_.outbox.Clear();
    output_.events.clear();
    output_.binds.clear();
  }
  worker::Worker& worker() { return worker_; }
  worker::TurnOutput& output() { return output_; }
  Timestamp now() const { return now_; }
  void Advance(TimeDelta step) { now_ = now_ + step; }

 private:
  std::unique_ptr<transport::DtlsContext> dtls_;
  worker::Worker worker_;
  worker::TurnOutput output_;
  Timestamp now_ = Timestamp::FromNanos(1'000'000'000);
};

// ---- Idle peers ----

// A player with a picture slot and a sound slot, through real ICE and DTLS.
void ConnectIdlePeer(Bench& bench, uint64_t number) {
  const auto identity =
      sim::ClientTransport::MakeIdentity(number, transport::SrtpProfile::kAeadAes128Gcm);
  sim::ClientTransport client(identity);
  testing::DtlsClient dtls;
  sfu::CreatePeer create{.peer = PeerId(number), .group = kGroup, .site = kSite};
  create.transport = client.Describe();
  create.transport.srtp_local_key.clear();
  create.transport.srtp_remote_key.clear();
  create.transport.fingerprint_algorithm = dtls.fingerprint().algorithm;
  create.transport.fingerprint = dtls.fingerprint().bytes;
  create.media = Media();
  const auto base = static_cast<uint32_t>(number * 8);
  create.media.send = {
      {rtp::MediaKind::kVideo, "0", Payloads(rtp::MediaKind::kVideo), base, base + 1, kFeedback},
      {rtp::MediaKind::kAudio, "1", Payloads(rtp::MediaKind::kAudio), base + 2, 0, kFeedback}};
  create.media.local_ssrc = base + 3;
  bench.Apply(create);
  bench.Put(identity.address, client.MakeCheck(/*use_candidate=*/true));
  bench.Clear();
  transport::Datagrams flight = dtls.Start();
  while (!flight.empty()) {
    for (const auto& datagram : flight) bench.Put(identity.address, datagram);
    flight.clear();
    for (const OutboundDatagram& out : bench.output().outbox.datagrams()) {
      for (auto& reply : dtls.HandleDatagram(out.packet->bytes())) flight.push_back(reply);
    }
    bench.Clear();
  }
  if (!dtls.connected()) std::abort();
}

Result MeasureIdlePeers(const Options& options) {
  Bench bench(static_cast<size_t>(options.peers) + 200);
  uint64_t number = 1;
  for (; number <= 100; ++number) ConnectIdlePeer(bench, number);
  malloc_trim(0);
  const size_t before = ResidentBytes();
  for (int i = 0; i < options.peers; ++i) ConnectIdlePeer(bench, number++);
  malloc_trim(0);
  const size_t after = ResidentBytes();
  std::printf("idle peers: %d connected by DTLS, %.1f kB resident each\n", options.peers,
              static_cast<double>(after - before) / 1024.0 / options.peers);
  return {"core.memory.idle_peer", "bytes", static_cast<double>(after - before) / options.peers, 0};
}

// The rings between all workers of the largest node, before anything is relayed.
Result MeasureIdleMesh() {
  malloc_trim(0);
  const size_t before = ResidentBytes();
  const worker::RelayMesh mesh(worker::RelayMesh::kMaxWorkers);
  const auto bytes = static_cast<double>(ResidentBytes() - before);
  std::printf("idle relays: %u workers, %.1f MB resident\n", mesh.workers(), bytes / 1048576);
  return {"core.memory.idle_relays", "bytes", bytes, 0};
}

// ---- Packets ----

struct Room {
  sim::ClientTransport publisher;
  std::vector<sim::ClientTransport> players;
  uint16_t sequence = 100;
};

void Check(Bench& bench, sim::ClientTransport& client) {
  bench.Put(client.identity().address, client.MakeCheck(/*use_candidate=*/true));
  bench.Clear();
}

Room MakeRoom(Bench& bench, uint64_t number, int subscribers) {
  const auto base = static_cast<uint32_t>(number * 100'000);
  Room room{.publisher = sim::ClientTransport(
                sim::ClientTransport::MakeIdentity(base, transport::SrtpProfile::kAeadAes128Gcm)),
            .players = {}};
  sfu::CreatePeer create{.peer = PeerId(base), .group = kGroup, .site = kSite};
  create.transport = room.publisher.Describe();
  create.media = Media();
  create.media.receive = {{.kind = rtp::MediaKind::kVideo,
                           .mid = "0",
                           .payloads = Payloads(rtp::MediaKind::kVideo),
                           .ssrc = base,
                           .rtx_ssrc = base + 1,
                           .feedback = kFeedback}};
  create.media.local_ssrc = base + 2;
  create.publishes = FeedId(number);
  bench.Apply(create);
  Check(bench, room.publisher);
  for (int i = 1; i <= subscribers; ++i) {
    const uint32_t id = base + static_cast<uint32_t>(i) * 10;
    sim::ClientTransport& client = room.players.emplace_back(
        sim::ClientTransport::MakeIdentity(id, transport::SrtpProfile::kAeadAes128Gcm));
    sfu::CreatePeer player{.peer = PeerId(id), .group = kGroup, .site = kSite};
    player.transport = client.Describe();
    player.media = Media();
    player.media.send = {
        {rtp::MediaKind::kVideo, "0", Payloads(rtp::MediaKind::kVideo), id, id + 1, kFeedback}};
    player.media.local_ssrc = id + 2;
    bench.Apply(player);
    Check(bench, client);
    bench.Apply(sfu::AssignSlot{{PeerId(id), 0}, FeedId(number)});
  }
  return room;
}

// The next packet of the room, protected; 1,100 bytes of VP8, a keyframe first.
sim::ClientOutput NextPacket(Room& room, uint64_t number) {
  std::array<uint8_t, 1200> plain{};
  rtp::HeaderExtensions extensions;
  extensions.transport_sequence = room.sequence;
  const bool first = room.sequence == 100;
  const rtp::PacketHeader header{.marker = room.sequence % 4 == 3,
                                 .payload_type = 96,
                                 .sequence = room.sequence,
                                 .timestamp = room.sequence / 4u * 3000u,
                                 .ssrc = static_cast<uint32_t>(number * 100'000)};
  const size_t size = rtp::WriteHeader(header, extensions, Media().extensions, plain, nullptr);
  // Descriptor with a 15-bit picture id (RFC 7741, 4.2), then the payload header's P bit.
  const uint8_t start[] = {0x90, 0x80, 0x80, static_cast<uint8_t>(room.sequence / 4),
                           static_cast<uint8_t>(first ? 0x00 : 0x01)};
  std::memcpy(plain.data() + size, start, sizeof start);
  ++room.sequence;
  sim::ClientOutput out;
  room.publisher.SendRtp(std::span(plain).first(size + 1100), out);
  return out;
}

struct Figures {
  std::vector<double> nanoseconds;  // Per delivered packet, one a round.
  uint64_t allocations = 0;
  uint64_t delivered = 0;
};

void RunRound(Bench& bench, std::vector<Room>& rooms, int packets, bool counted, Figures& out) {
  constexpr int kBatch = 32;
  double seconds = 0;
  uint64_t allocations = 0;
  // A round is a few seconds of the worker's time: consent must not expire.
  for (Room& room : rooms) {
    Check(bench, room.publisher);
    for (sim::ClientTransport& player : room.players) Check(bench, player);
  }
  const uint64_t sent_before = bench.worker().Report().counters.sent;
  for (int done = 0; done < packets; done += kBatch) {
    std::vector<sim::ClientOutput> batch;
    for (int i = 0; i < kBatch; ++i) {
      const size_t room = static_cast<size_t>(done + i) % rooms.size();
      batch.push_back(NextPacket(rooms[room], room + 1));
    }
    const uint64_t allocations_before = AllocationCount();
    TraceAllocations(counted && std::getenv("VIGIL_BENCH_TRACE") != nullptr);
    const double start = ThreadSeconds();
    for (const sim::ClientOutput& packet : batch) {
      bench.Put(packet[0].from, packet[0].bytes);
      bench.Clear();
    }
    bench.worker().HandleTimers(bench.now(), bench.output());
    bench.Clear();
    seconds += ThreadSeconds() - start;
    TraceAllocations(false);
    allocations += AllocationCount() - allocations_before;
    bench.Advance(TimeDelta::Millis(5));
  }
  if (!counted) return;
  const uint64_t sent = bench.worker().Report().counters.sent - sent_before;
  out.nanoseconds.push_back(seconds * 1e9 / static_cast<double>(sent));
  out.allocations += allocations;
  out.delivered += sent;
}

struct Load {
  const char* title;
  const char* name;  // In the JSON.
  int rooms;
  int subscribers;
};

std::vector<Result> MeasurePackets(const Load& load, const Options& options) {
  Bench bench(10'000);
  std::vector<Room> rooms;
  for (int i = 1; i <= load.rooms; ++i) {
    rooms.push_back(MakeRoom(bench, static_cast<uint64_t>(i), load.subscribers));
  }
  Figures figures;
  const int packets = std::max(1'000, options.packets / load.subscribers);
  // Two rounds of warm-up: rings and histories grow to their size.
  for (int round = -2; round < options.rounds; ++round) {
    RunRound(bench, rooms, packets, round >= 0, figures);
  }
  std::sort(figures.nanoseconds.begin(), figures.nanoseconds.end());
  const double least = figures.nanoseconds.front();
  const double median = figures.nanoseconds[figures.nanoseconds.size() / 2];
  const double most = figures.nanoseconds.back();
  std::printf("%s: %.0f ns per delivered packet (%.0f to %.0f), %llu allocations in %llu packets\n",
              load.title, median, least, most, static_cast<unsigned long long>(figures.allocations),
              static_cast<unsigned long long>(figures.delivered));
  const std::string name = std::string("core.") + load.name;
  return {{name + ".per_packet", "s", median * 1e-9, (most - least) * 1e-9},
          {name + ".allocations_per_packet", "1",
           static_cast<double>(figures.allocations) / static_cast<double>(figures.delivered), 0}};
}

void WriteJson(const Options& options, const std::vector<Result>& results) {
  std::ofstream out(options.json);
  utsname machine{};
  uname(&machine);
  const std::time_t now = std::time(nullptr);
  char started[32];
  std::strftime(started, sizeof started, "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&now));
  out << "{\"benchmark\":\"core\",\"commit\":\"" << options.commit << "\",\"machine\":\""
      << machine.sysname << " " << machine.release << " " << machine.machine << "\",\"started\":\""
      << started << "\",\"parameters\":{\"peers\":" << options.peers
      << ",\"packets\":" << options.packets << ",\"rounds\":" << options.rounds
      << "},\"results\":[";
  const char* separator = "";
  for (const Result& result : results) {
    out << separator << "{\"name\":\"" << result.name << "\",\"unit\":\"" << result.unit
        << "\",\"value\":" << result.value << ",\"spread\":" << result.spread << "}";
    separator = ",";
  }
  out << "]}\n";
}

int Run(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    const int value = std::atoi(argv[i + 1]);
    if (flag == "--peers" && value > 0) {
      options.peers = value;
    } else if (flag == "--packets" && value > 0) {
      options.packets = value;
    } else if (flag == "--rounds" && value > 0) {
      options.rounds = value;
    } else if (flag == "--commit") {
      options.commit = argv[i + 1];
    } else if (flag == "--json") {
      options.json = argv[i + 1];
    } else {
      std::fprintf(stderr,
                   "vigil_core_bench [--peers N] [--packets N] [--rounds N] [--commit TEXT] "
                   "[--json FILE]\n");
      return 2;
    }
  }
  if (!transport::InitSrtp().ok()) return 1;
  std::vector<Result> results;
  results.push_back(MeasureIdleMesh());
  for (const Load& load : {Load{"1 to 1", "1x1", 1, 1}, Load{"20 rooms, 1 to 1", "20x1", 20, 1},
                           Load{"1 to 50", "1x50", 1, 50}}) {
    for (const Result& result : MeasurePackets(load, options)) results.push_back(result);
  }
  results.push_back(MeasureIdlePeers(options));
  if (!options.json.empty()) WriteJson(options, results);
  return 0;
}

}  // namespace
}  // namespace vigil::bench

int main(int argc, char** argv) { return vigil::bench::Run(argc, argv); }
