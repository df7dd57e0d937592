#include "tests/support/hostile_publisher.h"

#include <array>

#include "gateway/base/byte_io.h"
#include "gateway/rtp/rtcp.h"

namespace vigil::sim {
namespace {

// A sender report of each of four streams.
constexpr size_t kReportsSize = 4 * 28;

}  // namespace

HostilePublisher::HostilePublisher(const PublisherOptions& options)
    : ScriptedPublisher(options), rng_(options.client.seed ^ 0xbadbad) {}

void HostilePublisher::HandleTimers(Timestamp now, ClientOutput& out) {
  if (active_ && transport().connected() && rng_.Chance(0.05)) SendManyReports(now, out);
  ScriptedPublisher::HandleTimers(now, out);
}

void HostilePublisher::SendManyReports(Timestamp now, ClientOutput& out) {
  std::array<uint8_t, 1300> buffer;
  ByteWriter writer(buffer);
  size_t before = 0;
  do {
    before = writer.position();
    WriteReports(now, writer);
  } while (writer.position() > before && writer.remaining() >= kReportsSize);
  if (writer.position() > 0) transport().SendRtcp(writer.written(), out);
}

}  // namespace vigil::sim
