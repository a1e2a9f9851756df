// Runs a call that may block for as long as it likes, on a thread that nobody waits for: getaddrinfo, or a library that
// asks it.
//
//   absl::Status started = RunDetached([attempt] { attempt->Run(); });      // a shared_ptr
//
// Thread safety: any thread. Lifetime: the call owns what it touches; whoever started it tells it that nobody waits any
// more through something that they share. The process may end while it runs. Errors: of making the thread, and then the
// call does not run.
#ifndef VMBUSKIT_PLATFORM_LINUX_DETACHED_THREAD_H_
#define VMBUSKIT_PLATFORM_LINUX_DETACHED_THREAD_H_

#include <functional>

#include "absl/status/status.h"

namespace vmbuskit {

absl::Status RunDetached(std::function<void()> call);

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_LINUX_DETACHED_THREAD_H_
