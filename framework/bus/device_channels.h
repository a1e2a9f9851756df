// The channels of one device and the memory that it shares with the host: opening, closing, being
// taken back.
//
//   DeviceChannels channels(transport, placement, offer, "echo 1c5f0a4e-...");
//   absl::StatusOr<OpenedChannel> opened = co_await channels.Open(0, speed, parameters);
//   ...
//   channels.Refuse(absl::UnavailableError("rescinded"));    // nothing new from here on
//   co_await channels.EndAll();        // and everything that waits on them ends
//   co_await channels.CloseAll();      // sub-channels first, then the pages come back
//
// Thread safety: the bus executor; Tasks visit a channel's executor and come back. Only
// DeviceChannel::withdrawn is the device executor's.
// Ownership: owns the channels from Open until Close gives them back to the transport.
// Errors: those of the transport; FailedPrecondition for a channel that is open already or not open
// at all; whatever Refuse was given.
// Source: protocol 02 sections 4.2 and 5.4.
#ifndef VMBUSKIT_FRAMEWORK_BUS_DEVICE_CHANNELS_H_
#define VMBUSKIT_FRAMEWORK_BUS_DEVICE_CHANNELS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "framework/bus/bus_capture.h"
#include "framework/bus/condition.h"
#include "framework/bus/device.h"
#include "framework/bus/device_info.h"
#include "framework/bus/placement.h"
#include "framework/bus/transport.h"
#include "framework/channel/channel.h"
#include "framework/task/task.h"
#include "platform/memory.h"

namespace vmbuskit {

struct DeviceChannel {
  enum class State { kOffered, kOpening, kOpen, kClosing };

  Offer offer;
  State state = State::kOffered;
  bool rescinded = false;
  uint32_t users = 0;           // operations that need the channel to stay; closing waits for them
  std::optional<uint32_t> cpu;  // chosen at the first opening
  std::unique_ptr<Channel> channel;
  bool withdrawn = false;  // device executor: the device was told that it is gone

  // Which capture its packets go to; the tap itself is the channel executor's.
  std::shared_ptr<BusCapture> capture;
  bool changing_capture = false;
  std::unique_ptr<ChannelTap> tap;
};

struct OpenedChannel {
  Channel* channel = nullptr;
  std::shared_ptr<DeviceChannel> record;
};

class DeviceChannels {
 public:
  using Record = std::shared_ptr<DeviceChannel>;

  // `name` stands in errors and in the names of the channels.
  DeviceChannels(BusTransport& transport, Placement& placement, const Offer& primary,
                 std::string name);
  ~DeviceChannels();

  // AlreadyExists when there is one of that index that was not taken back.
  absl::Status AddSubchannel(const Offer& offer);
  // Of that index and not taken back; null when there is none.
  Record Find(uint16_t index) const;
  Record FindRelid(uint32_t relid) const;
  void Remove(const Record& record);
  const std::vector<Record>& records() const { return records_; }  // primary first
  uint32_t subchannel_count() const;                               // not taken back

  // Opens channel `index`, on its CPU: the primary on that of `SetPrimaryCpu`, the others where
  // placement says.
  Task<absl::StatusOr<OpenedChannel>> Open(uint16_t index, DeviceSpeed speed,
                                           OpenParameters parameters);
  void SetPrimaryCpu(uint32_t cpu) { records_.front()->cpu = cpu; }
  Task<uint32_t> WaitForSubchannels(uint32_t count, Duration deadline);
  Task<absl::StatusOr<DeviceContext::SharedBuffer>> ShareBuffer(uint32_t byte_count);

  // From now on Open, ShareBuffer and WaitForSubchannels end with `reason`. The first reason stays.
  void Refuse(const absl::Status& reason);
  // Takes the refusal back, for another start.
  void Admit() { refused_ = absl::OkStatus(); }
  // Ends every open channel (Channel::Close) with the reason of the refusal; they stay in place
  // until closed.
  Task<void> EndAll();
  Task<void> End(Record record, absl::Status reason);

  // Sub-channels first, then the shared pages and the primary. The first error, after doing all of
  // it.
  Task<absl::Status> CloseAll();
  Task<absl::Status> Close(Record record);

  // Moves the interrupts of an open channel.
  Task<absl::Status> Retarget(Record record, uint32_t cpu);

  // Sends the packets of all channels, also of those opened later, to `capture`; null ends it.
  Task<void> SetCapture(std::shared_ptr<BusCapture> capture);
  // The same before anything was opened.
  void InitialCapture(std::shared_ptr<BusCapture> capture) { capture_ = std::move(capture); }

  // Adds the open channels to `info`, and to `node` when there is one.
  Task<void> Describe(DeviceInfo& info, InspectNode* node);
  void set_name(std::string name) { name_ = std::move(name); }

 private:
  struct Buffer {
    Gpadl gpadl;
    PageRun pages;
  };

  Executor& bus() const { return transport_.executor(0); }
  absl::Status CheckOpenable(uint16_t index, const Record& record) const;
  void Place(DeviceChannel& record, DeviceSpeed speed);
  void Leave(DeviceChannel& record);
  Task<absl::Status> TearDownBuffers();
  Task<void> ApplyCapture(Record record);

  BusTransport& transport_;
  Placement& placement_;
  std::string name_;
  std::vector<Record> records_;
  std::vector<Buffer> buffers_;
  uint32_t sharing_ = 0;  // ShareBuffer calls in progress
  absl::Status refused_;
  std::shared_ptr<BusCapture> capture_;
  Condition changed_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_BUS_DEVICE_CHANNELS_H_
