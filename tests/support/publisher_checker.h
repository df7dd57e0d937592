#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "gateway/base/sequence.h"
#include "gateway/base/time.h"
#include "gateway/rtp/rtcp.h"
#include "tests/support/findings.h"
#include "tests/support/scripted_publisher.h"

namespace vigil::sim {

// Holds what the gateway tells a publisher against what it has received of it.
class PublisherChecker {
 public:
  PublisherChecker(const ScriptedPublisher& publisher, Findings& findings)
      : publisher_(publisher), findings_(findings) {}

  // A datagram of the publisher's is given to the gateway; `taken` if it went on as a packet.
  void OnIngress(std::span<const uint8_t> datagram, bool taken, Timestamp now);
  // The gateway sends the publisher this compound.
  void OnRtcp(std::span<const uint8_t> compound, Timestamp now);
  // The gateway's memory of the last second may be gone.
  void OnFault(Timestamp now);
  // Arrivals that were not reported yet may be passed over, and losses asked for anew.
  void OnHandOver(Timestamp now) {
    restored_at_ = now;
    forgiven_requests_ += 10;
  }
  // The path loses nothing, so nobody may claim that it did.
  void set_lossless(bool lossless) { lossless_ = lossless; }

  uint64_t keyframe_requests() const { return keyframe_requests_; }
  uint64_t nacked() const { return nacked_; }
  uint64_t transport_feedbacks() const { return transport_feedbacks_; }

 private:
  void Add(Timestamp now, const std::string& what);
  void OnKeyframeRequest(uint32_t ssrc, Timestamp now);
  void OnNack(const rtp::GenericNack& nack, Timestamp now);
  void OnTransportFeedback(const rtp::TransportFeedback& feedback, Timestamp now);
  void OnReportBlocks(const rtp::ReportBlocks& blocks, Timestamp now);

  struct Stream {
    SequenceUnwrapper sequences;
    std::map<int64_t, Timestamp> received;
    std::map<int64_t, int> requests;
  };

  const ScriptedPublisher& publisher_;
  Findings& findings_;
  std::map<uint32_t, Stream> streams_;  // By media SSRC.
  std::map<uint32_t, Timestamp> last_request_;
  SequenceUnwrapper transport_sequences_;
  std::map<int64_t, Timestamp> arrivals_;  // By transport-wide sequence number.
  Timestamp fault_at_ = Timestamp::LongAgo();
  Timestamp restored_at_ = Timestamp::LongAgo();
  int forgiven_requests_ = 0;
  bool lossless_ = false;
  uint64_t keyframe_requests_ = 0;
  uint64_t nacked_ = 0;
  uint64_t transport_feedbacks_ = 0;
};

}  // namespace vigil::sim
