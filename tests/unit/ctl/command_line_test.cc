#include "gateway/ctl/command_line.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "gateway/ctl/global_flags.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace vigil::ctl {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

// What a command line that is wrong says on the standard error.
std::string Refused(std::vector<const char*> words) {
  words.insert(words.begin(), "vigilctl");
  testing::internal::CaptureStderr();
  const int code = RunCommandLine(static_cast<int>(words.size()), words.data());
  std::string text = testing::internal::GetCapturedStderr();
  EXPECT_EQ(code, kExitUsage) << text;
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
  return text;
}

TEST(CommandLineTest, AMistakeIsOneLineThatSaysWhatIsAllowed) {
  const std::vector<std::pair<std::vector<const char*>, std::string>> mistakes = {
      {{}, "the command is missing; allowed: list, watch, assign, close, "},
      {{"nothing"}, "nothing is not allowed; allowed: list, watch, "},
      {{"list"}, "the command is missing; allowed: participants, feeds\n"},
      {{"list", "rooms"}, "rooms is not allowed; allowed: participants, feeds\n"},
      {{"node", "extra"}, "extra is not allowed; allowed: flags only\n"},
      {{"assign", "a", "1", "b/c", "d"}, "d is not allowed; allowed: peer slot feed\n"},
      {{"assign", "a"}, "slot is missing; allowed: UINT (Which of its slots, from 0)\n"},
      {{"assign", "a", "x", "b/c"}, "slot: x is not allowed; allowed: UINT (Which of its slots"},
      {{"layer", "a", "0", "4"},
       "layer: 4 is not allowed; allowed: TEXT (0 (the smallest) to 3, or best)\n"},
      {{"node", "--site"}, "--site is missing; allowed: SITE (Site; needed where "},
      {{"node", "--timeout", "0"},
       "--timeout: 0 is not allowed; allowed: SECONDS (How long a call may take, 0.1 to 600)\n"},
      {{"completion", "csh"}, "shell: csh is not allowed; allowed: TEXT (bash, zsh or fish)\n"},
      {{"token", "make"}, "--key is missing; allowed: FILE (Private key of `token keygen`)\n"},
      {{"--json=maybe", "node"}, "--json: maybe is not allowed; allowed: the flag alone\n"},
      {{"node", "--server", "nowhere"},
       "--server: nowhere is not allowed; allowed: HOST:PORT, [IPv6]:PORT\n"},
      {{"doctor", "--server", "nowhere"}, "--server: nowhere is not allowed; allowed: HOST:PORT"},
      {{"node", "--cert", "x"}, "--cert is given without --key, "},
  };
  for (const auto& [words, text] : mistakes) {
    EXPECT_THAT(Refused(words), StartsWith("vigilctl: " + text));
  }
}

TEST(CommandLineTest, AFlagThatThereIsNotIsToldThoseOfItsCommand) {
  const std::string text = Refused({"list", "feeds", "--no-such-flag"});
  EXPECT_THAT(text, StartsWith("vigilctl: --no-such-flag is not allowed; allowed: "));
  EXPECT_THAT(text, HasSubstr(" --prefix, "));
  EXPECT_THAT(text, HasSubstr(" --server, "));
}

TEST(CommandLineTest, AMistakeIsJsonForPrograms) {
  const std::vector<std::vector<const char*>> mistakes = {
      {"--json"},
      {"node", "--no-such-flag", "--json"},
      // Reading stops before the last flag.
      {"node", "--timeout", "0", "--json"},
      {"--json", "node", "--site"},
      {"node", "--json", "--server", "nowhere"},
      {"doctor", "--json", "--server", "nowhere"},
      {"token", "keygen", "--json", "--dir", "/nowhere", "--kid", "no kid"},
      {"token", "revoke", "--json", "no jti", "--file", "/nowhere"},
  };
  for (const std::vector<const char*>& words : mistakes) {
    const std::string text = Refused(words);
    const auto object = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    ASSERT_TRUE(object.is_object()) << text;
    EXPECT_EQ(object["error"], "INVALID_ARGUMENT");
    EXPECT_THAT(object["message"].get<std::string>(), HasSubstr("; allowed: "));
  }
}

}  // namespace
}  // namespace vigil::ctl
