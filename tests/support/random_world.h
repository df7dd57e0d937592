#pragma once

#include <cstdint>
#include <string>

namespace vigil::sim {

// What one random world came to.
struct RandomWorldOutcome {
  std::string findings;  // Empty: nothing to complain about.
  uint64_t hash = 0;     // Of all that the gateway sent.
  uint64_t datagrams = 0;
  uint64_t switches = 0;
  uint64_t retransmissions = 0;
  uint64_t frames = 0;
  uint64_t relays_lost = 0;  // To full rings between workers.
};

// A world drawn from `seed`: workers, publishers, subscribers, some of them hostile, their paths,
// what the control plane does and when, and a restore drill. It ends calmly, and
// then every open slot must be showing what it was assigned.
RandomWorldOutcome RunRandomWorld(uint64_t seed);

}  // namespace vigil::sim
