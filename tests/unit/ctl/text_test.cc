#include "gateway/ctl/call_error.h"
#include "gateway/ctl/probe.h"
#include "gateway/ctl/table.h"
#include "gateway/ctl/time_text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vigil::ctl {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(SpanTextTest, HasTwoUnitsAtMost) {
  EXPECT_EQ(SpanText(TimeDelta::Zero()), "0 us");
  EXPECT_EQ(SpanText(TimeDelta::Micros(850)), "850 us");
  EXPECT_EQ(SpanText(TimeDelta::Micros(1'500)), "1.5 ms");
  EXPECT_EQ(SpanText(TimeDelta::Millis(12)), "12 ms");
  EXPECT_EQ(SpanText(TimeDelta::Millis(3'490)), "3.4 s");
  EXPECT_EQ(SpanText(TimeDelta::Seconds(59)), "59 s");
  EXPECT_EQ(SpanText(TimeDelta::Seconds(60)), "1 m");
  EXPECT_EQ(SpanText(TimeDelta::Seconds(192)), "3 m 12 s");
  EXPECT_EQ(SpanText(TimeDelta::Seconds(2 * 3'600 + 5 * 60 + 59)), "2 h 5 m");
  EXPECT_EQ(SpanText(TimeDelta::Seconds(4 * 86'400 + 3 * 3'600)), "4 d 3 h");
  EXPECT_EQ(SpanText(TimeDelta::Seconds(-192)), "-3 m 12 s");
}

TEST(SpanTextTest, ReadsWhatOperatorsWrite) {
  EXPECT_EQ(ParseSpan("45"), TimeDelta::Seconds(45));
  EXPECT_EQ(ParseSpan("45s"), TimeDelta::Seconds(45));
  EXPECT_EQ(ParseSpan("30m"), TimeDelta::Seconds(1'800));
  EXPECT_EQ(ParseSpan("8h"), TimeDelta::Seconds(28'800));
  EXPECT_EQ(ParseSpan("90d"), TimeDelta::Seconds(7'776'000));
  for (const char* wrong : {"", "h", "0", "-1h", "8x", "8 weeks", "99999999999999d", "40000d"}) {
    EXPECT_EQ(ParseSpan(wrong), std::nullopt) << wrong;
  }
}

TEST(UtcTextTest, IsTheCalendarsTime) {
  EXPECT_EQ(UtcText(TimeDelta::Zero()), "1970-01-01 00:00:00Z");
  EXPECT_EQ(UtcText(TimeDelta::Seconds(1'709'210'096)), "2024-02-29 12:34:56Z");
}

TEST(TableTest, ColumnsAreAlignedAndNoCellIsEmpty) {
  Table table({{"NAME"}, {.head = "COUNT", .is_number = true}, {"AGE"}});
  table.AddRow({"a", "7", "3 s"});
  table.AddRow({"a-long-name", "12345678", ""});
  table.AddRow({"short"});
  EXPECT_EQ(table.Text(),
            "NAME            COUNT  AGE\n"
            "a                   7  3 s\n"
            "a-long-name  12345678  -\n"
            "short               -  -\n");
}

TEST(CallErrorTest, NamesTheReasonAndWhatToDo) {
  const absl::Status status =
      CallError(absl::StatusCode::kNotFound, "no such peer: 0123", "PEER_NOT_FOUND");
  EXPECT_EQ(ErrorText(status),
            "vigilctl: PEER_NOT_FOUND: no such peer: 0123\n"
            "  what to do: `vigilctl list participants` shows the connections there are\n");
  EXPECT_THAT(ErrorJson(status), HasSubstr(R"("reason":"PEER_NOT_FOUND")"));
}

TEST(CallErrorTest, ANodeThatDoesNotAnswerIsToldInItsOwnWords) {
  const absl::Status status =
      CallError(absl::StatusCode::kUnavailable,
                "failed to connect to all addresses; last error: UNKNOWN: Connection refused", "");
  EXPECT_THAT(ErrorText(status), HasSubstr("does not answer: UNKNOWN: Connection refused\n"));
  EXPECT_THAT(ErrorText(status), HasSubstr("vigilctl doctor"));
}

TEST(CallErrorTest, AServersTextStaysOnItsLine) {
  const absl::Status status = CallError(absl::StatusCode::kInternal, "a\nb\x1b[2J", "DEFECT");
  EXPECT_THAT(ErrorText(status), HasSubstr("a b [2J\n"));
}

TEST(EndpointTest, IsAHostAndAPort) {
  const auto endpoint = ParseEndpoint("[::1]:50051");
  ASSERT_TRUE(endpoint);
  EXPECT_EQ(endpoint->host, "::1");
  EXPECT_EQ(endpoint->ToString(), "[::1]:50051");
  EXPECT_TRUE(endpoint->is_loopback());
  EXPECT_FALSE(ParseEndpoint("node.example:443")->is_loopback());
  for (const char* wrong :
       {"", "localhost", ":1", "a:", "a:0", "a:65536", "::1:5", "[]:1", "a b:1"}) {
    EXPECT_FALSE(ParseEndpoint(wrong)) << wrong;
  }
}

TEST(UrlTest, HasItsSchemesPort) {
  EXPECT_EQ(ParseUrl("http://a")->endpoint.ToString(), "a:80");
  EXPECT_EQ(ParseUrl("https://a/x?y")->endpoint.ToString(), "a:443");
  EXPECT_EQ(ParseUrl("https://a/x?y")->path, "/x?y");
  EXPECT_EQ(ParseUrl("http://[::1]:8080/")->endpoint.host, "::1");
  EXPECT_EQ(ParseUrl("http://[::1]")->endpoint.port, "80");
  for (const char* wrong : {"", "a:80", "ftp://a", "http://", "http://a/b c"}) {
    EXPECT_FALSE(ParseUrl(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace vigil::ctl
