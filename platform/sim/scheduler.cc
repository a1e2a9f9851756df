#include "platform/sim/scheduler.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <string>

#include "absl/strings/str_cat.h"

namespace vmbuskit {
namespace {

uint64_t Mix(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9e3779b97f4a7c15;
  return hash ^ (hash >> 32);
}

// The executor's turn: the one for which `is_candidate` holds, found by walking on from `last`.
template <typename Predicate>
size_t NextInCircle(size_t last, size_t count, Predicate is_candidate) {
  for (size_t i = 1; i <= count; ++i) {
    const size_t at = (last + i) % count;
    if (is_candidate(at)) return at;
  }
  return last;
}

std::string WorkNames(uint32_t runnable) {
  static constexpr const char* kNames[kSimWorkCount] = {"post", "event", "timer", "pollers"};
  std::string names;
  for (uint32_t i = 0; i < kSimWorkCount; ++i) {
    if (runnable & 1u << i) absl::StrAppend(&names, " ", kNames[i]);
  }
  return names;
}

}  // namespace

SimScheduler::SimScheduler(uint64_t seed, const Options& options)
    : seed_(seed), options_(options), random_(seed), clock_{.now = options.start} {
  assert(options_.post_capacity > 0 && options_.poll_interval > Duration::zero());
}

SimScheduler::~SimScheduler() = default;

SimExecutor& SimScheduler::NewExecutor(uint32_t cpu) {
  last_cpu_ = cpus_.size();  // round robin begins with the first
  cpus_.push_back({.executor = std::make_unique<SimExecutor>(clock_, cpu, options_.post_capacity,
                                                             options_.poll_interval)});
  return *cpus_.back().executor;
}

absl::Status SimScheduler::RunUntilIdle() {
  Run("RunUntilIdle", clock_.now, [] { return false; });
  return status_;
}

absl::Status SimScheduler::RunFor(Duration duration) {
  assert(duration >= Duration::zero() && duration < kInfiniteFuture - clock_.now);
  const Instant end = clock_.now + duration;
  Run("RunFor", end, [] { return false; });
  if (status_.ok()) clock_.now = end;
  return status_;
}

bool SimScheduler::RunUntil(absl::FunctionRef<bool()> predicate, Duration limit) {
  const Duration left = kInfiniteFuture - clock_.now;
  const Instant end = limit < left ? clock_.now + limit : kInfiniteFuture;
  if (Run("RunUntil", end, predicate)) return true;
  if (status_.ok() && NextWakeup() != kInfiniteFuture) clock_.now = end;
  return false;
}

bool SimScheduler::Run(const char* caller, Instant end, absl::FunctionRef<bool()> predicate) {
  status_ = absl::OkStatus();
  uint64_t steps_left = options_.steps_max;
  while (!predicate()) {
    Choice choice;
    if (Choose(choice)) {
      if (steps_left-- == 0) {
        status_ = StepsExhausted(caller);
        return false;
      }
      Take(choice);
      continue;
    }
    const Instant next = NextWakeup();
    if (next > end || next == kInfiniteFuture) return false;
    clock_.now = std::max(clock_.now, next);
  }
  return true;
}

bool SimScheduler::Choose(Choice& choice) {
  uint64_t candidates = 0;
  for (Cpu& cpu : cpus_) {
    cpu.runnable = cpu.held ? 0 : cpu.executor->Runnable();
    candidates += cpu.runnable != 0;
  }
  if (candidates == 0) return false;
  const auto is_runnable = [this](size_t at) { return cpus_[at].runnable != 0; };
  size_t skip = seed_ == 0 ? 0 : random_.Below(candidates);
  size_t at = NextInCircle(last_cpu_, cpus_.size(), is_runnable);
  for (; skip > 0; --skip) at = NextInCircle(at, cpus_.size(), is_runnable);
  choice = {.executor = at, .work = ChooseWork(at, cpus_[at].runnable)};
  return true;
}

SimWork SimScheduler::ChooseWork(size_t executor, uint32_t runnable) {
  const auto is_runnable = [runnable](size_t work) { return (runnable & 1u << work) != 0; };
  const auto kinds = static_cast<uint64_t>(std::popcount(runnable));
  size_t skip = seed_ == 0 || kinds == 1 ? 0 : random_.Below(kinds);
  size_t work = NextInCircle(cpus_[executor].last_work, kSimWorkCount, is_runnable);
  for (; skip > 0; --skip) work = NextInCircle(work, kSimWorkCount, is_runnable);
  return static_cast<SimWork>(work);
}

void SimScheduler::Take(const Choice& choice) {
  ++steps_;
  Cpu& cpu = cpus_[choice.executor];
  last_cpu_ = choice.executor;
  cpu.last_work = static_cast<uint32_t>(choice.work);
  trace_hash_ = Mix(trace_hash_, choice.executor * kSimWorkCount + cpu.last_work);
  trace_hash_ = Mix(trace_hash_, static_cast<uint64_t>(clock_.now.time_since_epoch().count()));
  SimExecutor& executor = *cpu.executor;  // the turn may make executors: `cpu` may move
  executor.RunTurn(choice.work);
}

Instant SimScheduler::NextWakeup() {
  Instant next = kInfiniteFuture;
  for (Cpu& cpu : cpus_) {
    if (!cpu.held) next = std::min(next, cpu.executor->NextWakeup());
  }
  return next;
}

SimScheduler::Cpu& SimScheduler::Find(const SimExecutor& executor) {
  const auto found =
      std::ranges::find_if(cpus_, [&](const Cpu& cpu) { return cpu.executor.get() == &executor; });
  assert(found != cpus_.end());
  return *found;
}

absl::Status SimScheduler::StepsExhausted(const char* caller) {
  std::string busy;
  for (const Cpu& cpu : cpus_) {
    if (cpu.runnable == 0) continue;
    absl::StrAppend(&busy, "; cpu ", cpu.executor->cpu(), " has", WorkNames(cpu.runnable));
  }
  return absl::ResourceExhaustedError(absl::StrCat(
      "SimScheduler::", caller, ": steps_max = ", options_.steps_max, " turns were not enough at ",
      clock_.now.time_since_epoch().count(), " ns", busy));
}

}  // namespace vmbuskit
