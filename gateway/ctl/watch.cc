#include "gateway/ctl/watch.h"

#include <algorithm>
#include <cstdio>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gateway/ctl/call_error.h"
#include "gateway/ctl/json_text.h"
#include "gateway/ctl/listing.h"
#include "gateway/ctl/node_client.h"
#include "gateway/ctl/stop_signal.h"
#include "gateway/ctl/time_text.h"

namespace vigil::ctl {
namespace {

// Between tries after the node went away. The first may come soon: a restart takes a second. The
// last spares a node that a whole site's consoles are waiting for.
constexpr TimeDelta kFirstPause = TimeDelta::Millis(500);
constexpr TimeDelta kLongestPause = TimeDelta::Seconds(10);

std::string SlotText(const v1::Slot& slot) {
  return absl::StrCat("slot ", slot.index(), " (", std::string(KindText(slot.kind())), ")");
}

std::string FeedText(const v1::Slot& slot) { return slot.feed().empty() ? "nothing" : slot.feed(); }

std::string CloseText(v1::PeerCloseReason reason) {
  constexpr std::string_view kPrefix = "PEER_CLOSE_REASON_";
  std::string name = v1::PeerCloseReason_Name(reason);
  if (name.size() > kPrefix.size()) name.erase(0, kPrefix.size());
  absl::AsciiStrToLower(&name);
  return name.empty() ? "unknown" : name;
}

std::string KindsText(const v1::Feed& feed) {
  std::vector<std::string> kinds;
  if (!feed.video_codecs().empty()) kinds.push_back("picture");
  if (!feed.audio_codecs().empty()) kinds.push_back("sound");
  return absl::StrJoin(kinds, " and ");
}

std::string EventText(const v1::MediaEvent& event) {
  switch (event.kind_case()) {
    case v1::MediaEvent::kPeerOpened: {
      const v1::Peer& peer = event.peer_opened().peer();
      return absl::StrCat(
          "peer opened     ", event.peer_opened().participant(), " ", peer.peer(),
          peer.publishes().empty() ? " receives" : absl::StrCat(" publishes ", peer.publishes()));
    }
    case v1::MediaEvent::kPeerConnected:
      return absl::StrCat("peer connected  ", event.peer_connected().participant(), " ",
                          event.peer_connected().peer());
    case v1::MediaEvent::kPeerClosed:
      return absl::StrCat("peer closed     ", event.peer_closed().participant(), " ",
                          event.peer_closed().peer(), ": ",
                          CloseText(event.peer_closed().reason()));
    case v1::MediaEvent::kFeedPublished:
      return absl::StrCat("feed published  ", event.feed_published().feed().feed(), ", ",
                          KindsText(event.feed_published().feed()));
    case v1::MediaEvent::kFeedEnded:
      return absl::StrCat("feed ended      ", event.feed_ended().feed());
    case v1::MediaEvent::kSlotAssigned: {
      const v1::SlotAssigned& slot = event.slot_assigned();
      return absl::StrCat("slot assigned   ", slot.participant(), " ", slot.peer(), " ",
                          SlotText(slot.slot()), " to ", FeedText(slot.slot()));
    }
    case v1::MediaEvent::kSlotSwitched: {
      const v1::SlotSwitched& slot = event.slot_switched();
      return absl::StrCat("slot switched   ", slot.participant(), " ", slot.peer(), " ",
                          SlotText(slot.slot()), " carries ", FeedText(slot.slot()), " after ",
                          SpanText(ToSpan(slot.waited())));
    }
    case v1::MediaEvent::kSlotMismatched: {
      const v1::SlotMismatched& slot = event.slot_mismatched();
      return absl::StrCat("slot MISMATCHED ", slot.participant(), " ", slot.peer(), " ",
                          SlotText(slot.slot()), " cannot carry ", FeedText(slot.slot()));
    }
    case v1::MediaEvent::KIND_NOT_SET:
      break;
  }
  return "an event of a later version";
}

void AddSnapshot(const v1::MediaSnapshot& snapshot, std::vector<std::string>& lines) {
  for (const v1::Participant& participant : snapshot.participants()) {
    for (const v1::Peer& peer : participant.peers()) {
      std::string line =
          absl::StrCat("there is        ", participant.site(), " peer  ", participant.participant(),
                       " ", peer.peer(), " ", std::string(PhaseText(peer.phase())));
      if (!peer.publishes().empty()) absl::StrAppend(&line, ", publishes ", peer.publishes());
      for (const v1::Slot& slot : peer.slots()) {
        absl::StrAppend(&line, ", ", SlotText(slot), " carries ", FeedText(slot));
      }
      lines.push_back(std::move(line));
    }
  }
  for (const v1::Feed& feed : snapshot.feeds()) {
    lines.push_back(absl::StrCat("there is        ", feed.site(), " feed  ", feed.feed(), ", ",
                                 KindsText(feed)));
  }
  if (!snapshot.partial()) lines.push_back("that is all; what changes follows");
}

// The state of one run of the command.
class Watching {
 public:
  Watching(NodeClient& node, StopSignal& stop, const WatchOptions& options)
      : node_(node), stop_(stop), options_(options) {}

