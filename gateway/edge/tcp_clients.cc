#include "gateway/edge/tcp_clients.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace vigil::edge {
namespace {

// Tokens: a listener has its place among the listeners, a connection its place and generation.
constexpr uint64_t kListenerBit = uint64_t{1} << 63;
constexpr uint32_t kGenerationMask = 0x7fffffff;

// How often connections are looked through for expired ones: how late an expiry may be noticed.
constexpr TimeDelta kSweepInterval = TimeDelta::Seconds(1);
// Connections accepted from one listener in one turn. Higher lets a flood hold the turn.
constexpr int kAcceptsPerTurn = 16;
// Datagrams between two readings of the clock for the dwell.
constexpr size_t kDwellBatch = 32;

uint64_t TokenOf(size_t place, uint32_t generation) {
  return uint64_t{generation & kGenerationMask} << 32 | place;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TcpClients>> TcpClients::Open(const TcpClientsOptions& options) {
  auto poller = io::Poller::Open();
  if (!poller.ok()) return poller.status();
  return std::unique_ptr<TcpClients>(new TcpClients(std::move(*poller), options));
}

TcpClients::TcpClients(std::unique_ptr<io::Poller> poller, const TcpClientsOptions& options)
    : options_(options),
      poller_(std::move(poller)),
      places_(options.max_connections),
      unfinished_(std::max<size_t>(options.max_connections, 1)) {
  free_places_.reserve(places_.size());
  for (size_t i = places_.size(); i-- > 0;) free_places_.push_back(static_cast<uint32_t>(i));
  by_client_.reserve(places_.size());
}

absl::Status TcpClients::AddListener(std::unique_ptr<io::TcpListener> listener) {
  absl::Status added = poller_->Add(listener->fd(), kListenerBit | listeners_.size());
  if (added.ok()) listeners_.push_back(std::move(listener));
  return added;
}

size_t TcpClients::Receive(PacketPool& pool, std::span<io::InboundDatagram> out, Timestamp now,
                           io::PortCounters& counters) {
  if (now >= next_sweep_) Sweep(now, counters);
  Sink sink{pool, out, 0, now, counters};
  for (size_t left = unfinished_.size(); left > 0 && !sink.full(); --left) {
    const uint32_t place = unfinished_.front();
    unfinished_.PopFront();
    if (places_[place].connection) Deframe(place, sink);
  }
  if (!sink.full()) {
    for (const io::Poller::Ready& ready : poller_->Wait(TimeDelta::Zero())) OnReady(ready, sink);
  }
  // Frames that wait in here are invisible to the poller: say that there is something to do.
  if (!unfinished_.empty()) poller_->Wake();
  return sink.filled;
}

void TcpClients::OnReady(const io::Poller::Ready& ready, Sink& sink) {
  if ((ready.token & kListenerBit) != 0) {
    AcceptFrom(*listeners_[ready.token & ~kListenerBit], sink.now, sink.counters);
    return;
  }
  const auto place = static_cast<size_t>(ready.token & 0xffffffff);
  Connection* connection = places_[place].connection.get();
  if (connection == nullptr || TokenOf(place, places_[place].generation) != ready.token) return;
  if (ready.writable) {
    connection->tcp.Flush();
    WatchWrites(place);
  }
  // Level-triggered: what is not read now is reported again.
  if (ready.readable && connection->unread.empty() && !sink.full()) {
    const size_t n = connection->tcp.Receive(connection->input, sink.now);
    connection->unread = std::span(connection->input).first(n);
    Deframe(place, sink);
  }
  if (places_[place].connection && connection->tcp.state() == io::TcpConnection::State::kClosed) {
    ++sink.counters.tcp_closed;
    End(place);
  }
}

// Hands out the frames of what was read; what `out` has no room for stays for the next turn.
void TcpClients::Deframe(size_t place, Sink& sink) {
  Connection& connection = *places_[place].connection;
  while (!connection.unread.empty()) {
    if (sink.full()) {
      unfinished_.Push(static_cast<uint32_t>(place));
      return;
    }
    const ice::TcpDeframer::Result result = connection.deframer.Next(connection.unread);
    if (result.status == ice::TcpDeframer::Status::kNeedMore) return;
    const bool oversized = result.status == ice::TcpDeframer::Status::kOversized;
    // RFC 6544, 7.2: what does not begin with a check is no client of ours.
    if (oversized || (connection.stage == Stage::kSilent && !ice::IsFirstFrame(result.frame))) {
      sink.counters.inbound_drops.Add(oversized ? DropReason::kOversized
                                                : DropReason::kUnknownSource);
      ++sink.counters.tcp_closed;
      End(place);
      return;
    }
    if (connection.stage == Stage::kSilent) connection.stage = Stage::kChecked;
    Deliver(connection, result.frame, sink);
  }
}

void TcpClients::Deliver(Connection& connection, std::span<const uint8_t> frame, Sink& sink) {
  PacketRef packet = sink.pool.Take();
  if (!packet) {
    sink.counters.inbound_drops.Add(DropReason::kPoolExhausted);
    return;
  }
  std::memcpy(packet->data.data(), frame.data(), frame.size());
  packet->size = static_cast<uint16_t>(frame.size());
  io::InboundDatagram& datagram = sink.out[sink.filled++];
  datagram.client = connection.tcp.client();
  datagram.receive_time = sink.now;
  datagram.packet = std::move(packet);
}

void TcpClients::AcceptFrom(io::TcpListener& listener, Timestamp now, io::PortCounters& counters) {
  const uint64_t shed = listener.shed_count();
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    std::optional<io::TcpListener::Accepted> accepted = listener.Accept();
    if (!accepted) break;
    ++(Admit(std::move(*accepted), now) ? counters.tcp_accepted : counters.tcp_refused);
  }
  counters.tcp_refused += listener.shed_count() - shed;
}

// False when a bound refuses the connection, which closes it.
bool TcpClients::Admit(io::TcpListener::Accepted accepted, Timestamp now) {
  const ClientAddress client = accepted.client;
  // The kernel has at most one connection of a 5-tuple: an older one here is dead already.
  if (const auto old = by_client_.find(client); old != by_client_.end()) End(old->second);
  if (free_places_.empty() || UnprovenOf(NetworkOf(client)) >= options_.max_unproven_per_network) {
    return false;
  }
  const uint32_t number = free_places_.back();
  Place& place = places_[number];
  if (!poller_->Add(accepted.fd.get(), TokenOf(number, place.generation)).ok()) return false;
  ++unproven_[NetworkOf(client)];
  free_places_.pop_back();
  place.connection = std::make_unique<Connection>(std::move(accepted), options_.connection, now);
  by_client_.emplace(client, number);
  next_sweep_ = Earliest(next_sweep_, now + kSweepInterval);
  return true;
}

void TcpClients::Send(std::span<OutboundDatagram> batch, io::PortCounters& counters) {
  std::array<ForwardStamp, kDwellBatch> stamps;
  size_t count = 0;
  for (OutboundDatagram& datagram : batch) {
    if (!datagram.packet || datagram.client.transport != Transport::kTcp) continue;
    const PacketRef packet = std::move(datagram.packet);
    const auto found = by_client_.find(datagram.client);
    if (found == by_client_.end()) {
      counters.outbound_drops.Add(DropReason::kPeerNotConnected);
      continue;
    }
    const uint32_t place = found->second;
    io::TcpConnection& tcp = places_[place].connection->tcp;
    std::array<uint8_t, ice::kFrameHeaderSize> header;
    ice::WriteFrameHeader(packet->size, header);
    if (tcp.SendFrame(header, packet->bytes())) {
      ++counters.sent;
      counters.sent_bytes += packet->size;
      stamps[count++] = datagram.forwards;
      WatchWrites(place);
    } else if (tcp.state() == io::TcpConnection::State::kClosed) {
      counters.outbound_drops.Add(DropReason::kPeerNotConnected);
      ++counters.tcp_closed;
      End(place);
    } else {
      counters.outbound_drops.Add(DropReason::kQueueFull);
    }
    if (count == stamps.size()) {
      dwell_.Record(stamps, counters);
      count = 0;
    }
  }
  if (count > 0) dwell_.Record(std::span(stamps).first(count), counters);
}

void TcpClients::WatchWrites(size_t place) {
  Connection& connection = *places_[place].connection;
  const bool wanted = connection.tcp.wants_write();
  if (wanted == connection.watches_writable) return;
  connection.watches_writable = wanted;
  poller_->WatchWritable(connection.tcp.fd(), TokenOf(place, places_[place].generation), wanted);
}

void TcpClients::SetProven(const ClientAddress& client) {
  const auto found = by_client_.find(client);
  if (found == by_client_.end()) return;
  Connection& connection = *places_[found->second].connection;
  LeaveProbation(connection);
  connection.stage = Stage::kProven;
  connection.tcp.SetProven();
}

void TcpClients::Close(const ClientAddress& client, io::PortCounters& counters) {
  const auto found = by_client_.find(client);
  if (found == by_client_.end()) return;
  ++counters.tcp_closed;
  End(found->second);
}

void TcpClients::Sweep(Timestamp now, io::PortCounters& counters) {
  for (size_t place = 0; place < places_.size(); ++place) {
    const Connection* connection = places_[place].connection.get();
    if (connection == nullptr || now < connection->tcp.Expiry()) continue;
    ++counters.tcp_expired;
    End(place);
  }
  next_sweep_ = by_client_.empty() ? Timestamp::Never() : now + kSweepInterval;
}

void TcpClients::LeaveProbation(const Connection& connection) {
  if (connection.stage == Stage::kProven) return;
  const auto count = unproven_.find(NetworkOf(connection.tcp.client()));
  if (--count->second == 0) unproven_.erase(count);
}

size_t TcpClients::UnprovenOf(const Network& network) const {
  const auto count = unproven_.find(network);
  return count == unproven_.end() ? 0 : count->second;
}

void TcpClients::End(size_t number) {
  Place& place = places_[number];
  LeaveProbation(*place.connection);
  by_client_.erase(place.connection->tcp.client());
  ended_.push_back(place.connection->tcp.client());
  poller_->Remove(place.connection->tcp.fd());
  place.connection.reset();
  ++place.generation;
  free_places_.push_back(static_cast<uint32_t>(number));
}

// What one party can be assumed to control all of: an IPv4 address, an IPv6 /64.
TcpClients::Network TcpClients::NetworkOf(const ClientAddress& client) {
  Network network = client.ip;
  if (!client.IsV4()) std::fill(network.begin() + 8, network.end(), uint8_t{0});
  return network;
}

}  // namespace vigil::edge
