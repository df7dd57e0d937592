#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gateway/base/strong_id.h"
#include "vigil/v1/media.pb.h"

namespace vigil::control {

// The last changes of each site, which every watch of it reads at its own pace: a watch is a place
// in the log, so that a thousand of them cost little and a slow one holds up nobody.
//
// Each site counts its own changes. A watch of several sites reads them in the order in which they
// happened, and nothing that it gets, sequence and token included, tells of a site it may not see.
class MediaLog {
 public:
  // Changes kept of each site. More bridge a longer absence of a watcher; a busy site makes some
  // ten a second when a whole shift begins.
  static constexpr size_t kKept = 1'024;

  // `boot`: names this run of the process; places of another run mean nothing here.
  explicit MediaLog(uint64_t boot) : boot_(boot) {}

  // True if it is the site's first.
  bool Append(SiteId site, v1::MediaEvent event);

  // How far a watch has read.
  class Place {
   public:
    // Of this watch, counted over its resumptions.
    uint64_t sequence() const { return sequence_; }
    // Also of this site, which is new, from its beginning.
    void Add(SiteId site) { next_.try_emplace(site, 1); }

   private:
    friend class MediaLog;
    uint64_t sequence_ = 0;
    std::map<SiteId, uint64_t> next_;  // The number of the first change not read.
  };

  // The end of the log for these sites: everything from now on. A site that is not there yet counts
  // from its beginning.
  Place End(const std::set<SiteId>& sites) const;
  // The place of a token that Token() made. RESUME_EXPIRED when a change behind it is no longer
  // kept, or it is of another run or of other sites.
  absl::StatusOr<Place> Resume(std::string_view token, const std::set<SiteId>& sites) const;
  // The same for a watch of every site: those that came later, whose ids are above all others, are
  // read from their beginning.
  absl::StatusOr<Place> ResumeEverySite(std::string_view token,
                                        const std::set<SiteId>& sites) const;
  std::string Token(const Place& place) const;

  // The next change behind the place, which moves over it. Null: there is none.
  const v1::MediaEvent* Next(Place& place) const;
  // How many changes behind the place are lost: the watch was too slow.
  uint64_t Lost(const Place& place) const;
  bool HasNext(const Place& place) const;

 private:
  struct Entry {
    uint64_t order = 0;  // Among the changes of all sites.
    v1::MediaEvent event;
  };
  struct SiteLog {
    uint64_t first = 1;  // The number of the oldest that is kept.
    std::deque<Entry> entries;
    uint64_t end() const { return first + entries.size(); }
  };
  const Entry* Find(SiteId site, uint64_t number) const;
  uint64_t Fingerprint(const Place& place) const;

  uint64_t boot_;
  uint64_t next_order_ = 1;
  std::map<SiteId, SiteLog> sites_;
};

}  // namespace vigil::control
