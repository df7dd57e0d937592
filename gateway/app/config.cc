#include "gateway/app/config.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <variant>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "gateway/io/socket_address.h"
#include "yaml-cpp/yaml.h"

namespace vigil::app {
namespace {

// Where one key's value goes, and what it may be.
struct Key {
  std::string name;  // "http.port"
  std::variant<std::string*, std::vector<std::string>*, bool*, uint16_t*, uint32_t*> to;
  uint64_t least = 0;
  uint64_t most = 0;                 // Of numbers.
  std::vector<std::string> choices;  // Of texts; empty: any.
  bool secret = false;
  // Of texts, and of every text of a list, that are not empty; and how it is said in words.
  bool (*fits)(absl::string_view) = nullptr;
  const char* allowed = nullptr;
};

// Scheme, host and port, as a browser names whom a page comes from (RFC 6454, 6.1).
bool IsOrigin(absl::string_view text) {
  const bool web = absl::ConsumePrefix(&text, "https://") || absl::ConsumePrefix(&text, "http://");
  if (!web) return false;
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '.' || c == '-' || c == ':' || c == '[' || c == ']';
  });
}

// An origin, or something below it: what a request's path is put behind.
bool IsBaseUrl(absl::string_view text) {
  const size_t path = text.find('/', text.find("://") + 3);
  if (path == absl::string_view::npos) return IsOrigin(text);
  const absl::string_view below = text.substr(path);
  return IsOrigin(text.substr(0, path)) && below.back() != '/' &&
         below.find_first_of("?# ") == absl::string_view::npos;
}

bool IsAllowedOrigin(absl::string_view text) { return text == "*" || IsOrigin(text); }

// RFC 7064, RFC 7065; alone or with a user name and a credential.
bool IsIceServer(absl::string_view text) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ' ', absl::SkipEmpty());
  if (parts.size() != 1 && parts.size() != 3) return false;
  for (const absl::string_view scheme : {"stun:", "stuns:", "turn:", "turns:"}) {
    if (absl::StartsWith(parts[0], scheme) && parts[0].size() > scheme.size()) return true;
  }
  return false;
}

