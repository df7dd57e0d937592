#include "gateway/control/api.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "gateway/base/check.h"
#include "gateway/control/api_error.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "openssl/sha.h"

namespace vigil::control {
namespace {

using google::protobuf::Message;

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

// RFC 4122, 3, in the usual form.
bool IsUuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : std::isxdigit(static_cast<unsigned char>(text[i])) == 0) {
      return false;
    }
  }
  return true;
}

// The field `request_id` of a mutation; empty where there is none.
std::string RequestIdOf(const Message& message) {
  const auto* field = message.GetDescriptor()->FindFieldByName("request_id");
  return field == nullptr ? std::string() : message.GetReflection()->GetString(message, field);
}

// Over bytes that are the same for the same content (maps sorted).
RequestMemory::Digest DigestOf(const Message& original, const std::string& request_id) {
  MessagePtr copy(original.New());
  copy->CopyFrom(original);
  copy->GetReflection()->SetString(copy.get(), copy->GetDescriptor()->FindFieldByName("request_id"),
                                   request_id);
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    copy->SerializeToCodedStream(&coded);
  }
  RequestMemory::Digest digest;
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest.data());
  return digest;
}

absl::Status TooOften() {
  return WithRetryDelay(ApiError(v1::ERROR_REASON_RATE_LIMITED, "too many calls a second"), 1);
}

std::string NameInCounters(const google::protobuf::MethodDescriptor& method) {
  return absl::StrCat(method.service()->name(), "/", method.name());
}

}  // namespace

// Counts as a stream for as long as it lives, and ends when its token does.
class Api::CountedSource final : public MessageSource {
 public:
  CountedSource(std::unique_ptr<MessageSource> source, std::shared_ptr<StreamCounts> counts,
                Api& api, std::shared_ptr<const Caller> caller)
      : source_(std::move(source)),
        counts_(std::move(counts)),
        api_(api),
        caller_(std::move(caller)),
        identity_(caller_->Identity()),
        tenant_(caller_->Tenant()) {
    ++counts_->all;
    ++counts_->by_caller[identity_];
    ++counts_->by_tenant[tenant_];
  }
  ~CountedSource() override {
    --counts_->all;
    Less(counts_->by_caller, identity_);
    Less(counts_->by_tenant, tenant_);
  }
  Next Pull(Message& message, Timestamp now) override {
    revoked_ = api_.authenticator_.CheckStill(*caller_, api_.clock_.UnixSeconds());
    return revoked_.ok() ? source_->Pull(message, now) : Next::kEnd;
  }
  absl::Status status() const override { return revoked_.ok() ? source_->status() : revoked_; }

 private:
  static void Less(std::map<std::string, size_t>& counts, const std::string& key) {
    const auto it = counts.find(key);
    if (--it->second == 0) counts.erase(it);
  }

  std::unique_ptr<MessageSource> source_;
  std::shared_ptr<StreamCounts> counts_;
  Api& api_;
  std::shared_ptr<const Caller> caller_;
  const std::string identity_;
  const std::string tenant_;
  absl::Status revoked_;
};

Api::Api(Authenticator& authenticator, ControlClock clock, const ApiLimits& limits)
    : authenticator_(authenticator),
      clock_(std::move(clock)),
      limits_(limits),
      calls_(limits.calls_per_second, limits.calls_at_once),
      failures_(limits.failures_per_second, limits.failures_at_once) {}

void Api::AddMethod(std::string_view name, Method method) {
  method.descriptor = google::protobuf::DescriptorPool::generated_pool()->FindMethodByName(
      absl::StrCat("vigil.v1.", View(name)));
  VIGIL_CHECK(method.descriptor != nullptr);
  counters_[NameInCounters(*method.descriptor)];
  methods_[method.descriptor->full_name()] = std::move(method);
}

const Api::Method* Api::Find(std::string_view service, std::string_view method) const {
  const auto it = methods_.find(absl::StrCat(View(service), ".", View(method)));
  return it == methods_.end() ? nullptr : &it->second;
}

absl::StatusOr<CallContext> Api::Admit(const std::string& token, const std::string& client_ip) {
  const Timestamp now = clock_.now();
  auto caller = authenticator_.Authenticate(token, clock_.UnixSeconds());
  if (!caller.ok()) {
    if (!failures_.Admit(client_ip, now)) return TooOften();
    return caller.status();
  }
  if (!calls_.Admit((*caller)->Identity(), now)) return TooOften();
  return CallContext{.caller = *std::move(caller), .now = now};
}

