#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "gateway/base/client_address.h"
#include "gateway/base/packet_pool.h"
#include "gateway/base/time.h"
#include "gateway/ice/credentials.h"
#include "gateway/sfu/command.h"
#include "gateway/transport/srtp_keys.h"
#include "gateway/transport/srtp_receiver.h"
#include "gateway/transport/srtp_sender.h"

namespace vigil::sim {

// A datagram of a client, and the address it is sent from.
struct ClientDatagram {
  ClientAddress from;
  std::vector<uint8_t> bytes;
};
using ClientOutput = std::vector<ClientDatagram>;

// The client's end of one ICE and SRTP association with injected keys: the controlling agent, that
// checks every 2.5 s as Chromium does, faster until it has been answered.
class ClientTransport {
 public:
  static constexpr TimeDelta kCheckInterval = TimeDelta::Millis(2500);

  struct Identity {
    ClientAddress address;
    ice::Credentials gateway;
    ice::Credentials client;
    transport::SrtpKeys keys;  // As the gateway sees them: `local` is the gateway's.
  };
  // Drawn from `seed`, unlike that of any other.
  static Identity MakeIdentity(uint64_t seed, transport::SrtpProfile profile);

  explicit ClientTransport(Identity identity);

  // How the gateway is told of this client.
  sfu::TransportDescription Describe() const;

  enum class Kind : uint8_t { kOther, kRtp, kRtcp };
  // Decrypts in place. kOther: a STUN response, or something that is not for us.
  Kind Receive(Packet& packet, Timestamp now);
  void SendRtp(std::span<const uint8_t> plain, ClientOutput& out);
  void SendRtcp(std::span<const uint8_t> plain, ClientOutput& out);
  void SendCheckIfDue(Timestamp now, ClientOutput& out);
  Timestamp next_check() const { return checks_stopped_ ? Timestamp::Never() : next_check_; }

  // Where the client sends from. A check follows at once.
  void MoveTo(const ClientAddress& address, Timestamp now);
  // An ICE restart: the gateway's new credentials, and ours.
  void Restart(const ice::Credentials& gateway, const ice::Credentials& client, Timestamp now);
  void StopChecks() { checks_stopped_ = true; }

  const Identity& identity() const { return identity_; }
  bool connected() const { return responses_ > 0; }
  uint64_t responses() const { return responses_; }
  uint64_t refused() const { return refused_; }  // What could not be decrypted.
  void ExpectStream(uint32_t ssrc) { receiver_.AddStream(ssrc); }
  std::vector<uint8_t> MakeCheck(bool use_candidate);

 private:
  Identity identity_;
  transport::SrtpSender sender_;
  transport::SrtpReceiver receiver_;
  Timestamp next_check_ = Timestamp::LongAgo();
  bool checks_stopped_ = false;
  bool answered_ = false;  // Since the last move or restart.
  uint8_t transaction_ = 0;
  uint64_t responses_ = 0;
  uint64_t refused_ = 0;
};

}  // namespace vigil::sim
