#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace vigil {

// A seeded generator (xoshiro256**). Not for secrets: those come from the operating system, at
// the adapter. In the core it draws initial sequence numbers; in the simulator it draws the world.
class Rng {
 public:
  explicit Rng(uint64_t seed) {
    for (uint64_t& word : state_) word = SplitMix(seed);
  }

  uint64_t Next() {
    const uint64_t result = Rotate(state_[1] * 5, 7) * 9;
    const uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = Rotate(state_[3], 45);
    return result;
  }
  // Uniform in [0, bound); 0 if bound is 0.
  uint64_t Below(uint64_t bound) { return bound == 0 ? 0 : Next() % bound; }
  // Uniform in [low, high].
  int64_t Between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(Below(static_cast<uint64_t>(high - low) + 1));
  }
  // Uniform in [0, 1).
  double Unit() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }
  bool Chance(double probability) { return Unit() < probability; }
  void Fill(std::span<uint8_t> out) {
    for (uint8_t& byte : out) byte = static_cast<uint8_t>(Next());
  }

  template <typename F>
  void Fields(F&& f) {
    f(state_[0], state_[1], state_[2], state_[3]);
  }

 private:
  static uint64_t SplitMix(uint64_t& x) {
    uint64_t z = x += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }
  static uint64_t Rotate(uint64_t x, int k) { return x << k | x >> (64 - k); }

  uint64_t state_[4];
};

}  // namespace vigil
