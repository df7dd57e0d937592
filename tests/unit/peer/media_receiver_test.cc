#include "gateway/peer/media_receiver.h"

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <string>
#include <variant>
#include <vector>

#include "gateway/base/archive.h"
#include "gateway/base/rng.h"
#include "gtest/gtest.h"

namespace vigil::peer {
namespace {

using Bytes = std::vector<uint8_t>;

const rtp::WallClock kWall{TimeDelta::Seconds(3'900'000'000)};
constexpr uint8_t kOpus = 111;
constexpr uint8_t kVp8 = 96;
constexpr uint8_t kVp8Rtx = 97;
const Bytes kKeyframe = {0x10, 0x00, 1, 2};
const Bytes kDelta = {0x10, 0x01, 1, 2};

Timestamp At(int64_t ms) { return Timestamp::FromNanos(1'000'000'000 + ms * 1'000'000); }

rtp::MediaParameters Media(std::vector<std::string> rids = {}) {
  rtp::MediaParameters media;
  media.local_ssrc = 9;
  media.cname = "us";
  media.extensions.Add(rtp::ExtensionType::kMid, 1);
  media.extensions.Add(rtp::ExtensionType::kRid, 2);
  media.extensions.Add(rtp::ExtensionType::kRepairedRid, 3);
  media.extensions.Add(rtp::ExtensionType::kTransportSequence, 4);
  rtp::ReceiveTrack audio{.kind = rtp::MediaKind::kAudio, .mid = "0"};
  audio.payloads = {{kOpus, std::nullopt, {rtp::CodecType::kOpus}}};
  rtp::ReceiveTrack video{.kind = rtp::MediaKind::kVideo, .mid = "1"};
  video.payloads = {{kVp8, kVp8Rtx, {rtp::CodecType::kVp8}}};
  video.rids = std::move(rids);
  video.feedback = {.nack = true, .pli = true, .fir = true};
  media.receive = {audio, video};
  return media;
}

struct Arrival {
  uint32_t ssrc = 0;
  uint8_t type = kVp8;
  uint16_t sequence = 0;
  Bytes payload = kDelta;
  std::string mid = {};
  std::string rid = {};
  std::string repaired_rid = {};
  std::optional<uint16_t> transport_sequence = {};
  uint32_t timestamp = 0;
};

// What RTCP we wrote.
struct Written {
  std::vector<uint16_t> nacks;
  std::vector<uint32_t> plis;
  std::vector<uint32_t> firs;
  std::vector<uint8_t> fir_numbers;
  size_t feedbacks = 0;
  size_t packets = 0;
};

// A receiver, a pool, and shorthand.
struct Client {
  explicit Client(const rtp::MediaParameters& media) : parameters(media), receiver(media) {}

  std::optional<DropReason> Receive(const Arrival& arrival, Timestamp at = At(0)) {
    PacketRef packet = pool.Take();
    rtp::HeaderExtensions extensions;
    extensions.mid = arrival.mid;
    extensions.rid = arrival.rid;
    extensions.repaired_rid = arrival.repaired_rid;
    extensions.transport_sequence = arrival.transport_sequence;
    const size_t head =
        rtp::WriteHeader({.payload_type = arrival.type,
                          .sequence = arrival.sequence,
                          .timestamp = arrival.timestamp,
                          .ssrc = arrival.ssrc},
                         extensions, parameters.extensions, packet->room(), nullptr);
    std::copy(arrival.payload.begin(), arrival.payload.end(),
              packet->data.begin() + static_cast<ptrdiff_t>(head));
    packet->size = static_cast<uint16_t>(head + arrival.payload.size());
    out.packet.Reset();
    return receiver.Accept(std::move(packet), at, out);
  }
  // Everything that is due, in RTCP packets of `room` bytes.
  Written Feedback(Timestamp now, size_t room = 1400) {
    Written written;
    for (;;) {
      Bytes bytes(room);
      ByteWriter writer(bytes);
      if (!receiver.WriteFeedback(now, totals, writer)) break;
      EXPECT_TRUE(writer.ok());
      if (++written.packets > 400) {
        ADD_FAILURE() << "feedback without end";
        break;
      }
      rtp::RtcpReader reader(writer.written());
      while (const auto packet = reader.Next()) {
        if (const auto* nack = std::get_if<rtp::GenericNack>(&*packet)) {
          EXPECT_EQ(nack->sender_ssrc, 9u);
          nack->ForEach([&written](uint16_t s) { written.nacks.push_back(s); });
        } else if (const auto* pli = std::get_if<rtp::PictureLossIndication>(&*packet)) {
          written.plis.push_back(pli->media_ssrc);
        } else if (const auto* fir = std::get_if<rtp::FullIntraRequest>(&*packet)) {
          written.firs.push_back(fir->ssrc(0));
          written.fir_numbers.push_back(fir->command(0));
        } else if (std::holds_alternative<rtp::TransportFeedback>(*packet)) {
          ++written.feedbacks;
        }
      }
      EXPECT_FALSE(reader.malformed());
    }
    return written;
  }

  PacketPool pool{64};
  rtp::MediaParameters parameters;
  MediaReceiver receiver;
  MediaTotals::Direction totals;
  rtp::TrackPacket out;
};

Bytes Rtx(uint16_t original, Bytes payload) {
  payload.insert(payload.begin(),
                 {static_cast<uint8_t>(original >> 8), static_cast<uint8_t>(original)});
  return payload;
}

// ---- Which stream is it? ----

TEST(MediaReceiver, AMidTellsTheTrackOnce) {
  Client client(Media());
  EXPECT_FALSE(client.receiver.Knows(5));
  ASSERT_FALSE(client.Receive({.ssrc = 5, .type = kOpus, .sequence = 3, .mid = "0"}));
  EXPECT_TRUE(client.receiver.Knows(5));
  EXPECT_EQ(client.out.kind, rtp::MediaKind::kAudio);
  EXPECT_EQ(client.out.generation, 1u);
  EXPECT_EQ(client.out.sequence, 3);
  ASSERT_FALSE(client.Receive({.ssrc = 5, .type = kOpus, .sequence = 4}));
  EXPECT_EQ(client.out.generation, 1u);
  EXPECT_EQ(client.Receive({.ssrc = 6, .mid = "7"}), DropReason::kUnknownSsrc);
}

TEST(MediaReceiver, WithoutAMidThePayloadTypeTellsIfItIsOfOneTrackOnly) {
  Client client(Media());
  ASSERT_FALSE(client.Receive({.ssrc = 5, .type = kVp8, .payload = kKeyframe}));
  EXPECT_EQ(client.out.kind, rtp::MediaKind::kVideo);
  EXPECT_EQ(client.Receive({.ssrc = 6, .type = 50}), DropReason::kUnknownSsrc);

  rtp::MediaParameters ambiguous = Media();
  ambiguous.receive.push_back(ambiguous.receive[1]);
  ambiguous.receive[2].mid = "2";
  Client other(ambiguous);
  EXPECT_EQ(other.Receive({.ssrc = 5}), DropReason::kUnknownSsrc);
  EXPECT_FALSE(other.Receive({.ssrc = 5, .mid = "2"}));
}

TEST(MediaReceiver, SsrcsOfTheOfferNeedNoExtension) {
  rtp::MediaParameters media = Media();
  media.receive[1].ssrc = 100;
  media.receive[1].rtx_ssrc = 101;
  Client client(media);
  EXPECT_TRUE(client.receiver.Knows(100));
  EXPECT_FALSE(client.Receive({.ssrc = 100, .sequence = 1}));
  EXPECT_FALSE(client.Receive({.ssrc = 100, .sequence = 3}));
  EXPECT_FALSE(client.Receive({.ssrc = 101, .type = kVp8Rtx, .payload = Rtx(2, kDelta)}));
  EXPECT_EQ(client.out.sequence, 2);
}

TEST(MediaReceiver, RidsTellLayersAndRepairedRidsTheirRetransmissions) {
  Client client(Media({"q", "h", "f"}));
  ASSERT_FALSE(client.Receive({.ssrc = 10, .sequence = 1, .mid = "1", .rid = "q"}));
  EXPECT_EQ(client.out.layer, 0);
  ASSERT_FALSE(client.Receive({.ssrc = 30, .sequence = 1, .mid = "1", .rid = "f"}));
  EXPECT_EQ(client.out.layer, 2);
  client.Receive({.ssrc = 30, .sequence = 3});
  ASSERT_FALSE(client.Receive(
      {.ssrc = 31, .type = kVp8Rtx, .payload = Rtx(2, kDelta), .mid = "1", .repaired_rid = "f"}));
  EXPECT_EQ(client.out.layer, 2);
  EXPECT_EQ(client.out.sequence, 2);
  EXPECT_EQ(client.Receive({.ssrc = 40, .mid = "1"}), DropReason::kUnknownSsrc);
  EXPECT_EQ(client.Receive({.ssrc = 40, .mid = "1", .rid = "x"}), DropReason::kUnknownSsrc);
  EXPECT_EQ(client.receiver.Report().size(), 2u);
}

TEST(MediaReceiver, APayloadTypeOfAnotherRoleIsRefused) {
  Client client(Media());
  client.Receive({.ssrc = 5, .sequence = 1, .mid = "1"});
  EXPECT_EQ(client.Receive({.ssrc = 5, .type = kVp8Rtx, .sequence = 2}),
            DropReason::kUnknownPayloadType);
  EXPECT_EQ(client.Receive({.ssrc = 5, .type = kOpus, .sequence = 2}),
            DropReason::kUnknownPayloadType);
}

TEST(MediaReceiver, RtxIsUndoneOrRefused) {
  Client client(Media());
  const Arrival rtx{.ssrc = 6, .type = kVp8Rtx, .payload = Rtx(2, kDelta), .mid = "1"};
  EXPECT_EQ(client.Receive(rtx), DropReason::kTooOld);  // No stream yet.
  client.Receive({.ssrc = 5, .sequence = 1, .mid = "1"});
  client.Receive({.ssrc = 5, .sequence = 3});
  EXPECT_EQ(client.Receive({.ssrc = 6, .type = kVp8Rtx, .payload = {}}), DropReason::kPaddingOnly);
  EXPECT_EQ(client.Receive({.ssrc = 6, .type = kVp8Rtx, .payload = {1}}), DropReason::kMalformed);
  ASSERT_FALSE(client.Receive(rtx));
  EXPECT_EQ(Bytes(client.out.payload.begin(), client.out.payload.end()), kDelta);
  EXPECT_EQ(client.Receive(rtx), DropReason::kDuplicate);
}

TEST(MediaReceiver, AnotherSsrcReplacesTheStream) {
  Client client(Media());
  client.Receive({.ssrc = 5, .sequence = 1, .mid = "1"});
  client.Receive({.ssrc = 6, .type = kVp8Rtx, .payload = Rtx(1, kDelta), .mid = "1"});
  EXPECT_EQ(client.out.generation, 1u);
  ASSERT_FALSE(client.Receive({.ssrc = 7, .sequence = 40'000, .mid = "1"}, At(10)));
  EXPECT_EQ(client.out.generation, 2u);
  EXPECT_FALSE(client.receiver.Knows(5));
  // Its retransmissions would have numbers of the old one.
  EXPECT_FALSE(client.receiver.Knows(6));
  EXPECT_EQ(client.Receive({.ssrc = 6, .type = kVp8Rtx, .payload = Rtx(39'999, kDelta), .mid = "1"},
                           At(20)),
            DropReason::kUnknownSsrc);
  // A late packet of the old one does not bring it back.
  EXPECT_EQ(client.Receive({.ssrc = 5, .sequence = 2, .mid = "1"}, At(30)),
            DropReason::kUnknownSsrc);
  ASSERT_FALSE(client.Receive({.ssrc = 7, .sequence = 40'001}, At(40)));
  EXPECT_EQ(client.out.generation, 2u);
  EXPECT_EQ(client.Receive({.ssrc = 5, .sequence = 3, .mid = "1"}, At(60'000)),
            DropReason::kUnknownSsrc);
  // Only the last few are remembered.
  for (uint32_t ssrc = 100; ssrc < 100 + MediaReceiver::kMaxRetired; ++ssrc) {
    EXPECT_FALSE(client.Receive({.ssrc = ssrc, .sequence = 1, .mid = "1"}));
  }
  EXPECT_FALSE(client.Receive({.ssrc = 5, .sequence = 4, .mid = "1"}));
}

TEST(MediaReceiver, AClientOfManySsrcsGetsNoMemory) {
  Rng rng(40);
  Client client(Media({"q", "h", "f"}));
  const char* rids[] = {"q", "h", "f", ""};
  for (uint32_t i = 0; i < 5000; ++i) {
    const bool rtx = rng.Chance(0.5);
    client.Receive({.ssrc = 1000 + i,
                    .type = rtx               ? kVp8Rtx
                            : rng.Chance(0.5) ? kVp8
                                              : kOpus,
                    .payload = Rtx(1, kDelta),
                    .mid = rng.Chance(0.5) ? "1" : "0",
                    .rid = rids[rng.Below(4)],
                    .repaired_rid = rids[rng.Below(4)]},
                   At(i));
    client.Feedback(At(i));
    ASSERT_LE(client.receiver.routes().size(), MediaReceiver::kMaxSsrcs);
  }
  client.out.packet.Reset();
  EXPECT_EQ(client.pool.in_use(), 0u);
}

TEST(MediaReceiver, GarbageIsMalformed) {
  Rng rng(41);
  Client client(Media());
  for (int i = 0; i < 2000; ++i) {
    PacketRef packet = client.pool.Take();
    packet->size = static_cast<uint16_t>(rng.Below(100));
    rng.Fill(packet->bytes());
    if (packet->size > 0 && rng.Chance(0.7)) packet->data[0] = 0x90;
    client.receiver.Accept(std::move(packet), At(i), client.out);
  }
  client.Receive({.ssrc = 5, .sequence = 1, .mid = "1"});
  EXPECT_EQ(client.Receive({.ssrc = 5, .sequence = 2, .payload = {0x90, 0x80}}),
            DropReason::kMalformed);
}

// ---- Feedback ----

TEST(MediaReceiver, LossesAreNackedOverPacketsOfAnySize) {
  for (const size_t room : {size_t{40}, size_t{64}, size_t{1400}}) {
    Client client(Media());
    client.Receive({.ssrc = 5, .sequence = 0, .mid = "1"});
    for (uint16_t s = 40; s < 300; s += 40) client.Receive({.ssrc = 5, .sequence = s});
    Written written = client.Feedback(At(5), room);
    std::sort(written.nacks.begin(), written.nacks.end());
    EXPECT_EQ(written.nacks.size(), 7u * 39) << room;
    EXPECT_EQ(std::unique(written.nacks.begin(), written.nacks.end()), written.nacks.end());
    EXPECT_GT(client.receiver.NextDeadline(), At(5));
  }
}

TEST(MediaReceiver, WithoutRtxWhatIsLostIsAskedForAndTakenAsItWas) {
  rtp::MediaParameters media = Media();
  media.receive[1].payloads[0].rtx_payload_type.reset();
  Client client(media);
  client.Receive({.ssrc = 5, .sequence = 10, .mid = "1"});
  client.Receive({.ssrc = 5, .sequence = 12}, At(1));
  EXPECT_EQ(client.Feedback(At(10)).nacks, std::vector<uint16_t>{11});
  EXPECT_EQ(client.Receive({.ssrc = 5, .sequence = 11}, At(60)), std::nullopt);
  EXPECT_EQ(client.out.sequence, 11);
  EXPECT_TRUE(client.Feedback(At(300)).nacks.empty());
  EXPECT_EQ(client.Receive({.ssrc = 5, .sequence = 11}, At(310)), DropReason::kDuplicate);
}

TEST(MediaReceiver, FeedbackWithTinyRoomEndsAndLosesNothing) {
  Client client(Media());
  client.Receive({.ssrc = 5, .sequence = 0, .mid = "1", .transport_sequence = 1});
  client.Receive({.ssrc = 5, .sequence = 5, .transport_sequence = 2});
  client.receiver.RequestKeyframe(0, At(0));
  for (size_t room = 0; room < 16; ++room) EXPECT_EQ(client.Feedback(At(60), room).packets, 0u);
  const Written rest = client.Feedback(At(60), 200);
  EXPECT_EQ(rest.nacks.size(), 4u);
  EXPECT_EQ(rest.plis.size(), 1u);
  EXPECT_EQ(rest.feedbacks, 1u);
  EXPECT_GT(client.receiver.NextDeadline(), At(60));
}

TEST(MediaReceiver, AKeyframeIsAskedOfTheStreamOnceItIsKnown) {
  Client client(Media({"q", "h"}));
  client.receiver.RequestKeyframe(1, At(0));
  client.receiver.RequestKeyframe(9, At(0));
  EXPECT_TRUE(client.Feedback(At(0)).plis.empty());
  EXPECT_TRUE(client.receiver.NextDeadline().IsNever());
  client.Receive({.ssrc = 30, .sequence = 1, .mid = "1", .rid = "h"}, At(100));
  EXPECT_EQ(client.Feedback(At(100)).plis, std::vector<uint32_t>{30});
  EXPECT_TRUE(client.Feedback(At(200)).plis.empty());
  client.Receive({.ssrc = 30, .sequence = 2, .payload = kKeyframe}, At(210));
  EXPECT_TRUE(client.Feedback(At(1100)).plis.empty());
}

TEST(MediaReceiver, WithoutPliAFirAsks) {
  rtp::MediaParameters media = Media();
  media.receive[1].feedback.pli = false;
  Client client(media);
  client.Receive({.ssrc = 5, .mid = "1"});
  client.receiver.RequestKeyframe(0, At(0));
  EXPECT_EQ(client.Feedback(At(0)).firs, std::vector<uint32_t>{5});
}

// RFC 5104, 4.3.1.2.
TEST(MediaReceiver, ARepeatedFirKeepsItsNumber) {
  rtp::MediaParameters media = Media();
  media.receive[1].feedback.pli = false;
  Client client(media);
  client.Receive({.ssrc = 5, .sequence = 1, .mid = "1"});
  client.receiver.RequestKeyframe(0, At(0));
  const uint8_t first = client.Feedback(At(0)).fir_numbers.at(0);
  client.receiver.RequestKeyframe(0, At(400));
  EXPECT_EQ(client.Feedback(At(400)).fir_numbers.at(0), first);
  EXPECT_EQ(client.Feedback(At(1400)).fir_numbers.at(0), first);
  const auto state = client.receiver.Export();
  ASSERT_TRUE(client.receiver.Restore(state, false, At(1400)));
  EXPECT_EQ(client.Feedback(At(2400)).fir_numbers.at(0), first);
  client.Receive({.ssrc = 5, .sequence = 2, .payload = kKeyframe}, At(2500));
  client.receiver.RequestKeyframe(0, At(3000));
  EXPECT_EQ(client.Feedback(At(3000)).fir_numbers.at(0), first + 1);
  // What was lost may have been the keyframe: the next request is another one.
  client.Receive({.ssrc = 5, .sequence = 1000}, At(3010));
  EXPECT_EQ(client.Feedback(At(3400)).fir_numbers.at(0), first + 2);
}

TEST(MediaReceiver, WhatCannotBeRepairedAsksForAKeyframe) {
  Client client(Media());
  client.Receive({.ssrc = 5, .sequence = 0, .mid = "1"});
  client.Receive({.ssrc = 5, .sequence = 1000});
  EXPECT_EQ(client.Feedback(At(0)).plis.size(), 1u);

  Client slow(Media());
  slow.Receive({.ssrc = 5, .sequence = 0, .mid = "1"});
  slow.Receive({.ssrc = 5, .sequence = 2});
  for (Timestamp now = At(0); now < At(900); now = slow.receiver.NextDeadline()) {
    EXPECT_TRUE(slow.Feedback(now).plis.empty());
  }
  EXPECT_EQ(slow.Feedback(At(1000)).plis.size(), 1u);
}

TEST(MediaReceiver, AKeyframeThatComesLateIsNoPlaceToBegin) {
  Client client(Media());
  client.Receive({.ssrc = 5, .sequence = 10, .mid = "1"});
  client.receiver.RequestKeyframe(0, At(0));
  EXPECT_EQ(client.Feedback(At(0)).plis.size(), 1u);
  client.Receive({.ssrc = 5, .sequence = 12}, At(350));
  ASSERT_FALSE(client.Receive({.ssrc = 5, .sequence = 11, .payload = kKeyframe}, At(360)));
  EXPECT_FALSE(client.out.content.starts_keyframe);
  // Whoever waits goes on waiting, and asks again.
  EXPECT_EQ(client.Feedback(At(360)).plis.size(), 1u);
}

TEST(MediaReceiver, TransportFeedbackCoversAllThatIsAuthentic) {
  Client client(Media());
  client.Receive({.ssrc = 5, .type = kOpus, .mid = "0", .transport_sequence = 1});
  client.Receive({.ssrc = 77, .type = 50, .transport_sequence = 2});
  EXPECT_EQ(client.receiver.NextDeadline(), At(50));
  EXPECT_EQ(client.Feedback(At(50)).feedbacks, 1u);
  EXPECT_TRUE(client.receiver.NextDeadline().IsNever());
}

// ---- Reports and clocks ----

TEST(MediaReceiver, EachStreamHasAReportBlock) {
  Client client(Media());
  client.Receive({.ssrc = 5, .type = kOpus, .sequence = 1, .mid = "0"});
  client.Receive({.ssrc = 6, .sequence = 100, .mid = "1"});
  client.Receive({.ssrc = 6, .sequence = 103});
  std::vector<rtp::ReportBlock> blocks;
  client.receiver.MakeReportBlocks(At(10), client.totals, blocks);
  ASSERT_EQ(blocks.size(), 2u);
  EXPECT_EQ(blocks[0].ssrc, 5u);
  EXPECT_EQ(blocks[1].ssrc, 6u);
  EXPECT_EQ(blocks[1].cumulative_lost, 2);
  const auto report = client.receiver.Report();
  EXPECT_EQ(report[1].counters.packets, 2u);
  EXPECT_EQ(report[1].codec->type, rtp::CodecType::kVp8);
}

// Sound and picture captured together are mapped to one instant, however late each report comes.
TEST(MediaReceiver, SenderReportsKeepTheTracksInSync) {
  Client client(Media());
  client.Receive({.ssrc = 5, .type = kOpus, .mid = "0", .timestamp = 48'000});
  client.Receive({.ssrc = 6, .mid = "1", .timestamp = 90'000});
  const TimeDelta ahead = TimeDelta::Seconds(100);  // The publisher's clock.
  const auto report = [&](uint32_t ssrc, int64_t sent_ms, uint32_t timestamp, int64_t delay_ms) {
    return client.receiver.OnSenderReport(
        {.sender_ssrc = ssrc, .ntp = kWall.At(At(sent_ms) + ahead), .rtp_timestamp = timestamp},
        At(sent_ms + delay_ms), kWall);
  };
  ASSERT_TRUE(report(5, 0, 48'000, 20));
  const auto audio = report(5, 1000, 96'000, 20);
  const auto video = report(6, 1000, 180'000, 170);
  ASSERT_TRUE(audio && video);
  EXPECT_EQ(audio->kind, rtp::MediaKind::kAudio);
  EXPECT_EQ(video->kind, rtp::MediaKind::kVideo);
  EXPECT_LT(std::abs((audio->clock.at - video->clock.at).us()), 10);
  EXPECT_NEAR((audio->clock.at - At(1020)).seconds(), 0, 1e-5);
  EXPECT_EQ(audio->clock.rtp, 96'000);
  EXPECT_EQ(video->clock.rtp, 180'000);
  EXPECT_NEAR(static_cast<double>(audio->clock.publisher_clock_offset) / 4294967296.0, 99.980,
              1e-3);
  EXPECT_FALSE(report(77, 0, 0, 0));
  EXPECT_FALSE(client.receiver.OnSenderReport({.sender_ssrc = 5}, At(0), kWall));  // No NTP time.
}

TEST(MediaReceiver, HostileReportsAreSurvived) {
  Rng rng(42);
  Client client(Media());
  client.Receive({.ssrc = 6, .mid = "1", .timestamp = 90'000});
  for (int i = 0; i < 2000; ++i) {
    client.receiver.OnSenderReport({.sender_ssrc = 6,
                                    .ntp = rtp::NtpTime(rng.Next()),
                                    .rtp_timestamp = static_cast<uint32_t>(rng.Next())},
                                   At(i), kWall);
    client.receiver.OnDlrr(
        {9, static_cast<uint32_t>(rng.Next()), static_cast<uint32_t>(rng.Next())}, At(i), kWall);
  }
  EXPECT_LE(client.receiver.round_trip().value(), TimeDelta::Seconds(10));
}

TEST(MediaReceiver, ADlrrGivesTheRoundTrip) {
  Client client(Media());
  const rtp::ExtendedReport::Dlrr item{9, kWall.At(At(0)).Compact(),
                                       rtp::ToCompactNtp(TimeDelta::Millis(100))};
  client.receiver.OnDlrr({8, item.last_receiver_report, 0}, At(150), kWall);
  client.receiver.OnDlrr({9, 0, 0}, At(150), kWall);
  EXPECT_FALSE(client.receiver.round_trip().known());
  client.receiver.OnDlrr(item, At(150), kWall);
  EXPECT_NEAR(client.receiver.round_trip().value().seconds(), 0.050, 1e-3);
}

TEST(MediaReceiver, ARestoredReceiverGoesOn) {
  Client client(Media());
  client.Receive({.ssrc = 5, .sequence = 1, .mid = "1"});
  client.Receive({.ssrc = 5, .sequence = 3});
  client.Receive({.ssrc = 6, .type = kVp8Rtx, .payload = Rtx(1, kDelta), .mid = "1"});
  const auto state =
      ReadArchive<MediaReceiver::State>(WriteArchive(client.receiver.Export(), At(10)), At(10));
  ASSERT_TRUE(state);
  Client restored(Media());
  ASSERT_TRUE(restored.receiver.Restore(*state, /*after_fault=*/false, At(10)));
  ASSERT_FALSE(restored.Receive({.ssrc = 5, .sequence = 4}));
  EXPECT_EQ(restored.out.generation, 1u);
  EXPECT_EQ(restored.Feedback(At(15)).nacks, std::vector<uint16_t>{2});
  EXPECT_FALSE(restored.Receive({.ssrc = 6, .type = kVp8Rtx, .payload = Rtx(2, kDelta)}));
  EXPECT_EQ(restored.out.sequence, 2);

  Client other(Media({"q"}));
  MediaReceiver::State wrong = *state;
  wrong.routes[0].layer = 3;
  EXPECT_FALSE(other.receiver.Restore(wrong, /*after_fault=*/false, At(0)));
  wrong = *state;
  wrong.tracks.pop_back();
  EXPECT_FALSE(other.receiver.Restore(wrong, /*after_fault=*/false, At(0)));
}

}  // namespace
}  // namespace vigil::peer
