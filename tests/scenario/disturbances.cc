// What a director does to devices, guest and host.
#include <cstring>
#include <iterator>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/scenario/director.h"
#include "transports/protocol/messages.h"

namespace vmbuskit {
namespace {

constexpr Duration kTimeInTheAct = std::chrono::milliseconds(100);
constexpr uint64_t kTurnsHeld = 64;

}  // namespace

void Director::Offer(uint32_t device) {
  Device& known = devices_[device];
  if (known.id) return;
  faults_.Note("host offers device ", device);
  const auto id =
      machine_->OnHost([&](EmbeddedHost& host) { return workload_->Offer(host, device); });
  // It is still on its way out: back ends have the guest's memory.
  if (absl::IsAlreadyExists(id.status())) return faults_.Note("not yet");
  if (!id.ok()) return faults_.Report(id.status());
  known = {.id = *id, .harmed = false};
  if (excused_) workload_->Harm(device);
}

void Director::Rescind(uint32_t device) {
  Device& known = devices_[device];
  if (!known.id) return;
  faults_.Note("host takes back device ", device);
  faults_.Report(
      machine_->OnHost([&](EmbeddedHost& host) { return host.RemoveDevice(*known.id); }));
  known.id.reset();
}

// While the guest moves the device, or as the next word after one that it waits for.
void Director::RescindInTheAct(uint32_t device) {
  if (random_.OneIn(3)) {
    Retarget(device);
    if (machine_->RunTurns(random_.Below(12), kTimeInTheAct)) Rescind(device);
    return;
  }
  constexpr MessageType kAnswers[] = {MessageType::kOfferChannel, MessageType::kGpadlCreated,
                                      MessageType::kOpenChannelResult,
                                      MessageType::kOpenChannelResult};
  const MessageType answer = kAnswers[random_.Below(std::size(kAnswers))];
  machine_->outbox().Watch(answer, static_cast<uint32_t>(1 + random_.Below(4)));
  if (devices_[device].id) {
    Restart(device);
  } else {
    Offer(device);
  }
  if (!machine_->RunUntilWatched(kTimeInTheAct)) return;
  if (random_.OneIn(2) && !machine_->RunTurns(random_.Below(12), kTimeInTheAct)) return;
  for (uint32_t other = 0; other < devices_.size(); ++other) {
    uint32_t word = 0;
    std::memcpy(&word, workload_->instance(other).bytes.data(), sizeof word);
    if (word == *machine_->outbox().watched()) return Rescind(other);
  }
}

void Director::Restart(uint32_t device) {
  faults_.Note("guest restarts device ", device);
  const absl::Status status =
      machine_->OnBus([&](Bus& bus) { return bus.RestartDevice(workload_->instance(device)); });
  faults_.Note("restart: ", status.ToString());
}

void Director::Retarget(uint32_t device) {
  const auto cpu = static_cast<uint32_t>(random_.Below(machine_->vp_count()));
  const auto index = static_cast<uint16_t>(random_.OneIn(4) ? random_.Below(3) : 0);
  faults_.Note("guest moves channel ", index, " of device ", device, " to cpu ", cpu);
  Spawn("retarget", machine_->bus().Retarget(workload_->instance(device), index, cpu));
}

// One executor stands still while the others go on and, perhaps, a device is taken, offered or moved.
void Director::HoldUp(uint32_t device) {
  const uint32_t vp = static_cast<uint32_t>(random_.Below(machine_->vp_count() + 1));
  const bool is_host = vp == machine_->vp_count();
  SimExecutor& executor = is_host ? machine_->host_executor() : machine_->cpu(vp);
  faults_.Note("somebody takes ", is_host ? "the host's CPU" : absl::StrCat("cpu ", vp));
  machine_->sim().Hold(executor);
  if (machine_->RunTurns(random_.Below(kTurnsHeld), kTimeInTheAct)) {
    constexpr void (Director::* kMeanwhile[])(uint32_t) = {&Director::Rescind, &Director::Offer,
                                                           &Director::Retarget};
    const uint64_t drawn = random_.Below(2 * std::size(kMeanwhile));
    if (drawn < std::size(kMeanwhile)) (this->*kMeanwhile[drawn])(device);
    (void)machine_->RunTurns(random_.Below(kTurnsHeld), kTimeInTheAct);
  }
  machine_->sim().Release(executor);
  faults_.Note("and gives it back");
}

void Director::Reconnect(uint32_t) {
  JoinOperations();
  if (!ok() || !started_.ok()) return;
  faults_.Note("guest disconnects");
  const absl::Status stopped = machine_->AwaitStatus("Bus::Stop", machine_->bus().Stop());
  if (!stopped.ok()) {
    if (!excused_) {
      faults_.Report(absl::InternalError(absl::StrCat("Bus::Stop: ", stopped.message())));
    }
    return Crash(0);
  }
  // A host that kept something to itself may still think of the old connection.
  if (excused_) return Crash(0);
  ForgetHarm();
  StartBus();
}

void Director::Crash(uint32_t) {
  JoinOperations();
  if (!ok()) return;
  // A dead guest answers nobody.
  const bool with_crash_path = random_.OneIn(2);
  workload_->BeginCrash(machine_->sim(), !with_crash_path);
  machine_->Crash(with_crash_path, workload_->holds_memory());
  workload_->EndCrash();
  if (ok()) BootAndStart();
}

// The host is saved and restored, half of the time on a machine with another clock.
void Director::RestoreHost(uint32_t) {
  faults_.Note("host is saved and restored");
  const auto saved = machine_->OnHost([](EmbeddedHost& host) { return host.Save(); });
  if (!saved.ok()) return faults_.Report(saved.status());
  if (random_.OneIn(2)) {
    const uint64_t hz = 1'000'000'000 + random_.Below(4'000'000'000);
    machine_->OnHost([&](EmbeddedHost& host) { host.hypervisor().Migrate(hz); });
  }
  faults_.Report(machine_->OnHost([&](EmbeddedHost& host) { return host.Restore(*saved); }));
}

