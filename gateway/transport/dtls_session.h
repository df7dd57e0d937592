#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "gateway/base/time.h"
#include "gateway/transport/datagram_bio.h"
#include "gateway/transport/dtls_context.h"
#include "gateway/transport/dtls_epilogue.h"
#include "gateway/transport/dtls_records.h"
#include "gateway/transport/fingerprint.h"
#include "gateway/transport/srtp_keys.h"

struct ssl_st;  // OpenSSL's SSL.

namespace vigil::transport {

// The passive (server) end of one DTLS-SRTP association (RFC 5764). One thread.
//
// It is to be shown datagrams of validated addresses only (the ICE gate). Behind that gate a
// forged datagram still cannot end or disturb a session that is connected: OpenSSL's state is gone
// by then, and only an authentic record means anything (DtlsEpilogue). Before that, what cannot
// belong to a handshake does not reach OpenSSL either (DtlsRecordFilter); a forged message that
// does and is fatal to OpenSSL costs one attempt: OpenSSL's state is thrown away, its alert is not
// sent, and the client's next ClientHello begins anew. So whoever can forge the address of a
// validated client in the few round trips of its handshake can still make that handshake fail, as
// he can by forging answers to the client; he can do no more, and no harm later.
//
// Memory is bounded: OpenSSL keeps at most ten messages ahead, each of at most
// kMaxHandshakeMessage bytes, and 100 records of the next epoch; and datagrams are taken at a
// limited rate, because each may cost a signature or a key agreement.
//
// libssl reads the clock and cannot be told the time, so its retransmission timer is never let
// run: the session keeps its last flight and sends those datagrams again by its own timer. The
// repeated records have the same numbers, so a client drops those which it has (RFC 6347, 4.1.2.6)
// and takes those which it missed.
class DtlsSession {
 public:
  struct Options {
    // The first retransmission. libwebrtc's own is 50 ms; RFC 6347's 1 s is a visible delay of the
    // first picture for every lost datagram. Lower repeats needlessly over slow paths.
    TimeDelta first_timeout = TimeDelta::Millis(100);
    TimeDelta longest_timeout = TimeDelta::Seconds(3);
    // The client is given up after this many (18 s with the defaults).
    int max_retransmissions = 10;
    // Handshakes that may fail on the way to one that does not. Lower gives a forger of
    // ClientHellos an easier end; higher keeps a client longer that has no cipher or profile in
    // common with us.
    int max_attempts = 16;
  };
  // Datagrams shown to OpenSSL per second, and at most at once. A browser's whole side of a
  // handshake takes six.
  static constexpr int kDatagramsPerSecond = 64;

  enum class Result : uint8_t {
    kHandshaking,  // Taken; not connected yet.
    kConnected,    // Reported once: keys() can be used.
    kIgnored,      // Of no use now: forged, repeated, too many, or after the end.
    kClosed,       // The client said close_notify or sent an authentic fatal alert. Final.
    kFailed,       // Wrong fingerprint, no common profile, or given up. Final.
  };

  // All that a connected session is. One that is still in its handshake cannot be exported.
  struct Connected {
    SrtpKeys keys;
    DtlsEpilogue epilogue;

    template <typename F>
    void Fields(F&& f) {
      f(keys, epilogue);
    }
  };

  // `context` must outlive the session. `remote` is what the client's SDP said: one fingerprint, or
  // several of one algorithm.
  DtlsSession(const DtlsContext& context, Fingerprint remote, const Options& options);
  // Goes on with a session of another node.
  DtlsSession(const DtlsContext& context, Connected connected, const Options& options);
  ~DtlsSession();
  DtlsSession(const DtlsSession&) = delete;
  DtlsSession& operator=(const DtlsSession&) = delete;

  // Appends what has to be sent to `out`, one datagram each.
  Result HandleDatagram(std::span<const uint8_t> datagram, Timestamp now, Datagrams& out);
  // When HandleTimeout wants to be called; Never while no flight waits for an answer.
  Timestamp NextDeadline() const { return deadline_; }
  // kHandshaking after a retransmission, kFailed when the client has been given up, else kIgnored.
  Result HandleTimeout(Timestamp now, Datagrams& out);

  // Tells a connected client with close_notify that this is the end (Chromium then closes the
  // whole connection); never to be used for a drain or a takeover. No effect otherwise.
  void Close(Datagrams& out);

  bool connected() const { return connected_.has_value(); }
  // Null while not connected.
  const SrtpKeys* keys() const { return connected_ ? &connected_->keys : nullptr; }
  const std::optional<Connected>& Export() const { return connected_; }

 private:
  enum class State : uint8_t { kHandshaking, kConnected, kClosed, kFailed };

  struct FreeSsl {
    void operator()(ssl_st* ssl) const;
  };

  bool TakeToken(Timestamp now);
  void MakeSsl();
  // Runs OpenSSL's handshake over what has been put into bio_.
  Result ContinueHandshake(Timestamp now, Datagrams& out);
  Result FinishHandshake(Timestamp now, Datagrams& out);
  Result OnHandshakeError();
  // Records of a connected client.
  Result HandleRecords(std::span<const uint8_t> records, Timestamp now, Datagrams& out);
  Result End(State state, Result result);
  // Sends the flight that waits for an answer once more.
  void Retransmit(Timestamp now, Datagrams& out);
  // Forgets OpenSSL's state and the flight.
  void DropHandshake();

  const DtlsContext& context_;
  const Fingerprint remote_;
  const Options options_;
  State state_ = State::kHandshaking;
  DtlsRecordFilter filter_;
  DatagramBio bio_;  // Outlives ssl_, which points to it.
  std::unique_ptr<ssl_st, FreeSsl> ssl_;
  std::optional<Connected> connected_;
  int attempts_ = 0;

  Datagrams flight_;  // Waits for an answer.
  Timestamp flight_sent_ = Timestamp::LongAgo();
  Timestamp deadline_ = Timestamp::Never();
  TimeDelta timeout_;
  int retransmissions_ = 0;

  // Token bucket of kDatagramsPerSecond.
  TimeDelta tokens_ = TimeDelta::Seconds(1);
  Timestamp tokens_counted_ = Timestamp::LongAgo();
};

}  // namespace vigil::transport
