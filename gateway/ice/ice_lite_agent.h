#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "gateway/base/client_address.h"
#include "gateway/base/drop_reason.h"
#include "gateway/base/time.h"
#include "gateway/ice/credentials.h"
#include "gateway/ice/stun.h"

namespace vigil::ice {

// What became of one STUN datagram.
struct CheckOutcome {
  std::optional<DropReason> dropped = std::nullopt;
  size_t response_size = 0;       // Bytes to send back to where the check came from; 0: nothing.
  bool authentic = false;         // A check that proved our password.
  bool newly_validated = false;   // `from` may now be answered and listened to.
  bool selected_changed = false;  // selected() is another address than before.
};

// The ICE-lite side of one client connection (RFC 8445, 2.5 and 7.3): answers checks, knows which
// addresses have proved that they hold our password, and which of them the client wants media on.
// An address is only ever taught by an authentic check. One thread; reads no clock.
class IceLiteAgent {
 public:
  struct Options {
    // RFC 7675, 5.1: consent lasts 30 s at most. Chromium checks every 2.5 s and gives up after
    // 15 s; lower drops clients in a short outage, higher sends longer to an address that is gone.
    TimeDelta consent_timeout = TimeDelta::Seconds(15);
  };
  // A client has one address per interface and NAT binding, and checks only a few of them at a
  // time. More would let a client with our password grow our memory.
  static constexpr size_t kMaxAddresses = 8;

  struct Address {
    ClientAddress address;
    Timestamp last_check = Timestamp::LongAgo();
    uint32_t generation = 0;

    template <typename F>
    void Fields(F&& f) {
      f(address, last_check, generation);
    }
  };

  // Everything but the options.
  struct State {
    Credentials local;
    Credentials remote;
    // Of the generation before, while no check with the new ones has come.
    std::optional<Credentials> previous_local;
    uint32_t generation = 0;  // Counts ICE restarts.
    std::vector<Address> addresses;
    std::optional<ClientAddress> selected;
    bool nominated = false;  // `selected` was asked for with USE-CANDIDATE.

    template <typename F>
    void Fields(F&& f) {
      f(local, remote, previous_local, generation, addresses, selected, nominated);
    }
  };

  IceLiteAgent(Credentials local, Credentials remote, const Options& options);
  IceLiteAgent(State state, const Options& options);

  // `response` has room for StunEndpoint::kMaxResponse bytes.
  //
  // The first address that is validated is selected at once, so that the DTLS flight of a client
  // that has not nominated yet can be answered; the first USE-CANDIDATE settles it, and each later
  // one moves it. Chromium, facing a lite agent, sends USE-CANDIDATE with every check on the pair
  // it uses and on no other, so the last one is its wish.
  CheckOutcome HandleCheck(StunEndpoint& endpoint, std::span<const uint8_t> datagram,
                           const ClientAddress& from, Timestamp now, std::span<uint8_t> response);

  // An ICE restart (RFC 8445, section 9). The old credentials still count until the first check
  // with the new ones, and media stays on the old address until a new one is nominated.
  void Restart(Credentials local, Credentials remote);

  // True when datagrams other than STUN may be taken from `address`.
  bool IsValidated(const ClientAddress& address) const { return Find(address) != nullptr; }
  // Where to send media; empty before the first check.
  const std::optional<ClientAddress>& selected() const { return state_.selected; }
  bool nominated() const { return state_.nominated; }

  const Credentials& local() const { return state_.local; }
  const Credentials& remote() const { return state_.remote; }

  // When the last authentic check came from the selected address; LongAgo before the first.
  Timestamp last_check() const;
  // When consent will expire if nothing comes; Never before the first check.
  Timestamp NextDeadline() const;
  // True once the selected address has been silent for the consent timeout. A client that never
  // sent a check has given no consent to expire: how long to wait for it is the owner's decision.
  bool ConsentExpired(Timestamp now) const { return now >= NextDeadline(); }

  State Export() const { return state_; }

 private:
  const Address* Find(const ClientAddress& address) const;
  // Notes an authentic check; true if the address is new.
  bool Validate(const ClientAddress& from, Timestamp now);
  void EvictOldest();
  // True if the selected address changed.
  bool Select(const ClientAddress& address, bool nominated);

  State state_;
  Options options_;
};

}  // namespace vigil::ice
