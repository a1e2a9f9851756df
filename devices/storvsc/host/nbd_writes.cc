#include "devices/storvsc/host/nbd_writes.h"

#include <unistd.h>

namespace vmbuskit {

NbdWrites::~NbdWrites() {
  for (const int socket : left_) close(socket);
}

void NbdWrites::NoteFlushed(uint64_t count) {
  uint64_t was = flushed.load();
  while (was < count && !flushed.compare_exchange_weak(was, count)) {
  }
}

void NbdWrites::LeaveSocket(int socket) {
  const std::lock_guard lock(mutex_);
  left_.push_back(socket);
}

int NbdWrites::TakeSocket() {
  const std::lock_guard lock(mutex_);
  if (left_.empty()) return -1;
  const int socket = left_.back();
  left_.pop_back();
  return socket;
}

void NbdWrites::BeginLeave() {
  const std::lock_guard lock(mutex_);
  ++leaving_;
}

void NbdWrites::EndLeave(bool was_flushed, uint64_t covers) {
  if (!was_flushed) lost.store(true);
  NoteFlushed(covers);
  const std::lock_guard lock(mutex_);
  --leaving_;
  changed_.notify_all();
}

void NbdWrites::WaitUntilLeft() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return leaving_ == 0; });
}

}  // namespace vmbuskit
