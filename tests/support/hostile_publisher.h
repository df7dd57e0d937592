#pragma once

#include <cstdint>
#include <vector>

#include "gateway/base/rng.h"
#include "tests/support/scripted_publisher.h"

namespace vigil::sim {

// A client that was let in and means harm to whoever watches it: what it sends is picture and
// sound, but it leaves sequence numbers out, and says in one compound what takes many.
class HostilePublisher : public ScriptedPublisher {
 public:
  explicit HostilePublisher(const PublisherOptions& options);

  void HandleTimers(Timestamp now, ClientOutput& out) override;

  // With each picture or packet of sound, by this chance, up to `most` numbers are left out, and
  // now and then a compound of many sender reports is sent. A client that leaves out more than
  // 32767 of what arrives ends its own stream. 0 ends it.
  void Begin(int64_t most, double chance = 1) {
    LeaveOut(most, chance);
    active_ = most > 0;
  }

 private:
  void SendManyReports(Timestamp now, ClientOutput& out);

  Rng rng_;
  bool active_ = false;
};

}  // namespace vigil::sim
