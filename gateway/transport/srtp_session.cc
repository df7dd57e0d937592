#include "gateway/transport/srtp_session.h"

#include <srtp2/srtp.h>

#include "gateway/base/byte_io.h"
#include "gateway/base/check.h"

namespace vigil::transport {

void FreeSrtpSession::operator()(srtp_ctx_t_* session) const { srtp_dealloc(session); }

SrtpSession MakeSrtpSession(SrtpProfile profile, std::span<const uint8_t> key,
                            SrtpDirection direction) {
  VIGIL_CHECK(key.size() == SrtpKeySize(profile));
  std::array<uint8_t, kMaxSrtpKeySize> copy{};  // libsrtp wants a pointer to non-const.
  std::copy(key.begin(), key.end(), copy.begin());
  srtp_policy_t policy{};
  if (profile == SrtpProfile::kAeadAes128Gcm) {
    srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy.rtp);
    srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy.rtcp);
  } else {
    srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(&policy.rtp);
    srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(&policy.rtcp);
  }
  policy.ssrc.type = direction == SrtpDirection::kOutbound ? ssrc_any_outbound : ssrc_any_inbound;
  policy.key = copy.data();
  policy.window_size = kReplayWindow;
  policy.allow_repeat_tx = 0;
  srtp_t session = nullptr;
  const srtp_err_status_t status = srtp_create(&session, &policy);
  VIGIL_CHECK(status == srtp_err_status_ok);
  return SrtpSession(session);
}

DummyPacket DummyPacket::Rtp(uint32_t ssrc, uint16_t sequence) {
  DummyPacket packet;
  ByteWriter writer(packet.bytes);
  writer.U16(0x8000);
  writer.U16(sequence);
  writer.U32(0);
  writer.U32(ssrc);
  packet.size = static_cast<int>(writer.position());
  return packet;
}

DummyPacket DummyPacket::Rtcp(uint32_t ssrc) {
  DummyPacket packet;
  ByteWriter writer(packet.bytes);
  writer.U16(0x80c9);  // An empty receiver report.
  writer.U16(1);
  writer.U32(ssrc);
  packet.size = static_cast<int>(writer.position());
  return packet;
}

}  // namespace vigil::transport
