#include "gateway/control/caller.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gateway/control/api_error.h"

namespace vigil::control {
namespace {

absl::Status NotGranted(std::string_view grant, std::string_view message) {
  return ApiError(v1::ERROR_REASON_NOT_GRANTED, message, {{"grant", grant}});
}

bool AnyMatches(const std::vector<FeedPattern>& patterns, const worker::FeedName& feed) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&feed](const FeedPattern& pattern) { return pattern.Matches(feed); });
}

}  // namespace

std::string_view ToString(Role role) {
  switch (role) {
    case Role::kParticipant:
      return "participant";
    case Role::kViewer:
      return "viewer";
    case Role::kController:
      return "controller";
    case Role::kOperator:
      return "operator";
  }
  return "";
}

std::string Caller::Tenant() const { return all_sites ? "*" : absl::StrJoin(sites, ","); }

std::string Caller::Identity() const { return absl::StrCat(Tenant(), "/", subject); }

absl::StatusOr<std::string> Caller::ResolveSite(std::string_view named) const {
  if (named.empty()) {
    if (sites.size() == 1 && !all_sites) return *sites.begin();
    return ApiError(v1::ERROR_REASON_SITE_REQUIRED, "site: the token is not of exactly one site",
                    {{"field", "site"}});
  }
  if (!worker::IsValidName(named)) return FieldError("site", "must match [a-z0-9-]{1,63}");
  // The same answer whether the site exists or not.
  if (!MayUseSite(named)) return NotGranted("sites", "the token is not of this site");
  return std::string(named);
}

absl::Status Caller::CheckActsAs(std::string_view participant) const {
  if (Has(Role::kController)) return absl::OkStatus();
  if (!Has(Role::kParticipant)) return NotGranted("roles", "needs the role participant");
  if (subject == participant) return absl::OkStatus();
  return NotGranted("sub", "the token is of another participant");
}

absl::Status Caller::CheckPublish(const worker::FeedName& feed) const {
  if (const absl::Status acts = CheckActsAs(feed.participant); !acts.ok()) return acts;
  if (Has(Role::kController) || AnyMatches(publish, feed)) return absl::OkStatus();
  return NotGranted("publish", absl::StrCat("the token does not let publish ", feed.ToString()));
}

absl::Status Caller::CheckSubscribe(const worker::FeedName& feed) const {
  if (Has(Role::kController) || AnyMatches(subscribe, feed)) return absl::OkStatus();
  return NotGranted("subscribe", absl::StrCat("the token does not let receive ", feed.ToString()));
}

absl::Status Caller::CheckRole(Role role) const {
  // Who may steer may look.
  if (Has(role) || (role == Role::kViewer && Has(Role::kController))) return absl::OkStatus();
  const std::string_view name = ToString(role);
  return NotGranted("roles",
                    absl::StrCat("needs the role ", absl::string_view(name.data(), name.size())));
}

}  // namespace vigil::control
