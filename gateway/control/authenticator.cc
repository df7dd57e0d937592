#include "gateway/control/authenticator.h"

#include <jwt.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "gateway/control/api_error.h"
#include "nlohmann/json.hpp"

namespace vigil::control {
namespace {

using nlohmann::json;

constexpr size_t kMaxSites = 256;
constexpr size_t kMaxPatterns = 256;

absl::Status Invalid(std::string_view why) {
  return ApiError(v1::ERROR_REASON_TOKEN_INVALID, "token: " + std::string(why));
}

// The first part of a token as JSON; discarded if it is none.
json HeaderOf(const std::string& token) {
  std::string header;
  const size_t dot = token.find('.');
  if (dot == std::string::npos || !absl::WebSafeBase64Unescape(token.substr(0, dot), &header)) {
    return json(json::value_t::discarded);
  }
  return json::parse(header, nullptr, /*allow_exceptions=*/false);
}

// A string member; empty if it is missing or something else.
std::string Text(const json& object, const char* name) {
  const auto it = object.find(name);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

// A list of strings; nothing if it is something else or longer than `most`.
std::optional<std::vector<std::string>> Texts(const json& object, const char* name, size_t most) {
  std::vector<std::string> texts;
  const auto it = object.find(name);
  if (it == object.end()) return texts;
  if (!it->is_array() || it->size() > most) return std::nullopt;
  for (const json& item : *it) {
    if (!item.is_string()) return std::nullopt;
    texts.push_back(item.get<std::string>());
  }
  return texts;
}

bool NamesAudience(const json& claims, const std::string& audience) {
  const auto it = claims.find("aud");
  if (it == claims.end()) return false;
  if (it->is_string()) return *it == audience;
  if (!it->is_array()) return false;
  for (const json& item : *it) {
    if (item.is_string() && item == audience) return true;
  }
  return false;
}

// A NumericDate (RFC 7519, 2), which may have a fraction; nothing for what is none between 1970 and
// the year 9999.
std::optional<int64_t> Seconds(const json& claims, const char* name) {
  constexpr double kYear10000 = 253'402'300'800;
  const auto it = claims.find(name);
  if (it == claims.end() || !it->is_number()) return std::nullopt;
  const double seconds = it->get<double>();
  if (!(seconds >= 0 && seconds < kYear10000)) return std::nullopt;
  return static_cast<int64_t>(seconds);
}

// One that can stand on a line of the list of withdrawn tokens.
bool IsTokenId(const std::string& text) {
  constexpr size_t kLongest = 128;
  return !text.empty() && text.size() <= kLongest && text.front() != '#' &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; });
}

// "*", "participant/*", "participant/feed".
std::optional<FeedPattern> ParsePattern(const std::string& text) {
  if (text == "*") return FeedPattern{"*", "*"};
  const size_t slash = text.find('/');
  if (slash == std::string::npos) return std::nullopt;
  FeedPattern pattern{text.substr(0, slash), text.substr(slash + 1)};
  const auto fits = [](const std::string& part) {
    return part == "*" || worker::IsValidName(part);
  };
  if (!fits(pattern.participant) || !fits(pattern.feed)) return std::nullopt;
  return pattern;
}

bool ReadPatterns(const json& claim, const char* name, std::vector<FeedPattern>& out) {
  const auto texts = Texts(claim, name, kMaxPatterns);
  if (!texts) return false;
  for (const std::string& text : *texts) {
    const std::optional<FeedPattern> pattern = ParsePattern(text);
    if (!pattern) return false;
    out.push_back(*pattern);
  }
  return true;
}

bool ReadRoles(const json& claim, std::set<Role>& out) {
  const auto texts = Texts(claim, "roles", 8);
  if (!texts) return false;
  for (const std::string& text : *texts) {
    // One that is not known is of a later version, perhaps: it grants nothing here.
    for (const Role role :
         {Role::kParticipant, Role::kViewer, Role::kController, Role::kOperator}) {
      if (text == ToString(role)) out.insert(role);
    }
  }
  return true;
}

bool ReadSites(const json& claim, Caller& caller) {
  const auto texts = Texts(claim, "sites", kMaxSites);
  if (!texts) return false;
  for (const std::string& site : *texts) {
    if (site == "*") {
      caller.all_sites = true;
    } else if (worker::IsValidName(site)) {
      caller.sites.insert(site);
    } else {
      return false;
    }
  }
  return true;
}

absl::StatusOr<std::shared_ptr<const Caller>> CallerOf(const json& claims,
                                                       const std::string& key_id) {
  auto caller = std::make_shared<Caller>();
  caller->key_id = key_id;
  caller->subject = Text(claims, "sub");
  caller->token_id = Text(claims, "jti");
  if (!worker::IsValidName(caller->subject)) return Invalid("sub must match [a-z0-9-]{1,63}");
  if (!IsTokenId(caller->token_id)) {
    return Invalid("jti must have 1 to 128 printable characters, no space, and not begin with #");
  }
  const auto expiry = Seconds(claims, "exp");
  if (!expiry || *expiry == 0) return Invalid("exp is missing or no time");
  caller->expire_seconds = *expiry;
  if (claims.contains("nbf")) {
    const auto not_before = Seconds(claims, "nbf");
    if (!not_before) return Invalid("nbf is no time");
    caller->not_before_seconds = *not_before;
  }
  const auto grants = claims.find("vigil");
  if (grants == claims.end() || !grants->is_object()) return Invalid("the claim vigil is missing");
  if (!ReadSites(*grants, *caller) || !ReadRoles(*grants, caller->roles) ||
      !ReadPatterns(*grants, "publish", caller->publish) ||
      !ReadPatterns(*grants, "subscribe", caller->subscribe)) {
    return Invalid("the claim vigil cannot be read");
  }
  return caller;
}

}  // namespace

