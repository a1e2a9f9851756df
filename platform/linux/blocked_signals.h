// For a library that makes threads: while it lives, threads that the calling one makes take no signals of the process.
// Those are the program's, which decides when and where it hears them; one that reached a thread of ours would do what
// it does by default, and end the process.
//
//   const BlockedSignals blocked;
//   std::thread thread([] { ... });
//
// Faults (SIGSEGV and its like) stay as they are. Thread safety: one thread; destroyed by the one that made it.
#ifndef VMBUSKIT_PLATFORM_LINUX_BLOCKED_SIGNALS_H_
#define VMBUSKIT_PLATFORM_LINUX_BLOCKED_SIGNALS_H_

#include <pthread.h>

#include <csignal>

namespace vmbuskit {

class BlockedSignals {
 public:
  BlockedSignals() {
    sigset_t set;
    sigfillset(&set);
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS}) {
      sigdelset(&set, fault);
    }
    pthread_sigmask(SIG_SETMASK, &set, &before_);
  }
  ~BlockedSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;

 private:
  sigset_t before_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_LINUX_BLOCKED_SIGNALS_H_
