#include "gateway/io/clock.h"

#include <array>
#include <cstdlib>
#include <ctime>
#include <set>

#include "gateway/io/socket_address.h"
#include "gtest/gtest.h"

namespace vigil::io {
namespace {

TEST(Clock, MonotonicTimeDoesNotGoBack) {
  Timestamp last = MonotonicNow();
  EXPECT_GT(last, Timestamp());
  for (int i = 0; i < 10'000; ++i) {
    const Timestamp now = MonotonicNow();
    ASSERT_GE(now, last);
    last = now;
  }
}

TEST(Clock, NtpTimeCountsFrom1900AndAgreesWithTheWallClock) {
  const int64_t ntp_seconds =
      (NtpAtMonotonicZero() + TimeDelta::Nanos(MonotonicNow().ns())).ns() / 1'000'000'000;
  const auto unix_seconds = static_cast<int64_t>(std::time(nullptr));
  EXPECT_NEAR(static_cast<double>(ntp_seconds - 2'208'988'800), static_cast<double>(unix_seconds),
              2.0);
}

TEST(Clock, TheTwoOffsetsAreOneRelation) {
  const TimeDelta difference =
      NtpAtMonotonicZero() - RealtimeMinusMonotonic() - TimeDelta::Seconds(2'208'988'800);
  // A second covers a wall clock that is being slewed while the test runs.
  EXPECT_LT(std::abs(difference.ns()), 1'000'000'000);
}

TEST(FillRandom, FillsEveryByteAndLargeSpansToo) {
  std::array<uint8_t, 1000> bytes{};
  FillRandom(bytes);
  EXPECT_GT(std::set<uint8_t>(bytes.begin(), bytes.end()).size(), 200u);
  EXPECT_GT(std::set<uint8_t>(bytes.end() - 300, bytes.end()).size(), 100u);
  FillRandom({});
}

TEST(SocketAddress, ParsesAddressesAndNothingElse) {
  EXPECT_EQ(ToString(*ParseIp("192.0.2.7")), "192.0.2.7");
  EXPECT_TRUE(IsV4(*ParseIp("192.0.2.7")));
  EXPECT_EQ(ParseIp("::ffff:192.0.2.7"), ParseIp("192.0.2.7"));
  EXPECT_EQ(ToString(*ParseIp("2001:db8::1")), "2001:db8::1");
  EXPECT_TRUE(IsWildcard(*ParseIp("0.0.0.0")));
  EXPECT_TRUE(IsWildcard(*ParseIp("::")));
  EXPECT_FALSE(IsWildcard(*ParseIp("::1")));
  for (const char* bad :
       {"", "localhost", "1.2.3", "1.2.3.4:5", "[::1]", "fe80::1%eth0", "1.2.3.4 "}) {
    EXPECT_FALSE(ParseIp(bad)) << bad;
  }
}

TEST(SocketAddress, TheLoopbackIsAmongTheInterfacesAndLast) {
  const auto addresses = InterfaceAddresses();
  ASSERT_TRUE(addresses.ok());
  ASSERT_FALSE(addresses->empty());
  const std::string last = ToString(addresses->back());
  EXPECT_TRUE(last == "127.0.0.1" || last == "::1") << last;
}

TEST(SocketAddress, AnIPv6ClientCannotBeWrittenForAnIPv4Socket) {
  SocketAddress address;
  EXPECT_EQ(WriteSocketAddress(*ParseIp("2001:db8::1"), 7, AF_INET, address), 0u);
  EXPECT_GT(WriteSocketAddress(*ParseIp("192.0.2.1"), 7, AF_INET6, address), 0u);
  ClientAddress read;
  ASSERT_TRUE(ReadSocketAddress(address, read));
  EXPECT_EQ(read, ClientAddress::V4(192, 0, 2, 1, 7));
}

}  // namespace
}  // namespace vigil::io
