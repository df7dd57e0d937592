#include "gateway/rtp/rtcp.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "gateway/base/byte_io.h"
#include "gateway/base/rng.h"
#include "gateway/rtp/ntp_time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/rtp/rtcp_bytes.h"

namespace vigil::rtp {
namespace {

using ::testing::ElementsAre;
using ::testing::Optional;
using ::testing::Pair;

constexpr uint32_t kSender = 0x11223344;
constexpr uint32_t kMedia = 0xaabbccdd;

const ReportBlock kBlock{.ssrc = kMedia,
                         .fraction_lost = 0x40,
                         .cumulative_lost = -2,
                         .extended_highest_sequence = 0x0001ffff,
                         .jitter = 200,
                         .last_sender_report = 0x7e804000,
                         .delay_since_last_report = 0x8000};
const SenderReportFields kReport{.ssrc = kSender,
                                 .ntp = NtpTime(0x83aa7e8040000000),
                                 .rtp_timestamp = 123456,
                                 .packet_count = 100,
                                 .octet_count = 10000};

// A packet by hand from the RFCs, and the writer that must make it.
struct Example {
  std::string name;
  std::string_view hex;
  std::function<void(ByteWriter&)> write;
};

std::vector<Example> Examples() {
  static constexpr std::string_view kBlockHex =
      "aabbccdd 40 fffffe 0001ffff 000000c8 7e804000 00008000";
  static const std::string kSrHex =
      "81c8000c 11223344 83aa7e80 40000000 0001e240 00000064 00002710" + std::string(kBlockHex);
  static const std::string kRrHex =
      "82c9000d 11223344" + std::string(kBlockHex) + std::string(kBlockHex);
  static const std::vector<uint16_t> kLost = {65534, 65535, 0, 14, 15};
  static const std::vector<uint32_t> kTwo = {kSender, kMedia};
  static const std::vector<ReportBlock> kBlocks = {kBlock, kBlock};
  static const std::vector<ExtendedReport::Dlrr> kItems = {{kMedia, 0x7e804000, 0x8000}};
  const std::span<const ReportBlock> blocks(kBlocks);
  return {
      {"SR", kSrHex, [=](auto& out) { WriteSenderReport(kReport, blocks.first(1), out); }},
      {"SR without blocks", "80c80006 11223344 83aa7e80 40000000 0001e240 00000064 00002710",
       [](auto& out) { WriteSenderReport(kReport, {}, out); }},
      {"RR", kRrHex, [=](auto& out) { WriteReceiverReport(kSender, blocks, out); }},
      {"RR without blocks", "80c90001 11223344",
       [](auto& out) { WriteReceiverReport(kSender, {}, out); }},
      {"CNAME with a word of zeros", "81ca0003 11223344 01026162 00000000",
       [](auto& out) { WriteCname(kSender, "ab", out); }},
      {"CNAME with a single zero", "81ca0003 11223344 01056162 63646500",
       [](auto& out) { WriteCname(kSender, "abcde", out); }},
      {"BYE", "82cb0002 11223344 aabbccdd", [](auto& out) { WriteBye(kTwo, out); }},
      {"NACK", "81cd0004 11223344 aabbccdd fffe8003 000f0000",
       [](auto& out) { WriteNack(kSender, kMedia, kLost, out); }},
      {"PLI", "81ce0002 11223344 aabbccdd", [](auto& out) { WritePli(kSender, kMedia, out); }},
      {"FIR", "84ce0004 11223344 00000000 aabbccdd 07000000",
       [](auto& out) { WriteFir(kSender, kMedia, 7, out); }},
      {"REMB", "8fce0006 11223344 00000000 52454d42 020bd090 11223344 aabbccdd",
       [](auto& out) { WriteRemb(kSender, 1'000'000, kTwo, out); }},
      {"RRTR", "80cf0004 11223344 04000002 83aa7e80 40000000",
       [](auto& out) { WriteReceiverReferenceTime(kSender, kReport.ntp, out); }},
      {"DLRR", "80cf0005 11223344 05000003 aabbccdd 7e804000 00008000",
       [](auto& out) { WriteDlrr(kSender, kItems, out); }},
  };
}

std::vector<uint16_t> Sequences(const GenericNack& nack) {
  std::vector<uint16_t> sequences;
  nack.ForEach([&](uint16_t sequence) { sequences.push_back(sequence); });
  return sequences;
}

void ExpectSame(const ReportBlock& a, const ReportBlock& b) {
  EXPECT_EQ(a.ssrc, b.ssrc);
  EXPECT_EQ(a.fraction_lost, b.fraction_lost);
  EXPECT_EQ(a.cumulative_lost, b.cumulative_lost);
  EXPECT_EQ(a.extended_highest_sequence, b.extended_highest_sequence);
  EXPECT_EQ(a.jitter, b.jitter);
  EXPECT_EQ(a.last_sender_report, b.last_sender_report);
  EXPECT_EQ(a.delay_since_last_report, b.delay_since_last_report);
}

TEST(RtcpWrite, MakesTheBytesOfTheRfcs) {
  for (const Example& example : Examples()) {
    EXPECT_THAT(WriteBytes(example.write), Optional(FromHex(example.hex))) << example.name;
  }
}

TEST(RtcpWrite, WritesAllOfAPacketOrNothing) {
  for (const Example& example : Examples()) {
    const size_t size = FromHex(example.hex).size();
    EXPECT_TRUE(WriteBytes(example.write, size)) << example.name;
    for (size_t room = 0; room < size; ++room) {
      EXPECT_FALSE(WriteBytes(example.write, room)) << example.name << " in " << room;
    }
  }
}

TEST(RtcpWrite, RefusesWhatTheFormatCannotHold) {
  const std::string long_name(256, 'x');
  EXPECT_FALSE(WriteBytes([&](auto& out) { WriteCname(1, long_name, out); }));
  EXPECT_TRUE(WriteBytes([&](auto& out) { WriteCname(1, long_name.substr(1), out); }));
  const std::vector<uint32_t> ssrcs(256);
  const std::span<const uint32_t> all(ssrcs);
  EXPECT_FALSE(WriteBytes([&](auto& out) { WriteBye(all.first(32), out); }));
  EXPECT_TRUE(WriteBytes([&](auto& out) { WriteBye(all.first(31), out); }));
  EXPECT_FALSE(WriteBytes([&](auto& out) { WriteRemb(1, 1, all, out); }));
  EXPECT_TRUE(WriteBytes([&](auto& out) { WriteRemb(1, 1, all.first(255), out); }));
  // 65535 words: 21844 items of three, one header and one SSRC, one block header.
  const std::vector<ExtendedReport::Dlrr> items(21845);
  const std::span<const ExtendedReport::Dlrr> many(items);
  constexpr size_t kRoom = 1 << 19;
  EXPECT_FALSE(WriteBytes([&](auto& out) { WriteDlrr(1, many, out); }, kRoom));
  EXPECT_TRUE(WriteBytes([&](auto& out) { WriteDlrr(1, many.first(21844), out); }, kRoom));
}

TEST(RtcpWrite, WritesNothingForEmptyLists) {
  EXPECT_THAT(WriteBytes([](auto& out) { WriteNack(1, 2, {}, out); }), Optional(Bytes()));
  EXPECT_THAT(WriteBytes([](auto& out) { WriteDlrr(1, {}, out); }), Optional(Bytes()));
}

TEST(RtcpRead, SenderReport) {
  const Bytes bytes = FromHex(Examples()[0].hex);
  const auto report = ReadOnly<SenderReport>(bytes);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->sender_ssrc, kSender);
  EXPECT_EQ(report->ntp, kReport.ntp);
  EXPECT_EQ(report->rtp_timestamp, kReport.rtp_timestamp);
  EXPECT_EQ(report->packet_count, kReport.packet_count);
  EXPECT_EQ(report->octet_count, kReport.octet_count);
  ASSERT_EQ(report->blocks.size(), 1u);
  ExpectSame(report->blocks[0], kBlock);
}

TEST(RtcpRead, ReceiverReportIgnoresAProfilesExtension) {
  const Bytes bytes = FromHex("80c90003 11223344 01020304 05060708");
  const auto report = ReadOnly<ReceiverReport>(bytes);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->sender_ssrc, kSender);
  EXPECT_EQ(report->blocks.size(), 0u);
}

