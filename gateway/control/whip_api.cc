#include "gateway/control/whip_api.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gateway/control/api_error.h"
#include "gateway/control/connect_api.h"
#include "gateway/control/media_requests.h"
#include "gateway/sdp/trickle.h"

namespace vigil::control {
namespace {

constexpr char kSdpType[] = "application/sdp";
constexpr char kFragmentType[] = "application/trickle-ice-sdpfrag";
constexpr char kEndpointMethods[] = "GET, HEAD, OPTIONS, POST";
constexpr char kSessionMethods[] = "GET, HEAD, OPTIONS, PATCH, DELETE";

HttpResponse NotAllowed(const char* allowed) {
  HttpResponse response = TextResponse(405, absl::StrCat("allowed here: ", allowed));
  response.headers.emplace_back("Allow", allowed);
  return response;
}

unsigned StatusOf(const absl::Status& status) {
  switch (ReasonOf(status)) {
    case v1::ERROR_REASON_TOKEN_MISSING:
    case v1::ERROR_REASON_TOKEN_INVALID:
    case v1::ERROR_REASON_TOKEN_EXPIRED:
    case v1::ERROR_REASON_TOKEN_REVOKED:
      return 401;
    case v1::ERROR_REASON_NOT_GRANTED:
      return 403;
    case v1::ERROR_REASON_PEER_NOT_FOUND:
    case v1::ERROR_REASON_FEED_NOT_FOUND:
      return 404;
    case v1::ERROR_REASON_SDP_UNANSWERABLE:
      return 406;
    case v1::ERROR_REASON_FEED_HELD:
      return 409;
    case v1::ERROR_REASON_ETAG_STALE:
      return 412;
    case v1::ERROR_REASON_SDP_UNPROCESSABLE:
      return 422;
    case v1::ERROR_REASON_RATE_LIMITED:
    case v1::ERROR_REASON_QUOTA_EXCEEDED:
    case v1::ERROR_REASON_WORKER_BUSY:
    case v1::ERROR_REASON_DRAINING:
      return 503;
    default:
      return status.code() == absl::StatusCode::kInvalidArgument ? 400 : 500;
  }
}

HttpResponse Refusal(const absl::Status& status) {
  HttpResponse response = TextResponse(StatusOf(status), std::string(status.message()));
  if (response.status == 401) {
    response.headers.emplace_back("WWW-Authenticate", BearerChallenge(status));
  }
  if (response.status == 503) {
    response.headers.emplace_back("Retry-After", absl::StrCat(std::max(1, RetryDelayOf(status))));
  }
  return response;
}

// RFC 9110, 13.1.1: "*" or a list of entity tags, compared strongly. One without its quotes, which
// some clients send, is taken for what it means.
bool IfMatchHolds(std::string_view value, const std::string& etag) {
  const std::string quoted = absl::StrCat("\"", etag, "\"");
  for (absl::string_view item :
       absl::StrSplit(absl::string_view(value.data(), value.size()), ',')) {
    item = absl::StripAsciiWhitespace(item);
    if (item == "*" || item == quoted || item == etag) return true;
  }
  return false;
}

}  // namespace

// What a path names.
struct WhipApi::Target {
  bool play = false;
  std::string participant;
  std::string feed;      // Of a publisher.
  std::string resource;  // Of a session; empty: the endpoint.
  std::string endpoint;  // The path of the endpoint.

