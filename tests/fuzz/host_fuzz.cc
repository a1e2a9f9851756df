// A whole embedded host against a hostile guest. The input is a program: the first operation says
// what world it is, each other one what the guest does next (or what happens to the host's
// devices). host_world.h says what must hold at the end; besides, after every operation everything
// comes to rest.
#include <algorithm>
#include <array>
#include <chrono>
#include <iterator>
#include <vector>

#include "framework/base/fuzzing.h"
#include "tests/fuzz/host_world.h"
#include "tests/fuzz/program_run.h"
#include "tests/fuzz/raw_rings.h"
#include "tests/fuzz/ring_operations.h"
#include "transports/embedded_host/sample_registers.h"

namespace vmbuskit {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kTimes[] = {microseconds(1), microseconds(150), milliseconds(20), seconds(1),
                               seconds(3)};
constexpr uint32_t kSlots = 8;  // rings that the attacker lays out, of kSlotPages each
constexpr uint32_t kSlotPages = 6;
constexpr uint32_t kGpadlPages = 40;

class Fuzz {
 public:
  Fuzz(MemfdMemory& memory, const Operation& world)
      : guarded_((world.who & 1) == 0),
        ending_(static_cast<HostWorld::Ending>((world.who >> 1 & 3) % 3)),
        world_(memory, Choose(world)) {
    for (uint32_t slot = 0; slot < kSlots; ++slot) Forget(slot);
  }

  void Do(const Operation& operation) {
    static constexpr void (Fuzz::* kDoings[])(const Operation&) = {
        &Fuzz::OpenWhole, &Fuzz::OpenWhole,   &Fuzz::Contact,  &Fuzz::Gpadl,    &Fuzz::GpadlPieces,
        &Fuzz::Open,      &Fuzz::Close,       &Fuzz::Close,    &Fuzz::Rare,     &Fuzz::Raw,
        &Fuzz::Serve,     &Fuzz::Serve,       &Fuzz::Packet,   &Fuzz::Packet,   &Fuzz::Control,
        &Fuzz::Data,      &Fuzz::Signal,      &Fuzz::Signal,   &Fuzz::Register, &Fuzz::Register,
        &Fuzz::Call,      &Fuzz::VpRegisters, &Fuzz::Messages, &Fuzz::Monitor,  &Fuzz::PassTime,
        &Fuzz::PassTime,  &Fuzz::Devices,     &Fuzz::Crash,    &Fuzz::Look,     &Fuzz::Flood,
        &Fuzz::Reserved,  &Fuzz::Machine,     &Fuzz::Restore,  &Fuzz::Restore,
    };
    (this->*kDoings[operation.code % std::size(kDoings)])(operation);
  }
  void Settle() { world_.Settle(); }
  void Finish() { world_.Finish(ending_); }

 private:
  static HostWorld::Options Choose(const Operation& world) {
    HostWorld::Options options;
    options.guarded = (world.who & 1) == 0;
    options.version = kVersionsNewestFirst[world.code % kVersionsNewestFirst.size()];
    options.features = world.a & 0xFF;
    options.seed = world.b;
    options.late_messages = (world.who & 0x10) != 0;
    options.own_devices = (world.c & 1) != 0;
    options.host.partition.monitor_period = milliseconds(1);
    options.host.partition.inbox_messages_max = 32;
    options.host.partition.synic_queue_messages_max = 64;
    options.host.unfetched_messages_max = 16;
    options.host.server.gpadl_limit_bytes = 200 * kPageSize;
    options.host.server.gpadl_count_max = 24;
    options.host.server.gpadl_in_progress_pages_max = 100;
    options.host.mapped_pieces_max = 64;
    PartitionOptions& partition = options.host.partition;
    partition.overlay =
        (world.a & 0x100) != 0 ? OverlayReading::kHideRam : OverlayReading::kCopyOver;
    partition.guest_os_id = (world.a & 0x200) != 0 ? GuestOsIdReading::kRecordsOnly
                                                   : GuestOsIdReading::kDropsHypercallPage;
    partition.masked_messages =
        (world.a & 0x400) != 0 ? MaskedMessages::kDrop : MaskedMessages::kKeep;
    partition.masked_events = (world.a & 0x800) != 0 ? MaskedEvents::kLatch : MaskedEvents::kLose;
    partition.periodic =
        (world.a & 0x1000) != 0 ? PeriodicReading::kFromDue : PeriodicReading::kFromDelivery;
    partition.invariant_tsc = (world.a & 0x2000) == 0;
    partition.extended_hypercalls = (world.a & 0x4000) == 0;
    options.host.server.offer_shuffle_seed = options.guarded ? 0 : world.a >> 15;
    if (!options.guarded && (world.who & 8) != 0) {
      partition.throttle = {.needless_signals_max = 2 + world.who / 32u};
    }
    return options;
  }

