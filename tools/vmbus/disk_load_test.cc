// Load on a disk: which requests, how many at a time, how it ends, and what is said of it.
#include "tools/vmbus/disk_load.h"

#include <memory>
#include <optional>
#include <set>
#include <string>

#include "devices/storvsc/host/null_disk.h"
#include "devices/storvsc/host/ram_disk.h"
#include "devices/storvsc/host/slow_disk.h"
#include "framework/task/run_task.h"
#include "gtest/gtest.h"
#include "platform/allocation_counter.h"
#include "platform/sim/scheduler.h"
#include "tools/vmbus/bench_report.h"
#include "tools/vmbus/load_runner.h"

namespace vmbuskit {
namespace {

using Kind = IoPattern::Kind;

TEST(IoPatternTest, SequentialGoesRound) {
  IoSequence sequence({.kind = Kind::kWrite, .block_bytes = 4096, .first_offset = 9000},
                      4 * 4096 + 100);
  for (const uint64_t block : {2u, 3u, 0u, 1u, 2u}) {
    EXPECT_EQ(sequence.Take(), (IoSequence::Next{true, block * 4096}));
  }
}

TEST(IoPatternTest, RandomStaysOnTheDiskAndReachesAllOfIt) {
  IoSequence sequence({.kind = Kind::kRandomMixed, .block_bytes = 512, .seed = 3}, 16 * 512);
  IoSequence again({.kind = Kind::kRandomMixed, .block_bytes = 512, .seed = 3}, 16 * 512);
  std::set<uint64_t> seen;
  int writes = 0;
  for (int i = 0; i < 1000; ++i) {
    const IoSequence::Next next = sequence.Take();
    EXPECT_EQ(next, again.Take());
    EXPECT_EQ(next.offset % 512, 0u);
    seen.insert(next.offset);
    writes += next.write ? 1 : 0;
  }
  EXPECT_EQ(seen.size(), 16u);
  EXPECT_EQ(*seen.rbegin(), 15u * 512);
  EXPECT_GT(writes, 400);
  EXPECT_LT(writes, 600);
}

TEST(IoPatternTest, KindsHaveNames) {
  for (const char* name : {"read", "write", "randread", "randwrite", "randrw"}) {
    EXPECT_EQ(ToString(*ParseIoKind(name)), name);
  }
  EXPECT_FALSE(ParseIoKind("trim").has_value());
}

class DiskLoadTest : public ::testing::Test {
 protected:
  SimScheduler sim_{5};
  SimExecutor& executor_ = sim_.NewExecutor(0);
  SimExecutor& other_ = sim_.NewExecutor(1);
};

TEST_F(DiskLoadTest, MakesAsManyOperationsAsItMay) {
  auto disk = std::make_shared<RamDisk>(RamDisk::Options{.bytes = 1 << 20});
  DiskLoad load(disk, executor_,
                {.pattern = {.kind = Kind::kWrite}, .depth = 8, .operations_max = 100});
  const std::optional<absl::Status> ran = RunTask(sim_, executor_, load.Run());
  ASSERT_TRUE(ran.has_value());
  EXPECT_TRUE(ran->ok()) << ran->message();
  EXPECT_EQ(load.writes().operations, 100u);
  EXPECT_EQ(load.writes().bytes, 100u * 4096);
  EXPECT_EQ(load.writes().latencies.count(), 100u);
  EXPECT_EQ(load.reads().operations, 0u);
  EXPECT_EQ(load.operations(), 100u);
  EXPECT_EQ(disk->bytes_allocated(), 7u * RamDisk::kChunkBytes) << "400 KiB from 0 on";
}

TEST_F(DiskLoadTest, AllocatesNothingWhileItRuns) {
  auto disk = std::make_shared<NullDisk>();
  const auto allocations = [&](uint64_t operations) {
    DiskLoad load(disk, executor_, {.depth = 16, .operations_max = operations});
    const uint64_t before = ThreadAllocations();
    EXPECT_TRUE(RunTask(sim_, executor_, load.Run())->ok());
    return ThreadAllocations() - before;
  };
  (void)allocations(1000);  // what the scheduler keeps for later
  EXPECT_EQ(allocations(100), allocations(100'000));
}

TEST_F(DiskLoadTest, EndsAtTheFirstFailure) {
  auto disk = std::make_shared<RamDisk>(RamDisk::Options{.bytes = 1 << 20, .read_only = true});
  DiskLoad load(disk, executor_, {.pattern = {.kind = Kind::kWrite}, .depth = 2});
  const std::optional<absl::Status> ran = RunTask(sim_, executor_, load.Run());
  ASSERT_TRUE(ran.has_value());
  EXPECT_NE(std::string(ran->message()).find("of 4096 bytes at 0 ended with"), std::string::npos)
      << ran->message();
  EXPECT_EQ(load.operations(), 0u);
}

TEST_F(DiskLoadTest, EndsWhenAskedTo) {
  auto disk = std::make_shared<NullDisk>();
  DiskLoad load(disk, executor_, {.depth = 4});
  load.RequestStop();
  const std::optional<absl::Status> ran = RunTask(sim_, executor_, load.Run());
  ASSERT_TRUE(ran.has_value());
  EXPECT_TRUE(ran->ok());
  EXPECT_EQ(load.operations(), 0u);
}

TEST_F(DiskLoadTest, SeveralShareOutTheDisk) {
  auto disk = std::make_shared<RamDisk>(RamDisk::Options{.bytes = 1 << 20});
  const std::vector<LoadRunner::Place> places = {{disk, &executor_}, {disk, &other_}};
  LoadRunner runner(executor_, places,
                    {.pattern = {.kind = Kind::kWrite, .block_bytes = 64 * 1024},
                     .depth = 1,
                     .operations_max = 8});
  CancelScope until;
  const std::optional<absl::Status> ran =
      RunTask(sim_, executor_, runner.Run(until, [](const LoadProgress&) {}));
  ASSERT_TRUE(ran.has_value());
  EXPECT_TRUE(ran->ok());
  EXPECT_EQ(disk->bytes_allocated(), uint64_t{1} << 20) << "each wrote a half";
  EXPECT_EQ(runner.Totals().writes.operations, 16u);
  EXPECT_EQ(runner.Totals().writes.bytes, uint64_t{1} << 20);
}

TEST_F(DiskLoadTest, RequestsThatNeverEndAreToldAlsoAfterAnotherFailure) {
  auto fails = std::make_shared<RamDisk>(RamDisk::Options{.bytes = 1 << 20, .read_only = true});
  auto hangs = std::make_shared<SlowDisk>(RamDisk::Options{.bytes = 1 << 20});
  const std::vector<LoadRunner::Place> places = {{hangs, &executor_}, {fails, &other_}};
  LoadRunner runner(executor_, places, {.pattern = {.kind = Kind::kWrite}, .depth = 1});
  CancelScope until;
  const std::optional<absl::Status> ran =
      RunTask(sim_, executor_, runner.Run(until, [](const LoadProgress&) {}));
  ASSERT_TRUE(ran.has_value());
  EXPECT_TRUE(absl::IsDeadlineExceeded(*ran)) << *ran;
  EXPECT_EQ(hangs->waiting(), 1u);
  const SimTurn turn = sim_.Enter(executor_);
  hangs->EndAll();
}

TEST(BenchReportTest, FiguresOfOneSecond) {
  LoadTotals totals;
  totals.elapsed = std::chrono::seconds(2);
  totals.reads.operations = 4;
  totals.reads.bytes = 16384;
  for (int i = 1; i <= 4; ++i) totals.reads.latencies.Record(std::chrono::nanoseconds(100 * i));
  const BenchSetup setup = {.disk = "ram:1", .path = "driver", .depth = 3, .jobs = 2};
  EXPECT_EQ(BenchText(setup, totals),
            "ram:1 by the driver: randread, 4096 bytes, depth 3, 2 jobs, 2.0 s\n"
            "us    IOPS   GB/s  mean  p50  p90  p99  p99.9  max\n"
            "read     2  0.000   0.2  0.2  0.4  0.4    0.4  0.4\n");
  const std::string json = BenchJson(setup, totals);
  EXPECT_NE(json.find("\"iops\":2.0,\"bytes_per_second\":8192.0"), std::string::npos) << json;
  EXPECT_NE(json.find("\"max\":400"), std::string::npos);
  EXPECT_EQ(BenchBar({.elapsed = std::chrono::seconds(1),
                      .step = std::chrono::milliseconds(500),
                      .operations = 500,
                      .bytes = 1'000'000'000},
                     std::chrono::seconds(2)),
            "[###############...............]  50%  1000 IOPS  2.000 GB/s\n");
  EXPECT_EQ(PrefillBar({.step = std::chrono::milliseconds(500), .bytes = 1'000'000'000}, 0.1),
            "[###...........................]  10%  filling  2.000 GB/s\n");
}

}  // namespace
}  // namespace vmbuskit
