#include "tests/support/srtp_oracle.h"

#include <algorithm>
#include <string>

#include "gateway/base/byte_io.h"

namespace vigil::sim {

uint64_t HashOf(std::span<const uint8_t> bytes, uint64_t seed) {
  for (const uint8_t byte : bytes) seed = (seed ^ byte) * 0x100000001b3;
  return seed;
}

void SrtpOracle::Note(const Key& key, Stream& stream, int64_t index,
                      std::span<const uint8_t> datagram, Timestamp now) {
  ++seen_;
  stream.highest = std::max(stream.highest, index);
  const uint64_t hash = HashOf(datagram);
  const auto [it, added] = stream.hashes.emplace(index, hash);
  if (added || it->second == hash) return;
  findings_.Add(now, "peer " + std::to_string(std::get<0>(key).value()) + " ssrc " +
                         std::to_string(std::get<1>(key)) +
                         (std::get<2>(key) ? " SRTCP" : " SRTP") + " index " +
                         std::to_string(index) + " was used for two packets");
}

void SrtpOracle::OnRtp(PeerId peer, std::span<const uint8_t> datagram, Timestamp now) {
  if (datagram.size() < 12) return;
  const Key key{peer, ReadU32(datagram.data() + 8), false};
  Stream& stream = streams_[key];
  // The unwrapper's last value is the highest: late packets must not drag it back.
  const int64_t index = stream.sequences.Peek(ReadU16(datagram.data() + 2));
  if (index > stream.highest) stream.sequences.set_last(index);
  Note(key, stream, index, datagram, now);
}

void SrtpOracle::OnRtcp(PeerId peer, transport::SrtpProfile profile,
                        std::span<const uint8_t> datagram, Timestamp now) {
  // RFC 3711, 3.4: index, then tag; RFC 7714, 9.2: the index is last.
  const size_t tag = profile == transport::SrtpProfile::kAeadAes128Gcm ? 0 : 10;
  if (datagram.size() < 12 + tag) return;
  const Key key{peer, ReadU32(datagram.data() + 4), true};
  const uint32_t index = ReadU32(datagram.data() + datagram.size() - tag - 4) & 0x7fffffff;
  Note(key, streams_[key], index, datagram, now);
}

int64_t SrtpOracle::HighestRtp(PeerId peer, uint32_t ssrc) const {
  const auto it = streams_.find({peer, ssrc, false});
  return it == streams_.end() ? -1 : it->second.highest;
}

int64_t SrtpOracle::HighestRtcp(PeerId peer, uint32_t ssrc) const {
  const auto it = streams_.find({peer, ssrc, true});
  return it == streams_.end() ? -1 : it->second.highest;
}

}  // namespace vigil::sim
