#include "gateway/ctl/commands.h"

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gateway/ctl/call_error.h"
#include "gateway/ctl/ec_key.h"
#include "gateway/ctl/json_text.h"
#include "gateway/ctl/listing.h"
#include "gateway/ctl/probe.h"
#include "gateway/ctl/stop_signal.h"
#include "gateway/ctl/time_text.h"
#include "gateway/ctl/watch.h"
#include "gateway/ctl/why.h"

namespace vigil::ctl {
namespace {

// As large as the node lets them be.
constexpr uint32_t kPage = 1'000;
constexpr uint32_t kStatsPage = 100;
// Between two looks at a stream. Long enough for a packet of each that flows, and for a network
// that hiccups; longer keeps somebody waiting who is in a hurry.
constexpr TimeDelta kSecondLook = TimeDelta::Millis(1'500);
// How often a draining node is asked who is left.
constexpr TimeDelta kDrainPoll = TimeDelta::Seconds(1);

int Fail(const GlobalFlags& global, const absl::Status& status) {
  const std::string text = global.json ? ErrorJson(status) : ErrorText(status);
  std::fputs(text.c_str(), stderr);
  return kExitFailed;
}

// What no node said.
int FailHere(const GlobalFlags& global, const absl::Status& status, int code) {
  std::fputs(LocalErrorText(status, global.json).c_str(), stderr);
  return code;
}

void Print(const std::string& text) { std::fputs(text.c_str(), stdout); }

// What was done, in one line of people's or of machines' language.
int Report(const GlobalFlags& global, const absl::Status& status, const std::string& done) {
  if (!status.ok()) return Fail(global, status);
  Print(global.json ? JsonLine({{"done", done}}) : absl::StrCat(done, "\n"));
  return kExitOk;
}

using Ask = std::function<int(NodeClient&)>;

int WithNode(const GlobalFlags& global, const Ask& ask) {
  const absl::StatusOr<NodeClientOptions> options = ClientOptions(global);
  if (!options.ok()) return FailHere(global, options.status(), kExitUsage);
  const absl::StatusOr<std::unique_ptr<NodeClient>> node = NodeClient::Open(*options);
  if (!node.ok()) return FailHere(global, node.status(), kExitUsage);
  return ask(**node);
}

// All pages of a list. `request` names the site and what else it is limited to; `items` is the list
// in an answer.
template <typename Item, typename Request, typename Items>
absl::StatusOr<std::vector<Item>> AllPages(NodeClient& node, Request request, const Items& items) {
  std::vector<Item> all;
  for (;;) {
    const auto response = node.Call(request);
    if (!response.ok()) return response.status();
    const auto& page = items(*response);
    all.insert(all.end(), page.begin(), page.end());
    if (response->next_page_token().empty()) return all;
    request.set_page_token(response->next_page_token());
  }
}

absl::StatusOr<std::vector<v1::Feed>> AllFeeds(NodeClient& node, const std::string& site,
                                               const std::string& prefix) {
  v1::ListFeedsRequest request;
  request.set_site(site);
  request.set_name_prefix(prefix);
  request.set_page_size(kPage);
  return AllPages<v1::Feed>(node, request,
                            [](const v1::ListFeedsResponse& page) { return page.feeds(); });
}

absl::StatusOr<std::vector<v1::PeerStats>> AllStats(NodeClient& node, const std::string& site,
                                                    const std::string& participant) {
  v1::GetStatsRequest request;
  request.set_site(site);
  request.set_participant(participant);
  request.set_page_size(kStatsPage);
  return AllPages<v1::PeerStats>(node, request,
                                 [](const v1::GetStatsResponse& page) { return page.peers(); });
}

template <typename Item, typename Text>
int Show(const GlobalFlags& global, const absl::StatusOr<std::vector<Item>>& items,
         const Text& text) {
  if (!items.ok()) return Fail(global, items.status());
  if (!global.json) {
    Print(text(*items, UnixNow()));
    return kExitOk;
  }
  for (const Item& item : *items) Print(JsonLine(item));
  return kExitOk;
}

// Of all sites that the token sees: a receiver may be of another one than the room.
absl::StatusOr<RoomView> LookAtRoom(NodeClient& node, const std::string& site,
                                    const std::string& room) {
  auto peers = AllStats(node, "", "");
  if (!peers.ok()) return peers.status();
  auto feeds = AllFeeds(node, "", "");
  if (!feeds.ok()) return feeds.status();
  return RoomView{.site = site,
                  .room = room,
                  .peers = *std::move(peers),
                  .feeds = *std::move(feeds),
                  .now = UnixNow()};
}

void Pause(TimeDelta span) {
  std::mutex mutex;
  std::condition_variable nothing;
  std::unique_lock lock(mutex);
  nothing.wait_for(lock, std::chrono::nanoseconds(span.ns()), [] { return false; });
}

template <typename Request>
Request Mutation() {
  Request request;
  request.set_request_id(RandomUuid());
  return request;
}

int ShowState(const GlobalFlags& global, const v1::Node& node) {
  if (global.json) {
    Print(JsonLine(node));
  } else if (node.state() == v1::NODE_STATE_DRAINING) {
    Print(absl::StrCat(node.node(), " drains: it takes nothing new; ", node.peers(),
                       " connections are left\n"));
  } else {
    Print(absl::StrCat(node.node(), " serves: it takes new connections; ", node.peers(),
                       " are there\n"));
  }
  std::fflush(stdout);
  return kExitOk;
}

int WaitUntilEmpty(const GlobalFlags& global, NodeClient& node, StopSignal& stop, uint32_t left) {
  // At once, also in the midst of a call.
  stop.OnStop([&global] {
    std::_Exit(FailHere(global, absl::CancelledError("stopped waiting; the node goes on draining"),
                        kExitFailed));
  });
  while (left > 0) {
    if (stop.WaitFor(kDrainPoll)) return kExitFailed;
    const absl::StatusOr<v1::GetNodeResponse> now = node.Call(v1::GetNodeRequest());
    if (!now.ok()) return Fail(global, now.status());
    if (now->node().state() != v1::NODE_STATE_DRAINING) {
      return FailHere(global, absl::AbortedError("somebody let the node serve again"), kExitFailed);
    }
    if (now->node().peers() == left) continue;
    left = now->node().peers();
    if (global.json) {
      Print(JsonLine({{"peers", static_cast<int64_t>(left)}}));
    } else {
      Print(absl::StrCat(left, " connections are left\n"));
    }
    std::fflush(stdout);
  }
  if (!global.json) Print("empty: it can be stopped\n");
  return kExitOk;
}

}  // namespace

absl::StatusOr<NodeClientOptions> ClientOptions(const GlobalFlags& flags) {
  const std::optional<Endpoint> endpoint = ParseEndpoint(flags.server);
  if (!endpoint) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--server: ", flags.server, " is not allowed; allowed: HOST:PORT, [IPv6]:PORT"));
  }
  if (flags.certificate.empty() != flags.key.empty()) {
    return absl::InvalidArgumentError(
        "--cert is given without --key, or --key without --cert; allowed: both, neither");
  }
  const bool tls = !flags.ca.empty() || !flags.certificate.empty();
  if (flags.plaintext && tls) {
    return absl::InvalidArgumentError(
        "--plaintext is not allowed with --ca, --cert or --key; allowed: one or the others");
  }
  NodeClientOptions options{.server = endpoint->ToString(),
                            .ca = flags.ca,
                            .certificate = flags.certificate,
                            .key = flags.key,
                            .plaintext = flags.plaintext || (!tls && endpoint->is_loopback()),
                            .token_file = flags.token_file,
                            .timeout = TimeDelta::FromSeconds(flags.timeout_seconds)};
  if (options.plaintext && !endpoint->is_loopback() && !options.token_file.empty()) {
    return absl::InvalidArgumentError(
        "--plaintext is not allowed here, it would show the token to the network; allowed: --ca, "
        "or a tunnel on this machine");
  }
  return options;
}

int ListParticipants(const GlobalFlags& global, const std::string& prefix) {
  return WithNode(global, [&](NodeClient& node) {
    v1::ListParticipantsRequest request;
    request.set_site(global.site);
    request.set_name_prefix(prefix);
    request.set_page_size(kPage);
    const auto items = AllPages<v1::Participant>(
        node, request,
        [](const v1::ListParticipantsResponse& page) { return page.participants(); });
    return Show(global, items, ParticipantsText);
  });
}

int ListFeeds(const GlobalFlags& global, const std::string& prefix) {
  return WithNode(global, [&](NodeClient& node) {
    return Show(global, AllFeeds(node, global.site, prefix), FeedsText);
  });
}

int WatchMedia(const GlobalFlags& global) {
  StopSignal stop;  // Before gRPC starts its threads.
  return WithNode(global, [&](NodeClient& node) {
    return Watch(node, stop, {.site = global.site, .json = global.json});
  });
}

int Assign(const GlobalFlags& global, const std::string& peer, uint32_t slot,
           const std::string& feed) {
  return WithNode(global, [&](NodeClient& node) {
    auto request = Mutation<v1::AssignSlotRequest>();
    request.set_peer(peer);
    request.set_slot(slot);
    if (feed != "-") request.set_feed(feed);
    return Report(global, node.Call(request).status(),
                  absl::StrCat("slot ", slot, " of ", peer, " carries ",
                               feed == "-" ? "nothing" : feed, " from now on"));
  });
}

int Close(const GlobalFlags& global, const std::string& peer) {
  return WithNode(global, [&](NodeClient& node) {
    auto request = Mutation<v1::ClosePeerRequest>();
    request.set_peer(peer);
    return Report(global, node.Call(request).status(), absl::StrCat(peer, " is closed"));
  });
}

int Keyframe(const GlobalFlags& global, const std::string& feed) {
  return WithNode(global, [&](NodeClient& node) {
    auto request = Mutation<v1::RequestKeyframeRequest>();
    request.set_site(global.site);
    request.set_feed(feed);
    return Report(global, node.Call(request).status(),
                  absl::StrCat("the sender of ", feed, " is asked for a keyframe"));
  });
}

int Layer(const GlobalFlags& global, const std::string& peer, uint32_t slot,
          std::optional<uint32_t> layer) {
  return WithNode(global, [&](NodeClient& node) {
    auto request = Mutation<v1::SelectLayerRequest>();
    request.set_peer(peer);
    request.set_slot(slot);
    if (layer) request.set_layer(*layer);
    return Report(global, node.Call(request).status(),
                  absl::StrCat("slot ", slot, " of ", peer, " gets ",
                               layer ? absl::StrCat("layer ", *layer, " at most")
                                     : std::string("the best layer there is")));
  });
}

int Stats(const GlobalFlags& global, const std::string& participant) {
  return WithNode(global, [&](NodeClient& node) {
    return Show(global, AllStats(node, global.site, participant), StatsText);
  });
}

int ShowNode(const GlobalFlags& global) {
  return WithNode(global, [&](NodeClient& node) {
    const absl::StatusOr<v1::GetNodeResponse> response = node.Call(v1::GetNodeRequest());
    if (!response.ok()) return Fail(global, response.status());
    Print(global.json ? JsonLine(response->node()) : NodeText(response->node(), UnixNow()));
    return kExitOk;
  });
}

int WhyRoom(const GlobalFlags& global, const std::string& room) {
  return WithNode(global, [&](NodeClient& node) {
    absl::StatusOr<RoomView> view = LookAtRoom(node, global.site, room);
    if (!view.ok()) return Fail(global, view.status());
    if (view->site.empty()) {
      const std::vector<std::string> sites = SitesOf(*view);
      if (sites.size() > 1) {
        return FailHere(
            global,
            CallError(absl::StatusCode::kInvalidArgument,
                      absl::StrCat("--site is missing, and ", room,
                                   " is in several; allowed: ", absl::StrJoin(sites, ", ")),
                      "SITE_REQUIRED"),
            kExitUsage);
      }
      if (!sites.empty()) view->site = sites.front();
    }
    WhyAnswer answer = Why(*view);
    if (!answer.flows) {
      // A second look, by the node's own clock, before anybody is woken.
      Pause(kSecondLook);
      absl::StatusOr<RoomView> again = LookAtRoom(node, view->site, room);
      if (!again.ok()) return Fail(global, again.status());
      again->now = NodeNow(view->peers, again->peers, again->now);
      answer = Why(*again);
    }
    if (global.json) {
      Print(JsonLine({{"room", room}, {"flows", answer.flows}, {"lines", answer.lines}}));
    } else {
      Print(absl::StrCat(absl::StrJoin(answer.lines, "\n"), "\n"));
    }
    return answer.flows ? kExitOk : kExitFailed;
  });
}

int Drain(const GlobalFlags& global, bool wait) {
  std::unique_ptr<StopSignal> stop;
  if (wait) stop = std::make_unique<StopSignal>();  // Before gRPC starts its threads.
  return WithNode(global, [&](NodeClient& node) {
    const absl::StatusOr<v1::DrainResponse> response = node.Call(Mutation<v1::DrainRequest>());
    if (!response.ok()) return Fail(global, response.status());
    ShowState(global, response->node());
    if (!wait) return kExitOk;
    return WaitUntilEmpty(global, node, *stop, response->node().peers());
  });
}

int Undrain(const GlobalFlags& global) {
  return WithNode(global, [&](NodeClient& node) {
    const absl::StatusOr<v1::UndrainResponse> response = node.Call(Mutation<v1::UndrainRequest>());
    if (!response.ok()) return Fail(global, response.status());
    return ShowState(global, response->node());
  });
}

}  // namespace vigil::ctl
