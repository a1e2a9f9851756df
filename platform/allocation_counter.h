// Counts the memory allocations of the calling thread: for tests of code that must not make any.
//
//   const uint64_t before = ThreadAllocations();
//   channel.Send(packet);
//   EXPECT_EQ(ThreadAllocations() - before, 0u);
//
// A test that links this has its operator new replaced. Thread safety: each thread has a counter of its own.
#ifndef VMBUSKIT_PLATFORM_ALLOCATION_COUNTER_H_
#define VMBUSKIT_PLATFORM_ALLOCATION_COUNTER_H_

#include <cstdint>

namespace vmbuskit {

// Calls of any operator new on this thread since it began.
uint64_t ThreadAllocations();

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_ALLOCATION_COUNTER_H_
