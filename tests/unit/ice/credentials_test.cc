#include "gateway/ice/credentials.h"

#include <array>
#include <set>
#include <string>

#include "gateway/base/rng.h"
#include "gtest/gtest.h"

namespace vigil::ice {
namespace {

bool IsIceCharacters(std::string_view text) {
  for (const char c : text) {
    const bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '+' || c == '/';
    if (!ok) return false;
  }
  return true;
}

TEST(IceCredentials, GroupComesBackOutOfTheUfrag) {
  Rng rng(1);
  for (const uint32_t group : {0u, 1u, 31u, 32u, 0x12345678u, 0xfffffffeu, 0xffffffffu}) {
    std::array<uint8_t, 10> random;
    rng.Fill(random);
    const std::string ufrag = MakeUfrag(GroupId(group), random);
    EXPECT_TRUE(IsIceCharacters(ufrag)) << ufrag;
    EXPECT_GE(ufrag.size(), 4u);
    EXPECT_LE(ufrag.size(), 256u);
    EXPECT_EQ(GroupOfUfrag(ufrag), GroupId(group)) << ufrag;
  }
}

TEST(IceCredentials, EveryRandomBitReachesTheUfragAndThePassword) {
  std::set<std::string> ufrags;
  std::set<std::string> passwords;
  std::array<uint8_t, 16> random{};
  for (size_t bit = 0; bit < 128; ++bit) {
    random[bit / 8] = static_cast<uint8_t>(1 << bit % 8);
    ufrags.insert(MakeUfrag(GroupId(7), random));
    passwords.insert(MakePassword(random));
    random[bit / 8] = 0;
  }
  EXPECT_EQ(ufrags.size(), 128u);
  EXPECT_EQ(passwords.size(), 128u);
}

TEST(IceCredentials, PasswordIsLongEnoughForRfc8445) {
  const std::array<uint8_t, kMinPasswordRandomBytes> random{};
  EXPECT_GE(MakePassword(random).size(), 22u);
  EXPECT_TRUE(IsIceCharacters(MakePassword(random)));
}

TEST(IceCredentials, ForeignUfragsHaveNoGroup) {
  EXPECT_FALSE(GroupOfUfrag(""));
  EXPECT_FALSE(GroupOfUfrag("aaaaaaa")) << "a group without any randomness";
  EXPECT_FALSE(GroupOfUfrag("aaaaaa+aaaaaaaaa"));
  EXPECT_FALSE(GroupOfUfrag("AAAAAAAaaaaaaaaa"));
  EXPECT_FALSE(GroupOfUfrag("7aaaaaaaaaaaaaaa")) << "more than 32 bits";
  EXPECT_TRUE(GroupOfUfrag("aaaaaaaaaaaaaaaa"));
}

}  // namespace
}  // namespace vigil::ice
