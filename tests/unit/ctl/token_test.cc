#include "gateway/ctl/token.h"

#include <filesystem>
#include <string>

#include "gateway/control/authenticator.h"
#include "gateway/ctl/ec_key.h"
#include "gateway/ctl/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/ctl/temporary_folder.h"

namespace vigil::ctl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr int64_t kNowSeconds = 1'800'000'000;
constexpr TimeDelta kNow = TimeDelta::Seconds(kNowSeconds);

TokenClaims Claims() {
  TokenClaims claims;
  claims.subject = "dr-1";
  claims.token_id = "t1";
  claims.sites = {"north"};
  claims.roles = {"participant", "viewer"};
  claims.publish = {"dr-1/*"};
  claims.subscribe = {"room-1/patient", "*"};
  return claims;
}

class TokenTest : public testing::Test {
 protected:
  std::string Make(const TokenClaims& claims = Claims()) {
    const auto token = MakeToken(claims, *ReadFile(files_.private_key), files_.kid, kNow);
    EXPECT_TRUE(token.ok()) << token.status();
    return token.ok() ? *token : "";
  }

  TemporaryFolder folder_;
  KeyFiles files_ = *MakeTokenKey(folder_ / "keys", "k1");
};

TEST_F(TokenTest, TheGatewayTakesIt) {
  control::Authenticator authenticator(
      "vigil", {.public_keys = {{"k1", *ReadFile(files_.public_key)}}, .revoked = {}});
  const std::string token = Make();
  const auto caller = authenticator.Authenticate(token, kNowSeconds);
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_EQ((*caller)->subject, "dr-1");
  EXPECT_EQ((*caller)->token_id, "t1");
  EXPECT_EQ(*(*caller)->ResolveSite(""), "north");
  EXPECT_TRUE((*caller)->Has(control::Role::kViewer));
  EXPECT_FALSE((*caller)->Has(control::Role::kOperator));
  EXPECT_TRUE((*caller)->CheckPublish({"dr-1", "camera"}).ok());
  EXPECT_FALSE((*caller)->CheckPublish({"dr-2", "camera"}).ok());
  EXPECT_FALSE(authenticator.Authenticate(token, kNowSeconds + 8 * 3'600 + 31).ok());
}

TEST_F(TokenTest, KeysAreWhereTheyBelong) {
  namespace fs = std::filesystem;
  EXPECT_EQ(fs::status(files_.private_key).permissions(),
            fs::perms::owner_read | fs::perms::owner_write);
  EXPECT_EQ(files_.public_key, folder_ / "keys/public/k1.pem");
  EXPECT_THAT(*ReadFile(files_.public_key), HasSubstr("BEGIN PUBLIC KEY"));
  EXPECT_EQ(MakeTokenKey(folder_ / "keys", "k1").status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_FALSE(MakeTokenKey(folder_ / "keys", "../k1").ok());
  const auto named = MakeTokenKey(folder_ / "keys", "");
  ASSERT_TRUE(named.ok());
  EXPECT_EQ(named->kid.size(), 8u);
}

TEST_F(TokenTest, SaysOfItselfWhatWasPutIn) {
  const auto content = DecodeToken(Make());
  ASSERT_TRUE(content.ok());
  EXPECT_EQ(content->kid, "k1");
  EXPECT_EQ(content->algorithm, "ES256");
  EXPECT_THAT(content->audiences, ElementsAre("vigil"));
  EXPECT_THAT(content->roles, ElementsAre("participant", "viewer"));
  EXPECT_EQ(content->expire_seconds, kNowSeconds + 8 * 3'600);
  EXPECT_THAT(TokenText(*content, kNow), HasSubstr("expires   2027-01-15 16:00:00Z, in 8 h\n"));
  EXPECT_THAT(TokenText(*content, kNow + TimeDelta::Seconds(9 * 3'600)),
              HasSubstr("EXPIRED 1 h ago"));
  for (const char* wrong : {"", "a.b", "a.b.c", "e30.e30", "....", "e30.!!.x"}) {
    EXPECT_FALSE(DecodeToken(wrong).ok()) << wrong;
  }
}

TEST_F(TokenTest, IsVerifiedByTheKeyOfItsName) {
  const std::string token = Make();
  EXPECT_TRUE(VerifyToken(token, files_.keys_dir).ok());
  EXPECT_FALSE(VerifyToken(token, folder_.path()).ok());
  const KeyFiles other = *MakeTokenKey(folder_ / "other", "k1");
  EXPECT_THAT(std::string(VerifyToken(token, other.keys_dir).message()), HasSubstr("not signed"));
}

TEST_F(TokenTest, WhatTheGatewayWouldRefuseIsNotMade) {
  const auto refused = [](auto change) {
    TokenClaims claims = Claims();
    change(claims);
    return std::string(CheckClaims(claims).message());
  };
  EXPECT_THAT(refused([](TokenClaims& c) { c.subject = "Dr Who"; }), HasSubstr("--sub: Dr Who"));
  EXPECT_THAT(refused([](TokenClaims& c) { c.sites = {"North"}; }), HasSubstr("--site"));
  EXPECT_THAT(refused([](TokenClaims& c) { c.roles = {"admin"}; }), HasSubstr("controller"));
  EXPECT_THAT(refused([](TokenClaims& c) { c.publish = {"dr-1"}; }), HasSubstr("--publish"));
  EXPECT_THAT(refused([](TokenClaims& c) { c.token_id = "a b"; }), HasSubstr("jti"));
  EXPECT_EQ(refused([](TokenClaims& c) { c.sites = {"*"}; }), "");
}

TEST_F(TokenTest, AWithdrawnTokenIsOneLineMore) {
  const std::string file = folder_ / "revoked";
  EXPECT_TRUE(RevokeToken("t1", file).ok());
  ASSERT_TRUE(ReplaceFile(file, "# withdrawn\nt1", FileMode::kPublic).ok());
  EXPECT_TRUE(RevokeToken("t2", file).ok());
  EXPECT_EQ(RevokeToken("t1", file).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(*ReadFile(file), "# withdrawn\nt1\nt2\n");
  for (const char* wrong : {"", "#t", "a b", "a\nb"}) {
    EXPECT_FALSE(RevokeToken(wrong, file).ok()) << wrong;
  }
}

TEST(RandomUuidTest, IsAUuid) {
  EXPECT_THAT(
      RandomUuid(),
      testing::MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
  EXPECT_NE(RandomUuid(), RandomUuid());
}

}  // namespace
}  // namespace vigil::ctl
