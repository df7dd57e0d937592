#include "gateway/transport/dtls_session.h"

#include <algorithm>
#include <array>
#include <utility>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "gateway/base/check.h"
#include "gateway/base/packet_pool.h"
#include "gateway/transport/certificate.h"
#include "gateway/transport/dtls_records.h"

namespace vigil::transport {
namespace {

// A client that repeats its ClientHello has not got our flight; the pause keeps duplicates in the
// network from doubling it.
constexpr TimeDelta kShortestRepeat = TimeDelta::Millis(40);

// Longer than any handshake may last: libssl's own timer never fires.
unsigned int NeverTimeout(SSL*, unsigned int) { return 3'600'000'000U; }

// RFC 5764, 4.2: the exporter gives client key, server key, client salt, server salt.
std::optional<SrtpKeys> ExportKeys(SSL* ssl) {
  const SRTP_PROTECTION_PROFILE* const selected = SSL_get_selected_srtp_profile(ssl);
  if (selected == nullptr) return std::nullopt;
  SrtpKeys keys;
  keys.profile = selected->id == SRTP_AEAD_AES_128_GCM ? SrtpProfile::kAeadAes128Gcm
                                                       : SrtpProfile::kAes128CmSha1_80;
  constexpr size_t kKeySize = 16;
  const size_t salt_size = SrtpKeySize(keys.profile) - kKeySize;
  constexpr std::string_view kLabel = "EXTRACTOR-dtls_srtp";
  std::array<uint8_t, 2 * kMaxSrtpKeySize> material{};
  const size_t size = 2 * SrtpKeySize(keys.profile);
  if (SSL_export_keying_material(ssl, material.data(), size, kLabel.data(), kLabel.size(), nullptr,
                                 0, 0) != 1) {
    return std::nullopt;
  }
  const auto copy = [&material, salt_size](size_t side, std::span<uint8_t> out) {
    std::copy_n(material.begin() + side * kKeySize, kKeySize, out.begin());
    std::copy_n(material.begin() + 2 * kKeySize + side * salt_size, salt_size,
                out.begin() + kKeySize);
  };
  copy(0, keys.remote);  // We are the server.
  copy(1, keys.local);
  OPENSSL_cleanse(material.data(), material.size());
  return keys;
}

void Append(Datagrams from, Datagrams& to) {
  std::move(from.begin(), from.end(), std::back_inserter(to));
}

}  // namespace

void DtlsSession::FreeSsl::operator()(SSL* ssl) const { SSL_free(ssl); }

DtlsSession::DtlsSession(const DtlsContext& context, Fingerprint remote, const Options& options)
    : context_(context), remote_(std::move(remote)), options_(options) {}

DtlsSession::DtlsSession(const DtlsContext& context, Connected connected, const Options& options)
    : context_(context),
      options_(options),
      state_(State::kConnected),
      connected_(std::move(connected)) {
  filter_.set_phase(DtlsRecordFilter::Phase::kConnected);
}

DtlsSession::~DtlsSession() = default;

DtlsSession::Result DtlsSession::HandleDatagram(std::span<const uint8_t> datagram, Timestamp now,
                                                Datagrams& out) {
  if (state_ == State::kClosed || state_ == State::kFailed) return Result::kIgnored;
  if (datagram.size() > Packet::kMaxReceived) return Result::kIgnored;
  std::array<uint8_t, Packet::kMaxReceived> buffer;
  const DtlsRecordFilter::Passed passed = filter_.Filter(datagram, buffer);
  if (passed.size == 0) {
    const bool repeat = passed.client_hello && !flight_.empty();
    if (!repeat || now - flight_sent_ < kShortestRepeat) return Result::kIgnored;
    Retransmit(now, out);
    return Result::kHandshaking;
  }
  if (!TakeToken(now)) return Result::kIgnored;
  const std::span<const uint8_t> input = std::span(buffer).first(passed.size);
  if (connected()) return HandleRecords(input, now, out);
  if (ssl_ == nullptr) MakeSsl();
  bio_.SetInput(input);
  const Result result = ContinueHandshake(now, out);
  bio_.ClearInput();
  return result;
}

DtlsSession::Result DtlsSession::HandleTimeout(Timestamp now, Datagrams& out) {
  if (now < deadline_) return Result::kIgnored;
  if (retransmissions_ >= options_.max_retransmissions) {
    return End(State::kFailed, Result::kFailed);
  }
  ++retransmissions_;
  timeout_ = std::min(timeout_ * 2, options_.longest_timeout);
  Retransmit(now, out);
  return Result::kHandshaking;
}

void DtlsSession::Close(Datagrams& out) {
  if (!connected()) return;
  std::vector<uint8_t> record = connected_->epilogue.MakeCloseNotify();
  if (!record.empty()) out.push_back(std::move(record));
  End(State::kClosed, Result::kClosed);
}

bool DtlsSession::TakeToken(Timestamp now) {
  constexpr TimeDelta kCost = TimeDelta::Seconds(1) / kDatagramsPerSecond;
  if (!tokens_counted_.IsLongAgo()) {
    tokens_ = std::min(tokens_ + (now - tokens_counted_), TimeDelta::Seconds(1));
  }
  tokens_counted_ = now;
  if (tokens_ < kCost) return false;
  tokens_ = tokens_ - kCost;
  return true;
}

void DtlsSession::MakeSsl() {
  ssl_.reset(SSL_new(context_.ssl_context()));
  VIGIL_CHECK(ssl_ != nullptr);
  BIO* const bio = bio_.MakeBio();
  VIGIL_CHECK(bio != nullptr);
  SSL_set_bio(ssl_.get(), bio, bio);
  DTLS_set_link_mtu(ssl_.get(), DtlsContext::kMtu);
  DTLS_set_timer_cb(ssl_.get(), NeverTimeout);
  SSL_set_accept_state(ssl_.get());
}

DtlsSession::Result DtlsSession::ContinueHandshake(Timestamp now, Datagrams& out) {
  ERR_clear_error();
  const int status = SSL_accept(ssl_.get());
  if (status == 1) return FinishHandshake(now, out);
  if (SSL_get_error(ssl_.get(), status) != SSL_ERROR_WANT_READ) return OnHandshakeError();
  Datagrams flight = bio_.TakeOutput();
  if (!flight.empty()) {
    flight_ = std::move(flight);
    filter_.set_phase(DtlsRecordFilter::Phase::kAnswered);
    retransmissions_ = 0;
    timeout_ = options_.first_timeout;
    Retransmit(now, out);
  }
  return Result::kHandshaking;
}

DtlsSession::Result DtlsSession::FinishHandshake(Timestamp now, Datagrams& out) {
  const std::unique_ptr<X509, FreeOpenSsl> certificate(SSL_get1_peer_certificate(ssl_.get()));
  const std::optional<Fingerprint> actual =
      certificate != nullptr ? FingerprintOf(*certificate, remote_.algorithm) : std::nullopt;
  const std::optional<SrtpKeys> keys = ExportKeys(ssl_.get());
  std::optional<DtlsEpilogue> epilogue =
      DtlsEpilogue::AfterHandshake(ssl_.get(), bio_.TakeOutput());
  const bool signalled = actual && remote_.Includes(*actual);
  if (!signalled || !keys || !epilogue) return End(State::kFailed, Result::kFailed);
  state_ = State::kConnected;
  connected_ = {*keys, std::move(*epilogue)};
  DropHandshake();
  filter_.set_phase(DtlsRecordFilter::Phase::kConnected);
  Append(connected_->epilogue.last_flight(), out);
  flight_sent_ = now;
  return Result::kConnected;
}

DtlsSession::Result DtlsSession::OnHandshakeError() {
  // What OpenSSL wants to say is an alert, which would end the handshake of a client that may have
  // had no part in this.
  if (++attempts_ >= options_.max_attempts) return End(State::kFailed, Result::kFailed);
  DropHandshake();
  return Result::kIgnored;
}

DtlsSession::Result DtlsSession::HandleRecords(std::span<const uint8_t> records, Timestamp now,
                                               Datagrams& out) {
  switch (connected_->epilogue.HandleRecords(records)) {
    case DtlsEpilogue::Event::kNothing:
      break;
    case DtlsEpilogue::Event::kRepeatedFinished:
      if (now - flight_sent_ < kShortestRepeat) break;
      flight_sent_ = now;
      Append(connected_->epilogue.last_flight(), out);
      break;
    case DtlsEpilogue::Event::kClosed:
      return End(State::kClosed, Result::kClosed);
  }
  return Result::kIgnored;
}

DtlsSession::Result DtlsSession::End(State state, Result result) {
  DropHandshake();
  connected_.reset();
  state_ = state;
  return result;
}

void DtlsSession::Retransmit(Timestamp now, Datagrams& out) {
  Append(flight_, out);
  flight_sent_ = now;
  deadline_ = now + timeout_;
}

void DtlsSession::DropHandshake() {
  ssl_.reset();
  bio_.TakeOutput();
  filter_.set_phase(DtlsRecordFilter::Phase::kHello);
  flight_ = {};
  deadline_ = Timestamp::Never();
}

}  // namespace vigil::transport
