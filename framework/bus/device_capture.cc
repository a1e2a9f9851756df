// The taps of one device's channels.
#include <utility>
#include <vector>

#include "framework/bus/device_channels.h"
#include "framework/task/switch_to.h"

namespace vmbuskit {

// One change at a time; the last wish counts.
Task<void> DeviceChannels::ApplyCapture(Record record) {
  while (record->changing_capture) co_await changed_.Wait();
  while (record->capture != capture_ && record->state == DeviceChannel::State::kOpen) {
    const std::shared_ptr<BusCapture> wanted = capture_;
    record->changing_capture = true;
    ++record->users;
    Channel& channel = *record->channel;
    co_await SwitchTo(channel.executor());
    std::unique_ptr<ChannelTap> tap;
    if (wanted != nullptr) {
      CaptureBuffer& buffer = wanted->buffer(channel.executor().cpu());
      tap = std::make_unique<ChannelTap>(buffer, record->offer.relid);
    }
    channel.SetTap(tap.get());
    record->tap = std::move(tap);
    co_await SwitchTo(bus());
    record->capture = wanted;
    record->changing_capture = false;
    Leave(*record);
    changed_.NotifyAll();
  }
}

Task<void> DeviceChannels::SetCapture(std::shared_ptr<BusCapture> capture) {
  capture_ = std::move(capture);
  const std::vector<Record> records = records_;
  for (const Record& record : records) co_await ApplyCapture(record);
}

}  // namespace vmbuskit
