#pragma once

#include <compare>
#include <cstdint>
#include <utility>

namespace vigil {

// An id that cannot be mixed up with an id of another kind. Zero is "none".
template <typename Tag, typename Rep = uint64_t>
class StrongId {
 public:
  constexpr StrongId() = default;
  explicit constexpr StrongId(Rep value) : value_(value) {}
  constexpr Rep value() const { return value_; }
  constexpr bool IsNone() const { return value_ == Rep{}; }
  constexpr auto operator<=>(const StrongId&) const = default;

  template <typename H>
  friend H AbslHashValue(H h, StrongId id) {
    return H::combine(std::move(h), id.value_);
  }

 private:
  Rep value_{};
};

// The ids of the glossary. The directory hands them out; names live there, not in the core.
using SiteId = StrongId<struct SiteTag, uint32_t>;
using PeerId = StrongId<struct PeerTag>;
using FeedId = StrongId<struct FeedTag>;
using SlotId = StrongId<struct SlotTag>;
// The failover unit: the sessions and peers that move to a standby together.
using GroupId = StrongId<struct GroupTag, uint32_t>;
// Counts the owners a group has had; the edge drops datagrams of any other epoch.
using Epoch = StrongId<struct EpochTag, uint32_t>;

}  // namespace vigil
