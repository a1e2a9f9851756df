// A thread that runs a LinuxExecutor.
//
//   absl::StatusOr<std::unique_ptr<ExecutorThread>> cpu1 =
//       ExecutorThread::Start({.executor = {.cpu = 1}, .pin_to_cpu = 1});
//   (*cpu1)->Invoke([&] { device = std::make_unique<Device>((*cpu1)->executor()); });
//   (*cpu1)->Invoke([&] { device.reset(); });      // what belongs to an executor dies on it
//
// Thread safety: Invoke from any thread; Stop and the destructor from one that is not the executor's.
// Lifetime: owns the executor; stops and joins at destruction. Errors: those of LinuxExecutor::Create, of making the
// thread and of pinning (which names the CPU).
#ifndef VMBUSKIT_PLATFORM_LINUX_EXECUTOR_THREAD_H_
#define VMBUSKIT_PLATFORM_LINUX_EXECUTOR_THREAD_H_

#include <pthread.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "platform/linux/executor.h"

namespace vmbuskit {

class ExecutorThread {
 public:
  struct Options {
    LinuxExecutor::Options executor = {};
    std::optional<uint32_t> pin_to_cpu = std::nullopt;
  };

  static absl::StatusOr<std::unique_ptr<ExecutorThread>> Start(const Options& options);
  ~ExecutorThread() { Stop(); }
  ExecutorThread(const ExecutorThread&) = delete;
  ExecutorThread& operator=(const ExecutorThread&) = delete;

  LinuxExecutor& executor() { return *executor_; }

  // Runs `call` on the executor and returns when it has run; on the executor itself at once. After Stop it runs on
  // the calling thread, which then is the only one that touches the executor.
  void Invoke(absl::FunctionRef<void()> call);

  // LinuxExecutor::Stop, and waits for the thread. A second call does nothing.
  void Stop();

 private:
  explicit ExecutorThread(std::unique_ptr<LinuxExecutor> executor)
      : executor_(std::move(executor)) {}
  static void* ThreadMain(void* self);

  const std::unique_ptr<LinuxExecutor> executor_;
  pthread_t thread_{};
  bool running_ = false;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_LINUX_EXECUTOR_THREAD_H_