void Director::ScribbleInRing(uint32_t device) {
  if (!devices_[device].id) return;
  const VmbusServer& server = machine_->host().server();
  std::vector<Pfn> pages;
  for (const auto& [key, entry] : server.gpadls().all()) {
    const auto channel = server.channels().all().find(key.first);
    if (channel == server.channels().all().end() || entry.pages == nullptr) continue;
    if (channel->second.offer.instance_id != workload_->instance(device)) continue;
    pages.insert(pages.end(), entry.pages->pfns.begin(), entry.pages->pfns.end());
  }
  if (pages.empty()) return;
  devices_[device].harmed = true;
  workload_->Harm(device);
  if (workload_->harm_spreads()) ExcuseHost();
  const uint64_t strokes = 1 + random_.Below(8);
  for (uint64_t i = 0; i < strokes; ++i) {
    const Pfn page = pages[random_.Below(pages.size())];
    // Half of them hit the words at the beginning, where indices are.
    const uint64_t offset = 4 * random_.Below(random_.OneIn(2) ? 8 : 1024);
    const auto value =
        static_cast<uint32_t>(random_.OneIn(2) ? random_.Next() : 8 * random_.Below(1024));
    const auto bytes = machine_->memory().Translate(page * 4096 + offset, sizeof value);
    if (bytes.ok()) std::memcpy(bytes->data(), &value, sizeof value);
    faults_.Note("somebody writes ", value, " at ", offset, " of page ", page, " of device ",
                 device);
  }
}

void Director::DisturbWorkload(uint32_t device) {
  const Device& known = devices_[device];
  if (!known.id) return;
  machine_->OnHost(
      [&](EmbeddedHost& host) { workload_->Disturb(host, device, *known.id, random_); });
}

void Director::SendHostileMessage(uint32_t) {
  const VmbusServer& server = machine_->host().server();
  if (server.state() != VmbusServer::State::kConnected) return;
  ExcuseHost();
  std::vector<std::byte> message(8 + random_.Below(232));
  for (std::byte& byte : message) {
    byte = static_cast<std::byte>(random_.OneIn(2) ? 0 : random_.Next());
  }
  const auto type = static_cast<uint32_t>(random_.Below(31));
  const auto relid = static_cast<uint32_t>(random_.Below(40));
  std::memcpy(message.data(), &type, sizeof type);
  if (message.size() >= 12) std::memcpy(message.data() + 8, &relid, sizeof relid);
  faults_.Note("host lies: message ", type, " about ", relid);
  machine_->OnHost([&](EmbeddedHost& host) { host.Deliver(server.target(), message); });
}

}  // namespace vmbuskit
