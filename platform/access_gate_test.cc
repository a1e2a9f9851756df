#include "platform/access_gate.h"

#include <atomic>
#include <memory>
#include <thread>

#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

// On the heap: g++ 12's address sanitizer does not align a stack frame to 64 bytes.
class AccessGateTest : public testing::Test {
 protected:
  AccessGate gate_;
};

TEST_F(AccessGateTest, NobodyInsideMeansNoWait) {
  gate_.Synchronize();
  {
    AccessGate::Scope inside(gate_);
  }
  gate_.Synchronize();
}

TEST_F(AccessGateTest, NestedSectionsEndWithTheOutermost) {
  std::atomic<bool> synchronized = false;
  std::thread waiter;
  {
    AccessGate::Scope outer(gate_);
    {
      AccessGate::Scope inner(gate_);
    }
    waiter = std::thread([&] {
      gate_.Synchronize();
      synchronized.store(true);
    });
    EXPECT_FALSE(synchronized.load());
  }
  waiter.join();
  EXPECT_TRUE(synchronized.load());
}

// One thread uses what the other replaces and frees: the sanitizers see any use after free.
TEST_F(AccessGateTest, FreedOnlyAfterTheLastUse) {
  constexpr int kRounds = 2000;
  std::atomic<int*> slot = new int(0);
  std::atomic<bool> stop = false;
  int64_t sum = 0;
  std::thread user([&] {
    while (!stop.load(std::memory_order_relaxed)) {
      AccessGate::Scope inside(gate_);
      if (int* value = slot.load()) sum += *value;
    }
  });
  for (int i = 1; i <= kRounds; ++i) {
    std::unique_ptr<int> old(slot.exchange(i % 2 == 0 ? nullptr : new int(1)));
    gate_.Synchronize();
  }
  stop.store(true);
  user.join();
  delete slot.load();
  EXPECT_GE(sum, 0);
}

}  // namespace
}  // namespace vmbuskit
