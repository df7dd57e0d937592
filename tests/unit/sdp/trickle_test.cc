#include "gateway/sdp/trickle.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vigil::sdp {
namespace {

using ::testing::ElementsAre;

constexpr std::string_view kFragment =
    "a=group:BUNDLE 0 1\r\n"
    "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"
    "a=mid:0\r\n"
    "a=ice-ufrag:EsAw\r\n"
    "a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n"
    "a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0\r\n"
    "a=candidate:garbage\r\n"
    "a=candidate:3471623853 1 udp 2122194687 198.51.100.2 61765 typ host generation 0\r\n"
    "a=end-of-candidates\r\n";

std::string ErrorOf(std::string_view text) {
  const auto parsed = ParseTrickle(text);
  return parsed.ok() ? "" : std::string(parsed.status().message());
}

TEST(Trickle, ReadsAFragment) {
  const auto fragment = ParseTrickle(kFragment);
  ASSERT_TRUE(fragment.ok()) << fragment.status();
  EXPECT_THAT(fragment->bundled_mids, ElementsAre("0", "1"));
  ASSERT_EQ(fragment->sections.size(), 1u);
  EXPECT_EQ(fragment->sections[0].mid, "0");
  EXPECT_EQ(fragment->sections[0].ice.candidates.size(), 2u);
  EXPECT_TRUE(fragment->sections[0].ice.end_of_candidates);
  EXPECT_EQ(fragment->Ufrag(), "EsAw");
  EXPECT_EQ(fragment->Password(), "P2uYro0UCOQ4zxjKXaWCBui1");
}

TEST(Trickle, SessionLevelCredentialsCount) {
  const auto fragment = ParseTrickle(
      "a=ice-ufrag:sess\na=ice-pwd:0123456789012345678901\na=end-of-candidates\n"
      "m=audio 9 RTP/AVP 0\na=mid:x\na=ice-ufrag:sect\n");
  ASSERT_TRUE(fragment.ok()) << fragment.status();
  EXPECT_EQ(fragment->Ufrag(), "sess");
  EXPECT_EQ(fragment->Password(), "0123456789012345678901");
  EXPECT_TRUE(fragment->ice.end_of_candidates);
  EXPECT_EQ(ParseTrickle("m=audio 9 RTP/AVP 0\na=mid:x\n")->Ufrag(), "");
}

TEST(Trickle, WritingAndParsingAgainGivesTheSame) {
  auto fragment = ParseTrickle(kFragment);
  ASSERT_TRUE(fragment.ok());
  fragment->ice_lite = true;
  fragment->ice.options = {"trickle", "ice2"};
  fragment->sections.push_back({"video 9 UDP/TLS/RTP/SAVPF 96", "1", {}});
  const std::string text = WriteTrickle(*fragment);
  const auto again = ParseTrickle(text);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(*again, *fragment) << text;
}

TEST(Trickle, ErrorsNameTheLine) {
  EXPECT_EQ(ErrorOf("a=mid:0\n"), "line 1: a=mid comes before the first m= line");
  EXPECT_EQ(ErrorOf("a=candidate:1 1 udp 1 192.0.2.1 1 typ host\n"),
            "line 1: a=candidate comes before the first m= line");
  EXPECT_EQ(ErrorOf("m=a\na=mid:0\nm=a\na=mid:0\n"),
            "line 4: a=mid is already that of another m-line");
  EXPECT_EQ(ErrorOf("m=a\na=ice-ufrag:x\n"),
            "line 2: a=ice-ufrag is not 4 to 256 characters of A-Z a-z 0-9 + /");
  EXPECT_EQ(ErrorOf("{\"candidate\": 1}"), "line 1: is not of the form <letter>=<value>");
  std::string text;
  for (int i = 0; i < 65; ++i) text += "m=a\n";
  EXPECT_EQ(ErrorOf(text), "line 65: there are more than 64 m= lines");
}

}  // namespace
}  // namespace vigil::sdp
