#include "tests/scenario/campaign.h"

#include <algorithm>
#include <cassert>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tests/scenario/campaign_board.h"
#include "tests/scenario/campaign_process.h"
#include "tests/scenario/campaign_worker.h"

namespace vmbuskit {
namespace {

constexpr Duration kTickMax = std::chrono::milliseconds(100);
constexpr Duration kTickMin = std::chrono::milliseconds(1);

class Campaign {
 public:
  Campaign(const CampaignOptions& options, ScenarioFunction run, ProgressFunction show,
           CampaignBoard board, bool quiet)
      : options_(options), run_(run), show_(show), board_(std::move(board)), quiet_(quiet) {}
  ~Campaign();

  absl::Status Start();
  void Watch();
  CampaignResult Result();

 private:
  struct Worker {
    pid_t process = 0;
    bool running = true;
    bool hung = false;
    // What it had done when it was last seen to do something, and for how long it has not.
    uint64_t seeds = 0;
    Duration idle{};
  };

  void OnInterrupt();
  void ReapWorkers();
  void WatchWorkers(Duration elapsed);
  void OnEnd(uint32_t index, const std::string& how);
  void KillAll();
  bool running() const { return std::ranges::any_of(workers_, &Worker::running); }

  const CampaignOptions& options_;
  const ScenarioFunction run_;
  const ProgressFunction show_;
  CampaignBoard board_;
  const bool quiet_;
  CampaignSignals signals_;
  std::vector<Worker> workers_;
  std::vector<CampaignFailure> failures_;
  const Duration start_ = WallTime();
  bool interrupted_ = false;
  bool abandoned_ = false;
};

Campaign::~Campaign() {
  KillAll();
  for (const Worker& worker : workers_) {
    if (worker.running) AwaitEnd(worker.process);
  }
}

absl::Status Campaign::Start() {
  for (uint32_t i = 0; i < board_.workers(); ++i) {
    const absl::StatusOr<pid_t> process =
        ForkWorker(signals_, quiet_, [this, i] { RunSeeds(board_, i, options_, run_); });
    if (!process.ok()) return process.status();
    workers_.push_back({.process = *process});
  }
  return absl::OkStatus();
}

void Campaign::Watch() {
  const Duration tick = std::clamp(options_.watchdog / 8, kTickMin, kTickMax);
  Duration before = start_;
  while (running()) {
    if (signals_.Wait(tick)) OnInterrupt();
    ReapWorkers();
    const Duration now = WallTime();
    // While this process was stopped or starved, so were the workers.
    WatchWorkers(std::min(now - before, 2 * tick));
    before = now;
    show_({.totals = board_.totals(), .wall_time = now - start_, .last = !running()});
  }
}

void Campaign::OnInterrupt() {
  board_.Stop();
  if (std::exchange(interrupted_, true)) {
    abandoned_ = true;
    KillAll();
  }
}

void Campaign::ReapWorkers() {
  for (uint32_t i = 0; i < workers_.size(); ++i) {
    if (!workers_[i].running) continue;
    if (const std::optional<std::string> how = Reap(workers_[i].process)) OnEnd(i, *how);
  }
}

void Campaign::OnEnd(uint32_t index, const std::string& how) {
  workers_[index].running = false;
  CampaignWorkerSlot& slot = board_.worker(index);
  if (std::optional<CampaignFailure> failure = slot.failure()) {
    failures_.push_back(*std::move(failure));
  } else if (workers_[index].hung) {
    failures_.push_back(
        {.seed = slot.seed(),
         .kind = FailureKind::kHang,
         .what = absl::StrCat("no end within ",
                              std::chrono::duration<double>(options_.watchdog).count(),
                              " s of wall time")});
  } else if (!how.empty() || slot.busy()) {
    if (abandoned_) return;
    failures_.push_back(
        {.seed = slot.seed(),
         .kind = FailureKind::kCrash,
         .what = how.empty() ? "the process ended in the middle of the seed" : how});
  } else {
    return;
  }
  board_.Stop();
}

void Campaign::WatchWorkers(Duration elapsed) {
  for (uint32_t i = 0; i < workers_.size(); ++i) {
    Worker& worker = workers_[i];
    if (!worker.running || worker.hung) continue;
    const uint64_t seeds = board_.worker(i).totals().seeds;
    worker.idle = seeds == worker.seeds ? worker.idle + elapsed : Duration::zero();
    worker.seeds = seeds;
    if (worker.idle <= options_.watchdog) continue;
    worker.hung = true;
    KillWorker(worker.process);
  }
}

void Campaign::KillAll() {
  for (const Worker& worker : workers_) {
    if (worker.running) KillWorker(worker.process);
  }
}

CampaignResult Campaign::Result() {
  CampaignResult result = {.totals = board_.totals(),
                           .failures = failures_.size(),
                           .failure = {},
                           .interrupted = interrupted_,
                           .wall_time = WallTime() - start_};
  const auto lowest = std::ranges::min_element(failures_, {}, &CampaignFailure::seed);
  if (lowest != failures_.end()) result.failure = *lowest;
  return result;
}

absl::StatusOr<CampaignResult> RunWorkers(const CampaignOptions& options, ScenarioFunction run,
                                          ProgressFunction show, bool quiet) {
  absl::StatusOr<CampaignBoard> board = CampaignBoard::Create(options.jobs);
  if (!board.ok()) return board.status();
  Campaign campaign(options, run, show, *std::move(board), quiet);
  if (absl::Status started = campaign.Start(); !started.ok()) return started;
  campaign.Watch();
  return campaign.Result();
}

// Whether the failing seed fails alone, too.
Reproduction RunAlone(const CampaignOptions& options, const CampaignFailure& failure,
                      ScenarioFunction run) {
  CampaignOptions alone = options;
  alone.first = failure.seed;
  alone.seeds = 1;
  alone.jobs = 1;
  alone.determinism_interval = failure.kind == FailureKind::kNondeterminism ? 1 : 0;
  const auto show_nothing = [](const CampaignProgress&) {};
  const absl::StatusOr<CampaignResult> result =
      RunWorkers(alone, run, show_nothing, /*quiet=*/true);
  if (!result.ok() || result->interrupted) return Reproduction::kNotTried;
  if (!result->failure) return Reproduction::kNone;
  const bool same =
      result->failure->kind == failure.kind &&
      (failure.kind == FailureKind::kNondeterminism || result->failure->what == failure.what);
  return same ? Reproduction::kSame : Reproduction::kOther;
}

}  // namespace

void CampaignTotals::Add(uint64_t seed, const ScenarioResult& result) {
  ++seeds;
  turns += result.turns;
  virtual_time += result.virtual_time;
  faults += result.faults;
  packets += result.packets;
  signals += result.signals;
  needless_signals += result.needless_signals;
  lun_resets += result.lun_resets;
  bus_resets += result.bus_resets;
  // A sum, so that the order in which workers end their seeds does not count.
  uint64_t mixed = (seed + 0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9 ^ result.trace_hash;
  mixed = (mixed ^ (mixed >> 31)) * 0x94d049bb133111eb;
  hash += mixed ^ (mixed >> 29);
}

double CampaignTotals::needless_percent() const {
  if (signals == 0) return 0;
  return 100.0 * static_cast<double>(needless_signals) / static_cast<double>(signals);
}

absl::StatusOr<CampaignResult> RunCampaign(const CampaignOptions& options, ScenarioFunction run,
                                           ProgressFunction show) {
  assert(options.jobs > 0 && options.jobs <= kCampaignJobsMax);
  absl::StatusOr<CampaignResult> result = RunWorkers(options, run, show, /*quiet=*/false);
  if (result.ok() && result->failure && !result->interrupted) {
    result->failure->alone = RunAlone(options, *result->failure, run);
  }
  return result;
}

}  // namespace vmbuskit
