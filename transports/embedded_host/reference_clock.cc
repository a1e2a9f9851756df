#include "transports/embedded_host/reference_clock.h"

#include <utility>

#include "framework/base/saved_state.h"
#include "transports/protocol/hypervisor.h"

namespace vmbuskit {
namespace {

// 14,000 years. Further on, sums of times and periods would not fit into 64 bits.
constexpr uint64_t kRestoredTicksMax = uint64_t{1} << 62;

}  // namespace

uint64_t ExecutorTscSource::Read(const Executor& current) const {
  __extension__ using Wide = unsigned __int128;
  const uint64_t nanoseconds = current.Now().time_since_epoch().count();
  return static_cast<uint64_t>(Wide{nanoseconds} * hz_ / 1'000'000'000);
}

ReferenceClock::ReferenceClock(std::unique_ptr<TscSource> source, const Executor& current,
                               bool invariant)
    : invariant_(invariant) {
  Begin(std::move(source), 0, current);
}

void ReferenceClock::Begin(std::shared_ptr<const TscSource> source, uint64_t now,
                           const Executor& current) {
  const uint64_t scale = ReferenceTscScale(source->hz());
  const uint64_t ticks = ReferenceTimeFromTsc(source->Read(current), scale, 0);
  const auto offset = static_cast<int64_t>(now - ticks);
  eras_.push_back(std::make_unique<Era>(Era{std::move(source), scale, offset}));
  current_.store(eras_.back().get(), std::memory_order_release);
}

uint64_t ReferenceClock::Now(const Executor& current) const {
  const Era& era = this->era();
  return ReferenceTimeFromTsc(era.source->Read(current), era.scale, era.offset);
}

void ReferenceClock::Publish(std::byte* page) {
  page_ = page;
  UpdatePage();
}

void ReferenceClock::Migrate(std::unique_ptr<TscSource> source, const Executor& current) {
  const uint64_t now = Now(current);
  Begin(std::move(source), now, current);
  UpdatePage();
}

template <typename Archive>
void ReferenceClock::Exchange(Archive& archive, const Executor& current) {
  uint64_t now = Now(current);
  archive.AtMost("reference time", now, kRestoredTicksMax);
  archive(sequence_);
  if constexpr (Archive::kLoading) {
    page_ = nullptr;
    Begin(era().source, now, current);
    eras_.erase(eras_.begin(), eras_.end() - 1);
  }
}

template void ReferenceClock::Exchange(StateWriter& archive, const Executor& current);
template void ReferenceClock::Exchange(StateReader& archive, const Executor& current);

// Sequence 0, the numbers, a new sequence: a reader that mixed old and new numbers sees another sequence at its
// second look, because each store releases those before it.
void ReferenceClock::UpdatePage() {
  if (page_ == nullptr) return;
  auto& page = *reinterpret_cast<ReferenceTscPage*>(page_);
  std::atomic_ref(page.sequence).store(0);
  if (!invariant_) return;
  const Era& era = this->era();
  std::atomic_ref(page.scale).store(era.scale);
  std::atomic_ref(page.offset).store(era.offset);
  if (++sequence_ == 0) ++sequence_;
  std::atomic_ref(page.sequence).store(sequence_);
}

}  // namespace vmbuskit
