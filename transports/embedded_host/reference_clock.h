// The partition's time: the time-stamp counter that its guest reads, the reference counter (100 ns ticks since the
// partition was made) and the reference TSC page that ties them together. Source: protocol 01 section 5.
//
//   ReferenceClock clock(std::make_unique<ExecutorTscSource>(2'500'000'000), executor, /*invariant=*/true);
//   uint64_t ticks = clock.Now(executor);
//   clock.Migrate(std::make_unique<ExecutorTscSource>(3'000'000'000), executor);   // ticks go on, the TSC jumps
//
// Thread safety: ReadTsc, Now and tsc_hz from any executor, which passes itself; Publish, Withdraw and Migrate
// under the owner's control lock.
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_REFERENCE_CLOCK_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_REFERENCE_CLOCK_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "platform/executor.h"

namespace vmbuskit {

// Where TSC values come from. Never goes back; the frequency is constant (a migration brings another source).
class TscSource {
 public:
  virtual ~TscSource() = default;
  virtual uint64_t Read(const Executor& current) const = 0;
  virtual uint64_t hz() const = 0;
};

// Counts the platform's time at `hz`: virtual under the simulator.
class ExecutorTscSource : public TscSource {
 public:
  explicit ExecutorTscSource(uint64_t hz) : hz_(hz) {}
  uint64_t Read(const Executor& current) const override;
  uint64_t hz() const override { return hz_; }

 private:
  const uint64_t hz_;
};

class ReferenceClock {
 public:
  // Time zero is now. `source` counts faster than 10 MHz.
  ReferenceClock(std::unique_ptr<TscSource> source, const Executor& current, bool invariant);

  uint64_t ReadTsc(const Executor& current) const { return era().source->Read(current); }
  uint64_t tsc_hz() const { return era().source->hz(); }
  uint64_t Now(const Executor& current) const;

  // Fills the TSC page at `page` (shared with guest readers) and keeps it up to date until Withdraw.
  void Publish(std::byte* page);
  void Withdraw() { page_ = nullptr; }

  // Saves reference time, or goes on from the saved one; with StateWriter or StateReader, while nobody else reads. The
  // counter is this machine's, whatever it counts. The TSC page is published anew afterwards.
  template <typename Archive>
  void Exchange(Archive& archive, const Executor& current);

  // The partition goes on over another counter, without a step in reference time.
  void Migrate(std::unique_ptr<TscSource> source, const Executor& current);

 private:
  // One source with the numbers that turn it into reference time. Kept until the clock goes, because other
  // executors may read the old one when a migration happens; migrations are few.
  struct Era {
    std::shared_ptr<const TscSource> source;
    uint64_t scale;
    int64_t offset;
  };

  const Era& era() const { return *current_.load(std::memory_order_acquire); }
  void Begin(std::shared_ptr<const TscSource> source, uint64_t now, const Executor& current);
  void UpdatePage();

  const bool invariant_;
  std::vector<std::unique_ptr<Era>> eras_;
  std::atomic<const Era*> current_ = nullptr;
  std::byte* page_ = nullptr;
  uint32_t sequence_ = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_REFERENCE_CLOCK_H_
