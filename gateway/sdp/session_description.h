#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/rtp/codec.h"
#include "gateway/sdp/ice_attributes.h"
#include "gateway/sdp/line.h"

// A session description (RFC 8866) as plain values, as far as WebRTC (RFC 8829) uses it.

namespace vigil::sdp {

// Bounds of one description. Each is several times what browsers write; Parse refuses more.
constexpr size_t kMaxMediaSections = 64;
constexpr size_t kMaxGroups = 16;
constexpr size_t kMaxFormats = 128;  // As many as there are payload types.
constexpr size_t kMaxFeedbackPerPayload = 16;
constexpr size_t kMaxExtensions = 64;
constexpr size_t kMaxSsrcs = 64;
constexpr size_t kMaxSsrcGroups = 16;
constexpr size_t kMaxSsrcsPerGroup = 16;
constexpr size_t kMaxRids = 16;
constexpr size_t kMaxMsids = 16;
constexpr size_t kMaxFingerprints = 8;

enum class Direction : uint8_t { kSendRecv, kSendOnly, kRecvOnly, kInactive };
// "sendrecv", "sendonly", ...
std::string_view NameOf(Direction direction);
inline bool Sends(Direction d) { return d == Direction::kSendRecv || d == Direction::kSendOnly; }
inline bool Receives(Direction d) { return d == Direction::kSendRecv || d == Direction::kRecvOnly; }

// a=setup (RFC 4145, 4; RFC 8842).
enum class Setup : uint8_t { kActPass, kActive, kPassive, kHoldConn };
std::string_view NameOf(Setup setup);

// The hash functions of a=fingerprint that are good enough (RFC 8122, 5; not MD5, not SHA-1).
// Weakest first. SHA-224 is left out: nobody uses it for this.
enum class HashFunction : uint8_t { kSha256, kSha384, kSha512 };
std::string_view NameOf(HashFunction hash);  // "sha-256"
size_t DigestSizeOf(HashFunction hash);      // In bytes.

// A certificate's fingerprint (RFC 8122).
struct Fingerprint {
  HashFunction hash = HashFunction::kSha256;
  std::vector<uint8_t> digest;  // DigestSizeOf(hash) bytes.

  bool operator==(const Fingerprint&) const = default;
  template <typename F>
  void Fields(F&& f) {
    f(hash, digest);
  }
};

// "sha-256 AB:CD:..." as the value of a=fingerprint has it; nothing when malformed or of a hash
// function that is not in HashFunction.
std::optional<Fingerprint> ParseFingerprint(std::string_view text);
std::string WriteFingerprint(const Fingerprint& fingerprint);

// One payload type of an RTP m-section with what a=rtpmap, a=fmtp and a=rtcp-fb say about it.
struct Payload {
  uint8_t type = 0;         // 0..127
  std::string encoding;     // "VP8"; empty without a=rtpmap.
  uint32_t clock_rate = 0;  // Hz; 0 without a=rtpmap.
  uint8_t channels = 1;
  std::string format;                 // The parameters of a=fmtp, verbatim; empty when absent.
  std::vector<std::string> feedback;  // "nack", "nack pli", "transport-cc", ...

  bool operator==(const Payload&) const = default;
};

// The value of `name` among the semicolon-separated parameters of a=fmtp.
std::optional<std::string_view> FormatParameter(std::string_view format, std::string_view name);

// a=extmap (RFC 8285, 5).
struct HeaderExtension {
  uint16_t id = 0;
  std::string uri;
  std::optional<Direction> direction;

  bool operator==(const HeaderExtension&) const = default;
};

// a=msid (RFC 8830): which MediaStream and which track. The stream "-" is "none".
struct Msid {
  std::string stream;
  std::string track;  // May be empty.

  bool operator==(const Msid&) const = default;
};

// The a=ssrc lines of one SSRC (RFC 5576).
struct SsrcAttributes {
  uint32_t ssrc = 0;
  std::string cname;  // Empty when absent.
  std::string msid;   // "stream track" verbatim; empty when absent.

