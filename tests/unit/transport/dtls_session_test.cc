#include "gateway/transport/dtls_session.h"

#include <algorithm>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "gateway/base/archive.h"
#include "gateway/base/rng.h"
#include "gtest/gtest.h"
#include "tests/support/dtls_client.h"

namespace vigil::transport {
namespace {

using testing::DtlsClient;
using Result = DtlsSession::Result;
using Bytes = std::vector<uint8_t>;

constexpr int64_t kWallSeconds = 1'700'000'000;

Timestamp At(int64_t ms) { return Timestamp() + TimeDelta::Millis(ms); }

const DtlsContext& Context() {
  static const auto context = DtlsContext::Create({.wall_seconds = kWallSeconds});
  EXPECT_TRUE(context.ok()) << context.status();
  return **context;
}

// One DTLS record around `body`.
Bytes Record(uint8_t type, uint16_t epoch, uint8_t sequence, const Bytes& body) {
  Bytes record = {type,
                  0xfe,
                  0xfd,
                  0,
                  static_cast<uint8_t>(epoch),
                  0,
                  0,
                  0,
                  0,
                  0,
                  sequence,
                  static_cast<uint8_t>(body.size() >> 8),
                  static_cast<uint8_t>(body.size())};
  record.insert(record.end(), body.begin(), body.end());
  return record;
}

// A handshake message, whole in one fragment, with `size` bytes of zeros.
Bytes Message(uint8_t type, uint8_t sequence, uint16_t size) {
  const auto high = static_cast<uint8_t>(size >> 8);
  const auto low = static_cast<uint8_t>(size);
  Bytes message = {type, 0, high, low, 0, sequence, 0, 0, 0, 0, high, low};
  message.resize(message.size() + size);
  return message;
}

// Both ends and the network between them, which delivers nothing by itself.
class DtlsSessionTest : public ::testing::Test {
 protected:
  void Use(const DtlsClient::Options& client, const DtlsSession::Options& server = {}) {
    client_ = std::make_unique<DtlsClient>(client);
    server_ = std::make_unique<DtlsSession>(Context(), client_->fingerprint(), server);
  }
  void SetUp() override { Use({}); }

  Result ToServer(std::span<const uint8_t> datagram) {
    const Result result = server_->HandleDatagram(datagram, now_, to_client_);
    if (result == Result::kConnected) ++connected_count_;
    return result;
  }
  void ToServer(const Datagrams& datagrams) {
    for (const Bytes& datagram : datagrams) ToServer(std::span(datagram));
  }
  // Gives the client all that the server has sent, and returns what it answers.
  Datagrams ToClient() {
    Datagrams answers;
    for (const Bytes& datagram : std::exchange(to_client_, {})) {
      for (Bytes& answer : client_->HandleDatagram(datagram)) answers.push_back(std::move(answer));
    }
    return answers;
  }
  // The rest of a handshake without losses.
  void Finish(Datagrams from_client) {
    for (int flight = 0; flight < 6 && !from_client.empty(); ++flight) {
      ToServer(from_client);
      from_client = ToClient();
    }
  }
  void ExpectConnected() {
    EXPECT_TRUE(server_->connected());
    EXPECT_TRUE(client_->connected());
    EXPECT_EQ(connected_count_, 1);
    EXPECT_TRUE(server_->NextDeadline().IsNever());
    ASSERT_TRUE(server_->keys() != nullptr && client_->keys());
    EXPECT_EQ(server_->keys()->profile, client_->keys()->profile);
    EXPECT_EQ(server_->keys()->local, client_->keys()->remote);
    EXPECT_EQ(server_->keys()->remote, client_->keys()->local);
    EXPECT_NE(server_->keys()->local, server_->keys()->remote);
    EXPECT_EQ(client_->ServerFingerprint(), Context().fingerprint());
  }
  void ExpectUsable() {
    EXPECT_EQ(ToServer(client_->Close()[0]), Result::kClosed);
    EXPECT_FALSE(server_->connected());
  }

