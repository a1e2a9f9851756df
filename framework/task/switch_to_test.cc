// Coroutines that move between executors on threads of their own.
#include "framework/task/switch_to.h"

#include <atomic>
#include <cstdint>
#include <memory>

#include "framework/task/spawn.h"
#include "framework/task/task.h"
#include "gtest/gtest.h"
#include "platform/linux/executor_thread.h"

namespace vmbuskit {
namespace {

constexpr uint64_t kTrips = 2000;

// Plain integers: only the coroutine's order between threads makes this safe.
struct Counts {
  uint64_t here = 0;
  uint64_t there = 0;
  uint64_t strays = 0;
};

Task<void> Travel(Executor& here, Executor& there, Counts& counts, std::atomic<int>& left) {
  for (uint64_t i = 0; i < kTrips; ++i) {
    counts.strays += !here.IsCurrent();
    ++counts.here;
    co_await SwitchTo(there);
    counts.strays += !there.IsCurrent();
    ++counts.there;
    co_await SwitchTo(here);
  }
  left.fetch_sub(1);
}

TEST(SwitchTo, CarriesItsStateBetweenThreads) {
  auto first = ExecutorThread::Start({.executor = {.cpu = 0}});
  auto second = ExecutorThread::Start({.executor = {.cpu = 1}});
  ASSERT_TRUE(first.ok() && second.ok());
  Executor& here = (*first)->executor();
  Executor& there = (*second)->executor();
  Counts counts[3];
  std::atomic<int> left = 3;
  std::unique_ptr<TaskGroup> group;
  (*first)->Invoke([&] {
    group = std::make_unique<TaskGroup>(here, "travellers");
    for (Counts& each : counts) group->Spawn(Travel(here, there, each, left));
  });
  for (bool done = false; !done;) (*first)->Invoke([&] { done = group->running() == 0; });
  EXPECT_EQ(left.load(), 0);
  (*first)->Invoke([&] { group.reset(); });
  for (const Counts& each : counts) {
    EXPECT_EQ(each.here, kTrips);
    EXPECT_EQ(each.there, kTrips);
    EXPECT_EQ(each.strays, 0u);
  }
}

}  // namespace
}  // namespace vmbuskit