  static std::optional<Target> Parse(const std::string& path) {
    const std::vector<std::string> parts = absl::StrSplit(path, '/');
    Target target;
    target.play = parts[1] == "whep";
    const size_t names = target.play ? 1 : 2;
    if (parts.size() != names + 2 && parts.size() != names + 3) return std::nullopt;
    target.participant = parts[2];
    if (!target.play) target.feed = parts[3];
    if (!worker::IsValidName(target.participant) ||
        (!target.play && !worker::IsValidName(target.feed))) {
      return std::nullopt;
    }
    if (parts.size() == names + 3) {
      target.resource = parts.back();
      if (target.resource.empty()) return std::nullopt;
    }
    target.endpoint =
        absl::StrCat("/", parts[1], "/", target.participant, target.play ? "" : "/", target.feed);
    return target;
  }
};

void WhipApi::Handle(const HttpRequest& request, HttpServer::Respond respond) {
  const std::optional<Target> target = Target::Parse(request.path);
  if (!target) {
    return respond(
        TextResponse(404,
                     "expected /whip/{participant}/{feed} or /whep/{participant}, each of "
                     "[a-z0-9-]{1,63}"));
  }
  if (request.method == "OPTIONS") return respond(Options(*target));
  if (request.method == "GET" || request.method == "HEAD") return respond(Get(*target, request));
  if (target->resource.empty()) {
    if (request.method == "POST") return Post(*target, request, std::move(respond));
    return respond(NotAllowed(kEndpointMethods));
  }
  if (request.method == "PATCH") return Patch(*target, request, std::move(respond));
  if (request.method == "DELETE") return Delete(*target, request, std::move(respond));
  respond(NotAllowed(kSessionMethods));
}

HttpResponse WhipApi::Options(const Target& target) const {
  HttpResponse response{.status = 200};
  if (target.resource.empty()) {
    response.headers = {{"Allow", kEndpointMethods}, {"Accept-Post", kSdpType}};
    AddLinks(response);
  } else {
    response.headers = {{"Allow", kSessionMethods}, {"Accept-Patch", kFragmentType}};
  }
  return response;
}

// RFC 9725, 4.1: endpoints and sessions have no representation.
HttpResponse WhipApi::Get(const Target& target, const HttpRequest& request) {
  if (!target.resource.empty()) {
    if (const auto peer = FindSession(target, request); !peer.ok()) return Refusal(peer.status());
  }
  return {.status = 204};
}

// RFC 9725, 4.6.
void WhipApi::AddLinks(HttpResponse& response) const {
  for (const IceServer& server : options_.ice_servers) {
    std::string link = absl::StrCat("<", server.url, ">; rel=\"ice-server\"");
    if (!server.username.empty()) {
      absl::StrAppend(&link, "; username=\"", server.username, "\"; credential=\"",
                      server.credential, "\"; credential-type=\"password\"");
    }
    response.headers.emplace_back("Link", std::move(link));
  }
}

void WhipApi::Post(const Target& target, const HttpRequest& request, HttpServer::Respond respond) {
  const absl::StatusOr<CallContext> context = api_.Admit(BearerToken(request), request.client_ip);
  if (!context.ok()) return respond(Refusal(context.status()));
  if (request.content_type != kSdpType) {
    HttpResponse response = TextResponse(415, "the body must be application/sdp");
    response.headers.emplace_back("Accept-Post", kSdpType);
    return respond(std::move(response));
  }
  if (control_.draining() && !options_.redirect_url.empty()) {
    HttpResponse response = TextResponse(307, "this node is draining");
    response.headers.emplace_back("Location", absl::StrCat(options_.redirect_url, request.target));
    return respond(std::move(response));
  }
  const auto created = [this, base = target.endpoint, respond](absl::StatusOr<CreatedPeer> peer) {
    if (!peer.ok()) return respond(Refusal(peer.status()));
    HttpResponse response{.status = 201,
                          .content_type = kSdpType,
                          .body = peer->answer,
                          .headers = {{"Location", absl::StrCat(base, "/", peer->resource)},
                                      {"ETag", absl::StrCat("\"", peer->etag, "\"")}}};
    AddLinks(response);
    respond(std::move(response));
  };
  if (target.play) {
    const auto play =
        ReadPlay(*context->caller,
                 {.site = request.QueryValue("site"),
                  .participant = target.participant,
                  .device = request.QueryValue("device"),
                  .offer = request.body,
                  .feeds = absl::StrSplit(absl::string_view(request.QueryValue("feeds").data(),
                                                            request.QueryValue("feeds").size()),
                                          ',', absl::SkipEmpty())});
    if (!play.ok()) return respond(Refusal(play.status()));
    return control_.Play(*play, created);
  }
  const auto publish = ReadPublish(*context->caller, {.site = request.QueryValue("site"),
                                                      .participant = target.participant,
                                                      .feed = target.feed,
                                                      .device = request.QueryValue("device"),
                                                      .offer = request.body});
  if (!publish.ok()) return respond(Refusal(publish.status()));
  control_.Publish(*publish, created);
}

absl::StatusOr<const worker::PeerRecord*> WhipApi::FindSession(const Target& target,
                                                               const HttpRequest& request) {
  const absl::StatusOr<CallContext> context = api_.Admit(BearerToken(request), request.client_ip);
  if (!context.ok()) return context.status();
  const auto peer = FindOwnPeer(*context->caller, control_, target.resource);
  if (!peer.ok()) return peer.status();
  // The path names the participant and the feed, too: a session is found only where it was made.
  const bool here =
      (*peer)->participant == target.participant &&
      ((*peer)->publishes ? !target.play && (*peer)->publishes->feed == target.feed : target.play);
  if (!here) return ApiError(v1::ERROR_REASON_PEER_NOT_FOUND, "no such session");
  return *peer;
}

// RFC 9725, 4.3: credentials that are not those of the ICE session restart it. Without new ones the
// client trickles candidates, of which an ICE-lite agent needs none.
void WhipApi::Patch(const Target& target, const HttpRequest& request, HttpServer::Respond respond) {
  const auto peer = FindSession(target, request);
  if (!peer.ok()) return respond(Refusal(peer.status()));
  if (request.content_type != kFragmentType) {
    HttpResponse response = TextResponse(415, absl::StrCat("the body must be ", kFragmentType));
    response.headers.emplace_back("Accept-Patch", kFragmentType);
    return respond(std::move(response));
  }
  if (!request.HasHeader("if-match")) return respond(TextResponse(428, "If-Match is needed"));
  if (!IfMatchHolds(request.Header("if-match"), (*peer)->etag)) {
    return respond(TextResponse(412, "If-Match names another ICE session than the current one"));
  }
  const auto fragment = sdp::ParseTrickle(request.body);
  if (!fragment.ok()) return respond(TextResponse(400, std::string(fragment.status().message())));
  const bool names_session = !fragment->Ufrag().empty();
  const bool any_session =
      absl::StripAsciiWhitespace(std::string(request.Header("if-match"))) == "*";
  if (fragment->Ufrag() == (*peer)->remote_ufrag || (!names_session && !any_session)) {
    return respond({.status = 204});
  }
  if (!names_session || fragment->Password().empty()) {
    return respond(TextResponse(422, "an ICE restart needs a=ice-ufrag and a=ice-pwd"));
  }
  RestartIce(**peer, *fragment, std::move(respond));
}

void WhipApi::RestartIce(const worker::PeerRecord& peer, const sdp::TrickleFragment& fragment,
                         HttpServer::Respond respond) {
  const auto done = [respond,
                     sections = fragment.sections](const absl::StatusOr<RestartedIce>& restarted) {
    if (!restarted.ok()) return respond(Refusal(restarted.status()));
    sdp::TrickleFragment answer;
    answer.ice_lite = true;
    answer.ice.ufrag = restarted->ufrag;
    answer.ice.password = restarted->password;
    if (!sections.empty()) {
      sdp::TrickleSection section{
          .media_line = sections.front().media_line, .mid = sections.front().mid, .ice = {}};
      section.ice.candidates = restarted->candidates;
      answer.sections.push_back(std::move(section));
    }
    respond({.status = 200,
             .content_type = kFragmentType,
             .body = sdp::WriteTrickle(answer),
             .headers = {{"ETag", absl::StrCat("\"", restarted->etag, "\"")}}});
  };
  control_.RestartIce(peer.id, "*", {fragment.Ufrag(), fragment.Password()}, done);
}

void WhipApi::Delete(const Target& target, const HttpRequest& request,
                     HttpServer::Respond respond) {
  const auto peer = FindSession(target, request);
  if (!peer.ok()) return respond(Refusal(peer.status()));
  // RFC 9725, 4.3.1: an If-Match is ignored, because no certain ICE session is meant.
  control_.Close((*peer)->id, [respond = std::move(respond)](const absl::Status& status) {
    if (!status.ok()) return respond(Refusal(status));
    respond({.status = 200});
  });
}

}  // namespace vigil::control
