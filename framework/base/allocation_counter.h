// For tests: how often this binary allocated, so that data paths can be held to zero.
//
//   const uint64_t before = AllocationCount();
//   ... a thousand packets ...
//   EXPECT_EQ(AllocationCount() - before, 0u);
//
// Linking it replaces the global operator new, which counts and calls malloc. Thread safety: any
// thread.
#ifndef VMBUSKIT_FRAMEWORK_BASE_ALLOCATION_COUNTER_H_
#define VMBUSKIT_FRAMEWORK_BASE_ALLOCATION_COUNTER_H_

#include <cstdint>

namespace vmbuskit {

uint64_t AllocationCount();

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_BASE_ALLOCATION_COUNTER_H_
