#include "gateway/ctl/completion.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace vigil::ctl {
namespace {

// One command by its path: "" is the program, " token make" a command of a command. Its options are
// also those of all above it.
struct Place {
  std::string path;
  std::vector<std::pair<std::string, std::string>> words;  // With what they mean.
};

struct Collected {
  std::vector<Place> places;
  std::vector<std::string> file_options;
  std::vector<std::string> folder_options;
  std::vector<std::string> value_options;
};

void AddOnce(const std::string& name, std::vector<std::string>& names) {
  if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
}

void Collect(const CommandNode& node, const std::string& path,
             std::vector<std::pair<std::string, std::string>> options, Collected& out) {
  for (const CommandOption& option : node.options) {
    for (const std::string& name : option.names) {
      const bool known = std::any_of(options.begin(), options.end(),
                                     [&name](const auto& one) { return one.first == name; });
      if (!known) options.emplace_back(name, option.help);
      if (!option.takes_value) continue;
      AddOnce(name, option.value == "FILE"  ? out.file_options
                    : option.value == "DIR" ? out.folder_options
                                            : out.value_options);
    }
  }
  Place place{.path = path, .words = {}};
  for (const CommandNode& command : node.commands) {
    place.words.emplace_back(command.name, command.help);
  }
  for (const std::string& word : node.words) place.words.emplace_back(word, word);
  place.words.insert(place.words.end(), options.begin(), options.end());
  out.places.push_back(std::move(place));
  for (const CommandNode& command : node.commands) {
    Collect(command, absl::StrCat(path, " ", command.name), options, out);
  }
}

// For a pattern of `case`: "a|b", or one that nothing matches.
std::string Alternatives(const std::vector<std::string>& names) {
  return names.empty() ? "--none" : absl::StrJoin(names, "|");
}

std::string Quoted(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

std::string PathCases(const Collected& all, const std::string& indent) {
  std::vector<std::string> paths;
  for (const Place& place : all.places) {
    if (!place.path.empty()) paths.push_back(absl::StrCat("\"", place.path, "\""));
  }
  return absl::StrCat(indent, absl::StrJoin(paths, "|"), ") at=\"$at $word\" ;;\n");
}

std::string Bash(const Collected& all, const std::string& name) {
  std::string script =
      absl::StrCat("# bash completion of ", name, ": put `source <(", name,
                   " completion bash)` into ~/.bashrc\n_", name,
                   "() {\n"
                   "  local cur=\"${COMP_WORDS[COMP_CWORD]}\" at=\"\" word words i\n"
                   "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
                   "    word=\"${COMP_WORDS[i]}\"\n"
                   "    case \"$at $word\" in\n",
                   PathCases(all, "      "),
                   "    esac\n"
                   "  done\n"
                   "  COMPREPLY=()\n"
                   "  case \"${COMP_WORDS[COMP_CWORD-1]}\" in\n");
  absl::StrAppend(&script, "    ", Alternatives(all.file_options),
                  ") mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); return ;;\n    ",
                  Alternatives(all.folder_options),
                  ") mapfile -t COMPREPLY < <(compgen -d -- \"$cur\"); return ;;\n    ",
                  Alternatives(all.value_options), ") return ;;\n  esac\n  case \"$at\" in\n");
  for (const Place& place : all.places) {
    absl::StrAppend(&script, "    \"", place.path, "\") words=\"",
                    absl::StrJoin(place.words, " ",
                                  [](std::string* out, const auto& word) { *out += word.first; }),
                    "\" ;;\n");
  }
  absl::StrAppend(&script,
                  "  esac\n  mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n}\n"
                  "complete -o filenames -F _",
                  name, " ", name, "\n");
  return script;
}

// A word and its meaning as _describe reads them: the first colon parts the two.
std::string Described(const std::pair<std::string, std::string>& word) {
  return Quoted(absl::StrCat(absl::StrReplaceAll(word.first, {{":", "\\:"}}), ":", word.second));
}

std::string Zsh(const Collected& all, const std::string& name) {
  std::string script = absl::StrCat(
      "#compdef ", name, "\n# zsh completion: write it to a file _", name,
      " in a folder of $fpath\n_", name,
      "() {\n"
      "  local at=\"\" word i\n"
      "  local -a entries\n"
      "  for ((i = 2; i < CURRENT; i++)); do\n"
      "    word=\"${words[i]}\"\n"
      "    case \"$at $word\" in\n",
      PathCases(all, "      "), "    esac\n  done\n  case \"${words[CURRENT-1]}\" in\n    ",
      Alternatives(all.file_options), ") _files; return ;;\n    ", Alternatives(all.folder_options),
      ") _files -/; return ;;\n    ", Alternatives(all.value_options),
      ") return ;;\n  esac\n  case \"$at\" in\n");
  for (const Place& place : all.places) {
    absl::StrAppend(&script, "    \"", place.path, "\") entries=(\n");
    for (const auto& word : place.words) absl::StrAppend(&script, "      ", Described(word), "\n");
    absl::StrAppend(&script, "    ) ;;\n");
  }
  absl::StrAppend(&script, "  esac\n  _describe '", name, "' entries\n}\n",
                  "if [ \"$funcstack[1]\" = \"_", name, "\" ]; then _", name,
                  " \"$@\"; else compdef _", name, " ", name, "; fi\n");
  return script;
}

std::string Fish(const Collected& all, const std::string& name) {
  std::string script = absl::StrCat("# fish completion: write it to ~/.config/fish/completions/",
                                    name, ".fish\nfunction __", name,
                                    "_at\n"
                                    "  set -l at ''\n"
                                    "  for word in (commandline -opc)[2..-1]\n"
                                    "    switch \"$at $word\"\n"
                                    "      case");
  for (const Place& place : all.places) {
    if (!place.path.empty()) absl::StrAppend(&script, " ", Quoted(place.path));
  }
  absl::StrAppend(&script,
                  "\n        set at \"$at $word\"\n    end\n  end\n  test \"$at\" = \"$argv[1]\"\n",
                  "end\ncomplete -c ", name, " -f\n");
  const auto takes = [](const std::vector<std::string>& names, const std::string& word) {
    return std::find(names.begin(), names.end(), word) != names.end();
  };
  for (const Place& place : all.places) {
    for (const auto& [word, help] : place.words) {
      std::string what = absl::StrCat("-a ", word);
      if (word.rfind("--", 0) == 0) what = absl::StrCat("-l ", word.substr(2));
      if (word.size() == 2 && word[0] == '-') what = absl::StrCat("-s ", word.substr(1));
      if (takes(all.file_options, word)) what += " -r -F";
      if (takes(all.folder_options, word)) what += " -x -a '(__fish_complete_directories)'";
      if (takes(all.value_options, word)) what += " -x";
      absl::StrAppend(&script, "complete -c ", name, " -n ",
                      Quoted(absl::StrCat("__", name, "_at \"", place.path, "\"")), " ", what,
                      " -d ", Quoted(help), "\n");
    }
  }
  return script;
}

}  // namespace

std::string CompletionScript(const CommandNode& root, const std::string& shell) {
  Collected all;
  Collect(root, "", {}, all);
  if (shell == "bash") return Bash(all, root.name);
  if (shell == "zsh") return Zsh(all, root.name);
  if (shell == "fish") return Fish(all, root.name);
  return "";
}

}  // namespace vigil::ctl
