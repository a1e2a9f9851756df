#include "tests/fuzz/guest_world.h"

#include <chrono>
#include <vector>

#include "devices/echo/echo.h"
#include "devices/util/heartbeat/heartbeat.h"
#include "framework/base/fuzzing.h"

namespace vmbuskit {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

// No operation may need more turns.
constexpr uint64_t kTurnsMax = 100'000;
constexpr Pfn kFirstPage = 8;
constexpr int kStopsMax = 400;  // each has its own deadline

}  // namespace

const DeviceClass* const GuestWorld::kChatter[1] = {&ChatterClass()};

GuestWorld::GuestWorld(MemfdMemory& memory, const Options& options)
    : guarded_(options.host.guarded),
      sim_(options.seed, {.steps_max = kTurnsMax, .post_capacity = 64}),
      cpu0_(sim_.NewExecutor(0)),
      cpu1_(sim_.NewExecutor(1)),
      host_cpu_(sim_.NewExecutor(100)),
      memory_(memory),
      pages_(memory, kFirstPage, options.pages),
      chatter_(options.chatter),
      partition_(memory, 2),
      honest_(partition_, host_cpu_),
      host_(partition_, honest_, options.host),
      background_(cpu0_, "background") {
  UseChatterLog(&chatter_);
  SynicTransport::Options guest;
  guest.client.features = options.client_features;
  guest.client.isolated = options.isolated && !guarded_;
  guest.monitor_pages = options.monitor_pages;
  guest.crash_polls_max = options.crash_polls_max;
  if (!options.direct_timers) partition_.cpuid[kCpuidLeafFeatures].edx = 0;
  if (!guarded_) {
    if (options.few) {
      guest.client.gpadls_max = 4;
      guest.poster.queue_messages_max = 6;
    }
    if (options.failing_register != 0) {
      partition_.failing_registers.insert(options.failing_register);
    }
    host_.SetSilent(options.silent);
  }
  transport_ = std::make_unique<SynicTransport>(partition_, std::vector<Executor*>{&cpu0_, &cpu1_},
                                                pages_, guest);
  Bus::Options bus{.devices_max = options.few ? 5u : 12u,
                   .early_subchannels_max = options.few ? 1u : 4u,
                   .gone_devices_max = 2,
                   .observer = &observer_};
  if (options.impatient) {
    bus.start_deadline = seconds(4);
    bus.stop_deadline = seconds(1);
    bus.shutdown_deadline = seconds(2);
  }
  bus_ = std::make_unique<Bus>(*transport_, bus);
  const DeviceClass* const classes[] = {&EchoClass(), &HeartbeatClass(), &DudClass()};
  Require(bus_->RegisterClasses(classes).ok());
  if (!options.late_chatter) RegisterChatter();
  Spawn(bus_->Start());
  Settle();
}

Task<void> GuestWorld::Ignore(Task<absl::Status> task) { (void)co_await task; }

void GuestWorld::Reconnect() {
  if (guarded_ || reconnecting_) return;
  reconnecting_ = true;
  background_.Spawn(StopAndStart());
}

Task<void> GuestWorld::StopAndStart() {
  absl::Status stopped = co_await bus_->Stop();
  if (stopped.ok()) stopped = co_await bus_->Start();
  reconnecting_ = false;
}

void GuestWorld::ArmTimer(uint32_t vp, uint32_t index, uint64_t deadline) {
  if (!guarded_ || !bus_->connected()) return;
  vp %= 2;
  index %= kTimers;
  const SimTurn turn = sim_.Enter(cpu(vp));
  std::unique_ptr<SyntheticTimer>& timer = timers_[vp * kTimers + index];
  if (timer == nullptr) {
    timer = transport_->NewTimer(vp, index, Callback::To<&GuestWorld::OnTimer>(this));
    if (timer == nullptr || !timer->Start().ok()) return timer.reset();
  }
  if (timer->armed() && deadline == 0) return timer->Disarm();
  (void)timer->Arm(deadline);
}

void GuestWorld::DropTimers() {
  for (size_t i = 0; i < timers_.size(); ++i) {
    const SimTurn turn = sim_.Enter(cpu(static_cast<uint32_t>(i / kTimers)));
    timers_[i].reset();
  }
}

// Whatever was done to the others, this one is served.
void GuestWorld::CheckHonest() {
  Require(bus_->connected() && honest_.open() && !honest_.failed());
  const uint64_t before = honest_.answered();
  Pass(seconds(3));
  Require(honest_.open() && !honest_.failed());
  Require(honest_.answered() >= before + 2 && honest_.wrong() == 0);
}

void GuestWorld::StopBus() {
  std::optional<absl::Status> stopped;
  for (int i = 0; i < kStopsMax; ++i) {
    stopped = RunTask(sim_, cpu0_, bus_->Stop(), hours(1));
    Require(stopped.has_value());
    if (bus_->device_count() == 0 && !transport_->version()) break;
  }
  Require(bus_->device_count() == 0 && transport_->version() == 0);
}

void GuestWorld::Finish(Ending ending) {
  if (guarded_) CheckHonest();
  DropTimers();
  host_.SetSilent(ending == Ending::kSilent ? ~0u : 0);
  if (ending != Ending::kSilent) partition_.post_statuses.clear();
  const bool was_connected = transport_->client().state() == VmbusClient::State::kConnected;
  absl::Status crashed;
  if (ending == Ending::kCrash) {
    const SimTurn turn = sim_.Enter(cpu0_);
    crashed = transport_->CrashDisconnect();
  }
  sim_.RunUntil([this] { return background_.running() == 0; }, hours(2));
  Require(sim_.status().ok() && background_.running() == 0);
  StopBus();
  honest_.Close();
  const uint64_t steps = sim_.steps();
  Pass(hours(1));
  Require(sim_.steps() == steps);
  CheckAccounts(guarded_ && was_connected && crashed.ok() && ending != Ending::kSilent);
}

void GuestWorld::CheckAccounts(bool all_answered) {
  Require(transport_->open_channels() == 0 && transport_->shared_pages() == 0);
  Require(transport_->withheld_pages() == 0 && transport_->client().channel_count() == 0);
  Require(transport_->client().gpadl_count() == 0);
  const uint64_t lost = transport_->lost_pages();
  Require(!all_answered || lost == 0);
  Require(chatter_.alive.empty() || bus_->device_count() != 0);
  Require(chatter_.asked == chatter_.ended);
  Require(observer_.running == 0);
  bus_.reset();
  transport_.reset();
  // A register that cannot be written leaves its page with the hypervisor, on top.
  const bool exact = partition_.failing_registers.empty();
  Require(pages_.allocated() == 0);
  Require(exact ? pages_.leaked() == lost : pages_.leaked() >= lost);
  Require(memory_.mapped_pages() == 0);
}

}  // namespace vmbuskit
