#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gateway/edge/routing_table.h"
#include "gateway/edge/tcp_clients.h"
#include "gateway/io/datagram.h"
#include "gateway/io/poller.h"
#include "gateway/io/socket_address.h"
#include "gateway/io/udp_socket.h"

namespace vigil::edge {

struct LocalEdgeOptions {
  // The addresses announced to clients, at most 255; the place in this list is
  // ClientAddress::local. One socket each: see UdpSocketOptions::address for why, and for when a
  // wildcard will do. Two edges that may take over from each other list theirs in the same order.
  std::vector<io::IpAddress> addresses = {};
  // UDP and TCP, the same number on all addresses. 0: any that is free on all of them.
  uint16_t port = 0;
  bool tcp = true;
  // What the poller reports when there is something to receive: this one and the next.
  uint64_t poller_token = 0;
  io::UdpSocketOptions udp = {};  // Its address, port and local are not looked at.
  TcpClientsOptions tcp_clients = {};
  RoutingTable::Options table = {};
};

// The edge in the worker's own process and thread: its public sockets, and the same table as a
// remote edge has, in which this node is the only owner there is.
class LocalEdge final : public io::DatagramPort {
 public:
  // `poller` is the worker's; it outlives the edge, and the worker calls its Wait() every turn,
  // or TCP is not heard. Errors: kInvalidArgument for the addresses,
  // kAlreadyExists when the port is taken, others of the socket calls.
  static absl::StatusOr<std::unique_ptr<LocalEdge>> Open(const LocalEdgeOptions& options,
                                                         io::Poller& poller);
  ~LocalEdge() override;

  // The worker takes `group` over from the owner in `expected` (0: nobody yet) and answers for it
  // in the epoch that is returned. Until then no check of the group gets through. Errors: those of
  // RoutingTable::Claim.
  absl::StatusOr<Epoch> ClaimGroup(GroupId group, Epoch expected);

  size_t Receive(PacketPool& pool, std::span<io::InboundDatagram> out, Timestamp now) override;
  void Send(std::span<OutboundDatagram> batch) override;
  void BindClient(const ClientAddress& client, GroupId group) override;
  void UnbindClient(const ClientAddress& client) override;
  Timestamp NextDeadline() const override;
  const io::PortCounters& counters() const override { return counters_; }

  uint16_t port() const { return port_; }
  const RoutingTable& table() const { return table_; }
  size_t tcp_connection_count() const { return tcp_ ? tcp_->connection_count() : 0; }
  // What the kernel gave the first socket.
  int receive_buffer_bytes() const { return udp_.front().socket->receive_buffer_bytes(); }
  int send_buffer_bytes() const { return udp_.front().socket->send_buffer_bytes(); }

 private:
  struct Udp {
    std::unique_ptr<io::UdpSocket> socket;
    bool watches_writable = false;
  };
  struct Sockets {
    std::vector<Udp> udp;
    std::unique_ptr<TcpClients> tcp;
    uint16_t port = 0;
  };

  LocalEdge(const LocalEdgeOptions& options, Sockets sockets, io::Poller& poller);
  static absl::StatusOr<Sockets> OpenSockets(const LocalEdgeOptions& options);
  absl::Status Watch();
  size_t ReceiveFrom(size_t source, PacketPool& pool, std::span<io::InboundDatagram> out,
                     Timestamp now);
  size_t RouteAll(std::span<io::InboundDatagram> datagrams);
  void WatchWrites(Udp& udp);
  void ForgetEndedTcp();

  // Several nodes own groups at a remote edge; here there is one.
  static constexpr NodeId kSelf{1};

  io::Poller& poller_;
  uint64_t udp_token_;
  uint64_t tcp_token_;
  uint16_t port_;
  std::vector<Udp> udp_;
  std::unique_ptr<TcpClients> tcp_;  // Null without TCP.
  RoutingTable table_;
  io::PortCounters counters_;
  // Which socket is read first: rotates, so that a busy one cannot starve the others.
  size_t first_source_ = 0;
};

}  // namespace vigil::edge
