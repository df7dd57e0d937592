#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <tuple>
#include <unordered_map>

#include "gateway/base/sequence.h"
#include "gateway/base/strong_id.h"
#include "gateway/base/time.h"
#include "gateway/transport/srtp_keys.h"
#include "tests/support/findings.h"

namespace vigil::sim {

// Watches everything that is ever sent under each key, by any owner, and cries out when an index of
// an SSRC is used for two different packets: with GCM that gives the key away.
class SrtpOracle {
 public:
  explicit SrtpOracle(Findings& findings) : findings_(findings) {}

  // A datagram of the gateway as it is on the wire. `peer` stands for the key.
  void OnRtp(PeerId peer, std::span<const uint8_t> datagram, Timestamp now);
  void OnRtcp(PeerId peer, transport::SrtpProfile profile, std::span<const uint8_t> datagram,
              Timestamp now);
  // The highest index used, or -1.
  int64_t HighestRtp(PeerId peer, uint32_t ssrc) const;
  int64_t HighestRtcp(PeerId peer, uint32_t ssrc) const;
  uint64_t seen() const { return seen_; }

 private:
  struct Stream {
    SequenceUnwrapper sequences;
    int64_t highest = -1;
    std::unordered_map<int64_t, uint64_t> hashes;  // By index.
  };
  using Key = std::tuple<PeerId, uint32_t, bool>;

  void Note(const Key& key, Stream& stream, int64_t index, std::span<const uint8_t> datagram,
            Timestamp now);

  Findings& findings_;
  std::map<Key, Stream> streams_;
  uint64_t seen_ = 0;
};

// FNV-1a, for comparing bytes; `seed` chains.
uint64_t HashOf(std::span<const uint8_t> bytes, uint64_t seed = 0xcbf29ce484222325);

}  // namespace vigil::sim
