#include "tests/scenario/director.h"

#include <cassert>
#include <utility>

#include "absl/strings/str_cat.h"

namespace vmbuskit {
namespace {

constexpr uint32_t kRoundsMax = 3;
constexpr uint32_t kTurnsBetween = 600;  // two disturbances, at most
constexpr Duration kTimeBetween = std::chrono::seconds(2);

Task<void> Keep(Task<absl::Status> task, absl::Status* result) { *result = co_await task; }

Task<void> Tell(FaultSource& faults, const char* what, Task<absl::Status> task) {
  absl::Status status = co_await task;
  faults.Note(what, " ended: ", status.ToString());
  if (absl::IsDeadlineExceeded(status) && faults.plan().host_is_honest()) {
    faults.Report(absl::InternalError(
        absl::StrCat(what, " waited in vain for a host that answers: ", status.message())));
  }
}

}  // namespace

Director::Director(const FaultPlan& plan, const ScenarioOptions& options)
    : random_(options.seed + 0x5eed),
      machine_(std::make_unique<Machine>(plan, options.seed, options.trace)),
      faults_(machine_->faults()),
      workload_(MakeWorkload(options.workload, faults_)) {
  faults_.Note("seed ", options.seed, ":", plan.ToString());
  if (workload_ == nullptr) {
    faults_.Report(absl::InvalidArgumentError(absl::StrCat("no workload ", options.workload)));
    return;
  }
  devices_.resize(workload_->device_count());
  faults_.set_on_silence(Callback::To<&Director::OnSilence>(this));
  machine_->set_on_guest_ended(Callback::To<&Director::OnGuestEnded>(this));
  machine_->outbox().set_on_dropped(Callback::To<&Director::ExcuseHost>(this));
  operations_ = std::make_unique<TaskGroup>(machine_->cpu(0), "operations");
}

Director::~Director() = default;

ScenarioResult Director::Run() {
  if (ok()) BootAndStart();
  const uint64_t rounds = 1 + random_.Below(kRoundsMax);
  for (uint64_t round = 0; round < rounds && ok(); ++round) Round();
  if (ok()) End();
  ScenarioResult result;
  result.trace_hash = machine_->sim().trace_hash();
  result.turns = machine_->sim().steps();
  result.virtual_time = machine_->sim().Now().time_since_epoch();
  result.faults = faults_.injected();
  if (operations_ != nullptr) {
    const SimTurn turn = machine_->sim().Enter(machine_->cpu(0));
    operations_->DestroyAll();
  }
  machine_->TearDown();
  if (workload_ != nullptr) workload_->ReleaseHost(machine_->sim());
  result.status = faults_.violation();
  if (workload_ != nullptr) {
    const Workload::Figures figures = workload_->figures();
    result.packets = figures.packets;
    result.signals = figures.signals;
    result.needless_signals = figures.needless_wakeups;
    result.lun_resets = figures.lun_resets;
    result.bus_resets = figures.bus_resets;
  }
  return result;
}

void Director::BootAndStart() {
  machine_->Boot(workload_->classes(), workload_->observer());
  workload_->OnBoot(machine_->cpus());
  ForgetHarm();
  for (uint32_t device = 0; device < devices_.size(); ++device) {
    if (!devices_[device].id && !random_.OneIn(8)) Offer(device);
  }
  StartBus();
}

void Director::ForgetHarm() {
  excused_ = false;
  for (uint32_t device = 0; device < devices_.size(); ++device) {
    devices_[device].harmed = false;
    workload_->Renew(device);
  }
}

void Director::StartBus() {
  started_ = absl::UnknownError("starting");
  operations_->Spawn(Keep(machine_->bus().Start(), &started_));
}

void Director::Round() {
  faults_.set_active(true);
  faults_.Note("---- round");
  for (uint32_t i = 0; i < faults_.plan().disturbances && ok(); ++i) {
    if (!machine_->RunTurns(random_.Below(kTurnsBetween), kTimeBetween)) return;
    Disturb();
  }
  if (ok()) workload_->StartRound(machine_->sim());
  if (ok()) machine_->RunTurns(random_.Below(4 * kTurnsBetween), kTimeBetween);
  if (ok()) Settle();
  if (ok()) CheckQuiescent();
}

void Director::Disturb() {
  const FaultPlan& plan = faults_.plan();
  const std::pair<uint32_t, void (Director::*)(uint32_t)> kinds[] = {
      {plan.rescind_weight, &Director::Rescind},
      {plan.rescind_in_the_act_weight, &Director::RescindInTheAct},
      {plan.reoffer_weight, &Director::Offer},
      {plan.restart_weight, &Director::Restart},
      {plan.retarget_weight, &Director::Retarget},
      {plan.hold_weight, &Director::HoldUp},
      {plan.reconnect_weight, &Director::Reconnect},
      {plan.crash_weight, &Director::Crash},
      {workload_->can_be_saved() ? plan.restore_weight : 0, &Director::RestoreHost},
      {plan.hostile_ring_weight, &Director::ScribbleInRing},
      {plan.hostile_message_weight, &Director::SendHostileMessage},
      {workload_->has_disturbances() ? plan.workload_weight : 0, &Director::DisturbWorkload},
  };
  uint64_t total = 0;
  for (const auto& [weight, kind] : kinds) total += weight;
  if (total == 0) return;
  uint64_t drawn = random_.Below(total);
  for (const auto& [weight, kind] : kinds) {
    if (drawn < weight) {
      faults_.CountInjected();
      return (this->*kind)(static_cast<uint32_t>(random_.Below(devices_.size())));
    }
    drawn -= weight;
  }
}

void Director::Spawn(const char* what, Task<absl::Status> task) {
  operations_->Spawn(Tell(faults_, what, std::move(task)));
}

void Director::JoinOperations() {
  SimScheduler& sim = machine_->sim();
  if (sim.RunUntil([&] { return operations_->running() == 0; }, std::chrono::minutes(20))) return;
  faults_.Report(absl::InternalError("Start, Retarget or the like did not end in 20 minutes"));
}

void Director::ExcuseHost() {
  excused_ = true;
  for (uint32_t device = 0; device < devices_.size(); ++device) workload_->Harm(device);
}

void Director::Settle() {
  faults_.set_active(false);
  // Longer than any deadline of the bus.
  for (int i = 0; i < 1200; ++i) {
    if (!machine_->RunFor(std::chrono::milliseconds(500))) return;
    if (IsSettled()) return;
  }
  faults_.Report(absl::InternalError(
      absl::StrCat("not at rest after ten minutes without faults: operations ",
                   operations_->running(), ", messages held ", machine_->outbox().held(),
                   ", workload ", workload_->idle() ? "idle" : "busy")));
}

bool Director::IsSettled() {
  if (operations_->running() != 0 || machine_->outbox().held() != 0) return false;
  if (!started_.ok()) {
    // A connection that a silent host let fail; it is tried again until it is there.
    if (!excused_) {
      faults_.Report(absl::InternalError(absl::StrCat("Bus::Start: ", started_.message())));
      return true;
    }
    StartBus();
    return false;
  }
  if (!workload_->idle()) return false;
  const auto infos = machine_->Await("Bus::Describe", machine_->bus().Describe());
  if (!infos.ok()) return true;
  for (const DeviceInfo& info : *infos) {
    if (info.state == DeviceState::kStarting || info.state == DeviceState::kStopping) return false;
  }
  return workload_->idle();
}

void Director::CheckQuiescent() {
  faults_.Note("---- at rest", excused_ ? ", the host excused" : "");
  if (excused_) return;
  const auto infos = machine_->Await("Bus::Describe", machine_->bus().Describe());
  if (!infos.ok()) return;
  for (uint32_t device = 0; device < devices_.size(); ++device) CheckDevice(device, *infos);
  CheckAccounts();
}

void Director::CheckDevice(uint32_t device, const std::vector<DeviceInfo>& infos) {
  const Guid instance = workload_->instance(device);
  const DeviceInfo* found = nullptr;
  uint32_t alive = 0;
  for (const DeviceInfo& info : infos) {
    if (info.instance_id != instance || info.state == DeviceState::kGone) continue;
    ++alive;
    found = &info;
  }
  const Device& offered = devices_[device];
  if (alive != (offered.id ? 1u : 0u)) {
    faults_.Report(
        absl::InternalError(absl::StrCat("device ", device, ": the host offers it ",
                                         offered.id ? "once" : "not", ", the guest has ", alive)));
    return;
  }
  if (found == nullptr || offered.harmed) return;
  if (found->state != DeviceState::kRunning) {
    faults_.Report(absl::InternalError(absl::StrCat(
        "device ", device, " is ", std::string(ToString(found->state)), ": ", found->status)));
    return;
  }
  machine_->OnHost(
      [&](EmbeddedHost& host) { workload_->CheckQuiescent(host, device, *offered.id); });
}

void Director::CheckAccounts() {
  const VmbusServer& server = machine_->host().server();
  uint64_t offered = 0;
  uint64_t open = 0;
  for (const auto& [id, channel] : server.channels().all()) {
    offered += channel.relid != 0;
    open += channel.state == ChannelState::kOpen;
  }
  const auto compare = [&](const char* what, uint64_t guest, uint64_t host) {
    if (guest == host) return;
    faults_.Report(absl::InternalError(
        absl::StrCat(what, ": ", guest, " by the guest's account, ", host, " by the host's")));
  };
  const SynicTransport& transport = machine_->transport();
  if (faults_.plan().host_is_honest()) {
    const auto none = [&](const char* what, uint64_t count, const std::string& last) {
      if (count == 0) return;
      faults_.Report(absl::InternalError(absl::StrCat(what, ": ", count, ", not 0 ", last)));
    };
    none("pages withheld from the guest", transport.withheld_pages(), "");
    none("lies of an honest host", transport.client().counters().violations,
         std::string(transport.client().last_violation().message()));
  }
  compare("channels on offer", transport.client().channel_count(), offered);
  bool harmed = false;
  for (const Device& device : devices_) harmed |= device.harmed;
  if (harmed) return;
  compare("open channels", transport.open_channels(), open);
  compare("GPADLs", transport.client().gpadl_count(), server.gpadls().count());
}

void Director::End() {
  JoinOperations();
  if (!ok()) return;
  machine_->Shutdown(excused_);
  if (ok()) workload_->CheckEnded();
}

}  // namespace vmbuskit