std::vector<Key> KeysOf(Config& config) {
  return {
      {.name = "node.name", .to = &config.node.name},
      {.name = "node.workers", .to = &config.node.workers, .least = 1, .most = 63},
      {.name = "node.packets", .to = &config.node.packets, .least = 1'024, .most = 4'194'304},
      {.name = "http.address", .to = &config.http.address},
      {.name = "http.port", .to = &config.http.port, .most = 65'535},
      {.name = "http.cors_origins",
       .to = &config.http.cors_origins,
       .fits = IsAllowedOrigin,
       .allowed = "*, or scheme://host or scheme://host:port, nothing behind it"},
      {.name = "http.redirect_url",
       .to = &config.http.redirect_url,
       .fits = IsBaseUrl,
       .allowed = "scheme://host or scheme://host:port, with a path or without, no / at its end"},
      {.name = "grpc.address", .to = &config.grpc.address},
      {.name = "grpc.port", .to = &config.grpc.port, .most = 65'535},
      {.name = "grpc.reflection", .to = &config.grpc.reflection},
      {.name = "metrics.address", .to = &config.metrics.address},
      {.name = "metrics.port", .to = &config.metrics.port, .most = 65'535},
      {.name = "media.addresses", .to = &config.media.addresses},
      {.name = "media.port", .to = &config.media.port, .most = 65'535},
      {.name = "media.tcp", .to = &config.media.tcp},
      {.name = "media.ice_servers",
       .to = &config.media.ice_servers,
       .secret = true,
       .fits = IsIceServer,
       .allowed = "stun:, stuns:, turn: or turns: with what follows, alone or with USERNAME and "
                  "CREDENTIAL"},
      {.name = "tls.certificate", .to = &config.tls.certificate},
      {.name = "tls.key", .to = &config.tls.key},
      {.name = "tls.client_ca", .to = &config.tls.client_ca},
      {.name = "auth.mode", .to = &config.auth.mode, .choices = {"none", "jwt"}},
      {.name = "auth.audience", .to = &config.auth.audience},
      {.name = "auth.keys_dir", .to = &config.auth.keys_dir},
      {.name = "auth.revoked_file", .to = &config.auth.revoked_file},
      {.name = "limits.calls_per_second",
       .to = &config.limits.calls_per_second,
       .least = 1,
       .most = 1'000'000},
      {.name = "limits.calls_at_once",
       .to = &config.limits.calls_at_once,
       .least = 1,
       .most = 1'000'000},
      {.name = "limits.peers_per_participant",
       .to = &config.limits.peers_per_participant,
       .least = 1,
       .most = 1'000},
      {.name = "limits.streams_per_caller",
       .to = &config.limits.streams_per_caller,
       .least = 1,
       .most = 100'000},
      {.name = "log.level", .to = &config.log.level, .choices = {"debug", "info", "warn", "error"}},
      {.name = "log.format", .to = &config.log.format, .choices = {"text", "json"}},
      {.name = "shutdown.drain_seconds", .to = &config.shutdown.drain_seconds, .most = 86'400},
      {.name = "console_dir", .to = &config.console_dir},
  };
}

absl::Status Wrong(const Key& key, const std::string& value, const std::string& allowed) {
  return absl::InvalidArgumentError(
      absl::StrCat(key.name, ": ", value, " is not allowed; allowed: ", allowed));
}

template <typename Number>
absl::Status SetNumber(const Key& key, const std::string& value, Number* to) {
  uint64_t number = 0;
  if (!absl::SimpleAtoi(value, &number) || number < key.least || number > key.most) {
    return Wrong(key, value, absl::StrCat(key.least, " to ", key.most));
  }
  *to = static_cast<Number>(number);
  return absl::OkStatus();
}

absl::Status SetOne(const Key& key, const std::string& value, std::string* to) {
  if (!key.choices.empty() &&
      std::find(key.choices.begin(), key.choices.end(), value) == key.choices.end()) {
    return Wrong(key, value, absl::StrJoin(key.choices, ", "));
  }
  *to = value;
  return absl::OkStatus();
}

absl::Status SetOne(const Key&, const std::string& value, std::vector<std::string>* to) {
  *to = absl::StrSplit(value, ',', absl::SkipWhitespace());
  return absl::OkStatus();
}

absl::Status SetOne(const Key& key, const std::string& value, bool* to) {
  if (value != "true" && value != "false") return Wrong(key, value, "true, false");
  *to = value == "true";
  return absl::OkStatus();
}

absl::Status SetOne(const Key& key, const std::string& value, uint16_t* to) {
  return SetNumber(key, value, to);
}
absl::Status SetOne(const Key& key, const std::string& value, uint32_t* to) {
  return SetNumber(key, value, to);
}

absl::Status Set(const Key& key, const std::string& value) {
  return std::visit([&](auto* to) { return SetOne(key, value, to); }, key.to);
}

// "http.port" is VIGIL_HTTP_PORT.
std::string VariableOf(const std::string& name) {
  std::string variable = absl::StrCat("VIGIL_", name);
  std::transform(variable.begin(), variable.end(), variable.begin(),
                 [](unsigned char c) { return c == '.' ? '_' : std::toupper(c); });
  return variable;
}

absl::Status SetNode(const Key& key, const YAML::Node& node) {
  if (node.IsScalar()) return Set(key, node.Scalar());
  auto* const* list = std::get_if<std::vector<std::string>*>(&key.to);
  if (!node.IsSequence() || list == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(key.name, ": must be a single value", list == nullptr ? "" : " or a list"));
  }
  (*list)->clear();
  for (const YAML::Node& item : node) {
    if (!item.IsScalar()) {
      return absl::InvalidArgumentError(absl::StrCat(key.name, ": must be a list of texts"));
    }
    (*list)->push_back(item.Scalar());
  }
  return absl::OkStatus();
}

absl::Status ReadNode(const YAML::Node& node, const std::string& prefix,
                      const std::map<std::string, Key>& keys) {
  for (const auto& item : node) {
    if (!item.first.IsScalar()) {
      return absl::InvalidArgumentError(
          absl::StrCat(prefix, "?: a key must be a text, in line ", item.first.Mark().line + 1));
    }
    const std::string name = absl::StrCat(prefix, item.first.as<std::string>());
    const auto key = keys.find(name);
    if (key != keys.end()) {
      if (const absl::Status set = SetNode(key->second, item.second); !set.ok()) return set;
      continue;
    }
    const auto section = keys.lower_bound(absl::StrCat(name, "."));
    const bool is_section = section != keys.end() && section->first.rfind(name + ".", 0) == 0;
    if (!is_section) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": there is no such key"));
    }
    if (item.second.IsNull()) continue;
    if (!item.second.IsMap()) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": must be a section of keys"));
    }
    const absl::Status read = ReadNode(item.second, absl::StrCat(name, "."), keys);
    if (!read.ok()) return read;
  }
  return absl::OkStatus();
}

absl::Status ReadFile(const std::string& file, const std::map<std::string, Key>& keys) {
  // yaml-cpp says what is wrong by throwing.
  try {
    const YAML::Node root = YAML::LoadFile(file);
    if (root.IsNull()) return absl::OkStatus();
    if (!root.IsMap()) {
      return absl::InvalidArgumentError(absl::StrCat(file, ": must be a map of sections"));
    }
    return ReadNode(root, "", keys);
  } catch (const YAML::BadFile&) {
    return absl::InvalidArgumentError(absl::StrCat("--config: cannot read ", file));
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(file, ": ", error.what()));
  }
}

