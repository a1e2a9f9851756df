#include "framework/bus/device_instance.h"

#include <cassert>
#include <utility>

#include "absl/strings/str_cat.h"
#include "framework/base/string_view.h"
#include "framework/task/switch_to.h"

namespace vmbuskit {

DeviceInstance::DeviceInstance(const Parts& parts)
    : parts_(parts), changed_(parts.bus), failed_(parts.bus, parts.on_failure) {}

DeviceInstance::~DeviceInstance() { assert(device_ == nullptr && visits_ == 0); }

Task<absl::Status> DeviceInstance::Start() {
  co_await SwitchTo(parts_.device);
  device_ = parts_.device_class.create(*this);
  absl::Status status;
  if (device_ == nullptr) {
    status = absl::InternalError(
        absl::StrCat("class \"", ToAbsl(parts_.device_class.name), "\" made no device"));
  } else {
    listens_ = true;
    status = co_await device_->Start();
  }
  co_await SwitchTo(parts_.bus);
  co_return status;
}

Task<void> DeviceInstance::AnnounceRunning() {
  if (parts_.observer == nullptr) co_return;
  co_await SwitchTo(parts_.device);
  announced_ = true;
  parts_.observer->OnDeviceRunning(running());
  co_await SwitchTo(parts_.bus);
}

Task<void> DeviceInstance::Stop(StopReason reason) {
  co_await SwitchTo(parts_.device);
  if (announced_) parts_.observer->OnDeviceStopping(running());
  if (device_ != nullptr) {
    co_await device_->PrepareStop(reason);
    co_await SwitchTo(parts_.device);
    device_->Stop();
  }
  listens_ = false;
  co_await SwitchTo(parts_.bus);
}

Task<void> DeviceInstance::Destroy() {
  while (visits_ != 0) co_await changed_.Wait();
  destroying_ = true;
  co_await SwitchTo(parts_.device);
  device_.reset();
  co_await SwitchTo(parts_.bus);
  while (visits_ != 0) co_await changed_.Wait();  // that began on the way
}

Task<void> DeviceInstance::NotifyOffered(uint16_t index) {
  ++visits_;
  co_await SwitchTo(parts_.device);
  if (listens_) device_->OnSubchannelOffered(index);
  co_await SwitchTo(parts_.bus);
  if (--visits_ == 0) changed_.NotifyAll();
}

Task<void> DeviceInstance::NotifyRescinded(DeviceChannels::Record record) {
  ++visits_;
  co_await SwitchTo(parts_.device);
  record->withdrawn = true;
  if (listens_) device_->OnSubchannelRescinded(record->offer.subchannel_index);
  co_await SwitchTo(parts_.bus);
  if (--visits_ == 0) changed_.NotifyAll();
}

Task<void> DeviceInstance::Describe(DeviceInfo& info, InspectNode* node) {
  if (destroying_) co_return;  // it may go while this is somewhere else
  ++visits_;
  co_await SwitchTo(parts_.device);
  if (device_ != nullptr) {
    info.versions = device_->NegotiatedVersions();
    if (node != nullptr) {
      InspectNode& driver = node->Child("driver");
      device_->Inspect(driver);
      co_await device_->InspectElsewhere(driver);
    }
  }
  co_await SwitchTo(parts_.bus);
  if (--visits_ == 0) changed_.NotifyAll();
}

OpenParameters DeviceInstance::ClassParameters() const {
  OpenParameters parameters;
  parameters.send_ring_bytes = parts_.device_class.send_ring_bytes;
  parameters.receive_ring_bytes = parts_.device_class.receive_ring_bytes;
  parameters.channel.max_packet_bytes = parts_.device_class.max_packet_bytes;
  parameters.channel.max_requests = parts_.device_class.max_requests;
  parameters.channel.answer_bytes = parts_.device_class.answer_bytes;
  return parameters;
}

Task<absl::StatusOr<Channel*>> DeviceInstance::OpenChannel() { return Open(0, ClassParameters()); }

Task<absl::StatusOr<Channel*>> DeviceInstance::OpenChannel(OpenParameters override_parameters) {
  return Open(0, std::move(override_parameters));
}

Task<absl::StatusOr<Channel*>> DeviceInstance::OpenSubchannel(uint16_t index) {
  return Open(index, ClassParameters());
}

Task<absl::StatusOr<Channel*>> DeviceInstance::OpenSubchannel(uint16_t index,
                                                              OpenParameters parameters) {
  return Open(index, std::move(parameters));
}

Task<absl::StatusOr<Channel*>> DeviceInstance::Open(uint16_t index, OpenParameters parameters) {
  const uint32_t closes = closes_;
  co_await SwitchTo(parts_.bus);
  absl::StatusOr<OpenedChannel> opened =
      co_await parts_.channels.Open(index, parts_.device_class.speed, std::move(parameters));
  co_await SwitchTo(parts_.device);
  if (!opened.ok()) co_return opened.status();
  // Closed or taken back on the way here: the channel may be gone already.
  if (closes_ != closes) {
    co_return absl::CancelledError(absl::StrCat("channel ", index, " was closed"));
  }
  if (opened->record->withdrawn) {
    co_return absl::UnavailableError(absl::StrCat("sub-channel ", index, " was rescinded"));
  }
  co_return opened->channel;
}

Task<uint32_t> DeviceInstance::WaitForSubchannels(uint32_t count, Duration deadline) {
  co_await SwitchTo(parts_.bus);
  const uint32_t offered = co_await parts_.channels.WaitForSubchannels(count, deadline);
  co_await SwitchTo(parts_.device);
  co_return offered;
}

Task<absl::StatusOr<DeviceContext::SharedBuffer>> DeviceInstance::ShareBuffer(uint32_t byte_count) {
  const uint32_t closes = closes_;
  co_await SwitchTo(parts_.bus);
  absl::StatusOr<SharedBuffer> buffer = co_await parts_.channels.ShareBuffer(byte_count);
  co_await SwitchTo(parts_.device);
  if (buffer.ok() && closes_ != closes) {
    co_return absl::CancelledError("the shared buffer was taken back");
  }
  co_return buffer;
}

Task<absl::Status> DeviceInstance::CloseChannels() {
  ++closes_;
  co_await SwitchTo(parts_.bus);
  absl::Status status = co_await parts_.channels.CloseAll();
  co_await SwitchTo(parts_.device);
  co_return status;
}

void DeviceInstance::Fail(const absl::Status& reason) {
  if (fail_called_ || reason.ok()) return;
  fail_called_ = true;
  failure_ = reason;
  failed_.Signal();
}

}  // namespace vmbuskit