TEST(RtcpRead, CumulativeLossIsSignedAndClampedTo24Bits) {
  for (const auto& [written, read] :
       std::vector<std::pair<int32_t, int32_t>>{{0, 0},
                                                {-1, -1},
                                                {0x7fffff, 0x7fffff},
                                                {0x800000, 0x7fffff},
                                                {-0x800000, -0x800000},
                                                {-0x800001, -0x800000}}) {
    const std::vector<ReportBlock> blocks = {{.cumulative_lost = written}};
    const auto bytes = WriteBytes([&](auto& out) { WriteReceiverReport(1, blocks, out); });
    const auto report = ReadOnly<ReceiverReport>(*bytes);
    ASSERT_TRUE(report);
    EXPECT_EQ(report->blocks[0].cumulative_lost, read);
  }
}

TEST(RtcpRead, MoreThan31BlocksAreSpreadOverReceiverReports) {
  for (const size_t count : {31, 32, 62, 63, 100}) {
    std::vector<ReportBlock> blocks(count, kBlock);
    for (size_t i = 0; i < count; ++i) blocks[i].ssrc = static_cast<uint32_t>(i);
    const auto write = [&](auto& out) { WriteSenderReport(kReport, blocks, out); };
    const auto bytes = WriteBytes(write);
    ASSERT_TRUE(bytes);
    EXPECT_FALSE(WriteBytes(write, bytes->size() - 1));
    const auto only_receiver = [&](auto& out) { WriteReceiverReport(kSender, blocks, out); };
    const size_t size = WriteBytes(only_receiver).value().size();
    EXPECT_FALSE(WriteBytes(only_receiver, size - 1));
    std::vector<ReportBlock> read;
    const auto take = [&](const ReportBlocks& some) {
      for (size_t i = 0; i < some.size(); ++i) read.push_back(some[i]);
    };
    RtcpReader reader(*bytes);
    take(std::get<SenderReport>(reader.Next().value()).blocks);
    while (const auto packet = reader.Next()) {
      const auto& report = std::get<ReceiverReport>(*packet);
      EXPECT_EQ(report.sender_ssrc, kSender);
      EXPECT_GT(report.blocks.size(), 0u);
      take(report.blocks);
    }
    EXPECT_FALSE(reader.malformed());
    ASSERT_EQ(read.size(), count);
    for (size_t i = 0; i < count; ++i) ExpectSame(read[i], blocks[i]);
  }
}

