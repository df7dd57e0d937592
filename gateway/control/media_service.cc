#include "gateway/control/media_service.h"

#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "gateway/control/api_error.h"
#include "gateway/control/media_lists.h"
#include "gateway/control/media_requests.h"
#include "gateway/sdp/ice_attributes.h"
#include "vigil/v1/media.pb.h"

namespace vigil::control {
namespace {

absl::Status Anyone(const Caller&) { return absl::OkStatus(); }
absl::Status Viewer(const Caller& caller) { return caller.CheckRole(Role::kViewer); }

// An answer without content.
template <typename Response>
MediaControl::OnDone Empty(Done<Response> done) {
  return [done = std::move(done)](const absl::Status& status) {
    if (!status.ok()) return done(status);
    done(Response());
  };
}

template <typename Response>
MediaControl::OnCreated Created(MediaControl& control, Done<Response> done) {
  return [&control, done = std::move(done)](absl::StatusOr<CreatedPeer> created) {
    if (!created.ok()) return done(created.status());
    Response response;
    response.set_peer(created->resource);
    response.set_sdp_answer(created->answer);
    response.set_etag(created->etag);
    if constexpr (std::is_same_v<Response, v1::SubscribeResponse>) {
      const worker::PeerRecord* peer = control.directory().FindPeer(created->id);
      for (uint32_t i = 0; peer != nullptr && i < peer->slots.size(); ++i) {
        *response.add_slots() = control.messages().Slot(*peer, i);
      }
    }
    done(std::move(response));
  };
}

class MediaService {
 public:
  MediaService(MediaControl& control, MediaWatches& watches)
      : control_(control), watches_(watches), lists_(control) {}

  void Publish(const CallContext& context, const v1::PublishRequest& request,
               const Done<v1::PublishResponse>& done) {
    auto publish = ReadPublish(*context.caller, {.site = request.site(),
                                                 .participant = request.participant(),
                                                 .feed = request.feed(),
                                                 .device = request.device(),
                                                 .offer = request.sdp_offer()});
    if (!publish.ok()) return done(publish.status());
    control_.Publish(*publish, Created(control_, done));
  }

  void Subscribe(const CallContext& context, const v1::SubscribeRequest& request,
                 const Done<v1::SubscribeResponse>& done) {
    auto play =
        ReadPlay(*context.caller, {.site = request.site(),
                                   .participant = request.participant(),
                                   .device = request.device(),
                                   .offer = request.sdp_offer(),
                                   .feeds = {request.feeds().begin(), request.feeds().end()}});
    if (!play.ok()) return done(play.status());
    control_.Play(*play, Created(control_, done));
  }

  void RestartIce(const CallContext& context, const v1::RestartIceRequest& request,
                  const Done<v1::RestartIceResponse>& done) {
    const auto peer = FindOwnPeer(*context.caller, control_, request.peer());
    if (!peer.ok()) return done(peer.status());
    if (!sdp::IsIceUfrag(request.ice_ufrag())) {
      return done(FieldError("ice_ufrag", "must be 4 to 256 ice-chars"));
    }
    if (!sdp::IsIcePassword(request.ice_pwd())) {
      return done(FieldError("ice_pwd", "must be 22 to 256 ice-chars"));
    }
    control_.RestartIce((*peer)->id, request.etag(), {request.ice_ufrag(), request.ice_pwd()},
                        [done](absl::StatusOr<RestartedIce> restarted) {
                          if (!restarted.ok()) return done(restarted.status());
                          v1::RestartIceResponse response;
                          response.set_ice_ufrag(restarted->ufrag);
                          response.set_ice_pwd(restarted->password);
                          response.set_etag(restarted->etag);
                          done(std::move(response));
                        });
  }

  void ClosePeer(const CallContext& context, const v1::ClosePeerRequest& request,
                 const Done<v1::ClosePeerResponse>& done) {
    const auto peer = FindOwnPeer(*context.caller, control_, request.peer());
    if (!peer.ok()) return done(peer.status());
    control_.Close((*peer)->id, Empty(done));
  }

  void AssignSlot(const CallContext& context, const v1::AssignSlotRequest& request,
                  const Done<v1::AssignSlotResponse>& done) {
    const auto peer = FindOwnPeer(*context.caller, control_, request.peer());
    if (!peer.ok()) return done(peer.status());
    std::optional<SiteFeed> feed;
    if (!request.feed().empty()) {
      auto named =
          ReadFeed(*context.caller, request.feed(), control_.sites().NameOf((*peer)->site));
      if (!named.ok()) return done(named.status());
      if (const absl::Status may = context.caller->CheckSubscribe(named->feed); !may.ok()) {
        return done(may);
      }
      feed = *std::move(named);
    }
    control_.Assign((*peer)->id, request.slot(), feed, Empty(done));
  }

