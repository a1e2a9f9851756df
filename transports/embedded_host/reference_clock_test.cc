#include "transports/embedded_host/reference_clock.h"

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "framework/base/saved_state.h"
#include "gtest/gtest.h"
#include "platform/sim/scheduler.h"
#include "transports/protocol/hypervisor.h"

namespace vmbuskit {
namespace {

// A counter that the test sets.
class SetTsc : public TscSource {
 public:
  SetTsc(uint64_t hz, uint64_t value) : value(value), hz_(hz) {}
  uint64_t Read(const Executor&) const override { return value; }
  uint64_t hz() const override { return hz_; }
  uint64_t value;

 private:
  const uint64_t hz_;
};

class ReferenceClockTest : public ::testing::Test {
 protected:
  SimScheduler sim_{0};
  SimExecutor& executor_ = sim_.NewExecutor(0);
  ReferenceTscPage page_{};

  std::byte* page_bytes() { return reinterpret_cast<std::byte*>(&page_); }
  uint64_t PageTime(uint64_t tsc) const {
    return ReferenceTimeFromTsc(tsc, page_.scale, page_.offset);
  }
};

TEST_F(ReferenceClockTest, StartsAtZeroAndTicksAt10MHz) {
  auto source = std::make_unique<SetTsc>(2'500'000'000, 0x123456789ABC);
  SetTsc& tsc = *source;
  ReferenceClock clock(std::move(source), executor_, true);
  EXPECT_EQ(clock.Now(executor_), 0u);
  tsc.value += 2'500'000'000;
  // One second, up to the rounding of the scale.
  EXPECT_NEAR(static_cast<double>(clock.Now(executor_)), 1e7, 1);
  EXPECT_EQ(clock.tsc_hz(), 2'500'000'000u);
  EXPECT_EQ(clock.ReadTsc(executor_), 0x123456789ABCu + 2'500'000'000);
}

TEST_F(ReferenceClockTest, ExecutorTimeIsCountedAtTheFrequency) {
  const ExecutorTscSource source(3'000'000'000);
  const uint64_t before = source.Read(executor_);
  ASSERT_TRUE(sim_.RunFor(std::chrono::milliseconds(1)).ok());
  EXPECT_EQ(source.Read(executor_) - before, 3'000'000u);
}

TEST_F(ReferenceClockTest, PageAndCounterAgree) {
  auto source = std::make_unique<SetTsc>(2'500'000'000, 1'000'000'007);
  SetTsc& tsc = *source;
  ReferenceClock clock(std::move(source), executor_, true);
  clock.Publish(page_bytes());
  EXPECT_EQ(page_.sequence, 1u);
  EXPECT_EQ(page_.scale, 0x010624DD2F1A9FBEu);
  for (uint64_t value : {1'000'000'007ull, 20015998343868ull, 1ull << 63, ~0ull}) {
    tsc.value = value;
    EXPECT_EQ(PageTime(value), clock.Now(executor_)) << value;
  }
}

TEST_F(ReferenceClockTest, WithoutInvariantTscTheSequenceStaysZero) {
  page_.sequence = 99;
  ReferenceClock clock(std::make_unique<SetTsc>(2'500'000'000, 0), executor_, false);
  clock.Publish(page_bytes());
  EXPECT_EQ(page_.sequence, 0u);
  clock.Migrate(std::make_unique<SetTsc>(3'000'000'000, 0), executor_);
  EXPECT_EQ(page_.sequence, 0u);
}

TEST_F(ReferenceClockTest, MigrationChangesScaleAndSequenceButNotTheTime) {
  auto first = std::make_unique<SetTsc>(2'500'000'000, 5);
  SetTsc& tsc = *first;
  ReferenceClock clock(std::move(first), executor_, true);
  clock.Publish(page_bytes());
  tsc.value += 250'000'000;  // 100 ms
  const uint64_t before = clock.Now(executor_);

  auto second = std::make_unique<SetTsc>(1'250'000'000, 77);
  SetTsc& slower = *second;
  clock.Migrate(std::move(second), executor_);
  EXPECT_EQ(clock.Now(executor_), before);
  EXPECT_EQ(page_.sequence, 2u);
  EXPECT_EQ(page_.scale, ReferenceTscScale(1'250'000'000));
  EXPECT_EQ(PageTime(77), before);
  slower.value += 125'000'000;  // 100 ms more
  EXPECT_NEAR(static_cast<double>(clock.Now(executor_)), static_cast<double>(before) + 1e6, 1);
}

// Near the end of its numbers a periodic timer's next time would lie in the past, again and again at the same instant.
TEST_F(ReferenceClockTest, ATimeThatNoPartitionReachesIsNotRestored) {
  ReferenceClock clock(std::make_unique<SetTsc>(2'500'000'000, 0), executor_, true);
  for (const uint64_t time : {uint64_t{1} << 62, (uint64_t{1} << 62) + 1, ~uint64_t{0}}) {
    StateWriter writer;
    writer(time);
    writer(uint32_t{1});  // the sequence
    const std::vector<std::byte> state = std::move(writer).Take();
    StateReader reader(state);
    clock.Exchange(reader, executor_);
    EXPECT_EQ(reader.Finish().ok(), time == uint64_t{1} << 62) << time;
  }
}

TEST_F(ReferenceClockTest, AWithdrawnPageIsLeftAlone) {
  ReferenceClock clock(std::make_unique<SetTsc>(2'500'000'000, 0), executor_, true);
  clock.Publish(page_bytes());
  clock.Withdraw();
  page_ = {};
  clock.Migrate(std::make_unique<SetTsc>(3'000'000'000, 0), executor_);
  EXPECT_EQ(page_.sequence, 0u);
  EXPECT_EQ(page_.scale, 0u);
}

// While the host migrates back and forth, a reader that follows the sequence protocol never pairs one machine's
// scale with another's offset.
TEST_F(ReferenceClockTest, ReadersNeverMixTwoUpdates) {
  constexpr uint64_t kHz[2] = {2'500'000'000, 1'250'000'000};
  ReferenceClock clock(std::make_unique<SetTsc>(kHz[0], 0), executor_, true);
  clock.Publish(page_bytes());
  // Both counters stand still, so scale decides the offset: 0 and the time of the other's counter.
  std::atomic<bool> stop = false;
  std::atomic<uint64_t> mixed = 0;
  std::atomic<uint64_t> good = 0;
  const int64_t offset_at_fast = page_.offset;
  const auto offset_at_slow =
      -static_cast<int64_t>(ReferenceTimeFromTsc(1 << 20, ReferenceTscScale(kHz[1]), 0));
  std::thread reader([&] {
    while (!stop.load(std::memory_order_relaxed)) {
      const uint32_t sequence = std::atomic_ref(page_.sequence).load(std::memory_order_acquire);
      const uint64_t scale = std::atomic_ref(page_.scale).load(std::memory_order_acquire);
      const int64_t offset = std::atomic_ref(page_.offset).load(std::memory_order_acquire);
      const uint32_t again = std::atomic_ref(page_.sequence).load(std::memory_order_relaxed);
      if (sequence == 0 || sequence != again) continue;
      const bool fast = scale == ReferenceTscScale(kHz[0]);
      ((offset == (fast ? offset_at_fast : offset_at_slow)) ? good : mixed).fetch_add(1);
    }
  });
  for (int i = 1; i <= 3000; ++i) {
    clock.Migrate(std::make_unique<SetTsc>(kHz[i % 2], i % 2 == 0 ? 0 : 1 << 20), executor_);
  }
  stop.store(true);
  reader.join();
  EXPECT_EQ(mixed.load(), 0u);
}

}  // namespace
}  // namespace vmbuskit
