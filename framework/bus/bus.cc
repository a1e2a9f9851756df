#include "framework/bus/bus.h"

#include <algorithm>
#include <cassert>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "framework/base/status.h"

namespace vmbuskit {

Bus::Bus(BusTransport& transport, const Options& options)
    : transport_(transport),
      executor_(transport.executor(0)),
      options_(options),
      placement_(transport.vp_count()),
      changed_(executor_),
      lives_(executor_, "devices") {}

Bus::~Bus() { assert(state_ == State::kStopped && nodes_.empty()); }

absl::Status Bus::RegisterClasses(std::span<const DeviceClass* const> classes) {
  if (absl::Status status = classes_.Add(classes); !status.ok()) return status;
  for (const Node& node : nodes_) {
    if (node->has_class()) continue;
    const DeviceClass* const device_class = classes_.Find(node->offer().class_id);
    if (device_class != nullptr) node->AssignClass(*device_class);
  }
  return absl::OkStatus();
}

Task<absl::Status> Bus::Start() {
  if (state_ != State::kStopped) {
    co_return absl::FailedPreconditionError("the bus is started already");
  }
  state_ = State::kStarting;
  offers_delivered_ = false;
  lost_ = absl::OkStatus();
  absl::Status status = co_await transport_.Connect(*this);
  if (state_ == State::kStarting) state_ = status.ok() ? State::kRunning : State::kStopped;
  changed_.NotifyAll();
  co_return status;
}

Task<absl::Status> Bus::Stop() {
  if (state_ == State::kStopped) co_return absl::OkStatus();
  if (state_ == State::kStarting) {
    co_return absl::FailedPreconditionError("the bus is still connecting");
  }
  state_ = State::kStopping;
  early_subchannels_.clear();
  for (const Node& node : nodes_) node->Shutdown();
  absl::Status ended = co_await lives_.Join(executor_.Now() + options_.shutdown_deadline);
  if (!ended.ok()) {
    std::string names;
    for (const Node& node : nodes_)
      absl::StrAppend(&names, names.empty() ? "" : ", ", node->name());
    co_return absl::DeadlineExceededError(absl::StrCat(ended.message(), ": ", names));
  }
  absl::Status status = co_await transport_.Disconnect();
  refused_.clear();
  state_ = State::kStopped;
  changed_.NotifyAll();
  co_return status;
}

bool Bus::Settled() const {
  if (!offers_delivered_) return false;
  return std::none_of(nodes_.begin(), nodes_.end(), [](const Node& node) {
    return node->state() == DeviceState::kStarting ||
           (node->state() == DeviceState::kOffered && node->has_class());
  });
}

Task<absl::Status> Bus::WaitUntilSettled(Duration deadline) {
  const Instant end = executor_.Now() + deadline;
  while (!Settled()) {
    if (!lost_.ok()) co_return lost_;
    const bool in_time = co_await changed_.Wait(end);
    if (in_time) continue;
    std::string names;
    for (const Node& node : nodes_) {
      if (node->state() != DeviceState::kStarting) continue;
      absl::StrAppend(&names, names.empty() ? ": " : ", ", node->name());
    }
    co_return absl::DeadlineExceededError(absl::StrCat(
        offers_delivered_ ? "devices are still starting" : "not all offers were delivered", names));
  }
  co_return absl::OkStatus();
}

Task<void> Bus::RunNode(Node node) {
  co_await node->Live();
  Forget(node);
  if (node->rescinded()) transport_.Release(node->offer().relid);
}

void Bus::Forget(const Node& node) {
  DeviceInfo gone;
  node->DescribeItself(gone);
  gone_.push_back(std::move(gone));
  if (gone_.size() > options_.gone_devices_max) gone_.pop_front();

  // Sub-channels that the host did not take back yet die with their device; their relids wait for
  // it.
  for (const DeviceChannels::Record& record : node->channels().records()) {
    relids_.erase(record->offer.relid);
    if (record->offer.subchannel_index != 0) refused_.insert(record->offer.relid);
  }
  nodes_.erase(std::find(nodes_.begin(), nodes_.end(), node));
  const auto newest = instances_.find(node->offer().instance_id);
  if (newest != instances_.end() && newest->second == node) {
    const Node before = node->predecessor();
    if (before != nullptr && before->state() != DeviceState::kGone) {
      newest->second = before;
    } else {
      instances_.erase(newest);
    }
  }
  changed_.NotifyAll();
}

absl::StatusOr<Bus::Node> Bus::FindDevice(const Guid& instance_id) const {
  const auto found = instances_.find(instance_id);
  if (found != instances_.end()) return found->second;
  return absl::NotFoundError(absl::StrCat("no device has instance ", instance_id.ToString()));
}

absl::Status Bus::RestartDevice(const Guid& instance_id) {
  absl::StatusOr<Node> node = FindDevice(instance_id);
  return node.ok() ? (*node)->Restart() : node.status();
}

}  // namespace vmbuskit
