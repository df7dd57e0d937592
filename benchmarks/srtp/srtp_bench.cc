// What one SRTP protect costs as the number of live sessions grows.
//
// For each measurement exactly N sessions are made (the stock ciphers get slower by sessions that
// only exist) and visited round-robin, as an SFU visits its subscribers, so that each one's context
// has been pushed out of the cache by the N - 1 others. The cost is CPU time of the
// thread, not wall time, and the sizes are visited in another order in each round, so that neither
// a busy machine nor a slow drift of its clock looks like a slope. The first round is warm-up.

#include <malloc.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <srtp2/srtp.h>

#include "gateway/base/byte_io.h"
#include "gateway/base/packet_pool.h"
#include "gateway/base/rng.h"
#include "gateway/transport/evp_cipher.h"
#include "gateway/transport/srtp_sender.h"

namespace vigil {
namespace {

using transport::SrtpProfile;
using transport::SrtpSender;

constexpr std::array<size_t, 6> kSessionCounts = {1, 100, 1000, 2000, 4000, 8000};
constexpr size_t kPacketSize = 1200;
constexpr uint32_t kSsrc = 0x1000;
constexpr const char* kUsage =
    "usage: vigil_srtp_bench [--rounds N] [--packets N] [--stock] [--lookahead] [--commit TEXT]\n"
    "                        [--json FILE]\n"
    "  --rounds   measured rounds, default 9\n"
    "  --packets  packets of one measurement, default 40000\n"
    "  --stock    the ciphers that Debian's libsrtp comes with, for comparison\n"
    "  --lookahead  prefetch one session ahead, as a batched sender can\n";

struct Options {
  int rounds = 9;
  uint64_t packets = 40'000;
  bool stock = false;
  bool lookahead = false;
  std::string commit = "unknown";
  std::string json;
};

struct Distribution {
  std::string name;
  size_t sessions = 0;
  std::vector<double> seconds;  // CPU seconds per packet, one of each round.

  double Quantile(double q) const {
    std::vector<double> sorted = seconds;
    std::sort(sorted.begin(), sorted.end());
    return sorted[static_cast<size_t>(q * static_cast<double>(sorted.size() - 1) + 0.5)];
  }
};

struct ProfileResult {
  std::string_view name;
  double bytes_per_session = 0;
  std::vector<Distribution> costs;
};

double ThreadCpuSeconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

double ResidentBytes() {
  long total = 0;
  long resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE));
}

class SessionSet {
 public:
  SessionSet(SrtpProfile profile, size_t count, bool lookahead) : lookahead_(lookahead) {
    malloc_trim(0);  // Else the second set would live in the pages of the first.
    const double before = ResidentBytes();
    Rng rng(1);
    for (size_t i = 0; i < count; ++i) {
      std::array<uint8_t, transport::kMaxSrtpKeySize> key;
      rng.Fill(key);
      senders_.push_back(std::make_unique<SrtpSender>(
          profile, std::span(key).first(transport::SrtpKeySize(profile))));
      senders_.back()->AddStream(kSsrc);
    }
    next_.resize(count);
    Run(count);  // The first packet of each makes libsrtp's stream.
    bytes_per_session_ = (ResidentBytes() - before) / static_cast<double>(count);
  }

  // CPU seconds per packet over `packets` packets.
  double Run(uint64_t packets) {
    const size_t sessions = senders_.size();
    const double start = ThreadCpuSeconds();
    for (uint64_t i = 0; i < packets; ++i) {
      const size_t session = i % sessions;
      if (lookahead_) senders_[(i + 1) % sessions]->Prefetch();
      packet_.size = kPacketSize;
      ByteWriter header(packet_.room());
      header.U16(0x8060);
      header.U16(next_[session]++);
      header.U32(0);
      header.U32(kSsrc);
      if (senders_[session]->ProtectRtp(packet_)) {
        std::fprintf(stderr, "protect failed\n");
        std::exit(1);
      }
    }
    return (ThreadCpuSeconds() - start) / static_cast<double>(packets);
  }
  double bytes_per_session() const { return bytes_per_session_; }

 private:
  std::vector<std::unique_ptr<SrtpSender>> senders_;
  std::vector<uint16_t> next_;
  bool lookahead_;
  Packet packet_{};
  double bytes_per_session_ = 0;
};

ProfileResult Measure(SrtpProfile profile, std::string_view name, const Options& options) {
  const double bytes =
      SessionSet(profile, kSessionCounts.back(), options.lookahead).bytes_per_session();
  ProfileResult result{name, bytes, {}};
  for (const size_t count : kSessionCounts) {
    result.costs.push_back(
        {"srtp.protect." + std::string(name) + "." + std::to_string(count), count, {}});
  }
  for (int round = 0; round <= options.rounds; ++round) {
    for (size_t i = 0; i < result.costs.size(); ++i) {
      // Upwards, downwards, and from the middle in turn.
      const size_t at = round % 2 == 0 ? (i + static_cast<size_t>(round)) % result.costs.size()
                                       : result.costs.size() - 1 - i;
      Distribution& cost = result.costs[at];
      SessionSet sessions(profile, cost.sessions, options.lookahead);
      const double seconds = sessions.Run(std::max<uint64_t>(options.packets, 4 * cost.sessions));
      if (round > 0) cost.seconds.push_back(seconds);
    }
  }
  return result;
}