  void SelectLayer(const CallContext& context, const v1::SelectLayerRequest& request,
                   const Done<v1::SelectLayerResponse>& done) {
    const auto peer = FindOwnPeer(*context.caller, control_, request.peer());
    if (!peer.ok()) return done(peer.status());
    if (request.has_layer() && request.layer() > 3) {
      return done(FieldError("layer", "must be 0 to 3"));
    }
    const auto layer = static_cast<uint8_t>(request.has_layer() ? request.layer() : 255);
    control_.SelectLayer((*peer)->id, request.slot(), layer, Empty(done));
  }

  void RequestKeyframe(const CallContext& context, const v1::RequestKeyframeRequest& request,
                       const Done<v1::RequestKeyframeResponse>& done) {
    const auto site = context.caller->ResolveSite(request.site());
    if (!site.ok()) return done(site.status());
    const auto feed = ReadFeed(*context.caller, request.feed(), *site);
    if (!feed.ok()) return done(feed.status());
    // Who may receive it may ask for a keyframe; so may who publishes it.
    const absl::Status may = context.caller->CheckSubscribe(feed->feed);
    if (!may.ok() && !context.caller->CheckPublish(feed->feed).ok()) return done(may);
    control_.RequestKeyframe(*feed, Empty(done));
  }

  MediaLists& lists() { return lists_; }
  MediaWatches& watches() { return watches_; }

 private:
  // A feed by name, of a site that the caller may use.
  static absl::StatusOr<SiteFeed> ReadFeed(const Caller& caller, const std::string& text,
                                           const std::string& site) {
    absl::StatusOr<SiteFeed> feed = ParseSiteFeed(text, site);
    if (!feed.ok()) return feed.status();
    if (const auto may = caller.ResolveSite(feed->site); !may.ok()) return may.status();
    return feed;
  }

  MediaControl& control_;
  MediaWatches& watches_;
  MediaLists lists_;
};

// A method that the contract has and this version has not: the caller learns it by its reason.
template <typename Request, typename Response>
void AddLater(Api& api, std::string_view name) {
  api.AddUnary<Request, Response>(
      name, Anyone, [](const CallContext&, const Request&, const Done<Response>& done) {
        done(ApiError(v1::ERROR_REASON_NOT_BUILT, "this version does not mix or ingest"));
      });
}

template <typename Request, typename Response>
void Add(Api& api, std::string_view name, const std::shared_ptr<MediaService>& service,
         void (MediaService::*method)(const CallContext&, const Request&, const Done<Response>&)) {
  api.AddUnary<Request, Response>(
      name, Anyone,
      [service, method](const CallContext& context, const Request& request,
                        const Done<Response>& done) {
        ((*service).*method)(context, request, done);
      });
}

template <typename Request, typename Response, typename Method>
void AddList(Api& api, std::string_view name, const std::shared_ptr<MediaService>& service,
             Method method) {
  api.AddUnary<Request, Response>(
      name, Viewer,
      [service, method](const CallContext& context, const Request& request,
                        const Done<Response>& done) {
        (service->lists().*method)(context, request, done);
      });
}

}  // namespace

void AddMediaService(Api& api, MediaControl& control, MediaWatches& watches) {
  const auto service = std::make_shared<MediaService>(control, watches);
  Add(api, "MediaService.Publish", service, &MediaService::Publish);
  Add(api, "MediaService.Subscribe", service, &MediaService::Subscribe);
  Add(api, "MediaService.RestartIce", service, &MediaService::RestartIce);
  Add(api, "MediaService.ClosePeer", service, &MediaService::ClosePeer);
  Add(api, "MediaService.AssignSlot", service, &MediaService::AssignSlot);
  Add(api, "MediaService.SelectLayer", service, &MediaService::SelectLayer);
  Add(api, "MediaService.RequestKeyframe", service, &MediaService::RequestKeyframe);
  AddList<v1::ListParticipantsRequest, v1::ListParticipantsResponse>(
      api, "MediaService.ListParticipants", service, &MediaLists::ListParticipants);
  AddList<v1::ListFeedsRequest, v1::ListFeedsResponse>(api, "MediaService.ListFeeds", service,
                                                       &MediaLists::ListFeeds);
  AddList<v1::GetStatsRequest, v1::GetStatsResponse>(api, "MediaService.GetStats", service,
                                                     &MediaLists::GetStats);
  AddLater<v1::CreateMixRequest, v1::CreateMixResponse>(api, "MediaService.CreateMix");
  AddLater<v1::UpdateMixRequest, v1::UpdateMixResponse>(api, "MediaService.UpdateMix");
  AddLater<v1::DeleteMixRequest, v1::DeleteMixResponse>(api, "MediaService.DeleteMix");
  AddLater<v1::StartIngestRequest, v1::StartIngestResponse>(api, "MediaService.StartIngest");
  AddLater<v1::StopIngestRequest, v1::StopIngestResponse>(api, "MediaService.StopIngest");
  api.AddStream<v1::WatchMediaRequest>(
      "MediaService.WatchMedia", Viewer,
      [&watches](const CallContext& context, const v1::WatchMediaRequest& request,
                 MessageSource::Wake wake) {
        return watches.Open(context, request, std::move(wake));
      });
}

}  // namespace vigil::control