// What every call of a method has to pass before its handler sees it.
absl::StatusOr<CallContext> Api::Enter(const Request& request) {
  absl::StatusOr<CallContext> context = Admit(request.token, request.client_ip);
  if (!context.ok()) return context;
  const absl::Status allowed = request.method->access(*context->caller);
  if (!allowed.ok()) return allowed;
  if (request.message->ByteSizeLong() <= limits_.message_bytes) return context;
  return ApiError(v1::ERROR_REASON_MESSAGE_TOO_LARGE,
                  absl::StrCat("a request has at most ", limits_.message_bytes, " bytes"),
                  {{"limit", "message_bytes"}});
}

void Api::Call(const Request& request, Respond respond) {
  const Method& method = *request.method;
  respond = Counted(method, clock_.now(), std::move(respond));
  const absl::StatusOr<CallContext> context = Enter(request);
  if (!context.ok()) return respond(context.status());
  CallOnce(*context, request, std::move(respond));
}

// A mutation with a request id has one effect, however often it is repeated.
void Api::CallOnce(const CallContext& context, const Request& request, Respond respond) {
  const std::string request_id = RequestIdOf(*request.message);
  if (request_id.empty()) return request.method->unary(context, *request.message, respond);
  if (!IsUuid(request_id)) return respond(FieldError("request_id", "must be a UUID"));
  CallOncePerId(context, request_id, request, std::move(respond));
}

void Api::CallOncePerId(const CallContext& context, const std::string& request_id,
                        const Request& request, Respond respond) {
  const auto& descriptor = *request.method->descriptor;
  // RFC 4122, 3: hexadecimal digits are read in either case.
  const RequestMemory::Key key{context.caller->Identity(), descriptor.full_name(),
                               absl::AsciiStrToLower(request_id)};
  const auto answer_with =
      [respond, prototype = google::protobuf::MessageFactory::generated_factory()->GetPrototype(
                    descriptor.output_type())](const absl::StatusOr<std::string>& answer) {
        if (!answer.ok()) return respond(answer.status());
        MessagePtr response(prototype->New());
        VIGIL_CHECK(response->ParseFromString(*answer));
        respond(std::move(response));
      };
  std::string answer;
  switch (memory_.Begin(key, DigestOf(*request.message, key.request_id), context.now, answer_with,
                        answer)) {
    case RequestMemory::Claim::kWaits:
      return;
    case RequestMemory::Claim::kAnswered:
      return answer_with(answer);
    case RequestMemory::Claim::kReused:
      return respond(ApiError(v1::ERROR_REASON_REQUEST_ID_REUSED,
                              "request_id: it was used for another request",
                              {{"field", "request_id"}}));
    case RequestMemory::Claim::kFirst:
      break;
  }
  request.method->unary(context, *request.message,
                        [this, key, respond](absl::StatusOr<MessagePtr> response) {
                          absl::StatusOr<std::string> kept = std::string();
                          if (response.ok()) {
                            kept = (*response)->SerializeAsString();
                          } else {
                            kept = response.status();
                          }
                          memory_.Finish(key, kept, clock_.now());
                          respond(std::move(response));
                        });
}

absl::StatusOr<std::unique_ptr<MessageSource>> Api::Open(const Request& request,
                                                         MessageSource::Wake wake) {
  const Method& method = *request.method;
  const auto open = [&]() -> absl::StatusOr<std::unique_ptr<MessageSource>> {
    const absl::StatusOr<CallContext> context = Enter(request);
    if (!context.ok()) return context.status();
    if (!HasRoomForStream(*context->caller)) {
      return ApiError(v1::ERROR_REASON_QUOTA_EXCEEDED, "too many streams", {{"limit", "streams"}});
    }
    auto source = method.stream(*context, *request.message, std::move(wake));
    if (!source.ok()) return source.status();
    return std::unique_ptr<MessageSource>(
        std::make_unique<CountedSource>(*std::move(source), streams_, *this, context->caller));
  };
  auto source = open();
  Count(method, source.status());
  return source;
}

bool Api::HasRoomForStream(const Caller& caller) const {
  return streams_->all < limits_.streams &&
         streams_->Of(streams_->by_caller, caller.Identity()) < limits_.streams_per_caller &&
         (caller.all_sites ||
          streams_->Of(streams_->by_tenant, caller.Tenant()) < limits_.streams_per_site);
}

Respond Api::Counted(const Method& method, Timestamp begun, Respond respond) {
  return [this, &method, begun, respond = std::move(respond)](absl::StatusOr<MessagePtr> response) {
    Count(method, response.status());
    counters_[NameInCounters(*method.descriptor)].time.Add(clock_.now() - begun);
    respond(std::move(response));
  };
}

void Api::Count(const Method& method, const absl::Status& status) {
  ++counters_[NameInCounters(*method.descriptor)].ended[status.code()];
}

ApiCounters Api::Counters() const {
  return {.methods = counters_,
          .streams = streams_->all,
          .remembered_requests = memory_.size(),
          .remembered_bytes = memory_.bytes(),
          .forgotten_early = memory_.forgotten_early()};
}

}  // namespace vigil::control
