#include "gateway/ctl/call_error.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "gateway/ctl/json_text.h"

namespace vigil::ctl {
namespace {

constexpr char kReasonUrl[] = "vigil.v1/reason";

struct Advice {
  std::string_view reason;
  std::string_view what;
};

constexpr std::array kByReason = {
    Advice{"FIELD_INVALID", "mend the argument that the message names"},
    Advice{"REQUEST_ID_REUSED", "run the command again"},
    Advice{"PAGE_TOKEN_INVALID", "run the command again"},
    Advice{"SITE_REQUIRED", "the token holds several sites: name one with --site"},
    Advice{"TOKEN_MISSING", "this node wants a login: give --token-file"},
    Advice{"TOKEN_INVALID",
           "look at it with `vigilctl token show`: kid must be a file KID.pem in the node's "
           "auth.keys_dir, aud its auth.audience"},
    Advice{"TOKEN_EXPIRED", "get a new token (`vigilctl token make`)"},
    Advice{"TOKEN_REVOKED", "this token was withdrawn: get a new one"},
    Advice{"NOT_GRANTED",
           "the token lacks the role, site or feed for this: `vigilctl token show` tells what it "
           "has"},
    Advice{"PEER_NOT_FOUND", "`vigilctl list participants` shows the connections there are"},
    Advice{"FEED_NOT_FOUND", "`vigilctl list feeds` shows what is being published"},
    Advice{"SLOT_NOT_FOUND", "`vigilctl list participants` shows the slots of each connection"},
    Advice{"PARTICIPANT_NOT_FOUND", "`vigilctl list participants` shows who is connected"},
    Advice{"FEED_HELD", "another device publishes this feed: close it there first"},
    Advice{"SLOT_UNFIT",
           "the feed's codec does not fit what this receiver offered; its client has to connect "
           "again"},
    Advice{"RESUME_EXPIRED", "watch again"},
    Advice{"RATE_LIMITED", "wait a second; something else uses this token a lot"},
    Advice{"QUOTA_EXCEEDED", "a limit of the node's configuration is reached (limits.*)"},
    Advice{"WORKER_BUSY", "run the command again; `vigilctl node` shows how busy the workers are"},
    Advice{"DRAINING", "this node takes nothing new: use another, or `vigilctl undrain`"},
    Advice{"NOT_BUILT", "this version of the node cannot do that"},
    Advice{"DEFECT", "a defect of Vigil: report it, with the node's log"},
};

std::string_view AdviceForCode(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kUnavailable:
      return "`vigilctl doctor` with the same flags says which port or certificate is wrong";
    case absl::StatusCode::kDeadlineExceeded:
      return "try again, with a longer --timeout; `vigilctl doctor` says what answers";
    case absl::StatusCode::kUnimplemented:
      return "what listens there is no Vigil node, or an older one: check --server";
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
      return "look at the token with `vigilctl token show`";
    default:
      return "";
  }
}

// gRPC says what the last attempt failed with behind a lot of words.
std::string Message(const absl::Status& status) {
  std::string message(status.message());
  constexpr std::string_view kLast = "last error: ";
  const size_t at = message.find(kLast);
  if (status.code() == absl::StatusCode::kUnavailable && at != std::string::npos) {
    message = absl::StrCat("the node does not answer: ", message.substr(at + kLast.size()));
  }
  // One line: a server's text does not decide how ours looks.
  std::replace_if(
      message.begin(), message.end(), [](unsigned char c) { return c < ' ' || c == 127; }, ' ');
  return message.empty() ? "no message" : message;
}

std::string Json(const absl::Status& status, const std::string& advice) {
  return JsonLine({{"error", absl::StatusCodeToString(status.code())},
                   {"reason", ReasonOf(status)},
                   {"message", Message(status)},
                   {"advice", advice}});
}

}  // namespace

absl::Status CallError(absl::StatusCode code, std::string_view message, std::string_view reason) {
  absl::Status status(code, absl::string_view(message.data(), message.size()));
  if (!reason.empty()) status.SetPayload(kReasonUrl, absl::Cord(std::string(reason)));
  return status;
}

std::string ReasonOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kReasonUrl);
  return payload.has_value() ? std::string(*payload) : std::string();
}

std::string AdviceFor(const absl::Status& status) {
  const std::string reason = ReasonOf(status);
  for (const Advice& advice : kByReason) {
    if (advice.reason == reason) return std::string(advice.what);
  }
  return std::string(AdviceForCode(status.code()));
}

std::string ErrorText(const absl::Status& status) {
  const std::string reason = ReasonOf(status);
  const std::string name = reason.empty() ? absl::StatusCodeToString(status.code()) : reason;
  std::string text = absl::StrCat("vigilctl: ", name, ": ", Message(status), "\n");
  const std::string advice = AdviceFor(status);
  if (!advice.empty()) absl::StrAppend(&text, "  what to do: ", advice, "\n");
  return text;
}

std::string ErrorJson(const absl::Status& status) { return Json(status, AdviceFor(status)); }

std::string LocalErrorText(const absl::Status& status, bool json) {
  return json ? Json(status, "") : absl::StrCat("vigilctl: ", Message(status), "\n");
}

}  // namespace vigil::ctl
