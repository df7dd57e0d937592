#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
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

// Encrypts what one peer is sent. One thread.
//
// An SRTP index that is used twice under one key with different bytes gives away plaintext and,
// with GCM, the authentication key (RFC 7714, 14). So each outgoing SSRC has, for SRTP and for
// SRTCP, a counter with a limit: only indexes below the limit may be used, and a standby which
// takes over without knowing how many were starts behind it. SRTCP is counted per SSRC too,
// because its index belongs to the cryptographic context of the SSRC that a compound packet starts
// with (RFC 3711, 3.2.1 and 3.4).
class SrtpSender {
 public:
  static constexpr uint64_t kUnlimited = std::numeric_limits<uint64_t>::max();
  // SRTCP begins with index 1, as libsrtp does.
  static constexpr uint64_t kFirstRtcpIndex = 1;
  // How far behind the limit a successor starts. Over 1000, so that libwebrtc drops its list of
  // missing packets and asks for a keyframe; far under 32768, so that the receiver's guess of the
  // rollover counter stays right.
  static constexpr uint64_t kFaultJump = 1024;
  // What protection may add to a packet.
  static constexpr size_t kMaxTrailer = 16 + 4;

  struct Counter {
    uint64_t next_index = 0;
    uint64_t limit = kUnlimited;  // The first index that may not be used.

    template <typename F>
    void Fields(F&& f) {
      f(next_index, limit);
    }
    bool operator==(const Counter&) const = default;
  };
  struct StreamState {
    Counter rtp;
    Counter rtcp = {.next_index = kFirstRtcpIndex};

    template <typename F>
    void Fields(F&& f) {
      f(rtp, rtcp);
    }
    bool operator==(const StreamState&) const = default;
  };
  struct State {
    std::map<uint32_t, StreamState> streams;  // By SSRC.

    template <typename F>
    void Fields(F&& f) {
      f(streams);
    }
    bool operator==(const State&) const = default;
  };
  enum class RestoreMode : uint8_t {
    kExact,       // The state is the owner's last word: goes on at `next_index`.
    kAfterFault,  // The owner died, and may have used anything below `limit`.
  };

  // `key` is master key and salt, SrtpKeySize(profile) bytes. InitSrtp must have succeeded.
  SrtpSender(SrtpProfile profile, std::span<const uint8_t> key);
  // After a fault every counter starts at limit + kFaultJump, so that no limit may be kUnlimited,
  // and nothing can be sent until limits have been raised. Costs one dummy packet (0.2 us) for each
  // SRTCP index that was used.
  SrtpSender(SrtpProfile profile, std::span<const uint8_t> key, const State& state,
             RestoreMode mode);

  // Names an SSRC that will be sent, as RTP or at the front of RTCP. No effect on one that is there
  // already. There is no way to remove one: its counters must outlive its use.
  void AddStream(uint32_t ssrc);
  bool HasStream(uint32_t ssrc) const { return Find(ssrc) != nullptr; }

  // Encrypts in place and grows the packet by its tag. A reason, and an untouched packet:
  // kMalformed, kOversized (no room for the tag), kUnknownSsrc, kSrtpIndexReserve (at the limit),
  // kDuplicate (its index was used already), kTooOld (more than 1023 behind the newest, or from
  // before a restore: it may have been used).
  //
  // The index is the sequence number unwrapped, starting at rollover counter 0; so it is the
  // stream layer's own unwrapped counter, as long as that starts below 2^15 and jumps by less. The
  // caller who has that counter gives it as `index`, and gets kSrtpIndexMismatch if it is not so.
  std::optional<DropReason> ProtectRtp(Packet& packet, std::optional<uint64_t> index = {});
  // Why a packet of this index would be refused, as far as that does not depend on the packet:
  // kUnknownSsrc, kTooOld, kSrtpIndexReserve, kSrtpIndexMismatch. To be asked before anything is
  // counted for the packet.
  std::optional<DropReason> CheckRtp(uint32_t ssrc, uint64_t index) const;
  // The same for a compound packet whose first packet is of one of our SSRCs.
  std::optional<DropReason> ProtectRtcp(Packet& packet);
  // Asks the cache for what ProtectRtp will touch. Worth it one packet ahead, in a batch that goes
  // to many peers.
  [[gnu::always_inline]] inline void Prefetch() const {
    footprint_.Prefetch();
    __builtin_prefetch(streams_.data());
  }

  void SetLimit(uint32_t ssrc, uint64_t limit);
  void SetRtcpLimit(uint32_t ssrc, uint64_t limit);
  // The lowest index that is higher than all used or given up; the stream layer goes on here.
  uint64_t next_index(uint32_t ssrc) const;
  uint64_t next_rtcp_index(uint32_t ssrc) const;

  // Gives up all indexes below `index`. A standby does this as limits arrive, so that nothing is
  // left to do at a takeover (one dummy packet for each SRTCP index).
  void AdvanceTo(uint32_t ssrc, uint64_t index);
  void AdvanceRtcpTo(uint32_t ssrc, uint64_t index);

  State Export() const;

 private:
  struct Stream {
    uint32_t ssrc = 0;
    Counter rtp;
    Counter rtcp = {.next_index = kFirstRtcpIndex};
    // Indexes below this one may have been used by somebody whose replay window we do not have.
    uint64_t floor = 0;
    // The highest index libsrtp has seen; nothing before its first packet.
    std::optional<uint64_t> highest;
  };

  const Stream* Find(uint32_t ssrc) const;
  Stream* Find(uint32_t ssrc);
  static std::optional<DropReason> Check(const Stream& stream, int64_t index);
  // Makes libsrtp guess the rollover counter of `index` right.
  void Position(Stream& stream, uint64_t index);
  void ProtectDummy(Stream& stream, uint16_t sequence);

  SrtpSession session_;
  CipherFootprint footprint_;
  std::vector<Stream> streams_;
};

}  // namespace vigil::transport
