#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "gateway/base/check.h"
#include "gateway/base/packet_pool.h"
#include "gateway/ice/stun.h"
#include "gateway/transport/demux.h"
#include "gateway/transport/dtls_records.h"
#include "gateway/transport/evp_cipher.h"
#include "gateway/transport/srtp_receiver.h"

// One datagram through the demultiplexer and into the first parser behind it.

namespace {

using vigil::Packet;
using vigil::transport::DatagramKind;
using vigil::transport::DtlsRecordFilter;
using vigil::transport::SrtpProfile;
using vigil::transport::SrtpReceiver;

// What passes once passes again: the filter lets nothing through that it would itself refuse.
void FilterRecords(std::span<const uint8_t> datagram) {
  for (const auto phase : {DtlsRecordFilter::Phase::kHello, DtlsRecordFilter::Phase::kAnswered,
                           DtlsRecordFilter::Phase::kConnected}) {
    DtlsRecordFilter filter;
    filter.set_phase(phase);
    std::vector<uint8_t> once(datagram.size());
    const size_t size = filter.Filter(datagram, once).size;
    VIGIL_CHECK(size <= datagram.size());
    std::vector<uint8_t> twice(size);
    VIGIL_CHECK(filter.Filter(std::span(once).first(size), twice).size == size);
  }
}

void Unprotect(std::span<const uint8_t> datagram, bool rtcp) {
  VIGIL_CHECK(vigil::transport::InitSrtp().ok());
  for (const auto profile : {SrtpProfile::kAeadAes128Gcm, SrtpProfile::kAes128CmSha1_80}) {
    const std::vector<uint8_t> key(vigil::transport::SrtpKeySize(profile), 7);
    SrtpReceiver receiver(profile, key);
    const auto packet = std::make_unique<Packet>();
    const auto fill = [&packet, datagram] {
      packet->size = static_cast<uint16_t>(datagram.size());
      std::memcpy(packet->data.data(), datagram.data(), datagram.size());
    };
    fill();
    if (rtcp) {
      VIGIL_CHECK(receiver.UnprotectRtcp(*packet).has_value());
    } else {
      VIGIL_CHECK(receiver.TryUnprotectRtp(*packet).has_value());
    }
    VIGIL_CHECK(receiver.Export().streams.empty());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > Packet::kMaxReceived) return 0;
  const std::span<const uint8_t> datagram(data, size);
  switch (vigil::transport::Classify(datagram)) {
    case DatagramKind::kStun:
      vigil::ice::PeekUsername(datagram);
      break;
    case DatagramKind::kDtls:
      FilterRecords(datagram);
      break;
    case DatagramKind::kRtp:
      Unprotect(datagram, false);
      break;
    case DatagramKind::kRtcp:
      Unprotect(datagram, true);
      break;
    case DatagramKind::kUnknown:
      break;
  }
  return 0;
}
