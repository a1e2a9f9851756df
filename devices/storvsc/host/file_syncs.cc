#include "devices/storvsc/host/file_syncs.h"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <utility>

namespace vmbuskit {

FileSyncs::Port::Port(FileSyncs& syncs, FileQueue& queue, Executor& executor)
    : syncs_(syncs),
      queue_(queue),
      sync_(*this),
      turn_(executor, Callback::To<&FileSyncs::Port::OnTurn>(this)) {
  const std::lock_guard lock(syncs_.mutex_);
  syncs_.ports_.push_back(this);
}

FileSyncs::Port::~Port() {
  const std::lock_guard lock(syncs_.mutex_);
  assert(next_.empty() && under_way_.empty() && ended_.empty());
  std::erase(syncs_.ports_, this);
}

void FileSyncs::Port::Submit(FileOperation& operation) {
  {
    const std::lock_guard lock(syncs_.mutex_);
    next_.push_back(operation);
    if (syncs_.under_way_) return;
    syncs_.BeginBatch(*this);
  }
  queue_.Submit(sync_);
}

void FileSyncs::Port::OnSynced(int error) {
  bool again = false;
  {
    const std::lock_guard lock(syncs_.mutex_);
    syncs_.EndBatch(error);
    Port* const leader = syncs_.BeginBatch(*this);
    again = leader == this;
    if (leader != nullptr && !again) {
      leader->leads_ = true;
      leader->turn_.Signal();
    }
  }
  if (again) queue_.Submit(sync_);
}

void FileSyncs::EndBatch(int error) {
  under_way_ = false;
  const int told = error == 0 && error_.load(std::memory_order_relaxed) != 0 ? EIO : error;
  int none = 0;
  if (error != 0) error_.compare_exchange_strong(none, error, std::memory_order_release);
  for (Port* const port : ports_) {
    if (port->under_way_.empty()) continue;
    // Those of an earlier one that were not told yet hear of this one's failure, too.
    if (port->ended_.empty() || port->ended_error_ == 0) port->ended_error_ = told;
    port->ended_.splice(port->ended_.end(), port->under_way_);
    port->turn_.Signal();
  }
}

// Whose sync it is; null: nobody waits. `preferred` has its executor at hand.
FileSyncs::Port* FileSyncs::BeginBatch(Port& preferred) {
  Port* leader = nullptr;
  for (Port* const port : ports_) {
    if (port->next_.empty()) continue;
    if (leader == nullptr || port == &preferred) leader = port;
    port->under_way_.swap(port->next_);
  }
  under_way_ = leader != nullptr;
  return leader;
}

void FileSyncs::Port::OnTurn() {
  Operations ended;
  int error = 0;
  bool leads = false;
  {
    const std::lock_guard lock(syncs_.mutex_);
    ended.swap(ended_);
    error = std::exchange(ended_error_, 0);
    leads = std::exchange(leads_, false);
  }
  if (leads) queue_.Submit(sync_);
  while (!ended.empty()) {
    FileOperation& operation = ended.front();
    ended.pop_front();
    operation.OnDone(error);
  }
}

}  // namespace vmbuskit
