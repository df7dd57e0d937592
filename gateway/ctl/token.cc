#include "gateway/ctl/token.h"

#include <jwt.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "gateway/ctl/ec_key.h"
#include "gateway/ctl/files.h"
#include "gateway/ctl/time_text.h"
#include "nlohmann/json.hpp"

namespace vigil::ctl {
namespace {

using nlohmann::json;
using Jwt = std::unique_ptr<jwt_t, void (*)(jwt_t*)>;

constexpr size_t kMaxTokenId = 128;
constexpr size_t kMaxToken = 8 * 1024;
constexpr std::array kRoles = {"participant", "viewer", "controller", "operator"};

bool IsName(std::string_view name) {
  return !name.empty() && name.size() <= 63 &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
         });
}

bool IsPattern(std::string_view text) {
  if (text == "*") return true;
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return false;
  const auto fits = [](std::string_view part) { return part == "*" || IsName(part); };
  return fits(text.substr(0, slash)) && fits(text.substr(slash + 1));
}

// Also the name of a file.
bool IsKid(std::string_view kid) {
  return !kid.empty() && kid.size() <= 64 && kid.front() != '.' &&
         std::all_of(kid.begin(), kid.end(), [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
         });
}

absl::Status Wrong(std::string_view flag, std::string_view value, std::string_view allowed) {
  return absl::InvalidArgumentError(
      absl::StrCat(std::string(flag), ": ", std::string(value),
                   " is not allowed; allowed: ", std::string(allowed)));
}

absl::Status CheckTokenId(const std::string& id) {
  const bool fits =
      !id.empty() && id.size() <= kMaxTokenId && id.front() != '#' &&
      std::all_of(id.begin(), id.end(), [](unsigned char c) { return c > ' ' && c < 127; });
  if (fits) return absl::OkStatus();
  return Wrong("jti", id, "1 to 128 visible ASCII characters, not beginning with #");
}

json PartOf(std::string_view part) {
  std::string text;
  if (!absl::WebSafeBase64Unescape(absl::string_view(part.data(), part.size()), &text)) {
    return json(json::value_t::discarded);
  }
  return json::parse(text, nullptr, /*allow_exceptions=*/false);
}

