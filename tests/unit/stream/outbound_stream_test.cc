#include "gateway/stream/outbound_stream.h"

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "gateway/base/archive.h"
#include "gateway/base/rng.h"
#include "gtest/gtest.h"

namespace vigil::stream {
namespace {

using Bytes = std::vector<uint8_t>;

const rtp::WallClock kWall{TimeDelta::Seconds(3'900'000'000)};

Timestamp At(int64_t ms) { return Timestamp::FromNanos(1'000'000'000 + ms * 1'000'000); }

rtp::SendTrack VideoTrack() {
  rtp::SendTrack track;
  track.kind = rtp::MediaKind::kVideo;
  track.mid = "v";
  track.payloads = {{96, 97, {rtp::CodecType::kVp8}},
                    {98, 99, {rtp::CodecType::kVp9}},
                    {100, 101, {rtp::CodecType::kH264, 0x42e0, 1}},
                    {102, std::nullopt, {rtp::CodecType::kAv1}}};
  track.ssrc = 1000;
  track.rtx_ssrc = 2000;
  track.feedback.nack = true;
  return track;
}

rtp::ExtensionMap Extensions() {
  rtp::ExtensionMap map;
  map.Add(rtp::ExtensionType::kMid, 1);
  map.Add(rtp::ExtensionType::kAbsSendTime, 2);
  map.Add(rtp::ExtensionType::kTransportSequence, 3);
  map.Add(rtp::ExtensionType::kAudioLevel, 4);
  map.Add(rtp::ExtensionType::kPlayoutDelay, 5);
  map.Add(rtp::ExtensionType::kAbsCaptureTime, 6);
  map.Add(rtp::ExtensionType::kVideoOrientation, 7);
  map.Add(rtp::ExtensionType::kDependencyDescriptor, 8);
  return map;
}

// A pool, a stream, and shorthand for what its tests do again and again.
class OutboundStreamTest : public testing::Test {
 protected:
  // A source packet with `payload` of the payload mapping's codec.
  rtp::TrackPacket Source(const Bytes& payload, rtp::CodecType codec,
                          const Bytes& dependency = {}) {
    rtp::TrackPacket source;
    source.packet = pool_.Take();
    EXPECT_TRUE(source.packet);
    Packet& packet = *source.packet;
    constexpr size_t kHead = 20;  // As if a header had been there.
    std::copy(payload.begin(), payload.end(), packet.data.begin() + kHead);
    std::copy(dependency.begin(), dependency.end(),
              packet.data.begin() + static_cast<ptrdiff_t>(kHead + payload.size()));
    packet.size = static_cast<uint16_t>(kHead + payload.size() + dependency.size());
    const std::span<const uint8_t> bytes = packet.bytes();
    source.payload = bytes.subspan(kHead, payload.size());
    source.extensions.dependency_descriptor = bytes.subspan(kHead + payload.size());
    source.kind = rtp::KindOf(codec);
    source.codec.type = codec;
    if (!payload.empty()) {
      const auto content =
          rtp::ParsePayload(codec, source.payload, source.extensions.dependency_descriptor);
      EXPECT_TRUE(content);
      if (content) source.content = *content;
    }
    return source;
  }
  ComposeContext Context(Timestamp now) {
    return {.extensions = map_,
            .wall_clock = kWall,
            .now = now,
            .transport_sequence = 321,
            .history = history_};
  }
  // Sends an H.264 packet of `size` bytes under `sequence`.
  void Send(int64_t sequence, Timestamp now, size_t size = 100) {
    Bytes payload(size, static_cast<uint8_t>(sequence));
    payload[0] = 0x41;
    const rtp::TrackPacket source = Source(payload, rtp::CodecType::kH264);
    Packet out;
    ASSERT_TRUE(
        stream_.Compose(source, {.payload_index = 2, .sequence = sequence}, Context(now), out));
  }
  // The retransmission of `sequence`, if there is one.
  std::optional<Bytes> Resend(uint16_t sequence, Timestamp now) {
    if (!stream_.MayRetransmit(sequence, now)) return std::nullopt;
    Packet out;
    if (!stream_.Retransmit(sequence, Context(now), out)) return std::nullopt;
    stream_.OnRetransmitted(sequence, now);
    return Bytes(out.bytes().begin(), out.bytes().end());
  }

  PacketPool pool_{4096};
  TimeDelta history_ = kLongestHistory;
  rtp::ExtensionMap map_ = Extensions();
  OutboundStream stream_{VideoTrack(), 500};
};

Bytes PayloadOf(const rtp::PacketView& view) { return {view.payload.begin(), view.payload.end()}; }

TEST_F(OutboundStreamTest, AComposedPacketParsesBackToWhatTheRewriteSays) {
  rtp::TrackPacket source = Source({0x65, 0x88, 1, 2, 3}, rtp::CodecType::kH264);
  source.marker = true;
  source.extensions.video_orientation = 3;
  source.extensions.mid = "other";
  source.extensions.rid = "hi";
  Packet out;
  const rtp::Rewrite rewrite{.payload_index = 2, .sequence = 65536 + 77, .timestamp = 123456};
  ASSERT_TRUE(stream_.Compose(source, rewrite, Context(At(5)), out));
  const auto view = rtp::ParsePacket(out.bytes());
  ASSERT_TRUE(view);
  EXPECT_EQ(
      view->header,
      (rtp::PacketHeader{
          .marker = true, .payload_type = 100, .sequence = 77, .timestamp = 123456, .ssrc = 1000}));
  EXPECT_EQ(PayloadOf(*view), (Bytes{0x65, 0x88, 1, 2, 3}));
  const rtp::HeaderExtensions extensions = rtp::ParseExtensions(*view, map_);
  EXPECT_EQ(extensions.mid, "v");
  EXPECT_EQ(extensions.rid, "");
  EXPECT_EQ(extensions.transport_sequence, 321);
  EXPECT_EQ(extensions.abs_send_time, rtp::ToAbsSendTime(kWall.At(At(5))));
  EXPECT_EQ(extensions.video_orientation, 3);
  EXPECT_EQ(extensions.playout_delay, (rtp::PlayoutDelay{0, 10}));
  EXPECT_EQ(stream_.counters().packets, 1u);
  EXPECT_EQ(stream_.counters().bytes, 5u);
}

TEST_F(OutboundStreamTest, SoundHasItsLevelAndNoPlayoutDelay) {
  rtp::SendTrack track;
  track.mid = "a";
  track.payloads = {{111, std::nullopt, {rtp::CodecType::kOpus}}};
  track.ssrc = 3000;
  OutboundStream stream(track, 1);
  rtp::TrackPacket source = Source({1, 2, 3}, rtp::CodecType::kOpus);
  source.extensions.audio_level = rtp::AudioLevel{true, 40};
  Packet out;
  ASSERT_TRUE(stream.Compose(source, {.sequence = 9}, Context(At(0)), out));
  const auto view = rtp::ParsePacket(out.bytes());
  ASSERT_TRUE(view);
  const rtp::HeaderExtensions extensions = rtp::ParseExtensions(*view, map_);
  EXPECT_EQ(extensions.audio_level, (rtp::AudioLevel{true, 40}));
  EXPECT_FALSE(extensions.playout_delay);
  // No RTX was negotiated: nothing is kept.
  EXPECT_FALSE(stream.has_history());
  EXPECT_FALSE(stream.MayRetransmit(9, At(1)));
}

TEST_F(OutboundStreamTest, Vp8CountersAreReplacedAndTheIdWidened) {
  // X, I L T K; a 7-bit picture id, tl0, tid/keyidx, then a frame header byte and data.
  const Bytes payload = {0x90, 0xf0, 0x05, 0x06, 0x47, 0x01, 0xaa, 0xbb};
  const rtp::TrackPacket source = Source(payload, rtp::CodecType::kVp8);
  rtp::Rewrite rewrite{.payload_index = 0, .sequence = 1, .has_counters = true};
  rewrite.counters = {.picture_id = 0x1234, .tl0_picture_index = 99, .key_index = 21};
  Packet out;
  ASSERT_TRUE(stream_.Compose(source, rewrite, Context(At(0)), out));
  const Bytes expected = {0x90, 0xf0, 0x92, 0x34, 99, 0x40 | 21, 0x01, 0xaa, 0xbb};
  EXPECT_EQ(PayloadOf(*rtp::ParsePacket(out.bytes())), expected);
  // The retransmission carries the same bytes behind the original sequence number.
  Bytes osn_and_payload = {0, 1};
  osn_and_payload.insert(osn_and_payload.end(), expected.begin(), expected.end());
  const auto rtx = Resend(1, At(100));
  ASSERT_TRUE(rtx);
  EXPECT_EQ(PayloadOf(*rtp::ParsePacket(*rtx)), osn_and_payload);
}

TEST_F(OutboundStreamTest, Vp9CountersAreReplaced) {
  // I P L; a 15-bit picture id, layer indices, tl0.
  const Bytes payload = {0xe8, 0x80, 0x07, 0x20, 0x05, 0x82, 0x49};
  const rtp::TrackPacket source = Source(payload, rtp::CodecType::kVp9);
  rtp::Rewrite rewrite{.payload_index = 1, .sequence = 1, .has_counters = true};
  rewrite.counters = {.picture_id = 0x0102, .tl0_picture_index = 200};
  Packet out;
  ASSERT_TRUE(stream_.Compose(source, rewrite, Context(At(0)), out));
  const auto view = rtp::ParsePacket(out.bytes());
  EXPECT_EQ(view->header.payload_type, 98);
  EXPECT_EQ(PayloadOf(*view), (Bytes{0xe8, 0x81, 0x02, 0x20, 200, 0x82, 0x49}));
}

TEST_F(OutboundStreamTest, TheAv1FrameNumberIsReplacedInTheDescriptorOnly) {
  const Bytes payload = {0x18, 0x0a, 0x0b, 0x0c};
  const Bytes dependency = {0xc0, 0x00, 0x07, 0x80, 0x11};
  const rtp::TrackPacket source = Source(payload, rtp::CodecType::kAv1, dependency);
  Packet out;
  ASSERT_TRUE(stream_.Compose(source, {.payload_index = 3, .sequence = 1, .frame_number = 0xabcd},
                              Context(At(0)), out));
  const auto view = rtp::ParsePacket(out.bytes());
  EXPECT_EQ(PayloadOf(*view), payload);
  const auto written = rtp::ParseExtensions(*view, map_).dependency_descriptor;
  EXPECT_EQ(Bytes(written.begin(), written.end()), (Bytes{0xc0, 0xab, 0xcd, 0x80, 0x11}));
  // The source stays as it is for the other receivers.
  const auto kept = source.extensions.dependency_descriptor;
  EXPECT_EQ(Bytes(kept.begin(), kept.end()), dependency);
  // AV1 was negotiated without RTX here.
  EXPECT_FALSE(Resend(1, At(50)));
  EXPECT_EQ(stream_.counters().nack_refused, 1u);
}

TEST_F(OutboundStreamTest, APacketThatDoesNotFitIsNotRemembered) {
  const rtp::TrackPacket source = Source(Bytes(1570, 0x41), rtp::CodecType::kH264);
  Packet out;
  EXPECT_FALSE(stream_.Compose(source, {.payload_index = 2, .sequence = 1}, Context(At(0)), out));
  EXPECT_FALSE(stream_.has_history());
  EXPECT_EQ(stream_.counters().packets, 0u);
}

// A padding packet that came too late to be left out goes out without payload.
TEST_F(OutboundStreamTest, AnEmptyPacketIsComposedAndRetransmitted) {
  const rtp::TrackPacket source = Source({}, rtp::CodecType::kVp8);
  Packet out;
  ASSERT_TRUE(stream_.Compose(source, {.sequence = 4}, Context(At(0)), out));
  EXPECT_TRUE(rtp::ParsePacket(out.bytes())->payload.empty());
  const auto rtx = Resend(4, At(100));
  ASSERT_TRUE(rtx);
  EXPECT_EQ(PayloadOf(*rtp::ParsePacket(*rtx)), (Bytes{0, 4}));
}

TEST_F(OutboundStreamTest, ARetransmissionIsAnRtxPacketOfTheSamePayload) {
  rtp::TrackPacket source = Source({0x41, 9, 8, 7}, rtp::CodecType::kH264);
  source.marker = true;
  Packet original;
  ASSERT_TRUE(stream_.Compose(source, {.payload_index = 2, .sequence = 0x1fffe, .timestamp = 555},
                              Context(At(0)), original));
  const auto rtx = Resend(0xfffe, At(60));
  ASSERT_TRUE(rtx);
  const auto view = rtp::ParsePacket(*rtx);
  EXPECT_EQ(
      view->header,
      (rtp::PacketHeader{
          .marker = true, .payload_type = 101, .sequence = 500, .timestamp = 555, .ssrc = 2000}));
  EXPECT_EQ(PayloadOf(*view), (Bytes{0xff, 0xfe, 0x41, 9, 8, 7}));
  EXPECT_EQ(rtp::ParseExtensions(*view, map_).mid, "v");
  EXPECT_EQ(stream_.next_rtx_sequence(), 501);
  EXPECT_EQ(stream_.counters().retransmitted, 1u);
  EXPECT_EQ(stream_.counters().retransmitted_bytes, 4u);
  // The original counters stay what a sender report must say.
  EXPECT_EQ(stream_.counters().packets, 1u);
}

TEST_F(OutboundStreamTest, ANackOfWhatWasNeverSentIsMissed) {
  EXPECT_FALSE(Resend(5, At(0)));
  Send(10, At(0));
  Send(13, At(0));
  for (const uint16_t sequence : {9, 11, 12, 14, 40'000}) EXPECT_FALSE(Resend(sequence, At(60)));
  EXPECT_EQ(stream_.counters().nacked, 6u);
  EXPECT_EQ(stream_.counters().nack_missed, 6u);
}

TEST_F(OutboundStreamTest, NacksWithinHalfARoundTripAreRefused) {
  Send(1, At(0));
  ASSERT_TRUE(Resend(1, At(10)));
  EXPECT_FALSE(Resend(1, At(59)));  // The guess is 100 ms.
  EXPECT_EQ(stream_.counters().nack_refused, 1u);
  EXPECT_TRUE(Resend(1, At(60)));
}

TEST_F(OutboundStreamTest, APacketIsRetransmittedTenTimesAtMost) {
  Send(1, At(0));
  int resent = 0;
  for (int i = 1; i < 19; ++i) resent += Resend(1, At(i * 52)) ? 1 : 0;
  EXPECT_EQ(resent, 10);
}

TEST_F(OutboundStreamTest, RetransmissionsDoNotOutweighTheMediaButForABurst) {
  int64_t sent = 0;
  int64_t resent = 0;
  for (int i = 0; i < 900; ++i) {
    Send(i, At(i), 1000);
    sent += 1000;
    // A hostile receiver NACKs all there is, all the time.
    for (int j = std::max(0, i - 600); j <= i; j += 7) {
      if (Resend(static_cast<uint16_t>(j), At(i))) resent += 1000;
    }
    ASSERT_LE(resent, sent + OutboundStream::kRetransmissionBurst);
  }
  EXPECT_GT(resent, sent / 2);
}

TEST_F(OutboundStreamTest, HistoryGrowsWithTheRateAndIsReleasedWithTime) {
  for (int i = 0; i < 5000; ++i) Send(i, At(i / 3));
  // The last second is there, up to the bound.
  EXPECT_EQ(pool_.in_use(), OutboundStream::kMaxHistory);
  EXPECT_TRUE(Resend(4999, At(1700)));
  EXPECT_TRUE(Resend(static_cast<uint16_t>(5000 - OutboundStream::kMaxHistory), At(1700)));
  EXPECT_FALSE(Resend(static_cast<uint16_t>(4999 - OutboundStream::kMaxHistory), At(1700)));
  stream_.Expire(At(2000));
  EXPECT_LT(pool_.in_use(), OutboundStream::kMaxHistory);
  stream_.Expire(At(5000));
  EXPECT_EQ(pool_.in_use(), 0u);
  EXPECT_FALSE(stream_.has_history());
  EXPECT_FALSE(Resend(4999, At(5000)));
  Send(5000, At(6000));
  EXPECT_TRUE(Resend(5000, At(6010)));
}

TEST_F(OutboundStreamTest, OldHistoryGoesWithEachPacketAlready) {
  for (int i = 0; i < 100; ++i) Send(i, At(i * 100));
  EXPECT_LE(pool_.in_use(), 11u);
}

TEST_F(OutboundStreamTest, ARetransmissionThatWasRefusedKeepsItsNumber) {
  Send(10, At(0));
  const int64_t number = stream_.next_rtx_sequence();
  Packet out;
  ASSERT_TRUE(stream_.MayRetransmit(10, At(20)));
  ASSERT_TRUE(stream_.Retransmit(10, Context(At(20)), out));
  EXPECT_EQ(stream_.next_rtx_sequence(), number);
  EXPECT_TRUE(Resend(10, At(21))) << "and may be tried again at once";
  EXPECT_EQ(stream_.next_rtx_sequence(), number + 1);
  EXPECT_EQ(stream_.counters().retransmitted, 1u);
}

TEST_F(OutboundStreamTest, TheHistoryIsAsLongAsThePoolAllows) {
  PacketPool pool(16);
  std::vector<PacketRef> taken;
  const auto take = [&](size_t n) {
    while (taken.size() < n) taken.push_back(pool.Take());
    return HistoryFor(pool);
  };
  EXPECT_EQ(take(8), TimeDelta::Millis(1000));
  EXPECT_EQ(take(9), TimeDelta::Millis(250));
  EXPECT_EQ(take(10), TimeDelta::Millis(250));
  EXPECT_EQ(take(11), TimeDelta::Zero());

  history_ = TimeDelta::Millis(250);
  for (int64_t i = 0; i < 50; ++i) Send(i, At(10 * i));
  EXPECT_FALSE(Resend(10, At(490)));
  EXPECT_TRUE(Resend(25, At(490)));
  EXPECT_EQ(pool_.in_use(), 26u);
  history_ = TimeDelta::Zero();
  Send(50, At(500));
  EXPECT_FALSE(Resend(50, At(510)));
  EXPECT_EQ(pool_.in_use(), 0u);
}

TEST_F(OutboundStreamTest, GapsReorderingAndLeapsKeepTheHistoryRight) {
  Rng rng(31);
  std::vector<int64_t> sent;
  int64_t next = 20'000;
  for (int i = 0; i < 3000; ++i) {
    next += rng.Chance(0.01) ? rng.Between(1, 3000) : rng.Between(1, 3);
    Send(next, At(i / 4));
    sent.push_back(next);
    if (rng.Chance(0.2)) {
      const int64_t late = next - 1;
      if (std::find(sent.end() - std::min<ptrdiff_t>(4, std::ssize(sent)), sent.end(), late) ==
          sent.end()) {
        Send(late, At(i / 4));
        sent.push_back(late);
      }
    }
    ASSERT_LE(pool_.in_use(), OutboundStream::kMaxHistory);
    const int64_t asked = next - rng.Between(0, 4000);
    if (const auto rtx = Resend(static_cast<uint16_t>(asked), At(i / 4))) {
      const auto view = rtp::ParsePacket(*rtx);
      ASSERT_EQ(view->payload[0] << 8 | view->payload[1], asked & 0xffff);
      ASSERT_EQ(view->payload[3], static_cast<uint8_t>(asked));
      ASSERT_NE(std::find(sent.begin(), sent.end(), asked), sent.end());
    }
  }
  stream_.Expire(At(60'000));
  EXPECT_EQ(pool_.in_use(), 0u);
}

TEST_F(OutboundStreamTest, CaptureTimeKeepsThePublishersAndTellsOurClock) {
  rtp::TrackPacket source = Source({0x41, 1}, rtp::CodecType::kH264);
  source.extensions.abs_capture_time = rtp::AbsCaptureTime{rtp::NtpTime(42), 1000};
  const auto composed = [&](std::optional<int64_t> offset) {
    Packet out;
    EXPECT_TRUE(stream_.Compose(
        source, {.payload_index = 2, .sequence = 1, .publisher_clock_offset = offset},
        Context(At(0)), out));
    return *rtp::ParseExtensions(*rtp::ParsePacket(out.bytes()), map_).abs_capture_time;
  };
  EXPECT_EQ(composed(-300), (rtp::AbsCaptureTime{rtp::NtpTime(42), 700}));
  EXPECT_EQ(composed(0), (rtp::AbsCaptureTime{rtp::NtpTime(42), 1000}));
  // While the publisher's clock is not known, an offset to it would mislead.
  EXPECT_EQ(composed(std::nullopt), (rtp::AbsCaptureTime{rtp::NtpTime(42), std::nullopt}));
  // Hostile: sums wrap.
  source.extensions.abs_capture_time->clock_offset = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(composed(1).clock_offset, std::numeric_limits<int64_t>::min());
  source.extensions.abs_capture_time->clock_offset.reset();
  EXPECT_EQ(composed(17).clock_offset, 17);
}

TEST_F(OutboundStreamTest, ASenderReportMapsTheSourcesClock) {
  EXPECT_FALSE(stream_.MakeSenderReport(At(0), kWall));
  stream_.SetClock({.at = At(1000), .rtp = (int64_t{1} << 32) + 9000});
  EXPECT_FALSE(stream_.MakeSenderReport(At(0), kWall));  // Nothing was sent yet.
  Send(1, At(1000), 50);
  Send(2, At(1000), 70);
  const auto report = stream_.MakeSenderReport(At(1500), kWall);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->ssrc, 1000u);
  EXPECT_EQ(report->ntp, kWall.At(At(1500)));
  EXPECT_EQ(report->rtp_timestamp, 9000u + 45'000u);
  EXPECT_EQ(report->packet_count, 2u);
  EXPECT_EQ(report->octet_count, 120u);
  // The capture may lie behind the report's instant as well as before it.
  EXPECT_EQ(stream_.MakeSenderReport(At(900), kWall)->rtp_timestamp, 0u);
  // The slot carries a source whose clock is not known: no report rather than a wrong one.
  stream_.SetClock({});
  EXPECT_FALSE(stream_.MakeSenderReport(At(2000), kWall));
}

rtp::ReportBlock BlockAt(Timestamp sent, TimeDelta held, uint32_t highest) {
  return {.ssrc = 1000,
          .fraction_lost = 12,
          .cumulative_lost = -3,
          .extended_highest_sequence = highest,
          .jitter = 55,
          .last_sender_report = kWall.At(sent).Compact(),
          .delay_since_last_report = rtp::ToCompactNtp(held)};
}

TEST_F(OutboundStreamTest, ReportBlocksGiveTheRoundTrip) {
  Send(1, At(0));
  stream_.OnReportBlock(BlockAt(At(0), TimeDelta::Millis(800), 1), At(850), kWall);
  EXPECT_NEAR(stream_.round_trip().value().seconds(), 0.050, 1e-4);
  EXPECT_EQ(stream_.counters().reported_lost, -3);
  EXPECT_EQ(stream_.counters().reported_fraction_lost, 12);
  EXPECT_EQ(stream_.counters().reported_jitter, 55u);
}

TEST_F(OutboundStreamTest, ReportsThatGoUpAndDownLoseNothingTwiceAndNoMoreThanWasSent) {
  for (uint16_t sequence = 1; sequence <= 5; ++sequence) Send(sequence, At(0));
  rtp::ReportBlock block = BlockAt(At(0), TimeDelta::Zero(), 5);
  for (const auto& [reported, counted] :
       {std::pair(-1, 0u), {3, 3u}, {0, 3u}, {3, 3u}, {4, 4u}, {1'000'000, 5u}, {-8'388'608, 5u}}) {
    block.cumulative_lost = reported;
    stream_.OnReportBlock(block, At(10), kWall);
    EXPECT_EQ(stream_.counters().most_lost, counted) << "after " << reported;
  }
}

TEST_F(OutboundStreamTest, TheRoundTripSurvivesTheWrapOfCompactTime) {
  // Compact NTP wraps when the seconds pass a multiple of 2^16.
  const int64_t seconds = 3'900'000'000;
  const int64_t until_wrap = 65536 - seconds % 65536;
  const Timestamp before = Timestamp::FromNanos(until_wrap * 1'000'000'000 - 30'000'000);
  Send(1, before);
  ASSERT_GT(kWall.At(before).Compact(), kWall.At(before + TimeDelta::Millis(60)).Compact());
  stream_.OnReportBlock(BlockAt(before, TimeDelta::Millis(20), 1), before + TimeDelta::Millis(60),
                        kWall);
  EXPECT_NEAR(stream_.round_trip().value().seconds(), 0.040, 1e-4);
}

TEST_F(OutboundStreamTest, AReportWithoutASenderReportGivesNoRoundTrip) {
  Send(1, At(0));
  rtp::ReportBlock block = BlockAt(At(0), TimeDelta::Zero(), 1);
  block.last_sender_report = 0;
  stream_.OnReportBlock(block, At(5), kWall);
  EXPECT_FALSE(stream_.round_trip().known());
}

// Receivers go on reporting for seconds after the last packet.
TEST_F(OutboundStreamTest, OnlyAReportThatAdvancedConfirmsTheTrack) {
  EXPECT_TRUE(stream_.confirmed_at().IsLongAgo());
  Send(1, At(0));
  stream_.OnReportBlock(BlockAt(At(0), TimeDelta::Zero(), 1), At(100), kWall);
  EXPECT_EQ(stream_.confirmed_at(), At(100));
  stream_.OnReportBlock(BlockAt(At(0), TimeDelta::Zero(), 1), At(1100), kWall);
  EXPECT_EQ(stream_.confirmed_at(), At(100));
  stream_.OnConfirmed(At(1200));
  EXPECT_EQ(stream_.confirmed_at(), At(1200));
  stream_.OnReportBlock(BlockAt(At(0), TimeDelta::Zero(), 2), At(2100), kWall);
  EXPECT_EQ(stream_.confirmed_at(), At(2100));
}

TEST_F(OutboundStreamTest, ARestoredStreamGoesOnWithoutItsHistory) {
  Send(1, At(0));
  Send(2, At(10));
  ASSERT_TRUE(Resend(1, At(20)));
  stream_.SetClock({.at = At(0), .rtp = 100});
  stream_.OnReportBlock(BlockAt(At(0), TimeDelta::Zero(), 2), At(30), kWall);
  const auto state =
      ReadArchive<OutboundStream::State>(WriteArchive(stream_.Export(), At(50)), At(9050));
  ASSERT_TRUE(state);
  stream_ = OutboundStream(*state);
  EXPECT_EQ(pool_.in_use(), 0u);
  EXPECT_EQ(stream_.next_rtx_sequence(), 501);
  EXPECT_EQ(stream_.confirmed_at(), At(9030));
  EXPECT_NEAR(stream_.round_trip().value().seconds(), 0.030, 1e-4);
  EXPECT_EQ(stream_.MakeSenderReport(At(9100), kWall)->packet_count, 2u);
  EXPECT_EQ(stream_.MakeSenderReport(At(9100), kWall)->rtp_timestamp, 100u + 9000u);
  EXPECT_FALSE(stream_.MayRetransmit(2, At(9100)));
  stream_.SkipRtxTo(5000);
  stream_.SkipRtxTo(10);
  Send(3, At(9100));
  const auto rtx = Resend(3, At(9200));
  ASSERT_TRUE(rtx);
  EXPECT_EQ(rtp::ParsePacket(*rtx)->header.sequence, 5000);
}

}  // namespace
}  // namespace vigil::stream
