// Syncs of several real threads.
#include "devices/storvsc/host/file_syncs.h"

#include <atomic>
#include <cerrno>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "platform/linux/executor.h"

namespace vmbuskit {
namespace {

constexpr int kThreads = 3;
constexpr int kRounds = 2000;
constexpr int kFailing = 1000;  // of the syncs in the kernel

struct Kernel {
  std::atomic<int> inside = 0;
  std::atomic<int> begun = 0;
};

// Ends a sync in the next turn.
class KernelQueue final : public FileQueue {
 public:
  KernelQueue(Kernel& kernel, Executor& executor)
      : kernel_(kernel), end_(executor, Callback::To<&KernelQueue::End>(this)) {}
  void Submit(FileOperation& operation) override {
    EXPECT_EQ(kernel_.inside.fetch_add(1), 0) << "two syncs at once";
    error_ = kernel_.begun.fetch_add(1) == kFailing ? EIO : 0;
    operation_ = &operation;
    end_.Signal();
  }

 private:
  void End() {
    kernel_.inside.fetch_sub(1);
    operation_->OnDone(error_);
  }
  Kernel& kernel_;
  FileOperation* operation_ = nullptr;
  int error_ = 0;
  Event end_;
};

struct Flush final : FileOperation {
  void OnDone(int with) override {
    error = with;
    ++ended;
  }
  int error = 0;
  int ended = 0;
};

void FlushAgainAndAgain(Kernel& kernel, FileSyncs& syncs) {
  const std::unique_ptr<LinuxExecutor> executor = *LinuxExecutor::Create({});
  bool failed = false;
  for (int round = 0; round < kRounds; ++round) {
    // Those of a round are the last ones of their port: nobody may touch it after they ended.
    KernelQueue queue(kernel, *executor);
    FileSyncs::Port port(syncs, queue, *executor);
    Flush one, other;
    port.Submit(one);
    port.Submit(other);
    while (one.ended + other.ended < 2) executor->RunOnce(/*may_sleep=*/true);
    EXPECT_FALSE(failed && (one.error == 0 || other.error == 0)) << "in round " << round;
    failed = failed || other.error != 0;
  }
  EXPECT_TRUE(failed);
}

TEST(FileSyncsThreads, OneIsInTheKernelAtATimeAndNoneSucceedsAfterAFailure) {
  Kernel kernel;
  FileSyncs syncs;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i)
    threads.emplace_back(FlushAgainAndAgain, std::ref(kernel), std::ref(syncs));
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(syncs.error(), EIO);
  EXPECT_LE(kernel.begun.load(), 2 * kThreads * kRounds);
}

}  // namespace
}  // namespace vmbuskit
