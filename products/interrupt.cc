#include "products/interrupt.h"

#include <pthread.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace vmbuskit {
namespace {

sigset_t Interrupts() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  return set;
}

// From now on an interrupt needs no executor to be heard.
void EndAtNextInterrupt() {
  struct sigaction action = {};
  action.sa_handler = [](int) { _exit(InterruptWatch::kSecondInterruptExitCode); };
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  const sigset_t set = Interrupts();
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

}  // namespace

void InterruptWatch::Block() {
  const sigset_t set = Interrupts();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

absl::Status InterruptWatch::Start() {
  const sigset_t set = Interrupts();
  fd_ = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  if (fd_ < 0) return absl::ErrnoToStatus(errno, "signalfd");
  watch_ = std::make_unique<FdWatch>(executor_, fd_, Callback::To<&InterruptWatch::OnSignal>(this));
  return watch_->Start(FdWatch::kReadable);
}

void InterruptWatch::Stop() {
  watch_.reset();
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

void InterruptWatch::OnSignal() {
  signalfd_siginfo signal;
  if (read(fd_, &signal, sizeof signal) != sizeof signal) return;
  Stop();
  EndAtNextInterrupt();
  on_interrupt_();
}

}  // namespace vmbuskit
