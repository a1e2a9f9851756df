#include "devices/storvsc/scsi_lanes.h"

#include <algorithm>
#include <utility>

namespace vmbuskit {

ScsiLanePort::ScsiLanePort(ScsiLane& lane)
    : executor_(lane.executor()),
      lane_(&lane),
      mail_(std::in_place, executor_, Callback::To<&ScsiLanePort::OnMail>(this)) {}

bool ScsiLanePort::Submit(ScsiCommand& command) {
  if (!gate_.Enter()) return false;
  if (mailbox_.Push(command)) mail_->Signal();
  gate_.Leave();
  return true;
}

void ScsiLanePort::Close() {
  gate_.Close();
  mail_.reset();
  Deliver();
}

void ScsiLanePort::Deliver() {
  std::optional<Channel::Batch> batch;
  if (Channel* const channel = lane_->channel()) batch.emplace(*channel);
  ScsiCommand* command = mailbox_.TakeAll();
  while (command != nullptr) {
    ScsiCommand* const next = command->next_mail;
    lane_->Submit(*command);
    command = next;
  }
}

void ScsiLanes::Add(ScsiLane& lane) {
  auto port = std::make_shared<ScsiLanePort>(lane);
  const std::lock_guard lock(mutex_);
  ports_.push_back(std::move(port));
  version_.fetch_add(1, std::memory_order_release);
}

void ScsiLanes::Remove(ScsiLane& lane) {
  std::shared_ptr<ScsiLanePort> port;
  {
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(ports_.begin(), ports_.end(),
                                    [&](const auto& each) { return each->lane() == &lane; });
    if (found == ports_.end()) return;
    port = std::move(*found);
    ports_.erase(found);
    version_.fetch_add(1, std::memory_order_release);
  }
  port->Close();
}

std::shared_ptr<ScsiLanePort> ScsiLanes::Pick(const Executor& executor) const {
  const std::lock_guard lock(mutex_);
  if (ports_.empty()) return nullptr;
  for (const auto& port : ports_) {
    if (port->local(executor)) return port;
  }
  return ports_[executor.cpu() % ports_.size()];
}

}  // namespace vmbuskit
