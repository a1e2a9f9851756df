#include "tools/vmbus/bench.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "framework/base/status.h"
#include "framework/task/spawn.h"
#include "platform/linux/affinity.h"
#include "platform/linux/executor_thread.h"
#include "products/interrupt.h"
#include "tools/vmbus/bench_report.h"
#include "tools/vmbus/disk_session.h"
#include "tools/vmbus/load_runner.h"

namespace vmbuskit {
namespace {

constexpr char kName[] = "vmbus bench disk";
constexpr uint64_t kPrefillBlockMax = 1 << 20;
constexpr uint32_t kPrefillDepth = 8;
constexpr Duration kPrefillLimit = std::chrono::hours(24);

int Fail(const absl::Status& error, int exit_code) {
  PrintError(absl::StrCat(kName, ": ", error.message(), "\n"));
  return exit_code;
}

// What to do, to which disk, and how it is shown; the same for both paths.
class Bench {
 public:
  Bench(const BenchCommand& command, const OpenedMachine& opened)
      : command_(command),
        view_({.terminal = isatty(STDERR_FILENO) == 1, .columns = 80, .rows = 24}) {
    const DiskSpec& disk = opened.machine.controllers.front().disks.front();
    setup_ = {.disk = disk.Text(),
              .path = command.path,
              .kind = command.kind,
              .block_bytes = command.block_bytes,
              .depth = command.depth,
              .jobs = command.jobs,
              .poll = opened.machine.poll,
              .prefill = command.prefill};
  }

  absl::Status Check(const BlockDevice& disk) const {
    const uint32_t block = disk.info().block_bytes;
    if (setup_.block_bytes % block != 0 || setup_.block_bytes > disk.bytes()) {
      return absl::InvalidArgumentError(absl::StrCat("--bs is ", setup_.block_bytes,
                                                     ": the disk has ", disk.bytes(),
                                                     " bytes in blocks of ", block));
    }
    if ((Writes(setup_.kind) || setup_.prefill) && disk.info().read_only) {
      return absl::InvalidArgumentError("the disk is read-only");
    }
    return absl::OkStatus();
  }

  Task<absl::Status> Run(Executor& executor, std::shared_ptr<BlockDevice> disk,
                         std::vector<Executor*> executors, CancelScope& until) {
    const absl::Status fits = Check(*disk);
    if (!fits.ok()) co_return fits;
    if (setup_.prefill) {
      const absl::Status filled = co_await Prefill(executor, disk, *executors.front(), until);
      if (!filled.ok()) co_return filled;
    }
    std::vector<LoadRunner::Place> places;
    for (uint32_t j = 0; j < setup_.jobs; ++j) {
      places.push_back({disk, executors[j % executors.size()]});
    }
    runner_.emplace(
        executor, places,
        DiskLoad::Options{.pattern = {.kind = setup_.kind, .block_bytes = setup_.block_bytes},
                          .depth = setup_.depth,
                          .duration = command_.duration});
    const absl::Status ran = co_await runner_->Run(
        until, [this](const LoadProgress& progress) { ShowProgress(progress); });
    if (ran.ok()) ShowResult();
    co_return ran;
  }

  // Of the buffers, which are the guest's memory. Every load has ended well.
  void LetGo() { runner_.reset(); }

 private:
  // Writes every byte of the disk, in the largest blocks that it is a multiple of.
  Task<absl::Status> Prefill(Executor& executor, std::shared_ptr<BlockDevice> disk,
                             Executor& writer, CancelScope& until) {
    const uint64_t bytes = disk->bytes();
    const uint64_t block = std::min(kPrefillBlockMax, bytes & -bytes);
    const std::vector<LoadRunner::Place> places = {{disk, &writer}};
    runner_.emplace(executor, places,
                    DiskLoad::Options{.pattern = {.kind = IoPattern::Kind::kWrite,
                                                  .block_bytes = static_cast<uint32_t>(block)},
                                      .depth = kPrefillDepth,
                                      .duration = kPrefillLimit,
                                      .operations_max = bytes / block});
    uint64_t written = 0;
    const absl::Status ran = co_await runner_->Run(until, [&](const LoadProgress& progress) {
      written += progress.bytes;
      const double part = static_cast<double>(written) / static_cast<double>(bytes);
      if (view_.terminal()) PrintError(view_.Update(PrefillBar(progress, part)));
    });
    if (!ran.ok()) co_return ran;
    if (until.cancelled()) co_return absl::CancelledError("interrupted while the disk was filled");
    co_return absl::OkStatus();
  }
  void ShowProgress(const LoadProgress& progress) {
    if (view_.terminal()) PrintError(view_.Update(BenchBar(progress, command_.duration)));
  }
  void ShowResult() {
    const LoadTotals totals = runner_->Totals();
    PrintText(command_.json ? BenchJson(setup_, totals) : BenchText(setup_, totals));
  }

