#include "gateway/ctl/doctor.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "gateway/ctl/call_error.h"
#include "gateway/ctl/files.h"
#include "gateway/ctl/json_text.h"
#include "gateway/ctl/listing.h"
#include "gateway/ctl/node_client.h"
#include "gateway/ctl/probe.h"
#include "gateway/ctl/time_text.h"
#include "gateway/ctl/token.h"

namespace vigil::ctl {
namespace {

// A certificate that ends sooner is worth a word before it is a night's work.
constexpr TimeDelta kSoon = TimeDelta::Seconds(14 * 86'400);
// Nodes take tokens of clocks that are off by 30 s; well before that the clock wants mending.
constexpr TimeDelta kClockOff = TimeDelta::Seconds(5);
// A node says something at least every 10 s. Lower may miss a heartbeat; higher keeps somebody
// waiting for a node that says nothing.
constexpr TimeDelta kHeartbeatWait = TimeDelta::Seconds(12);

// Outcome, check, detail.
constexpr char kRow[] = "%s  %-12s %s\n";

enum class Outcome { kPass, kFail, kSkip };

std::string_view ToString(Outcome outcome) {
  switch (outcome) {
    case Outcome::kPass:
      return "pass";
    case Outcome::kFail:
      return "FAIL";
    case Outcome::kSkip:
      return "skip";
  }
  return "";
}

class Examination {
 public:
  Examination(const GlobalFlags& global, const DoctorFlags& flags, NodeClientOptions options,
              Endpoint endpoint)
      : global_(global),
        flags_(flags),
        options_(std::move(options)),
        endpoint_(std::move(endpoint)),
        trust_{.ca = options_.ca, .certificate = options_.certificate, .key = options_.key} {}

  int Run() {
    const bool reachable = CheckPort();
    const bool speaks = reachable && CheckTls();
    CheckToken();
    if (speaks) {
      CheckNode();
    } else {
      for (const char* name : {"health", "node"}) {
        Row(Outcome::kSkip, name, "the gRPC port cannot be used");
      }
    }
    CheckHttp();
    CheckMetrics();
    CheckMedia();
    CheckClock(speaks);
    return failed_ ? kExitFailed : kExitOk;
  }

 private:
  void Row(Outcome outcome, const std::string& name, const std::string& detail,
           const std::string& advice = "") {
    failed_ = failed_ || outcome == Outcome::kFail;
    std::string text;
    if (global_.json) {
      const std::string result(outcome == Outcome::kFail ? "fail" : ToString(outcome));
      text =
          JsonLine({{"check", name}, {"result", result}, {"detail", detail}, {"advice", advice}});
    } else {
      text = absl::StrFormat(kRow, std::string(ToString(outcome)), name, detail);
      if (!advice.empty()) absl::StrAppend(&text, "                   what to do: ", advice, "\n");
    }
    std::fputs(text.c_str(), stdout);
    std::fflush(stdout);
  }

  // That a row will be long in coming. Programs get one object for each check on the standard
  // output, so theirs goes elsewhere.
  void Announce(const std::string& name, const std::string& what) const {
    const std::string text = global_.json
                                 ? JsonLine({{"notice", absl::StrCat(name, ": waiting ", what)}})
                                 : absl::StrFormat(kRow, "wait", name, what);
    std::FILE* const out = global_.json ? stderr : stdout;
    std::fputs(text.c_str(), out);
    std::fflush(out);
  }

  bool CheckPort() {
    const absl::Status connected = ProbeTcp(endpoint_, options_.timeout);
    if (connected.ok()) {
      Row(Outcome::kPass, "grpc port", absl::StrCat(endpoint_.ToString(), " takes connections"));
      return true;
    }
    Row(Outcome::kFail, "grpc port",
        absl::StrCat(endpoint_.ToString(), ": ", std::string(connected.message())),
        "check --server, that vigil-gateway runs, its grpc.address and grpc.port, and the "
        "firewall");
    Row(Outcome::kSkip, "tls", "the gRPC port cannot be reached");
    return false;
  }

  bool CheckTls() {
    if (options_.plaintext) return CheckPlaintext();
    const TlsAnswer answer = ProbeTls(endpoint_, trust_, options_.timeout);
    if (answer.problem == TlsProblem::kNone) {
      Row(Outcome::kPass, "tls",
          absl::StrCat("certificate of ", answer.names, ", by ", answer.issuer));
      CheckExpiry(answer);
      return true;
    }
    std::string detail = answer.detail;
    if (answer.problem == TlsProblem::kWrongName) {
      detail = absl::StrCat("the certificate is not of ", endpoint_.host, " but of ", answer.names);
    } else if (answer.problem == TlsProblem::kUnknownCa) {
      detail = absl::StrCat(detail, "; it was signed by ", answer.issuer);
    } else if (answer.problem == TlsProblem::kExpired && answer.expire_time) {
      detail = absl::StrCat(detail, " at ", UtcText(*answer.expire_time));
    }
    Row(Outcome::kFail, "tls", detail, TlsAdvice(answer.problem));
    return false;
  }

  bool CheckPlaintext() {
    // Whatever is wrong with its certificate, it shows that the port speaks TLS.
    const TlsAnswer answer = ProbeTls(endpoint_, {}, options_.timeout);
    const bool speaks_tls =
        !answer.subject.empty() || answer.problem == TlsProblem::kClientCertificate;
    if (!speaks_tls) {
      Row(Outcome::kSkip, "tls", "not used: the port is spoken to in plain text");
      return true;
    }
    Row(Outcome::kFail, "tls", "the port speaks TLS, and was to be spoken to in plain text",
        "give the node's CA with --ca, and no --plaintext");
    return false;
  }

  void CheckExpiry(const TlsAnswer& answer) {
    if (!answer.expire_time) return;
    const TimeDelta left = *answer.expire_time - UnixNow();
    Row(Outcome::kPass, "certificate",
        absl::StrCat("ends in ", SpanText(left), " (", UtcText(*answer.expire_time), ")"),
        left < kSoon ? "renew it soon; the node reads it without a restart" : "");
  }

  void CheckToken() {
    if (options_.token_file.empty()) {
      Row(Outcome::kSkip, "token", "none was given (right if auth.mode is none)");
      return;
    }
    const absl::StatusOr<std::string> token = ReadToken(options_.token_file);
    if (!token.ok()) {
      Row(Outcome::kFail, "token", std::string(token.status().message()), "check --token-file");
      return;
    }
    const absl::StatusOr<TokenContent> content = DecodeToken(*token);
    if (!content.ok()) {
      Row(Outcome::kFail, "token", std::string(content.status().message()),
          "make one with `vigilctl token make`");
      return;
    }
    const auto& audiences = content->audiences;
    const TimeDelta left = TimeDelta::Seconds(content->expire_seconds) - UnixNow();
    if (left <= TimeDelta::Zero()) {
      Row(Outcome::kFail, "token", absl::StrCat("it expired ", SpanText(-left), " ago"),
          "get a new token (`vigilctl token make`)");
    } else if (std::find(audiences.begin(), audiences.end(), flags_.audience) == audiences.end()) {
      Row(Outcome::kFail, "token",
          absl::StrCat("its audience is ", absl::StrJoin(audiences, " "), ", not ",
                       flags_.audience),
          "make one with the node's auth.audience, or name that with --aud");
    } else if (const absl::Status verified = flags_.keys_dir.empty()
                                                 ? absl::OkStatus()
                                                 : VerifyToken(*token, flags_.keys_dir);
               !verified.ok()) {
      Row(Outcome::kFail, "token", std::string(verified.message()),
          "put the maker's public key into auth.keys_dir as KID.pem");
    } else {
      Row(Outcome::kPass, "token",
          absl::StrCat("of ", content->subject, ", key ", content->kid, ", roles ",
                       absl::StrJoin(content->roles, " "), ", for ", SpanText(left), " more"));
    }
  }

  // A call that failed, as a row.
  void CallRow(const std::string& name, const absl::Status& status) {
    const std::string reason = ReasonOf(status);
    if (reason == "NOT_GRANTED") {
      Row(Outcome::kSkip, name, "the token has not the role operator");
      return;
    }
    std::string advice = AdviceFor(status);
    if (reason.empty()) advice = "what answers is no Vigil node, or it is stopping: see its log";
    Row(Outcome::kFail, name,
        absl::StrCat(reason.empty() ? absl::StatusCodeToString(status.code()) : reason, ": ",
                     std::string(status.message())),
        advice);
  }

  void CheckNode() {
    absl::StatusOr<std::unique_ptr<NodeClient>> client = NodeClient::Open(options_);
    if (!client.ok()) return CallRow("health", client.status());
    client_ = *std::move(client);
    const absl::StatusOr<bool> serving = client_->CheckHealth();
    if (!serving.ok()) {
      CallRow("health", serving.status());
    } else if (*serving) {
      Row(Outcome::kPass, "health", "SERVING");
    } else {
      Row(Outcome::kFail, "health", "NOT_SERVING: the node drains and takes nothing new",
          "use another node, or `vigilctl undrain`");
    }
    absl::StatusOr<v1::GetNodeResponse> node = client_->Call(v1::GetNodeRequest());
    if (!node.ok()) return CallRow("node", node.status());
    node_ = node->node();
    Row(Outcome::kPass, "node",
        absl::StrCat(node_->node(), ", version ", node_->version(), ", ", node_->peers(),
                     " connections, ", node_->feeds(), " feeds, up ",
                     SpanText(UnixNow() - ToSpan(node_->start_time()))));
  }

  void HttpRow(const std::string& name, Url url, const std::string& path) {
    if (!path.empty()) url.path = path;
    const absl::StatusOr<HttpAnswer> answer = ProbeHttp(url, trust_, options_.timeout);
    const std::string what =
        absl::StrCat("GET ", url.tls ? "https://" : "http://", url.endpoint.ToString(), url.path);
    if (!answer.ok()) {
      const bool tls = absl::IsFailedPrecondition(answer.status());
      Row(Outcome::kFail, name, absl::StrCat(what, ": ", std::string(answer.status().message())),
          tls ? "" : "check the URL, the node's address and port for it, and the firewall");
      return;
    }
    if (answer->date && !node_time_) {
      // It has no parts of a second.
      node_time_ = *answer->date + TimeDelta::Millis(500);
      looked_at_ = UnixNow();
    }
    const bool good = answer->status < 400;
    Row(good ? Outcome::kPass : Outcome::kFail, name, absl::StrCat(what, ": ", answer->status),
        good ? ""
             : "the port answers, and not well: a draining node is not ready; else see its log");
  }

  // Nothing if it was said already what is wrong.
  std::optional<Url> UrlOf(const std::string& name, const std::string& flag,
                           const std::string& text) {
    if (text.empty()) {
      Row(Outcome::kSkip, name, absl::StrCat("not looked at: give ", flag, " URL"));
      return std::nullopt;
    }
    std::optional<Url> url = ParseUrl(text);
    if (!url) {
      Row(Outcome::kFail, name, absl::StrCat(text, " is no URL"), "write http://HOST:PORT");
    }
    return url;
  }

  void CheckHttp() {
    if (const auto url = UrlOf("http", "--http", flags_.http)) HttpRow("http", *url, "");
  }

  void CheckMetrics() {
    const auto url = UrlOf("metrics", "--metrics", flags_.metrics);
    if (!url) return;
    HttpRow("livez", *url, "/livez");
    HttpRow("readyz", *url, "/readyz");
  }

  void CheckMedia() {
    if (!node_) {
      Row(Outcome::kSkip, "media", "the node's media ports are not known without its answer");
      return;
    }
    for (int i = 0; i < node_->media_addresses_size(); ++i) {
      const std::string name = absl::StrCat("media ", i);
      const std::string& address = node_->media_addresses(i);
      const std::optional<Endpoint> endpoint = ParseEndpoint(address);
      if (!endpoint) {
        Row(Outcome::kSkip, name, absl::StrCat(address, " cannot be read"));
        continue;
      }
      const absl::Status connected = ProbeTcp(*endpoint, options_.timeout);
      if (connected.ok()) {
        Row(Outcome::kPass, name,
            absl::StrCat(address, " takes TCP; UDP is not testable without a session"));
      } else {
        Row(Outcome::kFail, name,
            absl::StrCat(address, " over TCP: ", std::string(connected.message()),
                         "; UDP is not testable without a session"),
            "open the port in the firewall, UDP and TCP, and check media.addresses: clients need "
            "to reach exactly this address");
      }
    }
  }

  void CheckClock(bool speaks) {
    if (!node_time_ && speaks && client_ != nullptr) WaitForNodeTime();
    if (!node_time_) {
      Row(Outcome::kSkip, "clock",
          absl::StrCat("the node's time is not known", why_no_time_, ": give --http URL"));
      return;
    }
    const TimeDelta ahead = *node_time_ - *looked_at_;
    const TimeDelta off = ahead < TimeDelta::Zero() ? -ahead : ahead;
    if (off < kClockOff) {
      Row(Outcome::kPass, "clock", "the node's and this machine's agree to the second or so");
      return;
    }
    Row(Outcome::kFail, "clock",
        absl::StrCat("the node's clock is ", SpanText(off),
                     ahead > TimeDelta::Zero() ? " ahead of" : " behind", " this machine's"),
        "start time synchronisation on both: tokens and certificates depend on it");
  }

  // Of the next event or heartbeat: a node has no call that tells its time at once.
  void WaitForNodeTime() {
    Announce("clock",
             "for the node's next event or heartbeat, which tells its time: at most 10 s "
             "(--http URL tells it at once)");
    v1::WatchMediaRequest request;
    request.set_site(global_.site);
    const absl::Status end =
        client_->Watch(request, kHeartbeatWait, [this](const v1::WatchMediaResponse& message) {
          if (message.has_event()) {
            node_time_ = ToSpan(message.event().time());
          } else if (message.has_heartbeat()) {
            node_time_ = ToSpan(message.heartbeat().time());
          } else {
            return true;
          }
          looked_at_ = UnixNow();
          return false;
        });
    if (end.ok()) return;
    const std::string reason = ReasonOf(end);
    why_no_time_ =
        absl::StrCat(" (", reason.empty() ? absl::StatusCodeToString(end.code()) : reason, ")");
  }

  const GlobalFlags& global_;
  const DoctorFlags& flags_;
  const NodeClientOptions options_;
  const Endpoint endpoint_;
  const TlsTrust trust_;
  std::unique_ptr<NodeClient> client_;
  std::optional<v1::Node> node_;
  std::optional<TimeDelta> node_time_;  // Since 1970.
  std::optional<TimeDelta> looked_at_;  // This machine's time then.
  std::string why_no_time_;
  bool failed_ = false;
};

}  // namespace

int Doctor(const GlobalFlags& global, const DoctorFlags& flags) {
  const absl::StatusOr<NodeClientOptions> options = ClientOptions(global);
  if (!options.ok()) {
    std::fputs(LocalErrorText(options.status(), global.json).c_str(), stderr);
    return kExitUsage;
  }
  return Examination(global, flags, *options, *ParseEndpoint(options->server)).Run();
}

}  // namespace vigil::ctl
