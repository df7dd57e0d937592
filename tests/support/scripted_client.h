#pragma once

#include <cstdint>
#include <optional>

#include "gateway/base/packet_pool.h"
#include "gateway/base/time.h"
#include "gateway/rtp/ntp_time.h"
#include "gateway/rtp/parameters.h"
#include "gateway/sfu/command.h"
#include "gateway/transport/srtp_keys.h"
#include "tests/support/client_transport.h"

namespace vigil::sim {

// The NTP clock of the simulated world at its instant zero; each client's own clock is off by an
// offset of its own.
constexpr rtp::WallClock kWorldClock{TimeDelta::Seconds(3'950'000'000)};

// The payload types and header extensions of every scripted client's offer.
rtp::PayloadMapping PayloadOf(const rtp::Codec& codec);
rtp::ExtensionMap AllExtensions();
constexpr rtp::Codec kOpus{.type = rtp::CodecType::kOpus};
constexpr rtp::Codec kVp8{.type = rtp::CodecType::kVp8};
constexpr rtp::Codec kVp9{.type = rtp::CodecType::kVp9};
constexpr rtp::Codec kAv1{.type = rtp::CodecType::kAv1};
constexpr rtp::Codec kH264{
    .type = rtp::CodecType::kH264, .profile = 0x42e0, .packetization_mode = 1};
rtp::FeedbackOptions AllFeedback();

struct ClientOptions {
  PeerId peer;
  GroupId group{1};
  SiteId site{1};
  uint64_t seed = 1;
  transport::SrtpProfile profile = transport::SrtpProfile::kAeadAes128Gcm;
  TimeDelta wall_offset;  // This client's NTP clock minus the world's.
};

// What all scripted clients have in common, as the world drives them. Time is the world's.
class ScriptedClient {
 public:
  explicit ScriptedClient(const ClientOptions& options)
      : options_(options),
        transport_(ClientTransport::MakeIdentity(options.seed * 2 + 1, options.profile)) {}
  virtual ~ScriptedClient() = default;
  ScriptedClient(const ScriptedClient&) = delete;
  ScriptedClient& operator=(const ScriptedClient&) = delete;

  // The command that makes the gateway know this client.
  virtual sfu::CreatePeer Describe() const = 0;
  // Consumes a datagram of the gateway.
  virtual void HandleDatagram(Packet& packet, Timestamp now, ClientOutput& out) = 0;
  virtual void HandleTimers(Timestamp now, ClientOutput& out) = 0;
  virtual Timestamp NextDeadline() const = 0;

  PeerId peer() const { return options_.peer; }
  const ClientOptions& client_options() const { return options_; }
  ClientTransport& transport() { return transport_; }
  const ClientTransport& transport() const { return transport_; }
  rtp::NtpTime NtpAt(Timestamp now) const { return kWorldClock.At(now + options_.wall_offset); }

 private:
  ClientOptions options_;
  ClientTransport transport_;
};

}  // namespace vigil::sim
