// A Hyper-V host in this process: a partition for one guest, the VMBus server behind it, and the devices on offer.
// Source: protocol 01 and 02.
//
//   EmbeddedHost host(memory, host_executor, {&cpu0, &cpu1}, EmbeddedHost::Options{});
//   absl::StatusOr<DeviceId> echo = host.AddDevice(kEchoVspClass, kEchoVspClass.default_instance_id);
//   Guest guest(host.partition());
//   host.RemoveDevice(*echo);                    // stops it, lets go of the guest's pages, rescinds
//   host.CrashGuest();                           // and shared_pages().total() is 0
//
// Thread safety: everything on the host executor (or before the executors run); partition() is the guest's, see
// platform/partition.h. VSPs run on the host executor and must not remove devices from inside a call.
// Lifetime: memory and executors outlive the host; what the guest connected is disconnected before.
// Errors: what the guest does wrong fails its call or its channel and is counted; see Inspect.
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_EMBEDDED_HOST_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_EMBEDDED_HOST_H_

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "framework/base/guid.h"
#include "framework/observe/inspect.h"
#include "platform/partition.h"
#include "transports/embedded_host/embedded_partition.h"
#include "transports/embedded_host/mapped_pages.h"
#include "transports/embedded_host/server.h"
#include "transports/embedded_host/vsp.h"
#include "transports/embedded_host/vsp_host.h"

namespace vmbuskit {

enum class DeviceId : uint32_t {};

// Stands between the server and the guest's message slots, for a host whose messages are late, out of order or lost.
class HostOutbox {
 public:
  virtual ~HostOutbox() = default;
  // A message for the guest: to be handed to EmbeddedHost::Deliver, now or later. Host executor.
  virtual void Take(MessageTarget target, std::span<const std::byte> message) = 0;
};

class EmbeddedHost final : private ServerActions, private GuestMessageHandler {
 public:
  struct Options {
    PartitionOptions partition;
    ServerOptions server;  // processors and guest pages are filled in
    // With more control messages than this waiting for the guest, it has to fetch some before the host takes
    // further ones from it.
    uint32_t unfetched_messages_max = 256;
    // Pieces of guest memory that are mapped at a time (mapped_pages.h); what needs more is refused.
    uint64_t mapped_pieces_max = 32 * 1024;
    HostOutbox* outbox = nullptr;  // null: every message goes to its slot at once
  };

  // `tsc` null: the executors' time at options.partition.tsc_hz.
  EmbeddedHost(GuestMemory& memory, Executor& host_executor,
               const std::vector<Executor*>& vp_executors, const Options& options,
               std::unique_ptr<TscSource> tsc = nullptr);
  ~EmbeddedHost() override;

  // What the guest sees.
  Partition& partition() { return partition_; }
  EmbeddedPartition& hypervisor() { return partition_; }
  const VmbusServer& server() const { return server_; }

  // Offers a device of `vsp_class`, at any time. AlreadyExists: same class and instance. The second form makes
  // the VSP with `create` instead of the class's function, for one that needs more than its context.
  // AlreadyExists too: it was removed, and its back ends are not done with the guest's memory yet.
  absl::StatusOr<DeviceId> AddDevice(const VspClass& vsp_class, const Guid& instance_id);
  absl::StatusOr<DeviceId> AddDevice(const VspClass& vsp_class, const Guid& instance_id,
                                     VspHost::Factory create);
  // NotFound: no such device. One whose back ends still use the guest's memory is rescinded when they do not.
  absl::Status RemoveDevice(DeviceId id);
  // Removed devices that are not rescinded yet.
  size_t devices_leaving() const { return leaving_.size(); }
  // Null when there is no such device.
  Vsp* FindVsp(DeviceId id);

  // The guest is gone without a word: channels close, pages are its RAM again, registers are reset. The devices
  // stay and are offered to the next guest. Also what the RESET register leads to.
  void CrashGuest();

  // ---- Save and restore (protocol 02 section 11): the guest goes on as if only time had jumped. Between two turns of
  // the host executor and with the processors not running, as a hypervisor stops them: at any turn of a simulation.
  //
  // Everything of the host: registers, SynIC, messages under way, connection, channels, GPADLs, what the VSPs save.
  // Not in it: guest memory with rings and pages, the guest's interrupt handlers (its IDT), what an outbox holds, and
  // the machine (executors, options, TSC, back ends). FailedPrecondition from inside of a call to the host or a VSP.
  absl::StatusOr<std::vector<std::byte>> Save();
  // Drops everything that Save saves, VSPs included (pointers of FindVsp are void then), and rebuilds it from the bytes
  // alone. On this host or another one over the same memory, with as many processors and the same devices added; then
  // the guest's handlers have to be connected to its partition(). The channels of a device that is missing here are
  // rescinded; one that was not there at the save is offered. VSPs that the embedder made itself stay, see vsp.h.
  // DataLoss and the like for bytes that no Save wrote or that do not fit this host: without a valid checksum nothing
  // changes, else the host is as after CrashGuest.
  absl::Status Restore(std::span<const std::byte> bytes);

  // Puts a message into its slot, now or in its turn, past the outbox.
  void Deliver(MessageTarget target, std::span<const std::byte> message);

  // Guest memory in the host's hands, in pages; all zero when a guest unloaded and switched its SynIC off.
  struct SharedPages {
    uint64_t overlays_and_monitors = 0;
    uint64_t gpadls = 0;  // announced, accepted or not yet torn down
    uint64_t mapped = 0;  // by rings and devices, each as often as it is shown

    uint64_t total() const { return overlays_and_monitors + gpadls + mapped; }
  };
  SharedPages shared_pages() const;

  void Inspect(InspectNode& node);

 private:
  // GuestMessageHandler.
  bool OnGuestMessage(uint32_t connection_id, std::span<const std::byte> payload) override;

  // ServerActions.
  void PostMessage(MessageTarget target, std::span<const std::byte> message) override;
  void SetUpConnection(const ConnectionSetup& setup) override;
  void TearDownConnection() override { partition_.monitor_pages().Unmap(); }
  void OpenChannel(ChannelId id, const OpenRequest& request) override;
  void CloseChannel(ChannelId id) override;
  void CreateGpadl(ChannelId id, const GpadlInfo& gpadl) override;
  void TearDownGpadl(ChannelId id, uint32_t handle) override;
  void Retarget(ChannelId id, uint32_t vp) override;

  void FinishRemovals();
  absl::StatusOr<DeviceId> Add(const VspClass& vsp_class, const Guid& instance_id,
                               absl::FunctionRef<absl::Status(VspHost&)> start);
  VspHost* Route(ChannelId id);

  // embedded_host_state.cc
  bool at_rest() const;
  absl::Status DropAll();
  absl::Status Load(StateReader& reader);
  absl::Status LoadDevices(StateReader& reader);
  absl::Status ReconcileDevices();
  bool Adopt(ChannelId id, const ServerChannel& channel);

  const uint32_t unfetched_messages_max_;
  HostOutbox* const outbox_;
  EmbeddedPartition partition_;
  MappedPages mapped_;
  VmbusServer server_;
  std::map<ChannelId, VspHost*> routes_;
  std::map<DeviceId, std::unique_ptr<VspHost>> devices_;
  std::vector<std::unique_ptr<VspHost>> leaving_;  // removed, with back ends at work
  uint32_t next_device_ = 1;
  Event reset_;
  Event shut_down_;
  uint64_t guest_resets_ = 0;
  uint64_t messages_lost_ = 0;  // to the guest: its queue was full
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_EMBEDDED_HOST_H_
