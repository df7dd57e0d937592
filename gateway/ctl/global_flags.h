#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "gateway/ctl/node_client.h"

namespace vigil::ctl {

// What a process tells its caller.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;  // The call failed, or what was asked for is not so.
inline constexpr int kExitUsage = 2;   // The command itself was wrong.

// Flags of every command.
struct GlobalFlags {
  std::string server = "127.0.0.1:50051";
  std::string ca;
  std::string certificate;
  std::string key;
  bool plaintext = false;
  std::string token_file;
  std::string site;
  double timeout_seconds = 10;
  bool json = false;
};

// INVALID_ARGUMENT: the flags contradict each other, or would show a token to the network.
absl::StatusOr<NodeClientOptions> ClientOptions(const GlobalFlags& flags);

}  // namespace vigil::ctl
