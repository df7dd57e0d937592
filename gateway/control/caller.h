#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gateway/worker/directory.h"

// Who calls, and what their token grants. Plain values, made by the authenticator.

namespace vigil::control {

// What a caller is there for. A token may name several.
enum class Role : uint8_t {
  kParticipant,  // publishes and receives as itself
  kViewer,       // sees its sites: lists, watches, statistics
  kController,   // steers its sites: also publishes, assigns and closes for others
  kOperator,     // steers the node
};
// "participant", "viewer", "controller", "operator".
std::string_view ToString(Role role);

// "participant/feed" of a site, where "*" stands for any.
struct FeedPattern {
  std::string participant;
  std::string feed;

  bool Matches(const worker::FeedName& name) const {
    return (participant == "*" || participant == name.participant) &&
           (feed == "*" || feed == name.feed);
  }
};

struct Caller {
  std::string subject;  // The participant, or the service's name. Never shown to others.
  std::string token_id;
  std::string key_id;  // Of the key that the token was signed with.
  std::set<std::string> sites;
  bool all_sites = false;  // Of the node's operators; no site's token has it.
  std::set<Role> roles;
  // Of a participant. What a controller may do is not limited by them.
  std::vector<FeedPattern> publish;
  std::vector<FeedPattern> subscribe;
  int64_t not_before_seconds = 0;  // Since 1970.
  int64_t expire_seconds = 0;      // Since 1970; 0: never.

  // Its sites as one text: what a hospital's callers have in common.
  std::string Tenant() const;
  // Who it is among the callers of all sites: each site names its own, so two may have a "desk".
  // What is counted or kept for a caller is kept under this.
  std::string Identity() const;

  bool Has(Role role) const { return roles.contains(role); }
  bool MayUseSite(std::string_view site) const {
    return all_sites || sites.contains(std::string(site));
  }

  // The site a request is about: the named one, or the caller's only one. SITE_REQUIRED,
  // FIELD_INVALID, NOT_GRANTED.
  absl::StatusOr<std::string> ResolveSite(std::string_view named) const;

  // Whether the caller may act as this participant: NOT_GRANTED, naming what is missing.
  absl::Status CheckActsAs(std::string_view participant) const;
  absl::Status CheckPublish(const worker::FeedName& feed) const;
  absl::Status CheckSubscribe(const worker::FeedName& feed) const;
  absl::Status CheckRole(Role role) const;
};

}  // namespace vigil::control
