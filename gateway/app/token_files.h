#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "gateway/control/authenticator.h"

namespace vigil::app {

// The files that tokens are checked against. Control thread.
class TokenFiles {
 public:
  // `keys_dir`: KID.pem each; `revoked_file`: one jti a line, may be empty or not there.
  TokenFiles(std::string keys_dir, std::string revoked_file)
      : keys_dir_(std::move(keys_dir)), revoked_file_(std::move(revoked_file)) {}

  // INVALID_ARGUMENT when there is no key, or one that is no P-256 public key.
  absl::StatusOr<control::TokenKeys> Read() const;
  // Whether something about the files is not as it was at the last call.
  bool HaveChanged();

 private:
  using Seen = std::map<std::string, std::pair<std::filesystem::file_time_type, uintmax_t>>;
  Seen Look() const;

  std::string keys_dir_;
  std::string revoked_file_;
  Seen seen_;
};

}  // namespace vigil::app
