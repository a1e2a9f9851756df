#include "transports/synic/synic_vp.h"

#include <atomic>
#include <bit>
#include <cstring>

#include "framework/base/status.h"

namespace vmbuskit {

SynicVp::SynicVp(Partition& partition, uint32_t vp, Executor& executor, Options options,
                 MessageHandler& handler)
    : partition_(partition),
      vp_(vp),
      executor_(executor),
      options_(options),
      handler_(handler),
      interrupt_(executor, Callback::To<&SynicVp::OnInterrupt>(this)) {}

SynicVp::~SynicVp() { Disable(); }

absl::Status SynicVp::Enable(PageAllocator& pages) {
  absl::StatusOr<uint64_t> index = partition_.ReadRegister(vp_, kRegVpIndex);
  if (!index.ok()) return index.status();
  vp_index_ = static_cast<uint32_t>(*index);
  // An earlier kernel may have left it open.
  VMBUSKIT_RETURN_IF_ERROR(MaskSint(true));
  absl::Status enabled = EnablePage(kRegSimp, message_page_, pages, message_bytes_);
  if (enabled.ok()) enabled = EnablePage(kRegSiefp, event_page_, pages, event_bytes_);
  if (enabled.ok()) {
    partition_.ConnectInterrupt(vp_, options_.vector, &interrupt_);
    enabled = MaskSint(false);
  }
  if (enabled.ok()) {
    absl::StatusOr<uint64_t> control = partition_.ReadRegister(vp_, kRegScontrol);
    enabled = control.ok() ? partition_.WriteRegister(vp_, kRegScontrol, *control | kScontrolEnable)
                           : control.status();
  }
  if (!enabled.ok()) Disable();
  return enabled;
}

absl::Status SynicVp::EnablePage(uint32_t reg, PageRun& page, PageAllocator& pages,
                                 std::byte*& bytes) {
  absl::StatusOr<PageRun> run = pages.Allocate(1);
  if (!run.ok()) return run.status();
  absl::StatusOr<uint64_t> old = partition_.ReadRegister(vp_, reg);
  if (!old.ok()) return old.status();
  absl::StatusOr<std::span<std::byte>> mapped =
      partition_.memory().Translate(run->gpa(), kPageSize);
  if (!mapped.ok()) return mapped.status();
  VMBUSKIT_RETURN_IF_ERROR(partition_.WriteRegister(
      vp_, reg, (*old & kPageRegisterReserved) | PageRegister(run->gpa())));
  page = *std::move(run);
  bytes = mapped->data();
  // Now, not before: what lay there under an earlier owner may come back with the overlay (section
  // 2.2).
  std::memset(bytes, 0, kPageSize);
  return absl::OkStatus();
}

absl::Status SynicVp::MaskSint(bool masked) {
  const uint32_t reg = kRegSint0 + options_.sint;
  absl::StatusOr<uint64_t> value = partition_.ReadRegister(vp_, reg);
  if (!value.ok()) return value.status();
  uint64_t sint = *value & ~(kSintVectorMask | kSintMasked | kSintAutoEoi | kSintPolling);
  sint |= options_.vector;
  if (masked) sint |= kSintMasked;
  if (options_.auto_eoi) sint |= kSintAutoEoi;
  return partition_.WriteRegister(vp_, reg, sint);
}

bool SynicVp::DisablePage(uint32_t reg) {
  absl::StatusOr<uint64_t> value = partition_.ReadRegister(vp_, reg);
  return value.ok() && partition_.WriteRegister(vp_, reg, *value & kPageRegisterReserved).ok();
}

void SynicVp::Disable() {
  if (!message_page_ && !event_page_) return;
  (void)MaskSint(true);
  const bool messages_off = !message_page_ || DisablePage(kRegSimp);
  const bool events_off = !event_page_ || DisablePage(kRegSiefp);
  absl::StatusOr<uint64_t> control = partition_.ReadRegister(vp_, kRegScontrol);
  if (control.ok()) {
    (void)partition_.WriteRegister(vp_, kRegScontrol, *control & ~kScontrolEnable);
  }
  partition_.ConnectInterrupt(vp_, options_.vector, nullptr);
  interrupt_.Cancel();
  message_bytes_ = nullptr;
  event_bytes_ = nullptr;
  // A page that the hypervisor still writes to must not become somebody else's RAM.
  if (messages_off) {
    message_page_.Reset();
  } else {
    message_page_.Leak();
  }
  if (events_off) {
    event_page_.Reset();
  } else {
    event_page_.Leak();
  }
}

void SynicVp::OnInterrupt() {
  ++counters_.interrupts;
  const bool flags = ScanFlags();
  const bool messages = DrainMessages();
  if (!flags && !messages) ++counters_.spurious;
}

bool SynicVp::ScanFlags() {
  if (event_bytes_ == nullptr) return false;
  auto& words = reinterpret_cast<SynicEventFlagsPage*>(event_bytes_)->flags[options_.sint];
  bool any = false;
  for (uint32_t i = 0; i < kEventFlagWords; ++i) {
    std::atomic_ref<uint64_t> word(words[i]);
    if (word.load(std::memory_order_relaxed) == 0) continue;
    any = true;
    // Cleared before the rings are looked at, so that a signal that comes meanwhile is a new one.
    uint64_t bits = word.exchange(0);
    if (i == 0) bits &= ~uint64_t{1};  // the legacy flag: "look at the interrupt page"
    for (; bits != 0; bits &= bits - 1) {
      const Callback target = targets_[i * 64 + static_cast<uint32_t>(std::countr_zero(bits))];
      if (target) {
        target();
      } else {
        ++counters_.unknown_flags;
      }
      if (event_bytes_ == nullptr) return true;  // a target shut us down
    }
  }
  return any;
}

bool SynicVp::TakeMessage(SynicMessage& copy) {
  if (message_bytes_ == nullptr) return false;
  SynicMessage& slot = reinterpret_cast<SynicMessagePage*>(message_bytes_)->slot[options_.sint];
  std::atomic_ref<uint32_t> type(slot.type);
  copy.type = type.load(std::memory_order_acquire);
  if (copy.type == kMessageTypeNone) return false;
  copy.payload_size = slot.payload_size;
  const size_t size = std::min<size_t>(copy.payload_size, kMessagePayloadMax);
  std::memcpy(copy.payload.data(), slot.payload.data(), size);
  // Compare-and-swap, for at a crash somebody else may have freed the slot already. The full
  // barrier orders it before the look at `flags`: without it both sides could miss each other, and
  // the next message would never come.
  uint32_t expected = copy.type;
  if (!type.compare_exchange_strong(expected, kMessageTypeNone)) return false;
  if ((std::atomic_ref(slot.flags).load() & kMessageFlagPending) != 0) {
    ++counters_.end_of_messages;
    (void)partition_.WriteRegister(vp_, kRegEom, 0);
  }
  return true;
}

bool SynicVp::DrainMessages() {
  SynicMessage copy;
  for (uint32_t taken = 0; taken < options_.message_budget; ++taken) {
    if (!TakeMessage(copy)) return taken != 0;
    OnMessage(copy);
  }
  interrupt_.Signal();  // there may be more; others first
  return true;
}

void SynicVp::OnMessage(const SynicMessage& message) {
  if (message.payload_size > kMessagePayloadMax) {
    ++counters_.bad_messages;
  } else if (message.type == kMessageTypeVmbus) {
    ++counters_.messages;
    handler_.OnVmbusMessage(vp_, std::span(message.payload).first(message.payload_size));
  } else if (message.type == kMessageTypeTimer &&
             message.payload_size >= sizeof(TimerMessagePayload)) {
    TimerMessagePayload timer;
    std::memcpy(&timer, message.payload.data(), sizeof timer);
    if (timer.timer_index < timer_targets_.size() && timer_targets_[timer.timer_index]) {
      timer_targets_[timer.timer_index]();
    } else {
      ++counters_.bad_messages;
    }
  } else {
    ++counters_.bad_messages;
  }
}

}  // namespace vmbuskit
