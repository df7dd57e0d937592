#include "gateway/ctl/usage_error.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace vigil::ctl {
namespace {

// The command that was being read, with those above it, the innermost first.
std::vector<const CLI::App*> CommandsOf(const CLI::App& app) {
  std::vector<const CLI::App*> commands = {&app};
  while (!commands.front()->get_subcommands().empty()) {
    const CLI::App* inner = commands.front()->get_subcommands().back();
    commands.insert(commands.begin(), inner);
  }
  return commands;
}

std::string NamesOfCommands(const CLI::App& command) {
  return absl::StrJoin(command.get_subcommands([](const CLI::App*) { return true; }), ", ",
                       [](std::string* out, const CLI::App* one) { *out += one->get_name(); });
}

std::string NamesOfFlags(const std::vector<const CLI::App*>& commands) {
  std::vector<std::string> names;
  for (const CLI::App* command : commands) {
    for (const CLI::Option* option : command->get_options()) {
      // Each command has a --help of its own.
      const bool known = std::find(names.begin(), names.end(), option->get_name()) != names.end();
      if (!option->get_positional() && !known) names.push_back(option->get_name());
    }
  }
  return absl::StrJoin(names, ", ");
}

std::string NamesOfArguments(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    if (option->get_positional()) names.push_back(option->get_name());
  }
  return names.empty() ? "flags only" : absl::StrJoin(names, " ");
}

// CLI11 tells the option in its text only, in one of these ways.
bool Tells(std::string_view what, const CLI::Option& option) {
  const std::string name = option.get_name();
  const absl::string_view text(what.data(), what.size());
  return absl::StartsWith(text, name + ": ") || absl::StartsWith(text, name + " ") ||
         absl::StrContains(text, "convert: " + name + " = ");
}

const CLI::Option* OptionOf(const std::vector<const CLI::App*>& commands, std::string_view what) {
  for (const CLI::App* command : commands) {
    for (const CLI::Option* option : command->get_options()) {
      if (Tells(what, *option)) return option;
    }
  }
  return nullptr;
}

std::string AllowedText(const CLI::Option& option) {
  if (option.get_items_expected_max() == 0) return "the flag alone";
  // What CLI11 appends for a check is said better by the description.
  const std::string type = option.get_type_name();
  return absl::StrCat(type.substr(0, type.find(':')), " (", option.get_description(), ")");
}

}  // namespace

std::string UsageErrorText(const CLI::App& app, const CLI::ParseError& error) {
  const std::vector<const CLI::App*> commands = CommandsOf(app);
  const CLI::App& command = *commands.front();
  const std::vector<std::string> rest = app.remaining(/*recurse=*/true);
  const bool is_flag = !rest.empty() && absl::StartsWith(rest.front(), "-");
  if (is_flag) {
    return absl::StrCat(rest.front(), " is not allowed; allowed: ", NamesOfFlags(commands));
  }
  if (command.get_require_subcommand_min() > 0) {
    return absl::StrCat(rest.empty() ? "the command is missing" : rest.front() + " is not allowed",
                        "; allowed: ", NamesOfCommands(command));
  }
  if (!rest.empty()) {
    return absl::StrCat(rest.front(), " is not allowed; allowed: ", NamesOfArguments(command));
  }
  const CLI::Option* option = OptionOf(commands, error.what());
  if (option == nullptr) return error.what();
  const std::string allowed = AllowedText(*option);
  if (option->empty()) return absl::StrCat(option->get_name(), " is missing; allowed: ", allowed);
  return absl::StrCat(option->get_name(), ": ", absl::StrJoin(option->results(), " "),
                      " is not allowed; allowed: ", allowed);
}

}  // namespace vigil::ctl
