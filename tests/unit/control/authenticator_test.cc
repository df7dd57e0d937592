#include "gateway/control/authenticator.h"

#include <jwt.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "gateway/control/api_error.h"
#include "gtest/gtest.h"
#include "openssl/ec.h"
#include "openssl/evp.h"
#include "openssl/pem.h"

namespace vigil::control {
namespace {

constexpr int64_t kNow = 1'800'000'000;

struct KeyPair {
  std::string secret;
  std::string open;

  KeyPair() {
    const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_EC_gen("P-256"),
                                                                  EVP_PKEY_free);
    secret = Pem([&](BIO* bio) {
      PEM_write_bio_PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    });
    open = Pem([&](BIO* bio) { PEM_write_bio_PUBKEY(bio, key.get()); });
  }
  template <typename Write>
  static std::string Pem(Write write) {
    const std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new(BIO_s_mem()), BIO_free);
    write(bio.get());
    char* text = nullptr;
    const long size = BIO_get_mem_data(bio.get(), &text);
    return {text, static_cast<size_t>(size)};
  }
};

struct TokenOptions {
  std::string kid = "k1";
  jwt_alg_t alg = JWT_ALG_ES256;
  bool crit = false;
  std::string claims = R"({"sub":"dr-1","aud":"vigil","jti":"t1","exp":1800000100,
    "vigil":{"sites":["north"],"roles":["participant","viewer"],
             "publish":["dr-1/*"],"subscribe":["room-1/patient","*/injector"]}})";
};

std::string Sign(const std::string& key, const TokenOptions& options) {
  jwt_t* raw = nullptr;
  jwt_new(&raw);
  const std::unique_ptr<jwt_t, void (*)(jwt_t*)> token(raw, jwt_free);
  jwt_add_grants_json(token.get(), options.claims.c_str());
  jwt_add_header(token.get(), "kid", options.kid.c_str());
  if (options.crit) jwt_add_headers_json(token.get(), R"({"crit":["b64"],"b64":false})");
  if (options.alg == JWT_ALG_NONE) {
    jwt_set_alg(token.get(), JWT_ALG_NONE, nullptr, 0);
  } else {
    jwt_set_alg(token.get(), options.alg, reinterpret_cast<const unsigned char*>(key.data()),
                static_cast<int>(key.size()));
  }
  const std::unique_ptr<char, void (*)(void*)> text(jwt_encode_str(token.get()), std::free);
  return text == nullptr ? "" : text.get();
}

class AuthenticatorTest : public testing::Test {
 protected:
  v1::ErrorReason Refusal(const std::string& token, int64_t now = kNow) {
    return ReasonOf(authenticator_.Authenticate(token, now).status());
  }
  std::string Token(const TokenOptions& options = {}) const { return Sign(keys_.secret, options); }
  TokenOptions With(std::string from, const std::string& to) const {
    TokenOptions options;
    options.claims.replace(options.claims.find(from), from.size(), to);
    return options;
  }

  KeyPair keys_;
  Authenticator authenticator_{"vigil", {.public_keys = {{"k1", keys_.open}}, .revoked = {}}};
};

TEST_F(AuthenticatorTest, ATokenSaysWhoCallsAndWhatTheyMay) {
  const auto caller = authenticator_.Authenticate(Token(), kNow);
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_EQ((*caller)->subject, "dr-1");
  EXPECT_EQ(*(*caller)->ResolveSite(""), "north");
  EXPECT_TRUE((*caller)->CheckSubscribe({"room-1", "patient"}).ok());
  EXPECT_TRUE((*caller)->CheckSubscribe({"room-9", "injector"}).ok());
  EXPECT_FALSE((*caller)->CheckSubscribe({"room-9", "patient"}).ok());
  EXPECT_TRUE((*caller)->CheckPublish({"dr-1", "camera"}).ok());
  EXPECT_FALSE((*caller)->CheckPublish({"room-1", "patient"}).ok());
  EXPECT_TRUE((*caller)->CheckRole(Role::kViewer).ok());
  EXPECT_FALSE((*caller)->CheckRole(Role::kOperator).ok());
}

TEST_F(AuthenticatorTest, TheSameTokenLetsInAgainUntilItExpires) {
  const std::string token = Token();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(authenticator_.Authenticate(token, kNow).ok());
  const int64_t end = 1'800'000'100 + Authenticator::kLeewaySeconds;
  EXPECT_TRUE(authenticator_.Authenticate(token, end).ok());
  EXPECT_EQ(Refusal(token, end + 1), v1::ERROR_REASON_TOKEN_EXPIRED);
}

