#include "platform/access_gate.h"

#include <thread>

namespace vmbuskit {

void AccessGate::Synchronize() const {
  constexpr int kSpins = 256;
  const uint64_t seen = epoch_.load();
  if (seen % 2 == 0) return;
  for (int i = 0; epoch_.load(std::memory_order_acquire) == seen; ++i) {
    if (i >= kSpins) std::this_thread::yield();
  }
}

}  // namespace vmbuskit
