#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "gateway/base/client_address.h"
#include "gateway/base/deadline_heap.h"
#include "gateway/base/drop_reason.h"
#include "gateway/base/outbox.h"
#include "gateway/base/packet_pool.h"
#include "gateway/base/rng.h"
#include "gateway/base/strong_id.h"
#include "gateway/base/time.h"
#include "gateway/ice/stun.h"
#include "gateway/io/datagram.h"
#include "gateway/peer/peer.h"
#include "gateway/sfu/command.h"
#include "gateway/sfu/event.h"
#include "gateway/sfu/router.h"
#include "gateway/transport/dtls_context.h"
#include "gateway/transport/srtp_sender.h"
#include "gateway/worker/relay.h"
#include "gateway/worker/report.h"

namespace vigil::worker {

struct WorkerOptions {
  uint32_t index = 0;
  GroupId group;
  rtp::WallClock wall_clock;
  uint64_t seed = 0;  // Initial sequence numbers and timestamps. From the operating system.
  // Datagrams alive at once: what is in flight in a turn, and one second of each publisher for
  // retransmission, which is 300 packets at 3 Mb/s. 65536 are 200 such rooms, 107 MB when all are
  // used; untouched ones cost nothing. Lower: retransmission is shortened with fewer rooms.
  size_t packets = 65'536;
  size_t max_peers = 4'096;
};

// The port has to learn, or forget, that this 5-tuple is an authenticated client.
struct BindChange {
  ClientAddress client;
  GroupId group;
  bool bind = true;
};

// What one turn gave rise to. Owned and emptied by whoever drives the worker.
struct TurnOutput {
  explicit TurnOutput(size_t datagrams) : outbox(datagrams) {}
  Outbox outbox;
  std::vector<sfu::Event> events;
  std::vector<BindChange> binds;
  // Bit n: something was put into the link to worker n.
  uint64_t relayed_to = 0;
};

// All that one worker owns, as values: what a standby needs to go on in its place.
struct WorkerState {
  // An address on which datagrams are a peer's, and when something authentic of it last came there.
  struct OwnAddress {
    ClientAddress address;
    Timestamp heard_at = Timestamp::LongAgo();
    template <typename F>
    void Fields(F&& f) {
      f(address, heard_at);
    }
  };
  struct PeerRecord {
    SiteId site;
    GroupId group;
    FeedId publishes;
    peer::Peer::State peer;
    std::vector<OwnAddress> addresses;
    template <typename F>
    void Fields(F&& f) {
      f(site, group, publishes, peer, addresses);
    }
  };
  struct RemoteFeed {
    FeedId feed;
    uint32_t origin_worker = 0;
    template <typename F>
    void Fields(F&& f) {
      f(feed, origin_worker);
    }
  };
  std::vector<PeerRecord> peers;
  std::vector<RemoteFeed> remote_feeds;
  sfu::Router::State router;
  Rng rng{0};
  template <typename F>
  void Fields(F&& f) {
    f(peers, remote_feeds, router, rng);
  }
};

// Owns peers and what flows between them. Sans-I/O: datagrams, commands and time come in;
// datagrams, events and a deadline go out. One thread.
class Worker {
 public:
  // `mesh` may be null for a node with one worker; it and `dtls` outlive the worker.
  Worker(const WorkerOptions& options, const transport::DtlsContext& dtls, RelayMesh* mesh);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Changes what is asked, or says why not, naming the id.
  absl::Status Apply(const sfu::Command& command, Timestamp now, TurnOutput& out);
  // The way of one packet. Consumes `datagram.packet`.
  void HandleDatagram(io::InboundDatagram& datagram, Timestamp now, TurnOutput& out);
  // Takes what other workers relayed here, at most `limit` packets in all. True if there may be
  // more. Where it ends, the next call begins with the next worker: one that relays much does not
  // keep the others waiting.
  bool HandleRelays(size_t limit, Timestamp now, TurnOutput& out);
  void HandleTimers(Timestamp now, TurnOutput& out);
  Timestamp NextDeadline() const { return deadlines_.next(); }

  // The state of every peer whose handshake is done. Changes nothing.
  WorkerState Export() const;
  // Into a fresh worker. kAfterFault: the former owner died, so no index it may have used is used
  // again and publishers are asked for keyframes. FAILED_PRECONDITION if the state is not
  // consistent; the worker is then unusable.
  absl::Status Restore(const WorkerState& state, transport::SrtpSender::RestoreMode mode,
                       Timestamp now, TurnOutput& out);

  WorkerReport Report(const ReportScope& scope = {}) const;
  const WorkerCounters& counters() const { return counters_; }
  PacketPool& pool() { return pool_; }
  const WorkerOptions& options() const { return options_; }
  size_t peer_count() const { return peers_.size(); }

 private:
  struct Entry {
    std::unique_ptr<peer::Peer> peer;
    SiteId site;
    GroupId group;
    FeedId publishes;
    std::vector<ClientAddress> bound;  // Its addresses in by_address_.
    std::vector<std::string> ufrags;   // Names in by_ufrag_.
    bool open = false;                 // Keys and an address are there: its slots are fed.
    // For whoever asks why nothing flows.
    uint64_t dropped = 0;
    std::optional<DropReason> last_drop;
    Timestamp last_drop_at = Timestamp::LongAgo();
    void NoteDrop(DropReason reason, Timestamp now) {
      ++dropped;
      last_drop = reason;
      last_drop_at = now;
    }
    DeadlineHook wake;
  };