TEST_F(AuthenticatorTest, WhatIsNotSignedByAKnownKeyIsRefused) {
  EXPECT_EQ(Refusal(""), v1::ERROR_REASON_TOKEN_MISSING);
  EXPECT_EQ(Refusal("x"), v1::ERROR_REASON_TOKEN_INVALID);
  EXPECT_EQ(Refusal("a.b.c"), v1::ERROR_REASON_TOKEN_INVALID);
  EXPECT_EQ(Refusal(std::string(100'000, 'a')), v1::ERROR_REASON_TOKEN_INVALID);
  EXPECT_EQ(Refusal(Token({.kid = "k2"})), v1::ERROR_REASON_TOKEN_INVALID);
  EXPECT_EQ(Refusal(Sign(KeyPair().secret, {})), v1::ERROR_REASON_TOKEN_INVALID);
  std::string changed = Token();
  changed[changed.size() / 2] ^= 1;
  EXPECT_EQ(Refusal(changed), v1::ERROR_REASON_TOKEN_INVALID);
}

TEST_F(AuthenticatorTest, AnExtensionThatIsCriticalIsNotUnderstood) {
  EXPECT_EQ(Refusal(Token({.crit = true})), v1::ERROR_REASON_TOKEN_INVALID);
}

TEST_F(AuthenticatorTest, OtherAlgorithmsAreRefusedThoughTheKeyFits) {
  EXPECT_EQ(Refusal(Token({.alg = JWT_ALG_NONE})), v1::ERROR_REASON_TOKEN_INVALID);
  // The public key as the secret of an HMAC: what everybody has.
  const std::string forged = Sign(keys_.open, {.alg = JWT_ALG_HS256});
  ASSERT_FALSE(forged.empty());
  EXPECT_EQ(Refusal(forged), v1::ERROR_REASON_TOKEN_INVALID);
}

TEST_F(AuthenticatorTest, ClaimsThatAreMissingOrWrongAreRefused) {
  for (const auto& [from, to] :
       {std::pair(R"("aud":"vigil")", R"("aud":"other")"), std::pair(R"("sub":"dr-1",)", ""),
        std::pair(R"("sub":"dr-1")", R"("sub":"Dr Who")"), std::pair(R"("jti":"t1",)", ""),
        std::pair(R"("exp":1800000100)", R"("exp":"soon")"),
        std::pair(R"("sites":["north"])", R"("sites":"north")"),
        std::pair(R"("sites":["north"])", R"("sites":["North Side"])"),
        std::pair(R"("publish":["dr-1/*"])", R"("publish":["dr-1"])"),
        std::pair(R"("exp":1800000100)", R"("exp":1800000100,"nbf":1800000090)"),
        // No time that a clock here will ever show.
        std::pair(R"("exp":1800000100)", R"("exp":9223372036854775807)"),
        std::pair(R"("exp":1800000100)", R"("exp":-1)"),
        std::pair(R"("exp":1800000100)", R"("exp":1800000100,"nbf":-9223372036854775808)"),
        // What would be a comment, or two lines, in the list of withdrawn tokens.
        std::pair(R"("jti":"t1")", R"("jti":"#t1")"), std::pair(R"("jti":"t1")", R"("jti":"t 1")"),
        std::pair(R"("jti":"t1")", R"("jti":"t\n1")")}) {
    EXPECT_EQ(Refusal(Token(With(from, to))), v1::ERROR_REASON_TOKEN_INVALID) << to;
  }
  EXPECT_TRUE(authenticator_.Authenticate(Token(With("1800000100", "1800000100.5")), kNow).ok())
      << "a NumericDate may have a fraction (RFC 7519, 2)";
  EXPECT_TRUE(
      authenticator_.Authenticate(Token(With(R"("aud":"vigil")", R"("aud":["x","vigil"])")), kNow)
          .ok());
}

TEST_F(AuthenticatorTest, KeysAreRotatedAndTokensWithdrawn) {
  const std::string token = Token();
  EXPECT_TRUE(authenticator_.Authenticate(token, kNow).ok());
  const KeyPair next;
  authenticator_.SetKeys({.public_keys = {{"k1", keys_.open}, {"k2", next.open}}, .revoked = {}});
  EXPECT_TRUE(authenticator_.Authenticate(token, kNow).ok());
  EXPECT_TRUE(authenticator_.Authenticate(Sign(next.secret, {.kid = "k2"}), kNow).ok());
  authenticator_.SetKeys({.public_keys = {{"k1", keys_.open}}, .revoked = {"t1"}});
  EXPECT_EQ(Refusal(token), v1::ERROR_REASON_TOKEN_REVOKED);
  authenticator_.SetKeys({.public_keys = {{"k2", next.open}}, .revoked = {}});
  EXPECT_EQ(Refusal(token), v1::ERROR_REASON_TOKEN_INVALID);
}

TEST_F(AuthenticatorTest, AListThatIsCutShortLetsNobodyInAgain) {
  const std::string token = Token();
  const TokenKeys keys{.public_keys = {{"k1", keys_.open}}, .revoked = {"t1"}};
  authenticator_.SetKeys(keys);
  authenticator_.SetKeys({.public_keys = keys.public_keys, .revoked = {}});
  EXPECT_EQ(Refusal(token), v1::ERROR_REASON_TOKEN_REVOKED);
}

TEST_F(AuthenticatorTest, WhatRunsEndsWithTheKeyThatLetItIn) {
  const auto caller = authenticator_.Authenticate(Token(), kNow);
  ASSERT_TRUE(caller.ok()) << caller.status();
  const KeyPair next;
  authenticator_.SetKeys({.public_keys = {{"k1", keys_.open}, {"k2", next.open}}, .revoked = {}});
  EXPECT_TRUE(authenticator_.CheckStill(**caller, kNow).ok());
  authenticator_.SetKeys({.public_keys = {{"k2", next.open}}, .revoked = {}});
  EXPECT_EQ(ReasonOf(authenticator_.CheckStill(**caller, kNow)), v1::ERROR_REASON_TOKEN_INVALID);
}

TEST_F(AuthenticatorTest, ASiteHasToBeNamedWhereThereAreSeveral) {
  const auto caller =
      authenticator_.Authenticate(Token(With(R"(["north"])", R"(["north","south"])")), kNow);
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_EQ(ReasonOf((*caller)->ResolveSite("").status()), v1::ERROR_REASON_SITE_REQUIRED);
  EXPECT_EQ(*(*caller)->ResolveSite("south"), "south");
  EXPECT_EQ(ReasonOf((*caller)->ResolveSite("west").status()), v1::ERROR_REASON_NOT_GRANTED);
}

}  // namespace
}  // namespace vigil::control
