#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "gateway/base/byte_io.h"
#include "gateway/base/check.h"
#include "gateway/transport/dtls_session.h"
#include "tests/support/dtls_client.h"

// A program of operations on a passive session: forged datagrams between those of a real client,
// lost and repeated ones, and time going by. Whatever happens before, a session that is connected
// stays so until its own client says goodbye.
//
//   0..3 length(2) bytes   a forged datagram
//   4, 5                   the next datagram of the client arrives
//   6                      the next datagram of the client is lost
//   7                      the client repeats its last flight
//   8                      the server's datagrams arrive at the client
//   9                      100 ms go by
//   10                     the client says close_notify

namespace {

using vigil::ByteReader;
using vigil::TimeDelta;
using vigil::Timestamp;
using vigil::testing::DtlsClient;
using vigil::transport::Datagrams;
using vigil::transport::DtlsContext;
using vigil::transport::DtlsSession;
using Result = DtlsSession::Result;

const DtlsContext& Context() {
  static const auto context = DtlsContext::Create({.wall_seconds = 1'700'000'000});
  VIGIL_CHECK(context.ok());
  return **context;
}

class World {
 public:
  World() : session_(Context(), client_.fingerprint(), DtlsSession::Options()) {
    Queue(client_.Start());
  }

  void Run(ByteReader& program) {
    for (int i = 0; i < 40 && program.remaining() > 0; ++i) Step(program.U8() % 11, program);
  }

 private:
  void Step(int operation, ByteReader& program) {
    switch (operation) {
      case 4:
      case 5:
        if (!from_client_.empty()) Arrive(Pop());
        break;
      case 6:
        if (!from_client_.empty()) Pop();
        break;
      case 7:
        Queue(client_.Retransmit());
        break;
      case 8:
        for (const auto& datagram : std::exchange(to_client_, {})) {
          Queue(client_.HandleDatagram(datagram));
        }
        break;
      case 9:
        now_ = now_ + TimeDelta::Millis(100);
        session_.HandleTimeout(now_, to_client_);
        break;
      case 10:
        if (client_.connected()) Queue(client_.Close());
        saying_goodbye_ = true;
        break;
      default:
        Forge(program);
    }
  }
  void Forge(ByteReader& program) {
    const size_t size = std::min<size_t>(program.U16(), program.remaining());
    const std::span<const uint8_t> bytes = program.Bytes(size);
    Arrive({bytes.begin(), bytes.end()});
  }
  void Arrive(const std::vector<uint8_t>& datagram) {
    const bool was_connected = session_.connected();
    const Result result = session_.HandleDatagram(datagram, now_, to_client_);
    VIGIL_CHECK((result == Result::kConnected) == (!was_connected && session_.connected()));
    if (was_connected && !saying_goodbye_) VIGIL_CHECK(session_.connected());
    for (const auto& sent : to_client_) VIGIL_CHECK(sent.size() <= size_t{DtlsContext::kMtu});
  }
  std::vector<uint8_t> Pop() {
    std::vector<uint8_t> datagram = std::move(from_client_.front());
    from_client_.pop_front();
    return datagram;
  }
  void Queue(Datagrams datagrams) {
    for (auto& datagram : datagrams) from_client_.push_back(std::move(datagram));
  }

  DtlsClient client_;
  DtlsSession session_;
  std::deque<std::vector<uint8_t>> from_client_;
  Datagrams to_client_;
  Timestamp now_;
  bool saying_goodbye_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 8'192) return 0;
  ByteReader program({data, size});
  World().Run(program);
  return 0;
}
