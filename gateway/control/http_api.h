#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "gateway/control/connect_api.h"
#include "gateway/control/http_server.h"
#include "gateway/control/whip_api.h"

namespace vigil::control {

struct HttpApiOptions {
  // Without a login only requests to a loopback host are served (DNS rebinding), and of pages only
  // those of a loopback host or of an origin that is named here.
  bool loopback_only = true;
  // Origins whose pages may call (Fetch standard, CORS); "*": all. Tokens travel in a header that
  // no page has unless it was given one, so "*" lets nobody in.
  std::set<std::string> cors_origins = {"*"};
};

// What is where on the HTTP port: WHIP, WHEP, the API by Connect and SSE, the console's files; and
// what holds for all of them.
class HttpApi {
 public:
  // A file of the console, read at start: nothing that a client sends becomes a path.
  struct File {
    std::string type;
    std::string bytes;
  };
  // By name. NOT_FOUND when the folder cannot be read.
  static absl::StatusOr<std::map<std::string, File>> ReadConsole(const std::string& folder);

  // Both outlive this.
  HttpApi(HttpApiOptions options, WhipApi& whip, ConnectApi& connect,
          std::map<std::string, File> console)
      : options_(std::move(options)),
        whip_(whip),
        connect_(connect),
        console_(std::move(console)) {}

  void Handle(const HttpRequest& request, HttpServer::Respond respond);

 private:
  void Route(const HttpRequest& request, HttpServer::Respond respond);
  void HandleFile(const HttpRequest& request, const HttpServer::Respond& respond);
  // Adds what a page of another origin needs.
  void AllowOrigin(const std::string& origin, HttpResponse& response) const;
  HttpResponse Preflight(const std::string& path, const std::string& origin) const;

  const HttpApiOptions options_;
  WhipApi& whip_;
  ConnectApi& connect_;
  const std::map<std::string, File> console_;
};

}  // namespace vigil::control
