#include "gateway/transport/srtp_sender.h"

#include <map>
#include <set>

#include "gateway/base/archive.h"
#include "gateway/base/rng.h"
#include "gateway/transport/evp_cipher.h"
#include "gateway/transport/srtp_receiver.h"
#include "gtest/gtest.h"
#include "tests/unit/transport/srtp_packets.h"

namespace vigil::transport {
namespace {

using namespace testing;  // NOLINT: packet makers, for tests only.

class SrtpSenderTest : public ::testing::TestWithParam<SrtpProfile> {
 protected:
  void SetUp() override {
    ASSERT_TRUE(InitSrtp().ok());
    sender_->AddStream(kSsrc);
    ASSERT_TRUE(receiver_.AddStream(kSsrc));
  }
  std::optional<DropReason> Send(uint64_t index, uint32_t ssrc = kSsrc) {
    const auto packet = MakePacket(RtpBytes(static_cast<uint16_t>(index), ssrc));
    const std::optional<DropReason> reason = sender_->ProtectRtp(*packet);
    if (!reason) {
      EXPECT_EQ(BytesOf(*packet), Expected(index, ssrc)) << index;
    } else {
      EXPECT_EQ(BytesOf(*packet), RtpBytes(static_cast<uint16_t>(index), ssrc)) << "untouched";
    }
    return reason;
  }
  std::optional<DropReason> SendRtcp() {
    const auto packet = MakePacket(RtcpBytes());
    const auto index = static_cast<uint32_t>(sender_->next_rtcp_index(kSsrc));
    const std::optional<DropReason> reason = sender_->ProtectRtcp(*packet);
    if (!reason) {
      EXPECT_EQ(BytesOf(*packet),
                testing::ProtectRtcp(GetParam(), DeriveSession(GetParam(), key_, true), RtcpBytes(),
                                     index));
    }
    return reason;
  }
  // The bytes the reference implementation gives for exactly this index.
  Bytes Expected(uint64_t index, uint32_t ssrc) const {
    return testing::ProtectRtp(GetParam(), DeriveSession(GetParam(), key_, false),
                               RtpBytes(static_cast<uint16_t>(index), ssrc), index);
  }
  void Restore(const SrtpSender::State& state, SrtpSender::RestoreMode mode) {
    const auto bytes = WriteArchive(state, Timestamp());
    const auto copy = ReadArchive<SrtpSender::State>(bytes, Timestamp());
    ASSERT_TRUE(copy);
    EXPECT_EQ(*copy, state);
    sender_ = std::make_unique<SrtpSender>(GetParam(), key_, *copy, mode);
  }

