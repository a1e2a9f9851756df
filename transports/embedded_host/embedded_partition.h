// A partition in this process: the Partition that a guest sees, and the hypervisor's services for the host behind it.
// Source: protocol 01.
//
//   EmbeddedPartition partition(memory, host_executor, {&cpu0, &cpu1}, PartitionOptions{});
//   Guest guest(partition);                                              // through platform/partition.h
//   partition.AddMessagePort(kMessageConnection, &server);               // host
//   partition.PostMessage(/*vp=*/0, kVmbusSint, reply);
//   partition.AddEventPort(connection_id, &channel_signal);
//
// Thread safety: the Partition interface as platform/partition.h says; everything else on the host executor. Where
// the sides meet there is no lock on a data path: ports, handlers and pages are unpublished first, and whoever still
// uses them is waited for (platform/access_gate.h).
// Lifetime: made before its executors run or on the host executor, destroyed after they last ran.
// Errors: an access that raises #GP is InvalidArgument; hypercalls answer with their status.
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_EMBEDDED_PARTITION_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_EMBEDDED_PARTITION_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "framework/observe/inspect.h"
#include "platform/partition.h"
#include "transports/embedded_host/hypercalls.h"
#include "transports/embedded_host/message_inbox.h"
#include "transports/embedded_host/monitor_pages.h"
#include "transports/embedded_host/partition_gates.h"
#include "transports/embedded_host/partition_options.h"
#include "transports/embedded_host/partition_registers.h"
#include "transports/embedded_host/port_table.h"
#include "transports/embedded_host/reference_clock.h"
#include "transports/embedded_host/register_file.h"
#include "transports/embedded_host/throttle.h"
#include "transports/embedded_host/virtual_processor.h"

namespace vmbuskit {

// Takes what the guest posts to a message port.
class GuestMessageHandler {
 public:
  virtual ~GuestMessageHandler() = default;
  // False: not now. The message stays first in line and the guest's later posts wait behind it, until the bounded
  // inbox is full and they get INSUFFICIENT_BUFFERS. It comes again when messages to the guest moved, or after
  // ResumeMessages.
  virtual bool OnGuestMessage(uint32_t connection_id, std::span<const std::byte> payload) = 0;
};

class EmbeddedPartition final : public Partition {
 public:
  // One executor per virtual processor. `tsc` null: the host executor's time at options.tsc_hz.
  EmbeddedPartition(GuestMemory& memory, Executor& host_executor,
                    const std::vector<Executor*>& vp_executors, const PartitionOptions& options,
                    std::unique_ptr<TscSource> tsc = nullptr);
  ~EmbeddedPartition() override;

  // ---- The guest's side.
  uint32_t vp_count() const override { return static_cast<uint32_t>(vps_.size()); }
  GuestMemory& memory() override { return memory_; }
  CpuidResult Cpuid(uint32_t vp, uint32_t leaf) override;
  absl::StatusOr<uint64_t> ReadRegister(uint32_t vp, uint32_t reg) override;
  absl::Status WriteRegister(uint32_t vp, uint32_t reg, uint64_t value) override;
  uint64_t Hypercall(uint32_t vp, uint64_t control, uint64_t input, uint64_t output) override;
  void ConnectInterrupt(uint32_t vp, uint8_t vector, Event* handler) override;
  uint64_t ReadTsc(uint32_t vp) override;

  // ---- The host's side.
  Executor& host_executor() { return host_executor_; }
  Executor& vp_executor(uint32_t vp) { return vps_[vp]->executor(); }

  // Puts a VMBus message into a slot, now or in its turn. False, and nothing happened, when there is no such
  // processor or SINT, or too many messages wait.
  [[nodiscard]] bool PostMessage(uint32_t vp, uint32_t sint, std::span<const std::byte> payload);
  size_t messages_waiting(uint32_t vp, uint32_t sint) const;
  // Sets an event flag and interrupts if it was clear. kLost also when there is no such processor, SINT or flag.
  EventResult SetEventFlag(uint32_t vp, uint32_t sint, uint32_t flag);
  // A device's own interrupt (MSI).
  void RaiseInterrupt(uint32_t vp, uint8_t vector);

  // What the guest posts to `connection_id` goes to `handler`, in order of arrival over all message ports.
  absl::Status AddMessagePort(uint32_t connection_id, GuestMessageHandler* handler);
  void RemoveMessagePort(uint32_t connection_id);
  void ResumeMessages() { inbox_wake_.Signal(); }
  // What the guest signals to `connection_id` goes to `target`, until RemoveEventPort returns.
  absl::Status AddEventPort(uint32_t connection_id, Event* target);
  void RemoveEventPort(uint32_t connection_id) { ports_.Remove(connection_id); }

  MonitorPages& monitor_pages() { return monitor_pages_; }
  SignalThrottle& throttle() { return throttle_; }
  uint64_t ReferenceTime() const { return clock_.Now(host_executor_); }
  // As if the partition moved to a machine whose TSC runs at `tsc_hz`.
  void Migrate(uint64_t tsc_hz);

  void SetNotifications(PartitionRegisters::Notifications notifications) {
    partition_registers_.SetNotifications(notifications);
  }
  std::optional<CrashReport> crash_report() { return partition_registers_.crash_report(); }

  // The guest is gone: every register is at its reset value, every page is the guest's RAM again, interrupt
  // handlers are forgotten and messages under way are dropped. Ports stay. Not from a message handler.
  void Reset();

  // Saves everything but handlers and event ports, or takes over what was saved; with StateWriter or StateReader. Host
  // executor, while no processor runs: between two turns of a simulation, or with the processors stopped. The guest's
  // interrupt handlers are its own (its IDT) and stay; so do message ports. After a failure: Reset.
  template <typename Archive>
  void Exchange(Archive& archive);

  // Guest pages that the hypervisor side can touch: overlays and monitor pages.
  uint64_t shared_pages() const;
  void Inspect(InspectNode& node);

 private:
  void OnInbox();
  void OnSlotsMoved();

  const PartitionOptions options_;
  const CpuidConfig cpuid_;
  GuestMemory& memory_;
  Executor& host_executor_;
  PartitionGates gates_;
  ReferenceClock clock_;
  PartitionRegisters partition_registers_;
  VirtualProcessors vps_;
  RegisterFile registers_;
  PortTable ports_;
  MessageInbox inbox_;
  Event inbox_wake_;
  std::map<uint32_t, GuestMessageHandler*> message_handlers_;
  bool inbox_held_ = false;  // a handler refused the first message
  Hypercalls hypercalls_;
  MonitorPages monitor_pages_;
  SignalThrottle throttle_;
  uint64_t messages_taken_ = 0;
  uint64_t messages_refused_ = 0;  // a handler said not now
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_EMBEDDED_PARTITION_H_
