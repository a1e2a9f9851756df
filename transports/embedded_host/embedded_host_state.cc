// Save and restore of the host.
#include <algorithm>
#include <utility>

#include "framework/base/saved_state.h"
#include "framework/base/status.h"
#include "transports/embedded_host/embedded_host.h"

namespace vmbuskit {
namespace {

constexpr uint64_t kMagic = 0x65746174536B6D76;  // "vmkState"
// Another one with every change of what is written, by the VSPs as well: a state of another layout has to be refused
// before anything is dropped for it.
constexpr uint32_t kFormat = 2;

// In front of everything; the machine must have the same processors and pages.
struct Header {
  uint64_t magic = kMagic;
  uint32_t format = kFormat;
  uint32_t processors = 0;
  uint64_t pages = 0;
  uint64_t checksum = 0;  // of what follows

  template <typename Archive>
  void Exchange(Archive& archive) {
    archive(magic);
    archive(format);
    archive(processors);
    archive(pages);
    archive(checksum);
  }
};

// FNV-1a: finds accidents. Against malice every field is checked.
uint64_t Checksum(std::span<const std::byte> bytes) {
  uint64_t sum = 0xCBF29CE484222325;
  for (const std::byte byte : bytes) sum = (sum ^ std::to_integer<uint8_t>(byte)) * 0x100000001B3;
  return sum;
}

absl::Status InsideACall() {
  return absl::FailedPreconditionError("host: saved or restored from inside of a call to it");
}

}  // namespace

bool EmbeddedHost::at_rest() const {
  return server_.at_rest() &&
         std::ranges::all_of(devices_, [](const auto& device) { return device.second->at_rest(); });
}

absl::StatusOr<std::vector<std::byte>> EmbeddedHost::Save() {
  if (!at_rest()) return InsideACall();
  StateWriter body;
  body(partition_);
  body(server_);
  body(guest_resets_);
  body(messages_lost_);
  body(reset_.pending());
  body.Count("devices", devices_.size(), kRelidMax);
  for (auto& [id, device] : devices_) {
    body(device->class_id());
    body(device->instance_id());
    StateWriter of_device;
    VMBUSKIT_RETURN_IF_ERROR(device->Save(of_device));
    body.Bytes(std::move(of_device).Take());
  }
  const std::vector<std::byte> bytes = std::move(body).Take();
  Header header{.processors = partition_.vp_count(),
                .pages = partition_.memory().page_count(),
                .checksum = Checksum(bytes)};
  StateWriter all;
  all(header);
  all.Bytes(bytes);
  return std::move(all).Take();
}

absl::Status EmbeddedHost::Restore(std::span<const std::byte> bytes) {
  StateReader outer(bytes);
  Header header;
  outer(header);
  const std::span<const std::byte> body = outer.Bytes();
  if (header.magic != kMagic) outer.Fail("magic", header.magic, "not a saved state");
  if (header.format != kFormat) outer.Fail("format", header.format, "another version's");
  if (header.processors != partition_.vp_count()) {
    outer.Fail("processors", header.processors, "another number here");
  }
  if (header.pages != partition_.memory().page_count()) {
    outer.Fail("guest pages", header.pages, "another number here");
  }
  if (header.checksum != Checksum(body)) outer.Fail("checksum", header.checksum, "not of the body");
  VMBUSKIT_RETURN_IF_ERROR(outer.Finish());
  if (!at_rest()) return InsideACall();

  absl::Status status = DropAll();
  StateReader reader(body);
  if (status.ok()) status = Load(reader);
  if (status.ok()) return status;
  (void)DropAll();
  partition_.Reset();
  ++guest_resets_;
  shut_down_.Signal();
  std::erase_if(devices_, [](const auto& device) { return !device.second->made(); });
  for (auto& [id, device] : devices_) status.Update(device->OfferAnew());
  return status;
}

absl::Status EmbeddedHost::DropAll() {
  absl::Status status;
  reset_.Cancel();
  shut_down_.Cancel();
  // What back ends are at work on, they are after a restore as well.
  std::erase_if(leaving_, [](const auto& device) {
    const bool holds = device->holds();
    (void)device->Drop();
    return !holds;
  });
  for (auto& [id, device] : devices_) status.Update(device->Drop());
  routes_.clear();
  server_.Clear();
  return status;
}

absl::Status EmbeddedHost::Load(StateReader& reader) {
  bool reset_pending = false;
  reader(partition_);
  reader(server_);
  reader(guest_resets_);
  reader(messages_lost_);
  reader(reset_pending);
  VMBUSKIT_RETURN_IF_ERROR(reader.status());
  VMBUSKIT_RETURN_IF_ERROR(LoadDevices(reader));
  VMBUSKIT_RETURN_IF_ERROR(reader.Finish());
  VMBUSKIT_RETURN_IF_ERROR(ReconcileDevices());
  server_.Resume();
  if (reset_pending) reset_.Signal();
  return absl::OkStatus();
}

absl::Status EmbeddedHost::LoadDevices(StateReader& reader) {
  const size_t count = reader.Count("devices", 0, kRelidMax);
  for (size_t i = 0; i < count && reader.ok(); ++i) {
    Guid class_id;
    Guid instance_id;
    reader(class_id);
    reader(instance_id);
    StateReader of_device(reader.Bytes());
    for (auto& [id, device] : devices_) {
      if (!device->IsOf(class_id, instance_id)) continue;
      if (device->offered()) return Violation("saved state", "device", i, "there already");
      VMBUSKIT_RETURN_IF_ERROR(device->Restore(of_device));
    }
  }
  return reader.status();
}

// By the device that is on its way out still.
bool EmbeddedHost::Adopt(ChannelId id, const ServerChannel& channel) {
  const auto found = std::ranges::find_if(leaving_, [&](const auto& device) {
    return device->IsOf(channel.offer.class_id, channel.offer.instance_id);
  });
  return found != leaving_.end() && (*found)->Adopt(id, channel);
}

// The devices of this machine and those of the saved state need not be the same.
absl::Status EmbeddedHost::ReconcileDevices() {
  std::vector<ChannelId> missing;
  for (const bool primary : {true, false}) {
    for (const auto& [id, channel] : server_.channels().all()) {
      if (primary != (channel.offer.subchannel_index == 0)) continue;
      if (!channel.IsRevoked() && !routes_.contains(id) && !Adopt(id, channel)) {
        missing.push_back(id);
      }
    }
  }
  shut_down_.Signal();
  // One that went with its primary is not found any more.
  for (const ChannelId id : missing) (void)server_.Revoke(id);
  for (auto& [id, device] : devices_) {
    if (!device->offered()) VMBUSKIT_RETURN_IF_ERROR(device->OfferAnew());
  }
  return absl::OkStatus();
}

}  // namespace vmbuskit
