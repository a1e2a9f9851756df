#include "transports/embedded_host/embedded_host.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "framework/base/status.h"
#include "framework/base/string_view.h"

namespace vmbuskit {
namespace {

ServerOptions WithPartition(ServerOptions options, uint32_t vp_count, uint64_t page_count) {
  options.vp_count = vp_count;
  options.guest_page_count = page_count;
  return options;
}

}  // namespace

EmbeddedHost::EmbeddedHost(GuestMemory& memory, Executor& host_executor,
                           const std::vector<Executor*>& vp_executors, const Options& options,
                           std::unique_ptr<TscSource> tsc)
    : unfetched_messages_max_(options.unfetched_messages_max),
      outbox_(options.outbox),
      partition_(memory, host_executor, vp_executors, options.partition, std::move(tsc)),
      mapped_(options.mapped_pieces_max),
      server_(WithPartition(options.server, partition_.vp_count(), memory.page_count()), *this),
      reset_(host_executor, Callback::To<&EmbeddedHost::CrashGuest>(this)),
      shut_down_(host_executor, Callback::To<&EmbeddedHost::FinishRemovals>(this)) {
  // Fresh ids: nothing can be there before.
  (void)partition_.AddMessagePort(kMessageConnectionLegacy, this);
  (void)partition_.AddMessagePort(kMessageConnection, this);
  partition_.SetNotifications({.reset = &reset_});
}

EmbeddedHost::~EmbeddedHost() {
  partition_.RemoveMessagePort(kMessageConnectionLegacy);
  partition_.RemoveMessagePort(kMessageConnection);
  CrashGuest();
  for (auto& device : leaving_) device->Shutdown(/*by_force=*/true);
  for (auto& [id, device] : devices_) device->Shutdown(/*by_force=*/true);
}

absl::StatusOr<DeviceId> EmbeddedHost::AddDevice(const VspClass& vsp_class,
                                                 const Guid& instance_id) {
  if (vsp_class.create == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("class ", ToAbsl(vsp_class.name), ": has no create function"));
  }
  return Add(vsp_class, instance_id, [](VspHost& device) { return device.Start(); });
}

absl::StatusOr<DeviceId> EmbeddedHost::AddDevice(const VspClass& vsp_class, const Guid& instance_id,
                                                 VspHost::Factory create) {
  return Add(vsp_class, instance_id, [&](VspHost& device) { return device.Start(create); });
}

absl::StatusOr<DeviceId> EmbeddedHost::Add(const VspClass& vsp_class, const Guid& instance_id,
                                           absl::FunctionRef<absl::Status(VspHost&)> start) {
  auto device = std::make_unique<VspHost>(
      vsp_class, instance_id, VspHostServices{partition_, server_, mapped_, routes_, shut_down_});
  VMBUSKIT_RETURN_IF_ERROR(start(*device));
  const DeviceId id{next_device_++};
  devices_[id] = std::move(device);
  return id;
}

absl::Status EmbeddedHost::RemoveDevice(DeviceId id) {
  const auto found = devices_.find(id);
  if (found == devices_.end()) {
    return absl::NotFoundError(absl::StrCat("device ", static_cast<uint32_t>(id), ": unknown"));
  }
  if (!found->second->Shutdown()) leaving_.push_back(std::move(found->second));
  devices_.erase(found);
  return absl::OkStatus();
}

void EmbeddedHost::FinishRemovals() {
  std::erase_if(leaving_, [](const auto& device) { return device->Shutdown(); });
}

Vsp* EmbeddedHost::FindVsp(DeviceId id) {
  const auto found = devices_.find(id);
  return found == devices_.end() ? nullptr : &found->second->vsp();
}

void EmbeddedHost::CrashGuest() {
  ++guest_resets_;
  server_.Reset();
  partition_.Reset();
}

EmbeddedHost::SharedPages EmbeddedHost::shared_pages() const {
  SharedPages pages{.overlays_and_monitors = partition_.shared_pages(), .mapped = mapped_.pages()};
  for (const auto& [key, entry] : server_.gpadls().all()) {
    if (entry.pages != nullptr) pages.gpadls += entry.pages->pfns.size();
  }
  return pages;
}

bool EmbeddedHost::OnGuestMessage(uint32_t connection_id, std::span<const std::byte> payload) {
  const MessageTarget target = server_.target();
  if (partition_.messages_waiting(target.vp, target.sint) > unfetched_messages_max_) return false;
  server_.HandleMessage(payload, connection_id);
  return true;
}

void EmbeddedHost::PostMessage(MessageTarget target, std::span<const std::byte> message) {
  if (outbox_ == nullptr) return Deliver(target, message);
  outbox_->Take(target, message);
}

void EmbeddedHost::Deliver(MessageTarget target, std::span<const std::byte> message) {
  if (!partition_.PostMessage(target.vp, target.sint, message)) ++messages_lost_;
}

void EmbeddedHost::SetUpConnection(const ConnectionSetup& setup) {
  MonitorPages& monitors = partition_.monitor_pages();
  if (setup.parent_to_child == 0 && setup.child_to_parent == 0) {
    monitors.Unmap();
    server_.OnConnectionSetUp(true);
    return;
  }
  server_.OnConnectionSetUp(monitors.Map(setup.parent_to_child, setup.child_to_parent).ok());
}

VspHost* EmbeddedHost::Route(ChannelId id) {
  const auto found = routes_.find(id);
  return found == routes_.end() ? nullptr : found->second;
}

void EmbeddedHost::OpenChannel(ChannelId id, const OpenRequest& request) {
  VspHost* const device = Route(id);
  const bool ok = device != nullptr && device->OpenChannel(id, request);
  server_.OnOpenCompleted(id, ok);
}

void EmbeddedHost::CloseChannel(ChannelId id) {
  VspHost* const device = Route(id);
  if (device == nullptr || device->CloseChannel(id)) server_.OnCloseCompleted(id);
}

void EmbeddedHost::CreateGpadl(ChannelId id, const GpadlInfo& gpadl) {
  server_.OnGpadlCreated(id, gpadl.handle, Route(id) != nullptr);
}

void EmbeddedHost::TearDownGpadl(ChannelId id, uint32_t handle) {
  if (VspHost* const device = Route(id)) device->TearDownGpadl(handle);
  server_.OnGpadlReleased(id, handle);
}

void EmbeddedHost::Retarget(ChannelId id, uint32_t vp) {
  VspHost* const device = Route(id);
  server_.OnRetargeted(id, device != nullptr && device->Retarget(id, vp));
}

void EmbeddedHost::Inspect(InspectNode& node) {
  const SharedPages pages = shared_pages();
  node.Set("shared_overlay_and_monitor_pages", pages.overlays_and_monitors);
  node.Set("shared_gpadl_pages", pages.gpadls);
  node.Set("mapped_pages", pages.mapped);
  node.Set("mapped_pieces", mapped_.pieces());
  node.Set("guest_resets", guest_resets_);
  node.Set("messages_lost", messages_lost_);
  node.Set("devices_leaving", leaving_.size());
  partition_.Inspect(node.Child("partition"));
  server_.Inspect(node.Child("server"));
  for (const auto& [id, device] : devices_) {
    device->Inspect(node.Child(absl::StrCat("device", static_cast<uint32_t>(id))));
  }
}

}  // namespace vmbuskit
