#pragma once

#include <map>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gateway/control/http_server.h"
#include "gateway/control/media_control.h"

namespace vigil::control {

// The HTTP face of the control plane: WHIP (RFC 9725) and WHEP, the unary methods as
// Connect-protocol JSON, and the files of the console. Turns requests into calls of MediaControl
// and their results into responses; no logic of its own.
class HttpApi {
 public:
  // A file of the console, read at start: nothing that a client sends becomes a path.
  struct File {
    std::string type;
    std::string bytes;
  };
  // By name. NOT_FOUND when the folder cannot be read.
  static absl::StatusOr<std::map<std::string, File>> ReadConsole(const std::string& folder);

  // `control` outlives the API.
  HttpApi(MediaControl& control, std::map<std::string, File> console)
      : control_(control), console_(std::move(console)) {}

  void Handle(const HttpRequest& request, HttpServer::Respond respond);

 private:
  void HandleWhip(const HttpRequest& request, HttpServer::Respond respond);
  void HandleWhep(const HttpRequest& request, HttpServer::Respond respond);
  void HandleResource(const HttpRequest& request, const std::string& resource,
                      HttpServer::Respond respond);
  void HandleMethod(const HttpRequest& request, HttpServer::Respond respond);
  void HandleFile(const HttpRequest& request, const HttpServer::Respond& respond);
  void GetStats(const HttpServer::Respond& respond);

  MediaControl& control_;
  const std::map<std::string, File> console_;
};

// The HTTP status of a control-plane error.
unsigned HttpStatusOf(const absl::Status& status);

}  // namespace vigil::control
