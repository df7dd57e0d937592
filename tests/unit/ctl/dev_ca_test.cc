#include "gateway/ctl/dev_ca.h"

#include <filesystem>
#include <memory>
#include <string>

#include "gateway/ctl/files.h"
#include "gateway/ctl/time_text.h"
#include "gtest/gtest.h"
#include "openssl/pem.h"
#include "openssl/x509.h"
#include "openssl/x509v3.h"
#include "tests/unit/ctl/temporary_folder.h"

namespace vigil::ctl {
namespace {

using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;

constexpr TimeDelta kNow = TimeDelta::Seconds(1'800'000'000);
constexpr TimeDelta kDay = TimeDelta::Seconds(86'400);

Certificate Read(const std::string& file) {
  const std::string pem = *ReadFile(file);
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(
      BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free);
  return {PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr), X509_free};
}

// What a client that believes `ca` says of the certificate at `at`.
int Verify(const DevCaFiles& files, const std::string& file, int purpose, TimeDelta at) {
  const Certificate ca = Read(files.ca);
  const Certificate leaf = Read(file);
  const std::unique_ptr<X509_STORE, decltype(&X509_STORE_free)> store(X509_STORE_new(),
                                                                      X509_STORE_free);
  X509_STORE_add_cert(store.get(), ca.get());
  const std::unique_ptr<X509_STORE_CTX, decltype(&X509_STORE_CTX_free)> context(
      X509_STORE_CTX_new(), X509_STORE_CTX_free);
  X509_STORE_CTX_init(context.get(), store.get(), leaf.get(), nullptr);
  X509_STORE_CTX_set_purpose(context.get(), purpose);
  X509_STORE_CTX_set_flags(context.get(), X509_V_FLAG_X509_STRICT);
  X509_STORE_CTX_set_time(context.get(), 0, static_cast<time_t>(at.ns() / 1'000'000'000));
  X509_verify_cert(context.get());
  return X509_STORE_CTX_get_error(context.get());
}

class DevCaTest : public testing::Test {
 protected:
  absl::StatusOr<DevCaFiles> Make(std::vector<std::string> hosts, const std::string& client = "",
                                  TimeDelta now = kNow) {
    return MakeDevCertificates(
        {.dir = folder_ / "pki", .hosts = std::move(hosts), .client = client, .now = now});
  }

  TemporaryFolder folder_;
};

TEST_F(DevCaTest, AClientOfTheCaBelievesTheServer) {
  const auto files = Make({"vigil.example", "127.0.0.1", "::1"});
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_TRUE(files->made_ca);
  EXPECT_EQ(Verify(*files, files->certificate, X509_PURPOSE_SSL_SERVER, kNow), X509_V_OK);
  EXPECT_EQ(Verify(*files, files->certificate, X509_PURPOSE_SSL_SERVER, kNow + kDay * 89),
            X509_V_OK);
  EXPECT_EQ(Verify(*files, files->certificate, X509_PURPOSE_SSL_SERVER, kNow + kDay * 91),
            X509_V_ERR_CERT_HAS_EXPIRED);
  EXPECT_NE(Verify(*files, files->certificate, X509_PURPOSE_SSL_CLIENT, kNow), X509_V_OK);
  const Certificate leaf = Read(files->certificate);
  EXPECT_EQ(X509_check_host(leaf.get(), "vigil.example", 0, 0, nullptr), 1);
  EXPECT_EQ(X509_check_host(leaf.get(), "other.example", 0, 0, nullptr), 0);
  EXPECT_EQ(X509_check_ip_asc(leaf.get(), "127.0.0.1", 0), 1);
  EXPECT_EQ(X509_check_ip_asc(leaf.get(), "::1", 0), 1);
}

TEST_F(DevCaTest, KeysAreTheirOwnersOnly) {
  namespace fs = std::filesystem;
  const auto files = Make({"a"}, "ops");
  ASSERT_TRUE(files.ok()) << files.status();
  for (const std::string& key : {files->key, files->client_key, folder_ / "pki/ca.key"}) {
    EXPECT_EQ(fs::status(key).permissions(), fs::perms::owner_read | fs::perms::owner_write) << key;
  }
}

TEST_F(DevCaTest, AgainRenewsTheLeafWithTheSameCaAndKey) {
  const auto first = Make({"a"});
  ASSERT_TRUE(first.ok());
  const std::string ca = *ReadFile(first->ca);
  const std::string key = *ReadFile(first->key);
  const std::string certificate = *ReadFile(first->certificate);
  const TimeDelta later = kNow + kDay * 80;
  const auto second = Make({"a", "b"}, "", later);
  ASSERT_TRUE(second.ok());
  EXPECT_FALSE(second->made_ca);
  EXPECT_EQ(*ReadFile(second->ca), ca);
  EXPECT_EQ(*ReadFile(second->key), key);
  EXPECT_NE(*ReadFile(second->certificate), certificate);
  EXPECT_EQ(Verify(*second, second->certificate, X509_PURPOSE_SSL_SERVER, later + kDay * 89),
            X509_V_OK);
}

TEST_F(DevCaTest, AClientCertificateIsForClients) {
  const auto files = Make({"a"}, "ops");
  ASSERT_TRUE(files.ok());
  EXPECT_EQ(Verify(*files, files->client_certificate, X509_PURPOSE_SSL_CLIENT, kNow), X509_V_OK);
  EXPECT_NE(Verify(*files, files->client_certificate, X509_PURPOSE_SSL_SERVER, kNow), X509_V_OK);
}

TEST_F(DevCaTest, WhatIsNoHostIsRefusedByName) {
  for (const char* wrong : {"", "a b", "a,DNS:b", "-a", "https://a"}) {
    EXPECT_EQ(Make({wrong}).status().code(), absl::StatusCode::kInvalidArgument) << wrong;
  }
  EXPECT_FALSE(Make({}).ok());
  EXPECT_FALSE(Make({"a"}, "../x").ok());
}

TEST_F(DevCaTest, ACaThatEndsTooSoonIsNotUsed) {
  ASSERT_TRUE(Make({"a"}).ok());
  EXPECT_FALSE(Make({"a"}, "", kNow + kDay * 3'600).ok());
}

}  // namespace
}  // namespace vigil::ctl
