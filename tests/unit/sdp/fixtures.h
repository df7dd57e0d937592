#pragma once

#include <array>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>

#include "gateway/sdp/answer.h"

// Offers and options shared by the tests of sdp/.

namespace vigil::sdp {

struct FixtureName {
  const char* name;  // tests/fixtures/sdp/<name>.sdp, answered in <name>.answer.sdp
  Role role;
};

// chromium-*, aiortc-* and gstreamer-* are recorded (tests/fixtures/record); firefox-* is written
// after what Firefox is known to offer.
inline constexpr std::array kFixtures = {
    FixtureName{"aiortc-publish", Role::kPublish},
    FixtureName{"chromium-play", Role::kPlay},
    FixtureName{"chromium-play-two-pictures", Role::kPlay},
    FixtureName{"chromium-publish", Role::kPublish},
    FixtureName{"chromium-publish-capture-time", Role::kPublish},
    FixtureName{"chromium-publish-h264", Role::kPublish},
    FixtureName{"chromium-publish-max-bundle", Role::kPublish},
    FixtureName{"chromium-publish-simulcast", Role::kPublish},
    FixtureName{"firefox-publish", Role::kPublish},
    FixtureName{"gstreamer-publish", Role::kPublish},
};

inline std::string FixturePath(std::string_view file) {
  return std::string(VIGIL_SOURCE_DIR "/tests/fixtures/sdp/") + std::string(file);
}

// Empty if there is no such file.
inline std::string ReadFixture(std::string_view file) {
  std::ifstream in(FixturePath(file), std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// Options with everything set that an answer can show.
inline AnswerOptions OptionsFor(Role role) {
  AnswerOptions options;
  options.role = role;
  options.session_id = 4711;
  options.ice_ufrag = "g7k1";
  options.ice_password = "kXn9PqTz3LwVb6RmYc2HsD";
  options.fingerprint.digest.resize(32);
  for (uint8_t i = 0; i < 32; ++i) options.fingerprint.digest[i] = static_cast<uint8_t>(i * 8);
  Candidate udp;
  udp.foundation = "1";
  udp.priority = 2'130'706'431;
  udp.address = "192.0.2.1";
  udp.port = 7000;
  Candidate tcp = udp;
  tcp.foundation = "2";
  tcp.transport = Transport::kTcp;
  tcp.priority = 1'671'430'143;
  tcp.tcp_type = "passive";
  options.candidates = {udp, tcp};
  options.send_ssrcs = {{1000, 1001}, {2000, 2001}, {3000, 3001}};
  options.local_ssrc = 77;
  options.cname = "vigil-cname";
  return options;
}

// A publishing offer with one sound and one picture m-line, as short as the rules allow.
inline constexpr std::string_view kMinimalOffer =
    "v=0\r\n"
    "o=- 1 2 IN IP4 127.0.0.1\r\n"
    "s=-\r\n"
    "t=0 0\r\n"
    "a=group:BUNDLE 0 1\r\n"
    "a=ice-ufrag:abcd\r\n"
    "a=ice-pwd:0123456789abcdefghijkl\r\n"
    "a=fingerprint:sha-256 "
    "00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:"
    "10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F\r\n"
    "a=setup:actpass\r\n"
    "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"
    "c=IN IP4 0.0.0.0\r\n"
    "a=mid:0\r\n"
    "a=sendrecv\r\n"
    "a=rtcp-mux\r\n"
    "a=rtpmap:111 opus/48000/2\r\n"
    "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\n"
    "c=IN IP4 0.0.0.0\r\n"
    "a=mid:1\r\n"
    "a=sendrecv\r\n"
    "a=rtcp-mux\r\n"
    "a=rtpmap:96 VP8/90000\r\n"
    "a=rtpmap:97 rtx/90000\r\n"
    "a=fmtp:97 apt=96\r\n";

// `text` with the first `from` replaced by `to`; unchanged (and the test then fails by what it
// expects) if there is none.
inline std::string With(std::string_view text, std::string_view from, std::string_view to) {
  std::string out(text);
  const size_t at = out.find(from);
  if (at != std::string::npos) out.replace(at, from.size(), to);
  return out;
}

}  // namespace vigil::sdp