  bool operator==(const SsrcAttributes&) const = default;
};

// a=ssrc-group: "FID" pairs media with RTX (RFC 5576, 4.2), "SIM" is pre-standard simulcast.
struct SsrcGroup {
  std::string semantics;
  std::vector<uint32_t> ssrcs;

  bool operator==(const SsrcGroup&) const = default;
};

// a=rid (RFC 8851).
struct Rid {
  std::string id;
  bool sends = true;                   // "send", otherwise "recv".
  std::vector<uint8_t> payload_types;  // Of pt=; empty means any.
  std::string restrictions;            // The other parameters, verbatim.

  bool operator==(const Rid&) const = default;
};

// One simulcast stream is one rid or a choice of several, the preferred first (RFC 8853, 5.1).
struct SimulcastRid {
  std::string id;
  bool paused = false;  // "~"

  bool operator==(const SimulcastRid&) const = default;
};
using SimulcastStream = std::vector<SimulcastRid>;

// a=simulcast (RFC 8853).
struct Simulcast {
  std::vector<SimulcastStream> send;
  std::vector<SimulcastStream> receive;

  bool IsEmpty() const { return send.empty() && receive.empty(); }
  bool operator==(const Simulcast&) const = default;
};

// One m-section. Attributes that we have no use for are not kept.
struct MediaSection {
  std::string media;  // "audio", "video", "application", or whatever else was offered.
  uint16_t port = 9;
  std::string protocol = "UDP/TLS/RTP/SAVPF";
  std::vector<Payload> payloads;     // Of an RTP protocol, in the order of the m= line.
  std::vector<std::string> formats;  // Of any other protocol.

  std::string mid;  // Empty when absent.
  Direction direction = Direction::kSendRecv;
  bool bundle_only = false;
  bool rtcp_mux = false;
  bool rtcp_reduced_size = false;
  bool extmap_allow_mixed = false;
  IceAttributes ice;
  std::vector<Fingerprint> fingerprints;
  std::optional<Setup> setup;
  std::vector<HeaderExtension> extensions;
  std::vector<Msid> msids;
  std::vector<SsrcGroup> ssrc_groups;
  std::vector<SsrcAttributes> ssrcs;
  std::vector<Rid> rids;
  Simulcast simulcast;

  // Nothing for sections that are neither "audio" nor "video".
  std::optional<rtp::MediaKind> Kind() const;
  bool IsRtp() const { return protocol.find("RTP/") != std::string::npos; }

  bool operator==(const MediaSection&) const = default;
};

// o= (RFC 8866, 5.2).
struct Origin {
  std::string username = "-";
  std::string session_id = "0";
  std::string session_version = "0";
  std::string address = "IN IP4 127.0.0.1";

  bool operator==(const Origin&) const = default;
};

// a=group (RFC 5888).
struct Group {
  std::string semantics;
  std::vector<std::string> mids;

  bool operator==(const Group&) const = default;
};

// Attributes of session level that are also defaults for the m-sections (ICE credentials and
// options, fingerprints, setup, direction, extmap, extmap-allow-mixed) are kept in each m-section
// that has none of its own, so a reader never looks in two places.
struct SessionDescription {
  Origin origin;
  bool ice_lite = false;
  std::vector<Group> groups;
  std::vector<MediaSection> media;

  bool operator==(const SessionDescription&) const = default;
};

// Strict in what media depends on, lenient in the rest: unknown lines and attributes, and
// attributes of payload types that the m= line does not list, are skipped. Every error is an
// InvalidArgument of one sentence that names the line, fit for the body of an HTTP 400.
absl::StatusOr<SessionDescription> Parse(std::string_view text);

// The text, lines ended by CRLF. Parse(Write(x)) == x for every x that Parse returned.
std::string Write(const SessionDescription& description);

}  // namespace vigil::sdp
