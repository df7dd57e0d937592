#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "gateway/transport/datagram_bio.h"

struct ssl_st;  // OpenSSL's SSL.

namespace vigil::transport {

// What is left to do on a DTLS association once its handshake is over and the SRTP keys are out:
// repeat our last flight when the client did not get it, notice its close_notify, and say ours.
// OpenSSL's state would take 31 to 40 kB of each peer for that (measured, OpenSSL 3.0) and cannot
// be exported; these few hundred bytes can. Records are opened and sealed as RFC 6347, 4.1.2 and
// RFC 5288 say, with AES-GCM, the only cipher DtlsContext negotiates.
class DtlsEpilogue {
 public:
  enum class Event : uint8_t {
    kNothing,           // Forged, or of no interest.
    kRepeatedFinished,  // The client missed our last flight.
    kClosed,            // close_notify or a fatal alert, authentic.
  };

  DtlsEpilogue() = default;  // To be read from an archive.
  // Of an association whose handshake just ended with `last_flight`. Empty when OpenSSL does not
  // give its secrets.
  static std::optional<DtlsEpilogue> AfterHandshake(ssl_st* ssl, Datagrams last_flight);

  // Reads a datagram that DtlsRecordFilter passed.
  Event HandleRecords(std::span<const uint8_t> records) const;
  const Datagrams& last_flight() const { return last_flight_; }
  // An encrypted close_notify, as one datagram. May be sent once.
  std::vector<uint8_t> MakeCloseNotify() const;

  template <typename F>
  void Fields(F&& f) {
    f(key_size_, client_, server_, last_flight_);
  }

 private:
  struct Direction {
    std::array<uint8_t, 32> key{};  // key_size_ bytes of it.
    std::array<uint8_t, 4> salt{};  // The implicit part of the nonce.

    template <typename F>
    void Fields(F&& f) {
      f(key, salt);
    }
  };
  // A record of the client's without its protection; empty if it is not authentic.
  std::optional<std::vector<uint8_t>> Open(std::span<const uint8_t> header,
                                           std::span<const uint8_t> body) const;

  uint8_t key_size_ = 0;
  Direction client_;
  Direction server_;
  Datagrams last_flight_;
};

}  // namespace vigil::transport
