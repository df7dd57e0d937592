#include "gateway/ctl/command_line.h"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "gateway/ctl/call_error.h"
#include "gateway/ctl/commands.h"
#include "gateway/ctl/doctor.h"
#include "gateway/ctl/global_flags.h"
#include "gateway/ctl/token_commands.h"
#include "gateway/ctl/usage_error.h"

namespace vigil::ctl {
namespace {

// The parser, and where what it reads goes.
class CommandLine {
 public:
  CommandLine() : app_("vigilctl: operates a Vigil node over gRPC", "vigilctl") {
    app_.set_version_flag("--version", VIGIL_VERSION);
    app_.require_subcommand(1);
    // Flags of all commands may also stand behind the command.
    app_.fallthrough();
    app_.footer(
        "Exit codes: 0 all is well, 1 the call failed or what was asked for is not so, 2 the "
        "command was wrong.\nAt 3 a.m.: `vigilctl why ROOM` if a room is dark, `vigilctl doctor` "
        "if nothing answers.");
    AddGlobal();
    AddLists();
    AddSteering();
    AddQuestions();
    AddNode();
    AddToken();
    AddDevCa();
    AddCompletion();
  }

  int Run(int argc, const char* const* argv) {
    try {
      app_.parse(argc, argv);
    } catch (const CLI::Success& success) {
      app_.exit(success);
      return kExitOk;
    } catch (const CLI::ParseError& error) {
      // Where reading stopped early, --json may not have been read.
      const bool json = std::any_of(argv, argv + argc,
                                    [](const char* word) { return word == std::string("--json"); });
      const auto status = absl::InvalidArgumentError(UsageErrorText(app_, error));
      std::fputs(LocalErrorText(status, json).c_str(), stderr);
      return kExitUsage;
    }
    const int code = run_();
    // A full disk must not pass for success.
    if (std::fflush(stdout) != 0 && code == kExitOk) return kExitFailed;
    return code;
  }

  CommandNode Tree() const { return NodeOf(app_, "vigilctl"); }

 private:
  CLI::App* Add(CLI::App& parent, const std::string& name, const std::string& help,
                std::function<int()> run) {
    CLI::App* command = parent.add_subcommand(name, help);
    command->callback([this, run = std::move(run)] { run_ = run; });
    return command;
  }

  void AddGlobal() {
    app_.add_option("--server", global_.server, "The node's gRPC port")
        ->envname("VIGILCTL_SERVER")
        ->type_name("HOST:PORT")
        ->capture_default_str();
    app_.add_option("--ca", global_.ca, "CA certificate that signed the node's")->type_name("FILE");
    app_.add_option("--cert", global_.certificate, "Client certificate, where nodes want one")
        ->type_name("FILE");
    app_.add_option("--key", global_.key, "Key of the client certificate")->type_name("FILE");
    app_.add_flag("--plaintext", global_.plaintext,
                  "No TLS; the default for a node on this machine without --ca");
    app_.add_option("--token-file", global_.token_file, "File with the bearer token")
        ->envname("VIGILCTL_TOKEN_FILE")
        ->type_name("FILE");
    app_.add_option("--site", global_.site, "Site; needed where the token holds several")
        ->type_name("SITE");
    app_.add_option("--timeout", global_.timeout_seconds, "How long a call may take, 0.1 to 600")
        ->type_name("SECONDS")
        ->check(CLI::Range(0.1, 600.0))
        ->capture_default_str();
    app_.add_flag("--json", global_.json, "For programs: one JSON object a line");
  }

  void AddLists() {
    CLI::App* list = app_.add_subcommand("list", "What there is: participants or feeds");
    list->require_subcommand(1);
    CLI::App* participants =
        Add(*list, "participants", "Who is connected, with connections and slots",
            [this] { return ListParticipants(global_, prefix_); });
    CLI::App* feeds = Add(*list, "feeds", "What is being published, and to how many slots",
                          [this] { return ListFeeds(global_, prefix_); });
    for (CLI::App* command : {participants, feeds}) {
      command->add_option("--prefix", prefix_, "Only names that begin so")->type_name("TEXT");
    }
    Add(app_, "watch", "What is there, then every change, until Ctrl-C",
        [this] { return WatchMedia(global_); });
  }