  const Bytes key_ = MasterKey(GetParam());
  bool initialised_ = InitSrtp().ok();
  std::unique_ptr<SrtpSender> sender_ = std::make_unique<SrtpSender>(GetParam(), key_);
  SrtpReceiver receiver_{GetParam(), key_};
};

INSTANTIATE_TEST_SUITE_P(Profiles, SrtpSenderTest, ::testing::ValuesIn(kProfiles));

TEST_P(SrtpSenderTest, AnIndexThatSrtpWouldGuessOtherwiseIsRefused) {
  ASSERT_EQ(Send(100), std::nullopt);
  EXPECT_EQ(sender_->CheckRtp(kSsrc, 101), std::nullopt);
  EXPECT_EQ(sender_->CheckRtp(kSsrc, 0x10000 + 101), DropReason::kSrtpIndexMismatch);
  EXPECT_EQ(sender_->CheckRtp(kSsrc, 100 + 40'000), DropReason::kSrtpIndexMismatch);
  EXPECT_EQ(sender_->CheckRtp(77, 101), DropReason::kUnknownSsrc);
  const auto packet = MakePacket(RtpBytes(101));
  EXPECT_EQ(sender_->ProtectRtp(*packet, 0x10000 + 101), DropReason::kSrtpIndexMismatch);
  EXPECT_EQ(BytesOf(*packet), RtpBytes(101)) << "untouched";
  EXPECT_EQ(sender_->ProtectRtp(*packet, 101), std::nullopt);
  sender_->SetLimit(kSsrc, 110);
  EXPECT_EQ(sender_->CheckRtp(kSsrc, 110), DropReason::kSrtpIndexReserve);
  sender_->AdvanceTo(kSsrc, 105);
  EXPECT_EQ(sender_->CheckRtp(kSsrc, 104), DropReason::kTooOld);
  EXPECT_EQ(sender_->CheckRtp(kSsrc, 105), std::nullopt);
}

TEST_P(SrtpSenderTest, IndexIsTheUnwrappedSequenceNumber) {
  for (uint64_t index = 0; index < 200'000; index += 9'999) EXPECT_EQ(Send(index), std::nullopt);
  EXPECT_EQ(sender_->next_index(kSsrc), 199'981u);
}

TEST_P(SrtpSenderTest, EachWrapIsCountedOnce) {
  for (uint64_t index = 65'530; index < 65'545; ++index) {
    if (index == 65'530) {
      EXPECT_EQ(Send(30'000), std::nullopt);
      EXPECT_EQ(Send(60'000), std::nullopt);
    }
    EXPECT_EQ(Send(index), std::nullopt);
  }
}

TEST_P(SrtpSenderTest, JumpsUpToHalfTheSequenceSpaceAreFollowed) {
  uint64_t index = 5;
  EXPECT_EQ(Send(index), std::nullopt);
  for (int i = 0; i < 20; ++i) {
    index += 32'767;
    EXPECT_EQ(Send(index), std::nullopt) << index;
  }
}

TEST_P(SrtpSenderTest, AnIndexIsNeverUsedTwice) {
  EXPECT_EQ(Send(100), std::nullopt);
  EXPECT_EQ(Send(100), DropReason::kDuplicate);
  EXPECT_EQ(Send(102), std::nullopt);
  EXPECT_EQ(Send(101), std::nullopt) << "late but unused";
  EXPECT_EQ(Send(101), DropReason::kDuplicate);
  EXPECT_EQ(Send(102), DropReason::kDuplicate);
  EXPECT_EQ(sender_->next_index(kSsrc), 103u);
}

TEST_P(SrtpSenderTest, WhatIsBehindTheWindowIsRefused) {
  EXPECT_EQ(Send(5'000), std::nullopt);
  EXPECT_EQ(Send(5'000 - 1'023), std::nullopt);
  EXPECT_EQ(Send(5'000 - 1'024), DropReason::kTooOld);
  EXPECT_EQ(Send(3), DropReason::kTooOld);
}

TEST_P(SrtpSenderTest, NothingComesBeforeIndexZero) {
  EXPECT_EQ(Send(2), std::nullopt);
  EXPECT_EQ(Send(0xfffe), DropReason::kTooOld);
  EXPECT_EQ(Send(0), std::nullopt);
}

TEST_P(SrtpSenderTest, UnknownSsrcsAreRefused) {
  EXPECT_EQ(Send(1, 0x1234), DropReason::kUnknownSsrc);
  const auto rtcp = MakePacket(RtcpBytes(0x1234));
  EXPECT_EQ(sender_->ProtectRtcp(*rtcp), DropReason::kUnknownSsrc);
  EXPECT_EQ(sender_->Export().streams.size(), 1u);
}

TEST_P(SrtpSenderTest, MalformedAndFullPacketsAreRefused) {
  const auto shorter = MakePacket(Bytes(11, 0x80));
  EXPECT_EQ(sender_->ProtectRtp(*shorter), DropReason::kMalformed);
  const auto rtcp = MakePacket(Bytes(7, 0x80));
  EXPECT_EQ(sender_->ProtectRtcp(*rtcp), DropReason::kMalformed);
  const auto fits =
      MakePacket(RtpBytes(1, kSsrc, Packet::kCapacity - SrtpSender::kMaxTrailer - 12));
  EXPECT_EQ(sender_->ProtectRtp(*fits), std::nullopt);
  const auto full =
      MakePacket(RtpBytes(2, kSsrc, Packet::kCapacity - SrtpSender::kMaxTrailer - 11));
  EXPECT_EQ(sender_->ProtectRtp(*full), DropReason::kOversized);
  Bytes liar = RtpBytes(3);
  liar[0] |= 0x10;
  PutBig(std::span(liar).subspan(12, 4), 0xbedeffff);
  const auto bad_extension = MakePacket(liar);
  EXPECT_EQ(sender_->ProtectRtp(*bad_extension), DropReason::kMalformed);
  EXPECT_EQ(Send(3), std::nullopt) << "a packet that was refused used no index";
}

TEST_P(SrtpSenderTest, NoIndexAtTheLimitIsUsed) {
  sender_->SetLimit(kSsrc, 10);
  EXPECT_EQ(Send(9), std::nullopt);
  EXPECT_EQ(Send(10), DropReason::kSrtpIndexReserve);
  EXPECT_EQ(Send(8), std::nullopt) << "a late one below the limit is fine";
  sender_->SetLimit(kSsrc, 11);
  EXPECT_EQ(Send(10), std::nullopt);
  EXPECT_EQ(Send(11), DropReason::kSrtpIndexReserve);
}

TEST_P(SrtpSenderTest, NoRtcpIndexAtTheLimitIsUsed) {
  sender_->SetRtcpLimit(kSsrc, 3);
  EXPECT_EQ(SendRtcp(), std::nullopt);
  EXPECT_EQ(SendRtcp(), std::nullopt);
  EXPECT_EQ(SendRtcp(), DropReason::kSrtpIndexReserve);
  EXPECT_EQ(sender_->next_rtcp_index(kSsrc), 3u);
  sender_->SetRtcpLimit(kSsrc, 4);
  EXPECT_EQ(SendRtcp(), std::nullopt);
}

TEST_P(SrtpSenderTest, ExactRestoreGoesOnWhereTheOwnerStopped) {
  for (const uint64_t next : {uint64_t{0}, uint64_t{1}, uint64_t{30'000}, uint64_t{65'535},
                              uint64_t{65'536}, uint64_t{65'537}, uint64_t{3} << 16,
                              (uint64_t{7} << 16) + 40'000, (uint64_t{1} << 33) + 5}) {
    SrtpSender::State state;
    state.streams[kSsrc] = {.rtp = {.next_index = next}, .rtcp = {.next_index = 77}};
    Restore(state, SrtpSender::RestoreMode::kExact);
    EXPECT_EQ(sender_->Export(), state);
    EXPECT_EQ(sender_->next_index(kSsrc), next);
    if (next > 0) {
      EXPECT_EQ(Send(next - 1), DropReason::kTooOld) << "may have been used";
    }
    EXPECT_EQ(Send(next), std::nullopt);
    EXPECT_EQ(Send(next + 2), std::nullopt);
    EXPECT_EQ(Send(next + 1), std::nullopt);
    EXPECT_EQ(Send(next + 1), DropReason::kDuplicate);
    EXPECT_EQ(Send(next + 30'000), std::nullopt);
    EXPECT_EQ(Send(next + 60'000), std::nullopt);
    EXPECT_EQ(sender_->next_rtcp_index(kSsrc), 77u);
    EXPECT_EQ(SendRtcp(), std::nullopt);
  }
}

TEST_P(SrtpSenderTest, TheFirstPacketAfterARestoreMayBeBeyondAWrap) {
  for (uint64_t jump = 0; jump < 32'767; jump += 4'681) {
    SrtpSender::State state;
    state.streams[kSsrc] = {.rtp = {.next_index = (uint64_t{2} << 16) + 65'000}};
    Restore(state, SrtpSender::RestoreMode::kExact);
    EXPECT_EQ(Send((uint64_t{2} << 16) + 65'000 + jump), std::nullopt) << jump;
    EXPECT_EQ(Send((uint64_t{2} << 16) + 65'001 + jump), std::nullopt) << jump;
  }
}

TEST_P(SrtpSenderTest, AfterAFaultTheSuccessorStartsBehindTheLimit) {
  SrtpSender::State state;
  state.streams[kSsrc] = {.rtp = {.next_index = 65'000, .limit = 65'536},
                          .rtcp = {.next_index = 5, .limit = 1'024}};
  Restore(state, SrtpSender::RestoreMode::kAfterFault);
  EXPECT_EQ(sender_->next_index(kSsrc), 65'536u + 1'024u);
  EXPECT_EQ(sender_->next_rtcp_index(kSsrc), 1'024u + 1'024u);
  EXPECT_EQ(Send(65'536 + 1'024), DropReason::kSrtpIndexReserve) << "no limit of its own yet";
  EXPECT_EQ(SendRtcp(), DropReason::kSrtpIndexReserve);
  sender_->SetLimit(kSsrc, 70'000);
  sender_->SetRtcpLimit(kSsrc, 4'096);
  EXPECT_EQ(Send(65'536 + 1'023), DropReason::kTooOld);
  EXPECT_EQ(Send(65'536 + 1'024), std::nullopt);
  EXPECT_EQ(SendRtcp(), std::nullopt);
}

TEST_P(SrtpSenderTest, AStandbyThatFollowsTheLimitsIsReadyAtOnce) {
  sender_->SetLimit(kSsrc, SrtpSender::kUnlimited);
  // Steps below, at and above what a receiver's guess can follow.
  uint64_t index = 0;
  for (const uint64_t step : {1u, 4'096u, 32'766u, 32'767u, 32'768u, 32'769u, 65'536u, 100'000u}) {
    EXPECT_EQ(Send(index), std::nullopt) << index;
    index += step;
    sender_->AdvanceTo(kSsrc, index);
    EXPECT_EQ(sender_->next_index(kSsrc), index);
    EXPECT_EQ(Send(index), std::nullopt) << "after a step of " << step;
    index += 32'768;
    sender_->AdvanceTo(kSsrc, index);
  }
  sender_->AdvanceRtcpTo(kSsrc, 500);
  sender_->AdvanceRtcpTo(kSsrc, 400);
  EXPECT_EQ(sender_->next_rtcp_index(kSsrc), 500u);
  EXPECT_EQ(SendRtcp(), std::nullopt);
}

TEST_P(SrtpSenderTest, AMalformedFirstPacketAfterARestoreSpoilsNothing) {
  EXPECT_EQ(Send(40'000), std::nullopt);
  sender_->AdvanceTo(kSsrc, (uint64_t{5} << 16) - 3);
  Bytes liar = RtpBytes(100);  // Would be the first of rollover counter 5.
  liar[0] |= 0x10;
  PutBig(std::span(liar).subspan(12, 4), 0xbedeffff);
  const auto packet = MakePacket(liar);
  EXPECT_EQ(sender_->ProtectRtp(*packet), DropReason::kMalformed);
  EXPECT_EQ(Send((uint64_t{5} << 16) - 3), std::nullopt);
  EXPECT_EQ(Send((uint64_t{5} << 16) + 100), std::nullopt);
}

// Twenty owners in a row, each of which dies; whatever any of them sent, no index came twice.
TEST_P(SrtpSenderTest, TwentyTakeoversNeverReuseAnIndex) {
  Rng rng(42);
  std::set<uint64_t> used;
  std::set<Bytes> used_rtcp;
  uint64_t limit = 4'096;
  uint64_t rtcp_limit = 1'024;
  for (int owner = 0; owner < 20; ++owner) {
    sender_->SetLimit(kSsrc, limit);
    sender_->SetRtcpLimit(kSsrc, rtcp_limit);
    // What the standby last heard, before a random number of further packets.
    const SrtpSender::State replicated = sender_->Export();
    uint64_t index = sender_->next_index(kSsrc);
    const uint64_t packets = rng.Below(6'000);
    for (uint64_t i = 0; i < packets; ++i, ++index) {
      const auto packet = MakePacket(RtpBytes(static_cast<uint16_t>(index)));
      if (sender_->ProtectRtp(*packet)) break;
      EXPECT_TRUE(used.insert(index).second) << index;
    }
    EXPECT_LE(index, limit);
    for (uint64_t i = rng.Below(200); i > 0; --i) {
      const auto packet = MakePacket(RtcpBytes());
      if (sender_->ProtectRtcp(*packet)) break;
      const Bytes bytes = BytesOf(*packet);
      EXPECT_TRUE(used_rtcp.insert(bytes).second) << "same plaintext, so same index, same bytes";
    }
    Restore(replicated, SrtpSender::RestoreMode::kAfterFault);
    limit = sender_->next_index(kSsrc) + 4'096;
    rtcp_limit = sender_->next_rtcp_index(kSsrc) + 1'024;
  }
  EXPECT_GT(used.size(), 20'000u);
}

}  // namespace
}  // namespace vigil::transport
