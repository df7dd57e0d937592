// A program of commands, datagrams, time and restores against two production workers. Datagrams are
// made with the clients' keys, so that hostile bytes get behind the cryptography, or are mutated on
// the way. Nothing may abort, every packet must be accounted for, and no SRTP index be used twice.
// Input: operations, each a byte and its arguments; what is missing at the end reads as zero.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "gateway/base/archive.h"
#include "gateway/base/byte_io.h"
#include "gateway/base/check.h"
#include "gateway/rtp/packet.h"
#include "gateway/rtp/rtcp.h"
#include "gateway/transport/demux.h"
#include "gateway/worker/worker.h"
#include "tests/support/scripted_publisher.h"
#include "tests/support/scripted_subscriber.h"
#include "tests/support/srtp_oracle.h"
#include "tests/support/world.h"

namespace vigil::sim {
namespace {

constexpr uint32_t kWorkers = 2;
constexpr int kMostOperations = 300;
// Each costs a thousand dummy packets for every SRTCP context.
constexpr int kMostFaults = 3;

uint64_t Sum(const DropCounters& drops) {
  uint64_t sum = 0;
  for (const uint64_t count : drops.counts) sum += count;
  return sum;
}

const transport::DtlsContext& Dtls() {
  static const std::unique_ptr<transport::DtlsContext> context = [] {
    auto created = transport::DtlsContext::Create({});
    VIGIL_CHECK(created.ok());
    return *std::move(created);
  }();
  return *context;
}

// A client as far as the fuzzer needs it: its description, and its keys.
struct Actor {
  explicit Actor(std::unique_ptr<ScriptedClient> made, uint32_t on)
      : client(std::move(made)),
        worker(on),
        description(client->Describe()),
        sender(client->transport().identity().keys.profile,
               client->transport().identity().keys.RemoteKey()) {
    for (const rtp::ReceiveTrack& track : description.media.receive) {
      ssrcs.push_back(track.ssrc.value_or(static_cast<uint32_t>(0x55 + ssrcs.size())));
      ssrcs.push_back(track.rtx_ssrc.value_or(static_cast<uint32_t>(0x66 + ssrcs.size())));
    }
    if (ssrcs.empty()) ssrcs = {0x77, 0x88};
  }
  std::unique_ptr<ScriptedClient> client;
  uint32_t worker;
  sfu::CreatePeer description;
  transport::SrtpSender sender;
  std::vector<uint32_t> ssrcs;  // That it may send RTP with.
  uint16_t sequence = 1000;
  uint32_t timestamp = 5000;
};

std::vector<Actor> MakeActors() {
  std::vector<Actor> actors;
  const auto client = [](uint64_t n) {
    return ClientOptions{.peer = PeerId(n),
                         .seed = n,
                         .profile = n % 2 == 0 ? transport::SrtpProfile::kAeadAes128Gcm
                                               : transport::SrtpProfile::kAes128CmSha1_80};
  };
  VideoOptions simulcast{.codec = kVp8, .rids = {"q", "h"}};
  VideoOptions h264{.codec = kH264};
  const SubscriberOptions all{.slots = {{.kind = rtp::MediaKind::kAudio}, {}, {}}};
  actors.emplace_back(std::make_unique<ScriptedPublisher>(
                          PublisherOptions{.client = client(1), .feed = FeedId(11), .video = h264}),
                      0);
  actors.emplace_back(std::make_unique<ScriptedPublisher>(PublisherOptions{
                          .client = client(2), .feed = FeedId(12), .video = simulcast}),
                      1);
  for (uint64_t n = 3; n <= 5; ++n) {
    SubscriberOptions options = all;
    options.client = client(n);
    actors.emplace_back(std::make_unique<ScriptedSubscriber>(options),
                        static_cast<uint32_t>(n % kWorkers));
  }
  return actors;
}

class Program {
 public:
  explicit Program(std::span<const uint8_t> input) : in_(input), actors_(MakeActors()) {
    MakeWorkers(TimeDelta::Seconds(100));
    for (Actor& actor : actors_) Apply(actor.worker, actor.description);
    for (Actor& actor : actors_) SendCheck(actor, 0);
  }
  ~Program() { Bury(); }