TEST(RtcpRead, SourceDescriptionIsCheckedForForm) {
  const auto well_formed = [](std::string_view hex) {
    return ReadOnly<SourceDescription>(FromHex(hex)).has_value();
  };
  EXPECT_TRUE(well_formed("80ca0000"));
  EXPECT_TRUE(well_formed("81ca0003 11223344 01026162 00000000"));
  // Two chunks; the second starts at a word again.
  EXPECT_TRUE(well_formed("82ca0005 11223344 01016100 aabbccdd 01026162 00000000"));
  EXPECT_TRUE(well_formed("82ca0005 11223344 01026162 00000000 aabbccdd 01016100"));
  // A CNAME and a NOTE in one chunk.
  EXPECT_TRUE(well_formed("81ca0003 11223344 01016107 02626300"));
  EXPECT_FALSE(well_formed("81ca0002 11223344 01036162"));           // Item beyond the end.
  EXPECT_FALSE(well_formed("81ca0002 11223344 01026162"));           // Never ended.
  EXPECT_FALSE(well_formed("82ca0003 11223344 01026162 00000000"));  // One chunk missing.
  EXPECT_FALSE(well_formed("81ca0000"));
}

TEST(RtcpRead, Bye) {
  const Bytes bytes = FromHex("82cb0002 11223344 aabbccdd");
  const auto bye = ReadOnly<Bye>(bytes);
  ASSERT_TRUE(bye);
  ASSERT_EQ(bye->size(), 2u);
  EXPECT_EQ((*bye)[0], kSender);
  EXPECT_EQ((*bye)[1], kMedia);
  EXPECT_TRUE(ReadOnly<Bye>(FromHex("80cb0000")));
  EXPECT_TRUE(ReadOnly<Bye>(FromHex("81cb0002 11223344 02626100")));   // With a reason.
  EXPECT_FALSE(ReadOnly<Bye>(FromHex("81cb0002 11223344 04626100")));  // Reason beyond the end.
  EXPECT_FALSE(ReadOnly<Bye>(FromHex("82cb0001 11223344")));
}

