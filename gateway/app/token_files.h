#pragma once

#include <cstdint>
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

  // INVALID_ARGUMENT when there is no key, or one that is no P-256 public key, or a file that
  // cannot be read to its end.
  absl::StatusOr<control::TokenKeys> Read();
  // Whether something about the files is not as it was when they were last read well.
  bool HaveChanged() const { return Look() != seen_; }

 private:
  // What stat(2) says of a file; all zero: nothing.
  struct FileState {
    uint64_t inode = 0;
    int64_t size = 0;
    int64_t modified_ns = 0;
    int64_t changed_ns = 0;
    bool operator==(const FileState&) const = default;
  };
  using Seen = std::map<std::string, FileState>;
  Seen Look() const;
  absl::StatusOr<control::TokenKeys> ReadFiles() const;

  std::string keys_dir_;
  std::string revoked_file_;
  Seen seen_;
};

}  // namespace vigil::app
