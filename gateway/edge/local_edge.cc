#include "gateway/edge/local_edge.h"

#include <utility>
#include <variant>

namespace vigil::edge {
namespace {

// How often another free port is tried when the kernel's choice for the first socket is taken on
// one of the others. Each try fails only if somebody holds just that port there.
constexpr int kPortTries = 32;
constexpr size_t kMaxAddresses = 255;

}  // namespace

absl::StatusOr<std::unique_ptr<LocalEdge>> LocalEdge::Open(const LocalEdgeOptions& options,
                                                           io::Poller& poller) {
  if (options.addresses.empty() || options.addresses.size() > kMaxAddresses) {
    return absl::InvalidArgumentError("an edge needs 1 to 255 addresses");
  }
  absl::StatusOr<Sockets> sockets = OpenSockets(options);
  for (int i = 1; i < kPortTries && options.port == 0 && absl::IsAlreadyExists(sockets.status());
       ++i) {
    sockets = OpenSockets(options);
  }
  if (!sockets.ok()) return sockets.status();
  std::unique_ptr<LocalEdge> edge(new LocalEdge(options, std::move(*sockets), poller));
  absl::Status watched = edge->Watch();
  if (!watched.ok()) return watched;
  return edge;
}

absl::StatusOr<LocalEdge::Sockets> LocalEdge::OpenSockets(const LocalEdgeOptions& options) {
  Sockets sockets;
  sockets.port = options.port;
  if (options.tcp) {
    auto tcp = TcpClients::Open(options.tcp_clients);
    if (!tcp.ok()) return tcp.status();
    sockets.tcp = std::move(*tcp);
  }
  for (size_t i = 0; i < options.addresses.size(); ++i) {
    const auto local = static_cast<uint8_t>(i);
    io::UdpSocketOptions udp_options = options.udp;
    udp_options.address = options.addresses[i];
    udp_options.port = sockets.port;
    udp_options.local = local;
    auto udp = io::UdpSocket::Open(udp_options);
    if (!udp.ok()) return udp.status();
    sockets.port = (*udp)->port();
    sockets.udp.push_back({std::move(*udp)});
    if (!sockets.tcp) continue;
    auto listener = io::TcpListener::Open(
        {.address = options.addresses[i], .port = sockets.port, .local = local});
    if (!listener.ok()) return listener.status();
    absl::Status added = sockets.tcp->AddListener(std::move(*listener));
    if (!added.ok()) return added;
  }
  return sockets;
}

LocalEdge::LocalEdge(const LocalEdgeOptions& options, Sockets sockets, io::Poller& poller)
    : poller_(poller),
      udp_token_(options.poller_token),
      tcp_token_(options.poller_token + 1),
      port_(sockets.port),
      udp_(std::move(sockets.udp)),
      tcp_(std::move(sockets.tcp)),
      table_(options.table) {}

// Closing its descriptors takes the edge out of the poller.
LocalEdge::~LocalEdge() = default;

absl::Status LocalEdge::Watch() {
  for (const Udp& udp : udp_) {
    absl::Status added = poller_.Add(udp.socket->fd(), udp_token_);
    if (!added.ok()) return added;
  }
  return tcp_ ? poller_.Add(tcp_->fd(), tcp_token_) : absl::OkStatus();
}

absl::StatusOr<Epoch> LocalEdge::ClaimGroup(GroupId group, Epoch expected) {
  return table_.Claim(group, expected, kSelf);
}

size_t LocalEdge::Receive(PacketPool& pool, std::span<io::InboundDatagram> out, Timestamp now) {
  const size_t sources = udp_.size() + (tcp_ ? 1 : 0);
  size_t filled = 0;
  size_t source = first_source_;
  for (size_t i = 0; i < sources; ++i) {
    filled += ReceiveFrom(source, pool, out.subspan(filled), now);
    if (++source == sources) source = 0;
  }
  if (++first_source_ == sources) first_source_ = 0;
  return filled;
}

size_t LocalEdge::ReceiveFrom(size_t source, PacketPool& pool, std::span<io::InboundDatagram> out,
                              Timestamp now) {
  size_t received = 0;
  if (source < udp_.size()) {
    Udp& udp = udp_[source];
    if (udp.socket->has_deferred()) udp.socket->FlushDeferred(counters_);
    WatchWrites(udp);
    received = udp.socket->Receive(pool, out, now, counters_);
  } else if (poller_.Reported(tcp_token_) || now >= tcp_->NextDeadline()) {
    // Otherwise a turn without TCP would pay a system call to hear so.
    received = tcp_->Receive(pool, out, now, counters_);
    // Before routing: a new connection must not inherit what an old one of its 5-tuple proved.
    ForgetEndedTcp();
  }
  return RouteAll(out.first(received));
}

// Gives each datagram its group and epoch, and moves those with one to the front; how many.
size_t LocalEdge::RouteAll(std::span<io::InboundDatagram> datagrams) {
  size_t kept = 0;
  for (io::InboundDatagram& datagram : datagrams) {
    const std::variant<Route, DropReason> routed =
        table_.RouteDatagram(datagram.client, datagram.packet->bytes());
    if (const DropReason* reason = std::get_if<DropReason>(&routed)) {
      counters_.inbound_drops.Add(*reason);
      datagram.packet.Reset();
      continue;
    }
    const Route& route = std::get<Route>(routed);
    datagram.group = route.group;
    datagram.epoch = route.epoch;
    ++counters_.received;
    counters_.received_bytes += datagram.packet->size;
    io::InboundDatagram& place = datagrams[kept++];
    if (&place != &datagram) place = std::move(datagram);
  }
  return kept;
}

void LocalEdge::Send(std::span<OutboundDatagram> batch) {
  if (tcp_) {
    tcp_->Send(batch, counters_);
    ForgetEndedTcp();
  }
  for (Udp& udp : udp_) {
    udp.socket->Send(batch, counters_);
    WatchWrites(udp);
  }
  // Of no address and no transport that is here.
  for (OutboundDatagram& datagram : batch) {
    if (!datagram.packet) continue;
    counters_.outbound_drops.Add(DropReason::kPeerNotConnected);
    datagram.packet.Reset();
  }
}

// While something waits, room in the socket has to end the worker's wait.
void LocalEdge::WatchWrites(Udp& udp) {
  const bool wanted = udp.socket->has_deferred();
  if (wanted == udp.watches_writable) return;
  udp.watches_writable = wanted;
  poller_.WatchWritable(udp.socket->fd(), udp_token_, wanted);
}

void LocalEdge::BindClient(const ClientAddress& client, GroupId group) {
  const std::optional<Route> route = table_.OwnerOf(group);
  if (!route ||
      table_.Bind(client, group, route->epoch, kSelf) != RoutingTable::BindOutcome::kBound) {
    ++counters_.binds_refused;
    return;
  }
  if (tcp_ && client.transport == Transport::kTcp) tcp_->SetProven(client);
}

void LocalEdge::UnbindClient(const ClientAddress& client) {
  table_.Forget(client);
  if (!tcp_ || client.transport != Transport::kTcp) return;
  tcp_->Close(client, counters_);
  ForgetEndedTcp();
}

void LocalEdge::ForgetEndedTcp() {
  for (const ClientAddress& client : tcp_->ended()) table_.Forget(client);
  tcp_->ClearEnded();
}

Timestamp LocalEdge::NextDeadline() const {
  return tcp_ ? tcp_->NextDeadline() : Timestamp::Never();
}

}  // namespace vigil::edge
