#include "framework/interfaces/block_completions.h"

#include <chrono>

#include "gtest/gtest.h"
#include "platform/sim/scheduler.h"

namespace vmbuskit {
namespace {

struct CountingRequest final : BlockRequest {
  void OnDone(BlockResult with) override {
    last = with;
    if (++ended < times) completions->End(*this, with);
  }
  BlockCompletions* completions = nullptr;
  int times = 1;
  int ended = 0;
  BlockResult last = BlockResult::kOk;
};

TEST(BlockCompletionsTest, ARequestIsToldInATurnOfItsOwn) {
  SimScheduler sim(0);
  SimExecutor& executor = sim.NewExecutor(0);
  BlockCompletions completions(executor);
  CountingRequest request;
  {
    const SimTurn turn = sim.Enter(executor);
    completions.End(request, BlockResult::kNoSpace);
    EXPECT_EQ(request.ended, 0);
  }
  ASSERT_EQ(sim.RunFor(std::chrono::milliseconds(1)), absl::OkStatus());
  EXPECT_EQ(request.ended, 1);
  EXPECT_EQ(request.last, BlockResult::kNoSpace);
}

TEST(BlockCompletionsTest, OneThatStartsAgainEndsAgain) {
  SimScheduler sim(0);
  SimExecutor& executor = sim.NewExecutor(0);
  BlockCompletions completions(executor);
  CountingRequest request;
  request.completions = &completions;
  request.times = 3;
  {
    const SimTurn turn = sim.Enter(executor);
    completions.End(request, BlockResult::kOk);
  }
  ASSERT_EQ(sim.RunFor(std::chrono::milliseconds(1)), absl::OkStatus());
  EXPECT_EQ(request.ended, 3);
  EXPECT_TRUE(completions.empty());
}

}  // namespace
}  // namespace vmbuskit
