#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "gateway/transport/certificate.h"
#include "gateway/transport/datagram_bio.h"
#include "gateway/transport/fingerprint.h"
#include "gateway/transport/srtp_keys.h"

struct ssl_ctx_st;
struct ssl_st;

namespace vigil::testing {

// The active (client) end of a DTLS-SRTP association as a browser has it, over memory: datagrams
// go in and come out, and only the caller decides what is lost, repeated or reordered. Its
// libssl timer never fires; Retransmit() repeats the last flight.
class DtlsClient {
 public:
  struct Options {
    // Small values cut the ClientHello into fragments.
    int mtu = 1200;
    // As browsers list them: the server's order must win.
    std::string srtp_profiles = "SRTP_AES128_CM_SHA1_80:SRTP_AEAD_AES_128_GCM";
    std::string ciphers = "ECDHE+AESGCM";
    int64_t wall_seconds = 1'700'000'000;
    bool send_certificate = true;
    // Puts that many bytes of made-up protocol names into the ClientHello, to make it long.
    int hello_padding = 0;
  };

  explicit DtlsClient(const Options& options);
  DtlsClient() : DtlsClient(Options()) {}
  ~DtlsClient();
  DtlsClient(const DtlsClient&) = delete;
  DtlsClient& operator=(const DtlsClient&) = delete;

  // The first flight.
  transport::Datagrams Start();
  // What it answers.
  transport::Datagrams HandleDatagram(std::span<const uint8_t> datagram);
  // The last flight once more. Its unencrypted records get new numbers, as they would from libssl;
  // the encrypted one keeps its own, since it cannot be sealed anew from here.
  transport::Datagrams Retransmit();
  // A close_notify, encrypted.
  transport::Datagrams Close();
  // An encrypted application data record.
  transport::Datagrams Send(std::span<const uint8_t> data);

  bool connected() const { return connected_; }
  bool failed() const { return failed_; }
  // The server said close_notify.
  bool closed() const { return closed_; }
  // Seen from this end: `local` is the client's.
  const std::optional<transport::SrtpKeys>& keys() const { return keys_; }
  // Of the client's certificate, SHA-256.
  const transport::Fingerprint& fingerprint() const { return fingerprint_; }
  // The same by another hash.
  transport::Fingerprint FingerprintBy(std::string_view algorithm) const;
  // Of the certificate the server showed.
  std::optional<transport::Fingerprint> ServerFingerprint() const;

 private:
  struct FreeSsl {
    void operator()(ssl_st* ssl) const;
    void operator()(ssl_ctx_st* context) const;
  };

  transport::Datagrams Continue();
  void OnConnected();

  transport::DatagramBio bio_;
  std::unique_ptr<ssl_ctx_st, FreeSsl> context_;
  std::unique_ptr<ssl_st, FreeSsl> ssl_;
  transport::Fingerprint fingerprint_;
  transport::Datagrams flight_;
  std::optional<transport::SrtpKeys> keys_;
  bool connected_ = false;
  bool failed_ = false;
  bool closed_ = false;
};

}  // namespace vigil::testing
