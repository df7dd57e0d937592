#include "gateway/transport/evp_cipher.h"

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <srtp2/auth.h>
#include <srtp2/cipher.h>
#include <srtp2/srtp.h>

#include "absl/strings/str_cat.h"
#include "gateway/transport/cipher_footprint.h"

namespace vigil::transport {
namespace {

constexpr int kAesKeySize = 16;
constexpr int kIcmSaltSize = 14;
constexpr int kGcmSaltSize = 12;
constexpr int kGcmIvSize = 12;
constexpr int kGcmTagSize = 16;
// Not used here, but libsrtp's self-test of a replacement asks for it.
constexpr int kGcmShortTagSize = 8;
constexpr int kSha1Size = 20;

struct FreeCipherContext {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
struct FreeMacContext {
  void operator()(EVP_MAC_CTX* context) const { EVP_MAC_CTX_free(context); }
};

// Fetched once and kept: fetching takes a lock and walks the provider store.
const EVP_CIPHER* AesCtr() {
  static const EVP_CIPHER* const cipher = EVP_CIPHER_fetch(nullptr, "AES-128-CTR", nullptr);
  return cipher;
}
const EVP_CIPHER* AesGcm() {
  static const EVP_CIPHER* const cipher = EVP_CIPHER_fetch(nullptr, "AES-128-GCM", nullptr);
  return cipher;
}
EVP_MAC* Hmac() {
  static EVP_MAC* const mac = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
  return mac;
}

// One keyed cipher. libsrtp holds the pointer to `head`; `head.state` points back to the whole.
struct EvpCipher {
  srtp_cipher_t head{};
  std::unique_ptr<EVP_CIPHER_CTX, FreeCipherContext> context;
  std::array<uint8_t, kAesKeySize> offset{};  // The salt of counter mode, in place.
  size_t tag_size = 0;
};

// The cipher that the scope open on this thread has noted.
struct NotedCipher {
  bool scope_open = false;
  const EvpCipher* cipher = nullptr;
};
thread_local NotedCipher noted_cipher;

EvpCipher& Self(void* state) { return *static_cast<EvpCipher*>(state); }

srtp_err_status_t Allocate(const srtp_cipher_type_t& type, int key_size, int tag_size,
                           srtp_cipher_t** out) {
  auto cipher = std::make_unique<EvpCipher>();
  cipher->context.reset(EVP_CIPHER_CTX_new());
  if (cipher->context == nullptr) return srtp_err_status_alloc_fail;
  cipher->head.type = &type;
  cipher->head.state = cipher.get();
  cipher->head.key_len = key_size;
  cipher->head.algorithm = static_cast<int>(type.id);
  cipher->tag_size = static_cast<size_t>(tag_size);
  if (noted_cipher.scope_open && noted_cipher.cipher == nullptr) {
    noted_cipher.cipher = cipher.get();
  }
  *out = &cipher.release()->head;
  return srtp_err_status_ok;
}

srtp_err_status_t Deallocate(srtp_cipher_t* cipher) {
  // EVP_CIPHER_CTX_free wipes the key schedule.
  const std::unique_ptr<EvpCipher> owned(static_cast<EvpCipher*>(cipher->state));
  return srtp_err_status_ok;
}

// ---- AES counter mode ----

srtp_err_status_t IcmAllocate(srtp_cipher_t** out, int key_size, int /*tag_size*/) {
  if (key_size != kAesKeySize + kIcmSaltSize) return srtp_err_status_bad_param;
  return Allocate(EvpAesIcm128(), key_size, 0, out);
}

srtp_err_status_t IcmInit(void* state, const uint8_t* key) {
  EvpCipher& self = Self(state);
  self.offset = {};
  std::memcpy(self.offset.data(), key + kAesKeySize, kIcmSaltSize);
  const int ok = EVP_CipherInit_ex2(self.context.get(), AesCtr(), key, nullptr, 1, nullptr);
  return ok == 1 ? srtp_err_status_ok : srtp_err_status_init_fail;
}

srtp_err_status_t IcmSetIv(void* state, uint8_t* iv, srtp_cipher_direction_t /*direction*/) {
  EvpCipher& self = Self(state);
  std::array<uint8_t, kAesKeySize> counter;
  for (size_t i = 0; i < counter.size(); ++i) {
    counter[i] = static_cast<uint8_t>(self.offset[i] ^ iv[i]);
  }
  const int ok =
      EVP_CipherInit_ex2(self.context.get(), nullptr, nullptr, counter.data(), 1, nullptr);
  return ok == 1 ? srtp_err_status_ok : srtp_err_status_cipher_fail;
}

srtp_err_status_t IcmCrypt(void* state, uint8_t* buffer, unsigned int* size) {
  int written = 0;
  const int ok = EVP_CipherUpdate(Self(state).context.get(), buffer, &written, buffer,
                                  static_cast<int>(*size));
  if (ok != 1 || written != static_cast<int>(*size)) return srtp_err_status_cipher_fail;
  return srtp_err_status_ok;
}

// ---- AES-GCM ----

srtp_err_status_t GcmAllocate(srtp_cipher_t** out, int key_size, int tag_size) {
  if (key_size != kAesKeySize + kGcmSaltSize ||
      (tag_size != kGcmTagSize && tag_size != kGcmShortTagSize)) {
    return srtp_err_status_bad_param;
  }
  return Allocate(EvpAesGcm128(), key_size, tag_size, out);
}

srtp_err_status_t GcmInit(void* state, const uint8_t* key) {
  // libsrtp salts the IV and sets it for each packet; this first one is never used.
  const std::array<uint8_t, kGcmIvSize> iv{};
  const int ok =
      EVP_CipherInit_ex2(Self(state).context.get(), AesGcm(), key, iv.data(), 1, nullptr);
  return ok == 1 ? srtp_err_status_ok : srtp_err_status_init_fail;
}

srtp_err_status_t GcmSetIv(void* state, uint8_t* iv, srtp_cipher_direction_t direction) {
  const int ok = EVP_CipherInit_ex2(Self(state).context.get(), nullptr, nullptr, iv,
                                    direction == srtp_direction_encrypt ? 1 : 0, nullptr);
  return ok == 1 ? srtp_err_status_ok : srtp_err_status_cipher_fail;
}

srtp_err_status_t GcmSetAad(void* state, const uint8_t* aad, uint32_t size) {
  int written = 0;
  const int ok =
      EVP_CipherUpdate(Self(state).context.get(), nullptr, &written, aad, static_cast<int>(size));
  return ok == 1 ? srtp_err_status_ok : srtp_err_status_algo_fail;
}

srtp_err_status_t GcmEncrypt(void* state, uint8_t* buffer, unsigned int* size) {
  if (*size == 0) return srtp_err_status_ok;
  int written = 0;
  const int ok = EVP_CipherUpdate(Self(state).context.get(), buffer, &written, buffer,
                                  static_cast<int>(*size));
  if (ok != 1 || written != static_cast<int>(*size)) return srtp_err_status_cipher_fail;
  return srtp_err_status_ok;
}

srtp_err_status_t GcmGetTag(void* state, uint8_t* tag, uint32_t* size) {
  EvpCipher& self = Self(state);
  std::array<uint8_t, kGcmTagSize> none;
  int written = 0;
  OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, self.tag_size),
      OSSL_PARAM_construct_end()};
  if (EVP_CipherFinal_ex(self.context.get(), none.data(), &written) != 1 ||
      EVP_CIPHER_CTX_get_params(self.context.get(), parameters) != 1) {
    return srtp_err_status_algo_fail;
  }
  *size = static_cast<uint32_t>(self.tag_size);
  return srtp_err_status_ok;
}

// The tag is the end of the buffer. On failure the buffer holds garbage.
srtp_err_status_t GcmDecrypt(void* state, uint8_t* buffer, unsigned int* size) {
  EvpCipher& self = Self(state);
  if (*size < self.tag_size) return srtp_err_status_auth_fail;
  EVP_CIPHER_CTX* const context = self.context.get();
  const auto plain_size = static_cast<unsigned int>(*size - self.tag_size);
  OSSL_PARAM parameters[] = {OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG,
                                                               buffer + plain_size, self.tag_size),
                             OSSL_PARAM_construct_end()};
  if (EVP_CIPHER_CTX_set_params(context, parameters) != 1) return srtp_err_status_cipher_fail;
  int written = 0;
  if (plain_size > 0 &&
      EVP_CipherUpdate(context, buffer, &written, buffer, static_cast<int>(plain_size)) != 1) {
    return srtp_err_status_cipher_fail;
  }
  std::array<uint8_t, kGcmTagSize> none;
  if (EVP_CipherFinal_ex(context, none.data(), &written) != 1) return srtp_err_status_auth_fail;
  *size = plain_size;
  return srtp_err_status_ok;
}

