// A whole guest against a hostile host. The input is a program: the first operation says what world
// it is, each other one what the host (or the guest's owner) does next. See hostile_host.h for what
// the host can do, guest_world.h for what must hold at the end; besides, after every operation
// everything comes to rest.
#include <algorithm>
#include <chrono>
#include <iterator>

#include "devices/echo/protocol.h"
#include "devices/util/heartbeat/protocol.h"
#include "devices/util/ic/negotiation.h"
#include "framework/base/fuzzing.h"
#include "tests/fuzz/guest_world.h"
#include "tests/fuzz/program_run.h"
#include "tests/fuzz/ring_operations.h"

namespace vmbuskit {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kTimes[] = {microseconds(1), milliseconds(1), milliseconds(120), seconds(1),
                               seconds(5),      seconds(61),     seconds(182),      seconds(305)};
constexpr uint32_t kRegisters[] = {0,         kRegGuestOsId, kRegHypercall,         kRegScontrol,
                                   kRegSiefp, kRegSimp,      kRegSint0 + kVmbusSint};
constexpr HypercallStatus kPostStatuses[] = {
    HypercallStatus::kInsufficientBuffers, HypercallStatus::kInsufficientMemory,
    HypercallStatus::kInvalidConnectionId, HypercallStatus::kInvalidParameter};
constexpr uint32_t kStormMax = 200;  // more than a processor takes in a turn
constexpr uint32_t kSendsMax = 600;  // of one operation: more than a ring holds

class Fuzz {
 public:
  Fuzz(MemfdMemory& memory, const Operation& world)
      : guarded_((world.who & 1) == 0),
        ending_(static_cast<GuestWorld::Ending>(world.who >> 1 & 3)),
        world_(memory, Choose(world)) {
    if (ending_ > GuestWorld::Ending::kCrash) ending_ = GuestWorld::Ending::kUnload;
  }

  void Do(const Operation& operation) {
    static constexpr void (Fuzz::* kDoings[])(const Operation&) = {
        &Fuzz::Serve,    &Fuzz::Serve,       &Fuzz::SendPacket, &Fuzz::SendPacket,
        &Fuzz::Control,  &Fuzz::Control,     &Fuzz::Data,       &Fuzz::SendIc,
        &Fuzz::SendIc,   &Fuzz::Interrupt,   &Fuzz::Flags,      &Fuzz::Offer,
        &Fuzz::Offer,    &Fuzz::Rescind,     &Fuzz::Silence,    &Fuzz::AnswerAgain,
        &Fuzz::SayRaw,   &Fuzz::AnswerAgain, &Fuzz::Slot,       &Fuzz::RefusePosts,
        &Fuzz::PassTime, &Fuzz::PassTime,    &Fuzz::Monitor,    &Fuzz::Chat,
        &Fuzz::Chat,     &Fuzz::Restart,     &Fuzz::Retarget,   &Fuzz::Cpus,
        &Fuzz::Look,     &Fuzz::Reconnect,   &Fuzz::Plan,       &Fuzz::Flood,
        &Fuzz::Blunder,  &Fuzz::Register,    &Fuzz::Capture,    &Fuzz::Timer,
        &Fuzz::Refuse,   &Fuzz::BreakPage,   &Fuzz::Storm,      &Fuzz::StartAgain,
    };
    (this->*kDoings[operation.code % std::size(kDoings)])(operation);
  }
  void Settle() { world_.Settle(); }
  void Finish() { world_.Finish(ending_); }

 private:
  static GuestWorld::Options Choose(const Operation& world) {
    GuestWorld::Options options;
    options.host.guarded = (world.who & 1) == 0;
    options.host.version_max = kVersionsNewestFirst[world.code % kVersionsNewestFirst.size()];
    options.host.features = options.client_features = world.a & 0xFF;
    options.monitor_pages = (world.who & 8) == 0;
    options.isolated = (world.who & 16) != 0;
    options.late_chatter = (world.c >> 34 & 1) != 0;
    options.impatient = (world.c >> 35 & 1) != 0;
    options.few = (world.c >> 36 & 1) != 0;
    options.direct_timers = (world.c >> 37 & 1) == 0;
    if (!options.host.guarded) {
      options.host.bends_contact = (world.c >> 38 & 1) != 0;
      options.host.contact = {
          .offset = static_cast<uint32_t>(world.c >> 40 & 0xFF), .value = world.b, .longer = 0};
      options.host.offers_at_once = (world.who & 32) == 0;
      if ((world.who & 64) != 0) options.pages = world.c >> 48 & 63;
      options.pages = std::max<uint64_t>(options.pages, 1);
      options.failing_register = kRegisters[(world.a >> 8) % std::size(kRegisters)];
      options.silent = static_cast<uint32_t>(world.c & 0xFF);
      // Contact and request for offers are answered mostly, or nothing happens.
      if ((world.c & 0x300) != 0x300) options.silent &= ~3u;
    }
    options.seed = world.b;
    options.chatter = {.shares_bytes = static_cast<uint32_t>(world.c >> 16 & 0x7FFF),
                       .subchannels = static_cast<uint32_t>(world.c >> 32 & 1),
                       .calls = (world.c >> 33 & 1) == 0};
    return options;
  }

