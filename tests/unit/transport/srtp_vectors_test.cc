#include <array>
#include <vector>

#include <srtp2/cipher.h>

#include "gateway/transport/evp_cipher.h"
#include "gateway/transport/srtp_receiver.h"
#include "gateway/transport/srtp_sender.h"
#include "gtest/gtest.h"
#include "tests/unit/transport/reference_srtp.h"
#include "tests/unit/transport/srtp_packets.h"

namespace vigil::transport {
namespace {

using namespace testing;  // NOLINT: the reference implementation, for tests only.

class SrtpVectorsTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { ASSERT_TRUE(InitSrtp().ok()) << InitSrtp(); }
};

// RFC 7714, 16.1 and 17.1: session key and salt.
const Bytes kGcmKey = FromHex("000102030405060708090a0b0c0d0e0f");
const Bytes kGcmSalt = FromHex("517569642070726f2071756f");
const Bytes kGcmRtp = FromHex(
    "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070 "
    "61727465 73207472 6573");
const Bytes kGcmSrtp = FromHex(
    "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a "
    "51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce");
const Bytes kGcmRtcp = FromHex(
    "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef "
    "deadbeef deadbeef deadbeef");
const Bytes kGcmSrtcp = FromHex(
    "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda "
    "4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4");
constexpr uint32_t kGcmRtcpIndex = 0x5d4;

// Runs a keyed cipher the way libsrtp runs it: IV, AAD in parts, text in place, tag.
class CipherUnderTest {
 public:
  CipherUnderTest(const srtp_cipher_type_t& type, std::span<const uint8_t> key, int tag_size) {
    EXPECT_EQ(srtp_cipher_type_alloc(&type, &cipher_, static_cast<int>(key.size()), tag_size),
              srtp_err_status_ok);
    EXPECT_EQ(srtp_cipher_init(cipher_, key.data()), srtp_err_status_ok);
  }
  ~CipherUnderTest() { srtp_cipher_dealloc(cipher_); }

  Bytes Encrypt(Bytes iv, std::span<const Bytes> aad, Bytes text) {
    Start(iv, aad, srtp_direction_encrypt);
    auto size = static_cast<uint32_t>(text.size());
    text.resize(text.size() + 16);
    EXPECT_EQ(srtp_cipher_encrypt(cipher_, text.data(), &size), srtp_err_status_ok);
    uint32_t tag_size = 0;
    if (!aad.empty()) {
      EXPECT_EQ(srtp_cipher_get_tag(cipher_, text.data() + size, &tag_size), srtp_err_status_ok);
    }
    text.resize(size + tag_size);
    return text;
  }
  srtp_err_status_t Decrypt(Bytes iv, std::span<const Bytes> aad, Bytes& text) {
    Start(iv, aad, srtp_direction_decrypt);
    auto size = static_cast<uint32_t>(text.size());
    const srtp_err_status_t status = srtp_cipher_decrypt(cipher_, text.data(), &size);
    text.resize(size);
    return status;
  }

