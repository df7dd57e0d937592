#include "gateway/ice/stun.h"

#include <array>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/unit/ice/stun_messages.h"

namespace vigil::ice {
namespace {

using testing::ErrorOf;
using testing::FindAttribute;
using testing::IsSealed;
using testing::MakeCheck;
using testing::TypeOf;
using Bytes = std::vector<uint8_t>;

Bytes FromHex(std::string_view hex) {
  Bytes bytes;
  int half = -1;
  for (const char c : hex) {
    if (c == ' ') continue;
    const int digit = c <= '9' ? c - '0' : c - 'a' + 10;
    if (half < 0) {
      half = digit;
    } else {
      bytes.push_back(static_cast<uint8_t>(half << 4 | digit));
      half = -1;
    }
  }
  return bytes;
}

// RFC 5769, 2.1 to 2.3. The request claims ICE-CONTROLLED.
constexpr std::string_view kRequest =
    "00010058 2112a442 b7e7a701 bc34d686 fa87dfae 80220010 5354554e 20746573 7420636c 69656e74 "
    "00240004 6e0001ff 80290008 932ff9b1 51263b36 00060009 6576746a 3a683676 59202020 "
    "00080014 9aeaa70c bfd8cb56 781ef2b5 b2d3f249 c1b571a2 80280004 e57a3bcf";
constexpr std::string_view kResponseV4 =
    "0101003c 2112a442 b7e7a701 bc34d686 fa87dfae 8022000b 74657374 20766563 746f7220 "
    "00200008 0001a147 e112a643 00080014 2b91f599 fd9e90c3 8c7489f9 2af9ba53 f06be7d7 "
    "80280004 c07d4c96";
constexpr std::string_view kResponseV6 =
    "01010048 2112a442 b7e7a701 bc34d686 fa87dfae 8022000b 74657374 20766563 746f7220 "
    "00200014 0002a147 0113a9fa a5d3f179 bc25f4b5 bed2b9d9 00080014 a382954e 4be67bf1 "
    "1784c97c 8292c275 bfe3ed41 80280004 c8fb0b4c";
constexpr StunKey kVectorKey = {"evtj", "VOkJxbRl1RmTxUk/WvJxBt"};

constexpr StunKey kKey = {"abcd", "a password of the gateway"};

ClientAddress VectorV6() {
  return {
      {0x20, 0x01, 0x0d, 0xb8, 0x12, 0x34, 0x56, 0x78, 0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77},
      32853,
      Transport::kUdp};
}

class StunTest : public ::testing::Test {
 protected:
  StunVerdict Handle(std::span<const uint8_t> datagram, StunKey key = kKey,
                     const ClientAddress& from = ClientAddress::V4(192, 0, 2, 1, 32853)) {
    const StunVerdict verdict =
        endpoint_.HandleDatagram(datagram, from, std::span(&key, 1), buffer_);
    response_.assign(buffer_.begin(),
                     buffer_.begin() + static_cast<ptrdiff_t>(verdict.response_size));
    return verdict;
  }
  void ExpectDropped(std::span<const uint8_t> datagram, DropReason reason) {
    const StunVerdict verdict = Handle(datagram);
    EXPECT_EQ(verdict.kind, StunKind::kDropped);
    EXPECT_EQ(verdict.reason, reason) << ToString(verdict.reason);
    EXPECT_TRUE(response_.empty());
  }

