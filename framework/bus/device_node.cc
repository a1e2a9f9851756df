#include "framework/bus/device_node.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "absl/strings/str_cat.h"
#include "framework/base/string_view.h"
#include "framework/task/deadline.h"
#include "framework/task/switch_to.h"

namespace vmbuskit {
namespace {

std::string NodeName(const Offer& offer, const DeviceClass* device_class) {
  return absl::StrCat(device_class != nullptr ? ToAbsl(device_class->name) : "device", " ",
                      offer.instance_id.ToString());
}

std::string Text(const absl::Status& status) {
  return std::string(status.message().data(), status.message().size());
}

}  // namespace

DeviceNode::DeviceNode(const Environment& environment, const Offer& offer,
                       const DeviceClass* device_class, std::shared_ptr<DeviceNode> predecessor)
    : environment_(environment),
      offer_(offer),
      device_class_(device_class),
      name_(NodeName(offer, device_class)),
      predecessor_(std::move(predecessor)),
      status_(device_class == nullptr ? "no driver" : ""),
      channels_(environment.transport, environment.placement, offer, name_),
      timer_(bus(), Callback::To<&DeviceNode::OnTimer>(this)),
      changed_(bus()),
      work_(bus(), name_) {}

DeviceNode::~DeviceNode() { assert(instance_ == nullptr); }

Task<void> DeviceNode::Live() {
  co_await WaitForPredecessor();
  while (!ending()) {
    if (device_class_ == nullptr) {
      co_await changed_.Wait();
      continue;
    }
    co_await RunOnce();
    if (ending() || restart_) continue;
    SetState(DeviceState::kFailed, Text(failure_));
    while (!ending() && !restart_) co_await changed_.Wait();
  }
  co_await JoinWork();
  SetState(DeviceState::kGone, absl::StrCat(rescinded_ ? "rescinded" : "shut down",
                                            closed_.ok() ? "" : "; ", Text(closed_)));
}

// Devices of one instance never run side by side. Who went without having run leaves its own
// predecessor behind.
Task<void> DeviceNode::WaitForPredecessor() {
  while (predecessor_ != nullptr && !ending()) {
    if (predecessor_->state_ == DeviceState::kGone) {
      predecessor_ = predecessor_->predecessor_;
      continue;
    }
    status_ = "waits for the device that had this instance before";
    co_await predecessor_->changed_.Wait();
  }
}

Task<void> DeviceNode::RunOnce() {
  restart_ = false;
  failure_ = absl::OkStatus();
  channels_.Admit();
  co_await StartDevice();
  if (!stop_wanted()) {
    SetState(DeviceState::kRunning, "");
    co_await instance_->AnnounceRunning();
    while (!stop_wanted()) co_await changed_.Wait();
  }
  co_await StopDevice();
}

Task<void> DeviceNode::StartDevice() {
  const uint32_t cpu = environment_.placement.Place(device_class_->speed, 0, {});
  channels_.SetPrimaryCpu(cpu);
  SetState(DeviceState::kStarting, "");
  instance_ = std::make_unique<DeviceInstance>(
      DeviceInstance::Parts{.transport = environment_.transport,
                            .bus = bus(),
                            .device = environment_.transport.executor(cpu),
                            .device_class = *device_class_,
                            .offer = offer_,
                            .channels = channels_,
                            .observer = environment_.observer,
                            .bus_version = environment_.transport.version(),
                            .on_failure = Callback::To<&DeviceNode::OnFailure>(this)});
  timer_.Arm(bus().Now() + environment_.start_deadline);
  absl::Status started = co_await instance_->Start();
  timer_.Disarm();
  if (failure_.ok()) failure_ = started;
}

Task<void> DeviceNode::StopDevice() {
  SetState(DeviceState::kStopping, failure_.ok() ? "" : Text(failure_));
  timer_.Arm(bus().Now() + environment_.stop_deadline);
  co_await instance_->Stop(stop_reason());
  timer_.Disarm();
  closed_ = co_await channels_.CloseAll();
  co_await JoinWork();
  co_await instance_->Destroy();
  instance_.reset();
}

Task<void> DeviceNode::JoinWork() {
  // All of it ends by itself: its waits are the transport's, which have deadlines, and hops.
  while (work_.running() != 0) (void)co_await work_.Join(DeadlineIn(bus()));
}

StopReason DeviceNode::stop_reason() const {
  if (rescinded_) return StopReason::kRescinded;
  return shutdown_ || failure_.ok() ? StopReason::kShutdown : StopReason::kFailed;
}

void DeviceNode::SetState(DeviceState state, std::string status) {
  state_ = state;
  status_ = std::move(status);
  changed_.NotifyAll();
  environment_.owner.OnStateChanged();
}

void DeviceNode::AssignClass(const DeviceClass& device_class) {
  device_class_ = &device_class;
  name_ = NodeName(offer_, device_class_);
  channels_.set_name(name_);
  status_.clear();
  changed_.NotifyAll();
}

absl::Status DeviceNode::AddSubchannel(const Offer& offer) {
  if (absl::Status status = channels_.AddSubchannel(offer); !status.ok()) return status;
  if (instance_ != nullptr) work_.Spawn(NotifyOffered(offer.subchannel_index));
  return absl::OkStatus();
}

Task<void> DeviceNode::NotifyOffered(uint16_t index) {
  if (instance_ != nullptr) co_await instance_->NotifyOffered(index);
}

void DeviceNode::Rescind(uint32_t relid) {
  if (relid == offer_.relid) {
    TakeBack(absl::UnavailableError(absl::StrCat(name_, ": the host took the device back")));
    return;
  }
  DeviceChannels::Record record = channels_.FindRelid(relid);
  if (record == nullptr || record->rescinded) return;
  record->rescinded = true;
  work_.Spawn(WithdrawSubchannel(std::move(record)));
}

void DeviceNode::ConnectionLost(const absl::Status& reason) {
  const std::vector<DeviceChannels::Record> records = channels_.records();
  for (const DeviceChannels::Record& record : records) {
    if (record->offer.subchannel_index != 0) Rescind(record->offer.relid);
  }
  TakeBack(reason);
}

void DeviceNode::TakeBack(const absl::Status& reason) {
  if (rescinded_) return;
  rescinded_ = true;
  channels_.records().front()->rescinded = true;
  CutOff(reason);
}

// Ends everything that the driver waits for.
void DeviceNode::CutOff(const absl::Status& reason) {
  channels_.Refuse(reason);
  work_.Spawn(channels_.EndAll());
  Wake();
}

void DeviceNode::Wake() {
  changed_.NotifyAll();
  if (predecessor_ != nullptr)
    predecessor_->changed_.NotifyAll();  // where WaitForPredecessor waits
}

void DeviceNode::Shutdown() {
  shutdown_ = true;
  if (state_ == DeviceState::kStarting) {
    CutOff(absl::CancelledError(absl::StrCat(name_, ": the bus shuts down")));
  }
  Wake();
}

absl::Status DeviceNode::Restart() {
  if (state_ != DeviceState::kFailed && state_ != DeviceState::kRunning) {
    return absl::FailedPreconditionError(
        absl::StrCat(name_, ": cannot restart while it is ", ToAbsl(ToString(state_))));
  }
  restart_ = true;
  changed_.NotifyAll();
  return absl::OkStatus();
}

void DeviceNode::OnFailure() {
  if (state_ == DeviceState::kStopping || !failure_.ok()) return;
  failure_ = instance_->failure();
  changed_.NotifyAll();
}

void DeviceNode::OnTimer() {
  const bool starting = state_ == DeviceState::kStarting;
  absl::Status late = absl::DeadlineExceededError(absl::StrCat(
      name_, ": ", starting ? "Start" : "PrepareStop", " did not end within ",
      FormatDuration(starting ? environment_.start_deadline : environment_.stop_deadline)));
  status_ = Text(late);
  if (failure_.ok()) failure_ = late;
  CutOff(late);
}

Task<void> DeviceNode::WithdrawSubchannel(DeviceChannels::Record record) {
  const uint32_t relid = record->offer.relid;
  co_await channels_.End(
      record, absl::UnavailableError(absl::StrCat(name_, ": the host took sub-channel ",
                                                  record->offer.subchannel_index, " back")));
  if (instance_ != nullptr) co_await instance_->NotifyRescinded(record);
  (void)co_await channels_.Close(record);
  channels_.Remove(record);
  environment_.owner.OnSubchannelGone(relid);
}

}  // namespace vmbuskit