TEST(RtcpRead, NackNamesThePacketsItWasWrittenFor) {
  const Bytes bytes = FromHex("81cd0004 11223344 aabbccdd fffe8003 000f0000");
  const auto nack = ReadOnly<GenericNack>(bytes);
  ASSERT_TRUE(nack);
  EXPECT_EQ(nack->sender_ssrc, kSender);
  EXPECT_EQ(nack->media_ssrc, kMedia);
  EXPECT_THAT(Sequences(*nack), ElementsAre(65534, 65535, 0, 14, 15));
  EXPECT_FALSE(ReadOnly<GenericNack>(FromHex("81cd0002 11223344 aabbccdd")));  // RFC 4585: >= 1.
}

TEST(RtcpRead, NackRoundTrip) {
  Rng rng(7);
  for (int run = 0; run < 500; ++run) {
    std::vector<uint16_t> lost;
    const int64_t step = rng.Between(1, 40);
    for (int64_t at = rng.Between(0, 65535), n = rng.Between(1, 200); n > 0; --n) {
      lost.push_back(static_cast<uint16_t>(at));
      at += rng.Between(1, step);
    }
    const auto bytes = WriteBytes([&](auto& out) { WriteNack(1, 2, lost, out); });
    const auto nack = ReadOnly<GenericNack>(*bytes);
    ASSERT_TRUE(nack);
    ASSERT_EQ(Sequences(*nack), lost) << "run " << run;
    // As few items as possible: every item but the last starts beyond the reach of the one before.
    for (size_t i = 4; i < nack->items.size(); i += 4) {
      const int before = ReadU16(nack->items.data() + i - 4);
      ASSERT_GT(static_cast<uint16_t>(ReadU16(nack->items.data() + i) - before), 16);
    }
  }
}

TEST(RtcpRead, NackOfUnsortedOrRepeatedSequencesStillNamesThemAll) {
  Rng rng(8);
  for (int run = 0; run < 200; ++run) {
    std::vector<uint16_t> lost(rng.Below(50) + 1);
    for (uint16_t& sequence : lost) sequence = static_cast<uint16_t>(rng.Below(100));
    const auto bytes = WriteBytes([&](auto& out) { WriteNack(1, 2, lost, out); });
    const std::vector<uint16_t> read = Sequences(ReadOnly<GenericNack>(*bytes).value());
    ASSERT_EQ(std::set(read.begin(), read.end()), std::set(lost.begin(), lost.end()));
  }
}

TEST(RtcpRead, PictureRequests) {
  const Bytes pli_bytes = FromHex("81ce0002 11223344 aabbccdd");
  const auto pli = ReadOnly<PictureLossIndication>(pli_bytes);
  ASSERT_TRUE(pli);
  EXPECT_EQ(pli->sender_ssrc, kSender);
  EXPECT_EQ(pli->media_ssrc, kMedia);
  const Bytes fir_bytes = FromHex("84ce0006 11223344 00000000 aabbccdd 07000000 01020304 ff000000");
  const auto fir = ReadOnly<FullIntraRequest>(fir_bytes);
  ASSERT_TRUE(fir);
  ASSERT_EQ(fir->size(), 2u);
  EXPECT_EQ(fir->ssrc(0), kMedia);
  EXPECT_EQ(fir->command(0), 7);
  EXPECT_EQ(fir->ssrc(1), 0x01020304u);
  EXPECT_EQ(fir->command(1), 255);
  EXPECT_EQ(CountPackets(FromHex("84ce0002 11223344 00000000")), std::pair(0, true));
  EXPECT_EQ(CountPackets(FromHex("84ce0003 11223344 00000000 aabbccdd")), std::pair(0, true));
  EXPECT_EQ(CountPackets(FromHex("81ce0001 11223344")), std::pair(0, true));
}

