#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace vigil::transport {

constexpr size_t kRecordHeaderSize = 13;  // RFC 6347, 4.1.
constexpr uint16_t kDtls12 = 0xfefd;

// The content types of records (RFC 5246, 6.2.1) that mean anything here.
constexpr uint8_t kChangeCipherSpecRecord = 20;
constexpr uint8_t kAlertRecord = 21;
constexpr uint8_t kHandshakeRecord = 22;

// Messages longer than this are refused before OpenSSL reserves memory for them. A browser's
// ClientHello has 1.5 kB, its certificate less.
constexpr size_t kMaxHandshakeMessage = 8192;

// Lets those records of a client through that a passive DTLS 1.2 endpoint has any use for at a
// time. Before a connection is encrypted anybody who can forge the client's address can send
// anything, and much of it would be fatal to OpenSSL's state or, with a high sequence number, move
// its replay window past all that the client sends. So:
//  - only the four messages of a client's handshake pass, each with the one number it can have
//    (RFC 6347, 4.2.2; we send no HelloVerifyRequest): ClientHello 0, Certificate 1,
//    ClientKeyExchange 2, CertificateVerify 3; and never an unencrypted alert;
//  - unencrypted records are renumbered: nothing authenticates their numbers, and repeated messages
//    are found out by their own;
//  - once connected, only encrypted handshake messages and alerts pass.
class DtlsRecordFilter {
 public:
  enum class Phase : uint8_t {
    kHello,     // Waits for a ClientHello.
    kAnswered,  // The ClientHello has been answered; waits for the rest.
    kConnected,
  };
  struct Passed {
    size_t size = 0;            // Bytes written.
    bool client_hello = false;  // The datagram held the beginning of a ClientHello.
  };

  void set_phase(Phase phase) { phase_ = phase; }
  // Writes what passes of `datagram` to `out`, which is as long at least.
  Passed Filter(std::span<const uint8_t> datagram, std::span<uint8_t> out);

 private:
  bool IsPlainHandshake(std::span<const uint8_t> body, bool& client_hello) const;
  bool IsExpected(uint8_t message_type, uint16_t message_sequence) const;

  Phase phase_ = Phase::kHello;
  uint32_t next_sequence_ = 0;
};

}  // namespace vigil::transport
