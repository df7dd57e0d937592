#include "gateway/control/media_requests.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <utility>

#include "gateway/control/api_error.h"

namespace vigil::control {
namespace {

constexpr size_t kMaxDevice = 64;
constexpr size_t kMaxFeeds = 64;
constexpr std::string_view kNameRule = "must match [a-z0-9-]{1,63}";

absl::Status CheckDevice(std::string_view device) {
  const bool valid =
      device.size() <= kMaxDevice && std::all_of(device.begin(), device.end(), [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_';
      });
  return valid ? absl::OkStatus() : FieldError("device", "must match [A-Za-z0-9_-]{0,64}");
}

absl::Status CheckOffer(std::string_view offer) {
  return offer.empty() ? FieldError("sdp_offer", "is empty") : absl::OkStatus();
}

}  // namespace

absl::StatusOr<SiteFeed> ParseSiteFeed(std::string_view text, const std::string& site) {
  SiteFeed out{.site = site, .feed = {}};
  std::string_view name = text;
  if (std::count(text.begin(), text.end(), '/') == 2) {
    const size_t slash = text.find('/');
    out.site = std::string(text.substr(0, slash));
    name = text.substr(slash + 1);
  }
  const std::optional<worker::FeedName> feed = worker::ParseFeedName(name);
  if (!feed || !worker::IsValidName(out.site)) {
    return FieldError("feed",
                      "must be participant/feed or site/participant/feed, each of "
                      "[a-z0-9-]{1,63}");
  }
  out.feed = *feed;
  return out;
}

absl::StatusOr<PublishRequest> ReadPublish(const Caller& caller, const PublishFields& fields) {
  absl::StatusOr<std::string> site = caller.ResolveSite(fields.site);
  if (!site.ok()) return site.status();
  if (!worker::IsValidName(fields.participant)) return FieldError("participant", kNameRule);
  if (!worker::IsValidName(fields.feed)) return FieldError("feed", kNameRule);
  if (const absl::Status device = CheckDevice(fields.device); !device.ok()) return device;
  if (const absl::Status offer = CheckOffer(fields.offer); !offer.ok()) return offer;
  PublishRequest request{.site = *std::move(site),
                         .feed = {std::string(fields.participant), std::string(fields.feed)},
                         .device = std::string(fields.device),
                         .offer = std::string(fields.offer)};
  if (const absl::Status may = caller.CheckPublish(request.feed); !may.ok()) return may;
  return request;
}

absl::StatusOr<PlayRequest> ReadPlay(const Caller& caller, const PlayFields& fields) {
  absl::StatusOr<std::string> site = caller.ResolveSite(fields.site);
  if (!site.ok()) return site.status();
  if (!worker::IsValidName(fields.participant)) return FieldError("participant", kNameRule);
  if (const absl::Status device = CheckDevice(fields.device); !device.ok()) return device;
  if (const absl::Status offer = CheckOffer(fields.offer); !offer.ok()) return offer;
  if (const absl::Status acts = caller.CheckActsAs(fields.participant); !acts.ok()) return acts;
  if (fields.feeds.size() > kMaxFeeds) return FieldError("feeds", "at most 64");
  PlayRequest request{.site = *std::move(site),
                      .participant = std::string(fields.participant),
                      .device = std::string(fields.device),
                      .feeds = {},
                      .offer = std::string(fields.offer)};
  for (const std::string& text : fields.feeds) {
    absl::StatusOr<SiteFeed> feed = ParseSiteFeed(text, request.site);
    if (!feed.ok()) return FieldError("feeds", std::string(feed.status().message()));
    if (const auto may_site = caller.ResolveSite(feed->site); !may_site.ok()) {
      return may_site.status();
    }
    if (const absl::Status may = caller.CheckSubscribe(feed->feed); !may.ok()) return may;
    request.feeds.push_back(*std::move(feed));
  }
  return request;
}

absl::StatusOr<const worker::PeerRecord*> FindOwnPeer(const Caller& caller,
                                                      const MediaControl& control,
                                                      std::string_view resource) {
  const worker::PeerRecord* peer = control.directory().FindResource(resource);
  const bool own = peer != nullptr && caller.MayUseSite(control.sites().NameOf(peer->site)) &&
                   caller.CheckActsAs(peer->participant).ok();
  if (own) return peer;
  // Only what is sure to be text is repeated.
  const bool is_text = resource.size() <= kMaxDevice &&
                       std::all_of(resource.begin(), resource.end(),
                                   [](unsigned char c) { return c > ' ' && c <= '~'; });
  return ApiError(v1::ERROR_REASON_PEER_NOT_FOUND,
                  is_text ? "peer " + std::string(resource) + " not found" : "no such peer",
                  {{"field", "peer"}});
}

}  // namespace vigil::control
