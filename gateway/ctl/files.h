#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Small files: keys, certificates, tokens.

namespace vigil::ctl {

// NOT_FOUND or PERMISSION_DENIED that names the file; more than 1 MiB is an error.
absl::StatusOr<std::string> ReadFile(const std::string& path);

// A token: the first line without space around it. "-" is the standard input. INVALID_ARGUMENT if
// there is none.
absl::StatusOr<std::string> ReadToken(const std::string& path);

enum class FileMode { kPrivate, kPublic };  // 0600, 0644.

// The file has all of `text` or what it had before, also when the machine stops in between, and is
// never readable by more than `mode` says.
absl::Status ReplaceFile(const std::string& path, std::string_view text, FileMode mode);

// Adds one line in one write, behind an unfinished last line if need be.
absl::Status AppendLine(const std::string& path, std::string_view line);

// Makes the folder and those above it; 0700 if it is private. An existing one is left as it is.
absl::Status MakeFolder(const std::string& path, FileMode mode);

bool FileExists(const std::string& path);

}  // namespace vigil::ctl
