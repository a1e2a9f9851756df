#include "platform/linux/detached_thread.h"

#include <pthread.h>

#include <memory>
#include <utility>

#include "platform/linux/blocked_signals.h"

namespace vmbuskit {
namespace {

void* ThreadMain(void* context) {
  const std::unique_ptr<std::function<void()>> call(static_cast<std::function<void()>*>(context));
  (*call)();
  return nullptr;
}

}  // namespace

absl::Status RunDetached(std::function<void()> call) {
  auto owned = std::make_unique<std::function<void()>>(std::move(call));
  const BlockedSignals blocked;
  pthread_t thread{};
  const int error = pthread_create(&thread, nullptr, &ThreadMain, owned.get());
  if (error != 0) return absl::ErrnoToStatus(error, "making a thread");
  (void)owned.release();
  pthread_detach(thread);
  return absl::OkStatus();
}

}  // namespace vmbuskit
