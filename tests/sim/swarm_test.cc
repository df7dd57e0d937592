// Hundreds of random worlds. VIGIL_SIM_SEEDS runs that many instead, VIGIL_SIM_SEED only one.

#include <cstdint>
#include <cstdlib>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/random_world.h"

namespace vigil::sim {
namespace {

constexpr uint64_t kSeeds = 300;

uint64_t Number(const char* name, uint64_t fallback) {
  const char* text = std::getenv(name);
  return text == nullptr ? fallback : std::strtoull(text, nullptr, 10);
}

// Shard i of n runs the seeds that leave i when divided by n.
TEST(Swarm, EveryRandomWorldHoldsAllCheckers) {
  const uint64_t only = Number("VIGIL_SIM_SEED", 0);
  const uint64_t seeds = Number("VIGIL_SIM_SEEDS", kSeeds);
  const uint64_t shards = Number("VIGIL_SIM_SHARDS", 1);
  const uint64_t shard = Number("VIGIL_SIM_SHARD", 0);
  uint64_t datagrams = 0;
  uint64_t switches = 0;
  uint64_t retransmissions = 0;
  uint64_t relays_lost = 0;
  int failed = 0;
  for (uint64_t seed = 1; seed <= seeds && failed < 3; ++seed) {
    if (only != 0 ? seed != 1 : seed % shards != shard) continue;
    const uint64_t chosen = only != 0 ? only : seed;
    SCOPED_TRACE("repeat with VIGIL_SIM_SEED=" + std::to_string(chosen));
    const RandomWorldOutcome outcome = RunRandomWorld(chosen);
    if (!outcome.findings.empty()) ADD_FAILURE() << outcome.findings;
    failed += outcome.findings.empty() ? 0 : 1;
    datagrams += outcome.datagrams;
    switches += outcome.switches;
    retransmissions += outcome.retransmissions;
    relays_lost += outcome.relays_lost;
  }
  RecordProperty("datagrams", std::to_string(datagrams));
  // A swarm in which nothing happens proves nothing.
  if (only == 0 && seeds >= 100) {
    EXPECT_GT(switches, seeds / shards);
    EXPECT_GT(retransmissions, seeds / shards);
    EXPECT_GT(relays_lost, seeds / shards);
  }
  printf("%llu datagrams, %llu switches, %llu retransmissions, %llu relays lost\n",
         static_cast<unsigned long long>(datagrams), static_cast<unsigned long long>(switches),
         static_cast<unsigned long long>(retransmissions),
         static_cast<unsigned long long>(relays_lost));
}

// Seeds beyond those above that once found something, if only in a checker.
TEST(Swarm, WhatOnceFoundSomethingFindsNothing) {
  for (const uint64_t seed : {710}) {
    const RandomWorldOutcome outcome = RunRandomWorld(seed);
    EXPECT_TRUE(outcome.findings.empty()) << "seed " << seed << ": " << outcome.findings;
  }
}

TEST(Swarm, TheSameSeedSendsTheSameBytes) {
  for (const uint64_t seed : {7, 11, 24}) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const RandomWorldOutcome first = RunRandomWorld(seed);
    const RandomWorldOutcome second = RunRandomWorld(seed);
    EXPECT_EQ(first.hash, second.hash);
    EXPECT_EQ(first.datagrams, second.datagrams);
    EXPECT_NE(first.hash, RunRandomWorld(seed + 1).hash);
  }
}

}  // namespace
}  // namespace vigil::sim