// ---- HMAC-SHA1 ----

struct EvpHmac {
  srtp_auth_t head{};
  std::unique_ptr<EVP_MAC_CTX, FreeMacContext> context;
};

EVP_MAC_CTX* MacContext(void* state) { return static_cast<EvpHmac*>(state)->context.get(); }

extern const srtp_auth_type_t kEvpHmacSha1;

srtp_err_status_t HmacAllocate(srtp_auth_t** out, int key_size, int tag_size) {
  if (tag_size < 0 || tag_size > kSha1Size) return srtp_err_status_bad_param;
  auto hmac = std::make_unique<EvpHmac>();
  hmac->context.reset(EVP_MAC_CTX_new(Hmac()));
  if (hmac->context == nullptr) return srtp_err_status_alloc_fail;
  hmac->head.type = &kEvpHmacSha1;
  hmac->head.state = hmac.get();
  hmac->head.key_len = key_size;
  hmac->head.out_len = tag_size;
  *out = &hmac.release()->head;
  return srtp_err_status_ok;
}

srtp_err_status_t HmacDeallocate(srtp_auth_t* auth) {
  const std::unique_ptr<EvpHmac> owned(static_cast<EvpHmac*>(auth->state));
  return srtp_err_status_ok;
}

srtp_err_status_t HmacInit(void* state, const uint8_t* key, int key_size) {
  char digest[] = "SHA1";
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_end()};
  const int ok = EVP_MAC_init(MacContext(state), key, static_cast<size_t>(key_size), parameters);
  return ok == 1 ? srtp_err_status_ok : srtp_err_status_init_fail;
}

