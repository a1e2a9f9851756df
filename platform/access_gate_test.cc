#include "platform/access_gate.h"

#include <atomic>
#include <memory>
#include <thread>

#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

TEST(AccessGate, NobodyInsideMeansNoWait) {
  AccessGate gate;
  gate.Synchronize();
  {
    AccessGate::Scope inside(gate);
  }
  gate.Synchronize();
}

TEST(AccessGate, NestedSectionsEndWithTheOutermost) {
  AccessGate gate;
  std::atomic<bool> synchronized = false;
  std::thread waiter;
  {
    AccessGate::Scope outer(gate);
    {
      AccessGate::Scope inner(gate);
    }
    waiter = std::thread([&] {
      gate.Synchronize();
      synchronized.store(true);
    });
    EXPECT_FALSE(synchronized.load());
  }
  waiter.join();
  EXPECT_TRUE(synchronized.load());
}

// One thread uses what the other replaces and frees: the sanitizers see any use after free.
TEST(AccessGate, FreedOnlyAfterTheLastUse) {
  constexpr int kRounds = 2000;
  AccessGate gate;
  std::atomic<int*> slot = new int(0);
  std::atomic<bool> stop = false;
  int64_t sum = 0;
  std::thread user([&] {
    while (!stop.load(std::memory_order_relaxed)) {
      AccessGate::Scope inside(gate);
      if (int* value = slot.load()) sum += *value;
    }
  });
  for (int i = 1; i <= kRounds; ++i) {
    std::unique_ptr<int> old(slot.exchange(i % 2 == 0 ? nullptr : new int(1)));
    gate.Synchronize();
  }
  stop.store(true);
  user.join();
  delete slot.load();
  EXPECT_GE(sum, 0);
}

}  // namespace
}  // namespace vmbuskit