TEST(RtcpRead, RembRoundTripLosesOnlyLowBits) {
  Rng rng(9);
  std::vector<uint64_t> rates = {0, 1, 0x3ffff, 0x40000, 0x7fffffffffffffff};
  while (rates.size() < 2000) rates.push_back((rng.Next() >> 1) >> rng.Below(63));
  for (const uint64_t rate : rates) {
    const auto bytes = WriteBytes([&](auto& out) { WriteRemb(kSender, rate, {}, out); });
    const auto remb = ReadOnly<ReceiverEstimatedMaxBitrate>(*bytes);
    ASSERT_TRUE(remb) << rate;
    EXPECT_EQ(remb->sender_ssrc, kSender);
    EXPECT_LE(remb->bitrate_bps, rate);
    EXPECT_LE(rate - remb->bitrate_bps, rate >> 17);
  }
  // Beyond what the reader takes, the most that it takes is written.
  const auto most = WriteBytes([&](auto& out) { WriteRemb(kSender, UINT64_MAX, {}, out); });
  EXPECT_EQ(ReadOnly<ReceiverEstimatedMaxBitrate>(*most).value().bitrate_bps, 0x3ffffull << 45);
}

TEST(RtcpRead, RembExponentCannotOverflow) {
  const auto rate = [](std::string_view exponent_and_mantissa) -> std::optional<uint64_t> {
    const Bytes bytes =
        FromHex("8fce0004 11223344 00000000 52454d42 00" + std::string(exponent_and_mantissa));
    const auto remb = ReadOnly<ReceiverEstimatedMaxBitrate>(bytes);
    if (!remb) return std::nullopt;
    return remb->bitrate_bps;
  };
  EXPECT_THAT(rate("0bd090"), Optional(1'000'000u));
  EXPECT_THAT(rate("f80001"), Optional(1ull << 62));        // 1 << 62
  EXPECT_EQ(rate("fc0001"), std::nullopt);                  // 1 << 63
  EXPECT_EQ(rate("ffffff"), std::nullopt);                  // 0x3ffff << 63
  EXPECT_THAT(rate("b7ffff"), Optional(0x3ffffull << 45));  // The highest.
  EXPECT_EQ(rate("bbffff"), std::nullopt);                  // 0x3ffff << 46
  EXPECT_THAT(rate("fc0000"), Optional(0u));
}

TEST(RtcpRead, ApplicationFeedbackOtherThanRembIsUnknown) {
  EXPECT_TRUE(ReadOnly<UnknownRtcp>(FromHex("8fce0004 11223344 00000000 58595a58 00000000")));
  EXPECT_TRUE(ReadOnly<UnknownRtcp>(FromHex("8fce0002 11223344 00000000")));
  // REMB that claims one SSRC and has none.
  EXPECT_EQ(CountPackets(FromHex("8fce0004 11223344 00000000 52454d42 010bd090")),
            std::pair(0, true));
}

TEST(RtcpRead, ExtendedReportSkipsUnknownBlocks) {
  // Statistics summary (6), RRTR, an empty block of type 99, DLRR of two, then again RRTR
  // and DLRR, which do not count.
  const Bytes bytes = FromHex(
      "80cf0015 11223344 06000001 00000000 04000002 83aa7e80 40000000 63000000"
      "05000006 aabbccdd 7e804000 00008000 01020304 00000000 00000001"
      "04000002 00000000 00000001 05000003 05060708 00000000 00000001");
  const auto report = ReadOnly<ExtendedReport>(bytes);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->sender_ssrc, kSender);
  EXPECT_EQ(report->receiver_reference_time, NtpTime(0x83aa7e8040000000));
  ASSERT_EQ(report->dlrr_size(), 2u);
  EXPECT_EQ(report->dlrr_at(0).ssrc, kMedia);
  EXPECT_EQ(report->dlrr_at(0).last_receiver_report, 0x7e804000u);
  EXPECT_EQ(report->dlrr_at(0).delay_since_last_report, 0x8000u);
  EXPECT_EQ(report->dlrr_at(1).ssrc, 0x01020304u);
  EXPECT_EQ(report->dlrr_at(1).delay_since_last_report, 1u);
}

