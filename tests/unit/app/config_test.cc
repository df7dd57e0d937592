#include "gateway/app/config.h"

#include <fstream>
#include <map>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vigil::app {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class ConfigTest : public testing::Test {
 protected:
  absl::StatusOr<Config> Read(const std::string& yaml) {
    const std::string file = testing::TempDir() + "/config_test.yaml";
    std::ofstream(file) << yaml;
    return ReadConfig(
        yaml.empty() ? "" : file,
        [this](const std::string& name) {
          const auto it = environment_.find(name);
          return it == environment_.end() ? nullptr : it->second.c_str();
        },
        "/console");
  }
  std::string Complaint(const std::string& yaml) {
    return std::string(Read(yaml).status().message());
  }

  std::map<std::string, std::string> environment_;
};

TEST_F(ConfigTest, WithoutAnythingItIsALaptops) {
  const auto config = Read("");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->http.port, 8080);
  EXPECT_EQ(config->auth.mode, "none");
  EXPECT_EQ(config->console_dir, "/console");
}

TEST_F(ConfigTest, TheEnvironmentWinsOverTheFile) {
  environment_["VIGIL_HTTP_PORT"] = "81";
  environment_["VIGIL_MEDIA_ADDRESSES"] = "192.0.2.1,2001:db8::1";
  const auto config = Read("http:\n  port: 80\nmedia:\n  addresses: [192.0.2.9]\n  tcp: false\n");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->http.port, 81);
  EXPECT_THAT(config->media.addresses, testing::ElementsAre("192.0.2.1", "2001:db8::1"));
  EXPECT_FALSE(config->media.tcp);
}

TEST_F(ConfigTest, WhatIsWrongIsNamedWithWhatIsAllowed) {
  EXPECT_THAT(Complaint("http:\n  prot: 80\n"), HasSubstr("http.prot"));
  EXPECT_THAT(Complaint("htpt:\n  port: 80\n"), HasSubstr("htpt"));
  EXPECT_THAT(Complaint("http:\n  port: 80000\n"),
              AllOf(HasSubstr("http.port"), HasSubstr("65535")));
  EXPECT_THAT(Complaint("http:\n  port: [80]\n"), HasSubstr("http.port"));
  EXPECT_THAT(Complaint("http: 80\n"), HasSubstr("http"));
  EXPECT_THAT(Complaint("auth:\n  mode: maybe\n"), AllOf(HasSubstr("auth.mode"), HasSubstr("jwt")));
  EXPECT_THAT(Complaint("media:\n  tcp: perhaps\n"), HasSubstr("media.tcp"));
  EXPECT_THAT(Complaint("node:\n  workers: 0\n"),
              AllOf(HasSubstr("node.workers"), HasSubstr("63")));
  EXPECT_THAT(Complaint("node:\n  workers: 2\nmedia:\n  port: 65535\n"), HasSubstr("media.port"));
  EXPECT_THAT(Complaint("auth:\n  mode: jwt\n"), HasSubstr("auth.keys_dir"));
  EXPECT_THAT(Complaint("tls:\n  certificate: a.pem\n"), HasSubstr("tls.key"));
  EXPECT_FALSE(Read("{{{").ok());
  environment_["VIGIL_GRPC_PORT"] = "many";
  EXPECT_THAT(Complaint(""), HasSubstr("grpc.port"));
}

TEST_F(ConfigTest, AVariableOfASectionIsOneOfItsKeys) {
  for (const char* name : {"VIGIL_HTTP_PORT", "VIGIL_CONSOLE_DIR", "VIGIL_GATEWAY", "VIGIL_HTTP",
                           "VIGIL_", "PATH", "HTTP_PORT"}) {
    EXPECT_TRUE(CheckVariable(name).ok()) << name;
  }
  for (const char* name : {"VIGIL_HTTP_PROT", "VIGIL_HTTP_", "VIGIL_GRPC_PORTS"}) {
    EXPECT_THAT(std::string(CheckVariable(name).message()), HasSubstr(name));
  }
}

TEST_F(ConfigTest, AddressesAreIpAddresses) {
  for (const char* section : {"http", "grpc", "metrics"}) {
    EXPECT_THAT(Complaint(std::string(section) + ":\n  address: localhost\n"),
                AllOf(HasSubstr(std::string(section) + ".address"), HasSubstr("IP address")));
    EXPECT_TRUE(Read(std::string(section) + ":\n  address: '::1'\n").ok());
  }
}

TEST_F(ConfigTest, AClientCaGoesWithACertificate) {
  EXPECT_THAT(Complaint("tls:\n  client_ca: ca.pem\n"), HasSubstr("tls.client_ca"));
}

TEST_F(ConfigTest, WhatIsPrintedCanBeReadAgainAndHidesSecrets) {
  auto config =
      Read("node:\n  name: node-7\nmedia:\n  ice_servers: ['turn:t.example user hunter2']\n");
  ASSERT_TRUE(config.ok()) << config.status();
  const std::string text = PrintConfig(*config);
  EXPECT_THAT(text, testing::Not(HasSubstr("hunter2")));
  EXPECT_THAT(Complaint(text),
              AllOf(HasSubstr("media.ice_servers"), testing::Not(HasSubstr("hidden"))));
  config->media.ice_servers.clear();
  const auto again = Read(PrintConfig(*config));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->node.name, "node-7");
}

}  // namespace
}  // namespace vigil::app
