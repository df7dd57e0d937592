#include "gateway/edge/routing_table.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "gateway/base/rng.h"
#include "gtest/gtest.h"
#include "tests/unit/edge/edge_fixture.h"

namespace vigil::edge {
namespace {

using BindOutcome = RoutingTable::BindOutcome;

constexpr NodeId kPrimary{1};
constexpr NodeId kStandby{2};
constexpr GroupId kGroup{5};
const ClientAddress kClient = ClientAddress::V4(192, 0, 2, 1, 4000);
const std::vector<uint8_t> kMedia(100, 0x80);

TEST(RoutingTable, AClaimRaisesTheEpochAndASecondOneWithTheSameExpectationLoses) {
  RoutingTable table({});
  EXPECT_EQ(table.Claim(kGroup, Epoch(), kPrimary).value(), Epoch(1));
  EXPECT_EQ(table.Claim(kGroup, Epoch(1), kStandby).value(), Epoch(2));
  const auto late = table.Claim(kGroup, Epoch(1), kPrimary);
  EXPECT_EQ(late.status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(table.OwnerOf(kGroup), (Route{kGroup, Epoch(2), kStandby}));
  EXPECT_FALSE(table.Claim(GroupId(6), Epoch(1), kPrimary).ok()) << "nobody owned it in epoch 1";
  EXPECT_FALSE(table.OwnerOf(GroupId(6)));
}

TEST(RoutingTable, ClaimsOfNobodyOrNothingAreInvalid) {
  RoutingTable table({});
  EXPECT_EQ(table.Claim(GroupId(), Epoch(), kPrimary).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(table.Claim(kGroup, Epoch(), NodeId()).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(RoutingTable, ClientsFollowTheirGroupToItsNewOwner) {
  RoutingTable table({});
  ASSERT_TRUE(table.Claim(kGroup, Epoch(), kPrimary).ok());
  ASSERT_EQ(table.Bind(kClient, kGroup, Epoch(1), kPrimary), BindOutcome::kBound);
  EXPECT_EQ(table.Bind(kClient, kGroup, Epoch(1), kPrimary), BindOutcome::kBound) << "again";
  ASSERT_TRUE(table.Claim(kGroup, Epoch(1), kStandby).ok());
  EXPECT_EQ(std::get<Route>(table.RouteDatagram(kClient, kMedia)),
            (Route{kGroup, Epoch(2), kStandby}));
}

TEST(RoutingTable, AnOldOwnerHasNoSay) {
  RoutingTable table({});
  ASSERT_TRUE(table.Claim(kGroup, Epoch(), kPrimary).ok());
  ASSERT_EQ(table.Bind(kClient, kGroup, Epoch(1), kPrimary), BindOutcome::kBound);
  ASSERT_TRUE(table.Claim(kGroup, Epoch(1), kStandby).ok());
  ClientAddress other = kClient;
  other.port = 4001;
  EXPECT_EQ(table.Bind(other, kGroup, Epoch(1), kPrimary), BindOutcome::kNotOwner);
  EXPECT_EQ(table.Bind(other, kGroup, Epoch(2), kPrimary), BindOutcome::kNotOwner)
      << "the right epoch in the wrong hands";
  EXPECT_FALSE(table.Unbind(kClient, kGroup, Epoch(1), kPrimary));
  EXPECT_EQ(table.CheckOwner(kGroup, Epoch(1), kPrimary), DropReason::kWrongEpoch);
  EXPECT_EQ(table.CheckOwner(GroupId(9), Epoch(1), kPrimary), DropReason::kWrongGroup);
  EXPECT_EQ(table.CheckOwner(kGroup, Epoch(2), kStandby), std::nullopt);
  EXPECT_TRUE(table.Unbind(kClient, kGroup, Epoch(2), kStandby));
}

TEST(RoutingTable, UnknownClientsGetInByACheckForAnOwnedGroupAndByNothingElse) {
  RoutingTable table({});
  ASSERT_TRUE(table.Claim(kGroup, Epoch(), kPrimary).ok());
  EXPECT_EQ(std::get<Route>(table.RouteDatagram(kClient, CheckFor(kGroup))),
            (Route{kGroup, Epoch(1), kPrimary}));
  EXPECT_EQ(table.client_count(), 0u) << "a check alone teaches nothing";
  EXPECT_EQ(std::get<DropReason>(table.RouteDatagram(kClient, CheckFor(GroupId(6)))),
            DropReason::kUnknownUfrag);
  const auto foreign = ice::testing::MakeCheck({.username = "short:abcd"});
  EXPECT_EQ(std::get<DropReason>(table.RouteDatagram(kClient, foreign)), DropReason::kUnknownUfrag);
  for (const std::vector<uint8_t>& bytes : {kMedia, std::vector<uint8_t>(), Filled(40, 22)}) {
    EXPECT_EQ(std::get<DropReason>(table.RouteDatagram(kClient, bytes)),
              DropReason::kUnknownSource);
  }
}

TEST(RoutingTable, AnotherGroupCannotTakeABoundClient) {
  RoutingTable table({});
  ASSERT_TRUE(table.Claim(kGroup, Epoch(), kPrimary).ok());
  ASSERT_TRUE(table.Claim(GroupId(6), Epoch(), kPrimary).ok());
  ASSERT_EQ(table.Bind(kClient, kGroup, Epoch(1), kPrimary), BindOutcome::kBound);
  EXPECT_EQ(table.Bind(kClient, GroupId(6), Epoch(1), kPrimary), BindOutcome::kOtherGroup);
  EXPECT_FALSE(table.Unbind(kClient, GroupId(6), Epoch(1), kPrimary));
  EXPECT_EQ(std::get<Route>(table.RouteDatagram(kClient, kMedia)).group, kGroup);
}

TEST(RoutingTable, BothBoundsRefuseTheNewAndKeepTheOld) {
  RoutingTable table({.max_clients = 2, .max_groups = 1});
  ASSERT_TRUE(table.Claim(kGroup, Epoch(), kPrimary).ok());
  EXPECT_EQ(table.Claim(GroupId(6), Epoch(), kPrimary).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(table.Claim(kGroup, Epoch(1), kPrimary).ok()) << "a known group can change hands";
  for (uint16_t port : {1, 2, 3}) {
    const ClientAddress client = ClientAddress::V4(192, 0, 2, 9, port);
    EXPECT_EQ(table.Bind(client, kGroup, Epoch(2), kPrimary),
              port <= 2 ? BindOutcome::kBound : BindOutcome::kFull);
  }
  const ClientAddress first = ClientAddress::V4(192, 0, 2, 9, 1);
  EXPECT_EQ(table.Bind(first, kGroup, Epoch(2), kPrimary), BindOutcome::kBound) << "known";
}

// What the table must do, in the plainest form: two ordered maps.
struct Model {
  std::map<GroupId, std::pair<Epoch, NodeId>> owners;
  std::map<ClientAddress, GroupId> clients;

  bool Owns(GroupId group, Epoch epoch, NodeId node) const {
    const auto known = owners.find(group);
    return known != owners.end() && known->second == std::pair(epoch, node);
  }
};

// One of few of everything, so that the random steps meet.
struct Draw {
  GroupId group;
  Epoch epoch;
  NodeId node;
  ClientAddress client;
};

Draw DrawStep(Rng& rng, const Model& model) {
  Draw draw;
  draw.group = GroupId(static_cast<uint32_t>(rng.Between(1, 6)));
  draw.node = NodeId(static_cast<uint32_t>(rng.Between(1, 3)));
  draw.client = ClientAddress::V4(192, 0, 2, 1, static_cast<uint16_t>(rng.Below(12)));
  draw.client.local = static_cast<uint8_t>(rng.Below(2));
  // Mostly an epoch near the current one: now, the one before, the one to come.
  const auto known = model.owners.find(draw.group);
  const int64_t current = known == model.owners.end() ? 0 : known->second.first.value();
  draw.epoch = Epoch(static_cast<uint32_t>(std::max<int64_t>(0, current + rng.Between(-1, 1))));
  return draw;
}

void Step(Rng& rng, RoutingTable& table, Model& model) {
  const Draw draw = DrawStep(rng, model);
  const auto known = model.owners.find(draw.group);
  const Epoch current = known == model.owners.end() ? Epoch() : known->second.first;
  switch (rng.Below(4)) {
    case 0: {
      const auto claimed = table.Claim(draw.group, draw.epoch, draw.node);
      ASSERT_EQ(claimed.ok(), draw.epoch == current);
      if (!claimed.ok()) return;
      ASSERT_EQ(*claimed, Epoch(current.value() + 1));
      model.owners[draw.group] = {*claimed, draw.node};
      return;
    }
    case 1: {
      const auto bound = model.clients.find(draw.client);
      const bool allowed = model.Owns(draw.group, draw.epoch, draw.node) &&
                           (bound == model.clients.end() || bound->second == draw.group);
      ASSERT_EQ(table.Bind(draw.client, draw.group, draw.epoch, draw.node) == BindOutcome::kBound,
                allowed);
      if (allowed) model.clients[draw.client] = draw.group;
      return;
    }
    case 2: {
      const auto bound = model.clients.find(draw.client);
      const bool allowed = model.Owns(draw.group, draw.epoch, draw.node) &&
                           bound != model.clients.end() && bound->second == draw.group;
      ASSERT_EQ(table.Unbind(draw.client, draw.group, draw.epoch, draw.node), allowed);
      if (allowed) model.clients.erase(bound);
      return;
    }
    default: {
      const auto routed = table.RouteDatagram(draw.client, kMedia);
      const auto bound = model.clients.find(draw.client);
      const Route* route = std::get_if<Route>(&routed);
      ASSERT_EQ(route != nullptr, bound != model.clients.end());
      if (route == nullptr) return;
      const auto& [epoch, owner] = model.owners.at(bound->second);
      ASSERT_EQ(*route, (Route{bound->second, epoch, owner})) << "routed to a non-owner";
      return;
    }
  }
}

TEST(RoutingTableProperty, NeverRoutesToANonOwnerOrAnOldEpoch) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE(seed);
    Rng rng(seed);
    RoutingTable table({});
    Model model;
    for (int i = 0; i < 2'000; ++i) {
      Step(rng, table, model);
      if (HasFatalFailure()) return;
    }
    EXPECT_EQ(table.client_count(), model.clients.size());
    EXPECT_GT(model.owners.at(GroupId(1)).first.value(), 5u) << "the walk got somewhere";
  }
}

}  // namespace
}  // namespace vigil::edge
