#include "gateway/transport/dtls_epilogue.h"

#include <algorithm>
#include <memory>
#include <string_view>
#include <utility>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/ssl.h>

#include "gateway/base/byte_io.h"
#include "gateway/transport/dtls_records.h"

namespace vigil::transport {
namespace {

constexpr size_t kExplicitNonceSize = 8;
constexpr size_t kTagSize = 16;
constexpr uint8_t kFinished = 20;
constexpr uint8_t kCloseNotify = 0;
constexpr uint8_t kWarning = 1;
constexpr uint8_t kFatal = 2;

struct FreeContext {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
  void operator()(EVP_KDF_CTX* context) const { EVP_KDF_CTX_free(context); }
  void operator()(EVP_KDF* kdf) const { EVP_KDF_free(kdf); }
};

using Nonce = std::array<uint8_t, 12>;
using AdditionalData = std::array<uint8_t, kRecordHeaderSize>;

// RFC 5246, 6.3: the key block, out of master secret and randoms.
bool DeriveKeyBlock(SSL* ssl, std::span<uint8_t> out) {
  std::array<uint8_t, SSL_MAX_MASTER_KEY_LENGTH> secret{};
  std::array<uint8_t, 13 + 64> seed{};
  ByteWriter writer(seed);
  writer.Text("key expansion");
  SSL_get_server_random(ssl, seed.data() + 13, 32);
  SSL_get_client_random(ssl, seed.data() + 45, 32);
  const size_t secret_size =
      SSL_SESSION_get_master_key(SSL_get_session(ssl), secret.data(), secret.size());
  const EVP_MD* const digest = SSL_CIPHER_get_handshake_digest(SSL_get_current_cipher(ssl));
  const std::unique_ptr<EVP_KDF, FreeContext> kdf(EVP_KDF_fetch(nullptr, "TLS1-PRF", nullptr));
  if (secret_size == 0 || digest == nullptr || kdf == nullptr) return false;
  const std::unique_ptr<EVP_KDF_CTX, FreeContext> context(EVP_KDF_CTX_new(kdf.get()));
  if (context == nullptr) return false;
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
                                       const_cast<char*>(EVP_MD_get0_name(digest)), 0),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET, secret.data(), secret_size),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, seed.data(), seed.size()),
      OSSL_PARAM_construct_end()};
  const int ok = EVP_KDF_derive(context.get(), out.data(), out.size(), parameters);
  OPENSSL_cleanse(secret.data(), secret.size());
  return ok == 1;
}

// RFC 5288, 3: the implicit salt, then the explicit part, which the record carries.
Nonce MakeNonce(std::span<const uint8_t> salt, std::span<const uint8_t> explicit_part) {
  Nonce nonce;
  std::copy(salt.begin(), salt.end(), nonce.begin());
  std::copy(explicit_part.begin(), explicit_part.end(), nonce.begin() + 4);
  return nonce;
}

// RFC 5246, 6.2.3.3, with epoch and sequence number together in front: what a record is
// authenticated with.
AdditionalData MakeAdditionalData(std::span<const uint8_t> header, size_t plain_size) {
  AdditionalData data;
  std::copy_n(header.begin() + 3, 8, data.begin());
  std::copy_n(header.begin(), 3, data.begin() + 8);
  data[11] = static_cast<uint8_t>(plain_size >> 8);
  data[12] = static_cast<uint8_t>(plain_size);
  return data;
}

const EVP_CIPHER* CipherOf(size_t key_size) {
  return key_size == 16 ? EVP_aes_128_gcm() : EVP_aes_256_gcm();
}

}  // namespace

std::optional<DtlsEpilogue> DtlsEpilogue::AfterHandshake(SSL* ssl, Datagrams last_flight) {
  DtlsEpilogue epilogue;
  switch (SSL_CIPHER_get_cipher_nid(SSL_get_current_cipher(ssl))) {
    case NID_aes_128_gcm:
      epilogue.key_size_ = 16;
      break;
    case NID_aes_256_gcm:
      epilogue.key_size_ = 32;
      break;
    default:
      return std::nullopt;
  }
  const size_t key_size = epilogue.key_size_;
  std::array<uint8_t, 2 * 32 + 2 * 4> block{};
  if (!DeriveKeyBlock(ssl, std::span(block).first(2 * key_size + 8))) return std::nullopt;
  ByteReader reader(block);
  for (Direction* side : {&epilogue.client_, &epilogue.server_}) {
    std::ranges::copy(reader.Bytes(key_size), side->key.begin());
  }
  for (Direction* side : {&epilogue.client_, &epilogue.server_}) {
    std::ranges::copy(reader.Bytes(side->salt.size()), side->salt.begin());
  }
  OPENSSL_cleanse(block.data(), block.size());
  epilogue.last_flight_ = std::move(last_flight);
  return epilogue;
}

