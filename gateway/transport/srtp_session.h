#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "gateway/base/drop_reason.h"
#include "gateway/transport/srtp_keys.h"

struct srtp_ctx_t_;  // libsrtp's session.

// What sender and receiver share of libsrtp.

namespace vigil::transport {

struct FreeSrtpSession {
  void operator()(srtp_ctx_t_* session) const;
};
using SrtpSession = std::unique_ptr<srtp_ctx_t_, FreeSrtpSession>;

enum class SrtpDirection : uint8_t { kOutbound, kInbound };

// 128 would lose what is reordered by more in a burst; 1024 costs 128 bytes a stream.
constexpr unsigned kReplayWindow = 1024;

// A session of one key. It has no streams at first: libsrtp makes one for each SSRC it is shown,
// which shares the ciphers of the session, so that a stream takes some 500 bytes instead of 3 kB.
// The owner shows it only SSRCs which it has chosen. InitSrtp must have succeeded.
SrtpSession MakeSrtpSession(SrtpProfile profile, std::span<const uint8_t> key,
                            SrtpDirection direction);

// Smallest well-formed packets, which move libsrtp's counters and are thrown away. Room for a tag
// is behind them.
struct DummyPacket {
  static DummyPacket Rtp(uint32_t ssrc, uint16_t sequence);
  static DummyPacket Rtcp(uint32_t ssrc);

  alignas(8) std::array<uint8_t, 64> bytes{};
  int size = 0;
};

}  // namespace vigil::transport
