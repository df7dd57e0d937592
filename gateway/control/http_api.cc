#include "gateway/control/http_api.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/control/stats_json.h"
#include "nlohmann/json.hpp"

namespace vigil::control {
namespace {

using nlohmann::json;

constexpr std::string_view kSdpType = "application/sdp";
// Until sites are configured there is one.
constexpr SiteId kSite{1};

std::vector<std::string> Segments(const std::string& path) {
  std::vector<std::string> segments;
  size_t begin = 1;
  while (begin <= path.size()) {
    const size_t end = std::min(path.find('/', begin), path.size());
    segments.push_back(path.substr(begin, end - begin));
    begin = end + 1;
  }
  return segments;
}

HttpResponse Text(unsigned status, std::string text) {
  return {.status = status, .content_type = "text/plain", .body = std::move(text) + "\n"};
}

HttpResponse NotAllowed(std::string_view allowed) {
  HttpResponse response = Text(405, absl::StrCat("allowed here: ", std::string(allowed)));
  response.headers.emplace_back("Allow", std::string(allowed));
  return response;
}

HttpResponse Refusal(const absl::Status& status) {
  HttpResponse response = Text(HttpStatusOf(status), std::string(status.message()));
  if (response.status == 503) response.headers.emplace_back("Retry-After", "1");
  return response;
}

// Why a POST with an offer cannot be taken as it is; nothing if it can.
std::optional<HttpResponse> CheckOffer(const HttpRequest& request) {
  if (request.method != "POST") return NotAllowed("POST");
  if (request.content_type != kSdpType) {
    return Text(415, "the body must be application/sdp");
  }
  if (request.body.empty()) return Text(400, "the body is empty: an SDP offer is needed");
  return std::nullopt;
}

MediaControl::OnCreated RespondCreated(std::string base, HttpServer::Respond respond) {
  return [base = std::move(base), respond](absl::StatusOr<CreatedPeer> created) {
    if (!created.ok()) return respond(Refusal(created.status()));
    respond({.status = 201,
             .content_type = std::string(kSdpType),
             .body = created->answer,
             .headers = {{"Location", absl::StrCat(base, "/", created->resource)},
                         {"ETag", absl::StrCat("\"", created->etag, "\"")}}});
  };
}

// The Connect protocol's code for a status (connectrpc.com, error codes).
std::string_view ConnectCode(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return "invalid_argument";
    case absl::StatusCode::kNotFound:
      return "not_found";
    case absl::StatusCode::kAlreadyExists:
      return "already_exists";
    case absl::StatusCode::kFailedPrecondition:
      return "failed_precondition";
    case absl::StatusCode::kResourceExhausted:
      return "resource_exhausted";
    case absl::StatusCode::kUnimplemented:
      return "unimplemented";
    default:
      return "internal";
  }
}

HttpResponse ConnectError(const absl::Status& status) {
  unsigned http = HttpStatusOf(status);
  if (status.code() == absl::StatusCode::kFailedPrecondition) http = 400;
  if (status.code() == absl::StatusCode::kResourceExhausted) http = 429;
  const json body = {{"code", std::string(ConnectCode(status))},
                     {"message", std::string(status.message())}};
  return {.status = http, .content_type = "application/json", .body = body.dump()};
}

MediaControl::OnDone RespondEmpty(HttpServer::Respond respond) {
  return [respond = std::move(respond)](const absl::Status& status) {
    if (!status.ok()) return respond(ConnectError(status));
    respond({.status = 200, .content_type = "application/json", .body = "{}"});
  };
}

// An empty text clears; anything else must be a feed's name.
absl::StatusOr<std::optional<worker::FeedName>> FeedOf(const json& message) {
  const std::string text = message.value("feed", "");
  if (text.empty()) return std::optional<worker::FeedName>();
  std::optional<worker::FeedName> feed = worker::ParseFeedName(text);
  if (!feed) {
    return absl::InvalidArgumentError("feed must be participant/feed, each of [a-z0-9-]{1,63}");
  }
  return feed;
}

std::string_view TypeOfFile(std::string_view name) {
  if (name.ends_with(".html")) return "text/html; charset=utf-8";
  if (name.ends_with(".js")) return "text/javascript; charset=utf-8";
  if (name.ends_with(".css")) return "text/css; charset=utf-8";
  if (name.ends_with(".svg")) return "image/svg+xml";
  return {};
}

// The Host of a request, RFC 9110, 7.2, with or without a port.
bool IsLoopbackName(std::string_view host) {
  const size_t colon = host.ends_with(']') ? std::string_view::npos : host.rfind(':');
  host = host.substr(0, colon);
  return host == "localhost" || host == "[::1]" || host.starts_with("127.");
}

}  // namespace

