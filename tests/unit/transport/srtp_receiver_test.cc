#include "gateway/transport/srtp_receiver.h"

#include <array>
#include <memory>

#include "gateway/base/archive.h"
#include "gateway/transport/evp_cipher.h"
#include "gateway/transport/srtp_sender.h"
#include "gtest/gtest.h"
#include "tests/unit/transport/srtp_packets.h"

namespace vigil::transport {
namespace {

using namespace testing;  // NOLINT: packet makers, for tests only.

class SrtpReceiverTest : public ::testing::TestWithParam<SrtpProfile> {
 protected:
  void SetUp() override { ASSERT_TRUE(receiver_->AddStream(kSsrc)); }
  // What a client sends under exactly this index.
  std::unique_ptr<Packet> Rtp(uint64_t index, uint32_t ssrc = kSsrc) const {
    return MakePacket(testing::ProtectRtp(GetParam(), DeriveSession(GetParam(), key_, false),
                                          RtpBytes(static_cast<uint16_t>(index), ssrc), index));
  }
  std::unique_ptr<Packet> Rtcp(uint32_t index, uint32_t ssrc = kSsrc) const {
    return MakePacket(testing::ProtectRtcp(GetParam(), DeriveSession(GetParam(), key_, true),
                                           RtcpBytes(ssrc), index));
  }
  std::optional<DropReason> Receive(uint64_t index, uint32_t ssrc = kSsrc) {
    const auto packet = Rtp(index, ssrc);
    const std::optional<DropReason> reason = receiver_->UnprotectRtp(*packet);
    if (!reason) {
      EXPECT_EQ(BytesOf(*packet), RtpBytes(static_cast<uint16_t>(index), ssrc));
    }
    return reason;
  }
  std::optional<DropReason> ReceiveRtcp(uint32_t index, uint32_t ssrc = kSsrc) {
    const auto packet = Rtcp(index, ssrc);
    return receiver_->UnprotectRtcp(*packet);
  }
  void Restore(const SrtpReceiver::State& state) {
    const auto copy =
        ReadArchive<SrtpReceiver::State>(WriteArchive(state, Timestamp()), Timestamp());
    ASSERT_TRUE(copy);
    EXPECT_EQ(*copy, state);
    receiver_ = std::make_unique<SrtpReceiver>(GetParam(), key_, *copy);
    EXPECT_EQ(receiver_->Export(), state);
  }

