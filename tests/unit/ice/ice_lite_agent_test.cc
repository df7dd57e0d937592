#include "gateway/ice/ice_lite_agent.h"

#include <array>
#include <vector>

#include "gateway/base/archive.h"
#include "gtest/gtest.h"
#include "tests/unit/ice/stun_messages.h"

namespace vigil::ice {
namespace {

using testing::MakeCheck;

const Credentials kLocal = {"abcd", "a password of the gateway"};
const Credentials kRemote = {"efgh", "a password of the client"};
const Credentials kNewLocal = {"ijkl", "another password of the gateway"};
const Credentials kNewRemote = {"mnop", "another password of the client"};

ClientAddress Client(uint8_t host, uint16_t port = 5000) {
  return ClientAddress::V4(192, 0, 2, host, port);
}

Timestamp At(int64_t ms) { return Timestamp() + TimeDelta::Millis(ms); }

class IceLiteAgentTest : public ::testing::Test {
 protected:
  // A new request of its own each time.
  CheckOutcome Check(const ClientAddress& from, int64_t ms, bool nominate = false,
                     const Credentials& local = kLocal) {
    last_check_ = MakeCheck({.username = local.ufrag + ":x",
                             .password = local.password,
                             .use_candidate = nominate,
                             .transaction = ++transaction_,
                             .priority = priority_});
    return Send(last_check_, from, ms);
  }
  CheckOutcome Nominate(const ClientAddress& from, int64_t ms) { return Check(from, ms, true); }
  CheckOutcome Send(const std::vector<uint8_t>& check, const ClientAddress& from, int64_t ms) {
    return agent_.HandleCheck(endpoint_, check, from, At(ms), response_);
  }

