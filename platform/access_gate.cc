#include "platform/access_gate.h"

#include "platform/spin_wait.h"

namespace vmbuskit {

void AccessGate::Synchronize() const {
  const uint64_t seen = epoch_.load();
  if (seen % 2 == 0) return;
  for (SpinWait wait; epoch_.load(std::memory_order_acquire) == seen;) wait.Pause();
}

}  // namespace vmbuskit