  void AddSteering() {
    CLI::App* assign = Add(app_, "assign", "Sets which feed a slot carries",
                           [this] { return Assign(global_, peer_, slot_, feed_); });
    AddSlot(*assign);
    assign->add_option("feed", feed_, "participant/feed, site/participant/feed, or - for none")
        ->required();
    CLI::App* close =
        Add(app_, "close", "Ends a connection", [this] { return Close(global_, peer_); });
    AddPeer(*close);
    CLI::App* keyframe = Add(app_, "keyframe", "Asks the sender of a feed for a keyframe",
                             [this] { return Keyframe(global_, feed_); });
    keyframe->add_option("feed", feed_, "participant/feed")->required();
    CLI::App* layer = Add(app_, "layer", "Sets which simulcast layer a slot gets", [this] {
      uint32_t number = 0;
      const bool best = !absl::SimpleAtoi(layer_, &number);
      return Layer(global_, peer_, slot_, best ? std::nullopt : std::optional(number));
    });
    AddSlot(*layer);
    layer->add_option("layer", layer_, "0 (the smallest) to 3, or best")
        ->required()
        ->check(CLI::IsMember({"0", "1", "2", "3", "best"}));
  }

  void AddPeer(CLI::App& command) {
    command.add_option("peer", peer_, "The connection, as `list participants` shows it")
        ->required();
  }
  void AddSlot(CLI::App& command) {
    AddPeer(command);
    command.add_option("slot", slot_, "Which of its slots, from 0")->required();
  }

  void AddQuestions() {
    CLI::App* stats = Add(app_, "stats", "Packets, losses, jitter and round trip of each stream",
                          [this] { return Stats(global_, participant_); });
    stats->add_option("participant", participant_, "Only this one");
    CLI::App* why = Add(app_, "why",
                        "Why a room is dark: what flows, since when, what was dropped, who is "
                        "affected, what it receives. Exit code 1 if anything does not flow",
                        [this] { return WhyRoom(global_, participant_); });
    why->add_option("room", participant_, "The room's participant name")->required();
    CLI::App* doctor =
        Add(app_, "doctor", "Which port, certificate, token or clock is wrong, step by step",
            [this] { return Doctor(global_, doctor_); });
    doctor->add_option("--http", doctor_.http, "The node's HTTP port, to look at it too")
        ->type_name("URL");
    doctor->add_option("--metrics", doctor_.metrics, "The node's metrics port, to look at it too")
        ->type_name("URL");
    doctor->add_option("--keys-dir", doctor_.keys_dir, "Public keys, to verify the token")
        ->type_name("DIR");
    doctor->add_option("--aud", doctor_.audience, "The node's auth.audience")
        ->type_name("TEXT")
        ->capture_default_str();
  }

  void AddNode() {
    Add(app_, "node", "How the node is: load, how long packets dwell, what was dropped",
        [this] { return ShowNode(global_); });
    CLI::App* drain = Add(app_, "drain", "Takes nothing new from now on; what runs goes on",
                          [this] { return Drain(global_, wait_); });
    drain->add_flag("--wait", wait_, "Until no connection is left, saying how many are");
    Add(app_, "undrain", "Takes new connections again", [this] { return Undrain(global_); });
  }

  void AddToken() {
    CLI::App* token = app_.add_subcommand("token", "Keys and tokens for auth.mode jwt");
    token->require_subcommand(1);
    CLI::App* keygen = Add(*token, "keygen", "Makes a key pair for signing tokens",
                           [this] { return TokenKeygen(dir_, make_.kid, global_.json); });
    keygen->add_option("--dir", dir_, "Where the keys go")->required()->type_name("DIR");
    keygen->add_option("--kid", make_.kid, "The key's name; default: made from the key")
        ->type_name("KID");
    CLI::App* make = Add(*token, "make", "Prints a new token",
                         [this] { return TokenMake(make_, global_.json); });
    AddTokenMake(*make);
    CLI::App* show = Add(*token, "show", "Shows what a token says of itself",
                         [this] { return TokenShow(file_, keys_dir_, global_.json); });
    show->add_option("file", file_, "The token; - for the standard input")->required();
    show->add_option("--keys-dir", keys_dir_, "Public keys; the signature is verified too")
        ->type_name("DIR");
    CLI::App* revoke = Add(*token, "revoke", "Withdraws a token by its jti",
                           [this] { return TokenRevoke(token_id_, file_, global_.json); });
    revoke->add_option("jti", token_id_, "As `token show` shows it")->required();
    revoke->add_option("--file", file_, "auth.revoked_file of the nodes")
        ->required()
        ->type_name("FILE");
  }

