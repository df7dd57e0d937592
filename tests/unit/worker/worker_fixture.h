#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "gateway/rtp/packet.h"
#include "gateway/transport/evp_cipher.h"
#include "gateway/worker/worker.h"
#include "gtest/gtest.h"
#include "tests/support/client_transport.h"

namespace vigil::worker::testing {

using Bytes = std::vector<uint8_t>;

inline Timestamp At(int64_t ms) { return Timestamp::FromNanos(1'000'000'000 + ms * 1'000'000); }

// A client with injected keys: a publisher of one picture, or a viewer with one picture slot.
class Client {
 public:
  Client(PeerId peer, FeedId publishes)
      : transport_(sim::ClientTransport::MakeIdentity(peer.value(),
                                                      transport::SrtpProfile::kAeadAes128Gcm)) {
    create_.peer = peer;
    create_.group = GroupId(1);
    create_.publishes = publishes;
    create_.transport = transport_.Describe();
    create_.media.local_ssrc = 9;
    create_.media.extensions.Add(rtp::ExtensionType::kMid, 1);
    const rtp::PayloadMapping payload{100, 101, {rtp::CodecType::kH264, 0x42e0, 1}};
    const rtp::FeedbackOptions feedback{.nack = true, .pli = true, .reduced_size = true};
    if (!publishes.IsNone()) {
      create_.media.receive.push_back({.kind = rtp::MediaKind::kVideo,
                                       .mid = "0",
                                       .payloads = {payload},
                                       .rids = {},
                                       .ssrc = 50,
                                       .rtx_ssrc = {},
                                       .feedback = feedback});
    } else {
      create_.media.send.push_back({.kind = rtp::MediaKind::kVideo,
                                    .mid = "0",
                                    .payloads = {payload},
                                    .ssrc = 1000,
                                    .rtx_ssrc = 2000,
                                    .feedback = feedback});
      transport_.ExpectStream(1000);
      transport_.ExpectStream(2000);
    }
  }

  sfu::CreatePeer& create() { return create_; }
  PeerId peer() const { return create_.peer; }
  sfu::SlotKey slot() const { return {create_.peer, 0}; }
  sim::ClientTransport& transport() { return transport_; }
  const ClientAddress& address() const { return transport_.identity().address; }

  // The next H.264 packet; a keyframe is an SPS.
  Bytes Rtp(bool key, size_t size = 60) {
    Bytes plain(size);
    const size_t head = rtp::WriteHeader({.marker = true,
                                          .payload_type = 100,
                                          .sequence = sequence_++,
                                          .timestamp = timestamp_ += 3000,
                                          .ssrc = ssrc_},
                                         {}, {}, plain, nullptr);
    plain[head] = key ? 0x67 : 0x41;
    return Protected([&](sim::ClientOutput& out) { transport_.SendRtp(plain, out); });
  }
  // Sends by another SSRC and with lower numbers from here on.
  void Restart() {
    ++ssrc_;
    sequence_ = 1;
  }
  // Leaves numbers out.
  void Leap(uint16_t numbers) { sequence_ = static_cast<uint16_t>(sequence_ + numbers); }
  template <typename F>
  Bytes Rtcp(F&& write) {
    Bytes plain(1200);
    ByteWriter writer(plain);
    write(writer);
    return Protected([&](sim::ClientOutput& out) { transport_.SendRtcp(writer.written(), out); });
  }

 private:
  template <typename F>
  static Bytes Protected(F&& send) {
    sim::ClientOutput out;
    send(out);
    return out.at(0).bytes;
  }

  sim::ClientTransport transport_;
  sfu::CreatePeer create_;
  uint32_t ssrc_ = 50;
  uint16_t sequence_ = 1;
  uint32_t timestamp_ = 0;
};

inline const transport::DtlsContext& Dtls() {
  static const std::unique_ptr<transport::DtlsContext> context = [] {
    EXPECT_TRUE(transport::InitSrtp().ok());
    return *transport::DtlsContext::Create({.wall_seconds = 1'700'000'000});
  }();
  return *context;
}

// One worker and what its turns gave rise to.
class Site {
 public:
  explicit Site(WorkerOptions options = {}, RelayMesh* mesh = nullptr)
      : worker_(std::make_unique<Worker>(options, Dtls(), mesh)) {}
  ~Site() { out_.outbox.Clear(); }

  Worker& worker() { return *worker_; }
  TurnOutput& out() { return out_; }

  absl::Status Apply(const sfu::Command& command, Timestamp now = At(0)) {
    return worker_->Apply(command, now, out_);
  }
  void Receive(const ClientAddress& from, const Bytes& bytes, Timestamp now = At(0)) {
    io::InboundDatagram datagram;
    datagram.client = from;
    datagram.receive_time = now;
    datagram.packet = worker_->pool().Take();
    ASSERT_TRUE(datagram.packet);
    std::copy(bytes.begin(), bytes.end(), datagram.packet->data.begin());
    datagram.packet->size = static_cast<uint16_t>(bytes.size());
    worker_->HandleDatagram(datagram, now, out_);
  }
  void Check(Client& client, Timestamp now = At(0)) {
    Receive(client.address(), client.transport().MakeCheck(true), now);
  }
  // Creates the peer and lets its first check come.
  void Join(Client& client, Timestamp now = At(0)) {
    const absl::Status created = Apply(client.create(), now);
    ASSERT_TRUE(created.ok()) << created;
    Check(client, now);
  }

  struct Sent {
    size_t rtp = 0;
    size_t rtcp = 0;
  };
  // What `client` can read of the outbox, which is emptied.
  Sent Take(Client& client) {
    Sent sent;
    for (OutboundDatagram& datagram : out_.outbox.datagrams()) {
      if (datagram.client != client.address()) continue;
      Packet copy;
      copy.size = datagram.packet->size;
      copy.data = datagram.packet->data;
      const auto kind = client.transport().Receive(copy, At(0));
      sent.rtp += kind == sim::ClientTransport::Kind::kRtp ? 1 : 0;
      sent.rtcp += kind == sim::ClientTransport::Kind::kRtcp ? 1 : 0;
    }
    out_.outbox.Clear();
    return sent;
  }
  template <typename E>
  std::vector<E> Events() {
    std::vector<E> found;
    for (const sfu::Event& event : out_.events) {
      if (const auto* e = std::get_if<E>(&event)) found.push_back(*e);
    }
    return found;
  }
  uint64_t Dropped(DropReason reason) {
    return worker_->Report().counters.ingress_drops.Get(reason);
  }
  // Each datagram is in exactly one counter.
  bool Balances() {
    const WorkerCounters c = worker_->Report().counters;
    uint64_t dropped = 0;
    for (const uint64_t n : c.ingress_drops.counts) dropped += n;
    return c.datagrams == c.stun + c.dtls + c.rtcp + c.track_packets + dropped;
  }
  void Replace(WorkerOptions options, RelayMesh* mesh = nullptr) {
    out_.outbox.Clear();
    out_.events.clear();
    out_.binds.clear();
    worker_ = std::make_unique<Worker>(options, Dtls(), mesh);
  }

 private:
  std::unique_ptr<Worker> worker_;
  TurnOutput out_{256};
};

}  // namespace vigil::worker::testing