  // ---- What the attacker may touch.
  uint32_t Relid(uint32_t wanted) const {
    const uint32_t relid = wanted % 16 == 15 ? wanted : wanted % 8;
    return guarded_ && relid == HostWorld::kHonestRelid ? 2 : relid;
  }
  uint32_t Vp(const Operation& operation) const { return guarded_ ? 1 : operation.who & 1; }
  // A place in memory; guarded, one of its own.
  Gpa Place(uint64_t wanted) const {
    if (!guarded_) return wanted;
    const uint64_t own = (HostWorld::kPages - HostWorld::kHostilePage) * kPageSize;
    return HostWorld::kHostilePage * kPageSize + wanted % own;
  }
  std::vector<Pfn> SlotPages(uint32_t slot) const {
    std::vector<Pfn> pages;
    for (uint32_t i = 0; i < kSlotPages; ++i) {
      pages.push_back(HostWorld::kHostilePage + slot % kSlots * kSlotPages + i);
    }
    return pages;
  }
  RawRings& Rings(const Operation& operation) { return rings_[operation.who % kSlots]; }
  void Forget(uint32_t slot) {
    rings_[slot % kSlots] =
        RawRings(world_.memory(), SlotPages(slot), kSlotPages / 2, RawRings::End::kGuest);
  }

