#include "transports/synic/reference_time.h"

#include <atomic>
#include <span>
#include <utility>

#include "framework/base/status.h"

namespace vmbuskit {
namespace {

// A host writes three words per migration: more tries than this means that it never stops.
constexpr int kTriesMax = 16;

}  // namespace

std::optional<uint64_t> ReadReferenceTscPage(ReferenceTscPage& page,
                                             absl::FunctionRef<uint64_t()> read_tsc) {
  // Acquire loads: none of the later ones moves before an earlier one.
  for (int i = 0; i < kTriesMax; ++i) {
    const uint32_t sequence = std::atomic_ref(page.sequence).load(std::memory_order_acquire);
    if (sequence == 0) return std::nullopt;
    const uint64_t scale = std::atomic_ref(page.scale).load(std::memory_order_acquire);
    const int64_t offset = std::atomic_ref(page.offset).load(std::memory_order_acquire);
    const uint64_t tsc = read_tsc();
    if (std::atomic_ref(page.sequence).load(std::memory_order_acquire) == sequence) {
      return ReferenceTimeFromTsc(tsc, scale, offset);
    }
  }
  return std::nullopt;
}

absl::Status ReferenceTime::Enable(PageAllocator& pages) {
  const absl::StatusOr<uint64_t> before = partition_.ReadRegister(0, kRegReferenceTsc);
  if (!before.ok()) return before.status();
  absl::StatusOr<PageRun> run = pages.Allocate(1);
  if (!run.ok()) return run.status();
  absl::StatusOr<std::span<std::byte>> bytes = partition_.memory().Translate(run->gpa(), kPageSize);
  if (!bytes.ok()) return bytes.status();
  const uint64_t reserved = *before & kPageRegisterReserved;
  VMBUSKIT_RETURN_IF_ERROR(
      partition_.WriteRegister(0, kRegReferenceTsc, PageRegister(run->gpa()) | reserved));
  run_ = std::move(*run);
  page_ = reinterpret_cast<ReferenceTscPage*>(bytes->data());
  return absl::OkStatus();
}

void ReferenceTime::Disable() {
  if (std::exchange(page_, nullptr) == nullptr) return;
  const absl::StatusOr<uint64_t> now = partition_.ReadRegister(0, kRegReferenceTsc);
  const uint64_t reserved = now.ok() ? *now & kPageRegisterReserved : 0;
  if (partition_.WriteRegister(0, kRegReferenceTsc, reserved).ok()) {
    run_.Reset();
  } else {
    run_.Leak();
  }
}

absl::StatusOr<uint64_t> ReferenceTime::Now(uint32_t vp) {
  if (page_ != nullptr) {
    const std::optional<uint64_t> ticks =
        ReadReferenceTscPage(*page_, [&] { return partition_.ReadTsc(vp); });
    if (ticks.has_value()) return *ticks;
  }
  ++register_reads_;
  return partition_.ReadRegister(vp, kRegTimeRefCount);
}

}  // namespace vmbuskit