  const BenchCommand& command_;
  BenchSetup setup_;
  LiveView view_;
  std::optional<LoadRunner> runner_;
};

// Through the guest's driver, VMBus, and the host.
class DriverBench final : public DiskSession {
 public:
  DriverBench(OpenedMachine& opened, Bench& bench, bool json)
      : DiskSession(kName, opened, json), bench_(bench) {}

 private:
  Task<absl::Status> UseDisks() override {
    std::vector<Executor*> executors;
    for (LinuxExecutor* executor : system().vp_executors()) executors.push_back(executor);
    ran_ = co_await bench_.Run(system().executor(), opened().disks.Find(0, 0), std::move(executors),
                               until_stop());
    End(ran_);
    co_return absl::OkStatus();
  }
  Task<absl::Status> LetGoOfDisks() override {
    // Requests that never ended still have their load.
    if (absl::IsDeadlineExceeded(ran_)) co_return ran_;
    bench_.LetGo();
    co_return absl::OkStatus();
  }

  Bench& bench_;
  absl::Status ran_;
};

// The back end alone.
class BackEndBench {
 public:
  BackEndBench(OpenedMachine& opened, Bench& bench) : opened_(opened), bench_(bench) {}

  absl::Status Run() {
    InterruptWatch::Block();
    absl::StatusOr<std::unique_ptr<LinuxExecutor>> executor = LinuxExecutor::Create({});
    if (!executor.ok()) return executor.status();
    executor_ = *std::move(executor);
    VMBUSKIT_RETURN_IF_ERROR(StartThreads());
    InterruptWatch interrupt(*executor_, Callback::To<&BackEndBench::OnInterrupt>(this));
    VMBUSKIT_RETURN_IF_ERROR(interrupt.Start());
    Spawn(*executor_, RunLoads());
    executor_->Run();
    for (const std::unique_ptr<ExecutorThread>& thread : threads_) thread->Stop();
    bench_.LetGo();
    return status_;
  }

 private:
  absl::Status StartThreads() {
    const Machine& machine = opened_.machine;
    const auto cpus = static_cast<uint32_t>(AllowedCpus().size());
    const uint32_t count = machine.cpus != 0 ? machine.cpus : std::clamp<uint32_t>(cpus, 1, 2);
    for (uint32_t cpu = 0; cpu < count; ++cpu) {
      absl::StatusOr<std::unique_ptr<ExecutorThread>> thread =
          ExecutorThread::Start({.executor = {.cpu = cpu,
                                              .mode = machine.poll ? LinuxExecutor::Mode::kPoll
                                                                   : LinuxExecutor::Mode::kSleep},
                                 .pin_to_cpu = {}});
      if (!thread.ok()) return thread.status();
      threads_.push_back(*std::move(thread));
    }
    return absl::OkStatus();
  }

  Task<void> RunLoads() {
    std::vector<Executor*> executors;
    for (const std::unique_ptr<ExecutorThread>& thread : threads_) {
      executors.push_back(&thread->executor());
    }
    std::shared_ptr<BlockDevice> disk = opened_.back_ends.front().front().disk;
    status_ = co_await bench_.Run(*executor_, std::move(disk), std::move(executors), until_);
    if (absl::IsDeadlineExceeded(status_)) {
      // Its requests still have the loads.
      (void)Fail(status_, EXIT_FAILURE);
      std::_Exit(EXIT_FAILURE);
    }
    executor_->Stop();
  }

  void OnInterrupt() { until_.Cancel(absl::CancelledError("interrupted")); }

  OpenedMachine& opened_;
  Bench& bench_;
  std::unique_ptr<LinuxExecutor> executor_;
  std::vector<std::unique_ptr<ExecutorThread>> threads_;
  CancelScope until_;
  absl::Status status_;
};

}  // namespace

int RunBenchDisk(const BenchCommand& command) {
  const absl::StatusOr<Machine> machine = MachineFromArguments(command.machine);
  if (!machine.ok()) return Fail(machine.status(), kExitUsage);
  if (machine->controllers.size() != 1 || machine->controllers.front().disks.size() != 1) {
    return Fail(absl::InvalidArgumentError("one disk at a time"), kExitUsage);
  }
  const absl::StatusOr<std::unique_ptr<OpenedMachine>> opened = OpenedMachine::Open(*machine);
  if (!opened.ok()) return Fail(opened.status(), EXIT_FAILURE);
  Bench bench(command, **opened);
  if (command.path == "backend") {
    BackEndBench run(**opened, bench);
    const absl::Status ran = run.Run();
    return ran.ok() ? EXIT_SUCCESS : Fail(ran, EXIT_FAILURE);
  }
  DriverBench session(**opened, bench, command.json);
  return session.Run();
}

}  // namespace vmbuskit