unsigned HttpStatusOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return 200;
    case absl::StatusCode::kInvalidArgument:
      return 400;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kFailedPrecondition:
      return 406;
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kAborted:
      return 409;
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kUnavailable:
      return 503;
    case absl::StatusCode::kUnimplemented:
      return 501;
    default:
      return 500;
  }
}

void HttpApi::Handle(const HttpRequest& request, HttpServer::Respond respond) {
  // Without a login, what protects the API is that only this machine reaches it. A page of another
  // site whose name was made to point here (DNS rebinding) still names itself.
  if (!IsLoopbackName(request.host)) {
    return respond(Text(421, "without a login only a loopback host is served"));
  }
  if (request.path.starts_with("/whip/")) return HandleWhip(request, std::move(respond));
  if (request.path.starts_with("/whep/")) return HandleWhep(request, std::move(respond));
  if (request.path.starts_with("/vigil.v1.")) return HandleMethod(request, std::move(respond));
  HandleFile(request, respond);
}

// POST /whip/{participant}/{feed}, DELETE /whip/{participant}/{feed}/{resource}.
void HttpApi::HandleWhip(const HttpRequest& request, HttpServer::Respond respond) {
  const std::vector<std::string> path = Segments(request.path);
  if (path.size() == 4) return HandleResource(request, path[3], std::move(respond));
  const std::optional<worker::FeedName> feed =
      path.size() == 3 ? worker::ParseFeedName(absl::StrCat(path[1], "/", path[2])) : std::nullopt;
  if (!feed) {
    return respond(Text(404, "expected /whip/{participant}/{feed}, each of [a-z0-9-]{1,63}"));
  }
  if (std::optional<HttpResponse> refusal = CheckOffer(request)) return respond(*refusal);
  control_.Publish({.site = kSite, .feed = *feed, .offer = request.body},
                   RespondCreated(request.path, std::move(respond)));
}

// POST /whep/{participant}?feeds=room-1/patient,room-2/patient, DELETE .../{resource}.
void HttpApi::HandleWhep(const HttpRequest& request, HttpServer::Respond respond) {
  const std::vector<std::string> path = Segments(request.path);
  if (path.size() == 3) return HandleResource(request, path[2], std::move(respond));
  if (path.size() != 2 || !worker::IsValidName(path[1])) {
    return respond(Text(404, "expected /whep/{participant} of [a-z0-9-]{1,63}"));
  }
  if (std::optional<HttpResponse> refusal = CheckOffer(request)) return respond(*refusal);
  PlayRequest play{.site = kSite, .participant = path[1], .feeds = {}, .offer = request.body};
  std::string_view feeds = request.QueryValue("feeds");
  while (!feeds.empty()) {
    const size_t comma = std::min(feeds.find(','), feeds.size());
    const std::optional<worker::FeedName> feed = worker::ParseFeedName(feeds.substr(0, comma));
    if (!feed || play.feeds.size() >= 64) {
      return respond(Text(400, "feeds must be a list of at most 64 participant/feed, by commas"));
    }
    play.feeds.push_back(*feed);
    feeds.remove_prefix(std::min(comma + 1, feeds.size()));
  }
  control_.Play(play, RespondCreated(request.path, std::move(respond)));
}

