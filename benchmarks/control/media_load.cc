// Rooms that send sound (50 packets a second) and picture (100) through a running gateway to one
// physician each, over loopback. Prints "ready" when all are connected and media arrives; runs
// until its standard input ends; then waits for what is on its way, and prints what was sent and
// what arrived.
//   vigil_media_load --server HOST:PORT --offers FOLDER [--rooms 20] [--token TOKEN]

#include <poll.h>

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "benchmarks/control/media_client.h"
#include "benchmarks/control/room_calls.h"
#include "gateway/base/byte_io.h"
#include "gateway/io/clock.h"
#include "gateway/io/scheduling.h"
#include "grpcpp/grpcpp.h"
#include "vigil/v1/media.grpc.pb.h"

namespace vigil::bench {
namespace {

// The payload types and SSRCs of the recorded offer, chromium-publish.sdp.
constexpr uint8_t kOpus = 111;
constexpr uint8_t kVp8 = 96;
constexpr uint32_t kSoundSsrc = 2022853487;
constexpr uint32_t kPictureSsrc = 1382446051;
constexpr size_t kSoundBytes = 100;
constexpr size_t kPictureBytes = 1'000;
// What has not come by then is lost.
constexpr TimeDelta kOnItsWay = TimeDelta::Seconds(2);

class Track {
 public:
  Track(uint8_t payload_type, uint32_t ssrc, uint32_t step, size_t bytes)
      : packet_(12 + bytes), step_(step) {
    ByteWriter header(packet_);
    header.U8(0x80);
    header.U8(static_cast<uint8_t>(payload_type | 0x80));
    header.U16(0);
    header.U32(0);
    header.U32(ssrc);
    // As VP8 (RFC 7741): the start of a frame, and a keyframe of 640 x 360. As sound: noise.
    const uint8_t keyframe[] = {0x10, 0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01};
    std::copy(std::begin(keyframe), std::end(keyframe), packet_.begin() + 12);
  }
  std::span<const uint8_t> Next() {
    ByteWriter counters(std::span<uint8_t>(packet_).subspan(2));
    counters.U16(sequence_++);
    counters.U32(timestamp_ += step_);
    return packet_;
  }

 private:
  std::vector<uint8_t> packet_;
  uint32_t step_;
  uint16_t sequence_ = 0;
  uint32_t timestamp_ = 0;
};

struct Room {
  std::unique_ptr<MediaClient> publisher;
  std::unique_ptr<MediaClient> viewer;
  Track sound{kOpus, kSoundSsrc, 960, kSoundBytes};
  Track picture{kVp8, kPictureSsrc, 900, kPictureBytes};
  Timestamp next;
  uint64_t ticks = 0;
  uint64_t sent = 0;

  void Send() {
    publisher->SendRtp(picture.Next());
    ++sent;
    if (ticks++ % 2 == 0) {
      publisher->SendRtp(sound.Next());
      ++sent;
    }
  }
};

bool InputEnded() {
  pollfd input{.fd = 0, .events = POLLIN, .revents = 0};
  if (poll(&input, 1, 1) <= 0) return false;
  return std::getchar() == EOF;
}

void Turn(std::vector<Room>& rooms, bool sending) {
  const Timestamp now = io::MonotonicNow();
  for (Room& room : rooms) {
    room.publisher->Turn(now);
    room.viewer->Turn(now);
    if (!sending || now < room.next) continue;
    room.Send();
    room.next = room.next + TimeDelta::Millis(10);
  }
}

void Run(const std::string& server, const std::string& offers, const std::string& token,
         int count) {
  const auto stub =
      v1::MediaService::NewStub(grpc::CreateChannel(server, grpc::InsecureChannelCredentials()));
  const std::string publish = ReadFile(offers + "/chromium-publish.sdp");
  const std::string play = ReadFile(offers + "/chromium-play.sdp");
  std::vector<Room> rooms(static_cast<size_t>(count));
  for (size_t i = 0; i < rooms.size(); ++i) {
    const std::string name = "room-" + std::to_string(i + 1);
    rooms[i].publisher = std::make_unique<MediaClient>(publish, [&](const std::string& offer) {
      return Publish(*stub, name, offer, token).sdp_answer();
    });
    rooms[i].viewer = std::make_unique<MediaClient>(play, [&](const std::string& offer) {
      return Subscribe(*stub, "dr-" + name, offer, name + "/patient", token).sdp_answer();
    });
  }
  const auto all = [&rooms](auto&& holds) {
    return std::all_of(rooms.begin(), rooms.end(), holds);
  };
  while (!all(
      [](const Room& room) { return room.publisher->connected() && room.viewer->connected(); })) {
    if (InputEnded()) return;
    Turn(rooms, false);
  }
  // Spread over the 10 ms between two packets.
  const Timestamp begun = io::MonotonicNow();
  for (size_t i = 0; i < rooms.size(); ++i) {
    rooms[i].next = begun + TimeDelta::Micros(static_cast<int64_t>(10'000 * i / rooms.size()));
  }
  // What shares the processor must not make it late: it would send all that is due at once.
  io::AskForShortSlices(TimeDelta::Micros(100));
  bool ready = false;
  while (!InputEnded()) {
    Turn(rooms, true);
    if (ready || !all([](const Room& room) { return room.viewer->received() > 100; })) continue;
    ready = true;
    std::printf("ready\n");
    std::fflush(stdout);
  }
  uint64_t sent = 0;
  for (const Room& room : rooms) sent += room.sent;
  uint64_t received = 0;
  const Timestamp end = io::MonotonicNow() + kOnItsWay;
  do {
    Turn(rooms, false);
    received = 0;
    for (const Room& room : rooms) received += room.viewer->received();
  } while (received < sent && io::MonotonicNow() < end);
  std::printf("sent %llu, received %llu\n", static_cast<unsigned long long>(sent),
              static_cast<unsigned long long>(received));
}

int Main(int argc, char** argv) {
  CLI::App app{"vigil_media_load: rooms and physicians on loopback"};
  std::string server;
  std::string offers;
  std::string token;
  int rooms = 20;
  app.add_option("--server", server, "gRPC address, HOST:PORT")->required();
  app.add_option("--offers", offers, "Folder of SDP offers")->required();
  app.add_option("--token", token, "Of a controller; none where there is no login");
  app.add_option("--rooms", rooms)->check(CLI::Range(1, 500));
  CLI11_PARSE(app, argc, argv);
  try {
    Run(server, offers, token, rooms);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "vigil_media_load: %s\n", error.what());
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace vigil::bench

int main(int argc, char** argv) { return vigil::bench::Main(argc, argv); }