  // ---- Messages.
  void Contact(const Operation& operation) {
    if (guarded_) return;
    const auto page = [&operation](int shift, Gpa usual) {
      return (operation.c >> shift & 0xFF) % 4 == 3 ? Gpa{operation.c} : usual;
    };
    (void)world_.PostContact(
        {.version = operation.b % 16 == 15
                        ? operation.b
                        : kVersionsNewestFirst[operation.b % kVersionsNewestFirst.size()],
         .target_vp = operation.who & 3u,
         .features = operation.a,
         .parent_to_child = page(0, HostWorld::kParentToChild),
         .child_to_parent = page(8, HostWorld::kChildToParent)});
  }
  // Everything that it takes, rightly, for rings of fresh pages.
  void OpenWhole(const Operation& operation) {
    const uint32_t relid = Relid(operation.who);
    const uint32_t slot = operation.who % kSlots;
    const std::vector<Pfn> pages = SlotPages(slot);
    for (const Pfn page : {pages[0], pages[kSlotPages / 2]}) {
      std::memset(world_.At(page * kPageSize), 0, 64);
    }
    Forget(slot);
    (void)world_.PostGpadl(relid, slot + 1, pages);
    world_.Settle();
    OpenChannelMessage open{.relid = relid,
                            .open_id = operation.b,
                            .ring_gpadl = slot + 1,
                            .target_vp = operation.a % 2u,
                            .downstream_page = kSlotPages / 2,
                            .connection_id = EventConnectionId(relid, kVmbusSint),
                            .event_flag = static_cast<uint16_t>(relid)};
    open.user_data[0] = static_cast<std::byte>(operation.c);
    (void)world_.Post(open);
  }
  // Pages in a row, backwards, one again and again, here and there, or foreign ones.
  void Gpadl(const Operation& operation) {
    std::vector<Pfn> pages(1 + operation.a % kGpadlPages);
    const Pfn first = operation.c % 128;
    for (size_t i = 0; i < pages.size(); ++i) {
      const Pfn steps[] = {first + i,     first + 64 - i,  first,
                           first + i * 7, operation.c + i, first + i / 2};
      pages[i] = steps[operation.a / 64 % std::size(steps)];
      if (guarded_) pages[i] = HostWorld::kHostilePage + pages[i] % 200;
    }
    (void)world_.PostGpadl(Relid(operation.who), operation.b % 16, pages);
  }
  // Headers and bodies that do not belong together.
  void GpadlPieces(const Operation& operation) {
    std::vector<std::byte> bytes(20 + operation.a % 28 * 8u);
    if ((operation.who & 0x40) == 0) {
      const GpadlHeaderMessage header{.relid = Relid(operation.who),
                                      .gpadl = operation.b % 16,
                                      .range_bytes = static_cast<uint16_t>(operation.b >> 16),
                                      .range_count = static_cast<uint16_t>(operation.a >> 8)};
      std::memcpy(bytes.data(), &header, sizeof header);
    } else {
      const GpadlBodyMessage body{.message_number = operation.a / 256u, .gpadl = operation.b % 16};
      bytes.resize(bytes.size() - 4);
      std::memcpy(bytes.data(), &body, sizeof body);
    }
    const Pfn page = Place(operation.c * kPageSize) / kPageSize;
    for (size_t at = 20; at + 8 <= bytes.size(); at += 8) {
      std::memcpy(bytes.data() + at, at == 20 ? &operation.c : &page, sizeof page);
    }
    (void)world_.PostBytes(bytes, kMessageConnection);
  }
  void Open(const Operation& operation) {
    const uint32_t relid = Relid(operation.who);
    (void)world_.Post(OpenChannelMessage{
        .relid = relid,
        .open_id = operation.b,
        .ring_gpadl = operation.b % 16,
        .target_vp = operation.a % 8 == 7 ? kNoTargetVp : operation.a % 8u,
        .downstream_page = operation.a / 256u,
        .connection_id = operation.c % 4 == 0 ? static_cast<uint32_t>(operation.c >> 8)
                                              : EventConnectionId(relid, kVmbusSint),
        .event_flag = static_cast<uint16_t>(operation.c >> 40),
        .flags = static_cast<uint16_t>(operation.c >> 4 & 3)});
  }
  void Close(const Operation& operation) {
    const uint32_t relid = Relid(operation.who);
    switch (operation.a % 5) {
      case 0:
        return (void)world_.Post(CloseChannelMessage{.relid = relid});
      case 1:
        return (void)world_.Post(GpadlTeardownMessage{.relid = relid, .gpadl = operation.b % 16});
      case 2:
        return (void)world_.Post(RelidReleasedMessage{.relid = relid});
      case 3:
        return (void)world_.Post(ModifyChannelMessage{.relid = relid, .target_vp = operation.b});
      default:
        (void)world_.Post(CloseChannelMessage{.relid = relid});
        (void)world_.Post(
            GpadlTeardownMessage{.relid = relid, .gpadl = operation.who % kSlots + 1u});
    }
  }
  void Rare(const Operation& operation) {
    switch (operation.a % 6) {
      case 0:
        return (void)world_.Post(ModifyConnectionMessage{
            .parent_to_child = Place(operation.c), .child_to_parent = Place(operation.c >> 3)});
      case 1:
        return (void)world_.Post(TlConnectRequestMessage{});
      case 2:
        return (void)world_.Post(RequestOffersMessage{});
      case 3:
        if (!guarded_) (void)world_.Post(UnloadMessage{});
        return;
      case 4:
        if (!guarded_) (void)world_.Post(PauseMessage{});
        return;
      default:
        return (void)world_.Post(ResumeMessage{});
    }
  }
  void Reserved(const Operation& operation) {
    const uint32_t relid = Relid(operation.who);
    if (operation.a % 2 == 0) {
      return (void)world_.Post(OpenReservedChannelMessage{.relid = relid,
                                                          .target_vp = operation.a / 256u,
                                                          .target_sint = operation.a / 4u % 32u,
                                                          .ring_gpadl = operation.b % 16,
                                                          .downstream_page = kSlotPages / 2});
    }
    (void)world_.Post(CloseReservedChannelMessage{
        .relid = relid, .target_vp = operation.a / 256u, .target_sint = operation.a / 4u % 32u});
  }
  void Raw(const Operation& operation) {
    const uint32_t type = operation.a % (kMessageTypeCount + 3);
    const auto number = static_cast<MessageType>(type);
    // What ends or stops the whole connection is no attack on one device.
    if (guarded_ && (number == MessageType::kInitiateContact || number == MessageType::kUnload ||
                     number == MessageType::kPause)) {
      return;
    }
    const uint32_t words[] = {type, 0, Relid(operation.who), operation.b};
    std::vector<std::byte> bytes(operation.c % 260);
    for (size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = i < sizeof words ? std::as_bytes(std::span(words))[i]
                                  : static_cast<std::byte>(operation.c >> 8 * (i % 8));
    }
    (void)world_.PostBytes(bytes, operation.a >> 8 == 0 ? kMessageConnection : operation.a >> 8u,
                           operation.c % 7 == 0 ? operation.b : kMessageTypeVmbus);
  }
  void Messages(const Operation& operation) {
    if (!guarded_) world_.HoldMessages(operation.a % 2 == 1);
    for (uint32_t i = 0; i < operation.b % 32; ++i) (void)world_.Fetch(operation.who & 1);
  }