  void Run() {
    for (int i = 0; i < kMostOperations && in_.remaining() > 0; ++i) {
      Operation();
      VIGIL_CHECK(findings_.empty());
    }
  }

 private:
  void Operation() {
    Actor& actor = actors_[in_.U8() % actors_.size()];
    switch (in_.U8() % 12) {
      case 0:
        return Wait(TimeDelta::Micros(int64_t{in_.U16()} * 100));
      case 1:
        return SendRtp(actor);
      case 2:
        return SendRtcp(actor);
      case 3:
        return SendCheck(actor, in_.U8());
      case 4:
        return SendRaw(actor);
      case 5:
        return SendMutated(actor);
      case 6:
        return Deliver(actor.worker, AddressOf(actor, in_.U8()), last_);
      case 7:
        return Command(actor);
      case 8:
        return Relate(actor);
      case 9:
        return Restore();
      case 10:
        return SendReports(actor);
      default:
        return SendFeedback(actor);
    }
  }

  void MakeWorkers(TimeDelta base) {
    base_ = base;
    mesh_ = std::make_unique<worker::RelayMesh>(kWorkers);
    for (uint32_t i = 0; i < kWorkers; ++i) {
      workers_[i] = std::make_unique<worker::Worker>(
          worker::WorkerOptions{.index = i,
                                .group = GroupId(1),
                                .wall_clock = {kWorldClock.ntp_at_zero - base},
                                .seed = i + 1,
                                .packets = 256,
                                .max_peers = 8},
          Dtls(), mesh_.get());
    }
  }
  Timestamp Local() const { return now_ + base_; }

  std::vector<uint8_t> Bytes() {
    const size_t size = std::min<size_t>(in_.U8() * 2, in_.remaining());
    const std::span<const uint8_t> bytes = in_.Bytes(size);
    return {bytes.begin(), bytes.end()};
  }
  // Mostly its own, sometimes another one, sometimes one that proves nothing.
  ClientAddress AddressOf(const Actor& actor, uint8_t choice) const {
    ClientAddress address = actor.client->transport().identity().address;
    if (choice % 8 == 1) address.port = static_cast<uint16_t>(choice);
    if (choice % 8 == 2) address = actors_[choice % 5].client->transport().identity().address;
    return address;
  }

  void Deliver(uint32_t index, const ClientAddress& from, const std::vector<uint8_t>& bytes) {
    if (bytes.size() > Packet::kMaxReceived) return;
    last_ = bytes;
    PacketRef packet = workers_[index]->pool().Take();
    if (!packet) return;
    std::copy(bytes.begin(), bytes.end(), packet->data.begin());
    packet->size = static_cast<uint16_t>(bytes.size());
    io::InboundDatagram datagram{.client = from,
                                 .group = GroupId(1),
                                 .epoch = Epoch(1),
                                 .receive_time = Local(),
                                 .packet = std::move(packet)};
    workers_[index]->HandleDatagram(datagram, Local(), *out_);
    datagram.packet.Reset();
    Flush();
  }

  void Apply(uint32_t index, const sfu::Command& command) {
    (void)workers_[index]->Apply(command, Local(), *out_);
    Flush();
  }

  void Watch(const OutboundDatagram& datagram) {
    for (const Actor& actor : actors_) {
      const auto& identity = actor.client->transport().identity();
      if (identity.address != datagram.client) continue;
      const std::span<const uint8_t> bytes = datagram.packet->bytes();
      const transport::DatagramKind kind = transport::Classify(bytes);
      if (kind == transport::DatagramKind::kRtp) oracle_.OnRtp(actor.client->peer(), bytes, now_);
      if (kind == transport::DatagramKind::kRtcp) {
        oracle_.OnRtcp(actor.client->peer(), identity.keys.profile, bytes, now_);
      }
    }
  }