  const Bytes key_ = MasterKey(GetParam());
  bool initialised_ = InitSrtp().ok();
  std::unique_ptr<SrtpReceiver> receiver_ = std::make_unique<SrtpReceiver>(GetParam(), key_);
};

INSTANTIATE_TEST_SUITE_P(Profiles, SrtpReceiverTest, ::testing::ValuesIn(kProfiles));

TEST_P(SrtpReceiverTest, ReadsWhatTheSenderWrites) {
  SrtpSender sender(GetParam(), key_);
  sender.AddStream(kSsrc);
  for (uint64_t index = 0; index < 200'000; index += 9'999) {
    const auto packet = MakePacket(RtpBytes(static_cast<uint16_t>(index)));
    ASSERT_EQ(sender.ProtectRtp(*packet), std::nullopt);
    EXPECT_EQ(receiver_->UnprotectRtp(*packet), std::nullopt);
    EXPECT_EQ(BytesOf(*packet), RtpBytes(static_cast<uint16_t>(index)));
    const auto rtcp = MakePacket(RtcpBytes());
    ASSERT_EQ(sender.ProtectRtcp(*rtcp), std::nullopt);
    EXPECT_EQ(receiver_->UnprotectRtcp(*rtcp), std::nullopt);
    EXPECT_EQ(BytesOf(*rtcp), RtcpBytes());
  }
}

TEST_P(SrtpReceiverTest, ReplaysAreRefused) {
  EXPECT_EQ(Receive(2'000), std::nullopt);
  EXPECT_EQ(Receive(2'000), DropReason::kSrtpReplay);
  EXPECT_EQ(Receive(2'000 - 1'023), std::nullopt) << "late";
  EXPECT_EQ(Receive(2'000 - 1'023), DropReason::kSrtpReplay);
  EXPECT_EQ(Receive(2'000 - 1'024), DropReason::kSrtpReplay) << "behind the window";
  EXPECT_EQ(ReceiveRtcp(9), std::nullopt);
  EXPECT_EQ(ReceiveRtcp(9), DropReason::kSrtpReplay);
  EXPECT_EQ(ReceiveRtcp(8), std::nullopt);
}

TEST_P(SrtpReceiverTest, ForgeriesAreRefusedAndDisturbNothing) {
  EXPECT_EQ(Receive(100), std::nullopt);
  for (uint64_t index = 101; index < 200; ++index) {
    const auto packet = Rtp(index);
    packet->data[static_cast<size_t>(packet->size) - 1 - index % 20] ^= 0x40;
    EXPECT_EQ(receiver_->UnprotectRtp(*packet), DropReason::kSrtpAuth);
    const auto rtcp = Rtcp(static_cast<uint32_t>(index));
    rtcp->data[10] ^= 0x40;
    EXPECT_EQ(receiver_->UnprotectRtcp(*rtcp), DropReason::kSrtpAuth);
  }
  const auto far_ahead = MakePacket(RtpBytes(40'000));
  EXPECT_EQ(receiver_->UnprotectRtp(*far_ahead), DropReason::kSrtpAuth);
  EXPECT_EQ(Receive(101), std::nullopt);
  EXPECT_EQ(receiver_->Export().streams.at(kSsrc).highest_index, 101u);
}

TEST_P(SrtpReceiverTest, EveryTruncationIsRefused) {
  const auto whole = Rtp(5);
  for (uint16_t n = 0; n < whole->size; ++n) {
    const auto packet = MakePacket(std::span(whole->data).first(n));
    EXPECT_TRUE(receiver_->UnprotectRtp(*packet)) << n;
  }
  const auto whole_rtcp = Rtcp(5);
  for (uint16_t n = 0; n < whole_rtcp->size; ++n) {
    const auto packet = MakePacket(std::span(whole_rtcp->data).first(n));
    EXPECT_TRUE(receiver_->UnprotectRtcp(*packet)) << n;
  }
  EXPECT_EQ(Receive(5), std::nullopt);
  EXPECT_EQ(ReceiveRtcp(5), std::nullopt);
}

TEST_P(SrtpReceiverTest, UnknownSsrcsAreOnlyTakenOnTrialAndOnlyIfAuthentic) {
  EXPECT_EQ(Receive(10, 77), DropReason::kUnknownSsrc);
  auto forged = Rtp(10, 77);
  forged->data[20] ^= 1;
  EXPECT_EQ(receiver_->TryUnprotectRtp(*forged), DropReason::kSrtpAuth);
  EXPECT_FALSE(receiver_->HasStream(77));
  EXPECT_EQ(receiver_->Export().streams.size(), 1u) << "a forgery leaves no state";
  const auto packet = Rtp(40'000, 77);
  EXPECT_EQ(receiver_->TryUnprotectRtp(*packet), std::nullopt);
  EXPECT_EQ(BytesOf(*packet), RtpBytes(40'000, 77));
  EXPECT_TRUE(receiver_->HasStream(77));
  EXPECT_EQ(Receive(40'000, 77), DropReason::kSrtpReplay) << "the trial counts";
  EXPECT_EQ(Receive(65'540, 77), std::nullopt) << "and so does the wrap after it";
}

TEST_P(SrtpReceiverTest, TheNumberOfStreamsIsBounded) {
  for (uint32_t ssrc = 1; ssrc < SrtpReceiver::kMaxStreams; ++ssrc) {
    const auto packet = Rtp(1, ssrc);
    EXPECT_EQ(receiver_->TryUnprotectRtp(*packet), std::nullopt) << ssrc;
  }
  EXPECT_FALSE(receiver_->IsOverfull());
  EXPECT_FALSE(receiver_->AddStream(5'000));
  // One more is let in, for which its owner ends another.
  const auto one_more = Rtp(1, 5'000);
  EXPECT_EQ(receiver_->TryUnprotectRtp(*one_more), std::nullopt);
  EXPECT_TRUE(receiver_->IsOverfull());
  EXPECT_EQ(ReceiveRtcp(1, 5'001), DropReason::kUnknownSsrc);
  const auto yet_one = Rtp(1, 5'002);
  EXPECT_EQ(receiver_->TryUnprotectRtp(*yet_one), DropReason::kUnknownSsrc);
  receiver_->RetireOldest({});
  EXPECT_EQ(receiver_->Export().streams.size(), SrtpReceiver::kMaxStreams);
  EXPECT_EQ(Receive(2, 5'000), std::nullopt);
}

// With its replay window gone, everything that a retired stream ever sent would be new again.
TEST_P(SrtpReceiverTest, ARetiredSsrcDoesNotComeBack) {
  const auto begin = [this](uint32_t ssrc) {
    const auto packet = Rtp(1, ssrc);
    return receiver_->TryUnprotectRtp(*packet);
  };
  EXPECT_EQ(Receive(1), std::nullopt);
  const std::array<uint32_t, 1> in_use = {kSsrc};
  uint32_t ssrc = 10'000;
  for (size_t n = 1; n < SrtpReceiver::kMaxStreams + SrtpReceiver::kMaxRetired; ++n) {
    ASSERT_EQ(begin(ssrc++), std::nullopt) << n;
    if (receiver_->IsOverfull()) receiver_->RetireOldest(in_use);
  }
  EXPECT_EQ(begin(10'000), DropReason::kUnknownSsrc);
  EXPECT_EQ(ReceiveRtcp(5, 10'000), DropReason::kUnknownSsrc);
  EXPECT_EQ(begin(ssrc), DropReason::kUnknownSsrc) << "no more are remembered";
  EXPECT_EQ(Receive(2), std::nullopt) << "though it was idle for longest";
  Restore(receiver_->Export());
  EXPECT_EQ(begin(10'001), DropReason::kUnknownSsrc);
  EXPECT_EQ(Receive(3), std::nullopt);
}

TEST_P(SrtpReceiverTest, ARemovedStreamIsForgottenByLibsrtpToo) {
  EXPECT_EQ(Receive(40'000), std::nullopt);
  EXPECT_EQ(Receive(65'540), std::nullopt);
  receiver_->RemoveStream(kSsrc);
  EXPECT_FALSE(receiver_->HasStream(kSsrc));
  EXPECT_EQ(Receive(65'541), DropReason::kUnknownSsrc);
  ASSERT_TRUE(receiver_->AddStream(kSsrc));
  EXPECT_EQ(Receive(3), std::nullopt) << "it begins again at rollover counter 0";
}

TEST_P(SrtpReceiverTest, RtcpOfAnySsrcIsTakenButNamesNoRtp) {
  EXPECT_EQ(ReceiveRtcp(1, 1), std::nullopt);
  EXPECT_FALSE(receiver_->HasStream(1));
  EXPECT_EQ(Receive(1, 1), DropReason::kUnknownSsrc);
  EXPECT_EQ(ReceiveRtcp(1, 1), DropReason::kSrtpReplay);
  ASSERT_TRUE(receiver_->AddStream(1));
  EXPECT_EQ(Receive(1, 1), std::nullopt);
  const auto forged = Rtcp(2, 2);
  forged->data[9] ^= 1;
  EXPECT_EQ(receiver_->UnprotectRtcp(*forged), DropReason::kSrtpAuth);
  EXPECT_EQ(receiver_->Export().streams.size(), 2u);
}

TEST_P(SrtpReceiverTest, RestoredBeforeAWrapWhileTheSenderIsBehindIt) {
  SrtpReceiver::State state;
  state.streams[kSsrc] = {.named = true, .highest_index = (uint64_t{2} << 16) + 65'000};
  Restore(state);
  EXPECT_EQ(Receive((uint64_t{3} << 16) + 500), std::nullopt);
  EXPECT_EQ(Receive((uint64_t{3} << 16) + 501), std::nullopt);
  EXPECT_EQ(Receive((uint64_t{2} << 16) + 65'535), std::nullopt) << "late, from before the wrap";
}

TEST_P(SrtpReceiverTest, StateMayBe32767PacketsOld) {
  for (const uint64_t highest :
       {uint64_t{0}, uint64_t{1}, uint64_t{32'767}, uint64_t{32'768}, uint64_t{32'769},
        uint64_t{65'535}, uint64_t{65'536}, (uint64_t{1} << 16) + 32'768,
        (uint64_t{9} << 16) + 65'535, (uint64_t{1} << 40) + 7}) {
    for (const uint64_t gap : {1u, 1'000u, 32'766u, 32'767u}) {
      SrtpReceiver::State state;
      state.streams[kSsrc] = {.named = true, .highest_index = highest};
      Restore(state);
      EXPECT_EQ(Receive(highest), DropReason::kSrtpReplay) << highest;
      EXPECT_EQ(Receive(highest + gap), std::nullopt) << highest << " + " << gap;
      EXPECT_EQ(receiver_->Export().streams.at(kSsrc).highest_index, highest + gap);
    }
  }
}

TEST_P(SrtpReceiverTest, RestoredRtcpTakesNoReplay) {
  EXPECT_EQ(ReceiveRtcp(1'000), std::nullopt);
  EXPECT_EQ(ReceiveRtcp(3, 1), std::nullopt);
  Restore(receiver_->Export());
  EXPECT_EQ(ReceiveRtcp(1'000), DropReason::kSrtpReplay);
  EXPECT_EQ(ReceiveRtcp(20), DropReason::kSrtpReplay);
  EXPECT_EQ(ReceiveRtcp(3, 1), DropReason::kSrtpReplay);
  EXPECT_EQ(ReceiveRtcp(1'001), std::nullopt);
  EXPECT_EQ(ReceiveRtcp(4, 1), std::nullopt);
  EXPECT_FALSE(receiver_->HasStream(1));
}

// The export knows the highest index although libsrtp does not tell it: over two wraps, with
// losses, reordering and forgeries in between, export and restore at every step changes nothing.
TEST_P(SrtpReceiverTest, ExportAndRestoreAtAnyMomentChangesNothing) {
  uint64_t newest = 0;
  for (uint64_t index = 20'000; index < 150'000; index += 1'733) {
    EXPECT_EQ(Receive(index), std::nullopt) << index;
    if (index > 40'000) {
      EXPECT_EQ(Receive(index - 5), std::nullopt) << index;
    }
    newest = index;
    EXPECT_EQ(receiver_->Export().streams.at(kSsrc).highest_index, newest);
    Restore(receiver_->Export());
  }
}

}  // namespace
}  // namespace vigil::transport