  HostileHost::Victim* Victim(const Operation& operation) {
    return world_.host().Find(operation.who & 0x3F);
  }
  // One of the devices, not the honest one while it is guarded.
  Guid Instance(const Operation& operation) const {
    return HostileHost::Instance((guarded_ ? 2 : 1) + operation.who % 6);
  }

  // ---- Rings.
  void Serve(const Operation& operation) {
    if (HostileHost::Victim* victim = Victim(operation)) {
      world_.host().Serve(*victim, operation.a % 64 + 1, BendOf(operation));
    }
  }
  void SendPacket(const Operation& operation) {
    HostileHost::Victim* victim = Victim(operation);
    if (victim == nullptr) return;
    const BentPacket packet(operation);
    world_.host().Send(*victim, packet.descriptor, packet.transaction, packet.payload());
  }
  void Flood(const Operation& operation) {
    HostileHost::Victim* victim = Victim(operation);
    if (victim == nullptr) return;
    for (uint32_t i = 0; i < operation.a % kSendsMax; ++i) {
      world_.host().Send(*victim, WordDescriptor(operation.b % 2 == 1), i,
                         std::as_bytes(std::span(&operation.c, 1)));
    }
  }
  void Control(const Operation& operation) {
    HostileHost::Victim* victim = Victim(operation);
    if (victim == nullptr) return;
    WriteControl(victim->rings, operation);
    if ((operation.c & 1) != 0) world_.host().Interrupt(*victim);
  }
  void Data(const Operation& operation) {
    if (HostileHost::Victim* victim = Victim(operation)) WriteData(victim->rings, operation);
  }
  // A negotiation, or a beat.
  void SendIc(const Operation& operation) {
    HostileHost::Victim* victim = Victim(operation);
    if (victim == nullptr) return;
    static constexpr ic::Version kVersions[] = {{1, 0}, {3, 0}};
    std::vector<std::byte> message(256);
    if (operation.a % 2 == 0) {
      message.resize(ic::BuildNegotiation({kVersions, kVersions}, message));
    } else {
      ic::Header header{};
      header.framework = header.message = {3, 0};
      header.message_type = ic::MessageType::kHeartbeat;
      header.body_bytes = sizeof(heartbeat::Body);
      header.flags = ic::kRequestFlags;
      message.resize(ic::FinishMessage(message, header));
    }
    BendOf(operation).Apply(message, 2048);
    const uint64_t length = 2 + (message.size() + 7) / 8;
    world_.host().Send(*victim, 0x0002'0006 | length << 32, operation.a, message);
  }
  void Interrupt(const Operation& operation) {
    if (operation.a % 4 == 0) {
      return world_.partition().Raise(operation.who % 2, static_cast<uint8_t>(operation.b));
    }
    world_.host().Interrupt(operation.who % 2, operation.b);
  }
  void Flags(const Operation& operation) {
    world_.host().WriteFlags(operation.who, operation.a, operation.c);
  }

  // ---- Messages.
  void Offer(const Operation& operation) {
    static constexpr Guid kUnknown = Guid::Parse("ffffffff-0000-4000-8000-766d6275736b");
    const Guid classes[] = {kChatterClassId,     kChatterClassId, echo::kClassId,
                            heartbeat::kClassId, kUnknown,        kDudClassId};
    world_.host().Offer(classes[operation.who % std::size(classes)], operation.a % 16, operation.b,
                        static_cast<uint16_t>(operation.c & 0xFFFF),
                        static_cast<uint16_t>(operation.c >> 16),
                        (operation.c >> 32 & 1) == 0 ? uint8_t{kNoMonitor}
                                                     : static_cast<uint8_t>(operation.c >> 40));
  }
  void Rescind(const Operation& operation) { world_.host().Rescind(operation.b); }
  void Silence(const Operation& operation) { world_.host().SetSilent(operation.b); }
  void AnswerAgain(const Operation& operation) {
    if (guarded_ || operation.a < 512) {
      world_.host().AnswerAgain(operation.a, BendOf(operation));
    } else {  // the last one
      const size_t count = world_.host().fake().received.size();
      world_.host().AnswerAgain(static_cast<uint32_t>(count - 1), BendOf(operation));
    }
  }
  void SayRaw(const Operation& operation) {
    world_.host().SayRaw(operation.a % (kMessageTypeCount + 3), operation.b,
                         static_cast<uint32_t>(operation.c >> 32), operation.c,
                         8 + operation.who % 64 * 4);
  }
  void Slot(const Operation& operation) {
    static constexpr uint32_t kTypes[] = {kMessageTypeVmbus, kMessageTypeTimer, 2, ~0u};
    world_.host().WriteSlot(operation.who, kTypes[operation.a % std::size(kTypes)],
                            static_cast<uint8_t>(operation.b), operation.a >> 8 & 1, operation.c);
  }
  void RefusePosts(const Operation& operation) {
    // Those that the guest must take as the end of everything are no attack on one device.
    const HypercallStatus status =
        kPostStatuses[operation.a % (guarded_ ? 3 : std::size(kPostStatuses))];
    const uint32_t count = operation.b % (guarded_ ? 8 : 128);
    world_.partition().post_statuses.assign(count, status);
    if (!guarded_ && operation.c % 8 == 1) {
      world_.partition().signal_status = HypercallStatus::kInvalidConnectionId;
    }
  }
  void Monitor(const Operation& operation) { world_.host().WriteMonitor(operation.b, operation.c); }
  void PassTime(const Operation& operation) {
    world_.Pass(kTimes[operation.a % std::size(kTimes)]);
  }

  void Refuse(const Operation& operation) {
    world_.host().SetRefusal(operation.a % 2 == 0 ? 0 : operation.b);
  }
  void Storm(const Operation& operation) { world_.host().Storm(operation.a % kStormMax); }
  // From now on the hypervisor takes no value for that register.
  void BreakPage(const Operation& operation) {
    const uint32_t reg = kRegisters[operation.a % std::size(kRegisters)];
    if (!guarded_ && reg != 0) world_.partition().failing_registers.insert(reg);
  }

  // ---- The guest's owner.
  void Chat(const Operation& operation) {
    std::vector<Chatter*>& chatters = world_.chatter().alive;
    if (chatters.empty()) return;
    Chatter& chatter = *chatters[operation.who % chatters.size()];
    const SimTurn turn = world_.sim().Enter(world_.cpu(chatter.executor().cpu()));
    switch (operation.a % 8) {
      case 0:
      case 1:
      case 2:
        return chatter.Ask(operation.b % 8);
      case 3:
        return chatter.Abandon();
      case 4:
        return operation.c % 8 == 0 ? chatter.Hang() : chatter.Ask(1);
      default:
        return chatter.Say(operation.b % 400, operation.c % 2100);
    }
  }
  void Blunder(const Operation& operation) {
    std::vector<Chatter*>& chatters = world_.chatter().alive;
    if (chatters.empty()) return;
    Chatter& chatter = *chatters[operation.who % chatters.size()];
    Gate::Holder inside;
    {
      const SimTurn turn = world_.sim().Enter(world_.cpu(chatter.executor().cpu()));
      inside = chatter.Enter();
    }
    if (inside) world_.Spawn(chatter.Blunder(std::move(inside), operation.a, operation.b));
  }
  void Register(const Operation&) {
    const SimTurn turn = world_.sim().Enter(world_.cpu(0));
    world_.RegisterChatter();
  }
  void StartAgain(const Operation&) { world_.Spawn(world_.bus().Start()); }
  void Capture(const Operation& operation) {
    switch (operation.a % 3) {
      case 0:
        return world_.Spawn(world_.bus().StartCapture({.bytes = 4096 + operation.b % 4096}));
      case 1:
        return world_.Spawn(world_.bus().DrainCapture(sink_));
      default:
        world_.Spawn(world_.bus().StopCapture());
    }
  }
  void Timer(const Operation& operation) {
    world_.ArmTimer(operation.who, operation.a, operation.b % 4 == 0 ? 0 : operation.c);
  }
  void Restart(const Operation& operation) {
    const SimTurn turn = world_.sim().Enter(world_.cpu(0));
    (void)world_.bus().RestartDevice(Instance(operation));
  }
  void Retarget(const Operation& operation) {
    world_.Spawn(world_.bus().Retarget(Instance(operation), operation.a % 3, operation.b % 3));
  }
  void Cpus(const Operation& operation) {
    const SimTurn turn = world_.sim().Enter(world_.cpu(0));
    if (operation.a % 3 == 0) return world_.Spawn(world_.bus().MoveChannelsAway(1));
    (void)(operation.a % 3 == 1 ? world_.bus().SetCpuOffline(operation.b % 3)
                                : world_.bus().SetCpuOnline(operation.b % 3));
  }
  void Look(const Operation& operation) {
    if (operation.a % 2 == 0) return world_.Spawn(Inspect());
    world_.Spawn(world_.bus().WaitUntilSettled(seconds(operation.b % 100)));
  }
  Task<void> Inspect() {
    InspectNode node;
    co_await world_.bus().Inspect(node);
    world_.transport().Inspect(node);
    const std::vector<DeviceInfo> devices = co_await world_.bus().Describe();
    Require(devices.size() <= 12 + 2);
  }
  void Reconnect(const Operation&) { world_.Reconnect(); }
  // Of chatters that start from now on.
  void Plan(const Operation& operation) {
    world_.chatter().shares_bytes = operation.b % 0x8000;
    world_.chatter().subchannels = operation.a % 3;
    world_.chatter().calls = operation.c % 2 == 0;
  }

  class Nowhere final : public ByteSink {
    absl::Status Write(std::span<const std::byte>) override { return absl::OkStatus(); }
  };

  const bool guarded_;
  GuestWorld::Ending ending_;
  Nowhere sink_;
  GuestWorld world_;
};

}  // namespace
}  // namespace vmbuskit

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return vmbuskit::RunProgram<vmbuskit::Fuzz>(data, size, vmbuskit::GuestWorld::kPages);
}
