#include "gateway/app/token_files.h"

#include <fstream>
#include <iterator>
#include <memory>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "openssl/ec.h"
#include "openssl/pem.h"

namespace vigil::app {
namespace {

namespace fs = std::filesystem;

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

absl::StatusOr<control::TokenKeys> TokenFiles::Read() const {
  control::TokenKeys keys;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(keys_dir_, error)) {
    if (entry.path().extension() != ".pem") continue;
    std::ifstream file(entry.path(), std::ios::binary);
    std::string pem{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (!IsP256(pem)) {
      return absl::InvalidArgumentError(absl::StrCat("auth.keys_dir: ", entry.path().string(),
                                                     " is no public key of P-256 in PEM"));
    }
    keys.public_keys[entry.path().stem().string()] = std::move(pem);
  }
  if (keys.public_keys.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("auth.keys_dir: no .pem in ", keys_dir_));
  }
  std::ifstream revoked(revoked_file_);
  if (!revoked_file_.empty() && !revoked) {
    // Taken for an empty list it would let in again who was sent away.
    return absl::InvalidArgumentError(
        absl::StrCat("auth.revoked_file: cannot read ", revoked_file_));
  }
  for (std::string line; std::getline(revoked, line);) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (!line.empty() && line.front() != '#') keys.revoked.insert(line);
  }
  return keys;
}

TokenFiles::Seen TokenFiles::Look() const {
  Seen seen;
  std::error_code error;
  const auto add = [&](const fs::path& path) {
    const auto time = fs::last_write_time(path, error);
    if (error) return;
    const uintmax_t size = fs::file_size(path, error);
    seen[path.string()] = {time, error ? 0 : size};
  };
  for (const auto& entry : fs::directory_iterator(keys_dir_, error)) {
    if (entry.path().extension() == ".pem") add(entry.path());
  }
  if (!revoked_file_.empty()) add(revoked_file_);
  return seen;
}

bool TokenFiles::HaveChanged() {
  Seen now = Look();
  if (now == seen_) return false;
  seen_ = std::move(now);
  return true;
}

}  // namespace vigil::app
