#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// The configuration of vigil-gateway: a YAML file, over which each key can be set as environment
// variable VIGIL_SECTION_KEY. Unknown keys are errors.

namespace vigil::app {

struct Config {
  struct Node {
    std::string name = "vigil";  // Shown to operators.
    uint32_t workers = 1;        // Media threads, 1 to 63.
    uint32_t packets = 65'536;   // Packet buffers of each worker.
  } node;
  struct Http {
    std::string address = "127.0.0.1";
    uint16_t port = 8080;
    std::vector<std::string> cors_origins = {"*"};
    std::string redirect_url;  // Where offers are sent by 307 while draining.
  } http;
  struct Grpc {
    std::string address = "127.0.0.1";
    uint16_t port = 50051;
    bool reflection = false;
  } grpc;
  struct Metrics {
    std::string address = "127.0.0.1";
    uint16_t port = 9464;
  } metrics;
  struct Media {
    std::vector<std::string> addresses = {"127.0.0.1"};
    uint16_t port = 7000;
    bool tcp = true;
    std::vector<std::string> ice_servers;  // "url", or "url username credential".
  } media;
  struct Tls {
    std::string certificate;
    std::string key;
    std::string client_ca;  // gRPC clients need a certificate of it.
  } tls;
  struct Auth {
    std::string mode = "none";  // "none" or "jwt".
    std::string audience = "vigil";
    std::string keys_dir;      // KID.pem: public keys.
    std::string revoked_file;  // One jti a line.
  } auth;
  struct Limits {
    uint32_t calls_per_second = 500;  // Of one caller.
    uint32_t calls_at_once = 1'000;
    uint32_t peers_per_participant = 32;
    uint32_t streams_per_caller = 1'100;
  } limits;
  struct Log {
    std::string level = "info";   // "debug", "info", "warn", "error".
    std::string format = "text";  // "text" or "json".
  } log;
  struct Shutdown {
    uint32_t drain_seconds = 10;  // How long SIGTERM waits for connections to end.
  } shutdown;
  std::string console_dir;
};

// What the environment says of a variable; nothing if it is not set.
using Environment = std::function<const char*(const std::string& name)>;

// INVALID_ARGUMENT for the name of a variable that is of a section of the configuration and none of
// its keys. Other variables that begin with VIGIL_ belong to others.
absl::Status CheckVariable(const std::string& name);

// An error of opening what the configuration names, with the keys in front that it is about.
absl::Status NamingKeys(const std::string& keys, const absl::Status& status);

// `file`: empty for none. INVALID_ARGUMENT in one line that names the key and what is allowed.
absl::StatusOr<Config> ReadConfig(const std::string& file, const Environment& environment,
                                  const std::string& console_dir);

// As YAML, with what is secret hidden.
std::string PrintConfig(const Config& config);

}  // namespace vigil::app
