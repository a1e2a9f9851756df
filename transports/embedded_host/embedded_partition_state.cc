// Save and restore of a partition: its registers, processors, inbox, monitor pages and throttle.
#include "framework/base/saved_state.h"
#include "transports/embedded_host/embedded_partition.h"

namespace vmbuskit {

template <typename Archive>
void PartitionRegisters::Exchange(Archive& archive, const Executor& current) {
  std::lock_guard lock(mutex_);
  clock_.Exchange(archive, current);
  archive(guest_os_id_);
  archive(hypercall_word_);
  archive(tsc_word_);
  archive(hypercall_);
  archive(tsc_);
  archive(crash_parameters_);
  archive(crash_report_);
  if constexpr (Archive::kLoading) {
    hypercalls_enabled_.store(hypercall_.enabled(), std::memory_order_release);
    if (tsc_.enabled())
      clock_.Publish(tsc_.live());  // a new sequence: readers take the new numbers
  }
}

template <typename Archive>
void EmbeddedPartition::Exchange(Archive& archive) {
  uint32_t vps = vp_count();
  archive(vps);
  if constexpr (Archive::kLoading) {
    if (vps != vp_count()) return archive.Fail("processors", vps, "another number here");
  }
  partition_registers_.Exchange(archive, host_executor_);
  for (auto& vp : vps_) archive(*vp);
  archive(inbox_);
  archive(inbox_held_);
  archive(monitor_pages_);
  throttle_.Exchange(archive, host_executor_.Now());
  archive(messages_taken_);
  archive(messages_refused_);
  if constexpr (Archive::kLoading) inbox_wake_.Signal();
}

template void EmbeddedPartition::Exchange(StateWriter& archive);
template void EmbeddedPartition::Exchange(StateReader& archive);

}  // namespace vmbuskit