  void Flush() {
    for (const OutboundDatagram& datagram : out_->outbox.datagrams()) Watch(datagram);
    out_->outbox.Clear();
    out_->events.clear();
    out_->binds.clear();
    const uint64_t relayed = std::exchange(out_->relayed_to, 0);
    for (uint32_t i = 0; i < kWorkers; ++i) {
      if ((relayed >> i & 1) == 0) continue;
      workers_[i]->HandleRelays(64, Local(), *out_);
      Flush();
    }
  }

  void Wait(TimeDelta span) {
    now_ = now_ + span;
    for (auto& worker : workers_) {
      // A deadline that stays in the past would keep the thread busy for nothing.
      for (int turns = 0; worker->NextDeadline() <= Local(); ++turns) {
        VIGIL_CHECK(turns < 1000);
        worker->HandleTimers(Local(), *out_);
        Flush();
      }
    }
  }

  void Protected(Actor& actor, Packet& packet, bool rtcp) {
    const auto refused = rtcp ? actor.sender.ProtectRtcp(packet) : actor.sender.ProtectRtp(packet);
    if (refused) return;
    Deliver(actor.worker, actor.client->transport().identity().address,
            {packet.bytes().begin(), packet.bytes().end()});
  }

  void SendRtp(Actor& actor) {
    const uint8_t flags = in_.U8();
    uint32_t ssrc = actor.ssrcs[in_.U8() % actor.ssrcs.size()];
    if ((flags & 128) != 0) ssrc += in_.U8();
    actor.sequence = static_cast<uint16_t>(actor.sequence + static_cast<int8_t>(in_.U8()));
    if ((flags & 1) != 0) actor.timestamp += in_.U16();
    const uint8_t types[] = {111, 102, 103, 96, 97, 0};
    const uint8_t type = types[in_.U8() % 6];
    rtp::HeaderExtensions extensions;
    if ((flags & 2) != 0) extensions.transport_sequence = static_cast<uint16_t>(in_.U16());
    if ((flags & 4) != 0) extensions.mid = type == 111 ? "0" : "1";
    if ((flags & 8) != 0) extensions.rid = (flags & 16) != 0 ? "q" : "h";
    if ((flags & 32) != 0) extensions.repaired_rid = (flags & 16) != 0 ? "q" : "h";
    if ((flags & 64) != 0) {
      extensions.abs_capture_time = rtp::AbsCaptureTime{rtp::NtpTime(in_.U64()), in_.U32()};
    }
    const std::vector<uint8_t> payload = Bytes();
    Packet packet;
    const size_t head = rtp::WriteHeader({.marker = (flags & 1) != 0,
                                          .payload_type = type,
                                          .sequence = actor.sequence,
                                          .timestamp = actor.timestamp,
                                          .ssrc = ssrc},
                                         extensions, AllExtensions(), packet.room(), nullptr);
    std::copy(payload.begin(), payload.end(),
              packet.data.begin() + static_cast<std::ptrdiff_t>(head));
    packet.size = static_cast<uint16_t>(head + payload.size());
    actor.sender.AddStream(ssrc);
    Protected(actor, packet, /*rtcp=*/false);
  }

  // Whatever bytes, behind a good key.
  void SendRtcp(Actor& actor) {
    const std::vector<uint8_t> body = Bytes();
    Packet packet;
    const uint32_t ssrc = actor.ssrcs[0];
    ByteWriter writer(packet.room());
    const uint8_t count = in_.U8();
    writer.U8(0x80 | (count & 0x1f));
    writer.U8(static_cast<uint8_t>(200 + in_.U8() % 8));
    writer.U16(static_cast<uint16_t>(1 + (body.size() + 3) / 4 + (count >> 7)));
    writer.U32(ssrc);
    writer.Bytes(body);
    while (writer.position() % 4 != 0) writer.U8(0);
    packet.size = static_cast<uint16_t>(writer.position());
    actor.sender.AddStream(ssrc);
    Protected(actor, packet, /*rtcp=*/true);
  }