// Goes back to the keyed state; the key schedule is not computed again.
srtp_err_status_t HmacStart(void* state) {
  const int ok = EVP_MAC_init(MacContext(state), nullptr, 0, nullptr);
  return ok == 1 ? srtp_err_status_ok : srtp_err_status_auth_fail;
}

srtp_err_status_t HmacUpdate(void* state, const uint8_t* message, int size) {
  const int ok = EVP_MAC_update(MacContext(state), message, static_cast<size_t>(size));
  return ok == 1 ? srtp_err_status_ok : srtp_err_status_auth_fail;
}

srtp_err_status_t HmacCompute(void* state, const uint8_t* message, int size, int tag_size,
                              uint8_t* tag) {
  if (tag_size < 0 || tag_size > kSha1Size) return srtp_err_status_bad_param;
  std::array<uint8_t, kSha1Size> digest;
  size_t written = 0;
  EVP_MAC_CTX* const context = MacContext(state);
  if (EVP_MAC_update(context, message, static_cast<size_t>(size)) != 1 ||
      EVP_MAC_final(context, digest.data(), &written, digest.size()) != 1) {
    return srtp_err_status_auth_fail;
  }
  std::memcpy(tag, digest.data(), static_cast<size_t>(tag_size));
  return srtp_err_status_ok;
}

// ---- Known answers, run at start in addition to those inside libsrtp ----

// RFC 3711, B.2: key, then salt; the keystream of three blocks.
constexpr uint8_t kIcmKey[] = {0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6, 0xab, 0xf7,
                               0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c, 0xf0, 0xf1, 0xf2, 0xf3,
                               0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd};
uint8_t icm_iv[16] = {};  // libsrtp's test struct wants a pointer to non-const, and only reads.
constexpr uint8_t kIcmPlain[48] = {};
constexpr uint8_t kIcmCipher[] = {
    0xe0, 0x3e, 0xad, 0x09, 0x35, 0xc9, 0x5e, 0x80, 0xe1, 0x66, 0xb1, 0x6d, 0xd9, 0x2b, 0x4e, 0xb4,
    0xd2, 0x35, 0x13, 0x16, 0x2b, 0x02, 0xd0, 0xf7, 0x2a, 0x43, 0xa2, 0xfe, 0x4a, 0x5f, 0x97, 0xab,
    0x41, 0xe9, 0x5b, 0x3b, 0xb0, 0xa2, 0xe8, 0xdd, 0x47, 0x79, 0x01, 0xe4, 0xfc, 0xa8, 0x94, 0xc0};