// Where texts have a form. What is secret is not repeated.
absl::Status CheckForm(const Key& key) {
  if (key.fits == nullptr) return absl::OkStatus();
  std::vector<std::string> values;
  if (const auto* text = std::get_if<std::string*>(&key.to)) values = {**text};
  if (const auto* list = std::get_if<std::vector<std::string>*>(&key.to)) values = **list;
  for (const std::string& value : values) {
    if (value.empty() || key.fits(value)) continue;
    return Wrong(key, key.secret ? "what it holds" : value, key.allowed);
  }
  return absl::OkStatus();
}

absl::Status CheckAddresses(const Config& config) {
  for (const auto& [key, address] : {std::pair("http.address", config.http.address),
                                     std::pair("grpc.address", config.grpc.address),
                                     std::pair("metrics.address", config.metrics.address)}) {
    if (!io::ParseIp(address)) {
      return absl::InvalidArgumentError(
          absl::StrCat(key, ": ", address, " is not allowed; allowed: an IP address"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckTogether(const Config& config) {
  if (config.media.port != 0 && config.media.port + config.node.workers - 1 > 65'535) {
    return absl::InvalidArgumentError(
        absl::StrCat("media.port: ", config.media.port, " is not allowed; with ",
                     config.node.workers, " workers at most ", 65'536 - config.node.workers));
  }
  if (config.media.addresses.empty()) {
    return absl::InvalidArgumentError("media.addresses: must name at least one IP address");
  }
  if (config.tls.certificate.empty() != config.tls.key.empty()) {
    return absl::InvalidArgumentError("tls.key: goes with tls.certificate");
  }
  if (config.tls.certificate.empty() && !config.tls.client_ca.empty()) {
    return absl::InvalidArgumentError("tls.client_ca: goes with tls.certificate");
  }
  if (config.auth.mode == "jwt" && config.auth.keys_dir.empty()) {
    return absl::InvalidArgumentError("auth.keys_dir: is needed with auth.mode jwt");
  }
  return CheckAddresses(config);
}

}  // namespace

absl::Status CheckVariable(const std::string& name) {
  Config config;
  bool of_a_section = false;
  for (const Key& key : KeysOf(config)) {
    if (VariableOf(key.name) == name) return absl::OkStatus();
    const size_t dot = key.name.find('.');
    if (dot == std::string::npos) continue;
    const std::string section = VariableOf(key.name.substr(0, dot + 1));
    of_a_section = of_a_section || name.compare(0, section.size(), section) == 0;
  }
  if (!of_a_section) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(name, ": there is no such key"));
}

absl::Status NamingKeys(const std::string& keys, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(keys, ": ", status.message()));
}

absl::StatusOr<Config> ReadConfig(const std::string& file, const Environment& environment,
                                  const std::string& console_dir) {
  Config config;
  config.console_dir = console_dir;
  std::map<std::string, Key> keys;
  for (Key& key : KeysOf(config)) keys.emplace(key.name, key);
  if (!file.empty()) {
    if (const absl::Status read = ReadFile(file, keys); !read.ok()) return read;
  }
  for (const auto& [name, key] : keys) {
    const char* value = environment(VariableOf(name));
    if (value == nullptr) continue;
    if (const absl::Status set = Set(key, value); !set.ok()) return set;
  }
  for (const auto& [name, key] : keys) {
    if (const absl::Status fits = CheckForm(key); !fits.ok()) return fits;
  }
  if (const absl::Status fits = CheckTogether(config); !fits.ok()) return fits;
  return config;
}

std::string PrintConfig(const Config& config) {
  Config copy = config;
  YAML::Node root;
  for (const Key& key : KeysOf(copy)) {
    const size_t dot = key.name.find('.');
    YAML::Node node = dot == std::string::npos
                          ? root[key.name]
                          : root[key.name.substr(0, dot)][key.name.substr(dot + 1)];
    std::visit(
        [&node, &key](auto* value) {
          if constexpr (std::is_same_v<decltype(value), std::vector<std::string>*>) {
            node = YAML::Node(YAML::NodeType::Sequence);
            for (const std::string& item : *value) node.push_back(key.secret ? "(hidden)" : item);
          } else {
            node = *value;
          }
        },
        key.to);
  }
  YAML::Emitter out;
  out << root;
  return std::string(out.c_str()) + "\n";
}

}  // namespace vigil::app
