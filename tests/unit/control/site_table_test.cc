#include "gateway/control/site_table.h"

#include <string>

#include "gateway/control/api_error.h"
#include "gtest/gtest.h"

namespace vigil::control {
namespace {

TEST(SiteTableTest, ANameHasOneId) {
  SiteTable sites;
  const SiteId north = *sites.Make("north");
  const SiteId south = *sites.Make("south");
  EXPECT_NE(north, south);
  EXPECT_EQ(*sites.Make("north"), north);
  EXPECT_EQ(sites.Find("south"), south);
  EXPECT_EQ(sites.NameOf(north), "north");
  EXPECT_EQ(sites.All(), (std::set<SiteId>{north, south}));
}

TEST(SiteTableTest, ToLookIsNotToMake) {
  SiteTable sites;
  EXPECT_EQ(sites.Find("north"), std::nullopt);
  EXPECT_TRUE(sites.All().empty());
}

TEST(SiteTableTest, NamesStandInTheOrderOfTheirIds) {
  SiteTable sites;
  for (const char* name : {"south", "north", "south", "east"}) ASSERT_TRUE(sites.Make(name).ok());
  EXPECT_EQ(sites.names(), (std::vector<std::string>{"south", "north", "east"}));
}

TEST(SiteTableTest, AFullTableTakesNoNewSiteAndKeepsTheOldOnes) {
  SiteTable sites;
  for (size_t i = 0; i < SiteTable::kMaxSites; ++i) {
    ASSERT_TRUE(sites.Make("site-" + std::to_string(i)).ok());
  }
  EXPECT_EQ(ReasonOf(sites.Make("one-more").status()), v1::ERROR_REASON_QUOTA_EXCEEDED);
  EXPECT_TRUE(sites.Make("site-0").ok());
}

}  // namespace
}  // namespace vigil::control
