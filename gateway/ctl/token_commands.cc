#include "gateway/ctl/token_commands.h"

#include <cstdio>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "gateway/ctl/call_error.h"
#include "gateway/ctl/dev_ca.h"
#include "gateway/ctl/ec_key.h"
#include "gateway/ctl/files.h"
#include "gateway/ctl/global_flags.h"
#include "gateway/ctl/json_text.h"
#include "gateway/ctl/time_text.h"

namespace vigil::ctl {
namespace {

int Fail(const absl::Status& status, bool json) {
  std::fputs(LocalErrorText(status, json).c_str(), stderr);
  return absl::IsInvalidArgument(status) ? kExitUsage : kExitFailed;
}

void Print(const std::string& text) { std::fputs(text.c_str(), stdout); }

// How a browser and a program come to believe a CA.
std::string TrustText(const std::string& ca) {
  return absl::StrCat(
      "To trust it:\n"
      "  vigilctl  --ca ",
      ca,
      "\n"
      "  curl      --cacert ",
      ca,
      "\n"
      "  Debian    sudo cp ",
      ca,
      " /usr/local/share/ca-certificates/vigil-dev.crt && sudo update-ca-certificates\n"
      "  Chrome    Settings, Privacy and security, Security, Manage certificates, Authorities, "
      "Import\n"
      "  Firefox   Settings, Privacy & Security, View Certificates, Authorities, Import\n"
      "Whoever has ca.key can pass for any web site to those who trust it: keep it here.\n");
}

}  // namespace

int TokenKeygen(const std::string& dir, const std::string& kid, bool json) {
  const absl::StatusOr<KeyFiles> files = MakeTokenKey(dir, kid);
  if (!files.ok()) return Fail(files.status(), json);
  if (json) {
    Print(JsonLine({{"kid", files->kid},
                    {"private_key", files->private_key},
                    {"public_key", files->public_key},
                    {"keys_dir", files->keys_dir}}));
    return kExitOk;
  }
  Print(absl::StrCat("private key  ", files->private_key, " (0600: signs tokens, keep it here)\n",
                     "public key   ", files->public_key, "\nNodes take its tokens with:\n",
                     "  auth:\n    mode: jwt\n    keys_dir: ", files->keys_dir,
                     "\nMake one with:\n  vigilctl token make --key ", files->private_key,
                     " --sub NAME --site SITE --role ROLE\n"));
  return kExitOk;
}

int TokenMake(const TokenMakeFlags& flags, bool json) {
  TokenClaims claims = flags.claims;
  const std::optional<TimeDelta> lifetime = ParseSpan(flags.lifetime);
  if (!lifetime) {
    return Fail(
        absl::InvalidArgumentError(absl::StrCat(
            "--ttl: ", flags.lifetime, " is not allowed; allowed: such as 45s, 30m, 8h, 90d")),
        json);
  }
  claims.lifetime = *lifetime;
  const absl::StatusOr<std::string> pem = ReadFile(flags.key);
  if (!pem.ok()) return Fail(pem.status(), json);
  if (const auto key = ReadEcKey(*pem, flags.key); !key.ok()) return Fail(key.status(), json);
  const std::string kid =
      flags.kid.empty() ? std::filesystem::path(flags.key).stem().string() : flags.kid;
  const absl::StatusOr<std::string> token = MakeToken(claims, *pem, kid, UnixNow());
  if (!token.ok()) return Fail(token.status(), json);
  Print(json ? JsonLine({{"token", *token}}) : absl::StrCat(*token, "\n"));
  return kExitOk;
}

int TokenShow(const std::string& file, const std::string& keys_dir, bool json) {
  const absl::StatusOr<std::string> token = ReadToken(file);
  if (!token.ok()) return Fail(token.status(), json);
  const absl::StatusOr<TokenContent> content = DecodeToken(*token);
  if (!content.ok()) return Fail(content.status(), json);
  std::string signature = "not verified (give --keys-dir)";
  bool bad = false;
  if (!keys_dir.empty()) {
    const absl::Status verified = VerifyToken(*token, keys_dir);
    bad = !verified.ok();
    signature = bad ? absl::StrCat("WRONG: ", std::string(verified.message())) : "good";
  }
  if (json) {
    Print(JsonLine({{"header", content->header},
                    {"claims", content->claims},
                    {"signature", signature},
                    {"expired", TimeDelta::Seconds(content->expire_seconds) <= UnixNow()}}));
  } else {
    Print(absl::StrCat(TokenText(*content, UnixNow()), "signature ", signature, "\n"));
  }
  return bad ? kExitFailed : kExitOk;
}

int TokenRevoke(const std::string& token_id, const std::string& file, bool json) {
  const absl::Status revoked = RevokeToken(token_id, file);
  const bool known = absl::IsAlreadyExists(revoked);
  if (!revoked.ok() && !known) return Fail(revoked, json);
  const std::string done =
      known ? std::string(revoked.message())
            : absl::StrCat(token_id, " is withdrawn: nodes whose auth.revoked_file is ", file,
                           " refuse it within 2 s");
  Print(json ? JsonLine({{"done", done}}) : absl::StrCat(done, "\n"));
  return kExitOk;
}

int DevCa(const std::string& dir, const std::vector<std::string>& hosts, const std::string& client,
          bool json) {
  const absl::StatusOr<DevCaFiles> files =
      MakeDevCertificates({.dir = dir, .hosts = hosts, .client = client, .now = UnixNow()});
  if (!files.ok()) return Fail(files.status(), json);
  if (json) {
    Print(JsonLine({{"made_ca", files->made_ca},
                    {"ca", files->ca},
                    {"certificate", files->certificate},
                    {"key", files->key},
                    {"client_certificate", files->client_certificate},
                    {"client_key", files->client_key},
                    {"expires", UtcText(files->expire_time)}}));
    return kExitOk;
  }
  std::string text =
      absl::StrCat("CA           ", files->ca, files->made_ca ? " (new)" : " (as it was)",
                   "\ncertificate  ", files->certificate, ", until ", UtcText(files->expire_time),
                   "\nkey          ", files->key, " (0600)\n");
  if (!files->client_certificate.empty()) {
    absl::StrAppend(&text, "client       ", files->client_certificate, "\nclient key   ",
                    files->client_key, " (0600)\n");
  }
  absl::StrAppend(&text, "A node uses them with:\n  tls:\n    certificate: ", files->certificate,
                  "\n    key: ", files->key, "\n");
  if (!files->client_certificate.empty()) {
    absl::StrAppend(&text, "    client_ca: ", files->ca, "\n");
  }
  Print(absl::StrCat(text, TrustText(files->ca)));
  return kExitOk;
}

}  // namespace vigil::ctl
