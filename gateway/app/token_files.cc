#include "gateway/app/token_files.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <sstream>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "openssl/ec.h"
#include "openssl/pem.h"

namespace vigil::app {
namespace {

namespace fs = std::filesystem;

// Nothing unless it is a file that can be read to its end.
std::optional<std::string> ReadWhole(const fs::path& path) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return std::nullopt;
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file.is_open() || file.bad()) return std::nullopt;
  return text;
}

bool IsP256(const std::string& pem) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(
      BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free);
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
      PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr), EVP_PKEY_free);
  char group[32];
  size_t size = 0;
  return key != nullptr && EVP_PKEY_get_group_name(key.get(), group, sizeof group, &size) == 1 &&
         std::string(group, size) == "prime256v1";
}

}  // namespace

absl::StatusOr<control::TokenKeys> TokenFiles::Read() {
  // Looked at before: what changes meanwhile is read again.
  Seen now = Look();
  absl::StatusOr<control::TokenKeys> keys = ReadFiles();
  if (keys.ok()) seen_ = std::move(now);
  return keys;
}

absl::StatusOr<control::TokenKeys> TokenFiles::ReadFiles() const {
  control::TokenKeys keys;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(keys_dir_, error)) {
    if (entry.path().extension() != ".pem") continue;
    std::optional<std::string> pem = ReadWhole(entry.path());
    if (!pem || !IsP256(*pem)) {
      return absl::InvalidArgumentError(absl::StrCat("auth.keys_dir: ", entry.path().string(),
                                                     " is no public key of P-256 in PEM"));
    }
    keys.public_keys[entry.path().stem().string()] = *std::move(pem);
  }
  if (keys.public_keys.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("auth.keys_dir: no .pem in ", keys_dir_));
  }
  if (revoked_file_.empty()) return keys;
  const std::optional<std::string> revoked = ReadWhole(revoked_file_);
  if (!revoked) {
    // Taken for an empty list it would let in again who was sent away.
    return absl::InvalidArgumentError(
        absl::StrCat("auth.revoked_file: cannot read ", revoked_file_));
  }
  std::istringstream lines(*revoked);
  for (std::string line; std::getline(lines, line);) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (!line.empty() && line.front() != '#') keys.revoked.insert(line);
  }
  return keys;
}

TokenFiles::Seen TokenFiles::Look() const {
  Seen seen;
  const auto nanos = [](const timespec& time) {
    return static_cast<int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
  };
  // The time of the last change of its state, too: who may read it is not the content's time.
  const auto add = [&](const fs::path& path) {
    struct stat file {};
    FileState& state = seen[path.string()];
    if (stat(path.c_str(), &file) != 0) return;
    state = {.inode = file.st_ino,
             .size = file.st_size,
             .modified_ns = nanos(file.st_mtim),
             .changed_ns = nanos(file.st_ctim)};
  };
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(keys_dir_, error)) {
    if (entry.path().extension() == ".pem") add(entry.path());
  }
  if (!revoked_file_.empty()) add(revoked_file_);
  return seen;
}

}  // namespace vigil::app
