#include "gateway/transport/demux.h"

#include <array>
#include <cstdint>
#include <vector>

#include "gtest/gtest.h"

namespace vigil::transport {
namespace {

DatagramKind Kind(uint8_t first, uint8_t second) {
  return Classify(std::array<uint8_t, 2>{first, second});
}

TEST(Demux, FirstByteFollowsTheTableOfRfc7983) {
  for (int first = 0; first < 256; ++first) {
    const DatagramKind kind = Kind(static_cast<uint8_t>(first), 96);
    if (first <= 3) {
      EXPECT_EQ(kind, DatagramKind::kStun) << first;
    } else if (first >= 20 && first <= 63) {
      EXPECT_EQ(kind, DatagramKind::kDtls) << first;
    } else if (first >= 128 && first <= 191) {
      EXPECT_EQ(kind, DatagramKind::kRtp) << first;
    } else {
      EXPECT_EQ(kind, DatagramKind::kUnknown) << first;
    }
  }
}

TEST(Demux, SecondByteTellsRtcpFromRtp) {
  for (int second = 0; second < 256; ++second) {
    const bool rtcp = second >= 192 && second <= 223;
    EXPECT_EQ(Kind(0x80, static_cast<uint8_t>(second)),
              rtcp ? DatagramKind::kRtcp : DatagramKind::kRtp)
        << second;
  }
}

TEST(Demux, PayloadTypeWithMarkerIsStillRtp) {
  EXPECT_EQ(Kind(0x90, 0x80 | 111), DatagramKind::kRtp);
  EXPECT_EQ(Kind(0x90, 0x80 | 96), DatagramKind::kRtp);
}

TEST(Demux, NothingAndOneByteAreUnknownUnlessOneByteIsEnough) {
  EXPECT_EQ(Classify({}), DatagramKind::kUnknown);
  EXPECT_EQ(Classify(std::array<uint8_t, 1>{0x80}), DatagramKind::kUnknown);
  EXPECT_EQ(Classify(std::array<uint8_t, 1>{0x16}), DatagramKind::kDtls);
}

}  // namespace
}  // namespace vigil::transport
