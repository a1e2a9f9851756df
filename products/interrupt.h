// Ctrl-C (SIGINT) and SIGTERM as a call on an executor. After the first one a second ends the
// process at once, with exit status 130, whatever the executor is busy with.
//
//   InterruptWatch::Block();                       // in main, before a thread is made that takes signals
//   InterruptWatch interrupt(executor, Callback::To<&Session::OnInterrupt>(this));
//   absl::Status started = interrupt.Start();
//
// Thread safety: the executor's; one at a time per process.
#ifndef VMBUSKIT_PRODUCTS_INTERRUPT_H_
#define VMBUSKIT_PRODUCTS_INTERRUPT_H_

#include <memory>

#include "absl/status/status.h"
#include "platform/callback.h"
#include "platform/linux/executor.h"
#include "platform/linux/fd_watch.h"

namespace vmbuskit {

class InterruptWatch {
 public:
  static constexpr int kSecondInterruptExitCode = 130;

  // Keeps the signals from ending the process: they wait for a watch.
  static void Block();

  InterruptWatch(LinuxExecutor& executor, Callback on_interrupt)
      : executor_(executor), on_interrupt_(on_interrupt) {}
  ~InterruptWatch() { Stop(); }
  InterruptWatch(const InterruptWatch&) = delete;
  InterruptWatch& operator=(const InterruptWatch&) = delete;

  absl::Status Start();
  void Stop();

 private:
  void OnSignal();

  LinuxExecutor& executor_;
  const Callback on_interrupt_;
  int fd_ = -1;
  std::unique_ptr<FdWatch> watch_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_PRODUCTS_INTERRUPT_H_
