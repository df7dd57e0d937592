#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "gateway/base/drop_reason.h"
#include "gateway/base/packet_pool.h"
#include "gateway/transport/cipher_footprint.h"
#include "gateway/transport/srtp_keys.h"
#include "gateway/transport/srtp_session.h"

namespace vigil::transport {

// Authenticates and decrypts what one peer sends. One thread.
//
// Packets of an SSRC that nobody has named are refused without a look, unless the owner tries them
// (TryUnprotectRtp); only an authentic packet ever makes state.
class SrtpReceiver {
 public:
  // Named or learned SSRCs at once. A browser that sends three simulcast layers and sound has 8,
  // and one more for its reports.
  static constexpr size_t kMaxStreams = 64;
  // SSRCs that had to make room for others. They are refused from then on, because their replay
  // windows are gone. A client that changes an SSRC each minute has them for 16 hours; one that
  // uses more is refused new ones, not served with memory.
  static constexpr size_t kMaxRetired = 1024;

  struct StreamState {
    bool named = false;  // RTP of it is taken; else only its RTCP was seen.
    std::optional<uint64_t> highest_index =
        std::nullopt;  // 48 bits: rollover counter and sequence number.
    std::optional<uint32_t> highest_rtcp_index = std::nullopt;  // 31 bits.
    uint64_t last_use = 0;  // The place of its last packet among all of this client's.

    template <typename F>
    void Fields(F&& f) {
      f(named, highest_index, highest_rtcp_index, last_use);
    }
    bool operator==(const StreamState&) const = default;
  };
  struct State {
    std::map<uint32_t, StreamState> streams;  // By SSRC.
    std::vector<uint32_t> retired;

    template <typename F>
    void Fields(F&& f) {
      f(streams, retired);
    }
    bool operator==(const State&) const = default;
  };

  // `key` is master key and salt, SrtpKeySize(profile) bytes. InitSrtp must have succeeded.
  SrtpReceiver(SrtpProfile profile, std::span<const uint8_t> key);
  // The state may be up to 32767 packets old. The replay window starts empty below the highest
  // index: the 1023 packets before it would be taken a second time, where the sequence numbers of
  // the stream layer make them kDuplicate. SRTCP, which has nobody behind it to notice, is only
  // taken above the highest index.
  SrtpReceiver(SrtpProfile profile, std::span<const uint8_t> key, const State& state);

  // Names an SSRC whose RTP is wanted. False when kMaxStreams are in use.
  bool AddStream(uint32_t ssrc);
  void RemoveStream(uint32_t ssrc);
  bool HasStream(uint32_t ssrc) const;

  // Decrypts in place and takes the tag off. A reason: kMalformed, kUnknownSsrc, kSrtpAuth,
  // kSrtpReplay; the bytes of a packet that was refused are of no more use.
  std::optional<DropReason> UnprotectRtp(Packet& packet);
  // The same for a packet of an SSRC that is not named: authentic, it names the SSRC; else nothing
  // is left of it. The stream is taken to be in its first 65536 packets.
  std::optional<DropReason> TryUnprotectRtp(Packet& packet);
  // RTCP is taken from any SSRC, since a receiver's own SSRC is never signalled.
  std::optional<DropReason> UnprotectRtcp(Packet& packet);
  // After an authentic packet of a new SSRC there may be one stream too many.
  bool IsOverfull() const { return streams_.size() > kMaxStreams; }
  // Ends the stream that was idle for longest, of those that are not in `in_use`, for good.
  void RetireOldest(std::span<const uint32_t> in_use);

  State Export() const;

 private:
  struct Stream {
    uint32_t ssrc = 0;
    StreamState state;
    uint32_t rtcp_floor = 0;  // SRTCP indexes below it may be replays of what another node took.
  };

  const Stream* Find(uint32_t ssrc) const;
  Stream* Find(uint32_t ssrc);
  // The stream of `ssrc`, made if need be; null when there is no room.
  Stream* FindOrMake(uint32_t ssrc);
  // A stream of an SSRC that is not there may not be made.
  bool MayNotBegin(uint32_t ssrc) const;
  std::optional<DropReason> Unprotect(Stream& stream, Packet& packet);
  std::optional<uint32_t> PeekRtcpIndex(const Packet& packet) const;
  // Brings libsrtp to `index` of `ssrc` by packets that `scratch` protects.
  void Seed(srtp_ctx_t_* scratch, uint32_t ssrc, uint64_t index);

  SrtpProfile profile_;
  SrtpSession session_;
  CipherFootprint footprint_;
  std::vector<Stream> streams_;
  std::vector<uint32_t> retired_;
  uint64_t uses_ = 0;
};

}  // namespace vigil::transport
