#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "gateway/rtp/codec.h"
#include "gateway/sdp/session_description.h"

// From the rtpmap and fmtp of an offered payload type to a codec, and to the fmtp of the answer.

namespace vigil::sdp {

// The codec that we can forward: Opus, VP8, VP9 of profile 0 or 2, AV1 of profile 0, H.264 of
// (constrained) baseline, main or high profile in either packetization mode. Nothing for all else,
// red, ulpfec, comfort noise and telephone events among them: forwarded without understanding they
// would break the sequence rewriting, and Opus carries its own FEC.
std::optional<rtp::Codec> CodecOf(const Payload& payload);

// The payload type that an RTX payload repairs (RFC 4588, 8.1), or nothing if it is not RTX.
std::optional<uint8_t> AptOf(const Payload& payload);

// What the answer's a=fmtp says for an accepted payload; empty means no line. `we_receive` is
// true for a track that the client sends to us.
std::string AnswerFormat(const Payload& offered, const rtp::Codec& codec, bool we_receive);

}  // namespace vigil::sdp