  // ---- Rings and signals.
  void Kick(uint32_t slot) { (void)world_.Signal(EventConnectionId(Relid(slot), kVmbusSint)); }
  void Serve(const Operation& operation) {
    Rings(operation).Serve(operation.a % 64 + 1, BendOf(operation));
    Kick(operation.who % kSlots);
  }
  // The payload is what the echo and the strict device take.
  void Packet(const Operation& operation) {
    const BentPacket packet(operation);
    Rings(operation).Send(packet.descriptor, packet.transaction, packet.payload());
    Kick(operation.who % kSlots);
  }
  void Flood(const Operation& operation) {
    for (uint32_t i = 0; i < operation.a % 400u; ++i) {
      Rings(operation).Send(WordDescriptor(operation.b % 2 == 1), i,
                            std::as_bytes(std::span(&operation.c, 1)));
    }
    Kick(operation.who % kSlots);
  }
  void Control(const Operation& operation) {
    WriteControl(Rings(operation), operation);
    if ((operation.c & 1) != 0) Kick(operation.who % kSlots);
  }
  void Data(const Operation& operation) { WriteData(Rings(operation), operation); }
  void Signal(const Operation& operation) {
    if (operation.a % 2 == 0) return Kick(operation.who);
    const SignalEventInput input{.connection_id = operation.b,
                                 .flag_number = static_cast<uint16_t>(operation.c),
                                 .reserved = 0};
    std::memcpy(world_.At(HostWorld::kInputGpa), &input, sizeof input);
    (void)world_.partition().Hypercall(operation.who & 1, SimpleCall(kCallSignalEvent),
                                       HostWorld::kInputGpa, 0);
  }
  void Monitor(const Operation& operation) {
    auto& page = *reinterpret_cast<MonitorPage*>(world_.At(HostWorld::kChildToParent));
    std::atomic_ref(page.trigger_group[operation.a % kMonitorGroups].pending)
        .store(static_cast<uint32_t>(operation.c));
  }
  void PassTime(const Operation& operation) {
    world_.Pass(kTimes[operation.a % std::size(kTimes)]);
  }

