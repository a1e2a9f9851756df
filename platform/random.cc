#include "platform/random.h"

#include <bit>

namespace vmbuskit {
namespace {

// SplitMix64 spreads the seed over the state, as the authors of xoshiro recommend; it never gives
// four zeros, the one state that xoshiro cannot leave.
uint64_t SplitMix64(uint64_t& state) {
  state += 0x9e3779b97f4a7c15;
  uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

}  // namespace

Random::Random(uint64_t seed) {
  for (uint64_t& word : state_) word = SplitMix64(seed);
}

uint64_t Random::Next() {
  const uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const uint64_t t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

uint64_t Random::Below(uint64_t bound) {
  // Values under 2^64 mod bound would make the low remainders likelier: draw again. A round fails
  // with a probability below one half, so 64 rounds never do in practice, and the loop still has an
  // end.
  const uint64_t unfair = -bound % bound;
  uint64_t value = Next();
  for (int round = 0; value < unfair && round < 64; ++round) value = Next();
  return value % bound;
}

}  // namespace vmbuskit
