#include "platform/spin_wait.h"

#include <thread>

namespace vmbuskit {

void SpinWait::Pause() {
#if defined(__x86_64__)
  for (int i = 0; i < 16; ++i) __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
  if (++pauses_ % 256 == 0) std::this_thread::yield();
}

}  // namespace vmbuskit
