#include "gateway/peer/peer.h"

#include <algorithm>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "gateway/base/archive.h"
#include "gateway/transport/evp_cipher.h"
#include "gtest/gtest.h"
#include "tests/support/client_transport.h"

namespace vigil::peer {
namespace {

using Bytes = std::vector<uint8_t>;
using RestoreMode = transport::SrtpSender::RestoreMode;

const rtp::WallClock kWall{TimeDelta::Seconds(3'900'000'000)};
constexpr uint32_t kLocalSsrc = 9;
constexpr uint8_t kH264 = 100;
constexpr uint8_t kH264Rtx = 101;

Timestamp At(int64_t ms) { return Timestamp::FromNanos(1'000'000'000 + ms * 1'000'000); }

// One received picture track, and `slots` picture slots.
rtp::MediaParameters Media(size_t slots, bool reduced_size = true) {
  rtp::MediaParameters media;
  media.local_ssrc = kLocalSsrc;
  media.cname = "vigil";
  media.extensions.Add(rtp::ExtensionType::kMid, 1);
  media.extensions.Add(rtp::ExtensionType::kTransportSequence, 2);
  const rtp::PayloadMapping mapping{kH264, kH264Rtx, {rtp::CodecType::kH264, 0x42e0, 1}};
  const rtp::FeedbackOptions feedback{
      .nack = true, .pli = true, .transport_cc = true, .reduced_size = reduced_size};
  media.receive.push_back({.kind = rtp::MediaKind::kVideo,
                           .mid = "in",
                           .payloads = {mapping},
                           .rids = {},
                           .ssrc = 50,
                           .rtx_ssrc = 51,
                           .feedback = feedback});
  for (size_t i = 0; i < slots; ++i) {
    const auto n = static_cast<uint32_t>(i);
    media.send.push_back({.kind = rtp::MediaKind::kVideo,
                          .mid = "out" + std::to_string(i),
                          .payloads = {mapping},
                          .ssrc = 1000 + n,
                          .rtx_ssrc = 2000 + n,
                          .feedback = feedback});
  }
  return media;
}

// What came out of the gateway, decrypted by the client.
struct Received {
  std::vector<Bytes> rtp;
  std::vector<Bytes> rtcp;
};

// A peer with injected keys and its client's end.
class PeerTest : public testing::Test {
 protected:
  PeerTest() { Start(Media(2)); }
  ~PeerTest() override { outbox_.Clear(); }

  void Start(const rtp::MediaParameters& media) {
    outbox_.Clear();
    client_ = std::make_unique<sim::ClientTransport>(
        sim::ClientTransport::MakeIdentity(5, transport::SrtpProfile::kAeadAes128Gcm));
    for (const rtp::SendTrack& track : media.send) {
      client_->ExpectStream(track.ssrc);
      client_->ExpectStream(track.rtx_ssrc);
    }
    const sim::ClientTransport::Identity& identity = client_->identity();
    peer_ = std::make_unique<Peer>(context_,
                                   PeerParameters{.id = PeerId(3),
                                                  .local = identity.gateway,
                                                  .remote = identity.client,
                                                  .fingerprint = {},
                                                  .media = media,
                                                  .keys = identity.keys},
                                   At(0));
  }
  static std::unique_ptr<transport::DtlsContext> MakeDtls() {
    EXPECT_TRUE(transport::InitSrtp().ok());
    auto dtls = transport::DtlsContext::Create({.wall_seconds = 1'700'000'000});
    EXPECT_TRUE(dtls.ok());
    return *std::move(dtls);
  }

  Arrival From(Timestamp now) const { return {client_->identity().address, now}; }
  PacketRef Wrap(const Bytes& bytes) {
    PacketRef packet = pool_.Take();
    std::copy(bytes.begin(), bytes.end(), packet->data.begin());
    packet->size = static_cast<uint16_t>(bytes.size());
    return packet;
  }
  void Check(Timestamp now) {
    const PacketRef packet = Wrap(client_->MakeCheck(/*use_candidate=*/true));
    const ice::CheckOutcome outcome =
        peer_->HandleStun(*packet, client_->identity().address, now, outbox_);
    EXPECT_FALSE(outcome.dropped);
  }
  std::optional<DropReason> ClientRtcp(const Bytes& plain, Timestamp now) {
    sim::ClientOutput sent;
    client_->SendRtcp(plain, sent);
    rtcp_.Clear();
    return peer_->HandleRtcp(*Wrap(sent[0].bytes), From(now), now, rtcp_, outbox_);
  }
  template <typename F>
  static Bytes Rtcp(F&& write) {
    Bytes bytes(1200);
    ByteWriter out(bytes);
    write(out);
    EXPECT_TRUE(out.ok());
    bytes.resize(out.position());
    return bytes;
  }
  std::optional<DropReason> FromClient(const Bytes& bytes, Timestamp now) {
    last_rtp_ = bytes;
    const auto dropped = peer_->HandleRtp(Wrap(bytes), From(now), packet_);
    packet_.packet.Reset();
    return dropped;
  }
  std::optional<DropReason> ClientRtp(uint16_t sequence, Timestamp now) {
    Bytes plain(40);
    const size_t head = rtp::WriteHeader({.payload_type = kH264, .sequence = sequence, .ssrc = 50},
                                         {}, {}, plain, nullptr);
    plain[head] = 0x41;
    sim::ClientOutput sent;
    client_->SendRtp(plain, sent);
    return FromClient(sent[0].bytes, now);
  }
  // Sends one packet of slot `track`.
  std::optional<DropReason> Send(uint8_t track, int64_t sequence, Timestamp now) {
    rtp::TrackPacket source;
    source.packet = Wrap({0x65, 0x88, 1, 2});
    source.payload = source.packet->bytes();
    source.kind = kind_;
    return peer_->SendRtp(track, source, {.sequence = sequence}, now, outbox_);
  }
  Received Take() {
    Received received;
    for (OutboundDatagram& datagram : outbox_.datagrams()) {
      EXPECT_EQ(datagram.client, client_->identity().address);
      Packet copy;
      copy.size = datagram.packet->size;
      copy.data = datagram.packet->data;
      const auto kind = client_->Receive(copy, At(0));
      Bytes bytes(copy.bytes().begin(), copy.bytes().end());
      if (kind == sim::ClientTransport::Kind::kRtp) received.rtp.push_back(bytes);
      if (kind == sim::ClientTransport::Kind::kRtcp) received.rtcp.push_back(bytes);
    }
    EXPECT_EQ(client_->refused(), 0u);
    outbox_.Clear();
    return received;
  }
  std::unique_ptr<Peer> RestoreFrom(const Peer::State& state, RestoreMode mode, Timestamp now) {
    return Peer::Restore(context_, *ReadArchive<Peer::State>(WriteArchive(state, now), now), mode,
                         now);
  }

  std::unique_ptr<transport::DtlsContext> dtls_ = MakeDtls();
  PacketPool pool_{256};
  ice::StunEndpoint stun_;
  Rng rng_{1};
  PeerContext context_{stun_, *dtls_, pool_, kWall, rng_};
  Outbox outbox_{64};
  std::unique_ptr<sim::ClientTransport> client_;
  rtp::MediaKind kind_ = rtp::MediaKind::kVideo;  // Of what is sent.
  std::unique_ptr<Peer> peer_;
  RtcpOutcome rtcp_;
  Bytes last_rtp_;
  rtp::TrackPacket packet_;
};

// The packets of an RTCP datagram, checked for form.
std::vector<rtp::RtcpPacket> Parse(const Bytes& datagram) {
  std::vector<rtp::RtcpPacket> packets;
  rtp::RtcpReader reader(datagram);
  while (const auto packet = reader.Next()) packets.push_back(*packet);
  EXPECT_FALSE(reader.malformed());
  return packets;
}

// A client that restarts its encoder each minute for a day, and reports with each SSRC.
TEST_F(PeerTest, ATrackCarriesTheExtensionsOfItsOwnSectionOnly) {
  rtp::MediaParameters media = Media(2);
  media.send[0].extensions.emplace().Add(rtp::ExtensionType::kMid, 1);
  Start(media);
  Check(At(0));
  outbox_.Clear();
  EXPECT_EQ(Send(0, 100, At(1)), std::nullopt);
  EXPECT_EQ(Send(1, 100, At(1)), std::nullopt);
  const std::vector<Bytes> sent = Take().rtp;
  ASSERT_EQ(sent.size(), 2u);
  const auto first = rtp::ParsePacket(sent[0]);
  const auto second = rtp::ParsePacket(sent[1]);
  EXPECT_EQ(rtp::ParseExtensions(*first, media.extensions).mid, "out0");
  EXPECT_FALSE(rtp::ParseExtensions(*first, media.extensions).transport_sequence);
  EXPECT_TRUE(rtp::ParseExtensions(*second, media.extensions).transport_sequence);
}

TEST_F(PeerTest, AClientMayChangeItsSsrcsForLong) {
  rtp::MediaParameters media = Media(0);
  media.receive[0].ssrc.reset();
  media.receive[0].rtx_ssrc.reset();
  Start(media);
  Check(At(0));
  for (uint32_t n = 0; n < 500; ++n) {
    const uint32_t ssrc = 10'000 + n;
    Bytes plain(40);
    const size_t head = rtp::WriteHeader({.payload_type = kH264, .sequence = 1, .ssrc = ssrc}, {},
                                         {}, plain, nullptr);
    plain[head] = 0x41;
    sim::ClientOutput sent;
    client_->SendRtp(plain, sent);
    ASSERT_EQ(FromClient(sent[0].bytes, At(n)), std::nullopt) << n;
    ASSERT_EQ(ClientRtcp(Rtcp([ssrc](ByteWriter& out) { rtp::WriteReceiverReport(ssrc, {}, out); }),
                         At(n)),
              std::nullopt);
    outbox_.Clear();
  }
  EXPECT_LE(peer_->Export()->srtp_receiver.streams.size(), transport::SrtpReceiver::kMaxStreams);
}

TEST_F(PeerTest, SoundIsSentFromWhatIsNotForPicture) {
  Check(At(0));
  outbox_.Clear();
  std::vector<PacketRef> flood;
  while (PacketRef packet = pool_.Take(PacketUse::kPicture)) flood.push_back(std::move(packet));
  EXPECT_EQ(Send(0, 100, At(1)), DropReason::kPoolReserve);
  kind_ = rtp::MediaKind::kAudio;
  EXPECT_EQ(Send(1, 100, At(1)), std::nullopt);
  EXPECT_EQ(Take().rtp.size(), 1u);
}

TEST_F(PeerTest, NothingIsSentBeforeACheckHasComeFromTheClient) {
  EXPECT_EQ(Send(0, 1, At(0)), DropReason::kPeerNotConnected);
  EXPECT_TRUE(outbox_.empty());
  Check(At(1));
  EXPECT_FALSE(Send(0, 2, At(2)));
  EXPECT_EQ(Take().rtp.size(), 1u);
}

TEST_F(PeerTest, PacketsOfAnotherKeyAreRefused) {
  Check(At(0));
  EXPECT_FALSE(ClientRtp(1, At(1)));
  Bytes forged(60, 0x80);
  forged[0] = 0x80;
  forged[11] = 50;
  forged[8] = forged[9] = forged[10] = 0;
  EXPECT_EQ(peer_->HandleRtp(Wrap(forged), From(At(2)), packet_), DropReason::kSrtpAuth);
  EXPECT_FALSE(ClientRtp(2, At(3)));
}

TEST_F(PeerTest, FeedbackIsReducedInSizeWhereNegotiatedAndElseACompound) {
  for (const bool reduced : {true, false}) {
    Start(Media(1, reduced));
    Check(At(0));
    ClientRtp(1, At(0));
    ClientRtp(4, At(0));
    Take();
    peer_->HandleTimers(At(5), outbox_);
    const Received received = Take();
    ASSERT_EQ(received.rtcp.size(), 1u);
    const auto packets = Parse(received.rtcp[0]);
    const bool starts_with_report = std::holds_alternative<rtp::ReceiverReport>(packets[0]);
    EXPECT_EQ(starts_with_report, !reduced);
    const auto* nack = std::get_if<rtp::GenericNack>(&packets.back());
    ASSERT_NE(nack, nullptr);
    EXPECT_EQ(nack->sender_ssrc, kLocalSsrc);
    EXPECT_EQ(nack->media_ssrc, 50u);
    EXPECT_EQ(peer_->HandleRtcp(*Wrap({0x81, 205, 0, 1}), From(At(6)), At(6), rtcp_, outbox_),
              DropReason::kMalformed);
  }
}

TEST_F(PeerTest, ReportsStartWithOurOwnSsrcAndNameEverySendersCname) {
  Check(At(0));
  ClientRtp(1, At(0));
  for (uint8_t track = 0; track < 2; ++track) {
    Send(track, 100, At(1));
    peer_->SetClock(track, {.at = At(0), .rtp = 5000});
  }
  Take();
  peer_->HandleTimers(At(250), outbox_);
  const Received received = Take();
  ASSERT_EQ(received.rtcp.size(), 1u);
  // All our RTCP has one sender SSRC, and with it one SRTCP index.
  EXPECT_EQ(ReadU32(received.rtcp[0].data() + 4), kLocalSsrc);
  size_t senders = 0;
  size_t descriptions = 0;
  for (const rtp::RtcpPacket& packet : Parse(received.rtcp[0])) {
    if (const auto* report = std::get_if<rtp::SenderReport>(&packet)) {
      EXPECT_EQ(report->sender_ssrc, 1000u + senders);
      EXPECT_EQ(report->rtp_timestamp, 5000u + 250 * 90);
      ++senders;
    } else if (const auto* rr = std::get_if<rtp::ReceiverReport>(&packet)) {
      EXPECT_EQ(rr->blocks.size(), 1u);
    } else if (std::holds_alternative<rtp::SourceDescription>(packet)) {
      ++descriptions;
    }
  }
  EXPECT_EQ(senders, 2u);
  EXPECT_EQ(descriptions, 3u);
  EXPECT_EQ(peer_->NextDeadline(), At(1250));
}

TEST_F(PeerTest, ReportsOfManySlotsTakeAsManyPacketsAsTheyNeed) {
  // As many as the client's end has room for.
  rtp::MediaParameters media = Media(30);
  media.cname = std::string(200, 'c');
  Start(media);
  Check(At(0));
  for (uint8_t track = 0; track < 30; ++track) {
    Send(track, 100, At(1));
    peer_->SetClock(track, {.at = At(0), .rtp = 1});
    Take();
  }
  peer_->HandleTimers(At(250), outbox_);
  std::vector<uint32_t> reported;
  for (const Bytes& datagram : Take().rtcp) {
    EXPECT_EQ(ReadU32(datagram.data() + 4), kLocalSsrc);
    for (const rtp::RtcpPacket& packet : Parse(datagram)) {
      if (const auto* sr = std::get_if<rtp::SenderReport>(&packet)) {
        reported.push_back(sr->sender_ssrc);
      }
    }
  }
  ASSERT_EQ(reported.size(), 30u);
  for (uint32_t i = 0; i < 30; ++i) EXPECT_EQ(reported[i], 1000 + i);
}

TEST_F(PeerTest, AClientThatSendsAndGetsNothingIsNotReportedTo) {
  Check(At(0));
  Take();
  peer_->HandleTimers(At(250), outbox_);
  EXPECT_TRUE(outbox_.empty());
  EXPECT_GT(peer_->NextDeadline(), At(250));
}

TEST_F(PeerTest, ANackIsAnsweredByRtxAtOnce) {
  Check(At(0));
  Send(1, 100, At(0));
  Take();
  const uint16_t wanted[] = {100, 101};
  ASSERT_FALSE(
      ClientRtcp(Rtcp([&](ByteWriter& out) { rtp::WriteNack(7, 1001, wanted, out); }), At(100)));
  const Received received = Take();
  ASSERT_EQ(received.rtp.size(), 1u);
  const auto view = rtp::ParsePacket(received.rtp[0]);
  EXPECT_EQ(view->header.ssrc, 2001u);
  EXPECT_EQ(view->header.payload_type, kH264Rtx);
  EXPECT_EQ(ReadU16(view->payload.data()), 100);
  // Of a track that is not ours: nothing.
  ClientRtcp(Rtcp([&](ByteWriter& out) { rtp::WriteNack(7, 5, wanted, out); }), At(200));
  EXPECT_TRUE(outbox_.empty());
}

TEST_F(PeerTest, KeyframeRequestsNameTheSlot) {
  Check(At(0));
  ClientRtcp(Rtcp([](ByteWriter& out) {
               rtp::WritePli(7, 1001, out);
               rtp::WritePli(7, 12345, out);
             }),
             At(1));
  EXPECT_EQ(rtcp_.keyframe_tracks, 0b10u);
  ClientRtcp(Rtcp([](ByteWriter& out) { rtp::WriteFir(7, 1000, 1, out); }), At(2));
  EXPECT_EQ(rtcp_.keyframe_tracks, 0b01u);
}

TEST_F(PeerTest, AByeEndsNothing) {
  Check(At(0));
  const uint32_t ssrcs[] = {50, 1000, kLocalSsrc};
  ASSERT_FALSE(ClientRtcp(Rtcp([&](ByteWriter& out) { rtp::WriteBye(ssrcs, out); }), At(1)));
  EXPECT_EQ(peer_->phase(), Peer::Phase::kConnected);
  EXPECT_FALSE(ClientRtp(1, At(2)));
  EXPECT_FALSE(Send(0, 1, At(2)));
}

TEST_F(PeerTest, WhatComesBeforeAMalformedPacketCounts) {
  Check(At(0));
  Bytes bytes = Rtcp([](ByteWriter& out) { rtp::WritePli(7, 1000, out); });
  bytes.insert(bytes.end(), {0x81, 206, 0, 9});
  EXPECT_EQ(ClientRtcp(bytes, At(1)), DropReason::kRtcpMalformed);
  EXPECT_EQ(rtcp_.keyframe_tracks, 1u);
}

TEST_F(PeerTest, TransportFeedbackConfirmsTheTrack) {
  Check(At(0));
  Send(1, 100, At(0));
  const Received received = Take();
  const auto view = rtp::ParsePacket(received.rtp.at(0));
  const auto sequence =
      rtp::ParseExtensions(*view, peer_->media().extensions).transport_sequence.value();
  const rtp::FeedbackArrival arrivals[] = {{sequence, TimeDelta::Millis(5)}};
  ClientRtcp(Rtcp([&](ByteWriter& out) {
               rtp::WriteTransportFeedback({7, 1001, sequence, 0}, arrivals, out);
             }),
             At(40));
  EXPECT_EQ(peer_->sender().acknowledged(), 1u);
  EXPECT_EQ(peer_->sender().stream(1).confirmed_at(), At(40));
  EXPECT_TRUE(peer_->sender().stream(0).confirmed_at().IsLongAgo());
}

TEST_F(PeerTest, AReceiverReferenceTimeIsAnswered) {
  Check(At(0));
  ClientRtcp(Rtcp([](ByteWriter& out) {
               rtp::WriteReceiverReferenceTime(7, rtp::NtpTime(0x0000111122220000), out);
             }),
             At(100));
  peer_->HandleTimers(At(350), outbox_);
  const Received received = Take();
  ASSERT_EQ(received.rtcp.size(), 1u);
  std::optional<rtp::ExtendedReport::Dlrr> answer;
  for (const rtp::RtcpPacket& packet : Parse(received.rtcp[0])) {
    const auto* xr = std::get_if<rtp::ExtendedReport>(&packet);
    if (xr != nullptr && xr->dlrr_size() > 0) answer = xr->dlrr_at(0);
  }
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->ssrc, 7u);
  EXPECT_EQ(answer->last_receiver_report, 0x11112222u);
  EXPECT_EQ(answer->delay_since_last_report, 65536u / 4);
}

TEST_F(PeerTest, ConsentExpiresWithoutChecks) {
  Check(At(0));
  EXPECT_LE(peer_->NextDeadline(), At(15'000));
  peer_->HandleTimers(At(14'999), outbox_);
  EXPECT_EQ(peer_->phase(), Peer::Phase::kConnected);
  peer_->HandleTimers(At(15'000), outbox_);
  EXPECT_EQ(peer_->phase(), Peer::Phase::kExpired);
}

TEST_F(PeerTest, AHandshakeThatNeverEndsIsGivenUp) {
  const auto identity = client_->identity();
  Peer peer(context_,
            {.id = PeerId(4),
             .local = identity.gateway,
             .remote = identity.client,
             .fingerprint = {"sha-256", Bytes(32, 1)},
             .media = Media(1),
             .keys = {}},
            At(0));
  EXPECT_EQ(peer.phase(), Peer::Phase::kConnecting);
  EXPECT_EQ(peer.NextDeadline(), At(30'000));
  EXPECT_EQ(peer.HandleRtp(Wrap(Bytes(40, 0x80)), From(At(1)), packet_), DropReason::kDtlsNotReady);
  EXPECT_FALSE(peer.Export());
  peer.HandleTimers(At(30'000), outbox_);
  EXPECT_EQ(peer.phase(), Peer::Phase::kConnectTimeout);
}

TEST_F(PeerTest, AnExhaustedPoolIsCountedAndPassesOver) {
  Check(At(0));
  ClientRtp(1, At(0));
  ClientRtp(3, At(0));
  Take();
  std::vector<PacketRef> taken;
  while (PacketRef packet = pool_.Take()) taken.push_back(std::move(packet));
  peer_->HandleTimers(At(5), outbox_);
  EXPECT_TRUE(outbox_.empty());
  EXPECT_GT(peer_->send_drops().Get(DropReason::kPoolExhausted), 0u);
  taken.clear();
  // What was due is still due.
  peer_->HandleTimers(At(6), outbox_);
  EXPECT_EQ(Take().rtcp.size(), 1u);
}

TEST_F(PeerTest, WhatIsOwedAndCountedSurvivesARestore) {
  Check(At(0));
  ClientRtp(1, At(0));
  ASSERT_EQ(ClientRtcp(Rtcp([](ByteWriter& out) {
                         rtp::WriteReceiverReport(5, {}, out);
                         rtp::WriteReceiverReferenceTime(5, rtp::NtpTime(uint64_t{7} << 32), out);
                       }),
                       At(10)),
            std::nullopt);
  std::vector<PacketRef> taken;
  while (PacketRef packet = pool_.Take()) taken.push_back(std::move(packet));
  peer_->HandleTimers(At(2'000), outbox_);
  taken.clear();
  const uint64_t drops = peer_->send_drops().Get(DropReason::kPoolExhausted);
  ASSERT_GT(drops, 0u);
  const auto codec = peer_->receiver().Report().at(0).codec;
  ASSERT_TRUE(codec);
  outbox_.Clear();
  peer_ = RestoreFrom(*peer_->Export(), RestoreMode::kExact, At(2'100));
  ASSERT_NE(peer_, nullptr);
  EXPECT_EQ(peer_->send_drops().Get(DropReason::kPoolExhausted), drops);
  EXPECT_EQ(peer_->receiver().Report().at(0).codec, codec);
  peer_->HandleTimers(At(2'100), outbox_);
  size_t answers = 0;
  for (const Bytes& compound : Take().rtcp) {
    rtp::RtcpReader reader(compound);
    while (const auto rtcp = reader.Next()) {
      const auto* xr = std::get_if<rtp::ExtendedReport>(&*rtcp);
      if (xr == nullptr || xr->dlrr_size() == 0) continue;
      ++answers;
      EXPECT_EQ(xr->dlrr_at(0).ssrc, 5u);
      EXPECT_EQ(xr->dlrr_at(0).last_receiver_report, 7u << 16);
      EXPECT_EQ(xr->dlrr_at(0).delay_since_last_report,
                rtp::ToCompactNtp(TimeDelta::Millis(2'090)));
    }
  }
  EXPECT_EQ(answers, 1u);
}

TEST_F(PeerTest, ARestoredPeerGoesOnExactly) {
  Check(At(0));
  ClientRtp(65535, At(0));
  const Bytes replayed = last_rtp_;
  ClientRtp(2, At(0));
  Send(0, 40'000, At(0));
  Send(0, 70'000, At(0));
  Take();
  const auto state = peer_->Export();
  ASSERT_TRUE(state);
  peer_ = RestoreFrom(*state, RestoreMode::kExact, At(100));
  ASSERT_NE(peer_, nullptr);
  EXPECT_EQ(peer_->phase(), Peer::Phase::kConnected);
  EXPECT_EQ(peer_->NextSequence(0), 70'001);
  EXPECT_FALSE(Send(0, 70'001, At(101)));
  EXPECT_EQ(Take().rtp.size(), 1u);
  EXPECT_EQ(Send(0, 70'000, At(101)), DropReason::kTooOld);
  EXPECT_FALSE(ClientRtp(3, At(102)));
  // SRTP's window is empty after a restore; the stream knows what came.
  EXPECT_EQ(FromClient(replayed, At(102)), DropReason::kDuplicate);
  // Its history is gone: a NACK finds nothing.
  const uint16_t wanted[] = {static_cast<uint16_t>(70'000)};
  ClientRtcp(Rtcp([&](ByteWriter& out) { rtp::WriteNack(7, 1000, wanted, out); }), At(200));
  EXPECT_TRUE(Take().rtp.empty());
}

TEST_F(PeerTest, AfterAFaultEveryIndexStartsAboveItsLimit) {
  Check(At(0));
  Send(0, 100, At(0));
  Take();
  Peer::State state = *peer_->Export();
  // Without limits nobody knows what the former owner has used.
  EXPECT_EQ(RestoreFrom(state, RestoreMode::kAfterFault, At(10)), nullptr);
  for (auto& [ssrc, stream] : state.srtp_sender.streams) {
    stream.rtp.limit = 5000;
    stream.rtcp.limit = 300;
  }
  peer_ = RestoreFrom(state, RestoreMode::kAfterFault, At(10));
  ASSERT_NE(peer_, nullptr);
  EXPECT_EQ(peer_->NextSequence(0), 5000 + 1024);
  EXPECT_EQ(peer_->sender().stream(0).next_rtx_sequence(), 5000 + 1024);
  EXPECT_EQ(Send(0, 101, At(11)), DropReason::kTooOld);
  EXPECT_FALSE(Send(0, 6024, At(11)));
  const Received received = Take();
  ASSERT_EQ(received.rtp.size(), 1u);
  const auto extensions =
      rtp::ParseExtensions(*rtp::ParsePacket(received.rtp[0]), peer_->media().extensions);
  // The former owner may have used the transport-wide numbers after 1, too.
  EXPECT_GT(extensions.transport_sequence.value(), 1000);
}

TEST_F(PeerTest, AnIceRestartHasTwoNamesUntilTheNewOneIsUsed) {
  Check(At(0));
  const auto old = client_->identity().gateway;
  EXPECT_EQ(peer_->ufrags(), std::vector<std::string>{old.ufrag});
  const ice::Credentials fresh{"newufrag", "a-password-that-is-long-enough"};
  peer_->RestartIce(fresh, client_->identity().client);
  EXPECT_EQ(peer_->ufrags(), (std::vector<std::string>{"newufrag", old.ufrag}));
  Check(At(1));  // Still with the old ones.
  client_->Restart(fresh, client_->identity().client, At(2));
  Check(At(2));
  EXPECT_EQ(peer_->ufrags(), std::vector<std::string>{"newufrag"});
  EXPECT_FALSE(Send(0, 1, At(3)));
}

}  // namespace
}  // namespace vigil::peer
