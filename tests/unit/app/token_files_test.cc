#include "gateway/app/token_files.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "openssl/ec.h"
#include "openssl/evp.h"
#include "openssl/pem.h"

namespace vigil::app {
namespace {

namespace fs = std::filesystem;

std::string PublicKey() {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  BIO* bio = BIO_new(BIO_s_mem());
  PEM_write_bio_PUBKEY(bio, key);
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio, &text);
  std::string pem(text, static_cast<size_t>(size));
  BIO_free(bio);
  EVP_PKEY_free(key);
  return pem;
}

class TokenFilesTest : public testing::Test {
 protected:
  TokenFilesTest() {
    std::string name = (fs::temp_directory_path() / "vigil-token-files-XXXXXX").string();
    folder_ = mkdtemp(name.data());
    fs::create_directory(folder_ / "keys");
    Write(folder_ / "keys/k1.pem", PublicKey());
    Write(folder_ / "revoked", "# withdrawn\nt1\r\nt2\n");
  }
  ~TokenFilesTest() override { fs::remove_all(folder_); }
  static void Write(const fs::path& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
  }

  fs::path folder_;
};

TEST_F(TokenFilesTest, KeysByNameAndWithdrawnTokensByLine) {
  TokenFiles files(folder_ / "keys", folder_ / "revoked");
  const auto keys = files.Read();
  ASSERT_TRUE(keys.ok()) << keys.status();
  EXPECT_TRUE(keys->public_keys.contains("k1"));
  EXPECT_THAT(keys->revoked, testing::ElementsAre("t1", "t2"));
  EXPECT_FALSE(files.HaveChanged());
}

TEST_F(TokenFilesTest, WhatCouldNotBeReadIsReadLater) {
  TokenFiles files(folder_ / "keys", folder_ / "revoked");
  ASSERT_TRUE(files.Read().ok());
  Write(folder_ / "keys/k2.pem", "half of a key");
  EXPECT_TRUE(files.HaveChanged());
  EXPECT_FALSE(files.Read().ok());
  EXPECT_TRUE(files.HaveChanged());
  Write(folder_ / "keys/k2.pem", PublicKey());
  EXPECT_TRUE(files.Read().ok());
  EXPECT_FALSE(files.HaveChanged());
  // Also a change that leaves content, size and time as they are.
  fs::permissions(folder_ / "revoked", fs::perms::owner_read);
  EXPECT_TRUE(files.HaveChanged());
}

TEST_F(TokenFilesTest, AFolderIsNoEmptyList) {
  TokenFiles files(folder_ / "keys", folder_);
  EXPECT_THAT(std::string(files.Read().status().message()),
              testing::HasSubstr("auth.revoked_file"));
}

}  // namespace
}  // namespace vigil::app
