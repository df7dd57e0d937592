// Payload descriptors of every codec; VP8 and VP9 are copied with other counters and read again.
// Input: codec, picture id (2 bytes), tl0 index, key index, length of the dependency descriptor,
// that descriptor, payload.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "gateway/base/byte_io.h"
#include "gateway/base/check.h"
#include "gateway/rtp/payload.h"

namespace vigil::rtp {
namespace {

Descriptor WithCounters(const Vp8Descriptor& source, const PictureCounters& counters) {
  Vp8Descriptor expected = source;
  if (source.picture_id) {
    expected.picture_id = counters.picture_id;
    expected.picture_id_is_15_bits = true;
    expected.size = source.picture_id_is_15_bits ? source.size : source.size + 1;
  }
  if (source.tl0_picture_index) expected.tl0_picture_index = counters.tl0_picture_index;
  if (source.key_index) expected.key_index = counters.key_index;
  return expected;
}

Descriptor WithCounters(const Vp9Descriptor& source, const PictureCounters& counters) {
  Vp9Descriptor expected = source;
  if (source.picture_id) {
    expected.picture_id = counters.picture_id;
    expected.picture_id_is_15_bits = true;
    expected.size = source.picture_id_is_15_bits ? source.size : source.size + 1;
  }
  if (source.tl0_picture_index) expected.tl0_picture_index = counters.tl0_picture_index;
  return expected;
}

template <typename D>
void CheckCopy(CodecType codec, std::span<const uint8_t> payload, const PayloadView& view,
               const PictureCounters& counters) {
  const D& source = std::get<D>(view.descriptor);
  VIGIL_CHECK(source.size > 0 && source.size < payload.size());
  VIGIL_CHECK(!source.picture_id || *source.picture_id < 0x8000);
  std::vector<uint8_t> out(payload.size() + 1);
  const size_t size = CopyWithCounters(payload, source, counters, out);
  VIGIL_CHECK(size == payload.size() || size == payload.size() + 1);
  out.resize(size);

  const std::optional<PayloadView> copy = ParsePayload(codec, out, {});
  VIGIL_CHECK(copy && copy->descriptor == WithCounters(source, counters));
  VIGIL_CHECK(copy->starts_keyframe == view.starts_keyframe);
  VIGIL_CHECK(std::equal(payload.begin() + source.size, payload.end(),
                         out.end() - static_cast<ptrdiff_t>(payload.size() - source.size),
                         out.end()));

  std::vector<uint8_t> small(size - 1);
  VIGIL_CHECK(CopyWithCounters(payload, source, counters, small) == 0);
}

void CheckH264(const PayloadView& view) {
  const H264Descriptor& descriptor = std::get<H264Descriptor>(view.descriptor);
  VIGIL_CHECK(descriptor.nal_type >= 1 && descriptor.nal_type <= 28);
  VIGIL_CHECK(!view.starts_keyframe || descriptor.has_sps || descriptor.has_idr);
}

void CheckDependencyDescriptor(std::vector<uint8_t> bytes, uint16_t frame_number) {
  std::optional<DependencyDescriptor> expected = ParseDependencyDescriptor(bytes);
  VIGIL_CHECK(expected.has_value() == (bytes.size() >= 3));
  PatchFrameNumber(bytes, frame_number);
  if (expected) expected->frame_number = frame_number;
  VIGIL_CHECK(ParseDependencyDescriptor(bytes) == expected);
}

void Run(std::span<const uint8_t> input) {
  ByteReader in(input);
  const auto codec = static_cast<CodecType>(in.U8() % 5);
  const PictureCounters counters{.picture_id = static_cast<uint16_t>(in.U16() & 0x7fff),
                                 .tl0_picture_index = in.U8(),
                                 .key_index = static_cast<uint8_t>(in.U8() & 0x1f)};
  const std::span<const uint8_t> raw_descriptor = in.Bytes(in.U8());
  if (!in.ok()) return;
  // On heap blocks of their own, so that a read past an end is seen.
  const std::vector<uint8_t> descriptor(raw_descriptor.begin(), raw_descriptor.end());
  const std::span<const uint8_t> rest = in.Rest();
  const std::vector<uint8_t> payload(rest.begin(), rest.end());

  CheckDependencyDescriptor(descriptor, counters.picture_id);
  const std::optional<PayloadView> view = ParsePayload(codec, payload, descriptor);
  if (!view) return;
  switch (codec) {
    case CodecType::kOpus:
      VIGIL_CHECK(std::holds_alternative<std::monostate>(view->descriptor));
      break;
    case CodecType::kVp8:
      CheckCopy<Vp8Descriptor>(codec, payload, *view, counters);
      break;
    case CodecType::kVp9:
      CheckCopy<Vp9Descriptor>(codec, payload, *view, counters);
      break;
    case CodecType::kAv1:
      VIGIL_CHECK(std::get<Av1Descriptor>(view->descriptor).obu_count > 0);
      break;
    case CodecType::kH264:
      CheckH264(*view);
      break;
  }
}

}  // namespace
}  // namespace vigil::rtp

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vigil::rtp::Run({data, size});
  return 0;
}
