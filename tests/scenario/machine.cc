#include "tests/scenario/machine.h"

#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"

namespace vmbuskit {
namespace {

constexpr uint64_t kPages = 16 * 1024;
// The first megabyte is not the allocator's, as in a real guest.
constexpr uint64_t kFirstPage = 256;
// Of back ends that are told nothing more: turns, not work.
constexpr Duration kLettingGo = std::chrono::microseconds(1);

std::vector<Executor*> ExecutorsOf(const std::vector<SimExecutor*>& cpus) {
  return {cpus.begin(), cpus.end()};
}

}  // namespace

Machine::Machine(const FaultPlan& plan, uint64_t seed, std::ostream* trace)
    : sim_(seed),
      faults_(plan, seed + 1, sim_, trace),
      host_executor_(sim_.NewExecutor(1000)),
      outbox_(host_executor_, faults_) {
  for (uint32_t vp = 0; vp < plan.vp_count; ++vp) cpus_.push_back(&sim_.NewExecutor(vp));
  const absl::StatusOr<ReusedMemory*> memory = ScenarioMemory();
  if (!memory.ok()) {
    faults_.Report(memory.status());
    return;
  }
  memory_ = *memory;
  memory_->Renew(/*guarded=*/seed % 4 == 0);
  EmbeddedHost::Options options;
  options.outbox = &outbox_;
  options.partition.monitor_period = std::chrono::milliseconds(5);
  options.server.offer_shuffle_seed = plan.offer_shuffle_seed;
  if (plan.host_version_max != 0) options.server.max_version = plan.host_version_max;
  host_ = std::make_unique<EmbeddedHost>(*memory_, host_executor_, ExecutorsOf(cpus_), options);
  outbox_.Connect(*host_);
  partition_ = std::make_unique<FaultyPartition>(host_->partition(), ExecutorsOf(cpus_),
                                                 host_executor_, faults_);
}

Machine::~Machine() { TearDown(); }

void Machine::TearDown() {
  if (host_ == nullptr) return;
  if (booted()) Crash(/*with_crash_path=*/false);
  outbox_.Forget();
  partition_.reset();
  const SimTurn turn = sim_.Enter(host_executor_);
  host_.reset();
}

void Machine::Boot(std::span<const DeviceClass* const> classes, DeviceObserver* observer) {
  guest_ = std::make_unique<Guest>();
  guest_->pages = std::make_unique<WatchedPages>(*memory_, host_, faults_);
  SynicTransport::Options options;
  options.monitor_pages = faults_.plan().monitor_pages;
  options.crash_pause = Callback::To<&Machine::PauseInCrash>(this);
  guest_->transport =
      std::make_unique<SynicTransport>(*partition_, ExecutorsOf(cpus_), *guest_->pages, options);
  guest_->bus = std::make_unique<Bus>(*guest_->transport, Bus::Options{.observer = observer});
  faults_.Report(OnBus([&](Bus& bus) { return bus.RegisterClasses(classes); }));
}

void Machine::Shutdown(bool host_was_silent) {
  const absl::Status stopped = AwaitStatus("Bus::Stop", bus().Stop());
  faults_.Note("guest stopped: ", stopped.ToString());
  if (!host_was_silent && !stopped.ok()) {
    faults_.Report(absl::InternalError(absl::StrCat("Bus::Stop: ", stopped.message())));
  }
  if (!stopped.ok()) return Crash(/*with_crash_path=*/false);
  Destroy(/*pages_may_be_lost=*/host_was_silent);
  if (!host_was_silent) {
    Expect("pages that the host shares after UNLOAD", host_->shared_pages().total(), 0);
  }
}

void Machine::Crash(bool with_crash_path, bool hold_memory) {
  faults_.Note("guest crashes", with_crash_path ? "" : " without a word");
  if (with_crash_path) {
    const SimTurn turn = sim_.Enter(cpu(0));
    const absl::Status unloaded = transport().CrashDisconnect();
    faults_.Note("crash path: ", unloaded.ToString());
  } else {
    OnHost([](EmbeddedHost& host) { host.CrashGuest(); });
  }
  outbox_.Forget();
  if (!with_crash_path) {
    const auto let_go = [&] { return host_->shared_pages().total() == 0; };
    if (hold_memory) (void)sim_.RunUntil(let_go, kLettingGo);
    Expect("pages that the host shares after a reset", host_->shared_pages().total(), 0);
  }
  // What still runs of the dead guest talks to nobody, and ends by its own deadlines.
  absl::Status stopped;
  for (int i = 0; i < 3; ++i) {
    stopped = AwaitStatus("Bus::Stop of a dead guest", bus().Stop());
    if (stopped.code() != absl::StatusCode::kDeadlineExceeded) break;
  }
  Destroy(/*pages_may_be_lost=*/true);
  OnHost([](EmbeddedHost& host) { host.CrashGuest(); });
  outbox_.Forget();
  Expect("pages that the host shares after a reset", host_->shared_pages().total(), 0);
  Expect("pages that are mapped without a guest", memory_->mapped_pages(), 0);
}

void Machine::Destroy(bool pages_may_be_lost) {
  if (on_guest_ended_) on_guest_ended_();
  const SimTurn turn = sim_.Enter(cpu(0));
  guest_->bus.reset();
  Expect("open channels of a stopped guest", transport().open_channels(), 0);
  const uint64_t lost = transport().lost_pages();
  if (!pages_may_be_lost) {
    Expect("pages lost to the host", lost, 0);
    Expect("pages that the guest shares after its end", transport().shared_pages(), 0);
  }
  guest_->transport.reset();
  Expect("pages allocated by a stopped guest", guest_->pages->allocated(), 0);
  partition_->Forget();
  guest_.reset();
}

void Machine::Expect(const char* what, uint64_t found, uint64_t expected) {
  if (found == expected) return;
  faults_.Report(absl::InternalError(absl::StrCat(what, ": ", found, ", not ", expected)));
}

void Machine::Hung(const char* what) {
  faults_.Report(absl::InternalError(
      absl::StrCat(what, " did not end within an hour: ", sim_.status().message())));
}

void Machine::PauseInCrash() { (void)sim_.RunFor(std::chrono::milliseconds(10)); }

bool Machine::RunFor(Duration duration) {
  const absl::Status status = sim_.RunFor(duration);
  if (!status.ok()) faults_.Report(status);
  return faults_.violation().ok();
}

bool Machine::RunTurns(uint64_t turns, Duration limit) {
  const uint64_t end = sim_.steps() + turns;
  (void)sim_.RunUntil([&] { return sim_.steps() >= end; }, limit);
  if (!sim_.status().ok()) faults_.Report(sim_.status());
  return faults_.violation().ok();
}

bool Machine::RunUntilWatched(Duration limit) {
  (void)sim_.RunUntil([&] { return outbox_.watched().has_value(); }, limit);
  if (!sim_.status().ok()) faults_.Report(sim_.status());
  return faults_.violation().ok() && outbox_.watched().has_value();
}

}  // namespace vmbuskit
