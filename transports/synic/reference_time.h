// Hypervisor reference time as a guest reads it: 100 ns ticks since the partition was made, from the reference TSC
// page without leaving the guest, or from the TIME_REF_COUNT register when the page says that it is not valid.
// Source: protocol 01 section 5.
//
//   ReferenceTime time(partition);
//   VMBUSKIT_RETURN_IF_ERROR(time.Enable(pages));       // without it the register is used
//   absl::StatusOr<uint64_t> ticks = time.Now(vp);
//
// Thread safety: Enable and Disable on one executor while nobody reads; Now from the executor of `vp`.
// Ownership: holds its page until Disable; `partition` outlives it. The page is the host's to write: what it holds is
// read once and may be any nonsense, which gives a nonsensical time and nothing worse.
// Errors: of the partition's registers, and of the allocator.
#ifndef VMBUSKIT_TRANSPORTS_SYNIC_REFERENCE_TIME_H_
#define VMBUSKIT_TRANSPORTS_SYNIC_REFERENCE_TIME_H_

#include <cstdint>
#include <optional>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "platform/memory.h"
#include "platform/partition.h"
#include "transports/protocol/hypervisor.h"

namespace vmbuskit {

// One reading of the page; `read_tsc` is called between the two looks at the sequence. Nullopt when the page is not
// valid (sequence 0; 0xFFFFFFFF is a sequence like any other) or was being written at every one of several tries.
std::optional<uint64_t> ReadReferenceTscPage(ReferenceTscPage& page,
                                             absl::FunctionRef<uint64_t()> read_tsc);

class ReferenceTime {
 public:
  explicit ReferenceTime(Partition& partition) : partition_(partition) {}
  ~ReferenceTime() { Disable(); }
  ReferenceTime(const ReferenceTime&) = delete;
  ReferenceTime& operator=(const ReferenceTime&) = delete;

  // Lays the TSC page over a page of `pages`. Reserved bits of the register are kept as found.
  absl::Status Enable(PageAllocator& pages);
  // The page goes back; if the hypervisor does not let go of it, it is leaked.
  void Disable();

  absl::StatusOr<uint64_t> Now(uint32_t vp);

  // How often Now had to ask the register.
  uint64_t register_reads() const { return register_reads_; }

 private:
  Partition& partition_;
  PageRun run_;
  ReferenceTscPage* page_ = nullptr;
  uint64_t register_reads_ = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_SYNIC_REFERENCE_TIME_H_
