#include "platform/sim/executor.h"

#include <cstdint>
#include <functional>

#include "gtest/gtest.h"
#include "platform/executor_contract.h"
#include "platform/sim/scheduler.h"

namespace vmbuskit {
namespace {

template <uint64_t kSeed>
class SimHarness {
 public:
  Executor& executor() { return executor_; }
  bool RunUntil(std::function<bool()> done) { return sim_.RunUntil(done, std::chrono::seconds(1)); }
  void RunPending() { EXPECT_TRUE(sim_.RunUntilIdle().ok()); }

 private:
  SimScheduler sim_{kSeed, {.post_capacity = kContractPostCapacity}};
  SimExecutor& executor_ = sim_.NewExecutor(0);
};

using Harnesses = testing::Types<SimHarness<0>, SimHarness<1>, SimHarness<99>>;
INSTANTIATE_TYPED_TEST_SUITE_P(Sim, ExecutorContract, Harnesses);

TEST(SimExecutor, SaysWhichCpuItStandsFor) {
  SimScheduler sim(0);
  EXPECT_EQ(sim.NewExecutor(5).cpu(), 5u);
  EXPECT_EQ(sim.NewExecutor(2).cpu(), 2u);
}

}  // namespace
}  // namespace vmbuskit