  StunEndpoint endpoint_;
  std::array<uint8_t, StunEndpoint::kMaxResponse> response_{};
  IceLiteAgent agent_{kLocal, kRemote, IceLiteAgent::Options()};
  std::vector<uint8_t> last_check_;
  uint8_t transaction_ = 100;
  uint8_t priority_ = 0x6e;
};

TEST_F(IceLiteAgentTest, NothingIsKnownBeforeTheFirstCheck) {
  EXPECT_FALSE(agent_.selected());
  EXPECT_FALSE(agent_.IsValidated(Client(1)));
  EXPECT_TRUE(agent_.NextDeadline().IsNever());
  EXPECT_FALSE(agent_.ConsentExpired(At(1'000'000)));
  EXPECT_TRUE(agent_.last_check().IsLongAgo());
}

TEST_F(IceLiteAgentTest, TheFirstCheckValidatesAndSelectsProvisionally) {
  const CheckOutcome outcome = Check(Client(1), 10);
  EXPECT_FALSE(outcome.dropped);
  EXPECT_GT(outcome.response_size, 0u);
  EXPECT_TRUE(outcome.newly_validated);
  EXPECT_TRUE(outcome.selected_changed);
  EXPECT_TRUE(agent_.IsValidated(Client(1)));
  EXPECT_EQ(agent_.selected(), Client(1));
  EXPECT_FALSE(agent_.nominated());
  EXPECT_FALSE(Check(Client(1), 20).newly_validated);
}

TEST_F(IceLiteAgentTest, OnlyNominationMovesTheSelection) {
  Check(Client(1), 0);
  EXPECT_FALSE(Check(Client(2), 10).selected_changed);
  EXPECT_EQ(agent_.selected(), Client(1));
  EXPECT_TRUE(Check(Client(2), 20, true).selected_changed);
  EXPECT_EQ(agent_.selected(), Client(2));
  EXPECT_TRUE(agent_.nominated());
  EXPECT_FALSE(Check(Client(1), 30).selected_changed);
  EXPECT_TRUE(Check(Client(3), 40, true).selected_changed) << "the last nomination wins";
  EXPECT_EQ(agent_.selected(), Client(3));
}

TEST_F(IceLiteAgentTest, AddressesDifferByPortAndTransport) {
  Check(Client(1, 5000), 0);
  ClientAddress tcp = Client(1, 5000);
  tcp.transport = Transport::kTcp;
  EXPECT_FALSE(agent_.IsValidated(Client(1, 5001)));
  EXPECT_FALSE(agent_.IsValidated(tcp));
}

TEST_F(IceLiteAgentTest, WhatIsNotAuthenticTeachesNothing) {
  const CheckOutcome outcome =
      agent_.HandleCheck(endpoint_, MakeCheck({.password = "guess", .use_candidate = true}),
                         Client(9), At(0), response_);
  EXPECT_EQ(outcome.dropped, DropReason::kStunUnauthenticated);
  EXPECT_EQ(outcome.response_size, 0u);
  EXPECT_FALSE(agent_.IsValidated(Client(9)));
  EXPECT_FALSE(agent_.selected());
}

TEST_F(IceLiteAgentTest, RefusedChecksAndIndicationsTeachNothing) {
  const CheckOutcome refused =
      agent_.HandleCheck(endpoint_, MakeCheck({.use_candidate = true, .controlled = true}),
                         Client(9), At(0), response_);
  EXPECT_FALSE(refused.dropped);
  EXPECT_GT(refused.response_size, 0u);
  EXPECT_FALSE(agent_.IsValidated(Client(9)));
  const CheckOutcome indication =
      agent_.HandleCheck(endpoint_, MakeCheck({.type = 0x0011}), Client(9), At(0), response_);
  EXPECT_FALSE(indication.dropped);
  EXPECT_EQ(indication.response_size, 0u);
  EXPECT_FALSE(agent_.IsValidated(Client(9)));
}

TEST_F(IceLiteAgentTest, AddressesAreBoundedAndTheSelectedOneStays) {
  Check(Client(1), 0, true);
  for (uint8_t host = 2; host <= 40; ++host) {
    Check(Client(host), host);
    EXPECT_TRUE(agent_.IsValidated(Client(host)));
    EXPECT_LE(agent_.Export().addresses.size(), IceLiteAgent::kMaxAddresses);
  }
  EXPECT_TRUE(agent_.IsValidated(Client(1)));
  EXPECT_FALSE(agent_.IsValidated(Client(33)));
  EXPECT_TRUE(agent_.IsValidated(Client(34))) << "the seven newest are still there";
}

TEST_F(IceLiteAgentTest, ConsentExpiresFifteenSecondsAfterTheLastCheckOfTheSelectedAddress) {
  Check(Client(1), 0, true);
  Check(Client(1), 2'500);
  Check(Client(2), 10'000);
  EXPECT_EQ(agent_.last_check(), At(2'500));
  EXPECT_EQ(agent_.NextDeadline(), At(17'500));
  EXPECT_FALSE(agent_.ConsentExpired(At(17'499)));
  EXPECT_TRUE(agent_.ConsentExpired(At(17'500)));
  Check(Client(1), 17'600);
  EXPECT_FALSE(agent_.ConsentExpired(At(17'600))) << "consent can come back";
}

TEST_F(IceLiteAgentTest, ConsentTimeoutIsAnOption) {
  agent_ = IceLiteAgent(kLocal, kRemote, {.consent_timeout = TimeDelta::Seconds(1)});
  Check(Client(1), 0);
  EXPECT_EQ(agent_.NextDeadline(), At(1'000));
}

TEST_F(IceLiteAgentTest, MediaGoesOnThroughARestart) {
  Check(Client(1), 0, true);
  agent_.Restart(kNewLocal, kNewRemote);
  EXPECT_EQ(agent_.local(), kNewLocal);
  EXPECT_EQ(agent_.selected(), Client(1));
  EXPECT_FALSE(Check(Client(1), 100).dropped) << "the old credentials still count";
  // The first check with the new ones ends that, but the old address is kept for media.
  EXPECT_FALSE(Check(Client(2), 200, false, kNewLocal).dropped);
  EXPECT_EQ(Check(Client(1), 300).dropped, DropReason::kStunUnauthenticated);
  EXPECT_EQ(agent_.selected(), Client(1));
  EXPECT_TRUE(agent_.IsValidated(Client(1)));
  // Nomination moves the media, and the old generation is forgotten.
  EXPECT_TRUE(Check(Client(2), 400, true, kNewLocal).selected_changed);
  EXPECT_EQ(agent_.selected(), Client(2));
  EXPECT_FALSE(agent_.IsValidated(Client(1)));
}

TEST_F(IceLiteAgentTest, AnAddressThatIsCheckedAgainAfterARestartStays) {
  Check(Client(1), 0, true);
  Check(Client(2), 0);
  agent_.Restart(kNewLocal, kNewRemote);
  Check(Client(2), 100, false, kNewLocal);
  EXPECT_FALSE(Check(Client(1), 200, true, kNewLocal).selected_changed);
  EXPECT_TRUE(agent_.IsValidated(Client(2)));
}

TEST_F(IceLiteAgentTest, ALateNominationOfTheOldGenerationDoesNotMoveAnything) {
  Check(Client(1), 0, true);
  agent_.Restart(kNewLocal, kNewRemote);
  EXPECT_FALSE(Check(Client(3), 50, true).selected_changed);
  EXPECT_EQ(agent_.selected(), Client(1));
}

TEST_F(IceLiteAgentTest, TwoRestartsInARowKeepTheCredentialsThatMediaRunsOn) {
  Check(Client(1), 0, true);
  agent_.Restart({"qrst", "never used by anybody at all"}, kNewRemote);
  agent_.Restart(kNewLocal, kNewRemote);
  EXPECT_FALSE(Check(Client(1), 100).dropped);
  EXPECT_FALSE(Check(Client(1), 200, true, kNewLocal).dropped);
  EXPECT_TRUE(agent_.IsValidated(Client(1)));
}

TEST_F(IceLiteAgentTest, ACheckThatCameFromElsewhereBeforeIsNoCheck) {
  Nominate(Client(1), 0);
  const std::vector<uint8_t> seen = last_check_;
  const CheckOutcome replayed = Send(seen, Client(66), 10);
  EXPECT_EQ(replayed.dropped, DropReason::kStunReplay);
  EXPECT_EQ(replayed.response_size, 0u);
  EXPECT_FALSE(agent_.IsValidated(Client(66)));
  EXPECT_EQ(agent_.selected(), Client(1));
  for (int i = 0; i < 62; ++i) Nominate(Client(1), 100 + i);
  EXPECT_EQ(Send(seen, Client(66), 3'000).dropped, DropReason::kStunReplay);
  // The memory of it goes with the state.
  const auto state =
      ReadArchive<IceLiteAgent::State>(WriteArchive(agent_.Export(), At(3'000)), At(3'000));
  agent_ = IceLiteAgent(*state, IceLiteAgent::Options());
  EXPECT_EQ(Send(seen, Client(66), 3'000).dropped, DropReason::kStunReplay);
  for (int i = 0; i < 200; ++i) Nominate(Client(1), 4'000 + i);
  EXPECT_EQ(agent_.Export().seen.size(), IceLiteAgent::kMaxSeenChecks);
}

TEST_F(IceLiteAgentTest, ARetransmittedCheckIsAnsweredAgainAndDoesNothingElse) {
  Nominate(Client(1), 0);
  const CheckOutcome again = Send(last_check_, Client(1), 5'000);
  EXPECT_FALSE(again.dropped);
  EXPECT_TRUE(again.repeated);
  EXPECT_GT(again.response_size, 0u);
  EXPECT_EQ(agent_.last_check(), At(0)) << "who repeats an old check must not renew consent";
}

TEST_F(IceLiteAgentTest, ARefusedCheckIsNotAnsweredElsewhere) {
  const auto check = MakeCheck({.controlled = true});
  EXPECT_GT(Send(check, Client(1), 0).response_size, 0u);
  EXPECT_EQ(Send(check, Client(66), 1).dropped, DropReason::kStunReplay);
}

TEST_F(IceLiteAgentTest, OnceConnectedANominatedAddressWaitsForSomethingAuthentic) {
  Nominate(Client(1), 0);
  agent_.OnConnected();
  EXPECT_FALSE(Nominate(Client(2), 10).selected_changed);
  EXPECT_EQ(agent_.selected(), Client(1));
  EXPECT_TRUE(agent_.IsValidated(Client(2))) << "media is taken from there";
  EXPECT_FALSE(agent_.OnAuthentic(Client(3), At(11))) << "never checked";
  Check(Client(3), 12);
  EXPECT_FALSE(agent_.OnAuthentic(Client(3), At(13))) << "never nominated";
  EXPECT_TRUE(agent_.OnAuthentic(Client(2), At(14)));
  EXPECT_EQ(agent_.selected(), Client(2));
  EXPECT_FALSE(agent_.OnAuthentic(Client(1), At(15))) << "what was overtaken does not lead back";
  EXPECT_EQ(agent_.selected(), Client(2));
}

TEST_F(IceLiteAgentTest, AHeldBackCheckDoesNotHideTheAddressTheClientMovedTo) {
  Nominate(Client(1), 0);
  agent_.OnConnected();
  Nominate(Client(2), 10);
  Nominate(Client(66), 11);
  EXPECT_TRUE(agent_.OnAuthentic(Client(2), At(20)));
  EXPECT_EQ(agent_.selected(), Client(2));
}

TEST_F(IceLiteAgentTest, ASilentAddressIsLeftForANominatedOne) {
  Nominate(Client(1), 0);
  agent_.OnConnected();
  agent_.OnAuthentic(Client(1), At(2'000));
  Nominate(Client(2), 2'100);
  EXPECT_EQ(agent_.NextDeadline(), At(5'000));
  EXPECT_FALSE(agent_.HandleTimeout(At(4'999)));
  EXPECT_TRUE(agent_.HandleTimeout(At(5'000)));
  EXPECT_EQ(agent_.selected(), Client(2));
  EXPECT_EQ(agent_.NextDeadline(), At(17'100)) << "consent, by the check of the new address";
  // A check of the selected address is as good as media.
  Nominate(Client(1), 6'000);
  Nominate(Client(2), 7'900);
  EXPECT_FALSE(agent_.HandleTimeout(At(8'000)));
}

TEST_F(IceLiteAgentTest, ThePathThatWaitsSurvivesARestore) {
  Nominate(Client(1), 0);
  agent_.OnConnected();
  Nominate(Client(2), 100);
  const auto state =
      ReadArchive<IceLiteAgent::State>(WriteArchive(agent_.Export(), At(200)), At(0));
  agent_ = IceLiteAgent(*state, IceLiteAgent::Options());
  EXPECT_EQ(agent_.selected(), Client(1));
  EXPECT_TRUE(agent_.OnAuthentic(Client(2), At(1)));
}

TEST_F(IceLiteAgentTest, OfSeveralNominatedAddressesTheHighestPriorityCountsUntilConnected) {
  Nominate(Client(1), 0);
  priority_ = 0x10;
  EXPECT_FALSE(Nominate(Client(2), 10).selected_changed);
  EXPECT_EQ(agent_.selected(), Client(1));
  priority_ = 0x7e;
  EXPECT_TRUE(Nominate(Client(3), 20).selected_changed);
  EXPECT_EQ(agent_.selected(), Client(3));
  // The end of the handshake came from where the client really is.
  priority_ = 0x10;
  Nominate(Client(2), 30);
  agent_.OnConnected();
  EXPECT_TRUE(agent_.OnAuthentic(Client(2), At(40)));
}

TEST_F(IceLiteAgentTest, AReplacedGenerationIsNotMovedTo) {
  Nominate(Client(1), 0);
  agent_.OnConnected();
  Nominate(Client(2), 10);
  agent_.Restart(kNewLocal, kNewRemote);
  Check(Client(1), 20, false, kNewLocal);
  EXPECT_FALSE(agent_.OnAuthentic(Client(2), At(30)));
  EXPECT_EQ(agent_.selected(), Client(1));
}

TEST_F(IceLiteAgentTest, StateSurvivesExportAndRestoreOnAnotherClock) {
  Check(Client(1), 0, true);
  Check(Client(2), 1'000);
  agent_.Restart(kNewLocal, kNewRemote);
  const std::vector<uint8_t> bytes = WriteArchive(agent_.Export(), At(2'000));
  const auto state = ReadArchive<IceLiteAgent::State>(bytes, At(102'000));
  ASSERT_TRUE(state);
  agent_ = IceLiteAgent(*state, IceLiteAgent::Options());
  EXPECT_EQ(agent_.selected(), Client(1));
  EXPECT_TRUE(agent_.nominated());
  EXPECT_TRUE(agent_.IsValidated(Client(2)));
  EXPECT_EQ(agent_.NextDeadline(), At(115'000));
  EXPECT_FALSE(Check(Client(1), 102'100).dropped) << "the restart is still under way";
  EXPECT_FALSE(Check(Client(4), 102'200, true, kNewLocal).dropped);
  EXPECT_FALSE(agent_.IsValidated(Client(1)));
}

}  // namespace
}  // namespace vigil::ice
