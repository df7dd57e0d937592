#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gateway/base/time.h"

// Bearer tokens: JWT (RFC 7519) with ES256, as gateway/control/authenticator.h reads them.

namespace vigil::ctl {

struct KeyFiles {
  std::string kid;
  std::string private_key;  // DIR/KID.key, 0600: stays with whoever makes tokens.
  std::string keys_dir;     // DIR/public: what auth.keys_dir of the nodes gets.
  std::string public_key;   // DIR/public/KID.pem.
};

// Makes a key pair. `kid` empty: a name from the key itself. ALREADY_EXISTS if there is one of this
// name: a key that is replaced makes all its tokens invalid.
absl::StatusOr<KeyFiles> MakeTokenKey(const std::string& dir, const std::string& kid);

struct TokenClaims {
  std::string subject;
  std::string audience = "vigil";
  std::string token_id;  // Empty: a UUID.
  TimeDelta lifetime = TimeDelta::Seconds(8 * 3'600);
  std::vector<std::string> sites;
  std::vector<std::string> roles;
  std::vector<std::string> publish;  // "*", "participant/*", "participant/feed".
  std::vector<std::string> subscribe;
};

// INVALID_ARGUMENT that names the flag and what is allowed: what a node would refuse.
absl::Status CheckClaims(const TokenClaims& claims);

// Signed with the private key in `pem`, `kid` in its header.
absl::StatusOr<std::string> MakeToken(const TokenClaims& claims, const std::string& pem,
                                      const std::string& kid, TimeDelta now);

// What a token says of itself. Nothing of it is proven.
struct TokenContent {
  std::string header;  // JSON.
  std::string claims;  // JSON.
  std::string algorithm;
  std::string kid;
  std::string subject;
  std::string token_id;
  std::vector<std::string> audiences;
  std::vector<std::string> roles;
  std::vector<std::string> sites;
  int64_t expire_seconds = 0;  // Since 1970; 0: none.
};

// INVALID_ARGUMENT if it is no JWT.
absl::StatusOr<TokenContent> DecodeToken(std::string_view token);

// Whether the key KID.pem of `keys_dir` has signed it. OK, or INVALID_ARGUMENT that says why not.
absl::Status VerifyToken(const std::string& token, const std::string& keys_dir);

// As people read it. `now`: since 1970.
std::string TokenText(const TokenContent& content, TimeDelta now);

// Adds a token's id to auth.revoked_file. ALREADY_EXISTS if it is there; INVALID_ARGUMENT if it can
// be no id.
absl::Status RevokeToken(const std::string& token_id, const std::string& file);

}  // namespace vigil::ctl