  StunEndpoint endpoint_;
  std::array<uint8_t, StunEndpoint::kMaxResponse> buffer_{};
  Bytes response_;
};

TEST_F(StunTest, Rfc5769RequestIsAuthenticAndClaimsTheWrongRole) {
  const StunVerdict verdict = Handle(FromHex(kRequest), kVectorKey);
  EXPECT_EQ(verdict.kind, StunKind::kRefused);
  EXPECT_EQ(TypeOf(response_), 0x0111);
  EXPECT_EQ(ErrorOf(response_), 487);
  EXPECT_TRUE(IsSealed(response_, kVectorKey.password));
}

TEST_F(StunTest, Rfc5769RequestNamesItsPeer) {
  const Bytes request = FromHex(kRequest);
  const std::optional<CheckUsername> username = PeekUsername(request);
  ASSERT_TRUE(username);
  EXPECT_EQ(username->local, "evtj");
  EXPECT_EQ(username->remote, "h6vY");
}

TEST_F(StunTest, Rfc5769ResponsesAreSealedAsWeSealOurs) {
  for (const std::string_view hex : {kResponseV4, kResponseV6}) {
    const Bytes response = FromHex(hex);
    EXPECT_TRUE(IsSealed(response, kVectorKey.password));
    EXPECT_EQ(Handle(response, kVectorKey).reason, DropReason::kStunUnexpected);
    EXPECT_FALSE(PeekUsername(response));
  }
}

TEST_F(StunTest, XorMappedAddressIsTheOneOfRfc5769) {
  // A request in the transaction of 2.1, but in the right role, gets the answers of 2.2 and 2.3.
  Bytes request = testing::MessageBuilder(0x0001).Attribute(0x0006, "evtj:h6vY").Take();
  const Bytes vector = FromHex(kRequest);
  std::copy(vector.begin() + 8, vector.begin() + 20, request.begin() + 8);
  const Bytes sealed =
      testing::MessageBuilder(request).Integrity(kVectorKey.password).Fingerprint().Take();
  for (const auto& [from, hex] : {std::pair(ClientAddress::V4(192, 0, 2, 1, 32853), kResponseV4),
                                  std::pair(VectorV6(), kResponseV6)}) {
    EXPECT_EQ(Handle(sealed, kVectorKey, from).kind, StunKind::kCheck);
    const Bytes expected = FromHex(hex);
    const auto want = FindAttribute(expected, 0x0020);
    const auto got = FindAttribute(response_, 0x0020);
    EXPECT_EQ(Bytes(got.begin(), got.end()), Bytes(want.begin(), want.end()));
    EXPECT_TRUE(std::equal(response_.begin() + 4, response_.begin() + 20, expected.begin() + 4));
  }
}

TEST_F(StunTest, ACheckIsAnsweredWithItsAddressAndSealed) {
  const StunVerdict verdict = Handle(MakeCheck({}));
  EXPECT_EQ(verdict.kind, StunKind::kCheck);
  EXPECT_FALSE(verdict.use_candidate);
  EXPECT_EQ(TypeOf(response_), 0x0101);
  EXPECT_EQ(FindAttribute(response_, 0x0020).size(), 8u);
  EXPECT_TRUE(FindAttribute(response_, 0x0006).empty()) << "responses carry no USERNAME";
  EXPECT_TRUE(IsSealed(response_, kKey.password));
  EXPECT_TRUE(Handle(MakeCheck({.use_candidate = true})).use_candidate);
}

TEST_F(StunTest, WhatIsNotAuthenticIsNotAnswered) {
  const auto kReason = DropReason::kStunUnauthenticated;
  ExpectDropped(MakeCheck({.password = "another password"}), kReason);
  ExpectDropped(MakeCheck({.username = "abce:efgh"}), kReason);
  ExpectDropped(MakeCheck({.username = "abcdefgh"}), kReason);
  ExpectDropped(MakeCheck({.username = ":efgh"}), kReason);
  ExpectDropped(MakeCheck({.integrity = false}), kReason);
  ExpectDropped(MakeCheck({.fingerprint = false}), kReason);
  ExpectDropped(MakeCheck({.integrity = false, .fingerprint = false}), kReason);
  testing::MessageBuilder no_username(0x0001);
  ExpectDropped(no_username.Integrity(kKey.password).Fingerprint().Take(), kReason);
  // Unauthenticated, so not even the role conflict or the unknown attribute is told.
  ExpectDropped(MakeCheck({.password = "x", .controlled = true}), kReason);
  ExpectDropped(MakeCheck({.password = "x", .extra_attribute = 0x7777}), kReason);
}

TEST_F(StunTest, AnEmptyPasswordIsNoPassword) {
  const StunVerdict verdict = Handle(MakeCheck({.password = ""}), {"abcd", ""});
  EXPECT_EQ(verdict.kind, StunKind::kDropped);
}

TEST_F(StunTest, AShortIntegrityAttributeIsNotReadPastItsEnd) {
  for (const size_t size : {0, 4, 19, 21, 32}) {
    testing::MessageBuilder message(0x0001);
    message.Attribute(0x0006, "abcd:efgh");
    message.Attribute(0x0008, Bytes(size, 0xaa)).Fingerprint();
    ExpectDropped(message.Take(), DropReason::kStunUnauthenticated);
  }
}

TEST_F(StunTest, TheControlledRoleIsOurs) {
  EXPECT_EQ(Handle(MakeCheck({.controlled = true})).kind, StunKind::kRefused);
  EXPECT_EQ(ErrorOf(response_), 487);
  EXPECT_TRUE(IsSealed(response_, kKey.password));
}

TEST_F(StunTest, UnknownRequiredAttributesAreRefusedAndListed) {
  EXPECT_EQ(Handle(MakeCheck({.extra_attribute = 0x7777})).kind, StunKind::kRefused);
  EXPECT_EQ(ErrorOf(response_), 420);
  const auto listed = FindAttribute(response_, 0x000a);
  EXPECT_EQ(Bytes(listed.begin(), listed.end()), (Bytes{0x77, 0x77}));
  EXPECT_TRUE(IsSealed(response_, kKey.password));
  EXPECT_EQ(Handle(MakeCheck({.extra_attribute = 0xc057})).kind, StunKind::kCheck)
      << "optional ones are ignored";
}

TEST_F(StunTest, HundredsOfUnknownAttributesStillFitTheResponse) {
  testing::MessageBuilder message(0x0001);
  message.Attribute(0x0006, "abcd:efgh");
  for (uint16_t i = 0; i < 350; ++i) {
    message.Attribute(static_cast<uint16_t>(0x1000 + i), std::string_view());
  }
  EXPECT_EQ(Handle(message.Integrity(kKey.password).Fingerprint().Take()).kind, StunKind::kRefused);
  EXPECT_EQ(ErrorOf(response_), 420);
}

TEST_F(StunTest, OtherMethodsAreRefused) {
  EXPECT_EQ(Handle(MakeCheck({.type = 0x0003})).kind, StunKind::kRefused) << "a TURN Allocate";
  EXPECT_EQ(ErrorOf(response_), 400);
}

TEST_F(StunTest, IndicationsTeachNothing) {
  EXPECT_EQ(Handle(MakeCheck({.integrity = false, .type = 0x0011})).kind, StunKind::kIndication);
  EXPECT_EQ(Handle(MakeCheck({.type = 0x0011})).kind, StunKind::kIndication);
  EXPECT_TRUE(response_.empty());
  ExpectDropped(MakeCheck({.integrity = false, .fingerprint = false, .type = 0x0011}),
                DropReason::kStunUnexpected);
  ExpectDropped(MakeCheck({.type = 0x0016}), DropReason::kStunUnexpected);
}

TEST_F(StunTest, EveryTruncationIsDropped) {
  const Bytes check = MakeCheck({.use_candidate = true});
  for (size_t n = 0; n < check.size(); ++n) {
    const Bytes cut(check.begin(), check.begin() + static_cast<ptrdiff_t>(n));
    ExpectDropped(cut, DropReason::kMalformed);
    EXPECT_FALSE(PeekUsername(cut)) << n;
  }
  Bytes longer = check;
  longer.resize(check.size() + 4);
  ExpectDropped(longer, DropReason::kMalformed);
}

TEST_F(StunTest, EveryFlippedBitIsDropped) {
  const Bytes check = MakeCheck({.use_candidate = true});
  for (size_t bit = 0; bit < check.size() * 8; ++bit) {
    Bytes flipped = check;
    flipped[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    EXPECT_EQ(Handle(flipped).kind, StunKind::kDropped) << bit;
    EXPECT_TRUE(response_.empty());
  }
}

TEST_F(StunTest, PeekRefusesWhatIsNotABindingRequestWithTwoNames) {
  EXPECT_FALSE(PeekUsername({}));
  EXPECT_FALSE(PeekUsername(MakeCheck({.username = "nocolon"})));
  EXPECT_FALSE(PeekUsername(MakeCheck({.type = 0x0011})));
  EXPECT_FALSE(PeekUsername(MakeCheck({.type = 0x0003})));
  Bytes no_cookie = MakeCheck({});
  no_cookie[4] = 0;
  EXPECT_FALSE(PeekUsername(no_cookie));
  EXPECT_TRUE(PeekUsername(MakeCheck({.username = "a:"})));
}

}  // namespace
}  // namespace vigil::ice
