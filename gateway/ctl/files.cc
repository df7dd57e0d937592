#include "gateway/ctl/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace vigil::ctl {
namespace {

constexpr size_t kMaxFile = 1 << 20;

absl::Status ErrnoStatus(std::string_view what, const std::string& path) {
  return absl::ErrnoToStatus(errno,
                             absl::StrCat(absl::string_view(what.data(), what.size()), " ", path));
}

// A file descriptor that closes itself.
class OpenFile {
 public:
  OpenFile(const std::string& path, int flags, mode_t mode = 0)
      : fd_(open(path.c_str(), flags | O_CLOEXEC, mode)) {}
  ~OpenFile() {
    if (fd_ >= 0) close(fd_);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  int fd() const { return fd_; }

 private:
  int fd_;
};

bool WriteAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    text.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

absl::StatusOr<std::string> ReadAll(int fd, const std::string& path) {
  std::string text;
  char buffer[4'096];
  for (;;) {
    const ssize_t n = read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus("cannot read", path);
    if (n == 0) return text;
    text.append(buffer, static_cast<size_t>(n));
    if (text.size() > kMaxFile) {
      return absl::InvalidArgumentError(absl::StrCat(path, " is larger than 1 MiB"));
    }
  }
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  const OpenFile file(path, O_RDONLY);
  if (file.fd() < 0) return ErrnoStatus("cannot read", path);
  return ReadAll(file.fd(), path);
}

absl::StatusOr<std::string> ReadToken(const std::string& path) {
  absl::StatusOr<std::string> text =
      path == "-" ? ReadAll(STDIN_FILENO, "the standard input") : ReadFile(path);
  if (!text.ok()) return text.status();
  std::string token(absl::StripAsciiWhitespace(*text));
  const size_t end = token.find_first_of("\r\n");
  if (end != std::string::npos) token.resize(end);
  if (token.empty()) return absl::InvalidArgumentError(absl::StrCat(path, " holds no token"));
  return token;
}

absl::Status ReplaceFile(const std::string& path, std::string_view text, FileMode mode) {
  const std::string fresh = absl::StrCat(path, ".new");
  unlink(fresh.c_str());  // Of a run that was cut short.
  {
    const OpenFile file(fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW,
                        mode == FileMode::kPrivate ? 0600 : 0644);
    if (file.fd() < 0) return ErrnoStatus("cannot write", fresh);
    if (!WriteAll(file.fd(), text) || fsync(file.fd()) != 0) {
      return ErrnoStatus("cannot write", fresh);
    }
  }
  if (rename(fresh.c_str(), path.c_str()) != 0) return ErrnoStatus("cannot write", path);
  const std::string folder = std::filesystem::path(path).parent_path().string();
  const OpenFile parent(folder.empty() ? "." : folder, O_RDONLY | O_DIRECTORY);
  if (parent.fd() < 0 || fsync(parent.fd()) != 0) return ErrnoStatus("cannot write", path);
  return absl::OkStatus();
}

absl::Status AppendLine(const std::string& path, std::string_view line) {
  const OpenFile file(path, O_RDWR | O_CREAT | O_APPEND, 0644);
  if (file.fd() < 0) return ErrnoStatus("cannot write", path);
  const off_t size = lseek(file.fd(), 0, SEEK_END);
  char last = '\n';
  if (size < 0 || (size > 0 && pread(file.fd(), &last, 1, size - 1) != 1)) {
    return ErrnoStatus("cannot read", path);
  }
  const bool unfinished = last != '\n';
  const std::string text =
      absl::StrCat(unfinished ? "\n" : "", absl::string_view(line.data(), line.size()), "\n");
  if (!WriteAll(file.fd(), text) || fsync(file.fd()) != 0) return ErrnoStatus("cannot write", path);
  return absl::OkStatus();
}

absl::Status MakeFolder(const std::string& path, FileMode mode) {
  std::error_code error;
  const std::filesystem::path folder(path);
  if (std::filesystem::is_directory(folder, error)) return absl::OkStatus();
  if (!folder.parent_path().empty()) {
    std::filesystem::create_directories(folder.parent_path(), error);
    if (error) {
      return absl::InvalidArgumentError(absl::StrCat("cannot make ", path, ": ", error.message()));
    }
  }
  if (mkdir(path.c_str(), mode == FileMode::kPrivate ? 0700 : 0755) != 0 && errno != EEXIST) {
    return ErrnoStatus("cannot make", path);
  }
  return absl::OkStatus();
}

bool FileExists(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

}  // namespace vigil::ctl
