// Save and restore of one virtual processor: SynIC, timers, registers.
#include "framework/base/saved_state.h"
#include "transports/embedded_host/virtual_processor.h"

namespace vmbuskit {

template <typename Archive>
void Synic::ExchangeQueue(Archive& archive, uint32_t sint) {
  std::deque<OutgoingMessage>& queue = queues_[sint];
  const size_t count =
      archive.Count("messages for a slot", queue.size(), options_.synic_queue_messages_max);
  if constexpr (Archive::kLoading) queue.clear();
  for (size_t i = 0; i < count; ++i) {
    if constexpr (Archive::kLoading) {
      uint32_t type = 0;
      archive(type);
      const std::span<const std::byte> payload = archive.Bytes();
      if (payload.size() > kMessagePayloadMax) archive.Fail("message bytes", payload.size(), "240");
      if (!archive.ok()) return;
      queue.emplace_back(type, payload);
    } else {
      archive(queue[i].type);
      archive.Bytes(std::span(queue[i].payload).first(queue[i].payload_size));
    }
  }
}

template <typename Archive>
void Synic::ExchangeLatched(Archive& archive, uint32_t sint) {
  bool latched = latched_[sint] != nullptr;
  archive(latched);
  if (!latched) return latched_[sint].reset();
  if (latched_[sint] == nullptr) latched_[sint] = std::make_unique<FlagSet>();
  FlagSet& flags = *latched_[sint];
  std::array<uint8_t, kEventFlagCount / 8> bytes{};
  for (uint32_t flag = 0; flag < kEventFlagCount; ++flag) {
    bytes[flag / 8] |= static_cast<uint8_t>(flags[flag] << flag % 8);
  }
  archive(bytes);
  for (uint32_t flag = 0; flag < kEventFlagCount; ++flag) {
    flags[flag] = (bytes[flag / 8] >> flag % 8 & 1) != 0;
  }
}

template <typename Archive>
void Synic::Exchange(Archive& archive) {
  archive(scontrol_);
  archive(simp_word_);
  archive(siefp_word_);
  for (auto& sint : sints_) archive(sint);
  archive(simp_);
  archive(siefp_);
  for (uint32_t sint = 0; sint < kSintCount; ++sint) {
    ExchangeQueue(archive, sint);
    ExchangeLatched(archive, sint);
  }
  for (uint64_t* counter :
       {&counters_.messages_posted, &counters_.messages_dropped, &counters_.events_set,
        &counters_.events_merged, &counters_.events_lost}) {
    archive(*counter);
  }
  archive(interrupts_);
}

template <typename Archive>
void SyntheticTimers::Exchange(Archive& archive) {
  std::lock_guard lock(mutex_);
  for (SyntheticTimer& timer : timers_) {
    archive(timer.config);
    archive(timer.count);
    archive(timer.due);
    archive(timer.running);
    archive(timer.message_waiting);
    archive(timer.message_expiration);
    archive(timer.expirations);
    if constexpr (Archive::kLoading) {
      if (timer.running && timer.count == 0) archive.Fail("timer count", 0, "of a running timer");
      if (!archive.ok()) timer.running = false;
      rearm_.Signal();
    }
  }
}

template <typename Archive>
void VirtualProcessor::Exchange(Archive& archive) {
  archive(synic_);
  archive(timers_);
  for (std::atomic<uint64_t>* counter :
       {&hypercalls_.calls, &hypercalls_.failed, &hypercalls_.messages, &hypercalls_.signals}) {
    archive(*counter);
  }
  archive(assist_);
  archive(assist_word_);
  archive(tpr_);
  if constexpr (Archive::kLoading) host_work_.Signal();
}

template void VirtualProcessor::Exchange(StateWriter& archive);
template void VirtualProcessor::Exchange(StateReader& archive);

}  // namespace vmbuskit
