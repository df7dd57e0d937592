#include "gateway/control/http_api.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace vigil::control {
namespace {

std::string_view TypeOfFile(std::string_view name) {
  if (name.ends_with(".html")) return "text/html; charset=utf-8";
  if (name.ends_with(".js")) return "text/javascript; charset=utf-8";
  if (name.ends_with(".css")) return "text/css; charset=utf-8";
  if (name.ends_with(".svg")) return "image/svg+xml";
  return {};
}

// The Host of a request (RFC 9110, 7.2), with or without a port.
bool IsLoopbackName(std::string_view host) {
  const size_t colon = host.ends_with(']') ? std::string_view::npos : host.rfind(':');
  host = host.substr(0, colon);
  if (host == "localhost" || host == "[::1]") return true;
  // "127.0.0.1.example.org" is a name, and may point anywhere.
  return host.starts_with("127.") &&
         host.find_first_not_of("0123456789.") == std::string_view::npos;
}

// RFC 6454, 6.2: scheme, host and port.
bool IsLoopbackOrigin(std::string_view origin) {
  const size_t end_of_scheme = origin.find("://");
  return end_of_scheme != std::string_view::npos &&
         IsLoopbackName(origin.substr(end_of_scheme + 3));
}

// RFC 9110, 9.1: of these a resource may say that it does not allow them.
bool IsKnownMethod(std::string_view method) {
  constexpr std::array<std::string_view, 9> kKnown = {
      "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"};
  return std::find(kKnown.begin(), kKnown.end(), method) != kKnown.end();
}

bool IsWhipPath(std::string_view path) {
  return path.starts_with("/whip/") || path.starts_with("/whep/");
}

}  // namespace

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

void HttpApi::Handle(const HttpRequest& request, HttpServer::Respond respond) {
  // Without a login, what protects the API is that only this machine reaches it. A page of another
  // site whose name was made to point here still names itself.
  if (options_.loopback_only && !IsLoopbackName(request.host)) {
    return respond(TextResponse(421, "without a login only a loopback host is served"));
  }
  std::string origin(request.Header("origin"));
  // Nor may a page from elsewhere that runs in a browser of this machine.
  if (options_.loopback_only && !origin.empty() && !IsLoopbackOrigin(origin) &&
      !options_.cors_origins.contains(origin)) {
    return respond(TextResponse(403, "without a login only pages of this machine are served"));
  }
  if (!IsKnownMethod(request.method)) return respond(TextResponse(501, "there is no such method"));
  if (request.method == "OPTIONS" && !origin.empty() &&
      request.HasHeader("access-control-request-method")) {
    return respond(Preflight(request.path, origin));
  }
  Route(request,
        [this, origin = std::move(origin), respond = std::move(respond)](HttpResponse response) {
          AllowOrigin(origin, response);
          respond(std::move(response));
        });
}

void HttpApi::Route(const HttpRequest& request, HttpServer::Respond respond) {
  const std::string& path = request.path;
  if (IsWhipPath(path)) {
    return whip_.Handle(request, std::move(respond));
  }
  if (path.starts_with("/v1/events/")) return connect_.HandleEvents(request, respond);
  if (path.starts_with("/vigil.v1.")) return connect_.Handle(request, std::move(respond));
  HandleFile(request, respond);
}

void HttpApi::AllowOrigin(const std::string& origin, HttpResponse& response) const {
  if (origin.empty()) return;
  if (!options_.cors_origins.contains("*") && !options_.cors_origins.contains(origin)) return;
  response.headers.emplace_back("Access-Control-Allow-Origin", origin);
  response.headers.emplace_back("Vary", "Origin");
  response.headers.emplace_back("Access-Control-Expose-Headers",
                                "Location, ETag, Link, Accept-Post, Accept-Patch, Retry-After");
}

HttpResponse HttpApi::Preflight(const std::string& path, const std::string& origin) const {
  HttpResponse response{.status = 200};
  AllowOrigin(origin, response);
  const bool allowed = !response.headers.empty();
  // RFC 9725, 4.2: of every OPTIONS request.
  if (IsWhipPath(path)) response.headers.emplace_back("Accept-Post", "application/sdp");
  if (!allowed) return response;
  response.headers.emplace_back("Access-Control-Allow-Methods",
                                "GET, POST, PATCH, DELETE, OPTIONS");
  response.headers.emplace_back("Access-Control-Allow-Headers",
                                "Authorization, Content-Type, If-Match, Last-Event-ID, "
                                "Connect-Protocol-Version, Connect-Timeout-Ms");
  response.headers.emplace_back("Access-Control-Max-Age", "7200");
  return response;
}

void HttpApi::HandleFile(const HttpRequest& request, const HttpServer::Respond& respond) {
  const auto file = console_.find(request.path == "/" ? "index.html" : request.path.substr(1));
  if (file == console_.end()) return respond(TextResponse(404, "not found"));
  if (request.method != "GET" && request.method != "HEAD") {
    HttpResponse response = TextResponse(405, "allowed here: GET, HEAD");
    response.headers.emplace_back("Allow", "GET, HEAD");
    return respond(std::move(response));
  }
  respond({.status = 200,
           .content_type = file->second.type,
           .body = file->second.bytes,
           .headers = {{"Cache-Control", "no-cache"}}});
}

}  // namespace vigil::control
