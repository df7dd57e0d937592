#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/base/byte_io.h"
#include "gateway/base/rng.h"
#include "gateway/base/sequence.h"
#include "gateway/base/time.h"
#include "gateway/rtp/rtcp.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/rtp/rtcp_bytes.h"

namespace vigil::rtp {
namespace {

using ::testing::ElementsAre;
using ::testing::Optional;
using ::testing::SizeIs;

constexpr uint32_t kSender = 0x11223344;
constexpr uint32_t kMedia = 0xaabbccdd;
constexpr int64_t kTickNs = 250'000;
constexpr TimeDelta kReferenceTick = TimeDelta::Millis(64);

// A status per packet: the arrival in ticks of 250 us, or none.
using Statuses = std::vector<std::optional<int64_t>>;

Statuses Read(const TransportFeedback& feedback) {
  Statuses statuses;
  TransportFeedback::Cursor cursor(feedback);
  while (const auto arrival = cursor.Next()) {
    EXPECT_EQ(arrival->sequence, static_cast<uint16_t>(feedback.base_sequence + statuses.size()));
    statuses.push_back(arrival->received ? std::optional(arrival->time.ns() / kTickNs)
                                         : std::nullopt);
  }
  EXPECT_FALSE(cursor.Next());
  return statuses;
}

std::optional<Statuses> Read(std::string_view hex) {
  const Bytes bytes = FromHex(hex);
  const auto feedback = ReadOnly<TransportFeedback>(bytes);
  if (!feedback) return std::nullopt;
  return Read(*feedback);
}

bool Malformed(std::string_view hex) { return CountPackets(FromHex(hex)) == std::pair(0, true); }

// The draft read the slow way: all symbols first, then all deltas.
Statuses ReadSlowly(const TransportFeedback& feedback) {
  ByteReader in(feedback.chunks_and_deltas);
  std::vector<int> symbols;
  while (symbols.size() < feedback.packet_count) {
    const uint16_t chunk = in.U16();
    if (chunk < 0x8000) {
      symbols.insert(symbols.end(), chunk & 0x1fff, chunk >> 13);
    } else if (chunk < 0xc000) {
      for (int bit = 13; bit >= 0; --bit) symbols.push_back(chunk >> bit & 1);
    } else {
      for (int bit = 12; bit >= 0; bit -= 2) symbols.push_back(chunk >> bit & 3);
    }
  }
  symbols.resize(feedback.packet_count);
  Statuses statuses;
  int64_t tick = int64_t{feedback.reference_time} * 256;
  for (const int symbol : symbols) {
    if (symbol == 1) tick += in.U8();
    if (symbol == 2) tick += static_cast<int16_t>(in.U16());
    statuses.push_back(symbol == 0 ? std::nullopt : std::optional(tick));
  }
  EXPECT_TRUE(in.ok());
  EXPECT_EQ(in.remaining(), 0u);
  return statuses;
}

FeedbackArrival At(int64_t sequence, int64_t tick) {
  return {.sequence = sequence, .time = TimeDelta::Nanos(tick * kTickNs)};
}

// `count` arrivals, each `step` after the one before.
std::vector<FeedbackArrival> Evenly(int64_t count, FeedbackArrival first, FeedbackArrival step) {
  std::vector<FeedbackArrival> arrivals;
  arrivals.reserve(static_cast<size_t>(count) + 1);
  for (int64_t i = 0; i < count; ++i) {
    arrivals.push_back({first.sequence + i * step.sequence, first.time + step.time * i});
  }
  return arrivals;
}

std::optional<Bytes> Write(int64_t base, const std::vector<FeedbackArrival>& arrivals) {
  return WriteBytes(
      [&](ByteWriter& out) {
        EXPECT_EQ(WriteTransportFeedback({kSender, kMedia, base, 5}, arrivals, out),
                  arrivals.size());
      },
      1 << 18);
}

// ---- Known bytes ----

TEST(TransportFeedbackWrite, RunOfSmallDeltas) {
  // 4000 ticks are 15 * 256 + 160.
  EXPECT_THAT(Write(10, {At(10, 4000), At(11, 4004), At(12, 4259)}),
              Optional(FromHex("8fcd0006 11223344 aabbccdd 000a0003 00000f05"
                               "2003 a004ff 000000")));
}

TEST(TransportFeedbackWrite, OneBitVectorOverTheWrapOfTheSequence) {
  EXPECT_THAT(Write(65530, Evenly(7, At(65530, 256), At(2, 1))),
              Optional(FromHex("8fcd0007 11223344 aabbccdd fffa000d 00000105"
                               "aaaa 00010101010101 000000")));
}

TEST(TransportFeedbackWrite, TwoBitVectorWithNegativeAndLargeDeltas) {
  EXPECT_THAT(Write(1, {At(1, 40000), At(2, 39996), At(4, 40396)}),
              Optional(FromHex("8fcd0006 11223344 aabbccdd 00010004 00009c05"
                               "d880 40 fffc 0190 00")));
}

TEST(TransportFeedbackWrite, RunsWhereTheyPay) {
  std::vector<FeedbackArrival> arrivals = Evenly(20, At(0, 512), At(1, 0));
  arrivals.push_back(At(50, 512));
  EXPECT_THAT(Write(0, arrivals), Optional(FromHex("8fcd000b 11223344 aabbccdd 00000033 00000205"
                                                   "2014 001e 2001"
                                                   "0000000000 0000000000 0000000000 0000000000"
                                                   "00 00")));
}

TEST(TransportFeedbackWrite, VectorIsSplitWhenALargeDeltaComes) {
  // Symbols 1011 1011 1 and then a large one: two two-bit vectors.
  std::vector<FeedbackArrival> arrivals;
  for (const int i : {0, 2, 3, 4, 6, 7, 8}) arrivals.push_back(At(i, 256));
  arrivals.push_back(At(9, 256 + 256));
  EXPECT_THAT(Write(0, arrivals), Optional(FromHex("8fcd0008 11223344 aabbccdd 0000000a 00000105"
                                                   "d151 d600 00000000000000 0100 000000")));
}

TEST(TransportFeedbackWrite, BaseBeforeTheFirstArrival) {
  EXPECT_THAT(Write(7, {At(9, 0)}),
              Optional(FromHex("8fcd0005 11223344 aabbccdd 00070003 00000005 c100 00 00")));
}

TEST(TransportFeedbackRead, KnownBytes) {
  EXPECT_THAT(Read("8fcd0006 11223344 aabbccdd 000a0003 00000f05 2003 a004ff 000000"),
              Optional(ElementsAre(4000, 4004, 4259)));
  EXPECT_THAT(Read("8fcd0006 11223344 aabbccdd 00010004 00009c05 d880 40 fffc 0190 00"),
              Optional(ElementsAre(40000, 39996, std::nullopt, 40396)));
}

TEST(TransportFeedbackRead, FieldsOfTheHeader) {
  const Bytes bytes = FromHex("8fcd0006 11223344 aabbccdd fffe0003 fffffe07 2003 a004ff 000000");
  const auto feedback = ReadOnly<TransportFeedback>(bytes);
  ASSERT_TRUE(feedback);
  EXPECT_EQ(feedback->sender_ssrc, kSender);
  EXPECT_EQ(feedback->media_ssrc, kMedia);
  EXPECT_EQ(feedback->base_sequence, 65534);
  EXPECT_EQ(feedback->packet_count, 3);
  EXPECT_EQ(feedback->reference_time, -2);
  EXPECT_EQ(feedback->feedback_count, 7);
  EXPECT_EQ(feedback->chunks_and_deltas.size(), 5u);
  EXPECT_THAT(Read(*feedback), ElementsAre(-512 + 160, -512 + 164, -512 + 419));
}

// ---- Forms that only others write ----

TEST(TransportFeedbackRead, RtcpPaddingOfOneToThreeBytes) {
  EXPECT_THAT(Read("afcd0005 11223344 aabbccdd 000a0001 00000000 2001 07 01"),
              Optional(ElementsAre(7)));
  EXPECT_THAT(Read("afcd0005 11223344 aabbccdd 000a0001 00000000 8000 0002"),
              Optional(ElementsAre(std::nullopt)));
  EXPECT_THAT(Read("afcd0006 11223344 aabbccdd 000a0003 00000000 2003 010101 000003"),
              Optional(ElementsAre(1, 2, 3)));
  // The padding may not eat a delta.
  EXPECT_TRUE(Malformed("afcd0006 11223344 aabbccdd 000a0003 00000000 2003 010101 000004"));
}

TEST(TransportFeedbackRead, RunsLongerThanThePacketCountAndOfNoLength) {
  EXPECT_THAT(Read("8fcd0006 11223344 aabbccdd 000a0002 00000000 5fff 0001 ffff 0000"),
              Optional(ElementsAre(1, 0)));
  EXPECT_THAT(Read("8fcd0006 11223344 aabbccdd 000a0002 00000000 0000 6000 2002 0101"),
              Optional(ElementsAre(1, 2)));
}

TEST(TransportFeedbackRead, SymbolsBeyondThePacketCountMeanNothing) {
  // Two-bit: 1 and then reserved ones; one-bit: 1 and then ones without deltas.
  EXPECT_THAT(Read("8fcd0005 11223344 aabbccdd 000a0001 00000000 dfff 0900"),
              Optional(ElementsAre(9)));
  EXPECT_THAT(Read("8fcd0005 11223344 aabbccdd 000a0001 00000000 bfff 0900"),
              Optional(ElementsAre(9)));
}

// ---- Malformed ----

TEST(TransportFeedbackRead, Malformed) {
  const std::string head = " 11223344 aabbccdd ";
  EXPECT_TRUE(Malformed("8fcd0005" + head + "000a0000 00000000 2000 0000"));  // No packets.
  EXPECT_TRUE(Malformed("8fcd0005" + head + "000a0001 00000000 6001 0000"));  // Reserved, run.
  EXPECT_TRUE(Malformed("8fcd0005" + head + "000a0002 00000000 f400 0000"));  // Reserved, vector.
  EXPECT_TRUE(Malformed("8fcd0005" + head + "000a0008 00000000 c000 0000"));  // Covers 7 of 8.
  EXPECT_TRUE(Malformed("8fcd0005" + head + "000a0003 00000000 2003 0101"));  // A delta is missing.
  EXPECT_TRUE(Malformed("8fcd0005" + head + "000a0002 00000000 4002 0101"));
  EXPECT_TRUE(Malformed("8fcd0004" + head + "000a0001 00000000"));  // No chunk at all.
  EXPECT_TRUE(Malformed("8fcd0003" + head + "000a0001"));
  EXPECT_TRUE(Malformed("8fcd0000"));
}

TEST(TransportFeedbackRead, EveryTruncationIsMalformed) {
  for (const std::string_view hex :
       {"8fcd0006 11223344 aabbccdd 000a0003 00000f05 2003 a004ff 000000",
        "8fcd0007 11223344 aabbccdd fffa000d 00000105 aaaa 00010101010101 000000",
        "8fcd0006 11223344 aabbccdd 00010004 00009c05 d880 40 fffc 0190 00"}) {
    const Bytes whole = FromHex(hex);
    ASSERT_TRUE(ReadOnly<TransportFeedback>(whole));
    for (size_t size = 1; size < whole.size(); ++size) {
      Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
      EXPECT_EQ(CountPackets(cut), std::pair(0, true)) << hex << " cut to " << size;
      if (size % 4 != 0) continue;
      cut[3] = static_cast<uint8_t>(size / 4 - 1);  // The length agrees, the content does not.
      EXPECT_EQ(CountPackets(cut), std::pair(0, true)) << hex << " shortened to " << size;
    }
  }
}

TEST(TransportFeedbackRead, LongestClaimIsBoundedWork) {
  const std::string head = " 11223344 aabbccdd 0000ffff 00000000 ";
  const Bytes lost =
      FromHex("8fcd000a" + head + "1fff 1fff 1fff 1fff 1fff 1fff 1fff 1fff 0006 2001 05 000000");
  // 8 * 8191 + 6 lost ones and the last one received.
  const auto feedback = ReadOnly<TransportFeedback>(lost);
  ASSERT_TRUE(feedback);
  TransportFeedback::Cursor slow(*feedback);
  int missing = 0;
  std::optional<TransportFeedback::Arrival> last;
  while (const auto arrival = slow.Next()) {
    last = arrival;
    missing += arrival->received ? 0 : 1;
  }
  EXPECT_EQ(missing, 65534);
  ASSERT_TRUE(last && last->received);
  EXPECT_EQ(last->sequence, 65534);

  TransportFeedback::Cursor fast(*feedback);
  const auto only = fast.NextReceived();
  ASSERT_TRUE(only);
  EXPECT_EQ(only->sequence, 65534);
  EXPECT_EQ(only->time, last->time);
  EXPECT_FALSE(fast.NextReceived());
  EXPECT_FALSE(fast.Next());

  // Seven packets are not covered; all are, but 65535 deltas are not there.
  EXPECT_TRUE(Malformed("8fcd0008" + head + "1fff 1fff 1fff 1fff 1fff 1fff 1fff 1fff"));
  EXPECT_TRUE(Malformed("8fcd0009" + head + "3fff 3fff 3fff 3fff 3fff 3fff 3fff 3fff 2007 0000"));
}

// ---- Limits of the writer ----

TEST(TransportFeedbackWrite, StopsWhereTheRoomEndsAndGoesOn) {
  const std::vector<FeedbackArrival> arrivals = Evenly(100, At(0, 0), At(3, 300));
  for (size_t room = 0; room < 320; ++room) {
    Bytes buffer(room);
    ByteWriter out(buffer);
    const size_t n = WriteTransportFeedback({1, 2, 0, 0}, arrivals, out);
    if (room < 24) {
      EXPECT_EQ(n, 0u);
      EXPECT_FALSE(out.ok());
      EXPECT_EQ(out.position(), 0u);
      continue;
    }
    ASSERT_TRUE(out.ok());
    EXPECT_EQ(out.position() % 4, 0u);
    const auto feedback = ReadOnly<TransportFeedback>(out.written());
    ASSERT_TRUE(feedback);
    EXPECT_EQ(feedback->packet_count, arrivals[n - 1].sequence + 1);
    // One more would not have fitted.
    if (n == arrivals.size()) continue;
    const auto next = Write(0, {arrivals.begin(), arrivals.begin() + static_cast<int>(n) + 1});
    ASSERT_TRUE(next);
    EXPECT_GT(next->size(), room);
  }
}

TEST(TransportFeedbackWrite, StopsAtADeltaOfMoreThan16Bits) {
  const auto reported = [](int64_t tick) {
    const std::vector<FeedbackArrival> arrivals = {At(0, 100'000), At(1, tick), At(2, tick)};
    Bytes buffer(100);
    ByteWriter out(buffer);
    const size_t n = WriteTransportFeedback({1, 2, 0, 0}, arrivals, out);
    EXPECT_TRUE(out.ok());
    EXPECT_EQ(ReadOnly<TransportFeedback>(out.written()).value().packet_count, n);
    return n;
  };
  EXPECT_EQ(reported(100'000 + 32767), 3u);
  EXPECT_EQ(reported(100'000 + 32768), 1u);
  EXPECT_EQ(reported(100'000 - 32768), 3u);
  EXPECT_EQ(reported(100'000 - 32769), 1u);
}

TEST(TransportFeedbackWrite, ReportsAtMost65535Packets) {
  const auto reported = [](int64_t base, std::vector<FeedbackArrival> arrivals) {
    Bytes buffer(1200);
    ByteWriter out(buffer);
    const size_t n = WriteTransportFeedback({1, 2, base, 0}, arrivals, out);
    EXPECT_TRUE(out.ok());
    EXPECT_EQ(out.position() > 0, n > 0);
    return n;
  };
  EXPECT_EQ(reported(100, {At(100, 5), At(100 + 65534, 6)}), 2u);
  EXPECT_EQ(reported(100, {At(100, 5), At(100 + 65535, 6)}), 1u);
  EXPECT_EQ(reported(100, {At(100 + 65534, 6)}), 1u);
  EXPECT_EQ(reported(100, {At(100 + 65535, 6)}), 0u);
  EXPECT_EQ(reported(100, {At(99, 6)}), 0u);
  EXPECT_EQ(reported(100, {}), 0u);
}

TEST(TransportFeedbackWrite, LongRunsAreFewChunks) {
  std::vector<FeedbackArrival> arrivals = Evenly(8191, At(0, 0), At(1, 1));
  EXPECT_THAT(Write(0, arrivals), Optional(SizeIs((20 + 2 + 8191 + 3) / 4 * 4)));
  arrivals.push_back(At(8191, 8191));
  EXPECT_THAT(Write(0, arrivals), Optional(SizeIs((20 + 4 + 8192 + 3) / 4 * 4)));
}

TEST(TransportFeedbackWrite, AFullPacketOfLargeDeltasFits) {
  const auto bytes = Write(0, Evenly(65535, At(0, 0), At(1, 300)));
  ASSERT_TRUE(bytes);
  const Statuses statuses = Read(ReadOnly<TransportFeedback>(*bytes).value());
  ASSERT_EQ(statuses.size(), 65535u);
  EXPECT_EQ(statuses.back(), 300 * 65534);
}

TEST(TransportFeedbackWrite, RoundingDoesNotDrift) {
  // 333.3 us apart: each delta alone would round down, 83 us a packet.
  const std::vector<FeedbackArrival> arrivals =
      Evenly(3000, At(0, 0), {.sequence = 1, .time = TimeDelta::Nanos(333'300)});
  const auto bytes = Write(0, arrivals);
  const auto feedback = ReadOnly<TransportFeedback>(*bytes);
  ASSERT_TRUE(feedback);
  TransportFeedback::Cursor cursor(*feedback);
  for (const FeedbackArrival& arrival : arrivals) {
    const TimeDelta error = cursor.Next().value().time - arrival.time;
    ASSERT_LE(std::abs(error.ns()), kTickNs / 2);
  }
}

// ---- Random worlds ----

// A stream of packets that are lost, delayed and overtaken; sequences and times start anywhere,
// often just before a wrap.
std::vector<FeedbackArrival> RandomArrivals(Rng& rng) {
  std::vector<FeedbackArrival> arrivals;
  const double loss = rng.Chance(0.3) ? 0 : rng.Unit() * 0.9;
  const int64_t gap_ns = rng.Between(1, 20'000'000);
  const int64_t jitter_ns = rng.Chance(0.3) ? 1 : rng.Between(1, 300'000'000);
  int64_t sequence = rng.Between(0, 1 << 20);
  int64_t ns = rng.Chance(0.5) ? (int64_t{1} << 24) * 64'000'000 - rng.Between(0, 1'000'000'000)
                               : rng.Between(0, int64_t{1} << 52);
  for (int64_t n = rng.Between(1, 1500); n > 0; --n) {
    ns += gap_ns;
    if (rng.Chance(0.001)) ns += rng.Between(0, 60'000'000'000);
    sequence += rng.Chance(0.002) ? rng.Between(1, 10'000) : 1;
    if (rng.Chance(loss)) continue;
    arrivals.push_back(
        {.sequence = sequence, .time = TimeDelta::Nanos(ns + rng.Between(0, jitter_ns))});
  }
  return arrivals;
}

// What a sender makes of the packets of feedback: unwrapped sequences and times.
class Sender {
 public:
  Sender(int64_t sequence, TimeDelta time) {
    sequence_.set_last(sequence);
    reference_.set_last(time.ns() / kReferenceTick.ns());
  }
  void Take(const TransportFeedback& feedback) {
    const int64_t reference =
        reference_.Unwrap(static_cast<uint32_t>(feedback.reference_time) & 0xffffff);
    const TimeDelta shift = kReferenceTick * (reference - feedback.reference_time);
    const int64_t base = sequence_.Unwrap(feedback.base_sequence);
    TransportFeedback::Cursor cursor(feedback);
    TransportFeedback::Cursor received(feedback);
    int64_t sequence = base;
    for (; const auto arrival = cursor.Next(); ++sequence) {
      ASSERT_EQ(arrival->sequence, static_cast<uint16_t>(sequence));
      if (!arrival->received) continue;
      arrivals_.push_back({sequence, arrival->time + shift});
      const auto same = received.NextReceived();
      ASSERT_TRUE(same);
      ASSERT_EQ(same->sequence, arrival->sequence);
      ASSERT_EQ(same->time, arrival->time);
    }
    ASSERT_FALSE(received.NextReceived());
    sequence_.set_last(sequence - 1);
  }
  const std::vector<FeedbackArrival>& arrivals() const { return arrivals_; }

 private:
  SequenceUnwrapper sequence_;
  Unwrapper<uint32_t, 24> reference_;
  std::vector<FeedbackArrival> arrivals_;
};

TEST(TransportFeedbackRoundTrip, ASenderLearnsEveryArrivalWithinHalfATick) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(seed);
    Rng rng(seed);
    const std::vector<FeedbackArrival> arrivals = RandomArrivals(rng);
    if (arrivals.empty()) continue;
    const size_t room = static_cast<size_t>(rng.Between(24, 1200));
    Sender sender(arrivals[0].sequence, arrivals[0].time);
    int64_t base = arrivals[0].sequence;
    for (std::span<const FeedbackArrival> rest(arrivals); !rest.empty();) {
      Bytes buffer(room);
      ByteWriter out(buffer);
      const size_t n = WriteTransportFeedback({kSender, kMedia, base, 0}, rest, out);
      if (n == 0) {  // The chunks of the lost packets alone fill the room.
        ASSERT_FALSE(out.ok());
        ASSERT_LT(base, rest[0].sequence);
        base = rest[0].sequence;
        continue;
      }
      base = rest[n - 1].sequence + 1;
      rest = rest.subspan(n);
      const auto feedback = ReadOnly<TransportFeedback>(out.written());
      ASSERT_TRUE(feedback);
      ASSERT_EQ(Read(*feedback), ReadSlowly(*feedback));
      sender.Take(*feedback);
    }
    ASSERT_EQ(sender.arrivals().size(), arrivals.size());
    for (size_t i = 0; i < arrivals.size(); ++i) {
      ASSERT_EQ(sender.arrivals()[i].sequence, arrivals[i].sequence);
      ASSERT_LE(std::abs((sender.arrivals()[i].time - arrivals[i].time).ns()), kTickNs / 2);
    }
  }
}

TEST(TransportFeedbackRoundTrip, ChunksOfAnyKindReadAsTheDraftSays) {
  Rng rng(11);
  int well_formed = 0;
  for (int run = 0; run < 20'000; ++run) {
    Bytes body(16);
    rng.Fill(body);
    body[10] = 0;  // At most 255 packets.
    for (uint64_t n = rng.Between(0, 30); n > 0; --n) {
      // Of random chunks most hold a reserved symbol; keep these rare.
      uint16_t chunk = static_cast<uint16_t>(rng.Next());
      if (chunk < 0x8000) chunk &= rng.Chance(0.9) ? 0x201f : 0xffff;
      if (chunk >= 0xc000 && rng.Chance(0.9)) chunk &= rng.Chance(0.5) ? 0xd555 : 0xeaaa;
      body.push_back(static_cast<uint8_t>(chunk >> 8));
      body.push_back(static_cast<uint8_t>(chunk));
    }
    const size_t chunks_end = body.size();
    body.resize(chunks_end + rng.Below(300));
    rng.Fill(std::span(body).subspan(chunks_end));
    const Bytes exact(body);
    const auto feedback = TransportFeedback::Parse(exact);
    if (!feedback) continue;
    ++well_formed;
    ASSERT_EQ(Read(*feedback), ReadSlowly(*feedback)) << "run " << run;
  }
  EXPECT_GT(well_formed, 2000);
}

}  // namespace
}  // namespace vigil::rtp