std::string BearerOf(std::string_view authorization) {
  constexpr absl::string_view kScheme = "Bearer ";
  const absl::string_view value(authorization.data(), authorization.size());
  if (!absl::StartsWithIgnoreCase(value, kScheme)) return "";
  return std::string(absl::StripLeadingAsciiWhitespace(value.substr(kScheme.size())));
}

Authenticator Authenticator::WithoutLogin() {
  auto anybody = std::make_shared<Caller>();
  anybody->subject = "anybody";
  anybody->sites = {"default"};
  anybody->roles = {Role::kParticipant, Role::kViewer, Role::kController, Role::kOperator};
  Authenticator authenticator;
  authenticator.anybody_ = std::move(anybody);
  return authenticator;
}

void Authenticator::SetKeys(TokenKeys keys) {
  // A file that is being written, or was cut short, lets nobody in again.
  keys.revoked.merge(keys_.revoked);
  keys_ = std::move(keys);
  remembered_.clear();  // A key that is gone must not go on letting in.
}

absl::StatusOr<std::shared_ptr<const Caller>> Authenticator::Authenticate(std::string_view token,
                                                                          int64_t now_seconds) {
  if (anybody_ != nullptr) return anybody_;
  if (token.empty()) return ApiError(v1::ERROR_REASON_TOKEN_MISSING, "a bearer token is needed");
  if (token.size() > kMaxToken) return Invalid("longer than 8 KiB");
  auto known = remembered_.find(token);
  if (known == remembered_.end()) {
    auto verified = Verify(std::string(token));
    if (!verified.ok()) return verified.status();
    // Rarely full: then all prove themselves again.
    if (remembered_.size() >= kMaxRemembered) remembered_.clear();
    known = remembered_.emplace(std::string(token), *std::move(verified)).first;
  }
  const absl::Status still = CheckStill(*known->second, now_seconds);
  if (still.ok()) return known->second;
  remembered_.erase(known);
  return still;
}

absl::Status Authenticator::CheckStill(const Caller& caller, int64_t now_seconds) const {
  if (caller.expire_seconds != 0 && now_seconds > caller.expire_seconds + kLeewaySeconds) {
    return ApiError(v1::ERROR_REASON_TOKEN_EXPIRED, "the token has expired");
  }
  if (now_seconds < caller.not_before_seconds - kLeewaySeconds) {
    return Invalid("not valid yet");
  }
  if (!caller.key_id.empty() && !keys_.public_keys.contains(caller.key_id)) {
    return Invalid("kid is no longer known");
  }
  if (keys_.revoked.contains(caller.token_id)) {
    return ApiError(v1::ERROR_REASON_TOKEN_REVOKED, "the token was withdrawn");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const Caller>> Authenticator::Verify(
    const std::string& token) const {
  const json header = HeaderOf(token);
  if (!header.is_object()) return Invalid("not a JWT");
  // Before the library sees a key: a public key must never become the secret of an HMAC.
  if (Text(header, "alg") != "ES256") return Invalid("alg must be ES256");
  // RFC 7515, 4.1.11: whoever does not understand an extension that is critical refuses.
  if (header.contains("crit")) return Invalid("crit names what is not understood here");
  const auto key = keys_.public_keys.find(Text(header, "kid"));
  if (key == keys_.public_keys.end()) return Invalid("kid is not known");
  jwt_t* raw = nullptr;
  const int error =
      jwt_decode(&raw, token.c_str(), reinterpret_cast<const unsigned char*>(key->second.data()),
                 static_cast<int>(key->second.size()));
  const std::unique_ptr<jwt_t, void (*)(jwt_t*)> decoded(raw, jwt_free);
  if (error != 0 || decoded == nullptr || jwt_get_alg(decoded.get()) != JWT_ALG_ES256) {
    return Invalid("the signature is wrong");
  }
  const std::unique_ptr<char, void (*)(void*)> text(jwt_get_grants_json(decoded.get(), nullptr),
                                                    std::free);
  const json claims = json::parse(text ? text.get() : "", nullptr, /*allow_exceptions=*/false);
  if (!claims.is_object()) return Invalid("the claims are no JSON object");
  if (!NamesAudience(claims, audience_)) return Invalid("aud does not name this service");
  return CallerOf(claims, key->first);
}

}  // namespace vigil::control
