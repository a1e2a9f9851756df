#include "devices/storvsc/host/nbd_leave.h"

#include <libnbd.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "platform/linux/detached_thread.h"

namespace vmbuskit {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

bool Flush(nbd_handle* handle, Duration limit) {
  const auto end = steady_clock::now() + limit;
  const nbd_completion_callback none = {.callback = nullptr, .user_data = nullptr, .free = nullptr};
  const int64_t cookie = nbd_aio_flush(handle, none, 0);
  if (cookie < 0) return false;
  for (;;) {
    const int done = nbd_aio_command_completed(handle, static_cast<uint64_t>(cookie));
    if (done != 0) return done == 1;
    const auto left = std::chrono::duration_cast<milliseconds>(end - steady_clock::now());
    const int wait_ms = static_cast<int>(std::min<int64_t>(left.count(), 1000));
    if (wait_ms <= 0 || nbd_poll(handle, wait_ms) < 0) return false;
  }
}

}  // namespace

void LeaveNbd(NbdHandle handle, std::shared_ptr<NbdWrites> writes, uint64_t covers,
              Duration limit) {
  writes->BeginLeave();
  const auto leave = [shared = std::shared_ptr<nbd_handle>(std::move(handle)), writes, covers,
                      limit] { writes->EndLeave(Flush(shared.get(), limit), covers); };
  if (!RunDetached(leave).ok()) writes->EndLeave(false, covers);
}

}  // namespace vmbuskit
