#include "gateway/transport/fingerprint.h"

#include <string>

#include "gateway/transport/certificate.h"
#include "gtest/gtest.h"

namespace vigil::transport {
namespace {

const std::string kText =
    "sha-256 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB:3E:4B:65:2E:7D:46:3F:54:"
    "42:CD:54:F1";

TEST(Fingerprint, TextGoesThereAndBack) {
  const std::optional<Fingerprint> parsed = ParseFingerprint(kText);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->algorithm, "sha-256");
  EXPECT_EQ(parsed->bytes.size(), 32u);
  EXPECT_EQ(parsed->bytes[1], 0xad);
  EXPECT_EQ(parsed->ToString(), kText);
}

TEST(Fingerprint, LetterCaseDoesNotMatter) {
  std::string lower = kText;
  for (char& c : lower) c = static_cast<char>(std::tolower(c));
  EXPECT_EQ(ParseFingerprint(lower), ParseFingerprint(kText));
  EXPECT_EQ(ParseFingerprint("SHA-256" + kText.substr(7)), ParseFingerprint(kText));
}

TEST(Fingerprint, AnythingElseIsRefused) {
  for (size_t n = 0; n < kText.size(); ++n) EXPECT_FALSE(ParseFingerprint(kText.substr(0, n))) << n;
  EXPECT_FALSE(ParseFingerprint(kText + ":00"));
  EXPECT_FALSE(ParseFingerprint("md5" + kText.substr(7)));
  EXPECT_FALSE(ParseFingerprint("sha-1" + kText.substr(7)));
  EXPECT_FALSE(ParseFingerprint("sha-512" + kText.substr(7))) << "too short for that hash";
  std::string separator = kText;
  separator[10] = '-';
  EXPECT_FALSE(ParseFingerprint(separator));
  std::string digit = kText;
  digit[8] = 'G';
  EXPECT_FALSE(ParseFingerprint(digit));
}

TEST(Fingerprint, EachCertificateHasItsOwn) {
  const auto one = MakeCertificate(1'700'000'000);
  const auto other = MakeCertificate(1'700'000'000);
  ASSERT_TRUE(one.ok() && other.ok());
  const auto a = FingerprintOf(*one->x509, "sha-256");
  ASSERT_TRUE(a);
  EXPECT_EQ(a, FingerprintOf(*one->x509, "sha-256"));
  EXPECT_NE(a, FingerprintOf(*other->x509, "sha-256"));
  EXPECT_EQ(FingerprintOf(*one->x509, "sha-512")->bytes.size(), 64u);
  EXPECT_FALSE(FingerprintOf(*one->x509, "md5"));
  EXPECT_EQ(ParseFingerprint(a->ToString()), a);
}

}  // namespace
}  // namespace vigil::transport
