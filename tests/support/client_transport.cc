#include "tests/support/client_transport.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "gateway/base/byte_io.h"
#include "gateway/base/check.h"
#include "gateway/base/rng.h"
#include "gateway/transport/demux.h"
#include "gateway/transport/evp_cipher.h"
#include "tests/unit/ice/stun_messages.h"

namespace vigil::sim {
namespace {

namespace stun = ice::testing;

constexpr TimeDelta kFirstChecks = TimeDelta::Millis(50);

transport::SrtpKeys Initialised(transport::SrtpKeys keys) {
  VIGIL_CHECK(transport::InitSrtp().ok());
  return keys;
}

std::string RandomText(Rng& rng, size_t size) {
  std::string text;
  for (size_t i = 0; i < size; ++i) text.push_back(static_cast<char>('a' + rng.Below(26)));
  return text;
}

Packet MakePacket(std::span<const uint8_t> bytes) {
  Packet packet;
  VIGIL_CHECK(bytes.size() + transport::SrtpSender::kMaxTrailer <= packet.data.size());
  std::memcpy(packet.data.data(), bytes.data(), bytes.size());
  packet.size = static_cast<uint16_t>(bytes.size());
  return packet;
}

}  // namespace

ClientTransport::Identity ClientTransport::MakeIdentity(uint64_t seed,
                                                        transport::SrtpProfile profile) {
  Rng rng(seed);
  Identity identity;
  identity.address = ClientAddress::V4(
      10, static_cast<uint8_t>(rng.Next()), static_cast<uint8_t>(rng.Next()),
      static_cast<uint8_t>(rng.Next()), static_cast<uint16_t>(1024 + rng.Below(60'000)));
  identity.gateway = {RandomText(rng, 12), RandomText(rng, 24)};
  identity.client = {RandomText(rng, 4), RandomText(rng, 24)};
  identity.keys.profile = profile;
  rng.Fill(identity.keys.local);
  rng.Fill(identity.keys.remote);
  // Bytes behind the end of the key are never sent, so they would not come back from a command.
  for (size_t i = transport::SrtpKeySize(profile); i < transport::kMaxSrtpKeySize; ++i) {
    identity.keys.local[i] = identity.keys.remote[i] = 0;
  }
  return identity;
}

ClientTransport::ClientTransport(Identity identity)
    : identity_(std::move(identity)),
      sender_(identity_.keys.profile, Initialised(identity_.keys).RemoteKey()),
      receiver_(identity_.keys.profile, identity_.keys.LocalKey()) {}

sfu::TransportDescription ClientTransport::Describe() const {
  const auto bytes = [](std::span<const uint8_t> key) {
    return std::vector<uint8_t>(key.begin(), key.end());
  };
  return {.local_ufrag = identity_.gateway.ufrag,
          .local_password = identity_.gateway.password,
          .remote_ufrag = identity_.client.ufrag,
          .remote_password = identity_.client.password,
          .fingerprint_algorithm = {},
          .fingerprint = {},
          .srtp_profile = static_cast<uint8_t>(identity_.keys.profile),
          .srtp_local_key = bytes(identity_.keys.LocalKey()),
          .srtp_remote_key = bytes(identity_.keys.RemoteKey())};
}

ClientTransport::Kind ClientTransport::Receive(Packet& packet, Timestamp now) {
  switch (transport::Classify(packet.bytes())) {
    case transport::DatagramKind::kStun:
      if (stun::TypeOf(packet.bytes()) == 0x0101 &&
          stun::IsSealed(packet.bytes(), identity_.gateway.password)) {
        ++responses_;
        if (!answered_) next_check_ = now + kCheckInterval;
        answered_ = true;
      }
      return Kind::kOther;
    case transport::DatagramKind::kRtp:
      if (!receiver_.UnprotectRtp(packet)) return Kind::kRtp;
      break;
    case transport::DatagramKind::kRtcp:
      if (!receiver_.UnprotectRtcp(packet)) return Kind::kRtcp;
      break;
    default:
      break;
  }
  ++refused_;
  return Kind::kOther;
}

void ClientTransport::SendRtp(std::span<const uint8_t> plain, ClientOutput& out) {
  Packet packet = MakePacket(plain);
  sender_.AddStream(ReadU32(plain.data() + 8));
  VIGIL_CHECK(!sender_.ProtectRtp(packet));
  out.push_back({identity_.address, {packet.bytes().begin(), packet.bytes().end()}});
}

void ClientTransport::SendRtcp(std::span<const uint8_t> plain, ClientOutput& out) {
  Packet packet = MakePacket(plain);
  sender_.AddStream(ReadU32(plain.data() + 4));
  VIGIL_CHECK(!sender_.ProtectRtcp(packet));
  out.push_back({identity_.address, {packet.bytes().begin(), packet.bytes().end()}});
}

std::vector<uint8_t> ClientTransport::MakeCheck(bool use_candidate) {
  const uint8_t tie_breaker[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  const uint8_t priority[4] = {0x6e, 0, 1, 0xff};
  stun::MessageBuilder message(0x0001, ++transaction_);
  message.Attribute(0x0006, identity_.gateway.ufrag + ":" + identity_.client.ufrag);
  message.Attribute(0x802a, tie_breaker);
  if (use_candidate) message.Attribute(0x0025, std::string_view());
  message.Attribute(0x0024, priority);
  message.Integrity(identity_.gateway.password);
  message.Fingerprint();
  return message.Take();
}

void ClientTransport::SendCheckIfDue(Timestamp now, ClientOutput& out) {
  if (now < next_check()) return;
  out.push_back({identity_.address, MakeCheck(/*use_candidate=*/true)});
  next_check_ = now + (answered_ ? kCheckInterval : kFirstChecks);
}

void ClientTransport::MoveTo(const ClientAddress& address, Timestamp now) {
  identity_.address = address;
  answered_ = false;
  next_check_ = now;
}

void ClientTransport::Restart(const ice::Credentials& gateway, const ice::Credentials& client,
                              Timestamp now) {
  identity_.gateway = gateway;
  identity_.client = client;
  answered_ = false;
  next_check_ = now;
}

}  // namespace vigil::sim
