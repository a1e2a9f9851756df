// Seeded pseudo-random numbers (xoshiro256**): the same seed gives the same sequence on every
// platform. Not for secrets. Thread safety: none; one owner.
#ifndef VMBUSKIT_PLATFORM_RANDOM_H_
#define VMBUSKIT_PLATFORM_RANDOM_H_

#include <array>
#include <cstdint>

namespace vmbuskit {

class Random {
 public:
  explicit Random(uint64_t seed);

  uint64_t Next();
  // Uniform in [0, bound); bound > 0.
  uint64_t Below(uint64_t bound);
  // True with probability numerator / denominator.
  bool OneIn(uint64_t denominator) { return Below(denominator) == 0; }

 private:
  std::array<uint64_t, 4> state_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_RANDOM_H_
