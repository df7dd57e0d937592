#include "gateway/ctl/drop_meaning.h"

#include <set>
#include <string>

#include "gateway/base/drop_reason.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vigil::ctl {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

TEST(DropMeaningTest, EachReasonHasAMeaningOfItsOwn) {
  std::set<std::string> meanings;
  for (size_t i = 0; i < kDropReasonCount; ++i) {
    const std::string label(ToString(static_cast<DropReason>(i)));
    const std::string text = DropText(label);
    EXPECT_GT(text.size(), label.size()) << label;
    // A label is no explanation of itself.
    EXPECT_THAT(text, Not(HasSubstr("_"))) << label;
    EXPECT_TRUE(meanings.insert(text).second) << label << ": " << text;
  }
}

TEST(DropMeaningTest, WhatIsHarmlessSaysSo) {
  std::set<std::string> harmless;
  for (size_t i = 0; i < kDropReasonCount; ++i) {
    const std::string label(ToString(static_cast<DropReason>(i)));
    const std::string text = DropText(label);
    if (IsHarmlessDrop(label)) {
      harmless.insert(label);
      EXPECT_THAT(text, EndsWith(": harmless"));
    } else {
      EXPECT_THAT(text, Not(HasSubstr("harmless"))) << label;
    }
  }
  EXPECT_THAT(harmless, ElementsAre("duplicate", "layer_not_wanted", "no_subscriber",
                                    "padding_only", "stun_unexpected"));
}

TEST(DropMeaningTest, AReasonOfALaterVersionIsItsOwnMeaning) {
  EXPECT_EQ(DropText("of_a_later_version"), "of_a_later_version");
  EXPECT_FALSE(IsHarmlessDrop("of_a_later_version"));
}

}  // namespace
}  // namespace vigil::ctl
