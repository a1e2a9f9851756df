#include "transports/embedded_host/synic.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "framework/base/status.h"
#include "transports/embedded_host/general_protection.h"

namespace vmbuskit {

Synic::Synic(GuestMemory& memory, PartitionGates& gates, Event& host_work,
             const PartitionOptions& options)
    : options_(options),
      gates_(gates),
      host_work_(host_work),
      interrupts_(gates),
      simp_(memory, options.overlay, &gates.host()),
      siefp_(memory, options.overlay, &gates.host()) {
  for (auto& sint : sints_) sint.store(kSintReset);
}

absl::StatusOr<uint64_t> Synic::Read(uint32_t reg) const {
  switch (reg) {
    case kRegScontrol:
      return scontrol_.load();
    case kRegSversion:
      return kSversionValue;
    case kRegSiefp:
      return siefp_word_.load();
    case kRegSimp:
      return simp_word_.load();
    case kRegEom:
      return 0;
    default:
      return sints_[reg - kRegSint0].load();
  }
}

absl::Status Synic::Write(uint32_t reg, uint64_t value) {
  switch (reg) {
    case kRegScontrol:
      scontrol_.store(value);
      break;
    case kRegSversion:
      return GeneralProtection(reg, value, "read-only");
    case kRegSiefp:
      VMBUSKIT_RETURN_IF_ERROR(WritePage(reg, value, siefp_word_, siefp_));
      break;
    case kRegSimp:
      VMBUSKIT_RETURN_IF_ERROR(WritePage(reg, value, simp_word_, simp_));
      break;
    case kRegEom:
      break;
    default:
      sints_[reg - kRegSint0].store(value);
      break;
  }
  // Each of them can make a waiting message deliverable.
  host_work_.Signal();
  return absl::OkStatus();
}

absl::Status Synic::WritePage(uint32_t reg, uint64_t value, std::atomic<uint64_t>& word,
                              OverlayPage& page) {
  std::lock_guard lock(pages_mutex_);
  if ((value & kPageRegisterEnable) == 0) {
    page.Disable();
  } else if (!page.Enable(value & kPageRegisterPageMask).ok()) {
    return GeneralProtection(reg, value, "no such guest page");
  }
  word.store(value);
  return absl::OkStatus();
}

bool Synic::Open(uint32_t sint) const {
  return (scontrol_.load() & kScontrolEnable) != 0 && (sints_[sint].load() & kSintMasked) == 0;
}

void Synic::Interrupt(uint32_t sint) {
  const uint64_t value = sints_[sint].load();
  if ((value & (kSintMasked | kSintPolling)) != 0) return;
  interrupts_.Raise(static_cast<uint8_t>(value & kSintVectorMask));
}

bool Synic::Post(uint32_t sint, const OutgoingMessage& message) {
  std::deque<OutgoingMessage>& queue = queues_[sint];
  if (queue.size() >= options_.synic_queue_messages_max) {
    ++counters_.messages_dropped;
    return false;
  }
  queue.push_back(message);
  Pump(sint);
  return true;
}

void Synic::Pump(uint32_t sint) {
  std::deque<OutgoingMessage>& queue = queues_[sint];
  if (queue.empty()) return;
  if (!Open(sint)) {
    if (options_.masked_messages == MaskedMessages::kDrop) {
      counters_.messages_dropped += queue.size();
      queue.clear();
    }
    return;
  }
  AccessGate::Scope inside(gates_.host());
  auto* page = reinterpret_cast<SynicMessagePage*>(simp_.live());
  if (page == nullptr) return;
  MessageSlot slot(page->slot[sint]);
  while (!queue.empty()) {
    if (!slot.IsFree() && slot.MarkPending()) return;
    slot.Write(queue.front(), queue.size() > 1);
    queue.pop_front();
    ++counters_.messages_posted;
    Interrupt(sint);
  }
}

bool Synic::TryPostNow(uint32_t sint, const OutgoingMessage& message) {
  if (!Open(sint)) return false;
  AccessGate::Scope inside(gates_.host());
  auto* page = reinterpret_cast<SynicMessagePage*>(simp_.live());
  if (page == nullptr) return false;
  MessageSlot slot(page->slot[sint]);
  if (!queues_[sint].empty() || (!slot.IsFree() && slot.MarkPending())) return false;
  slot.Write(message, false);
  ++counters_.messages_posted;
  Interrupt(sint);
  return true;
}

bool Synic::SetFlag(std::byte* page, uint32_t sint, uint32_t flag) {
  uint64_t& word = reinterpret_cast<SynicEventFlagsPage*>(page)->flags[sint][flag / 64];
  const uint64_t bit = uint64_t{1} << flag % 64;
  return (std::atomic_ref(word).fetch_or(bit) & bit) == 0;
}

EventResult Synic::SetEventFlag(uint32_t sint, uint32_t flag) {
  AccessGate::Scope inside(gates_.host());
  std::byte* const page = siefp_.live();
  if (page == nullptr || !Open(sint)) {
    if (options_.masked_events == MaskedEvents::kLatch) {
      if (latched_[sint] == nullptr) latched_[sint] = std::make_unique<FlagSet>();
      latched_[sint]->set(flag);
      return EventResult::kLatched;
    }
    ++counters_.events_lost;
    return EventResult::kLost;
  }
  if (!SetFlag(page, sint, flag)) {
    ++counters_.events_merged;
    return EventResult::kMerged;
  }
  ++counters_.events_set;
  Interrupt(sint);
  return EventResult::kInterrupted;
}

void Synic::RaiseLatched(uint32_t sint) {
  AccessGate::Scope inside(gates_.host());
  std::byte* const page = siefp_.live();
  if (page == nullptr || !Open(sint)) return;
  bool interrupt = false;
  for (uint32_t flag = 0; flag < kEventFlagCount; ++flag) {
    if (!latched_[sint]->test(flag)) continue;
    const bool was_clear = SetFlag(page, sint, flag);
    ++(was_clear ? counters_.events_set : counters_.events_merged);
    interrupt |= was_clear;
  }
  latched_[sint].reset();
  if (interrupt) Interrupt(sint);
}

void Synic::Retry() {
  for (uint32_t sint = 0; sint < kSintCount; ++sint) {
    Pump(sint);
    if (latched_[sint] != nullptr) RaiseLatched(sint);
  }
}

void Synic::Reset() {
  std::lock_guard lock(pages_mutex_);
  scontrol_.store(kScontrolEnable);
  for (auto& sint : sints_) sint.store(kSintReset);
  simp_.Reset();
  siefp_.Reset();
  simp_word_.store(0);
  siefp_word_.store(0);
  interrupts_.DisconnectAll();
  for (auto& queue : queues_) queue.clear();
  for (auto& latched : latched_) latched.reset();
}

void Synic::Inspect(InspectNode& node) const {
  node.Set("enabled", (scontrol_.load() & kScontrolEnable) != 0);
  node.Set("simp", simp_word_.load());
  node.Set("siefp", siefp_word_.load());
  node.Set("messages_posted", counters_.messages_posted);
  node.Set("messages_dropped", counters_.messages_dropped);
  node.Set("events_set", counters_.events_set);
  node.Set("events_merged", counters_.events_merged);
  node.Set("events_lost", counters_.events_lost);
  node.Set("interrupts_raised", interrupts_.raised());
  node.Set("interrupts_spurious", interrupts_.spurious());
  for (uint32_t sint = 0; sint < kSintCount; ++sint) {
    const uint64_t value = sints_[sint].load();
    if (value == kSintReset && queues_[sint].empty()) continue;
    InspectNode& child = node.Child("sint" + std::to_string(sint));
    child.Set("vector", value & kSintVectorMask);
    child.Set("masked", (value & kSintMasked) != 0);
    child.Set("queued", uint64_t{queues_[sint].size()});
  }
}

}  // namespace vmbuskit
