#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "gateway/transport/demux.h"
#include "gateway/transport/dtls_session.h"
#include "gtest/gtest.h"

// The ClientHello of a real Chromium 156 (tests/fixtures/record/client_hello.mjs): it offers DTLS
// 1.3, which makes it too long for one datagram.

namespace vigil::transport {
namespace {

using Bytes = std::vector<uint8_t>;
using Result = DtlsSession::Result;

Bytes ReadFixture(int number) {
  const std::string path = std::string(VIGIL_SOURCE_DIR) +
                           "/tests/fixtures/dtls/chromium-client-hello-" + std::to_string(number) +
                           ".bin";
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  return Bytes(std::istreambuf_iterator<char>(file), {});
}

// The handshake message types in the plaintext records of `datagrams`, first fragments only.
Bytes MessageTypes(const Datagrams& datagrams) {
  Bytes types;
  for (const Bytes& datagram : datagrams) {
    for (size_t at = 0; at + 25 <= datagram.size();) {
      EXPECT_EQ(datagram[at], 22);
      EXPECT_EQ(datagram[at + 1], 0xfe);
      EXPECT_EQ(datagram[at + 2], 0xfd) << "DTLS 1.2";
      types.push_back(datagram[at + 13]);
      at += 13 + static_cast<size_t>(datagram[at + 11] << 8 | datagram[at + 12]);
    }
  }
  return types;
}

class ChromiumHelloTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto context = DtlsContext::Create({.wall_seconds = 1'700'000'000});
    ASSERT_TRUE(context.ok());
    context_ = std::move(*context);
    session_ = std::make_unique<DtlsSession>(*context_, Fingerprint{"sha-256", Bytes(32)},
                                             DtlsSession::Options());
    for (int i = 1; i <= 2; ++i) hello_.push_back(ReadFixture(i));
  }
  void ExpectAnswered() {
    // ServerHello, Certificate, ServerKeyExchange, CertificateRequest, ServerHelloDone.
    EXPECT_EQ(MessageTypes(out_), (Bytes{2, 11, 12, 13, 14}));
    // use_srtp (RFC 5764, 4.1.1) with one profile, AEAD_AES_128_GCM, and no MKI.
    const Bytes use_srtp = {0, 14, 0, 5, 0, 2, 0, 7, 0};
    ASSERT_FALSE(out_.empty());
    EXPECT_NE(std::search(out_[0].begin(), out_[0].end(), use_srtp.begin(), use_srtp.end()),
              out_[0].end());
    EXPECT_FALSE(session_->NextDeadline().IsNever());
  }

  std::unique_ptr<DtlsContext> context_;
  std::unique_ptr<DtlsSession> session_;
  Datagrams hello_;
  Datagrams out_;
};

TEST_F(ChromiumHelloTest, ComesInTwoDatagramsOfDtls) {
  EXPECT_EQ(hello_[0].size(), 1'200u);
  for (const Bytes& datagram : hello_) EXPECT_EQ(Classify(datagram), DatagramKind::kDtls);
}

TEST_F(ChromiumHelloTest, IsAnsweredWithDtls12) {
  EXPECT_EQ(session_->HandleDatagram(hello_[0], Timestamp(), out_), Result::kHandshaking);
  EXPECT_TRUE(out_.empty());
  EXPECT_EQ(session_->HandleDatagram(hello_[1], Timestamp(), out_), Result::kHandshaking);
  ExpectAnswered();
}

TEST_F(ChromiumHelloTest, IsAnsweredWhenTheDatagramsChangePlaces) {
  EXPECT_EQ(session_->HandleDatagram(hello_[1], Timestamp(), out_), Result::kHandshaking);
  EXPECT_TRUE(out_.empty());
  EXPECT_EQ(session_->HandleDatagram(hello_[0], Timestamp(), out_), Result::kHandshaking);
  ExpectAnswered();
}

TEST_F(ChromiumHelloTest, IsAnsweredWhenADatagramIsDoubledOrRepeated) {
  for (const size_t i : {0, 0, 1}) session_->HandleDatagram(hello_[i], Timestamp(), out_);
  ExpectAnswered();
}

}  // namespace
}  // namespace vigil::transport