std::string Text(const json& object, const char* name) {
  const auto it = object.find(name);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

// A string, or a list of them.
std::vector<std::string> Texts(const json& object, const char* name) {
  std::vector<std::string> texts;
  const auto it = object.find(name);
  if (it == object.end()) return texts;
  if (it->is_string()) texts.push_back(it->get<std::string>());
  if (!it->is_array()) return texts;
  for (const json& item : *it) {
    if (item.is_string()) texts.push_back(item.get<std::string>());
  }
  return texts;
}

std::string Shown(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace

absl::StatusOr<KeyFiles> MakeTokenKey(const std::string& dir, const std::string& kid) {
  const EcKey key = MakeEcKey();
  KeyFiles files{.kid = kid.empty() ? KeyName(key) : kid};
  if (!IsKid(files.kid)) {
    return Wrong("--kid", files.kid, "up to 64 letters, digits, '-', '_' and '.'");
  }
  files.private_key = absl::StrCat(dir, "/", files.kid, ".key");
  files.keys_dir = absl::StrCat(dir, "/public");
  files.public_key = absl::StrCat(files.keys_dir, "/", files.kid, ".pem");
  for (const std::string& file : {files.private_key, files.public_key}) {
    if (!FileExists(file)) continue;
    return absl::AlreadyExistsError(absl::StrCat(
        file, " is there already: tokens of it would no longer be valid; choose another --kid"));
  }
  absl::Status done = MakeFolder(dir, FileMode::kPrivate);
  if (done.ok()) done = MakeFolder(files.keys_dir, FileMode::kPublic);
  if (done.ok()) done = ReplaceFile(files.private_key, PrivatePem(key), FileMode::kPrivate);
  if (done.ok()) done = ReplaceFile(files.public_key, PublicPem(key), FileMode::kPublic);
  if (!done.ok()) return done;
  return files;
}

absl::Status CheckClaims(const TokenClaims& claims) {
  constexpr std::string_view kNames = "1 to 63 of a-z, 0-9 and '-'";
  if (!IsName(claims.subject)) return Wrong("--sub", claims.subject, kNames);
  if (claims.audience.empty()) return Wrong("--aud", "nothing", "the nodes' auth.audience");
  if (!claims.token_id.empty()) {
    if (const absl::Status id = CheckTokenId(claims.token_id); !id.ok()) return id;
  }
  for (const std::string& site : claims.sites) {
    if (site != "*" && !IsName(site)) return Wrong("--site", site, "* or a site's name");
  }
  for (const std::string& role : claims.roles) {
    if (std::find(kRoles.begin(), kRoles.end(), role) == kRoles.end()) {
      return Wrong("--role", role, absl::StrJoin(kRoles, ", "));
    }
  }
  for (const auto& [flag, patterns] :
       {std::pair("--publish", &claims.publish), std::pair("--subscribe", &claims.subscribe)}) {
    for (const std::string& pattern : *patterns) {
      if (!IsPattern(pattern)) return Wrong(flag, pattern, "*, participant/*, participant/feed");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> MakeToken(const TokenClaims& claims, const std::string& pem,
                                      const std::string& kid, TimeDelta now) {
  if (const absl::Status fits = CheckClaims(claims); !fits.ok()) return fits;
  if (!IsKid(kid)) return Wrong("--kid", kid, "up to 64 letters, digits, '-', '_' and '.'");
  const int64_t seconds = now.ns() / 1'000'000'000;
  const json content = {
      {"sub", claims.subject},
      {"aud", claims.audience},
      {"iat", seconds},
      {"exp", seconds + claims.lifetime.ns() / 1'000'000'000},
      {"jti", claims.token_id.empty() ? RandomUuid() : claims.token_id},
      {"vigil",
       {{"sites", claims.sites},
        {"roles", claims.roles},
        {"publish", claims.publish},
        {"subscribe", claims.subscribe}}},
  };
  jwt_t* raw = nullptr;
  jwt_new(&raw);
  const Jwt token(raw, jwt_free);
  const bool ready =
      token != nullptr && jwt_add_grants_json(token.get(), content.dump().c_str()) == 0 &&
      jwt_add_header(token.get(), "kid", kid.c_str()) == 0 &&
      jwt_set_alg(token.get(), JWT_ALG_ES256, reinterpret_cast<const unsigned char*>(pem.data()),
                  static_cast<int>(pem.size())) == 0;
  const std::unique_ptr<char, void (*)(void*)> text(ready ? jwt_encode_str(token.get()) : nullptr,
                                                    std::free);
  if (text == nullptr) return absl::InvalidArgumentError("the key cannot sign");
  if (std::string_view(text.get()).size() > kMaxToken) {
    return absl::InvalidArgumentError("the token is longer than the 8 KiB that nodes read");
  }
  return std::string(text.get());
}

absl::StatusOr<TokenContent> DecodeToken(std::string_view token) {
  const std::vector<std::string> parts =
      absl::StrSplit(absl::string_view(token.data(), token.size()), '.');
  if (parts.size() != 3) return absl::InvalidArgumentError("not a JWT: it has no three parts");
  const json header = PartOf(parts[0]);
  const json claims = PartOf(parts[1]);
  if (!header.is_object() || !claims.is_object()) {
    return absl::InvalidArgumentError("not a JWT: its parts are no JSON");
  }
  TokenContent content{.header = Shown(header),
                       .claims = Shown(claims),
                       .algorithm = Text(header, "alg"),
                       .kid = Text(header, "kid"),
                       .subject = Text(claims, "sub"),
                       .token_id = Text(claims, "jti"),
                       .audiences = Texts(claims, "aud")};
  const auto expiry = claims.find("exp");
  if (expiry != claims.end() && expiry->is_number_integer()) {
    content.expire_seconds = expiry->get<int64_t>();
  }
  const auto grants = claims.find("vigil");
  if (grants != claims.end() && grants->is_object()) {
    content.roles = Texts(*grants, "roles");
    content.sites = Texts(*grants, "sites");
  }
  return content;
}

absl::Status VerifyToken(const std::string& token, const std::string& keys_dir) {
  const absl::StatusOr<TokenContent> content = DecodeToken(token);
  if (!content.ok()) return content.status();
  if (content->algorithm != "ES256") {
    return absl::InvalidArgumentError(
        absl::StrCat("alg is ", content->algorithm, "; nodes take ES256 only"));
  }
  if (!IsKid(content->kid)) return absl::InvalidArgumentError("it has no kid");
  const std::string file = absl::StrCat(keys_dir, "/", content->kid, ".pem");
  const absl::StatusOr<std::string> pem = ReadFile(file);
  if (!pem.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("its kid is ", content->kid, ", and ", file, " cannot be read"));
  }
  jwt_t* raw = nullptr;
  const int error =
      jwt_decode(&raw, token.c_str(), reinterpret_cast<const unsigned char*>(pem->data()),
                 static_cast<int>(pem->size()));
  const Jwt decoded(raw, jwt_free);
  if (error != 0 || decoded == nullptr || jwt_get_alg(decoded.get()) != JWT_ALG_ES256) {
    return absl::InvalidArgumentError(absl::StrCat("it was not signed by the key of ", file));
  }
  return absl::OkStatus();
}

std::string TokenText(const TokenContent& content, TimeDelta now) {
  std::string expiry = "NONE: nodes refuse it";
  if (content.expire_seconds > 0) {
    // What is beyond the year 2262 does not fit and matters to nobody.
    const TimeDelta end =
        TimeDelta::Seconds(std::min<int64_t>(content.expire_seconds, 9'000'000'000));
    expiry = absl::StrCat(UtcText(end), end > now ? ", in " : ", EXPIRED ",
                          SpanText(end > now ? end - now : now - end), end > now ? "" : " ago");
  }
  const auto list = [](const std::vector<std::string>& texts) {
    return texts.empty() ? std::string("none") : absl::StrJoin(texts, " ");
  };
  return absl::StrCat("kid       ", content.kid, " (", content.algorithm, ")\nsubject   ",
                      content.subject, "\naudience  ", list(content.audiences), "\njti       ",
                      content.token_id, "\nexpires   ", expiry, "\nsites     ", list(content.sites),
                      "\nroles     ", list(content.roles), "\nclaims    ", content.claims, "\n");
}

absl::Status RevokeToken(const std::string& token_id, const std::string& file) {
  if (const absl::Status id = CheckTokenId(token_id); !id.ok()) return id;
  if (FileExists(file)) {
    const absl::StatusOr<std::string> before = ReadFile(file);
    if (!before.ok()) return before.status();
    const std::vector<std::string> lines = absl::StrSplit(*before, absl::ByAnyChar("\r\n"));
    if (std::find(lines.begin(), lines.end(), token_id) != lines.end()) {
      return absl::AlreadyExistsError(absl::StrCat(token_id, " is in ", file, " already"));
    }
  }
  return AppendLine(file, token_id);
}

}  // namespace vigil::ctl
