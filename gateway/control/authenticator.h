#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gateway/control/caller.h"

namespace vigil::control {

// What tokens are checked against, as read from files. Replaced as a whole when they change.
struct TokenKeys {
  std::map<std::string, std::string> public_keys;  // PEM of a P-256 key, by `kid`.
  std::set<std::string> revoked;                   // `jti` of withdrawn tokens.
};

// The token in the value of an `authorization` header or metadatum; empty if there is none. The
// scheme's name is of either case (RFC 9110, 11.1).
std::string BearerOf(std::string_view authorization);

// Turns a bearer token into a caller. JWT (RFC 7519), ES256 only (RFC 7518, 3.4), the key chosen by
// `kid`. One thread.
//
// A verified token is remembered, so that a signature is checked once and not with each request;
// expiry and withdrawal are looked at each time.
class Authenticator {
 public:
  // A laptop: everybody is everything in the site "default". Loopback only.
  static Authenticator WithoutLogin();
  // `audience`: what `aud` has to name.
  Authenticator(std::string audience, TokenKeys keys)
      : audience_(std::move(audience)), keys_(std::move(keys)) {}

  // What was withdrawn before stays withdrawn.
  void SetKeys(TokenKeys keys);

  // `now_seconds`: since 1970. TOKEN_MISSING, TOKEN_INVALID, TOKEN_EXPIRED, TOKEN_REVOKED.
  absl::StatusOr<std::shared_ptr<const Caller>> Authenticate(std::string_view token,
                                                             int64_t now_seconds);
  // Whether what was granted before still is: for streams.
  absl::Status CheckStill(const Caller& caller, int64_t now_seconds) const;

  bool without_login() const { return anybody_ != nullptr; }

  // Longer tokens are refused unread.
  static constexpr size_t kMaxToken = 8 * 1024;
  // Verified tokens that are remembered. More cost memory, fewer a signature check (about 0.1 ms)
  // per request of whoever fell out.
  static constexpr size_t kMaxRemembered = 4'096;
  // Clocks of issuers may be off by so much.
  static constexpr int64_t kLeewaySeconds = 30;

 private:
  Authenticator() = default;
  absl::StatusOr<std::shared_ptr<const Caller>> Verify(const std::string& token) const;

  std::string audience_;
  TokenKeys keys_;
  std::shared_ptr<const Caller> anybody_;
  std::map<std::string, std::shared_ptr<const Caller>, std::less<>> remembered_;
};

}  // namespace vigil::control