DtlsEpilogue::Event DtlsEpilogue::HandleRecords(std::span<const uint8_t> records) const {
  ByteReader reader(records);
  while (reader.remaining() >= kRecordHeaderSize) {
    const std::span<const uint8_t> header = reader.Bytes(kRecordHeaderSize);
    const std::span<const uint8_t> body = reader.Bytes(ReadU16(header.data() + 11));
    if (!reader.ok()) break;
    const std::optional<std::vector<uint8_t>> plain = Open(header, body);
    if (!plain || plain->empty()) continue;
    if (header[0] == kHandshakeRecord && plain->front() == kFinished) {
      return Event::kRepeatedFinished;
    }
    if (header[0] == kAlertRecord && plain->size() == 2 &&
        (plain->front() == kFatal || plain->back() == kCloseNotify)) {
      return Event::kClosed;
    }
  }
  return Event::kNothing;
}

std::vector<uint8_t> DtlsEpilogue::MakeCloseNotify() const {
  // The only record of ours under these keys so far is the Finished, sequence number 0, at the end
  // of the last flight. Its explicit nonce began at random; ours follows.
  if (last_flight_.empty()) return {};
  constexpr std::array<uint8_t, 2> kAlert = {kWarning, kCloseNotify};
  constexpr size_t kFinishedBody = kExplicitNonceSize + 12 + 12 + kTagSize;
  const std::vector<uint8_t>& finished = last_flight_.back();
  if (finished.size() < kFinishedBody) return {};
  std::array<uint8_t, kExplicitNonceSize> explicit_nonce;
  std::copy_n(finished.end() - kFinishedBody, explicit_nonce.size(), explicit_nonce.begin());
  for (size_t i = explicit_nonce.size(); i-- > 0;) {
    if (++explicit_nonce[i] != 0) break;
  }
  const size_t body_size = kExplicitNonceSize + kAlert.size() + kTagSize;
  std::vector<uint8_t> record(kRecordHeaderSize + body_size);
  ByteWriter writer(record);
  writer.U8(kAlertRecord);
  writer.U16(kDtls12);
  writer.U16(1);  // Epoch.
  writer.U16(0);
  writer.U32(1);  // Sequence number, the low part.
  writer.U16(static_cast<uint16_t>(body_size));
  writer.Bytes(explicit_nonce);
  const Nonce nonce = MakeNonce(server_.salt, explicit_nonce);
  const AdditionalData data = MakeAdditionalData(record, kAlert.size());
  const std::unique_ptr<EVP_CIPHER_CTX, FreeContext> context(EVP_CIPHER_CTX_new());
  uint8_t* const text = record.data() + kRecordHeaderSize + kExplicitNonceSize;
  int n = 0;
  const bool ok = EVP_EncryptInit_ex(context.get(), CipherOf(key_size_), nullptr,
                                     server_.key.data(), nonce.data()) == 1 &&
                  EVP_EncryptUpdate(context.get(), nullptr, &n, data.data(), data.size()) == 1 &&
                  EVP_EncryptUpdate(context.get(), text, &n, kAlert.data(), kAlert.size()) == 1 &&
                  EVP_EncryptFinal_ex(context.get(), text + n, &n) == 1 &&
                  EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, kTagSize,
                                      text + kAlert.size()) == 1;
  return ok ? record : std::vector<uint8_t>();
}

std::optional<std::vector<uint8_t>> DtlsEpilogue::Open(std::span<const uint8_t> header,
                                                       std::span<const uint8_t> body) const {
  if (body.size() < kExplicitNonceSize + kTagSize) return std::nullopt;
  const std::span<const uint8_t> text =
      body.subspan(kExplicitNonceSize, body.size() - kExplicitNonceSize - kTagSize);
  const Nonce nonce = MakeNonce(client_.salt, body.first(kExplicitNonceSize));
  const AdditionalData data = MakeAdditionalData(header, text.size());
  std::vector<uint8_t> plain(text.size());
  std::array<uint8_t, kTagSize> tag;
  std::ranges::copy(body.last(kTagSize), tag.begin());
  const std::unique_ptr<EVP_CIPHER_CTX, FreeContext> context(EVP_CIPHER_CTX_new());
  int n = 0;
  const bool ok =
      EVP_DecryptInit_ex(context.get(), CipherOf(key_size_), nullptr, client_.key.data(),
                         nonce.data()) == 1 &&
      EVP_DecryptUpdate(context.get(), nullptr, &n, data.data(), data.size()) == 1 &&
      EVP_DecryptUpdate(context.get(), plain.data(), &n, text.data(),
                        static_cast<int>(text.size())) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, kTagSize, tag.data()) == 1 &&
      EVP_DecryptFinal_ex(context.get(), plain.data() + n, &n) == 1;
  if (!ok) return std::nullopt;
  return plain;
}

}  // namespace vigil::transport
