#include <cstdlib>

#include "gateway/sdp/answer.h"
#include "gtest/gtest.h"
#include "tests/unit/sdp/fixtures.h"

// The answers to all recorded offers, compared with committed files, so that a change of what the
// gateway answers is seen in review. VIGIL_UPDATE_GOLDEN=1 rewrites them.

namespace vigil::sdp {
namespace {

TEST(AnswerGolden, EveryRecordedOfferIsAnsweredAsBefore) {
  for (const FixtureName& fixture : kFixtures) {
    const auto offer = Parse(ReadFixture(std::string(fixture.name) + ".sdp"));
    ASSERT_TRUE(offer.ok()) << fixture.name << ": " << offer.status();
    const auto answer = MakeAnswer(*offer, OptionsFor(fixture.role));
    ASSERT_TRUE(answer.ok()) << fixture.name << ": " << answer.status();
    const std::string text = Write(answer->description);
    const std::string golden = std::string(fixture.name) + ".answer.sdp";
    if (std::getenv("VIGIL_UPDATE_GOLDEN") != nullptr) {
      std::ofstream(FixturePath(golden), std::ios::binary) << text;
    }
    EXPECT_EQ(text, ReadFixture(golden)) << golden;
  }
}

}  // namespace
}  // namespace vigil::sdp
