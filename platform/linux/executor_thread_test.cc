#include "platform/linux/executor_thread.h"

#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "platform/executor_contract.h"
#include "platform/linux/affinity.h"

namespace vmbuskit {
namespace {

TEST(ExecutorThread, InvokeRunsOnTheExecutorAndWaits) {
  auto thread = ExecutorThread::Start({.executor = {.cpu = 4}}).value();
  std::thread::id ran_on;
  bool nested = false;
  thread->Invoke([&] {
    EXPECT_TRUE(thread->executor().IsCurrent());
    ran_on = std::this_thread::get_id();
    thread->Invoke([&] { nested = true; });  // from the executor itself: at once
    EXPECT_TRUE(nested);
  });
  EXPECT_NE(ran_on, std::thread::id());
  EXPECT_NE(ran_on, std::this_thread::get_id());
  EXPECT_FALSE(thread->executor().IsCurrent());
  EXPECT_EQ(thread->executor().cpu(), 4u);
}

TEST(ExecutorThread, PostedCallsRunBeforeStopReturns) {
  auto thread = ExecutorThread::Start({}).value();
  Handler handler([] {});
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(thread->executor().Post(handler.callback()));
  thread->Stop();
  EXPECT_EQ(handler.runs, 100);
  thread->Stop();
  bool invoked = false;
  thread->Invoke([&] { invoked = true; });
  EXPECT_TRUE(invoked);
}

TEST(ExecutorThread, ObjectsLiveAndDieOnTheirExecutor) {
  auto thread = ExecutorThread::Start({}).value();
  Handler handler([] {});
  std::unique_ptr<Timer> timer;
  thread->Invoke([&] {
    timer = std::make_unique<Timer>(thread->executor(), handler.callback());
    timer->Arm(thread->executor().Now() + std::chrono::hours(1));
  });
  thread->Invoke([&] { timer.reset(); });
  EXPECT_EQ(handler.runs, 0);
}

TEST(ExecutorThread, PinsToACpuOrNamesIt) {
  const uint32_t cpu = AllowedCpus().back();
  auto thread = ExecutorThread::Start({.pin_to_cpu = cpu}).value();
  thread->Invoke([&] { EXPECT_EQ(AllowedCpus(), std::vector<uint32_t>{cpu}); });
  const auto impossible = ExecutorThread::Start({.pin_to_cpu = 999'999});
  EXPECT_EQ(impossible.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(std::string(impossible.status().message()).find("cpu 999999"), std::string::npos);
}

TEST(ExecutorThread, FailsToStartWithABadOption) {
  EXPECT_EQ(ExecutorThread::Start({.executor = {.post_capacity = 0}}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace vmbuskit
