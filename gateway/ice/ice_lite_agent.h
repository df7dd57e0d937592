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
  bool repeated = false;          // Answered again, and otherwise without effect.
};

// The ICE-lite side of one client connection (RFC 8445, 2.5 and 7.3): answers checks, knows which
// addresses have proved that they hold our password, and which of them the client wants media on.
// An address is only ever taught by an authentic check. One thread; reads no clock.
//
// A check authenticates its sender, not the address it comes from (RFC 8445, 19.2): whoever sees
// one can send it again from elsewhere. So a check counts once, from one address; and once the
// client is connected, media only goes where something else came from that proves who is there
// (gateway/decisions/0009-media-follows-proof.md).
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
  // Checks that are remembered, to be known again. At one each 2.5 s they are 160 s; a lower value
  // lets a held back check count a second time sooner, a higher one costs 36 bytes each.
  static constexpr size_t kMaxSeenChecks = 64;
  // A selected address from which nothing authentic has come for so long is left for one that the
  // client nominated, without further proof. Above the 2.5 s between two checks of Chromium, so
  // that a path in use does not look silent. Higher: a client that only receives, and says nothing
  // but checks, stays longer without media after a move. Lower: whoever sends a held back check
  // from elsewhere needs only a short outage to be followed.
  static constexpr TimeDelta kSilence = TimeDelta::Seconds(3);

  struct Address {
    ClientAddress address;
    Timestamp last_check = Timestamp::LongAgo();
    uint32_t generation = 0;
    uint64_t nomination = 0;  // Its last one's place among all nominations; 0: never nominated.
    uint32_t priority = 0;    // Of its last check (RFC 8445, 7.1.1).

    template <typename F>
    void Fields(F&& f) {
      f(address, last_check, generation, nomination, priority);
    }
  };
  // A request, and where it came from the first time.
  struct SeenCheck {
    TransactionId transaction{};
    ClientAddress from;

    template <typename F>
    void Fields(F&& f) {
      f(transaction, from);
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
    bool nominated = false;       // `selected` was asked for with USE-CANDIDATE.
    std::vector<SeenCheck> seen;  // A ring; `next_seen` is the place of the next.
    uint32_t next_seen = 0;
    uint64_t nominations = 0;  // So far.
    bool connected = false;    // There are keys, by which media proves who sends it.
    // When something authentic last came from `selected`, or when it was selected.
    Timestamp heard_at = Timestamp::LongAgo();

    template <typename F>
    void Fields(F&& f) {
      f(local, remote, previous_local, generation, addresses, selected, nominated, seen, next_seen,
        nominations, connected, heard_at);
    }
  };

  IceLiteAgent(Credentials local, Credentials remote, const Options& options);
  IceLiteAgent(State state, const Options& options);

  // `response` has room for StunEndpoint::kMaxResponse bytes.
  //
  // The first address that is validated is selected at once, so that the DTLS flight of a client
  // that has not nominated yet can be answered; the first USE-CANDIDATE settles it, and each later
  // one of no lower priority moves it (a client that nominates all its pairs wants the highest).
  // Chromium, facing a lite agent, sends USE-CANDIDATE with every check on the pair it uses and on
  // no other, so the last one is its wish. Once the client is connected, a nominated address only
  // becomes selected by OnAuthentic or by the silence of the one before.
  //
  // A request that came before is answered again if it is from the same address (its response was
  // lost) and is a kStunReplay if not; either way it has no other effect, so that it does not renew
  // consent.
  CheckOutcome HandleCheck(StunEndpoint& endpoint, std::span<const uint8_t> datagram,
                           const ClientAddress& from, Timestamp now, std::span<uint8_t> response);

  // An ICE restart (RFC 8445, section 9). The old credentials still count until the first check
  // with the new ones, and media stays on the old address until a new one is nominated.
  void Restart(Credentials local, Credentials remote);

  // The handshake is over. From here on nomination alone does not move media.
  void OnConnected() { state_.connected = true; }
  // Something that only the client can have sent, and nobody a second time, came from `from`: a
  // packet that SRTP or SRTCP took, or the end of the handshake. True if the selected address
  // changed.
  bool OnAuthentic(const ClientAddress& from, Timestamp now);
  // Leaves a silent address for a nominated one. True if the selected address changed.
  bool HandleTimeout(Timestamp now);

  // True when datagrams other than STUN may be taken from `address`.
  bool IsValidated(const ClientAddress& address) const { return Find(address) != nullptr; }
  // Where to send media; empty before the first check.
  const std::optional<ClientAddress>& selected() const { return state_.selected; }
  bool nominated() const { return state_.nominated; }

  const Credentials& local() const { return state_.local; }
  const Credentials& remote() const { return state_.remote; }

  // When the last authentic check came from the selected address; LongAgo before the first.
  Timestamp last_check() const;
  // When HandleTimeout has something to do or consent will expire, if nothing comes; Never before
  // the first check.
  Timestamp NextDeadline() const;
  // True once the selected address has been silent for the consent timeout. A client that never
  // sent a check has given no consent to expire: how long to wait for it is the owner's decision.
  bool ConsentExpired(Timestamp now) const {
    return state_.selected && now >= last_check() + options_.consent_timeout;
  }

  State Export() const { return state_; }

 private:
  const Address* Find(const ClientAddress& address) const;
  const SeenCheck* FindSeen(const TransactionId& transaction) const;
  void Remember(const TransactionId& transaction, const ClientAddress& from);
  // While the old credentials are still there, no check with the new ones has come.
  uint32_t generation() const { return state_.generation - (state_.previous_local ? 1 : 0); }
  // Notes an authentic check; true if the address is new.
  bool Validate(const ClientAddress& from, const StunVerdict& check, Timestamp now);
  void EvictOldest();
  // The client's wish is to leave the selected address for this one.
  bool IsPending(const Address& address) const;
  // What becomes of the selection after a check from a known address.
  bool Choose(const Address& from, Timestamp now);
  // True if the selected address changed.
  bool Select(Address address, Timestamp now);

  State state_;
  Options options_;
};

}  // namespace vigil::ice