void HttpApi::HandleResource(const HttpRequest& request, const std::string& resource,
                             HttpServer::Respond respond) {
  // RFC 9725, 4.3.1: without trickle and restart, PATCH is refused.
  if (request.method != "DELETE") return respond(NotAllowed("DELETE"));
  const worker::PeerRecord* peer = control_.directory().FindResource(resource);
  // The path names the participant, too: a resource is only found where it was made.
  if (peer == nullptr || Segments(request.path)[1] != peer->participant) {
    return respond(Text(404, "no such session"));
  }
  control_.Close(resource, [respond = std::move(respond)](const absl::Status& status) {
    if (!status.ok()) return respond(Refusal(status));
    respond({.status = 200});
  });
}

void HttpApi::HandleMethod(const HttpRequest& request, HttpServer::Respond respond) {
  if (request.method != "POST") return respond(NotAllowed("POST"));
  if (request.content_type != "application/json") {
    return respond(Text(415, "the body must be application/json"));
  }
  const json message = json::parse(request.body, nullptr, /*allow_exceptions=*/false);
  if (!message.is_object()) {
    return respond(ConnectError(absl::InvalidArgumentError("the body must be a JSON object")));
  }
  for (const char* name : {"peer", "feed"}) {
    if (message.contains(name) && !message[name].is_string()) {
      return respond(
          ConnectError(absl::InvalidArgumentError(absl::StrCat(name, " must be a string"))));
    }
  }
  if (request.path == "/vigil.v1.MediaService/GetStats") return GetStats(respond);
  const auto feed = FeedOf(message);
  if (!feed.ok()) return respond(ConnectError(feed.status()));
  if (request.path == "/vigil.v1.MediaService/AssignSlot") {
    const json slot = message.value("slot", json(0u));
    if (!slot.is_number_unsigned() || slot.get<uint64_t>() > 63) {
      return respond(ConnectError(absl::InvalidArgumentError("slot must be 0 to 63")));
    }
    return control_.Assign(message.value("peer", ""), slot.get<uint32_t>(), *feed,
                           RespondEmpty(std::move(respond)));
  }
  if (request.path == "/vigil.v1.MediaService/RequestKeyframe") {
    if (!*feed) return respond(ConnectError(absl::InvalidArgumentError("feed must be named")));
    return control_.RequestKeyframe(kSite, **feed, RespondEmpty(std::move(respond)));
  }
  respond({.status = 404,
           .content_type = "application/json",
           .body = R"({"code":"unimplemented","message":"no such method"})"});
}

void HttpApi::GetStats(const HttpServer::Respond& respond) {
  control_.Report([this, respond](const MediaControl::Reports& reports) {
    respond({.status = 200,
             .content_type = "application/json",
             .body = StatsJson(control_.directory(), reports)});
  });
}

absl::StatusOr<std::map<std::string, HttpApi::File>> HttpApi::ReadConsole(
    const std::string& folder) {
  std::map<std::string, File> files;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    const std::string_view type = TypeOfFile(name);
    if (type.empty() || !entry.is_regular_file(error)) continue;
    std::ifstream file(entry.path(), std::ios::binary);
    files[name] = {
        .type = std::string(type),
        .bytes = {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()}};
  }
  if (files.empty()) return absl::NotFoundError(absl::StrCat("no console in ", folder));
  return files;
}

void HttpApi::HandleFile(const HttpRequest& request, const HttpServer::Respond& respond) {
  const auto file = console_.find(request.path == "/" ? "index.html" : request.path.substr(1));
  if (file == console_.end()) return respond(Text(404, "not found"));
  if (request.method != "GET") return respond(NotAllowed("GET"));
  respond({.status = 200,
           .content_type = file->second.type,
           .body = file->second.bytes,
           .headers = {{"Cache-Control", "no-cache"}}});
}

}  // namespace vigil::control
