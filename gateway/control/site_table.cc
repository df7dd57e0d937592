#include "gateway/control/site_table.h"

#include "gateway/base/check.h"
#include "gateway/control/api_error.h"

namespace vigil::control {

absl::StatusOr<SiteId> SiteTable::Make(std::string_view name) {
  if (const auto known = Find(name)) return *known;
  if (names_.size() >= kMaxSites) {
    return ApiError(v1::ERROR_REASON_QUOTA_EXCEEDED, "the node has all the sites it takes",
                    {{"limit", "sites"}});
  }
  names_.emplace_back(name);
  const SiteId id(static_cast<uint32_t>(names_.size()));
  ids_[names_.back()] = id;
  return id;
}

std::optional<SiteId> SiteTable::Find(std::string_view name) const {
  const auto it = ids_.find(name);
  if (it == ids_.end()) return std::nullopt;
  return it->second;
}

const std::string& SiteTable::NameOf(SiteId id) const {
  VIGIL_CHECK(id.value() >= 1 && id.value() <= names_.size());
  return names_[id.value() - 1];
}

std::set<SiteId> SiteTable::All() const {
  std::set<SiteId> all;
  for (const auto& [name, id] : ids_) all.insert(id);
  return all;
}

}  // namespace vigil::control
