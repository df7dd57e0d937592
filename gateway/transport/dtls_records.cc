#include "gateway/transport/dtls_records.h"

#include "gateway/base/byte_io.h"
#include "gateway/base/check.h"

namespace vigil::transport {
namespace {

enum MessageType : uint8_t {
  kClientHello = 1,
  kCertificate = 11,
  kCertificateVerify = 15,
  kClientKeyExchange = 16,
};

}  // namespace

DtlsRecordFilter::Passed DtlsRecordFilter::Filter(std::span<const uint8_t> datagram,
                                                  std::span<uint8_t> out) {
  VIGIL_CHECK(out.size() >= datagram.size());
  Passed passed;
  ByteWriter writer(out);
  ByteReader reader(datagram);
  while (reader.remaining() >= kRecordHeaderSize) {
    const size_t start = reader.position();
    const uint8_t type = reader.U8();
    const uint16_t version = reader.U16();
    const uint16_t epoch = reader.U16();
    reader.Skip(6);
    const std::span<const uint8_t> body = reader.Bytes(reader.U16());
    if (!reader.ok() || version >> 8 != 0xfe) break;
    const bool encrypted =
        epoch == 1 && phase_ != Phase::kHello && (type == kHandshakeRecord || type == kAlertRecord);
    if (encrypted) writer.Bytes(datagram.subspan(start, reader.position() - start));
    const bool plain_handshake =
        epoch == 0 && type == kHandshakeRecord && IsPlainHandshake(body, passed.client_hello);
    const bool change_cipher_spec = epoch == 0 && type == kChangeCipherSpecRecord &&
                                    phase_ == Phase::kAnswered && body.size() == 1 && body[0] == 1;
    if (!plain_handshake && !change_cipher_spec) continue;
    writer.U8(type);
    writer.U16(version);
    writer.U16(epoch);
    writer.U16(0);
    writer.U32(next_sequence_++);
    writer.U16(static_cast<uint16_t>(body.size()));
    writer.Bytes(body);
  }
  passed.size = writer.position();
  return passed;
}

// All messages and fragments in one record have to be right (RFC 6347, 4.2.2). None is empty:
// none of the four messages is, and OpenSSL takes an empty fragment for fatal.
bool DtlsRecordFilter::IsPlainHandshake(std::span<const uint8_t> body, bool& client_hello) const {
  bool expected = !body.empty();
  ByteReader reader(body);
  while (reader.remaining() > 0) {
    const uint8_t type = reader.U8();
    const uint32_t message_size = reader.U24();
    const uint16_t message_sequence = reader.U16();
    const uint32_t offset = reader.U24();
    const uint32_t size = reader.U24();
    reader.Skip(size);
    if (!reader.ok() || size == 0 || message_size > kMaxHandshakeMessage ||
        offset + size > message_size) {
      return false;
    }
    client_hello = client_hello || (type == kClientHello && message_sequence == 0 && offset == 0);
    expected = expected && IsExpected(type, message_sequence);
  }
  return expected;
}

bool DtlsRecordFilter::IsExpected(uint8_t message_type, uint16_t message_sequence) const {
  switch (message_type) {
    case kClientHello:
      return phase_ == Phase::kHello && message_sequence == 0;
    case kCertificate:
      return phase_ == Phase::kAnswered && message_sequence == 1;
    case kClientKeyExchange:
      return phase_ == Phase::kAnswered && message_sequence == 2;
    case kCertificateVerify:
      return phase_ == Phase::kAnswered && message_sequence == 3;
    default:
      return false;
  }
}

}  // namespace vigil::transport