const srtp_cipher_test_case_t kIcmKnownAnswer = {
    sizeof kIcmKey, kIcmKey, icm_iv, sizeof kIcmPlain, kIcmPlain, sizeof kIcmCipher, kIcmCipher, 0,
    nullptr,        0,       nullptr};

// The GCM specification (McGrew and Viega), test case 4; 12 bytes of unused salt behind the key.
constexpr uint8_t kGcmKey[kAesKeySize + kGcmSaltSize] = {
    0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65, 0x73, 0x1c, 0x6d, 0x6a, 0x8f, 0x94, 0x67, 0x30, 0x83, 0x08};
uint8_t gcm_iv[kGcmIvSize] = {0xca, 0xfe, 0xba, 0xbe, 0xfa, 0xce,
                              0xdb, 0xad, 0xde, 0xca, 0xf8, 0x88};
constexpr uint8_t kGcmAad[] = {0xfe, 0xed, 0xfa, 0xce, 0xde, 0xad, 0xbe, 0xef, 0xfe, 0xed,
                               0xfa, 0xce, 0xde, 0xad, 0xbe, 0xef, 0xab, 0xad, 0xda, 0xd2};
constexpr uint8_t kGcmPlain[] = {
    0xd9, 0x31, 0x32, 0x25, 0xf8, 0x84, 0x06, 0xe5, 0xa5, 0x59, 0x09, 0xc5, 0xaf, 0xf5, 0x26,
    0x9a, 0x86, 0xa7, 0xa9, 0x53, 0x15, 0x34, 0xf7, 0xda, 0x2e, 0x4c, 0x30, 0x3d, 0x8a, 0x31,
    0x8a, 0x72, 0x1c, 0x3c, 0x0c, 0x95, 0x95, 0x68, 0x09, 0x53, 0x2f, 0xcf, 0x0e, 0x24, 0x49,
    0xa6, 0xb5, 0x25, 0xb1, 0x6a, 0xed, 0xf5, 0xaa, 0x0d, 0xe6, 0x57, 0xba, 0x63, 0x7b, 0x39};
constexpr uint8_t kGcmCipher[] = {
    0x42, 0x83, 0x1e, 0xc2, 0x21, 0x77, 0x74, 0x24, 0x4b, 0x72, 0x21, 0xb7, 0x84, 0xd0, 0xd4, 0x9c,
    0xe3, 0xaa, 0x21, 0x2f, 0x2c, 0x02, 0xa4, 0xe0, 0x35, 0xc1, 0x7e, 0x23, 0x29, 0xac, 0xa1, 0x2e,
    0x21, 0xd5, 0x14, 0xb2, 0x54, 0x66, 0x93, 0x1c, 0x7d, 0x8f, 0x6a, 0x5a, 0xac, 0x84, 0xaa, 0x05,
    0x1b, 0xa3, 0x0b, 0x39, 0x6a, 0x0a, 0xac, 0x97, 0x3d, 0x58, 0xe0, 0x91,
    // The tag.
    0x5b, 0xc9, 0x4f, 0xbc, 0x32, 0x21, 0xa5, 0xdb, 0x94, 0xfa, 0xe9, 0x5a, 0xe7, 0x12, 0x1a, 0x47};
const srtp_cipher_test_case_t kGcmKnownAnswer = {
    sizeof kGcmKey, kGcmKey,        gcm_iv,  sizeof kGcmPlain, kGcmPlain, sizeof kGcmCipher,
    kGcmCipher,     sizeof kGcmAad, kGcmAad, kGcmTagSize,      nullptr};

// RFC 2202, test case 1.
constexpr uint8_t kHmacKey[] = {0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b,
                                0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b};
constexpr uint8_t kHmacMessage[] = {'H', 'i', ' ', 'T', 'h', 'e', 'r', 'e'};
constexpr uint8_t kHmacTag[] = {0xb6, 0x17, 0x31, 0x86, 0x55, 0x05, 0x72, 0x64, 0xe2, 0x8b,
                                0xc0, 0xb6, 0xfb, 0x37, 0x8c, 0x8e, 0xf1, 0x46, 0xbe, 0x00};
const srtp_auth_test_case_t kHmacKnownAnswer = {
    sizeof kHmacKey, kHmacKey, sizeof kHmacMessage, kHmacMessage, sizeof kHmacTag,
    kHmacTag,        nullptr};

