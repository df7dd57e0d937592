#pragma once

#include <string>

#include "absl/status/status.h"
#include "gateway/control/http_server.h"
#include "gateway/control/media_control.h"

namespace vigil::control {

// The HTTP face of the control plane: WHIP (RFC 9725) and WHEP, the unary methods as
// Connect-protocol JSON, and the files of the console. Turns requests into calls of MediaControl
// and their results into responses; no logic of its own.
class HttpApi {
 public:
  // `console_dir`: where the console's files are. Both outlive the API.
  HttpApi(MediaControl& control, std::string console_dir)
      : control_(control), console_dir_(std::move(console_dir)) {}

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
  std::string console_dir_;
};

// The HTTP status of a control-plane error.
unsigned HttpStatusOf(const absl::Status& status);

}  // namespace vigil::control
