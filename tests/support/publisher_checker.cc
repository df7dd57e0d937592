#include "tests/support/publisher_checker.h"

#include <variant>

#include "gateway/rtp/packet.h"

namespace vigil::sim {
namespace {

// What is promised, not what the code happens to say: libwebrtc's encoder ignores requests closer
// than this, and a packet that was asked for ten times does not come.
constexpr TimeDelta kLeastKeyframeInterval = TimeDelta::Millis(300);
constexpr int kMostRequests = 10;

}  // namespace

void PublisherChecker::Add(Timestamp now, const std::string& what) {
  findings_.Add(now, "publisher " + std::to_string(publisher_.peer().value()) + ": " + what);
}

void PublisherChecker::OnFault(Timestamp now) {
  fault_at_ = now;
  last_request_.clear();
  forgiven_requests_ += kMostRequests;
}

void PublisherChecker::OnIngress(std::span<const uint8_t> datagram, bool taken, Timestamp now) {
  // The length of the padding is encrypted, and of no interest.
  std::vector<uint8_t> bytes(datagram.begin(), datagram.end());
  bytes[0] &= 0xdf;
  const std::optional<rtp::PacketView> view = rtp::ParsePacket(bytes);
  if (!view) return;
  const rtp::HeaderExtensions extensions = rtp::ParseExtensions(*view, AllExtensions());
  if (extensions.transport_sequence) {
    const auto [it, first] =
        arrivals_.emplace(transport_sequences_.Unwrap(*extensions.transport_sequence), now);
    // A successor that did not see it come, because the owner has died since, sees it come again.
    if (!first && it->second <= fault_at_) it->second = now;
  }
  const SourceStream* source = publisher_.FindStream(view->header.ssrc);
  if (!taken || source == nullptr) return;
  Stream& stream = streams_[source->ssrc];
  if (view->header.ssrc == source->ssrc) {
    stream.received.emplace(stream.sequences.Unwrap(view->header.sequence), now);
  } else {
    const auto it = source->retransmitted.find(view->header.sequence);
    if (it != source->retransmitted.end()) stream.received.emplace(it->second, now);
  }
}

void PublisherChecker::OnRtcp(std::span<const uint8_t> compound, Timestamp now) {
  rtp::RtcpReader reader(compound);
  while (const std::optional<rtp::RtcpPacket> rtcp = reader.Next()) {
    if (const auto* pli = std::get_if<rtp::PictureLossIndication>(&*rtcp)) {
      OnKeyframeRequest(pli->media_ssrc, now);
    } else if (const auto* fir = std::get_if<rtp::FullIntraRequest>(&*rtcp)) {
      for (size_t i = 0; i < fir->size(); ++i) OnKeyframeRequest(fir->ssrc(i), now);
    } else if (const auto* nack = std::get_if<rtp::GenericNack>(&*rtcp)) {
      OnNack(*nack, now);
    } else if (const auto* feedback = std::get_if<rtp::TransportFeedback>(&*rtcp)) {
      OnTransportFeedback(*feedback, now);
    } else if (const auto* report = std::get_if<rtp::ReceiverReport>(&*rtcp)) {
      OnReportBlocks(report->blocks, now);
    }
  }
  if (reader.malformed()) Add(now, "was sent RTCP that does not parse");
}

void PublisherChecker::OnKeyframeRequest(uint32_t ssrc, Timestamp now) {
  ++keyframe_requests_;
  const SourceStream* source = publisher_.FindStream(ssrc);
  if (source == nullptr || source->kind != rtp::MediaKind::kVideo) {
    return Add(now, "was asked for a keyframe of what it does not send");
  }
  const auto [it, first] = last_request_.emplace(ssrc, now);
  if (!first && now - it->second < kLeastKeyframeInterval) {
    Add(now, "was asked for keyframes " + std::to_string((now - it->second).ms()) + " ms apart");
  }
  it->second = now;
}

void PublisherChecker::OnNack(const rtp::GenericNack& nack, Timestamp now) {
  const SourceStream* source = publisher_.FindStream(nack.media_ssrc);
  if (source == nullptr || source->rtx_ssrc == 0) {
    return Add(now, "was asked to repeat what it cannot");
  }
  Stream& stream = streams_[nack.media_ssrc];
  nack.ForEach([&](uint16_t wire) {
    ++nacked_;
    const int64_t sequence = stream.sequences.Peek(wire);
    const auto received = stream.received.find(sequence);
    if (received != stream.received.end() && received->second > fault_at_) {
      Add(now, "was asked for packet " + std::to_string(sequence) + ", which had come");
    }
    if (++stream.requests[sequence] > kMostRequests + forgiven_requests_) {
      Add(now, "was asked for packet " + std::to_string(sequence) + " too often");
    }
  });
}

void PublisherChecker::OnTransportFeedback(const rtp::TransportFeedback& feedback, Timestamp now) {
  ++transport_feedbacks_;
  const int64_t base = transport_sequences_.Peek(feedback.base_sequence);
  rtp::TransportFeedback::Cursor cursor(feedback);
  int64_t sequence = base;
  std::optional<std::pair<Timestamp, TimeDelta>> before;
  while (const auto item = cursor.Next()) {
    const auto arrival = arrivals_.find(sequence);
    const bool arrived = arrival != arrivals_.end();
    if (item->received && !arrived) {
      Add(now, "was told that packet " + std::to_string(sequence) + " arrived, which did not");
    } else if (!item->received && arrived && arrival->second > restored_at_) {
      Add(now, "was told that packet " + std::to_string(sequence) + " was lost, which arrived " +
                   std::to_string((now - arrival->second).ms()) + " ms ago");
    } else if (item->received) {
      if (before) {
        const TimeDelta claimed = item->time - before->second;
        const TimeDelta error = claimed - (arrival->second - before->first);
        if (error > TimeDelta::Millis(1) || error < TimeDelta::Millis(-1)) {
          Add(now,
              "was told arrival times that are wrong by " + std::to_string(error.us()) + " us");
        }
      }
      before = {arrival->second, item->time};
    }
    ++sequence;
  }
}

void PublisherChecker::OnReportBlocks(const rtp::ReportBlocks& blocks, Timestamp now) {
  for (size_t i = 0; i < blocks.size(); ++i) {
    const rtp::ReportBlock block = blocks[i];
    const auto it = streams_.find(block.ssrc);
    if (it == streams_.end() || it->second.received.empty()) {
      Add(now, "was sent a report about an SSRC it does not use");
      continue;
    }
    if (static_cast<uint16_t>(block.extended_highest_sequence) !=
            static_cast<uint16_t>(it->second.received.rbegin()->first) &&
        it->second.received.rbegin()->second > fault_at_) {
      Add(now, "was sent a report with another highest sequence number than arrived: " +
                   std::to_string(block.extended_highest_sequence) + " not " +
                   std::to_string(static_cast<uint16_t>(it->second.received.rbegin()->first)) +
                   " of " + std::to_string(block.ssrc));
    }
    if (lossless_ && block.cumulative_lost > 0 && fault_at_.IsLongAgo()) {
      Add(now, "was reported " + std::to_string(block.cumulative_lost) + " losses without any");
    }
  }
}

}  // namespace vigil::sim