TEST(RtcpRead, ExtendedReportWithHostileBlockLengths) {
  const auto malformed = [](std::string_view hex) {
    return CountPackets(FromHex(hex)) == std::pair(0, true);
  };
  EXPECT_TRUE(malformed("80cf0000"));
  EXPECT_TRUE(malformed("80cf0002 11223344 6300ffff"));                    // Beyond the end.
  EXPECT_TRUE(malformed("80cf0003 11223344 04000001 83aa7e80"));           // RRTR too short.
  EXPECT_TRUE(malformed("80cf0004 11223344 05000002 aabbccdd 7e804000"));  // Not three words.
  EXPECT_FALSE(malformed("80cf0001 11223344"));
  EXPECT_FALSE(malformed("80cf0002 11223344 05000000"));
}

TEST(RtcpRead, TypesAndFormatsNobodyReadsAreUnknown) {
  const Bytes app = FromHex("80cc0002 11223344 6e616d65");
  EXPECT_EQ(ReadOnly<UnknownRtcp>(app).value().packet_type, 204);
  const Bytes tmmbr = FromHex("83cd0004 11223344 00000000 aabbccdd 00000000");
  EXPECT_EQ(ReadOnly<UnknownRtcp>(tmmbr).value().packet_type, 205);
  const Bytes slice_loss = FromHex("82ce0003 11223344 aabbccdd 00000000");
  EXPECT_EQ(ReadOnly<UnknownRtcp>(slice_loss).value().packet_type, 206);
  EXPECT_EQ(ReadOnly<UnknownRtcp>(FromHex("80d00000")).value().packet_type, 208);
}

TEST(RtcpRead, HeaderIsValidated) {
  EXPECT_THAT(CountPackets({}), Pair(0, false));
  EXPECT_THAT(CountPackets(FromHex("80")), Pair(0, true));
  EXPECT_THAT(CountPackets(FromHex("80c900")), Pair(0, true));
  EXPECT_THAT(CountPackets(FromHex("80c90001 11223344")), Pair(1, false));
  EXPECT_THAT(CountPackets(FromHex("00c90001 11223344")), Pair(0, true));  // Version 0.
  EXPECT_THAT(CountPackets(FromHex("40c90001 11223344")), Pair(0, true));  // Version 1.
  EXPECT_THAT(CountPackets(FromHex("c0c90001 11223344")), Pair(0, true));  // Version 3.
  EXPECT_THAT(CountPackets(FromHex("80c90002 11223344")), Pair(0, true));  // Too long by a word.
  EXPECT_THAT(CountPackets(FromHex("80c9ffff 11223344")), Pair(0, true));
  EXPECT_THAT(CountPackets(FromHex("81c90001 11223344")), Pair(0, true));  // A block is missing.
  EXPECT_THAT(CountPackets(FromHex("9fc8ffff")), Pair(0, true));
}

TEST(RtcpRead, PaddingIsOfTheLastPacketOnly) {
  const std::string plain = "80c90001 11223344";
  const std::string padded = "a0c90002 11223344 00000004";
  EXPECT_THAT(CountPackets(FromHex(plain + padded)), Pair(2, false));
  EXPECT_THAT(CountPackets(FromHex(padded + plain)), Pair(0, true));
  EXPECT_THAT(CountPackets(FromHex("a0c90002 11223344 00000000")), Pair(0, true));
  EXPECT_THAT(CountPackets(FromHex("a0c90002 11223344 00000009")), Pair(0, true));
  EXPECT_THAT(CountPackets(FromHex("a0c90002 11223344 00000008")), Pair(0, true));  // No SSRC left.
  EXPECT_THAT(CountPackets(FromHex("a0c90000")), Pair(0, true));
  EXPECT_THAT(CountPackets(FromHex("a0cb0001 00000004")), Pair(1, false));  // BYE of nobody.
  // Padding is no part of what is read.
  EXPECT_EQ(CountPackets(FromHex("a1cd0003 11223344 aabbccdd 00000004")), std::pair(0, true));
  EXPECT_TRUE(ReadOnly<GenericNack>(FromHex("a1cd0004 11223344 aabbccdd 00010000 00000004")));
  EXPECT_FALSE(ReadOnly<GenericNack>(FromHex("a1cd0004 11223344 aabbccdd 00010000 00000003")));
}