const srtp_auth_type_t kEvpHmacSha1 = {
    .alloc = HmacAllocate,
    .dealloc = HmacDeallocate,
    .init = HmacInit,
    .compute = HmacCompute,
    .update = HmacUpdate,
    .start = HmacStart,
    .description = "HMAC-SHA1 of OpenSSL",
    .test_data = &kHmacKnownAnswer,
    .id = SRTP_HMAC_SHA1,
};

absl::Status ToStatus(srtp_err_status_t status, const char* what) {
  if (status == srtp_err_status_ok) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("libsrtp: ", what, " failed with status ", static_cast<int>(status)));
}

absl::Status InstallAll() {
  if (AesCtr() == nullptr || AesGcm() == nullptr || Hmac() == nullptr) {
    return absl::InternalError("OpenSSL offers no AES-128-CTR, AES-128-GCM or HMAC");
  }
  if (absl::Status s = ToStatus(srtp_init(), "srtp_init"); !s.ok()) return s;
  if (absl::Status s = ToStatus(srtp_replace_cipher_type(&EvpAesIcm128(), SRTP_AES_ICM_128),
                                "replacing AES counter mode");
      !s.ok()) {
    return s;
  }
  if (absl::Status s = ToStatus(srtp_replace_cipher_type(&EvpAesGcm128(), SRTP_AES_GCM_128),
                                "replacing AES-GCM");
      !s.ok()) {
    return s;
  }
  return ToStatus(srtp_replace_auth_type(&kEvpHmacSha1, SRTP_HMAC_SHA1), "replacing HMAC-SHA1");
}

}  // namespace

const srtp_cipher_type_t& EvpAesIcm128() {
  static const srtp_cipher_type_t type = {
      .alloc = IcmAllocate,
      .dealloc = Deallocate,
      .init = IcmInit,
      .set_aad = nullptr,
      .encrypt = IcmCrypt,
      .decrypt = IcmCrypt,
      .set_iv = IcmSetIv,
      .get_tag = nullptr,
      .description = "AES-128 counter mode of OpenSSL",
      .test_data = &kIcmKnownAnswer,
      .id = SRTP_AES_ICM_128,
  };
  return type;
}

const srtp_cipher_type_t& EvpAesGcm128() {
  static const srtp_cipher_type_t type = {
      .alloc = GcmAllocate,
      .dealloc = Deallocate,
      .init = GcmInit,
      .set_aad = GcmSetAad,
      .encrypt = GcmEncrypt,
      .decrypt = GcmDecrypt,
      .set_iv = GcmSetIv,
      .get_tag = GcmGetTag,
      .description = "AES-128-GCM of OpenSSL",
      .test_data = &kGcmKnownAnswer,
      .id = SRTP_AES_GCM_128,
  };
  return type;
}

CipherFootprintScope::CipherFootprintScope() { noted_cipher = {.scope_open = true}; }

CipherFootprintScope::~CipherFootprintScope() { noted_cipher = {}; }

CipherFootprint CipherFootprintScope::Find(const void* session) const {
  CipherFootprint footprint;
  footprint.session_ = static_cast<const uint8_t*>(session);
  if (noted_cipher.cipher == nullptr) return footprint;
  EVP_CIPHER_CTX* const context = noted_cipher.cipher->context.get();
  footprint.cipher_ = reinterpret_cast<const uint8_t*>(noted_cipher.cipher);
  footprint.context_ = reinterpret_cast<const uint8_t*>(context);
  // A provider gives out a pointer to its own copy of the IV, which lies near the front of what it
  // keeps for the cipher.
  void* iv = nullptr;
  OSSL_PARAM parameters[] = {OSSL_PARAM_construct_octet_ptr(OSSL_CIPHER_PARAM_IV, &iv, kAesKeySize),
                             OSSL_PARAM_construct_end()};
  if (EVP_CIPHER_CTX_get_params(context, parameters) == 1 && iv != nullptr) {
    constexpr size_t kBeforeIv = 96;
    footprint.schedule_ = static_cast<const uint8_t*>(iv) - kBeforeIv;
  }
  return footprint;
}

absl::Status InitSrtp() {
  static const absl::Status status = InstallAll();
  return status;
}

}  // namespace vigil::transport
