#include "gateway/edge/routing_table.h"

#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gateway/ice/credentials.h"
#include "gateway/ice/stun.h"

namespace vigil::edge {

RoutingTable::RoutingTable(const Options& options) : options_(options) {
  // Growing would stall a turn, and with it the media.
  clients_.reserve(options_.max_clients);
}

absl::StatusOr<Epoch> RoutingTable::Claim(GroupId group, Epoch expected, NodeId owner) {
  if (group.IsNone() || owner.IsNone()) {
    return absl::InvalidArgumentError("a claim needs a group and an owner");
  }
  Route* known = Find(group);
  const Epoch current = known == nullptr ? Epoch() : known->epoch;
  if (current != expected) {
    return absl::AbortedError(absl::StrCat("group ", group.value(), " is in epoch ",
                                           current.value(), ", not ", expected.value()));
  }
  if (current.value() == std::numeric_limits<uint32_t>::max()) {
    return absl::ResourceExhaustedError(absl::StrCat("group ", group.value(), ": last epoch"));
  }
  const Epoch next(current.value() + 1);
  if (known != nullptr) {
    *known = {group, next, owner};
    return next;
  }
  if (groups_.size() >= options_.max_groups) {
    return absl::ResourceExhaustedError(absl::StrCat(groups_.size(), " groups are known"));
  }
  group_places_.emplace(group, static_cast<uint32_t>(groups_.size()));
  groups_.push_back({group, next, owner});
  return next;
}

std::optional<Route> RoutingTable::OwnerOf(GroupId group) const {
  const Route* known = Find(group);
  return known == nullptr ? std::nullopt : std::optional(*known);
}

std::optional<DropReason> RoutingTable::CheckOwner(GroupId group, Epoch epoch, NodeId owner) const {
  const Route* known = Find(group);
  if (known == nullptr) return DropReason::kWrongGroup;
  if (known->epoch != epoch || known->owner != owner) return DropReason::kWrongEpoch;
  return std::nullopt;
}

RoutingTable::BindOutcome RoutingTable::Bind(const ClientAddress& client, GroupId group,
                                             Epoch epoch, NodeId owner) {
  if (CheckOwner(group, epoch, owner)) return BindOutcome::kNotOwner;
  const auto known = clients_.find(client);
  if (known != clients_.end()) {
    return groups_[known->second].group == group ? BindOutcome::kBound : BindOutcome::kOtherGroup;
  }
  if (clients_.size() >= options_.max_clients) return BindOutcome::kFull;
  clients_.emplace(client, group_places_.find(group)->second);
  return BindOutcome::kBound;
}

bool RoutingTable::Unbind(const ClientAddress& client, GroupId group, Epoch epoch, NodeId owner) {
  if (CheckOwner(group, epoch, owner)) return false;
  const auto known = clients_.find(client);
  if (known == clients_.end() || groups_[known->second].group != group) return false;
  clients_.erase(known);
  return true;
}

void RoutingTable::Forget(const ClientAddress& client) { clients_.erase(client); }

std::variant<Route, DropReason> RoutingTable::RouteDatagram(
    const ClientAddress& client, std::span<const uint8_t> datagram) const {
  if (const auto known = clients_.find(client); known != clients_.end()) {
    return groups_[known->second];
  }
  const std::optional<ice::CheckUsername> username = ice::PeekUsername(datagram);
  if (!username) return DropReason::kUnknownSource;
  const std::optional<GroupId> group = ice::GroupOfUfrag(username->local);
  const Route* route = group ? Find(*group) : nullptr;
  if (route == nullptr) return DropReason::kUnknownUfrag;
  return *route;
}

Route* RoutingTable::Find(GroupId group) {
  const auto place = group_places_.find(group);
  return place == group_places_.end() ? nullptr : &groups_[place->second];
}

const Route* RoutingTable::Find(GroupId group) const {
  const auto place = group_places_.find(group);
  return place == group_places_.end() ? nullptr : &groups_[place->second];
}

}  // namespace vigil::edge
