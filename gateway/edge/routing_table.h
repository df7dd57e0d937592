#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "gateway/base/client_address.h"
#include "gateway/base/drop_reason.h"
#include "gateway/base/strong_id.h"

namespace vigil::edge {

// Who may own a group, as the edge knows it. Zero is nobody.
using NodeId = StrongId<struct NodeTag, uint32_t>;

struct Route {
  GroupId group;
  Epoch epoch;
  NodeId owner;

  bool operator==(const Route&) const = default;
};

// What an edge knows: which client belongs to which group, and who owns each group in which epoch.
// The edge is the arbiter of ownership, so this table is where a takeover is decided. Pure: no
// socket, no clock. Belongs to one thread.
class RoutingTable {
 public:
  // Reaching either bound refuses what is new and leaves what is known alone.
  struct Options {
    // Validated 5-tuples. A client has a few; 16,384 are ten times the peers of a full worker.
    size_t max_clients = 16'384;
    // Groups ever owned here. They are not forgotten: a forgotten one would begin at the first
    // epoch again, in which an owner of long ago may still believe itself.
    size_t max_groups = 4'096;
  };
  enum class BindOutcome : uint8_t {
    kBound,       // it is in the table now, or was already
    kNotOwner,    // not by the owner in the current epoch
    kOtherGroup,  // it is bound to another group
    kFull,
  };

  explicit RoutingTable(const Options& options);

  // Makes `owner` the owner of `group` in the epoch after `expected`, if `expected` is the current
  // one (0 of a group that nobody owned yet); returns the new epoch. The clients stay bound: their
  // datagrams go to the new owner from here on. Errors: kAborted when another epoch is current,
  // kInvalidArgument for group or owner 0, kResourceExhausted when a bound is reached.
  absl::StatusOr<Epoch> Claim(GroupId group, Epoch expected, NodeId owner);

  // Who owns `group`; nothing if nobody ever did.
  std::optional<Route> OwnerOf(GroupId group) const;

  // Whether a datagram that says it comes from `owner` of `group` in `epoch` may have any effect:
  // kWrongGroup for a group that nobody owns, kWrongEpoch from anyone but the current owner.
  std::optional<DropReason> CheckOwner(GroupId group, Epoch epoch, NodeId owner) const;

  // The owner in the current epoch says that `client` authenticated itself to the group: the only
  // way an address is ever learned. A client that is bound to another group stays there until it
  // is unbound, or somebody with a password of one group could take an address of another by
  // forging its source.
  BindOutcome Bind(const ClientAddress& client, GroupId group, Epoch epoch, NodeId owner);
  // The same owner says that it is gone. True if it was bound to that group.
  bool Unbind(const ClientAddress& client, GroupId group, Epoch epoch, NodeId owner);
  // The edge itself knows that it is gone: its TCP connection ended.
  void Forget(const ClientAddress& client);

  // Where a datagram goes: a known client's to its group, an unknown one's by the ufrag of the
  // STUN check it is. kUnknownSource: not a check. kUnknownUfrag: of no group that is owned here.
  std::variant<Route, DropReason> RouteDatagram(const ClientAddress& client,
                                                std::span<const uint8_t> datagram) const;

  size_t client_count() const { return clients_.size(); }
  size_t group_count() const { return groups_.size(); }

 private:
  Route* Find(GroupId group);
  const Route* Find(GroupId group) const;

  Options options_;
  // In the order of their first claim; the two maps hold places in it.
  std::vector<Route> groups_;
  absl::flat_hash_map<GroupId, uint32_t> group_places_;
  absl::flat_hash_map<ClientAddress, uint32_t> clients_;
};

}  // namespace vigil::edge