  absl::Status ApplyOne(const sfu::CreatePeer& command, Timestamp now, TurnOutput& out);
  absl::Status ApplyOne(const sfu::ClosePeer& command, Timestamp now, TurnOutput& out);
  absl::Status ApplyOne(const sfu::RestartIce& command, Timestamp now, TurnOutput& out);
  absl::Status ApplyOne(const sfu::AssignSlot& command, Timestamp now, TurnOutput& out);
  absl::Status ApplyOne(const sfu::SelectLayer& command, Timestamp now, TurnOutput& out);
  absl::Status ApplyOne(const sfu::RequestKeyframe& command, Timestamp now, TurnOutput& out);
  absl::Status ApplyOne(const sfu::AttachRemoteFeed& command, Timestamp now, TurnOutput& out);
  absl::Status ApplyOne(const sfu::DetachRemoteFeed& command, Timestamp now, TurnOutput& out);
  absl::Status ApplyOne(const sfu::AddRelay& command, Timestamp now, TurnOutput& out);
  absl::Status ApplyOne(const sfu::RemoveRelay& command, Timestamp now, TurnOutput& out);

  // Whose an address is, and when something authentic of theirs last came from it.
  struct Owner {
    Entry* entry = nullptr;
    Timestamp heard_at = Timestamp::LongAgo();
  };

  Owner* FindByAddress(const ClientAddress& client);
  PeerReport ReportOf(const Entry& entry) const;
  Entry* FindById(PeerId id);
  void HandleStun(io::InboundDatagram& datagram, Timestamp now, TurnOutput& out);
  std::optional<DropReason> HandleDtls(Entry& entry, io::InboundDatagram& datagram, Timestamp now,
                                       TurnOutput& out);
  std::optional<DropReason> HandleRtcp(Entry& entry, io::InboundDatagram& datagram, Timestamp now,
                                       TurnOutput& out);
  void Deliver(const rtp::TrackPacket& packet, Timestamp now, TurnOutput& out);
  void Relay(FeedId feed, const rtp::TrackPacket& packet, TurnOutput& out);
  // Passes on what the router's last call asked for besides deliveries.
  void Settle(Timestamp now, TurnOutput& out);
  void WishKeyframe(const sfu::KeyframeWish& wish, Timestamp now, TurnOutput& out);
  void Note(uint32_t to_worker, const RelayNote& note, TurnOutput& out);
  // Takes at most `limit` packets from one link; how many.
  size_t TakeRelayed(RelayLink& link, size_t limit, Timestamp now, TurnOutput& out);
  void HandleNotes(RelayLink& link, Timestamp now, TurnOutput& out);
  void HandleNote(const RelayNote& note, Timestamp now, TurnOutput& out);

  void NameUfrags(Entry& entry);
  void Bind(Entry& entry, const ClientAddress& client, Timestamp heard_at, TurnOutput& out);
  void UnbindStale(Entry& entry, TurnOutput& out);
  void Unbind(const Entry& entry, const ClientAddress& client, TurnOutput& out);
  // The peer was found behind this 5-tuple, but by_address_ says otherwise.
  bool IsMisbound(const Entry& entry, const ClientAddress& client) const;
  // Another peer is alive on this 5-tuple.
  bool IsTaken(const Entry& entry, const ClientAddress& client, Timestamp now) const;
  Entry& Adopt(Entry entry);
  void Close(Entry& entry, sfu::CloseReason reason, TurnOutput& out);
  // Opens the peer's slots once it can be sent to.
  void OpenIfConnected(Entry& entry, Timestamp now, TurnOutput& out);
  // Closes the peer if its phase says so; true if it is gone.
  bool CloseIfEnded(Entry& entry, TurnOutput& out);
  void Schedule(Entry& entry) { ScheduleAt(entry, entry.peer->NextDeadline()); }
  void ScheduleAt(Entry& entry, Timestamp deadline);
  void RestoreSequences(Entry& entry);
  absl::Status CheckState(const WorkerState& state) const;
  absl::Status RestorePeer(const WorkerState::PeerRecord& record,
                           transport::SrtpSender::RestoreMode mode, Timestamp now, TurnOutput& out);

  WorkerOptions options_;
  RelayMesh* mesh_;
  PacketPool pool_;
  ice::StunEndpoint stun_;
  Rng rng_;
  peer::PeerContext context_;
  sfu::Router router_;

  std::map<PeerId, Entry> peers_;  // Ordered: what walks peers repeats by seed.
  absl::flat_hash_map<PeerId, Entry*> by_id_;
  absl::flat_hash_map<ClientAddress, Owner> by_address_;
  absl::flat_hash_map<std::string, Entry*> by_ufrag_;
  absl::flat_hash_map<FeedId, Entry*> publishers_;  // Feeds that live here.
  std::map<FeedId, uint32_t> remote_feeds_;         // Feeds of other workers, their index.
  uint32_t first_link_ = 0;                         // Whose relays are read first.
  DeadlineHeap<Entry, &Entry::wake> deadlines_;

  WorkerCounters counters_;
  DropCounters former_send_drops_;  // Of peers that are gone.
  sfu::RouterOutput routed_;        // Scratch.
  rtp::TrackPacket packet_;         // Scratch.
  peer::RtcpOutcome rtcp_;          // Scratch.
};

}  // namespace vigil::worker
