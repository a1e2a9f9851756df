#include "framework/bus/device_channels.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "absl/strings/str_cat.h"
#include "framework/task/switch_to.h"

namespace vmbuskit {
namespace {

using State = DeviceChannel::State;

// Before this version a host wants the shared pages torn down while the channel is still open
// (protocol 11).
constexpr uint32_t kTearDownAfterClose = 0x00040000;

}  // namespace

DeviceChannels::DeviceChannels(BusTransport& transport, Placement& placement, const Offer& primary,
                               std::string name)
    : transport_(transport),
      placement_(placement),
      name_(std::move(name)),
      changed_(transport.executor(0)) {
  records_.push_back(std::make_shared<DeviceChannel>());
  records_.back()->offer = primary;
}

DeviceChannels::~DeviceChannels() {
  assert(buffers_.empty());
  for ([[maybe_unused]] const Record& record : records_) assert(record->channel == nullptr);
}

absl::Status DeviceChannels::AddSubchannel(const Offer& offer) {
  if (Find(offer.subchannel_index) != nullptr) {
    return absl::AlreadyExistsError(
        absl::StrCat(name_, ": subchannel_index ", offer.subchannel_index, " is offered twice"));
  }
  records_.push_back(std::make_shared<DeviceChannel>());
  records_.back()->offer = offer;
  changed_.NotifyAll();
  return absl::OkStatus();
}

DeviceChannels::Record DeviceChannels::Find(uint16_t index) const {
  for (const Record& record : records_) {
    if (record->offer.subchannel_index == index && !record->rescinded) return record;
  }
  return nullptr;
}

DeviceChannels::Record DeviceChannels::FindRelid(uint32_t relid) const {
  for (const Record& record : records_) {
    if (record->offer.relid == relid) return record;
  }
  return nullptr;
}

void DeviceChannels::Remove(const Record& record) {
  assert(record->channel == nullptr && record != records_.front());
  records_.erase(std::remove(records_.begin(), records_.end(), record), records_.end());
}

uint32_t DeviceChannels::subchannel_count() const {
  return static_cast<uint32_t>(std::count_if(records_.begin() + 1, records_.end(),
                                             [](const Record& r) { return !r->rescinded; }));
}

absl::Status DeviceChannels::CheckOpenable(uint16_t index, const Record& record) const {
  if (!refused_.ok()) return refused_;
  if (record == nullptr) {
    return absl::NotFoundError(absl::StrCat(name_, ": sub-channel ", index, " is not offered, ",
                                            subchannel_count(), " are"));
  }
  if (record->state != State::kOffered) {
    return absl::FailedPreconditionError(
        absl::StrCat(name_, ": channel ", index, " is open already"));
  }
  if (index != 0 && records_.front()->state != State::kOpen) {
    return absl::FailedPreconditionError(
        absl::StrCat(name_, ": sub-channel ", index, " wants its primary channel open"));
  }
  return absl::OkStatus();
}

void DeviceChannels::Place(DeviceChannel& record, DeviceSpeed speed) {
  if (record.cpu.has_value() && placement_.online(*record.cpu)) return;
  std::vector<uint32_t> used;
  for (const Record& other : records_) {
    if (other->state != State::kOffered && other->cpu.has_value()) used.push_back(*other->cpu);
  }
  record.cpu = placement_.Place(speed, record.offer.subchannel_index, used);
}

void DeviceChannels::Leave(DeviceChannel& record) {
  if (--record.users == 0) changed_.NotifyAll();
}

Task<absl::StatusOr<OpenedChannel>> DeviceChannels::Open(uint16_t index, DeviceSpeed speed,
                                                         OpenParameters parameters) {
  Record record = Find(index);
  if (absl::Status status = CheckOpenable(index, record); !status.ok()) co_return status;
  if (index != 0) Place(*record, speed);
  record->state = State::kOpening;
  ++record->users;
  parameters.relid = record->offer.relid;
  parameters.target_vp = record->cpu.value_or(0);
  if (parameters.channel.name.empty()) {
    parameters.channel.name = absl::StrCat(name_, " channel ", record->offer.relid);
  }
  absl::StatusOr<std::unique_ptr<Channel>> opened = co_await transport_.Open(std::move(parameters));
  if (!opened.ok()) {
    if (record->state == State::kOpening) record->state = State::kOffered;
    Leave(*record);
    co_return opened.status();
  }
  record->channel = *std::move(opened);
  // Who wants to close it meanwhile waits until it may be used, or finds it ended here.
  absl::Status refusal = refused_;
  if (refusal.ok() && record->rescinded) {
    refusal = absl::UnavailableError(absl::StrCat(name_, ": channel ", index, " was rescinded"));
  }
  if (refusal.ok() && record->state == State::kClosing) {
    refusal = absl::CancelledError(absl::StrCat(name_, ": channel ", index, " is being closed"));
  }
  if (record->state == State::kOpening) record->state = State::kOpen;
  Channel* const channel = record->channel.get();
  if (!refusal.ok()) {
    co_await SwitchTo(channel->executor());
    channel->Close(refusal);
    co_await SwitchTo(bus());
  } else {
    co_await ApplyCapture(record);
  }
  Leave(*record);
  if (!refusal.ok()) co_return refusal;
  co_return OpenedChannel{channel, std::move(record)};
}

Task<uint32_t> DeviceChannels::WaitForSubchannels(uint32_t count, Duration deadline) {
  const Instant end = bus().Now() + deadline;
  while (subchannel_count() < count && refused_.ok()) {
    const bool in_time = co_await changed_.Wait(end);
    if (!in_time) break;
  }
  co_return subchannel_count();
}

Task<absl::StatusOr<DeviceContext::SharedBuffer>> DeviceChannels::ShareBuffer(uint32_t byte_count) {
  if (!refused_.ok()) co_return refused_;
  const auto pages = static_cast<uint32_t>((uint64_t{byte_count} + kPageSize - 1) / kPageSize);
  if (pages == 0) co_return absl::InvalidArgumentError(name_ + ": a shared buffer has 0 bytes");
  absl::StatusOr<PageRun> run = transport_.pages().Allocate(pages);
  if (!run.ok()) co_return run.status();
  absl::StatusOr<std::span<std::byte>> bytes =
      transport_.memory().Translate(run->gpa(), size_t{pages} * kPageSize);
  if (!bytes.ok()) co_return bytes.status();
  ++sharing_;
  absl::StatusOr<Gpadl> gpadl =
      co_await transport_.CreateGpadl(records_.front()->offer.relid, *run);
  --sharing_;
  changed_.NotifyAll();
  if (!gpadl.ok()) {
    // Without an answer the host may have taken the pages.
    if (absl::IsDeadlineExceeded(gpadl.status())) transport_.Quarantine(*std::move(run));
    co_return gpadl.status();
  }
  buffers_.push_back({*gpadl, *std::move(run)});
  co_return DeviceContext::SharedBuffer{*gpadl, bytes->first(byte_count)};
}

void DeviceChannels::Refuse(const absl::Status& reason) {
  if (refused_.ok()) refused_ = reason;
  changed_.NotifyAll();
}

Task<void> DeviceChannels::End(Record record, absl::Status reason) {
  if (record->state != State::kOpen) co_return;
  ++record->users;
  co_await SwitchTo(record->channel->executor());
  record->channel->Close(reason);
  co_await SwitchTo(bus());
  Leave(*record);
}

Task<void> DeviceChannels::EndAll() {
  const std::vector<Record> records = records_;
  for (const Record& record : records) co_await End(record, refused_);
}

Task<absl::Status> DeviceChannels::Close(Record record) {
  while (record->state == State::kClosing) co_await changed_.Wait();
  if (record->state == State::kOffered) co_return absl::OkStatus();
  record->state = State::kClosing;
  while (record->users != 0) co_await changed_.Wait();
  absl::Status status;
  if (record->channel != nullptr) {
    co_await SwitchTo(record->channel->executor());
    record->channel->Close(absl::CancelledError("the driver closed it"));
    record->channel->SetTap(nullptr);
    record->tap.reset();
    co_await SwitchTo(bus());
    record->capture = nullptr;
    status = co_await transport_.Close(std::move(record->channel));
  }
  record->state = State::kOffered;
  changed_.NotifyAll();
  co_return status;
}

Task<absl::Status> DeviceChannels::TearDownBuffers() {
  absl::Status first;
  while (!buffers_.empty()) {
    Buffer buffer = std::move(buffers_.back());
    buffers_.pop_back();
    absl::Status status = co_await transport_.TearDownGpadl(buffer.gpadl);
    if (!status.ok()) transport_.Quarantine(std::move(buffer.pages));
    first.Update(status);
  }
  co_return first;
}

Task<absl::Status> DeviceChannels::CloseAll() {
  while (sharing_ != 0) co_await changed_.Wait();
  absl::Status first;
  // From a copy, backwards: records of rescinded sub-channels leave the list meanwhile.
  const std::vector<Record> records = records_;
  for (auto record = records.rbegin(); record != records.rend(); ++record) {
    const bool primary = (*record)->offer.subchannel_index == 0;
    if (primary && transport_.version() < kTearDownAfterClose) {
      absl::Status torn_down = co_await TearDownBuffers();
      first.Update(torn_down);
    }
    absl::Status closed = co_await Close(*record);
    first.Update(closed);
  }
  absl::Status torn_down = co_await TearDownBuffers();
  first.Update(torn_down);
  co_return first;
}

Task<absl::Status> DeviceChannels::Retarget(Record record, uint32_t cpu) {
  if (record->state != State::kOpen) {
    co_return absl::FailedPreconditionError(
        absl::StrCat(name_, ": channel ", record->offer.subchannel_index, " is not open"));
  }
  ++record->users;
  absl::Status status = co_await transport_.Retarget(record->offer.relid, cpu);
  if (status.ok()) record->cpu = cpu;
  Leave(*record);
  co_return status;
}

}  // namespace vmbuskit
