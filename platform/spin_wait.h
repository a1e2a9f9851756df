// A pause between two looks at something that another thread is about to change, within microseconds.
//
//   for (SpinWait wait; !flag.load(std::memory_order_acquire);) wait.Pause();
//
// Long enough that looking again does not take the cache line from the other thread all the time; gives up the CPU now
// and then, in case both threads share it.
//
// Thread safety: an object of one thread.
#ifndef VMBUSKIT_PLATFORM_SPIN_WAIT_H_
#define VMBUSKIT_PLATFORM_SPIN_WAIT_H_

#include <cstdint>

namespace vmbuskit {

class SpinWait {
 public:
  void Pause();

 private:
  uint32_t pauses_ = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_SPIN_WAIT_H_