  int Run() {
    stop_.OnStop([this] { node_.CancelWatch(); });
    TimeDelta pause = kFirstPause;
    for (;;) {
      v1::WatchMediaRequest request;
      request.set_site(options_.site);
      request.set_resume_token(resume_token_);
      got_something_ = false;
      const absl::Status end =
          node_.Watch(request, std::nullopt,
                      [this](const v1::WatchMediaResponse& message) { return OnMessage(message); });
      if (stop_.stopped() || output_is_gone_) return 0;
      if (got_something_) pause = kFirstPause;
      if (!MayTryAgain(end)) return Fail(end);
      if (stop_.WaitFor(pause)) return 0;
      pause = std::min(pause * 2, kLongestPause);
    }
  }

 private:
  bool OnMessage(const v1::WatchMediaResponse& message) {
    if (was_away_) Tell("the node is back");
    was_away_ = false;
    got_something_ = true;
    had_something_ = true;
    resume_token_ = message.resume_token();
    std::string text;
    if (options_.json) {
      text = JsonLine(message);
    } else {
      for (const std::string& line : WatchLines(message)) absl::StrAppend(&text, line, "\n");
    }
    if (message.has_lagged()) {
      Tell(absl::StrCat("lagged: ", message.lagged().count(),
                        " events were lost; here is everything anew"));
      resume_token_.clear();
    }
    // A reader that is gone (`| head`) ends it, like Ctrl-C.
    const bool written =
        std::fputs(text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0 && !std::ferror(stdout);
    output_is_gone_ = !written;
    return written;
  }

  bool MayTryAgain(const absl::Status& end) {
    switch (end.code()) {
      case absl::StatusCode::kOutOfRange:
        Tell("the node no longer has what was missed; here is everything anew");
        resume_token_.clear();
        return true;
      case absl::StatusCode::kOk:
      case absl::StatusCode::kUnavailable:
      case absl::StatusCode::kCancelled:
      case absl::StatusCode::kUnknown:
      case absl::StatusCode::kInternal:
      case absl::StatusCode::kResourceExhausted:
      case absl::StatusCode::kDeadlineExceeded:
        // A first failure is a wrong address more often than a node that is away.
        if (!had_something_) return false;
        if (!was_away_ && !end.ok()) {
          Fail(end);
          Tell("trying again until it is back, or Ctrl-C");
        }
        was_away_ = was_away_ || !end.ok();
        return true;
      default:
        return false;
    }
  }

  // Not an event, and nothing to fail for.
  void Tell(const std::string& notice) const {
    const std::string text =
        options_.json ? JsonLine({{"notice", notice}}) : absl::StrCat("vigilctl: ", notice, "\n");
    std::fputs(text.c_str(), stderr);
  }

  int Fail(const absl::Status& end) const {
    const std::string text = options_.json ? ErrorJson(end) : ErrorText(end);
    std::fputs(text.c_str(), stderr);
    return 1;
  }

  NodeClient& node_;
  StopSignal& stop_;
  const WatchOptions& options_;
  std::string resume_token_;
  bool got_something_ = false;  // From this connection.
  bool had_something_ = false;  // From any.
  bool was_away_ = false;
  bool output_is_gone_ = false;
};

}  // namespace

std::vector<std::string> WatchLines(const v1::WatchMediaResponse& message) {
  std::vector<std::string> lines;
  if (message.has_snapshot()) AddSnapshot(message.snapshot(), lines);
  if (message.has_event()) {
    const v1::MediaEvent& event = message.event();
    lines.push_back(
        absl::StrCat(UtcText(ToSpan(event.time())), " ", event.site(), " ", EventText(event)));
  }
  if (message.has_lagged()) {
    lines.push_back(absl::StrCat("lagged: ", message.lagged().count(), " events were lost"));
  }
  return lines;
}

int Watch(NodeClient& node, StopSignal& stop, const WatchOptions& options) {
  return Watching(node, stop, options).Run();
}

}  // namespace vigil::ctl