  void SendReports(Actor& actor) {
    Packet packet;
    ByteWriter writer(packet.room());
    rtp::WriteSenderReport({.ssrc = actor.ssrcs[in_.U8() % actor.ssrcs.size()],
                            .ntp = rtp::NtpTime(in_.U64()),
                            .rtp_timestamp = in_.U32()},
                           {}, writer);
    const uint32_t asker = in_.U32();
    rtp::WriteReceiverReferenceTime(asker, rtp::NtpTime(in_.U64()), writer);
    const std::array<rtp::ExtendedReport::Dlrr, 1> item = {
        {{actor.description.media.local_ssrc, in_.U32(), in_.U32()}}};
    rtp::WriteDlrr(actor.ssrcs[0], item, writer);
    packet.size = static_cast<uint16_t>(writer.position());
    actor.sender.AddStream(ReadU32(packet.data.data() + 4));
    Protected(actor, packet, /*rtcp=*/true);
  }

  void SendFeedback(Actor& actor) {
    Packet packet;
    ByteWriter writer(packet.room());
    const uint32_t own = actor.ssrcs[0];
    const auto& slots = actor.description.media.send;
    const uint32_t about = slots.empty() ? in_.U32() : slots[in_.U8() % slots.size()].ssrc;
    rtp::WriteReceiverReport(own, {}, writer);
    std::vector<uint16_t> sequences(in_.U8() % 40);
    uint16_t sequence = in_.U16();
    for (uint16_t& one : sequences) one = sequence++;
    if (!sequences.empty()) rtp::WriteNack(own, about, sequences, writer);
    if (in_.U8() % 2 == 0) rtp::WritePli(own, about, writer);
    const std::array<rtp::FeedbackArrival, 2> arrivals = {
        {{in_.U16(), TimeDelta::Millis(5)}, {0x10000 + in_.U16(), TimeDelta::Millis(9)}}};
    rtp::WriteTransportFeedback({own, about, arrivals[0].sequence, in_.U8()}, arrivals, writer);
    packet.size = static_cast<uint16_t>(writer.position());
    actor.sender.AddStream(own);
    Protected(actor, packet, /*rtcp=*/true);
  }

  void SendCheck(Actor& actor, uint8_t choice) {
    std::vector<uint8_t> check = actor.client->transport().MakeCheck((choice & 1) == 0);
    if ((choice & 2) != 0) check[in_.U8() % check.size()] ^= static_cast<uint8_t>(in_.U8());
    Deliver(actor.worker, AddressOf(actor, choice >> 2), check);
  }

  // Bytes as they are, from some address.
  void SendRaw(Actor& actor) {
    const ClientAddress from = AddressOf(actor, in_.U8());
    Deliver(actor.worker, from, Bytes());
  }

  void SendMutated(Actor& actor) {
    std::vector<uint8_t> bytes = last_;
    if (bytes.empty()) return;
    bytes[in_.U16() % bytes.size()] ^= static_cast<uint8_t>(in_.U8());
    if (in_.U8() % 4 == 0) bytes.resize(in_.U16() % (bytes.size() + 1));
    Deliver(actor.worker, AddressOf(actor, 0), bytes);
  }

  FeedId AnyFeed() { return FeedId(10 + in_.U8() % 4); }
  sfu::SlotKey SlotOf(const Actor& actor) {
    return {actor.client->peer(), static_cast<uint8_t>(in_.U8() % 4)};
  }

