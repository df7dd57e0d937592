#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "gateway/base/time.h"
#include "gateway/control/api.h"
#include "gateway/control/http_server.h"

namespace vigil::control {

// The API over plain HTTP, by the descriptors of its methods: unary methods and server streams of
// the Connect protocol as JSON (connectrpc.com/docs/protocol), and streams as Server-Sent Events
// (HTML standard, 9.2). Knows no method by name.
class ConnectApi {
 public:
  // Goes off unless it is destroyed before.
  using Alarm = std::shared_ptr<void>;
  // Calls `what` on this thread after `delay`.
  using SetAlarm = std::function<Alarm(TimeDelta delay, std::function<void()> what)>;

  // `api` outlives this.
  ConnectApi(Api& api, SetAlarm set_alarm) : api_(api), set_alarm_(std::move(set_alarm)) {}

  // POST /vigil.v1.{Service}/{Method}
  void Handle(const HttpRequest& request, HttpServer::Respond respond);
  // GET /v1/events/{watch}: the stream method "Watch{Watch}" of any service; the query sets the
  // request's fields by their names.
  void HandleEvents(const HttpRequest& request, const HttpServer::Respond& respond);

 private:
  void HandleUnary(const Api::Method& method, const HttpRequest& request,
                   HttpServer::Respond respond);
  void HandleStream(const Api::Method& method, const HttpRequest& request,
                    const HttpServer::Respond& respond);
  const Api::Method* FindWatch(std::string_view name) const;
  Respond Until(std::optional<TimeDelta> timeout, Respond respond) const;

  Api& api_;
  SetAlarm set_alarm_;
};

// The bearer token of a request; empty if there is none.
std::string BearerToken(const HttpRequest& request);
// What WWW-Authenticate says of a refused one (RFC 6750, 3).
std::string BearerChallenge(const absl::Status& status);

}  // namespace vigil::control
