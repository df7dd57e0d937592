#include "gateway/control/media_log.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "absl/hash/hash.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gateway/control/api_error.h"

namespace vigil::control {
namespace {

absl::Status Expired() {
  return ApiError(v1::ERROR_REASON_RESUME_EXPIRED,
                  "resume_token: what it points at is no longer kept; watch anew without it");
}

// A token of as many sites as a node has, with a number of 20 digits for each, in base 64.
constexpr size_t kLongestToken = 128 * 1024;
// Parts of a token before those of its sites.
constexpr size_t kHead = 3;

absl::StatusOr<std::vector<std::string>> PartsOf(std::string_view token) {
  std::string text;
  if (token.size() > kLongestToken ||
      !absl::WebSafeBase64Unescape(absl::string_view(token.data(), token.size()), &text)) {
    return Expired();
  }
  std::vector<std::string> parts = absl::StrSplit(text, '.');
  uint64_t sequence = 0;
  if (parts.size() < kHead || !absl::SimpleAtoi(parts[2], &sequence)) return Expired();
  return parts;
}

}  // namespace

bool MediaLog::Append(SiteId site, v1::MediaEvent event) {
  const auto [it, added] = sites_.try_emplace(site);
  SiteLog& log = it->second;
  log.entries.push_back({next_order_++, std::move(event)});
  if (log.entries.size() > kKept) {
    log.entries.pop_front();
    ++log.first;
  }
  return added;
}

MediaLog::Place MediaLog::End(const std::set<SiteId>& sites) const {
  Place place;
  for (const SiteId site : sites) {
    const auto log = sites_.find(site);
    place.next_[site] = log == sites_.end() ? 1 : log->second.end();
  }
  return place;
}

// boot.sites.sequence, then the next change of each site. Opaque to clients only by agreement: it
// holds nothing that the watch has not been told, so no id of a site, which would tell how many
// there are.
std::string MediaLog::Token(const Place& place) const {
  std::string text =
      absl::StrCat(absl::Hex(boot_), ".", absl::Hex(Fingerprint(place)), ".", place.sequence_);
  for (const auto& [site, next] : place.next_) absl::StrAppend(&text, ".", next);
  return absl::WebSafeBase64Escape(text);
}

// Of the sites that are watched; the same in one run of the process.
uint64_t MediaLog::Fingerprint(const Place& place) const {
  std::vector<SiteId> sites;
  for (const auto& [site, next] : place.next_) sites.push_back(site);
  return absl::HashOf(boot_, sites);
}

absl::StatusOr<MediaLog::Place> MediaLog::Resume(std::string_view token,
                                                 const std::set<SiteId>& sites) const {
  const absl::StatusOr<std::vector<std::string>> parts = PartsOf(token);
  if (!parts.ok()) return parts.status();
  Place place = End(sites);
  // Another run, or another token with other sites: nothing says what the watch knows of them.
  if ((*parts)[0] != absl::StrCat(absl::Hex(boot_)) || parts->size() != kHead + sites.size() ||
      (*parts)[1] != absl::StrCat(absl::Hex(Fingerprint(place)))) {
    return Expired();
  }
  const bool readable = absl::SimpleAtoi((*parts)[2], &place.sequence_);
  size_t part = kHead;
  for (auto& [site, next] : place.next_) {
    if (!readable || !absl::SimpleAtoi((*parts)[part++], &next)) return Expired();
    const auto log = sites_.find(site);
    const uint64_t end = log == sites_.end() ? 1 : log->second.end();
    const uint64_t first = log == sites_.end() ? 1 : log->second.first;
    if (next < first || next > end) return Expired();
  }
  return place;
}

absl::StatusOr<MediaLog::Place> MediaLog::ResumeEverySite(std::string_view token,
                                                          const std::set<SiteId>& sites) const {
  const absl::StatusOr<std::vector<std::string>> parts = PartsOf(token);
  if (!parts.ok()) return parts.status();
  const size_t known = std::min(parts->size() - kHead, sites.size());
  const auto first_new = std::next(sites.begin(), static_cast<std::ptrdiff_t>(known));
  absl::StatusOr<Place> place = Resume(token, {sites.begin(), first_new});
  if (!place.ok()) return place;
  for (auto site = first_new; site != sites.end(); ++site) {
    const auto log = sites_.find(*site);
    if (log != sites_.end() && log->second.first > 1) return Expired();
    place->Add(*site);
  }
  return place;
}

const MediaLog::Entry* MediaLog::Find(SiteId site, uint64_t number) const {
  const auto log = sites_.find(site);
  if (log == sites_.end() || number < log->second.first || number >= log->second.end()) {
    return nullptr;
  }
  return &log->second.entries[number - log->second.first];
}

const v1::MediaEvent* MediaLog::Next(Place& place) const {
  const Entry* oldest = nullptr;
  uint64_t* next = nullptr;
  for (auto& [site, number] : place.next_) {
    const Entry* entry = Find(site, number);
    if (entry == nullptr || (oldest != nullptr && oldest->order < entry->order)) continue;
    oldest = entry;
    next = &number;
  }
  if (oldest == nullptr) return nullptr;
  ++*next;
  ++place.sequence_;
  return &oldest->event;
}

bool MediaLog::HasNext(const Place& place) const {
  for (const auto& [site, number] : place.next_) {
    if (Find(site, number) != nullptr) return true;
  }
  return false;
}

uint64_t MediaLog::Lost(const Place& place) const {
  uint64_t lost = 0;
  for (const auto& [site, number] : place.next_) {
    const auto log = sites_.find(site);
    if (log != sites_.end() && number < log->second.first) lost += log->second.first - number;
  }
  return lost;
}

}  // namespace vigil::control
