#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/base/strong_id.h"

namespace vigil::control {

// Names of sites and the ids that stand for them inside this node. An id is never shown: its value
// would tell how many sites there are.
class SiteTable {
 public:
  static constexpr size_t kMaxSites = 4'096;

  // The id of a site that something is made in. QUOTA_EXCEEDED.
  absl::StatusOr<SiteId> Make(std::string_view name);
  // None for a site in which nothing was ever made.
  std::optional<SiteId> Find(std::string_view name) const;
  // Must be an id of this table.
  const std::string& NameOf(SiteId id) const;
  std::set<SiteId> All() const;

  // For whoever takes over: ids are the places in the list, from 1.
  const std::vector<std::string>& names() const { return names_; }

 private:
  std::vector<std::string> names_;
  std::map<std::string, SiteId, std::less<>> ids_;
};

}  // namespace vigil::control
