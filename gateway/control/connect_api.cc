#include "gateway/control/connect_api.h"

#include <array>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gateway/control/api_error.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/util/json_util.h"
#include "nlohmann/json.hpp"

namespace vigil::control {
namespace {

using google::protobuf::Message;
using nlohmann::json;

constexpr std::string_view kUnaryType = "application/json";
constexpr std::string_view kStreamType = "application/connect+json";
constexpr std::string_view kEventType = "text/event-stream";
// Flags of an enveloped message.
constexpr char kCompressed = 1;
constexpr char kEndStream = 2;
constexpr size_t kEnvelope = 5;

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

struct ConnectCode {
  absl::StatusCode code;
  const char* name;
  unsigned http;
};
constexpr std::array kCodes = {
    ConnectCode{absl::StatusCode::kCancelled, "canceled", 499},
    ConnectCode{absl::StatusCode::kUnknown, "unknown", 500},
    ConnectCode{absl::StatusCode::kInvalidArgument, "invalid_argument", 400},
    ConnectCode{absl::StatusCode::kDeadlineExceeded, "deadline_exceeded", 504},
    ConnectCode{absl::StatusCode::kNotFound, "not_found", 404},
    ConnectCode{absl::StatusCode::kAlreadyExists, "already_exists", 409},
    ConnectCode{absl::StatusCode::kPermissionDenied, "permission_denied", 403},
    ConnectCode{absl::StatusCode::kResourceExhausted, "resource_exhausted", 429},
    ConnectCode{absl::StatusCode::kFailedPrecondition, "failed_precondition", 400},
    ConnectCode{absl::StatusCode::kAborted, "aborted", 409},
    ConnectCode{absl::StatusCode::kOutOfRange, "out_of_range", 400},
    ConnectCode{absl::StatusCode::kUnimplemented, "unimplemented", 501},
    ConnectCode{absl::StatusCode::kInternal, "internal", 500},
    ConnectCode{absl::StatusCode::kUnavailable, "unavailable", 503},
    ConnectCode{absl::StatusCode::kDataLoss, "data_loss", 500},
    ConnectCode{absl::StatusCode::kUnauthenticated, "unauthenticated", 401},
};

const ConnectCode& CodeOf(absl::StatusCode code) {
  for (const ConnectCode& known : kCodes) {
    if (known.code == code) return known;
  }
  return kCodes[1];
}

absl::Status TooLate() { return absl::DeadlineExceededError("not done within connect-timeout-ms"); }

// Unary errors: https://connectrpc.com/docs/protocol#error-end-stream has the same form.
json ErrorJson(const absl::Status& status) {
  const google::rpc::Status rpc = ToRpcStatus(status);
  json details = json::array();
  for (const google::protobuf::Any& detail : rpc.details()) {
    std::string value = absl::Base64Escape(detail.value());
    while (value.ends_with('=')) value.pop_back();
    json item = {{"type", detail.type_url().substr(detail.type_url().rfind('/') + 1)},
                 {"value", std::move(value)}};
    std::string debug;
    if (google::protobuf::util::MessageToJsonString(detail, &debug).ok()) {
      item["debug"] = json::parse(debug, nullptr, /*allow_exceptions=*/false);
      item["debug"].erase("@type");
    }
    details.push_back(std::move(item));
  }
  return {{"code", CodeOf(status.code()).name},
          {"message", rpc.message()},
          {"details", std::move(details)}};
}

HttpResponse ErrorResponse(const absl::Status& status) {
  HttpResponse response{
      .status = CodeOf(status.code()).http,
      .content_type = std::string(kUnaryType),
      .body = ErrorJson(status).dump(-1, ' ', false, json::error_handler_t::replace)};
  if (status.code() == absl::StatusCode::kUnauthenticated) {
    response.headers.emplace_back("WWW-Authenticate", BearerChallenge(status));
  }
  if (const int seconds = RetryDelayOf(status); seconds > 0) {
    response.headers.emplace_back("Retry-After", absl::StrCat(seconds));
  }
  return response;
}

// A message of this type; nothing but what is wrong with the text otherwise.
absl::Status ParseJson(std::string_view text, Message& message) {
  // The protocol lets an empty body stand for an empty message.
  if (text.empty()) return absl::OkStatus();
  const auto parsed = google::protobuf::util::JsonStringToMessage(
      google::protobuf::StringPiece(text.data(), text.size()), &message);
  if (parsed.ok()) return absl::OkStatus();
  return ApiError(v1::ERROR_REASON_FIELD_INVALID,
                  absl::StrCat("the body: ", absl::string_view(parsed.message().data(),
                                                               parsed.message().size())));
}

std::string WriteJson(const Message& message) {
  std::string text;
  google::protobuf::util::MessageToJsonString(message, &text);
  return text;
}

MessagePtr NewMessage(const google::protobuf::Descriptor* type) {
  return MessagePtr(
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
}

std::string Envelope(char flags, std::string_view text) {
  const auto size = static_cast<uint32_t>(text.size());
  std::string out = {flags, static_cast<char>(size >> 24), static_cast<char>(size >> 16),
                     static_cast<char>(size >> 8), static_cast<char>(size)};
  out.append(text);
  return out;
}

// The one message of a stream's request.
absl::StatusOr<std::string_view> OpenEnvelope(std::string_view body) {
  if (body.size() < kEnvelope) return FieldError("body", "has no enveloped message");
  if ((body[0] & kCompressed) != 0) {
    return absl::UnimplementedError("compressed messages are not supported");
  }
  size_t size = 0;
  for (size_t i = 1; i < kEnvelope; ++i) size = size << 8 | static_cast<uint8_t>(body[i]);
  if (size != body.size() - kEnvelope) return FieldError("body", "must be one enveloped message");
  return body.substr(kEnvelope);
}

// Until when the caller waits; nothing: for ever.
struct Deadline {
  std::optional<Timestamp> at;
  ConnectApi::Alarm alarm;
};

// A running stream as the body of a response.
class StreamBody : public HttpBody {
 public:
  StreamBody(Api& api, std::unique_ptr<MessageSource> source, MessagePtr message, Deadline deadline)
      : api_(api),
        source_(std::move(source)),
        message_(std::move(message)),
        deadline_(std::move(deadline)) {}

  Next Pull(std::string& part) override {
    if (ended_) return Next::kEnd;
    if (deadline_.at && api_.control_clock().now() >= *deadline_.at) {
      ended_ = true;
      part = EndOf(TooLate());
      return Next::kPart;
    }
    switch (source_->Pull(*message_, api_.control_clock().now())) {
      case MessageSource::Next::kWait:
        return Next::kWait;
      case MessageSource::Next::kMessage:
        part = PartOf(*message_);
        return Next::kPart;
      case MessageSource::Next::kEnd:
        break;
    }
    ended_ = true;
    part = EndOf(source_->status());
    return Next::kPart;
  }

 protected:
  virtual std::string PartOf(const Message& message) const = 0;
  virtual std::string EndOf(const absl::Status& status) const = 0;

 private:
  Api& api_;
  std::unique_ptr<MessageSource> source_;
  MessagePtr message_;
  Deadline deadline_;
  bool ended_ = false;
};

class ConnectBody final : public StreamBody {
 public:
  using StreamBody::StreamBody;
  static std::string End(const absl::Status& status) {
    json end = json::object();
    if (!status.ok()) end["error"] = ErrorJson(status);
    return Envelope(kEndStream, end.dump(-1, ' ', false, json::error_handler_t::replace));
  }

 private:
  std::string PartOf(const Message& message) const override {
    return Envelope(0, WriteJson(message));
  }
  std::string EndOf(const absl::Status& status) const override { return End(status); }
};

// Where a message says how to go on behind it, that is the event's id.
class EventBody final : public StreamBody {
 public:
  using StreamBody::StreamBody;

 private:
  std::string PartOf(const Message& message) const override {
    const auto* token = message.GetDescriptor()->FindFieldByName("resume_token");
    const std::string id =
        token == nullptr ? "" : message.GetReflection()->GetString(message, token);
    return absl::StrCat(id.empty() ? "" : absl::StrCat("id: ", id, "\n"),
                        "data: ", WriteJson(message), "\n\n");
  }
  std::string EndOf(const absl::Status& status) const override {
    const json end = status.ok() ? json::object() : ErrorJson(status);
    return absl::StrCat("event: end\ndata: ", end.dump(), "\n\n");
  }
};

// How long the caller waits, if it said so; and whether it speaks the protocol that we do.
absl::StatusOr<std::optional<TimeDelta>> TimeoutOf(const HttpRequest& request) {
  constexpr size_t kMaxDigits = 10;
  const std::string_view version = request.Header("connect-protocol-version");
  if (!version.empty() && version != "1") {
    return FieldError("connect-protocol-version", "must be 1");
  }
  if (!request.HasHeader("connect-timeout-ms")) return std::nullopt;
  const std::string_view text = request.Header("connect-timeout-ms");
  int64_t milliseconds = 0;
  if (text.size() > kMaxDigits || !absl::SimpleAtoi(View(text), &milliseconds) ||
      milliseconds < 0) {
    return FieldError("connect-timeout-ms", "must be a number of at most 10 digits");
  }
  return TimeDelta::Millis(milliseconds);
}

Api::Request RequestOf(const Api::Method& method, const HttpRequest& request,
                       const Message& message) {
  return {.method = &method,
          .token = BearerToken(request),
          .client_ip = request.client_ip,
          .message = &message};
}

HttpResponse NotAllowed(std::string_view allowed) {
  return {.status = 405,
          .content_type = "text/plain",
          .body = absl::StrCat("allowed here: ", View(allowed), "\n"),
          .headers = {{"Allow", std::string(allowed)}}};
}

}  // namespace

std::string BearerToken(const HttpRequest& request) {
  return BearerOf(request.Header("authorization"));
}

std::string BearerChallenge(const absl::Status& status) {
  if (ReasonOf(status) == v1::ERROR_REASON_TOKEN_MISSING) return "Bearer";
  return "Bearer error=\"invalid_token\"";
}

void ConnectApi::Handle(const HttpRequest& request, HttpServer::Respond respond) {
  const size_t slash = request.path.find('/', 1);
  const Api::Method* method = slash == std::string::npos
                                  ? nullptr
                                  : api_.Find(std::string_view(request.path).substr(1, slash - 1),
                                              std::string_view(request.path).substr(slash + 1));
  if (method == nullptr) {
    HttpResponse unknown = ErrorResponse(absl::UnimplementedError("no such method"));
    unknown.status = 404;
    return respond(std::move(unknown));
  }
  if (request.method != "POST") return respond(NotAllowed("POST"));
  const std::string_view type = method->unary ? kUnaryType : kStreamType;
  if (request.content_type != type) {
    return respond({.status = 415,
                    .content_type = "text/plain",
                    .body = absl::StrCat("the body must be ", View(type), "\n"),
                    .headers = {{"Accept-Post", std::string(type)}}});
  }
  if (method->unary) return HandleUnary(*method, request, std::move(respond));
  HandleStream(*method, request, respond);
}

// Answers once: with what comes, or that it came too late.
Respond ConnectApi::Until(std::optional<TimeDelta> timeout, Respond respond) const {
  if (!timeout) return respond;
  struct Waiting {
    Respond respond;
    Alarm alarm;
  };
  const auto waiting = std::make_shared<Waiting>(Waiting{std::move(respond), nullptr});
  const auto answer = [](Waiting& once, absl::StatusOr<MessagePtr> with) {
    if (const Respond waiter = std::exchange(once.respond, nullptr)) waiter(std::move(with));
    once.alarm.reset();
  };
  waiting->alarm = set_alarm_(*timeout, [answer, weak = std::weak_ptr<Waiting>(waiting)] {
    if (const auto late = weak.lock()) answer(*late, TooLate());
  });
  return [answer, waiting](absl::StatusOr<MessagePtr> with) { answer(*waiting, std::move(with)); };
}

void ConnectApi::HandleUnary(const Api::Method& method, const HttpRequest& request,
                             HttpServer::Respond respond) {
  const std::string_view encoding = request.Header("content-encoding");
  if (!encoding.empty() && encoding != "identity") {
    return respond(ErrorResponse(absl::UnimplementedError("content-encoding: identity only")));
  }
  const absl::StatusOr<std::optional<TimeDelta>> timeout = TimeoutOf(request);
  if (!timeout.ok()) return respond(ErrorResponse(timeout.status()));
  const MessagePtr message = NewMessage(method.descriptor->input_type());
  const absl::Status parsed = ParseJson(request.body, *message);
  if (!parsed.ok()) return respond(ErrorResponse(parsed));
  const auto answer = [respond = std::move(respond)](absl::StatusOr<MessagePtr> answered) {
    if (!answered.ok()) return respond(ErrorResponse(answered.status()));
    respond(
        {.status = 200, .content_type = std::string(kUnaryType), .body = WriteJson(**answered)});
  };
  api_.Call(RequestOf(method, request, *message), Until(*timeout, answer));
}

// Errors of a stream are said at its end, with status 200.
void ConnectApi::HandleStream(const Api::Method& method, const HttpRequest& request,
                              const HttpServer::Respond& respond) {
  const MessagePtr message = NewMessage(method.descriptor->input_type());
  const auto refuse = [&respond](const absl::Status& status) {
    respond({.status = 200,
             .content_type = std::string(kStreamType),
             .body = ConnectBody::End(status)});
  };
  const absl::StatusOr<std::optional<TimeDelta>> timeout = TimeoutOf(request);
  if (!timeout.ok()) return refuse(timeout.status());
  const absl::StatusOr<std::string_view> text = OpenEnvelope(request.body);
  if (!text.ok()) return refuse(text.status());
  const absl::Status parsed = ParseJson(*text, *message);
  if (!parsed.ok()) return refuse(parsed);
  // The wake-up is known only when the connection has taken the response.
  const auto wake = std::make_shared<MessageSource::Wake>();
  auto source = api_.Open(RequestOf(method, request, *message), [wake] {
    if (*wake) (*wake)();
  });
  if (!source.ok()) return refuse(source.status());
  const auto shared = std::make_shared<std::unique_ptr<MessageSource>>(*std::move(source));
  respond(
      {.status = 200,
       .content_type = std::string(kStreamType),
       .stream = [this, wake, shared, timeout = *timeout, type = method.descriptor->output_type()](
                     HttpBody::Wake wake_connection) -> std::unique_ptr<HttpBody> {
         Deadline deadline;
         if (timeout) {
           deadline = {api_.control_clock().now() + *timeout,
                       set_alarm_(*timeout, wake_connection)};
         }
         *wake = std::move(wake_connection);
         return std::make_unique<ConnectBody>(api_, std::move(*shared), NewMessage(type),
                                              std::move(deadline));
       }});
}

const Api::Method* ConnectApi::FindWatch(std::string_view name) const {
  std::string method = absl::StrCat("Watch", View(name));
  if (name.empty()) return nullptr;
  method[5] = absl::ascii_toupper(static_cast<unsigned char>(method[5]));
  for (const char* service : {"vigil.v1.MediaService", "vigil.v1.SupervisionService"}) {
    const Api::Method* found = api_.Find(service, method);
    if (found != nullptr && found->stream) return found;
  }
  return nullptr;
}

void ConnectApi::HandleEvents(const HttpRequest& request, const HttpServer::Respond& respond) {
  constexpr std::string_view kPrefix = "/v1/events/";
  const Api::Method* method = FindWatch(std::string_view(request.path).substr(kPrefix.size()));
  if (method == nullptr) {
    return respond({.status = 404, .content_type = "text/plain", .body = "no such watch\n"});
  }
  if (request.method != "GET") return respond(NotAllowed("GET"));
  const MessagePtr message = NewMessage(method->descriptor->input_type());
  json fields = json::object();
  for (const auto& [name, value] : request.query) fields[name] = value;
  const absl::Status parsed =
      ParseJson(fields.dump(-1, ' ', false, json::error_handler_t::replace), *message);
  if (!parsed.ok()) return respond(ErrorResponse(parsed));
  const auto* token = message->GetDescriptor()->FindFieldByName("resume_token");
  if (token != nullptr && request.HasHeader("last-event-id")) {
    message->GetReflection()->SetString(message.get(), token,
                                        std::string(request.Header("last-event-id")));
  }
  const auto wake = std::make_shared<MessageSource::Wake>();
  const auto open = [&] {
    return api_.Open(RequestOf(*method, request, *message), [wake] {
      if (*wake) (*wake)();
    });
  };
  auto source = open();
  // A browser repeats its last id by itself, and after an error never again: one that is too old,
  // or of another version, gets a snapshot.
  const bool place_is_unknown = source.status().code() == absl::StatusCode::kOutOfRange ||
                                source.status().code() == absl::StatusCode::kInvalidArgument;
  if (token != nullptr && request.HasHeader("last-event-id") && place_is_unknown) {
    message->GetReflection()->ClearField(message.get(), token);
    source = open();
  }
  if (!source.ok()) return respond(ErrorResponse(source.status()));
  const auto shared = std::make_shared<std::unique_ptr<MessageSource>>(*std::move(source));
  respond({.status = 200,
           .content_type = std::string(kEventType),
           .headers = {{"Cache-Control", "no-store"}},
           .stream = [this, wake, shared, type = method->descriptor->output_type()](
                         HttpBody::Wake wake_connection) -> std::unique_ptr<HttpBody> {
             *wake = std::move(wake_connection);
             return std::make_unique<EventBody>(api_, std::move(*shared), NewMessage(type),
                                                Deadline());
           }});
}

}  // namespace vigil::control