 private:
  void Start(Bytes& iv, std::span<const Bytes> aad, srtp_cipher_direction_t direction) {
    EXPECT_EQ(srtp_cipher_set_iv(cipher_, iv.data(), direction), srtp_err_status_ok);
    for (const Bytes& part : aad) {
      EXPECT_EQ(srtp_cipher_set_aad(cipher_, part.data(), static_cast<uint32_t>(part.size())),
                srtp_err_status_ok);
    }
  }
  srtp_cipher_t* cipher_ = nullptr;
};

Bytes Slice(const Bytes& bytes, size_t from, size_t size) {
  const auto part = std::span(bytes).subspan(from, size);
  return Bytes(part.begin(), part.end());
}

TEST_F(SrtpVectorsTest, Rfc7714RtpThroughTheCipherOfLibsrtp) {
  CipherUnderTest cipher(EvpAesGcm128(), Join({kGcmKey, kGcmSalt}), 16);
  const Bytes iv = GcmIv(kGcmSalt, std::span(kGcmRtp).subspan(8, 4), 0xf17b);
  EXPECT_EQ(iv, FromHex("51753c6580c2726f20718414"));
  const std::array aad = {Slice(kGcmRtp, 0, 12)};
  const Bytes sealed = Slice(kGcmSrtp, 12, kGcmSrtp.size() - 12);
  EXPECT_EQ(cipher.Encrypt(iv, aad, Slice(kGcmRtp, 12, 38)), sealed);
  Bytes text = sealed;
  EXPECT_EQ(cipher.Decrypt(iv, aad, text), srtp_err_status_ok);
  EXPECT_EQ(text, Slice(kGcmRtp, 12, 38));
}

TEST_F(SrtpVectorsTest, Rfc7714RtcpThroughTheCipherOfLibsrtp) {
  CipherUnderTest cipher(EvpAesGcm128(), Join({kGcmKey, kGcmSalt}), 16);
  const Bytes iv = GcmIv(kGcmSalt, std::span(kGcmRtcp).subspan(4, 4), kGcmRtcpIndex);
  EXPECT_EQ(iv, FromHex("517524055203726f207170bb"));
  const std::array aad = {Slice(kGcmRtcp, 0, 8), FromHex("800005d4")};
  const size_t text_size = kGcmRtcp.size() - 8;
  const Bytes sealed = Slice(kGcmSrtcp, 8, text_size + 16);
  EXPECT_EQ(cipher.Encrypt(iv, aad, Slice(kGcmRtcp, 8, text_size)), sealed);
  Bytes text = sealed;
  EXPECT_EQ(cipher.Decrypt(iv, aad, text), srtp_err_status_ok);
  EXPECT_EQ(text, Slice(kGcmRtcp, 8, text_size));
}

TEST_F(SrtpVectorsTest, EveryFlippedBitFailsTheGcmTag) {
  CipherUnderTest cipher(EvpAesGcm128(), Join({kGcmKey, kGcmSalt}), 16);
  const Bytes iv = GcmIv(kGcmSalt, std::span(kGcmRtp).subspan(8, 4), 0xf17b);
  const std::array aad = {Slice(kGcmRtp, 0, 12)};
  const Bytes sealed = Slice(kGcmSrtp, 12, kGcmSrtp.size() - 12);
  for (size_t bit = 0; bit < sealed.size() * 8; ++bit) {
    Bytes text = sealed;
    text[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    EXPECT_EQ(cipher.Decrypt(iv, aad, text), srtp_err_status_auth_fail) << bit;
  }
  Bytes text = sealed;
  EXPECT_EQ(cipher.Decrypt(iv, aad, text), srtp_err_status_ok) << "a failure leaves no trace";
}

TEST_F(SrtpVectorsTest, Rfc3711KeystreamThroughTheCipherOfLibsrtp) {
  const Bytes key = FromHex("2b7e151628aed2a6abf7158809cf4f3cf0f1f2f3f4f5f6f7f8f9fafbfcfd");
  CipherUnderTest cipher(EvpAesIcm128(), key, 0);
  // B.2 gives the first three blocks and the blocks 0xfeff to 0xff01.
  const Bytes stream = cipher.Encrypt(Bytes(16), {}, Bytes(16 * 0xff02));
  EXPECT_EQ(Slice(stream, 0, 48),
            FromHex("e03ead0935c95e80e166b16dd92b4eb4 d23513162b02d0f72a43a2fe4a5f97ab "
                    "41e95b3bb0a2e8dd477901e4fca894c0"));
  EXPECT_EQ(Slice(stream, 16 * 0xfeff, 48),
            FromHex("ec8cdf7398607cb0f2d21675ea9ea1e4 362b7c3c6773516318a077d7fc5073ae "
                    "6a2cc3787889374fbeb4c81b17ba6c44"));
}

TEST_F(SrtpVectorsTest, ReferenceDerivesTheKeysOfRfc3711) {
  // B.3.
  const Bytes key = FromHex("e1f97a0d3e018be0d64fa32c06de4139");
  const Bytes salt = FromHex("0ec675ad498afeebb6960b3aabe6");
  EXPECT_EQ(DeriveKey(key, salt, 0, 16), FromHex("c61e7a93744f39ee10734afe3ff7a087"));
  EXPECT_EQ(DeriveKey(key, salt, 2, 14), FromHex("30cbbc08863d8c85d49db34a9ae1"));
  EXPECT_EQ(DeriveKey(key, salt, 1, 94),
            FromHex("cebe321f6ff7716b6fd4ab49af256a15 6d38baa48f0a0acf3c34e2359e6cdbce"
                    "e049646c43d9327ad175578ef7227098 6371c10c9a369ac2f94a8c5fbcdddc25"
                    "6d6e919a48b610ef17c2041e47403576 6b68642c59bbfc2f34db60dbdfb2"));
}

TEST_F(SrtpVectorsTest, ReferenceProtectsThePacketsOfRfc7714) {
  const SessionKeys keys = {kGcmKey, {}, kGcmSalt};
  EXPECT_EQ(testing::ProtectRtp(SrtpProfile::kAeadAes128Gcm, keys, kGcmRtp, 0xf17b), kGcmSrtp);
  EXPECT_EQ(testing::ProtectRtcp(SrtpProfile::kAeadAes128Gcm, keys, kGcmRtcp, kGcmRtcpIndex),
            kGcmSrtcp);
}

TEST_F(SrtpVectorsTest, KnownCounterModePacket) {
  // The packet by which libsrtp validates itself, with the master key of RFC 3711, B.3.
  const Bytes key = FromHex("e1f97a0d3e018be0d64fa32c06de4139 0ec675ad498afeebb6960b3aabe6");
  const Bytes plain = FromHex("800f1234decafbadcafebabe abababababababababababababababab");
  const Bytes sealed =
      FromHex("800f1234decafbadcafebabe 4e55dc4ce79978d88ca4d215949d2402 b78d6acc99ea179b8dbb");
  SrtpSender sender(SrtpProfile::kAes128CmSha1_80, key);
  sender.AddStream(0xcafebabe);
  const auto packet = MakePacket(plain);
  EXPECT_EQ(sender.ProtectRtp(*packet), std::nullopt);
  EXPECT_EQ(BytesOf(*packet), sealed);
  SrtpReceiver receiver(SrtpProfile::kAes128CmSha1_80, key);
  receiver.AddStream(0xcafebabe);
  EXPECT_EQ(receiver.UnprotectRtp(*packet), std::nullopt);
  EXPECT_EQ(BytesOf(*packet), plain);
}

// The whole path, key derivation included, against the reference, over both ends of the wrap.
TEST_F(SrtpVectorsTest, SenderWritesWhatTheReferenceWrites) {
  for (const SrtpProfile profile : kProfiles) {
    const Bytes key = MasterKey(profile);
    const SessionKeys rtp = DeriveSession(profile, key, false);
    const SessionKeys rtcp = DeriveSession(profile, key, true);
    SrtpSender sender(profile, key);
    sender.AddStream(kSsrc);
    for (uint64_t index = 30'000; index < 70'000; index += 7'001) {
      Bytes plain = RtpBytes(static_cast<uint16_t>(index), kSsrc, index % 1'300);
      if (plain.size() > 20) {  // With an extension block, which is authenticated and not hidden.
        plain[0] |= 0x10;
        PutBig(std::span(plain).subspan(12, 8), 0xbede000110aabbcc);
      }
      const auto packet = MakePacket(plain);
      EXPECT_EQ(sender.ProtectRtp(*packet), std::nullopt);
      EXPECT_EQ(BytesOf(*packet), testing::ProtectRtp(profile, rtp, plain, index));
    }
    for (uint32_t index = 1; index <= 3; ++index) {
      const auto packet = MakePacket(RtcpBytes());
      EXPECT_EQ(sender.ProtectRtcp(*packet), std::nullopt);
      EXPECT_EQ(BytesOf(*packet), testing::ProtectRtcp(profile, rtcp, RtcpBytes(), index));
    }
  }
}

TEST_F(SrtpVectorsTest, ReceiverReadsWhatTheReferenceWrites) {
  for (const SrtpProfile profile : kProfiles) {
    const Bytes key = MasterKey(profile);
    SrtpReceiver receiver(profile, key);
    ASSERT_TRUE(receiver.AddStream(kSsrc));
    for (uint64_t index = 30'000; index < 140'000; index += 7'001) {
      const Bytes plain = RtpBytes(static_cast<uint16_t>(index), kSsrc, index % 1'300);
      const auto packet = MakePacket(
          testing::ProtectRtp(profile, DeriveSession(profile, key, false), plain, index));
      EXPECT_EQ(receiver.UnprotectRtp(*packet), std::nullopt);
      EXPECT_EQ(BytesOf(*packet), plain);
      EXPECT_EQ(receiver.Export().streams.at(kSsrc).highest_index, index);
    }
    const auto packet = MakePacket(
        testing::ProtectRtcp(profile, DeriveSession(profile, key, true), RtcpBytes(), 0x12345));
    EXPECT_EQ(receiver.UnprotectRtcp(*packet), std::nullopt);
    EXPECT_EQ(BytesOf(*packet), RtcpBytes());
    EXPECT_EQ(receiver.Export().streams.at(kSsrc).highest_rtcp_index, 0x12345u);
  }
}

}  // namespace
}  // namespace vigil::transport
