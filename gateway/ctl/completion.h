#pragma once

#include <string>
#include <vector>

// Completion scripts for shells, made from the tree of commands itself.

namespace vigil::ctl {

struct CommandOption {
  std::vector<std::string> names;  // "--site", "-h".
  std::string help;
  bool takes_value = false;
  std::string value;  // "FILE", "DIR" complete as paths; others do not complete.
};

struct CommandNode {
  std::string name;
  std::string help;
  std::vector<CommandOption> options;
  std::vector<std::string> words;  // What may stand as the first argument.
  std::vector<CommandNode> commands;
};

// `shell`: "bash", "zsh" or "fish"; nothing for others.
std::string CompletionScript(const CommandNode& root, const std::string& shell);

}  // namespace vigil::ctl