  void Command(Actor& actor) {
    switch (in_.U8() % 6) {
      case 0:
        return Apply(actor.worker, sfu::AssignSlot{SlotOf(actor), AnyFeed()});
      case 1:
        return Apply(actor.worker, sfu::AssignSlot{SlotOf(actor), FeedId()});
      case 2:
        return Apply(actor.worker, sfu::SelectLayer{SlotOf(actor), in_.U8()});
      case 3:
        return Apply(actor.worker, sfu::RequestKeyframe{AnyFeed()});
      case 4: {
        const auto fresh =
            ClientTransport::MakeIdentity(in_.U8(), actor.client->client_options().profile);
        actor.client->transport().Restart(fresh.gateway, fresh.client, now_);
        return Apply(actor.worker, sfu::RestartIce{.peer = actor.client->peer(),
                                                   .local_ufrag = fresh.gateway.ufrag,
                                                   .local_password = fresh.gateway.password,
                                                   .remote_ufrag = fresh.client.ufrag,
                                                   .remote_password = fresh.client.password});
      }
      default:
        // Only closed: made again with the same keys, it would use its indexes again.
        return Apply(actor.worker, sfu::ClosePeer{actor.client->peer()});
    }
  }

  // Feeds between the workers, also ones that do not exist, with layers that they do not have.
  void Relate(Actor& actor) {
    const uint32_t other = 1 - actor.worker;
    const FeedId feed = AnyFeed();
    switch (in_.U8() % 4) {
      case 0:
        return Apply(actor.worker,
                     sfu::AttachRemoteFeed{.feed = feed,
                                           .origin_worker = in_.U8() % 3u,
                                           .audio_codecs = {kOpus},
                                           .video_codecs = {kVp8, kH264},
                                           .layers = static_cast<uint8_t>(in_.U8() % 4)});
      case 1:
        return Apply(other, sfu::AddRelay{feed, actor.worker});
      case 2:
        return Apply(actor.worker, sfu::DetachRemoteFeed{feed});
      default:
        return Apply(other, sfu::RemoveRelay{feed, actor.worker});
    }
  }

  void CheckAccounts() const {
    for (const auto& worker : workers_) {
      const worker::WorkerReport report = worker->Report();
      const worker::WorkerCounters& c = report.counters;
      VIGIL_CHECK(c.datagrams == c.stun + c.dtls + c.rtcp + c.track_packets + Sum(c.ingress_drops));
      VIGIL_CHECK(report.copies == report.delivered + Sum(report.router_drops));
      VIGIL_CHECK(report.delivered == c.sent + c.relayed_out + Sum(c.egress_drops));
    }
  }

  void Bury() {
    CheckAccounts();
    out_->outbox.Clear();
    for (auto& worker : workers_) worker.reset();
    mesh_.reset();
  }

  void Restore() {
    const uint8_t choice = in_.U8();
    const bool fault = (choice & 1) != 0 && faults_++ < kMostFaults;
    std::array<std::vector<uint8_t>, kWorkers> bytes;
    for (uint32_t i = 0; i < kWorkers; ++i) {
      worker::WorkerState state = workers_[i]->Export();
      if (fault) World::SetLimits(state);
      bytes[i] = WriteArchive(state, Local());
    }
    Bury();
    MakeWorkers(TimeDelta::Millis(int64_t{in_.U16()} * 1000));
    for (uint32_t i = 0; i < kWorkers; ++i) {
      const auto state = ReadArchive<worker::WorkerState>(bytes[i], Local());
      VIGIL_CHECK(state.has_value());
      const auto mode = fault ? transport::SrtpSender::RestoreMode::kAfterFault
                              : transport::SrtpSender::RestoreMode::kExact;
      VIGIL_CHECK(workers_[i]->Restore(*state, mode, Local(), *out_).ok());
      Flush();
    }
  }

  ByteReader in_;
  std::vector<Actor> actors_;
  Findings findings_;
  SrtpOracle oracle_{findings_};
  Timestamp now_ = Timestamp() + TimeDelta::Seconds(10);
  TimeDelta base_;
  std::unique_ptr<worker::RelayMesh> mesh_;
  std::array<std::unique_ptr<worker::Worker>, kWorkers> workers_;
  std::unique_ptr<worker::TurnOutput> out_ = std::make_unique<worker::TurnOutput>(64);
  std::vector<uint8_t> last_;
  int faults_ = 0;
};

}  // namespace
}  // namespace vigil::sim

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vigil::sim::Program program(std::span(data, size));
  program.Run();
  return 0;
}
