#include "gateway/sdp/ice_attributes.h"

#include "gtest/gtest.h"

namespace vigil::sdp {
namespace {

TEST(Candidate, IsReadWithEverythingItMayCarry) {
  const auto candidate = ParseCandidate(
      "candidate:842163049 1 TCP 1677729535 2001:db8::1 46154 typ srflx raddr 10.0.17.1 rport 4242 "
      "tcptype passive generation 0 network-cost 999");
  ASSERT_TRUE(candidate);
  EXPECT_EQ(candidate->foundation, "842163049");
  EXPECT_EQ(candidate->component, 1);
  EXPECT_EQ(candidate->transport, Transport::kTcp);
  EXPECT_EQ(candidate->priority, 1'677'729'535u);
  EXPECT_EQ(candidate->address, "2001:db8::1");
  EXPECT_EQ(candidate->port, 46154);
  EXPECT_EQ(candidate->type, "srflx");
  EXPECT_EQ(candidate->related_address, "10.0.17.1");
  EXPECT_EQ(candidate->related_port, 4242);
  EXPECT_EQ(candidate->tcp_type, "passive");
  EXPECT_EQ(candidate->extensions, "generation 0 network-cost 999");
  EXPECT_EQ(ParseCandidate(WriteCandidate(*candidate)), candidate);
}

TEST(Candidate, IsWrittenAsBrowsersReadIt) {
  Candidate candidate;
  candidate.foundation = "1";
  candidate.priority = 2'130'706'431;
  candidate.address = "192.0.2.1";
  candidate.port = 7000;
  EXPECT_EQ(WriteCandidate(candidate), "candidate:1 1 udp 2130706431 192.0.2.1 7000 typ host");
  EXPECT_EQ(ParseCandidate("a=" + WriteCandidate(candidate)), candidate);
}

TEST(Candidate, MalformedOnesAreNone) {
  for (const char* text : {
           "",
           "candidate:",
           "candidate:1 1 udp 1 192.0.2.1 7000",
           "candidate:1 1 udp 1 192.0.2.1 7000 typ",
           "candidate:1 1 sctp 1 192.0.2.1 7000 typ host",
           "candidate:1 1 udp x 192.0.2.1 7000 typ host",
           "candidate:1 1 udp 1 192.0.2.1 70000 typ host",
           "candidate:1 -1 udp 1 192.0.2.1 7000 typ host",
           "candidate:1 1 udp 1 192.0.2.1 7000 typ host generation",
           "candidate:1 1 udp 1 192.0.2.1 7000 typ host raddr 1.2.3.4 rport x",
           "foundation:1 1 udp 1 192.0.2.1 7000 typ host",
       }) {
    EXPECT_FALSE(ParseCandidate(text)) << text;
  }
}

TEST(IceStrings, FollowRfc8839) {
  EXPECT_TRUE(IsIceUfrag("aZ9+"));
  EXPECT_FALSE(IsIceUfrag("aZ9"));
  EXPECT_FALSE(IsIceUfrag("aZ9:"));
  EXPECT_FALSE(IsIceUfrag("aZ9 "));
  EXPECT_TRUE(IsIcePassword(std::string(256, '/')));
  EXPECT_FALSE(IsIcePassword(std::string(257, '/')));
  EXPECT_FALSE(IsIcePassword(std::string(21, '/')));
}

}  // namespace
}  // namespace vigil::sdp
