#include "platform/linux/executor_thread.h"

#include <sched.h>

#include <condition_variable>
#include <mutex>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "platform/callback.h"
#include "platform/linux/affinity.h"
#include "platform/linux/blocked_signals.h"

namespace vmbuskit {
namespace {

// A call that another thread waits for, on that thread's stack.
class WaitedCall {
 public:
  explicit WaitedCall(absl::FunctionRef<void()> call) : call_(call) {}

  void Run() {
    call_();
    // Notified under the lock: once it is released the waiter may have taken this object away.
    const std::lock_guard lock(mutex_);
    done_ = true;
    condition_.notify_one();
  }
  void Wait() {
    std::unique_lock lock(mutex_);
    condition_.wait(lock, [this] { return done_; });
  }

 private:
  const absl::FunctionRef<void()> call_;
  std::mutex mutex_;
  std::condition_variable condition_;
  bool done_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ExecutorThread>> ExecutorThread::Start(const Options& options) {
  absl::StatusOr<std::unique_ptr<LinuxExecutor>> executor = LinuxExecutor::Create(options.executor);
  if (!executor.ok()) return executor.status();
  std::unique_ptr<ExecutorThread> thread(new ExecutorThread(*std::move(executor)));
  int error = 0;
  {
    const BlockedSignals blocked;
    error = pthread_create(&thread->thread_, nullptr, &ThreadMain, thread.get());
  }
  if (error != 0) {
    return absl::ErrnoToStatus(
        error, absl::StrCat("making the thread of executor ", options.executor.cpu));
  }
  thread->running_ = true;
  if (options.pin_to_cpu.has_value()) {
    absl::Status pinned = PinThread(thread->thread_, *options.pin_to_cpu);
    if (!pinned.ok()) return pinned;
  }
  return thread;
}

void ExecutorThread::Invoke(absl::FunctionRef<void()> call) {
  if (!running_ || executor_->IsCurrent()) {
    call();
    return;
  }
  WaitedCall waited(call);
  // A full queue is being emptied by the executor.
  while (!executor_->Post(Callback::To<&WaitedCall::Run>(&waited))) sched_yield();
  waited.Wait();
}

void ExecutorThread::Stop() {
  if (!running_) return;
  executor_->Stop();
  pthread_join(thread_, nullptr);
  running_ = false;
}

void* ExecutorThread::ThreadMain(void* self) {
  static_cast<ExecutorThread*>(self)->executor_->Run();
  return nullptr;
}

}  // namespace vmbuskit
