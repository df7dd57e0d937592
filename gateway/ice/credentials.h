#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "gateway/base/strong_id.h"

// ICE user fragments and passwords (RFC 8445, section 5.3). Randomness is an argument: it has to
// come from the operating system, and only adapters talk to that.

namespace vigil::ice {

struct Credentials {
  std::string ufrag;
  std::string password;

  template <typename F>
  void Fields(F&& f) {
    f(ufrag, password);
  }
  bool operator==(const Credentials&) const = default;
};

// RFC 8445, 5.3 asks for 24 and 128 bits of randomness. A ufrag gets more, because it also has to
// be unique in the whole installation: it is how a first check finds its peer.
constexpr size_t kMinUfragRandomBytes = 5;
constexpr size_t kMinPasswordRandomBytes = 16;

// A ufrag that carries `group`, so that an edge can route a first check by the ufrag alone. At
// least kMinUfragRandomBytes of `random` are needed; all are used, up to 20.
std::string MakeUfrag(GroupId group, std::span<const uint8_t> random);

// The group in a ufrag that MakeUfrag made; empty for any other text. Constant time and no
// allocation, because it runs on unauthenticated input.
std::optional<GroupId> GroupOfUfrag(std::string_view ufrag);

// At least 22 characters out of at least kMinPasswordRandomBytes of `random` (up to 40 are used).
std::string MakePassword(std::span<const uint8_t> random);

}  // namespace vigil::ice
