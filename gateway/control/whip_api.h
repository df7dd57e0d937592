#pragma once

#include <string>
#include <vector>

#include "gateway/control/api.h"
#include "gateway/control/http_server.h"
#include "gateway/control/media_control.h"
#include "gateway/sdp/trickle.h"

namespace vigil::control {

struct IceServer {
  std::string url;       // "stun:..." or "turn:...".
  std::string username;  // Of a TURN server.
  std::string credential;
};

struct WhipOptions {
  // Told to clients by Link headers (RFC 9725, 4.6).
  std::vector<IceServer> ice_servers;
  // While draining, offers are sent to this base URL by 307; empty: they are refused with 503.
  std::string redirect_url;
};

// WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep), to the letter.
//
//   POST    /whip/{participant}/{feed}            offer in, 201, answer, Location, ETag
//   POST    /whep/{participant}?feeds=a/b,c/d     the same
//   OPTIONS the same paths                        what may be posted
//   GET     both                                  204: there is nothing to be had
//   PATCH   .../{resource}                        trickled candidates, ICE restart
//   DELETE  .../{resource}                        ends it
//
// The query may name the `site` of the participant and the `device` of the publisher.
class WhipApi {
 public:
  // All outlive this.
  WhipApi(Api& api, MediaControl& control, WhipOptions options)
      : api_(api), control_(control), options_(std::move(options)) {}

  // A path below /whip/ or /whep/.
  void Handle(const HttpRequest& request, HttpServer::Respond respond);

 private:
  struct Target;

  HttpResponse Get(const Target& target, const HttpRequest& request);
  void Post(const Target& target, const HttpRequest& request, HttpServer::Respond respond);
  void Patch(const Target& target, const HttpRequest& request, HttpServer::Respond respond);
  void Delete(const Target& target, const HttpRequest& request, HttpServer::Respond respond);
  void RestartIce(const worker::PeerRecord& peer, const sdp::TrickleFragment& fragment,
                  HttpServer::Respond respond);
  // The session that the path names, of a caller who may steer it.
  absl::StatusOr<const worker::PeerRecord*> FindSession(const Target& target,
                                                        const HttpRequest& request);
  HttpResponse Options(const Target& target) const;
  void AddLinks(HttpResponse& response) const;

  Api& api_;
  MediaControl& control_;
  WhipOptions options_;
};

}  // namespace vigil::control