void PrintTable(const ProfileResult& result) {
  std::printf("\n%s: %.1f kB resident per session (one stream)\n", std::string(result.name).c_str(),
              result.bytes_per_session / 1000);
  std::printf("%10s %12s %12s %12s %12s\n", "sessions", "median us", "min us", "max us", "ratio");
  const double one = result.costs.front().Quantile(0.5);
  for (const Distribution& cost : result.costs) {
    std::printf("%10zu %12.3f %12.3f %12.3f %12.2f\n", cost.sessions, cost.Quantile(0.5) * 1e6,
                cost.Quantile(0) * 1e6, cost.Quantile(1) * 1e6, cost.Quantile(0.5) / one);
  }
}

std::string Machine() {
  utsname name{};
  uname(&name);
  std::string cpu = "unknown cpu";
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("model name", 0) == 0) {
      cpu = line.substr(line.find(':') + 2);
      break;
    }
  }
  return cpu + ", " + std::to_string(sysconf(_SC_NPROCESSORS_ONLN)) + " cores, " + name.sysname +
         " " + name.release;
}

void WriteJson(const Options& options, const std::vector<ProfileResult>& results) {
  std::ofstream out(options.json);
  const std::time_t now = std::time(nullptr);
  char started[32];
  std::strftime(started, sizeof started, "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&now));
  out << "{\"benchmark\":\"srtp\",\"commit\":\"" << options.commit << "\",\"machine\":\""
      << Machine() << "\",\"started\":\"" << started
      << "\",\"parameters\":{\"rounds\":" << options.rounds << ",\"packets\":" << options.packets
      << ",\"packet_bytes\":" << kPacketSize << ",\"ciphers\":\""
      << (options.stock ? "stock" : "evp")
      << "\",\"lookahead\":" << (options.lookahead ? "true" : "false") << "},\"results\":[";
  const char* separator = "";
  for (const ProfileResult& result : results) {
    out << separator << "{\"name\":\"srtp.memory." << result.name
        << "\",\"unit\":\"bytes\",\"value\":" << result.bytes_per_session << ",\"spread\":0}";
    separator = ",";
    for (const Distribution& cost : result.costs) {
      out << ",{\"name\":\"" << cost.name << "\",\"unit\":\"s\",\"n\":" << cost.seconds.size();
      for (const auto& [key, q] :
           {std::pair("min", 0.0), std::pair("p50", 0.5), std::pair("p90", 0.9),
            std::pair("p95", 0.95), std::pair("p99", 0.99), std::pair("p999", 0.999),
            std::pair("max", 1.0)}) {
        out << ",\"" << key << "\":" << cost.Quantile(q);
      }
      out << "}";
    }
  }
  out << "]}\n";
}

bool ParseOptions(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag == "--stock") {
      options.stock = true;
      continue;
    }
    if (flag == "--lookahead") {
      options.lookahead = true;
      continue;
    }
    if (i + 1 >= argc) return false;
    const char* value = argv[++i];
    if (flag == "--rounds") {
      options.rounds = std::max(1, std::atoi(value));
    } else if (flag == "--packets") {
      options.packets = std::max(1000ULL, std::strtoull(value, nullptr, 10));
    } else if (flag == "--commit") {
      options.commit = value;
    } else if (flag == "--json") {
      options.json = value;
    } else {
      return false;
    }
  }
  return true;
}

int Main(int argc, char** argv) {
  Options options;
  if (!ParseOptions(argc, argv, options)) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  const bool ok = options.stock ? srtp_init() == srtp_err_status_ok : transport::InitSrtp().ok();
  if (!ok) {
    std::fprintf(stderr, "libsrtp cannot be initialised\n");
    return 1;
  }
  std::printf("SRTP protect, %zu-byte packets, %s ciphers, %d rounds, %s\n", kPacketSize,
              options.stock ? "stock" : "EVP", options.rounds, Machine().c_str());
  std::vector<ProfileResult> results;
  results.push_back(Measure(SrtpProfile::kAeadAes128Gcm, "gcm", options));
  PrintTable(results.back());
  results.push_back(Measure(SrtpProfile::kAes128CmSha1_80, "cm", options));
  PrintTable(results.back());
  if (!options.json.empty()) WriteJson(options, results);
  return 0;
}

}  // namespace
}  // namespace vigil

int main(int argc, char** argv) { return vigil::Main(argc, argv); }