  void AddTokenMake(CLI::App& make) {
    TokenClaims& claims = make_.claims;
    make.add_option("--key", make_.key, "Private key of `token keygen`")
        ->required()
        ->type_name("FILE");
    make.add_option("--kid", make_.kid, "The key's name; default: its file's")->type_name("KID");
    make.add_option("--sub", claims.subject, "The participant, or the service's name")
        ->required()
        ->type_name("ID");
    make.add_option("--aud", claims.audience, "auth.audience of the nodes")
        ->type_name("TEXT")
        ->capture_default_str();
    make.add_option("--ttl", make_.lifetime, "How long it is valid")
        ->type_name("8h")
        ->capture_default_str();
    make.add_option("--site", claims.sites, "Site, * for all; may be repeated")
        ->required()
        ->type_name("SITE");
    make.add_option("--role", claims.roles,
                    "participant, viewer, controller or operator; may be repeated")
        ->required()
        ->type_name("ROLE");
    make.add_option("--publish", claims.publish,
                    "What a participant may send: participant/feed, participant/*, *")
        ->type_name("FEEDS");
    make.add_option("--subscribe", claims.subscribe, "What it may receive, in the same way")
        ->type_name("FEEDS");
    make.add_option("--jti", claims.token_id, "The token's id; default: a UUID")->type_name("ID");
    for (const char* name : {"--site", "--role", "--publish", "--subscribe"}) {
      make.get_option(name)->expected(1)->take_all();
    }
  }

  void AddDevCa() {
    CLI::App* dev_ca =
        Add(app_, "dev-ca", "Makes a small CA, and certificates of it for 90 days; again: renews",
            [this] { return DevCa(dir_, hosts_, client_, global_.json); });
    dev_ca->add_option("--dir", dir_, "Where they go")->required()->type_name("DIR");
    dev_ca->add_option("--host", hosts_, "Names and IP addresses by which the node is reached")
        ->required()
        ->type_name("HOST");
    dev_ca->add_option("--client", client_, "Also a client certificate of this name")
        ->type_name("NAME");
  }

  void AddCompletion() {
    CLI::App* completion =
        Add(app_, "completion", "Prints a completion script for a shell", [this] {
          std::fputs(CompletionScript(Tree(), shell_).c_str(), stdout);
          return kExitOk;
        });
    completion->add_option("shell", shell_, "bash, zsh or fish")
        ->required()
        ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  }

  static CommandNode NodeOf(const CLI::App& app, const std::string& name) {
    CommandNode node{.name = name, .help = app.get_description()};
    for (const CLI::Option* option : app.get_options()) {
      if (option->get_positional()) continue;
      CommandOption entry{.help = option->get_description(),
                          .takes_value = option->get_items_expected_max() > 0,
                          .value = option->get_type_name()};
      for (const std::string& text : option->get_snames()) entry.names.push_back("-" + text);
      for (const std::string& text : option->get_lnames()) entry.names.push_back("--" + text);
      node.options.push_back(std::move(entry));
    }
    if (name == "completion") node.words = {"bash", "zsh", "fish"};
    for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
      node.commands.push_back(NodeOf(*command, command->get_name()));
    }
    return node;
  }

  CLI::App app_;
  std::function<int()> run_;
  GlobalFlags global_;
  DoctorFlags doctor_;
  TokenMakeFlags make_;
  std::string prefix_;
  std::string peer_;
  uint32_t slot_ = 0;
  std::string feed_;
  std::string layer_;
  std::string participant_;
  bool wait_ = false;
  std::string dir_;
  std::string file_;
  std::string keys_dir_;
  std::string token_id_;
  std::vector<std::string> hosts_;
  std::string client_;
  std::string shell_;
};

}  // namespace

int RunCommandLine(int argc, const char* const* argv) { return CommandLine().Run(argc, argv); }

CommandNode CommandTree() { return CommandLine().Tree(); }

}  // namespace vigil::ctl