TEST(RtcpRead, EachFeedbackOfADatagramMayBePadded) {
  // As Pion sends them: one small delta and padding of one byte.
  const std::string feedback = "afcd0005 11223344 aabbccdd 000a0001 00000f00 2001a001";
  EXPECT_THAT(CountPackets(FromHex(feedback + feedback)), Pair(2, false));
}

TEST(RtcpRead, CompoundIsReadUpToItsFirstMalformedPacket) {
  Bytes compound;
  for (const Example& example : Examples()) {
    const Bytes bytes = FromHex(example.hex);
    compound.insert(compound.end(), bytes.begin(), bytes.end());
  }
  const int count = static_cast<int>(Examples().size());
  EXPECT_THAT(CountPackets(compound), Pair(count, false));
  compound.push_back(0x80);
  EXPECT_THAT(CountPackets(compound), Pair(count, true));
  RtcpReader reader(compound);
  while (reader.Next()) {
  }
  EXPECT_FALSE(reader.Next()) << "nothing comes after the malformed one";
}

TEST(RtcpRead, EveryTruncationIsMalformed) {
  for (const Example& example : Examples()) {
    const Bytes whole = FromHex(example.hex);
    EXPECT_THAT(CountPackets(whole), Pair(1, false)) << example.name;
    for (size_t size = 1; size < whole.size(); ++size) {
      // Of its own, so that a read beyond its end is seen.
      const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
      EXPECT_THAT(CountPackets(cut), Pair(0, true)) << example.name << " cut to " << size;
    }
  }
}

// Reads every list of a packet to its end; the sum keeps the reads from being optimised away.
uint64_t ReadAll(const RtcpPacket& packet) {
  uint64_t sum = 0;
  const auto blocks = [&](const ReportBlocks& some) {
    for (size_t i = 0; i < some.size(); ++i) sum += some[i].delay_since_last_report;
  };
  if (const auto* sr = std::get_if<SenderReport>(&packet)) blocks(sr->blocks);
  if (const auto* rr = std::get_if<ReceiverReport>(&packet)) blocks(rr->blocks);
  if (const auto* bye = std::get_if<Bye>(&packet)) {
    for (size_t i = 0; i < bye->size(); ++i) sum += (*bye)[i];
  }
  if (const auto* nack = std::get_if<GenericNack>(&packet)) sum += Sequences(*nack).size();
  if (const auto* fir = std::get_if<FullIntraRequest>(&packet)) {
    for (size_t i = 0; i < fir->size(); ++i) sum += fir->ssrc(i) + fir->command(i);
  }
  if (const auto* xr = std::get_if<ExtendedReport>(&packet)) {
    for (size_t i = 0; i < xr->dlrr_size(); ++i) sum += xr->dlrr_at(i).ssrc;
  }
  return sum;
}

TEST(RtcpRead, SurvivesPacketsWithWrongLengthsAndCounts) {
  Rng rng(10);
  std::vector<Bytes> packets;
  for (const Example& example : Examples()) packets.push_back(FromHex(example.hex));
  int well_formed = 0;
  for (int run = 0; run < 20'000; ++run) {
    Bytes bytes = packets[rng.Below(packets.size())];
    // Cut at a word with a length that agrees, then a lie or two anywhere.
    bytes.resize(4 * (rng.Below(bytes.size() / 4) + 1));
    bytes[2] = 0;
    bytes[3] = static_cast<uint8_t>(bytes.size() / 4 - 1);
    for (uint64_t lies = rng.Below(3); lies > 0; --lies) {
      bytes[rng.Below(bytes.size())] = static_cast<uint8_t>(rng.Next());
    }
    const Bytes exact(bytes);
    RtcpReader reader(exact);
    while (const auto packet = reader.Next()) {
      ReadAll(*packet);
      ++well_formed;
    }
  }
  EXPECT_GT(well_formed, 1000) << "the lies are too big to test anything behind the header";
}

}  // namespace
}  // namespace vigil::rtp
