#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "gateway/base/time.h"
#include "gateway/ice/credentials.h"
#include "gateway/io/fd.h"
#include "tests/support/client_transport.h"
#include "tests/support/dtls_client.h"

namespace vigil::bench {

// One WebRTC client of a gateway over UDP on loopback: checks, DTLS, SRTP; no media of its own. One
// thread; never blocks.
class MediaClient {
 public:
  // Gives the offer to the gateway and returns its answer.
  using Exchange = std::function<std::string(const std::string& offer)>;

  // `offer`: one that a browser made; credentials and fingerprint are put in.
  MediaClient(std::string offer, const Exchange& exchange);

  // Reads what has come and sends what is due. Throws if the handshake failed.
  void Turn(Timestamp now);
  bool connected() const { return media_ != nullptr; }
  void SendRtp(std::span<const uint8_t> plain);
  uint64_t received() const { return received_; }

 private:
  void Handle(std::span<const uint8_t> datagram, Timestamp now);
  void Send(std::span<const uint8_t> bytes);
  void Send(const transport::Datagrams& flight);

  io::Fd socket_;
  testing::DtlsClient dtls_;
  bool handshaking_ = false;
  sim::ClientTransport::Identity identity_;
  std::unique_ptr<sim::ClientTransport> checks_;  // Until the keys are known.
  std::unique_ptr<sim::ClientTransport> media_;
  uint64_t received_ = 0;
};

}  // namespace vigil::bench
