#include "gateway/ctl/completion.h"

#include <string>

#include "gateway/ctl/command_line.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vigil::ctl {
namespace {

using testing::Contains;
using testing::HasSubstr;

void ExpectAll(const CommandNode& node, const std::string& shell, const std::string& script) {
  for (const CommandNode& command : node.commands) {
    EXPECT_THAT(script, HasSubstr(command.name)) << shell;
    EXPECT_FALSE(command.help.empty()) << command.name;
    ExpectAll(command, shell, script);
  }
  for (const CommandOption& option : node.options) {
    EXPECT_FALSE(option.help.empty()) << node.name;
    for (const std::string& name : option.names) {
      const bool fish = shell == "fish";
      const std::string written = !fish                      ? name
                                  : name.rfind("--", 0) == 0 ? "-l " + name.substr(2)
                                                             : "-s " + name.substr(1);
      EXPECT_THAT(script, HasSubstr(written)) << shell;
    }
  }
}

TEST(CompletionTest, HasEveryCommandAndFlag) {
  const CommandNode root = CommandTree();
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const std::string script = CompletionScript(root, shell);
    ExpectAll(root, shell, script);
  }
  EXPECT_EQ(CompletionScript(root, "csh"), "");
}

TEST(CompletionTest, TheTreeIsThatOfTheCommandLine) {
  const CommandNode root = CommandTree();
  std::vector<std::string> names;
  for (const CommandNode& command : root.commands) names.push_back(command.name);
  for (const char* name : {"list", "watch", "assign", "close", "keyframe", "layer", "stats", "node",
                           "why", "doctor", "drain", "undrain", "token", "dev-ca", "completion"}) {
    EXPECT_THAT(names, Contains(name));
  }
  EXPECT_EQ(root.name, "vigilctl");
}

TEST(CompletionTest, FilesCompleteWhereFilesAreWanted) {
  const CommandNode root{
      .name = "p",
      .options = {{.names = {"--ca"}, .help = "it's", .takes_value = true, .value = "FILE"},
                  {.names = {"--n"}, .help = "n", .takes_value = true, .value = "UINT"}},
      .commands = {{.name = "go", .help = "goes"}}};
  const std::string bash = CompletionScript(root, "bash");
  EXPECT_THAT(bash, HasSubstr("--ca) mapfile -t COMPREPLY < <(compgen -f"));
  EXPECT_THAT(bash, HasSubstr("--n) return ;;"));
  EXPECT_THAT(bash, HasSubstr("\" go\") words=\"--ca --n\""));
  EXPECT_THAT(CompletionScript(root, "zsh"), HasSubstr("'--ca:it'\\''s'"));
}

}  // namespace
}  // namespace vigil::ctl
