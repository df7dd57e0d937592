#pragma once

#include <cstdint>
#include <vector>

#include "gateway/base/byte_io.h"
#include "gateway/base/rng.h"
#include "tests/support/scripted_subscriber.h"

namespace vigil::sim {

// A client that was let in and means harm: between the reports of a usual receiver it sends
// authentic RTCP and RTP of every kind a parser, a history or a publisher could be hurt with.
class HostileSubscriber : public ScriptedSubscriber {
 public:
  enum class Attack : uint8_t {
    kNackFlood,       // All of the last packets, again and again.
    kKeyframeFlood,   // Many PLI and FIR in one packet.
    kForeignStreams,  // NACK, PLI, FIR and reports about SSRCs of others and of nobody.
    kStrangeReports,  // Values no receiver can mean, BYE for everyone, DLRR never asked for.
    kFeedback,        // Transport-wide feedback about packets never sent, in numbers.
    kGarbage,         // Authentic bytes that are no RTCP.
    kMedia,           // RTP, though nothing was negotiated.
    kCount
  };

  explicit HostileSubscriber(const SubscriberOptions& options);

  void HandleTimers(Timestamp now, ClientOutput& out) override;
  Timestamp NextDeadline() const override;

  // One attack, sent at once.
  void Send(Attack attack, ClientOutput& out);
  // Sends one of `attacks` (all if empty) each `interval`; Infinite ends it.
  void Begin(TimeDelta interval, std::vector<Attack> attacks = {});

 private:
  std::vector<uint8_t> Make(Attack attack);
  void WriteStrangeReports(ByteWriter& out);
  uint32_t AnySsrc();

  Rng rng_;
  TimeDelta interval_ = TimeDelta::Infinite();
  std::vector<Attack> attacks_;
  uint16_t media_sequence_ = 0;
  Timestamp next_attack_ = Timestamp::LongAgo();
};

}  // namespace vigil::sim
