#include "transports/embedded_host/embedded_partition.h"

#include <string>
#include <utility>

#include "framework/base/status.h"

namespace vmbuskit {
namespace {

constexpr int kInboxBudget = 64;  // messages per turn of the host executor

std::unique_ptr<TscSource> SourceOrDefault(std::unique_ptr<TscSource> source, uint64_t hz) {
  if (source != nullptr) return source;
  return std::make_unique<ExecutorTscSource>(hz);
}

}  // namespace

EmbeddedPartition::EmbeddedPartition(GuestMemory& memory, Executor& host_executor,
                                     const std::vector<Executor*>& vp_executors,
                                     const PartitionOptions& options,
                                     std::unique_ptr<TscSource> tsc)
    : options_(options),
      cpuid_{.vp_count = static_cast<uint32_t>(vp_executors.size()),
             .direct_timers = options.direct_timers,
             .extended_hypercalls = options.extended_hypercalls},
      memory_(memory),
      host_executor_(host_executor),
      gates_(static_cast<uint32_t>(vp_executors.size())),
      clock_(SourceOrDefault(std::move(tsc), options.tsc_hz), host_executor, options.invariant_tsc),
      partition_registers_(memory, clock_, options_),
      registers_(partition_registers_, vps_, gates_, clock_, cpuid_),
      ports_(gates_),
      inbox_(options.inbox_messages_max),
      inbox_wake_(host_executor, Callback::To<&EmbeddedPartition::OnInbox>(this)),
      hypercalls_({memory, gates_, vps_, registers_, ports_, inbox_, inbox_wake_}, options_),
      monitor_pages_(memory, host_executor,
                     {.busy = options.monitor_period, .idle = options.monitor_idle_period}),
      throttle_(options.throttle) {
  for (uint32_t vp = 0; vp < vp_executors.size(); ++vp) {
    vps_.push_back(std::make_unique<VirtualProcessor>(
        vp, *vp_executors[vp], host_executor, gates_, memory, clock_, options_,
        Callback::To<&EmbeddedPartition::OnSlotsMoved>(this)));
  }
}

EmbeddedPartition::~EmbeddedPartition() = default;

CpuidResult EmbeddedPartition::Cpuid(uint32_t vp, uint32_t leaf) {
  return vp < vp_count() ? EmulateCpuid(cpuid_, leaf) : CpuidResult{};
}

absl::StatusOr<uint64_t> EmbeddedPartition::ReadRegister(uint32_t vp, uint32_t reg) {
  return registers_.Read(vp, reg);
}

absl::Status EmbeddedPartition::WriteRegister(uint32_t vp, uint32_t reg, uint64_t value) {
  return registers_.Write(vp, reg, value);
}

uint64_t EmbeddedPartition::Hypercall(uint32_t vp, uint64_t control, uint64_t input,
                                      uint64_t output) {
  if (vp >= vp_count() || !partition_registers_.hypercalls_enabled()) return kHypercallUndefined;
  return hypercalls_.Call(vp, control, input, output);
}

void EmbeddedPartition::ConnectInterrupt(uint32_t vp, uint8_t vector, Event* handler) {
  if (vp < vp_count()) vps_[vp]->synic().interrupts().Connect(vector, handler);
}

uint64_t EmbeddedPartition::ReadTsc(uint32_t vp) {
  return vp < vp_count() ? clock_.ReadTsc(vps_[vp]->executor()) : 0;
}

bool EmbeddedPartition::PostMessage(uint32_t vp, uint32_t sint,
                                    std::span<const std::byte> payload) {
  if (vp >= vp_count() || sint >= kSintCount || payload.size() > kMessagePayloadMax) return false;
  return vps_[vp]->synic().Post(sint, OutgoingMessage(kMessageTypeVmbus, payload));
}

size_t EmbeddedPartition::messages_waiting(uint32_t vp, uint32_t sint) const {
  return vp < vps_.size() && sint < kSintCount ? vps_[vp]->synic().queued(sint) : 0;
}

EventResult EmbeddedPartition::SetEventFlag(uint32_t vp, uint32_t sint, uint32_t flag) {
  if (vp >= vp_count() || sint >= kSintCount || flag >= kEventFlagCount) return EventResult::kLost;
  return vps_[vp]->synic().SetEventFlag(sint, flag);
}

void EmbeddedPartition::RaiseInterrupt(uint32_t vp, uint8_t vector) {
  if (vp >= vp_count()) return;
  AccessGate::Scope inside(gates_.host());
  vps_[vp]->synic().interrupts().Raise(vector);
}

absl::Status EmbeddedPartition::AddMessagePort(uint32_t connection_id,
                                               GuestMessageHandler* handler) {
  VMBUSKIT_RETURN_IF_ERROR(ports_.AddMessagePort(connection_id));
  message_handlers_[connection_id] = handler;
  return absl::OkStatus();
}

void EmbeddedPartition::RemoveMessagePort(uint32_t connection_id) {
  if (message_handlers_.erase(connection_id) != 0) ports_.Remove(connection_id);
}

absl::Status EmbeddedPartition::AddEventPort(uint32_t connection_id, Event* target) {
  return ports_.AddEventPort(connection_id, target);
}

void EmbeddedPartition::OnInbox() {
  for (int i = 0; i < kInboxBudget; ++i) {
    const PostedMessage* message = inbox_.Front();
    if (message == nullptr) return;
    // A port that went after the guest posted: nobody waits for the message any more.
    const auto handler = message_handlers_.find(message->connection_id);
    if (handler != message_handlers_.end() &&
        !handler->second->OnGuestMessage(message->connection_id, message->payload())) {
      ++messages_refused_;
      inbox_held_ = true;
      return;
    }
    ++messages_taken_;
    inbox_.Pop();
  }
  inbox_wake_.Signal();
}

void EmbeddedPartition::OnSlotsMoved() {
  if (std::exchange(inbox_held_, false)) inbox_wake_.Signal();
}

void EmbeddedPartition::Migrate(uint64_t tsc_hz) {
  partition_registers_.Migrate(std::make_unique<ExecutorTscSource>(tsc_hz), host_executor_);
}

void EmbeddedPartition::Reset() {
  monitor_pages_.Unmap();
  for (auto& vp : vps_) vp->Reset();
  partition_registers_.Reset();
  while (inbox_.Front() != nullptr) inbox_.Pop();
}

uint64_t EmbeddedPartition::shared_pages() const {
  uint64_t pages = partition_registers_.pages() + monitor_pages_.pages();
  for (const auto& vp : vps_) pages += vp->pages();
  return pages;
}

void EmbeddedPartition::Inspect(InspectNode& node) {
  node.Set("vp_count", vp_count());
  node.Set("shared_pages", shared_pages());
  node.Set("ports", ports_.size());
  node.Set("messages_taken", messages_taken_);
  node.Set("messages_refused", messages_refused_);
  node.Set("reference_time", ReferenceTime());
  partition_registers_.Inspect(node.Child("registers"));
  monitor_pages_.Inspect(node.Child("monitor_pages"));
  throttle_.Inspect(node.Child("throttle"));
  for (const auto& vp : vps_) vp->Inspect(node.Child("vp" + std::to_string(vp->index())));
}

}  // namespace vmbuskit