  Timestamp now_ = At(0);
  std::unique_ptr<DtlsClient> client_;
  std::unique_ptr<DtlsSession> server_;
  Datagrams to_client_;
  int connected_count_ = 0;
};

TEST_F(DtlsSessionTest, HandshakeGivesBothEndsTheSameKeys) {
  EXPECT_TRUE(server_->NextDeadline().IsNever());
  Finish(client_->Start());
  ExpectConnected();
  EXPECT_EQ(server_->keys()->profile, SrtpProfile::kAeadAes128Gcm) << "our order wins";
}

TEST_F(DtlsSessionTest, CounterModeWhenThatIsAllTheClientHas) {
  Use({.srtp_profiles = "SRTP_AES128_CM_SHA1_80"});
  Finish(client_->Start());
  ExpectConnected();
  EXPECT_EQ(server_->keys()->profile, SrtpProfile::kAes128CmSha1_80);
}

TEST_F(DtlsSessionTest, DatagramsFitTheMtu) {
  Datagrams from_client = client_->Start();
  for (int flight = 0; flight < 3; ++flight) {
    ToServer(from_client);
    for (const Bytes& datagram : to_client_) {
      EXPECT_LE(datagram.size(), static_cast<size_t>(DtlsContext::kMtu));
    }
    from_client = ToClient();
  }
  ExpectConnected();
}

TEST_F(DtlsSessionTest, FragmentedHelloInAnyOrder) {
  DtlsClient::Options options{.mtu = 600, .hello_padding = 1'000};
  Use(options);
  std::vector<size_t> order(client_->Start().size());
  ASSERT_GE(order.size(), 3u);
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  do {
    Use(options);
    connected_count_ = 0;
    const Datagrams hello = client_->Start();
    for (size_t i = 0; i + 1 < order.size(); ++i) {
      EXPECT_EQ(ToServer(hello[order[i]]), Result::kHandshaking);
      EXPECT_TRUE(to_client_.empty());
    }
    EXPECT_EQ(ToServer(hello[order.back()]), Result::kHandshaking);
    EXPECT_FALSE(to_client_.empty());
    Finish(ToClient());
    ExpectConnected();
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_F(DtlsSessionTest, EveryFlightMayComeInReverse) {
  Use({.mtu = 300});
  Datagrams from_client = client_->Start();
  for (int flight = 0; flight < 4 && !from_client.empty(); ++flight) {
    std::reverse(from_client.begin(), from_client.end());
    ToServer(from_client);
    std::reverse(to_client_.begin(), to_client_.end());
    from_client = ToClient();
  }
  // A ChangeCipherSpec ahead of what it belongs behind is lost on OpenSSL: the client repeats.
  if (!server_->connected()) Finish(client_->Retransmit());
  ExpectConnected();
}

TEST_F(DtlsSessionTest, ALostServerFlightIsRepeatedByTheTimer) {
  ToServer(client_->Start());
  const Datagrams first = std::exchange(to_client_, {});
  ASSERT_FALSE(first.empty());
  EXPECT_EQ(server_->NextDeadline(), At(100));
  EXPECT_EQ(server_->HandleTimeout(At(99), to_client_), Result::kIgnored);
  EXPECT_TRUE(to_client_.empty());
  EXPECT_EQ(server_->HandleTimeout(At(100), to_client_), Result::kHandshaking);
  EXPECT_EQ(to_client_, first);
  EXPECT_EQ(server_->NextDeadline(), At(300)) << "the pause doubles";
  Finish(ToClient());
  ExpectConnected();
}

TEST_F(DtlsSessionTest, ARepeatedHelloIsAnsweredAtOnceButNotTwice) {
  const Datagrams hello = client_->Start();
  ToServer(hello);
  const Datagrams first = std::exchange(to_client_, {});
  now_ = At(10);
  EXPECT_EQ(ToServer(hello[0]), Result::kIgnored) << "a duplicate in the network";
  EXPECT_TRUE(to_client_.empty());
  now_ = At(50);
  EXPECT_EQ(ToServer(hello[0]), Result::kHandshaking);
  EXPECT_EQ(to_client_, first);
  Finish(ToClient());
  ExpectConnected();
}

TEST_F(DtlsSessionTest, ALostClientFlightIsRepeated) {
  ToServer(client_->Start());
  ToClient();  // Its answer is lost.
  Finish(client_->Retransmit());
  ExpectConnected();
}

TEST_F(DtlsSessionTest, ALostLastFlightIsRepeatedWhenTheClientAsks) {
  ToServer(client_->Start());
  ToServer(ToClient());
  EXPECT_TRUE(server_->connected());
  const Datagrams last = std::exchange(to_client_, {});
  ASSERT_FALSE(last.empty());
  now_ = At(10);
  ToServer(client_->Retransmit());
  EXPECT_TRUE(to_client_.empty()) << "perhaps a duplicate in the network";
  now_ = At(60);
  ToServer(client_->Retransmit());
  EXPECT_EQ(to_client_, last);
  ToClient();
  ExpectConnected();
}

TEST_F(DtlsSessionTest, EverySingleLossIsMended) {
  for (int lost = 0; lost < 14; ++lost) {
    SCOPED_TRACE(lost);
    Use({.mtu = 400});
    connected_count_ = 0;
    to_client_.clear();
    int sent = 0;
    const auto survives = [&sent, lost] { return sent++ != lost; };
    Datagrams from_client = client_->Start();
    for (int round = 0; round < 12 && !client_->connected(); ++round) {
      for (const Bytes& datagram : from_client) {
        if (survives()) ToServer(std::span(datagram));
      }
      from_client.clear();
      for (const Bytes& datagram : std::exchange(to_client_, {})) {
        if (!survives()) continue;
        for (Bytes& answer : client_->HandleDatagram(datagram)) {
          from_client.push_back(std::move(answer));
        }
      }
      if (!from_client.empty()) continue;
      now_ = now_ + TimeDelta::Seconds(1);  // Silence: somebody's timer ends it.
      if (server_->HandleTimeout(now_, to_client_) == Result::kIgnored) {
        from_client = client_->Retransmit();
      }
    }
    ExpectConnected();
  }
}

TEST_F(DtlsSessionTest, AClientThatStaysSilentIsGivenUp) {
  ToServer(client_->Start());
  int retransmissions = 0;
  Timestamp last = At(0);
  while (true) {
    const Timestamp deadline = server_->NextDeadline();
    ASSERT_FALSE(deadline.IsNever());
    EXPECT_LE(deadline - last, TimeDelta::Seconds(3));
    last = deadline;
    if (server_->HandleTimeout(deadline, to_client_) == Result::kFailed) break;
    ++retransmissions;
    ASSERT_LE(retransmissions, 100);
  }
  EXPECT_EQ(retransmissions, 10);
  EXPECT_TRUE(server_->NextDeadline().IsNever());
  EXPECT_EQ(ToServer(client_->Retransmit()[0]), Result::kIgnored);
}

TEST_F(DtlsSessionTest, AnotherCertificateThanTheSignalledOneFails) {
  Fingerprint other = client_->fingerprint();
  other.bytes[5] ^= 1;
  server_ = std::make_unique<DtlsSession>(Context(), other, DtlsSession::Options());
  ToServer(client_->Start());
  const Datagrams second = ToClient();
  Result last = Result::kIgnored;
  for (const Bytes& datagram : second) last = ToServer(std::span(datagram));
  EXPECT_EQ(last, Result::kFailed);
  EXPECT_FALSE(server_->connected());
  EXPECT_EQ(server_->keys(), nullptr);
  EXPECT_TRUE(to_client_.empty()) << "it is not even told that the handshake ended";
}

TEST_F(DtlsSessionTest, EveryHashThatSdpMayNameConnects) {
  for (const char* algorithm : {"sha-256", "sha-384", "sha-512"}) {
    Use({});
    server_ = std::make_unique<DtlsSession>(Context(), client_->FingerprintBy(algorithm),
                                            DtlsSession::Options());
    Finish(client_->Start());
    EXPECT_TRUE(server_->connected()) << algorithm;
    EXPECT_TRUE(client_->connected()) << algorithm;
  }
}

TEST_F(DtlsSessionTest, OneOfSeveralFingerprintsIsEnough) {
  Fingerprint several = client_->fingerprint();
  several.bytes.insert(several.bytes.begin(), 32, 0xee);
  several.bytes.insert(several.bytes.end(), 32, 0xdd);
  server_ = std::make_unique<DtlsSession>(Context(), several, DtlsSession::Options());
  Finish(client_->Start());
  EXPECT_TRUE(server_->connected());
  // But nothing that only lies across two of them, and not a part of one.
  const Fingerprint one{"sha-256", Bytes(32, 7)};
  Fingerprint shifted{"sha-256", Bytes(64, 7)};
  shifted.bytes[0] = shifted.bytes[63] = 1;
  EXPECT_FALSE(shifted.Includes(one));
  EXPECT_FALSE((Fingerprint{"sha-256", Bytes(33, 7)}.Includes(one)));
  EXPECT_FALSE((Fingerprint{"sha-384", Bytes(32, 7)}.Includes(one)));
  EXPECT_FALSE((Fingerprint{"sha-256", {}}.Includes(one)));
}

TEST_F(DtlsSessionTest, AHashThatIsNotOursToComputeFails) {
  server_ = std::make_unique<DtlsSession>(Context(), Fingerprint{"md5", Bytes(16)},
                                          DtlsSession::Options());
  Finish(client_->Start());
  EXPECT_FALSE(server_->connected());
}

TEST_F(DtlsSessionTest, AClientWithoutACertificateNeverConnects) {
  Use({.send_certificate = false});
  Finish(client_->Start());
  EXPECT_FALSE(server_->connected());
  EXPECT_EQ(server_->keys(), nullptr);
}

TEST_F(DtlsSessionTest, AClientWithoutSrtpNeverConnects) {
  Use({.srtp_profiles = ""});
  ToServer(client_->Start());
  const Datagrams second = ToClient();
  ToServer(second);
  EXPECT_FALSE(server_->connected());
}

TEST_F(DtlsSessionTest, AClientWithoutACommonCipherIsGivenUpSilently) {
  Use({.ciphers = "ECDHE-ECDSA-AES128-SHA"}, {.max_attempts = 3});
  const Datagrams hello = client_->Start();
  EXPECT_EQ(ToServer(hello[0]), Result::kIgnored);
  EXPECT_EQ(ToServer(hello[0]), Result::kIgnored);
  EXPECT_EQ(ToServer(hello[0]), Result::kFailed);
  EXPECT_TRUE(to_client_.empty());
}

TEST_F(DtlsSessionTest, CloseNotifyOfTheClientCloses) {
  Finish(client_->Start());
  const Datagrams close = client_->Close();
  ASSERT_EQ(close.size(), 1u);
  EXPECT_EQ(ToServer(close[0]), Result::kClosed);
  EXPECT_FALSE(server_->connected());
  EXPECT_EQ(ToServer(close[0]), Result::kIgnored);
}

TEST_F(DtlsSessionTest, CloseNotifyOfTheServerReachesTheClient) {
  server_->Close(to_client_);
  EXPECT_TRUE(to_client_.empty()) << "not connected yet";
  Finish(client_->Start());
  server_->Close(to_client_);
  EXPECT_FALSE(to_client_.empty());
  EXPECT_FALSE(server_->connected());
  ToClient();
  EXPECT_TRUE(client_->closed());
}

TEST_F(DtlsSessionTest, AllCiphersCanBeClosedFromBothEnds) {
  for (const char* cipher : {"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"}) {
    Use({.ciphers = cipher});
    connected_count_ = 0;
    Finish(client_->Start());
    ExpectConnected();
    ExpectUsable();
    Use({.ciphers = cipher});
    Finish(client_->Start());
    server_->Close(to_client_);
    ToClient();
    EXPECT_TRUE(client_->closed());
  }
}

TEST_F(DtlsSessionTest, AConnectedSessionGoesOnElsewhere) {
  EXPECT_FALSE(server_->Export());
  ToServer(client_->Start());
  EXPECT_FALSE(server_->Export()) << "a handshake cannot be moved";
  ToServer(ToClient());
  ASSERT_TRUE(server_->Export());
  const Datagrams last = std::exchange(to_client_, {});
  const std::vector<uint8_t> bytes = WriteArchive(*server_->Export(), now_);
  EXPECT_LT(bytes.size(), 400u);
  const auto state = ReadArchive<DtlsSession::Connected>(bytes, now_);
  ASSERT_TRUE(state);
  server_ = std::make_unique<DtlsSession>(Context(), *state, DtlsSession::Options());
  EXPECT_TRUE(server_->connected());
  // Even the last flight can still be repeated, and the client's farewell understood.
  ToServer(client_->Retransmit());
  EXPECT_EQ(to_client_, last);
  ToClient();
  ExpectConnected();
  ExpectUsable();
}

TEST_F(DtlsSessionTest, ForgedRecordsBeforeTheHandshakeAreIgnored) {
  const Bytes forgeries[] = {
      Record(21, 0, 0, {2, 40}),  // A fatal alert.
      Record(21, 0, 0, {1, 0}),   // close_notify.
      Record(23, 0, 0, {1, 2, 3}),
      Record(20, 0, 0, {2}),
      Record(22, 0, 0, Message(0, 0, 0)),    // HelloRequest.
      Record(22, 0, 0, Message(20, 4, 12)),  // Finished in the clear.
      Record(22, 0, 0, Message(1, 1, 50)),   // A ClientHello that answers no question.
      Record(22, 0, 0, Message(1, 0, 9'000)),
      Record(22, 0, 0, {}),
      Record(22, 0, 0, {1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0}),  // An empty piece.
      Record(22, 0, 0, {1}),
      Record(24, 0, 0, {1}),  // Heartbeat.
      Bytes(1'400, 0x16),
      {},
      {0x16},
  };
  for (const Bytes& forgery : forgeries) {
    EXPECT_EQ(ToServer(std::span(forgery)), Result::kIgnored);
  }
  EXPECT_TRUE(to_client_.empty());
  Finish(client_->Start());
  ExpectConnected();
}

TEST_F(DtlsSessionTest, ForgedRecordsDuringTheHandshakeAreIgnored) {
  const auto forge = [this](uint8_t sequence) {
    for (uint8_t level = 1; level <= 2; ++level) {
      EXPECT_EQ(ToServer(Record(21, 0, sequence, {level, 0})), Result::kIgnored);
      EXPECT_EQ(ToServer(Record(21, 0, sequence, {level, 40})), Result::kIgnored);
    }
    EXPECT_EQ(ToServer(Record(23, 0, sequence, {1})), Result::kIgnored);
    ToServer(Record(20, 0, sequence, {1}));  // A ChangeCipherSpec ahead of time.
    ToServer(Record(20, 0, 255, {1}));
    ToServer(Record(22, 1, sequence, Bytes(40, 0xab)));  // What looks like a Finished.
    ToServer(Record(21, 1, sequence, Bytes(26, 0xab)));
  };
  forge(200);
  ToServer(client_->Start());
  forge(201);
  Finish(ToClient());
  ExpectConnected();
  ExpectUsable();
}

TEST_F(DtlsSessionTest, AForgedHelloAheadOfTheRealOneCostsOneAttempt) {
  // Of the right shape, and fatal to OpenSSL.
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(ToServer(Record(22, 0, 0, Message(1, 0, 60))), Result::kIgnored);
  }
  EXPECT_TRUE(to_client_.empty()) << "no alert, which would end the real client's handshake";
  Finish(client_->Start());
  ExpectConnected();
}

TEST_F(DtlsSessionTest, AForgedFragmentThatSpoilsTheHelloIsOvercomeByItsRepetition) {
  Use({.mtu = 600, .hello_padding = 1'000});
  const Datagrams hello = client_->Start();
  ToServer(hello[0]);
  // A piece of the same message, which claims another length of the whole.
  const Bytes forged = {1, 0, 20, 0, 0, 0, 0, 2, 0, 0, 0, 2, 0xaa, 0xbb};
  EXPECT_EQ(ToServer(Record(22, 0, 9, forged)), Result::kIgnored);
  for (size_t i = 1; i < hello.size(); ++i) ToServer(hello[i]);
  EXPECT_TRUE(to_client_.empty());
  now_ = At(500);
  Finish(client_->Retransmit());
  ExpectConnected();
}

TEST_F(DtlsSessionTest, NothingForgedTouchesAConnectedSession) {
  const Datagrams hello = client_->Start();
  Finish(hello);
  DtlsClient stranger;
  for (const Bytes& datagram : stranger.Start()) {
    EXPECT_EQ(ToServer(std::span(datagram)), Result::kIgnored) << "a ClientHello of another";
  }
  EXPECT_EQ(ToServer(hello[0]), Result::kIgnored) << "its own, repeated";
  Rng rng(7);
  for (int i = 0; i < 2'000; ++i) {
    now_ = now_ + TimeDelta::Millis(50);
    Bytes body(rng.Below(200));
    rng.Fill(body);
    const auto type = static_cast<uint8_t>(19 + rng.Below(7));
    const auto epoch = static_cast<uint16_t>(rng.Below(3));
    EXPECT_EQ(ToServer(Record(type, epoch, static_cast<uint8_t>(rng.Below(256)), body)),
              Result::kIgnored);
  }
  EXPECT_TRUE(to_client_.empty());
  EXPECT_TRUE(server_->connected());
  ExpectUsable();
}

TEST_F(DtlsSessionTest, ApplicationDataIsIgnored) {
  Finish(client_->Start());
  for (const Bytes& datagram : client_->Send(Bytes(100, 1))) {
    EXPECT_EQ(ToServer(std::span(datagram)), Result::kIgnored);
  }
  EXPECT_TRUE(server_->connected());
  ExpectUsable();
}

TEST_F(DtlsSessionTest, FloodsAreTakenAtALimitedRate) {
  // The same piece of a ClientHello again and again: it costs OpenSSL a look and leads nowhere.
  const Bytes piece = Record(22, 0, 0, {1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xfe});
  int handled = 0;
  for (int i = 0; i < 1'000; ++i) handled += ToServer(std::span(piece)) == Result::kHandshaking;
  EXPECT_EQ(handled, DtlsSession::kDatagramsPerSecond);
  const Datagrams hello = client_->Start();
  EXPECT_EQ(ToServer(hello[0]), Result::kIgnored) << "nothing is left for the client";
  now_ = At(1'000);
  Finish(client_->Retransmit());
  ExpectConnected();
}

TEST_F(DtlsSessionTest, OversizedDatagramsAreIgnored) {
  const Bytes datagram = Record(22, 0, 0, Bytes(1'488, 1));
  EXPECT_EQ(ToServer(std::span(datagram)), Result::kIgnored);
}

TEST_F(DtlsSessionTest, SessionsDoNotShareKeys) {
  std::set<std::array<uint8_t, kMaxSrtpKeySize>> keys;
  for (int i = 0; i < 4; ++i) {
    Use({});
    connected_count_ = 0;
    Finish(client_->Start());
    ExpectConnected();
    keys.insert(server_->keys()->local);
    keys.insert(server_->keys()->remote);
  }
  EXPECT_EQ(keys.size(), 8u);
}

}  // namespace
}  // namespace vigil::transport
