#include "benchmarks/control/media_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "gateway/transport/demux.h"

namespace vigil::bench {
namespace {

// What follows `prefix` on the first line that begins with it.
std::string Find(const std::string& sdp, const std::string& prefix) {
  const size_t line = sdp.find("\n" + prefix);
  if (line == std::string::npos) throw std::runtime_error("the answer has no " + prefix);
  const size_t value = line + 1 + prefix.size();
  return sdp.substr(value, sdp.find_first_of("\r\n", value) - value);
}

// Puts `with` behind `prefix` on every line that begins with it.
void Replace(std::string& sdp, const std::string& prefix, const std::string& with) {
  for (size_t line = sdp.find("\n" + prefix); line != std::string::npos;
       line = sdp.find("\n" + prefix, line + 1)) {
    const size_t value = line + 1 + prefix.size();
    sdp.replace(value, sdp.find_first_of("\r\n", value) - value, with);
  }
}

io::Fd ConnectTo(const std::string& address, uint16_t port) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  inet_pton(AF_INET, address.c_str(), &to.sin_addr);
  io::Fd fd(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.is_open() || connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) {
    throw std::runtime_error("no socket to " + address);
  }
  return fd;
}

}  // namespace

MediaClient::MediaClient(std::string offer, const Exchange& exchange) {
  identity_ = sim::ClientTransport::MakeIdentity(reinterpret_cast<uintptr_t>(this),
                                                 transport::SrtpProfile::kAeadAes128Gcm);
  Replace(offer, "a=ice-ufrag:", identity_.client.ufrag);
  Replace(offer, "a=ice-pwd:", identity_.client.password);
  Replace(offer, "a=fingerprint:", dtls_.fingerprint().ToString());
  const std::string answer = exchange(offer);
  identity_.gateway = {Find(answer, "a=ice-ufrag:"), Find(answer, "a=ice-pwd:")};
  // RFC 8839, 5.1: foundation, component, transport, priority, address, port.
  std::istringstream candidate(Find(answer, "a=candidate:"));
  std::string word;
  std::string address;
  uint16_t port = 0;
  candidate >> word >> word >> word >> word >> address >> port;
  socket_ = ConnectTo(address, port);
  checks_ = std::make_unique<sim::ClientTransport>(identity_);
}

void MediaClient::Turn(Timestamp now) {
  uint8_t bytes[2'048];
  for (;;) {
    const ssize_t size = recv(socket_.get(), bytes, sizeof bytes, 0);
    if (size < 0) break;
    Handle(std::span(bytes).first(static_cast<size_t>(size)), now);
  }
  sim::ClientOutput out;
  (media_ != nullptr ? *media_ : *checks_).SendCheckIfDue(now, out);
  for (const sim::ClientDatagram& datagram : out) Send(datagram.bytes);
}

void MediaClient::Handle(std::span<const uint8_t> datagram, Timestamp now) {
  const transport::DatagramKind kind = transport::Classify(datagram);
  // Counted, not opened: what it costs is not the gateway's.
  if (kind == transport::DatagramKind::kRtp) ++received_;
  if (kind == transport::DatagramKind::kDtls) {
    Send(dtls_.HandleDatagram(datagram));
    if (dtls_.failed()) throw std::runtime_error("the DTLS handshake failed");
    if (media_ == nullptr && dtls_.connected()) {
      identity_.keys = *dtls_.keys();
      std::swap(identity_.keys.local, identity_.keys.remote);  // As the gateway sees them.
      media_ = std::make_unique<sim::ClientTransport>(identity_);
    }
    return;
  }
  if (kind != transport::DatagramKind::kStun) return;
  Packet packet;
  std::memcpy(packet.data.data(), datagram.data(), datagram.size());
  packet.size = static_cast<uint16_t>(datagram.size());
  (media_ != nullptr ? *media_ : *checks_).Receive(packet, now);
  if (checks_->connected() && !std::exchange(handshaking_, true)) Send(dtls_.Start());
}

void MediaClient::SendRtp(std::span<const uint8_t> plain) {
  sim::ClientOutput out;
  media_->SendRtp(plain, out);
  for (const sim::ClientDatagram& datagram : out) Send(datagram.bytes);
}

void MediaClient::Send(std::span<const uint8_t> bytes) {
  send(socket_.get(), bytes.data(), bytes.size(), 0);
}

void MediaClient::Send(const transport::Datagrams& flight) {
  for (const std::vector<uint8_t>& datagram : flight) Send(datagram);
}

}  // namespace vigil::bench