  // ---- The processor.
  void Register(const Operation& operation) {
    const uint32_t reg = kSampleRegisters[operation.a % std::size(kSampleRegisters)];
    const uint32_t vp = guarded_ ? 1 : operation.who % 3;
    if (operation.a >> 12 == 1) return (void)world_.partition().ReadRegister(vp, reg);
    const bool common = reg == kRegGuestOsId || reg == kRegHypercall || reg == kRegReset;
    if (guarded_ && common) return;
    const bool page = reg == kRegSimp || reg == kRegSiefp || reg == kRegVpAssistPage ||
                      reg == kRegReferenceTsc || reg == kRegHypercall;
    uint64_t value = operation.c;
    if (page && operation.b % 4 != 0) value = PageRegister(operation.b % 128 * kPageSize);
    if (page) value = (Place(value) & kPageRegisterPageMask) | (value & ~kPageRegisterPageMask);
    (void)world_.partition().WriteRegister(vp, reg, value);
  }
  // Guarded, nothing that sets registers (they may be everybody's) and no output over the honest
  // device's pages.
  void Call(const Operation& operation) {
    static constexpr uint16_t kCodes[] = {
        kCallGetPartitionId, kCallGetVpRegisters,       kCallSetVpRegisters, kCallPostMessage,
        kCallSignalEvent,    kCallExtQueryCapabilities, kCallMmioRead};
    const uint16_t code = kCodes[operation.a % std::size(kCodes)];
    if (guarded_ && (code == kCallSetVpRegisters || code == kCallPostMessage)) return;
    const uint64_t control = code | (operation.c & 0xFFFF'FFFF'FFFF'0000);
    const Gpa input = operation.b % 3 == 0 ? operation.b : HostWorld::kInputGpa;
    const Gpa output = operation.b % 5 == 0 ? Place(operation.b) : HostWorld::kOutputGpa;
    const uint64_t calls[] = {SimpleCall(code), control, FastCall(code)};
    (void)world_.partition().Hypercall(Vp(operation), calls[operation.a / 8 % 3], input, output);
  }
  void VpRegisters(const Operation& operation) {
    const bool set = (operation.who & 0x40) != 0 && !guarded_;
    const auto count = static_cast<uint16_t>(1 + operation.a % 4);
    std::byte* at = world_.At(HostWorld::kInputGpa);
    const VpRegistersHeader header{
        .partition_id = operation.b % 8 == 7 ? operation.c : kPartitionIdSelf,
        .vp_index = operation.b % 16 < 12 ? kVpIndexSelf : operation.b >> 16,
        .target_vtl = static_cast<uint8_t>(operation.b >> 8),
        .padding = {}};
    std::memcpy(at, &header, sizeof header);
    at += sizeof header;
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t name =
          kSampleVpRegisters[(operation.a / 4 + i) % std::size(kSampleVpRegisters)];
      const VpRegisterAssignment assignment{
          .name = name, .padding = {}, .value_low = operation.c, .value_high = 0};
      if (set) std::memcpy(at + i * sizeof assignment, &assignment, sizeof assignment);
      if (!set) std::memcpy(at + i * sizeof name, &name, sizeof name);
    }
    (void)world_.partition().Hypercall(
        Vp(operation), RepCall(set ? kCallSetVpRegisters : kCallGetVpRegisters, count),
        HostWorld::kInputGpa, HostWorld::kOutputGpa);
  }
  void Machine(const Operation& operation) {
    (void)world_.partition().Cpuid(operation.who % 3, 0x40000000 + operation.a % 16);
    (void)world_.partition().ReadTsc(operation.who % 3);
    world_.host().hypervisor().RaiseInterrupt(operation.who % 3, static_cast<uint8_t>(operation.b));
    if (operation.a % 32 == 0) world_.host().hypervisor().Migrate(20'000'000 + operation.b);
  }

  // ---- The host's owner.
  void Devices(const Operation& operation) {
    if ((operation.who & 0x40) != 0) return world_.Blunder();
    world_.ToggleDevice(operation.a);
  }
  void Crash(const Operation& operation) {
    if (guarded_) return;
    {
      const SimTurn turn = world_.sim().Enter(world_.host_cpu());
      world_.host().CrashGuest();
    }
    Require(world_.host().shared_pages().total() == 0);
    if (operation.a % 4 != 0) world_.Boot();
  }
  void Restore(const Operation& operation) {
    switch (operation.a % 4) {
      case 0:
        return world_.SaveAndRestore();
      case 1:
        return world_.Save();
      case 2:
        break;
      default:
        world_.Save();
    }
    // Most of what is checked is the server's, which is small beside the partition's pages.
    static constexpr HostWorld::Part kParts[] = {HostWorld::Part::kAll, HostWorld::Part::kServer,
                                                 HostWorld::Part::kServer,
                                                 HostWorld::Part::kHeader};
    world_.Prepare({.part = kParts[operation.who % 4],
                    .splice = (operation.a & 0x20) != 0,
                    .bend = BendOf(operation)});
    if ((operation.a & 0x40) == 0) world_.RestoreBent();  // else the next one's comes on top
  }
  void Look(const Operation&) {
    const SimTurn turn = world_.sim().Enter(world_.host_cpu());
    InspectNode node;
    world_.host().Inspect(node);
    (void)world_.host().hypervisor().crash_report();
    const GpadlTable& gpadls = world_.host().server().gpadls();
    Require(gpadls.charged_bytes() <= gpadls.limits().bytes_max);
    Require(gpadls.count() <= gpadls.limits().count_max);
    Require(gpadls.in_progress_pages() <= gpadls.limits().in_progress_pages_max);
  }

  const bool guarded_;
  const HostWorld::Ending ending_;
  HostWorld world_;
  std::array<RawRings, kSlots> rings_;
};

}  // namespace
}  // namespace vmbuskit

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return vmbuskit::RunProgram<vmbuskit::Fuzz>(data, size, vmbuskit::HostWorld::kPages);
}
