// A guest that writes anything to registers and memory, makes any hypercall, and takes its messages or not, under a
// host that posts messages, sets event flags, opens and closes ports and polls monitor pages: nothing outside guest
// memory is touched, the hypervisor's pages are accounted for, limits hold, time goes on, and a reset finds everything,
// so that the next guest can start. Also when the partition was saved and restored on the way, from what it had saved
// or from something like it.
#include <algorithm>
#include <array>
#include <atomic>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "framework/base/saved_state.h"
#include "framework/observe/inspect.h"
#include "transports/embedded_host/partition_fuzz_script.h"
#include "transports/embedded_host/partition_fuzz_world.h"
#include "transports/protocol/message_mutator.h"
#include "transports/protocol/message_script.h"

namespace vmbuskit {
namespace {

using namespace partition_fuzz;

constexpr int kRecordsMax = 96;
constexpr uint32_t kVps = PartitionFuzzWorld::kVps;
constexpr Gpa kHypercallGpa = 0x1000;
constexpr Gpa kInputGpa = 0x2000;
constexpr Gpa kOutputGpa = 0x3000;
constexpr uint8_t kVector = 0xF3;

class Fuzz {
 public:
  explicit Fuzz(MessageScript& script)
      : script_(script),
        world_(OptionsOf(script), script.Option(1)),
        partition_(world_.partition()) {}

  void Run() {
    Require(partition_.AddMessagePort(kMessageConnection, &world_).ok());
    if (!script_.Flag(2, 0)) BringUp(0);
    for (int i = 0; i < kRecordsMax; ++i) {
      const std::optional<ScriptRecord> record = script_.Next();
      if (!record.has_value()) break;
      ScriptArguments arguments(record->bytes);
      Act(record->kind, arguments);
      Check();
    }
    Reset();
    NextGuest();
  }

 private:
  static uint32_t VpOf(ScriptArguments& arguments) {
    return arguments.Take<uint8_t>() % (kVps + 1);
  }
  static uint32_t SintOf(ScriptArguments& arguments) {
    return arguments.Take<uint8_t>() % (kSintCount + 1);
  }

  void Act(uint8_t kind, ScriptArguments& arguments) {
    if (kind >= kBringUp && kind <= kSetTimer) return RegisterActs(kind, arguments);
    if (kind >= kPostMessage && kind <= kInterrupt) return GuestActs(kind, arguments);
    HostActs(kind, arguments);
  }

  void RegisterActs(uint8_t kind, ScriptArguments& arguments) {
    const uint32_t vp = VpOf(arguments);
    const auto index = arguments.Take<uint8_t>();
    switch (kind) {
      case kBringUp:
        return BringUp(vp % kVps);
      case kWriteRegister:
        return Write(vp, kSampleRegisters[index % std::size(kSampleRegisters)],
                     arguments.Take<uint64_t>());
      case kReadRegister: {
        const uint32_t any = index == 0xFF ? arguments.Take<uint32_t>()
                                           : kSampleRegisters[index % std::size(kSampleRegisters)];
        (void)partition_.ReadRegister(vp, any);
        const CpuidResult words = partition_.Cpuid(vp, index < 8 ? kCpuidLeafVendor + index : 1);
        Require(vp < kVps || words.eax == 0);
        return;
      }
      case kWritePage: {
        constexpr uint32_t kPages[] = {kRegHypercall, kRegReferenceTsc, kRegVpAssistPage, kRegSimp,
                                       kRegSiefp};
        const uint64_t page = arguments.Take<uint32_t>();
        return Write(vp, kPages[index % std::size(kPages)], page << 12 | arguments.Take<uint8_t>());
      }
      case kSetSint: {
        const uint64_t vector = arguments.Take<uint8_t>();
        const auto bits = arguments.Take<uint8_t>();
        return Write(vp, kRegSint0 + index % kSintCount,
                     vector | ((bits & 1) != 0 ? kSintMasked : 0) |
                         ((bits & 2) != 0 ? kSintPolling : 0) | ((bits & 4) != 0 ? kSintProxy : 0));
      }
      default:
        return SetTimer(vp, index % kSyntheticTimerCount, arguments);
    }
  }
  void SetTimer(uint32_t vp, uint32_t timer, ScriptArguments& arguments) {
    const uint64_t flags = arguments.Take<uint8_t>();
    const auto target = arguments.Take<uint16_t>();
    const uint64_t count = arguments.Take<uint32_t>();
    const uint64_t config = (flags & 0xF) | ((flags & 0x10) != 0 ? kStimerDirect : 0) |
                            uint64_t{target & 0xFFu} << 4 | StimerSint(target >> 8 & 0xF);
    Write(vp, kRegStimer0Config + 2 * timer, config);
    // Soon, far away, or as it is.
    const uint64_t now = partition_.ReferenceTime();
    Write(vp, kRegStimer0Count + 2 * timer,
          (flags & 0x20) != 0   ? now + count % 64
          : (flags & 0x40) != 0 ? count << 16
                                : count);
  }
  void Write(uint32_t vp, uint32_t reg, uint64_t value) {
    const absl::Status status = partition_.WriteRegister(vp, reg, value);
    Require(status.ok() || absl::IsInvalidArgument(status));
  }
  void BringUp(uint32_t vp) {
    Write(0, kRegGuestOsId, OpenSourceGuestOsId(1, 0, 0x060100, 0));
    Write(0, kRegHypercall, PageRegister(kHypercallGpa));
    partition_.ConnectInterrupt(vp, kVector, &world_.interrupt(vp).event);
    Write(vp, kRegSimp, PageRegister(0x4000 + vp * 0x2000));
    Write(vp, kRegSiefp, PageRegister(0x5000 + vp * 0x2000));
    Write(vp, kRegSint0 + kVmbusSint, kVector);
    Write(vp, kRegScontrol, kScontrolEnable);
  }

  void GuestActs(uint8_t kind, ScriptArguments& arguments) {
    if (kind == kMemory) {
      const auto gpa = arguments.Take<uint64_t>();
      return world_.Write(gpa, std::as_bytes(arguments.rest()));
    }
    const uint32_t vp = VpOf(arguments);
    switch (kind) {
      case kPostMessage:
        return PostMessage(vp, arguments);
      case kSignalEvent:
        return SignalEvent(vp, arguments);
      case kGetRegisters:
        return GetRegisters(vp, arguments);
      case kSetRegisters:
        return SetRegisters(vp, arguments);
      case kAnyCall: {
        const auto index = arguments.Take<uint8_t>();
        uint64_t control = arguments.Take<uint64_t>();
        if (index < std::size(kCalls)) control = (control & ~uint64_t{0xFFFF}) | kCalls[index];
        const auto input = arguments.Take<uint64_t>();
        const bool posts = ControlCode(control) == kCallPostMessage;
        if (posts) return;  // PostMessage keeps the books
        return (void)Call(vp, control, input, arguments.Take<uint64_t>());
      }
      case kTakeMessage:
        return TakeMessage(vp, arguments);
      default: {
        const auto vector = static_cast<uint8_t>(kVector - arguments.Take<uint8_t>());
        const uint64_t manner = arguments.Take<uint8_t>();
        if ((manner & 2) == 0) {
          const bool on = (manner & 1) == 0;
          Event* const handler = on ? &world_.interrupt(vp % kVps).event : nullptr;
          partition_.ConnectInterrupt(vp, vector, handler);
        } else {
          // To another processor: vector, shorthand, destination.
          Write(vp, kRegIcr, vector | (manner >> 2 & 3) << 18 | (manner & 1) << 32);
        }
        Require(vp < kVps || partition_.ReadTsc(vp) == 0);
      }
    }
  }
  HypercallStatus Call(uint32_t vp, uint64_t control, uint64_t input, uint64_t output) {
    const uint64_t result = partition_.Hypercall(vp, control, input, output);
    if (result == Partition::kHypercallUndefined) {
      Require(vp >= kVps ||
              (*partition_.ReadRegister(vp, kRegHypercall) & kPageRegisterEnable) == 0);
      return HypercallStatus::kInvalidPartitionState;
    }
    Require(vp < kVps && ResultReps(result) <= ControlRepCount(control));
    return ResultStatus(result);
  }
  void PostMessage(uint32_t vp, ScriptArguments& arguments) {
    PostMessageInput post{};
    post.connection_id = arguments.Take<uint32_t>();
    post.message_type = arguments.Take<uint32_t>();
    post.payload_size = arguments.Take<uint32_t>();
    const uint64_t page = arguments.Take<uint32_t>();
    const auto payload = std::as_bytes(arguments.rest());
    std::ranges::copy(payload.first(std::min(payload.size(), post.payload.size())),
                      post.payload.begin());
    const Gpa gpa = page < 64 ? kInputGpa + page * 8 : page * 8;
    world_.Put(gpa, post);
    if (Call(vp, SimpleCall(kCallPostMessage), gpa, 0) != HypercallStatus::kSuccess) return;
    Require(post.payload_size <= kMessagePayloadMax && post.message_type != kMessageTypeNone);
    world_.Posted(post.connection_id, std::span(post.payload).first(post.payload_size));
  }
  void SignalEvent(uint32_t vp, ScriptArguments& arguments) {
    const bool fast = (arguments.Take<uint8_t>() & 1) == 0;
    const auto connection = arguments.Take<uint32_t>();
    const auto flag = arguments.Take<uint16_t>();
    const SignalEventInput signal{
        .connection_id = connection, .flag_number = flag, .reserved = arguments.Take<uint16_t>()};
    uint64_t word = 0;
    std::memcpy(&word, &signal, sizeof word);
    if (!fast) world_.Put(kInputGpa, signal);
    const HypercallStatus status = fast ? Call(vp, kCallSignalEventFast, word, 0)
                                        : Call(vp, SimpleCall(kCallSignalEvent), kInputGpa, 0);
    Require(status != HypercallStatus::kSuccess || flag < kEventFlagCount);
  }
  VpRegistersHeader HeaderOf(ScriptArguments& arguments, uint32_t vp) {
    const auto choice = arguments.Take<uint8_t>();
    return {.partition_id = choice == 7         ? 5
                            : (choice & 1) != 0 ? 1
                                                : kPartitionIdSelf,
            .vp_index = choice == 6         ? 1 - vp
                        : choice == 5       ? 9u
                        : (choice & 2) != 0 ? vp
                                            : kVpIndexSelf,
            .target_vtl = static_cast<uint8_t>(choice == 4 ? 0x11 : 0),
            .padding = {}};
  }
  void GetRegisters(uint32_t vp, ScriptArguments& arguments) {
    world_.Put(kInputGpa, HeaderOf(arguments, vp));
    const uint32_t start = arguments.Take<uint8_t>() % 3;
    const auto first = arguments.Take<uint8_t>();
    const uint32_t any = arguments.Take<uint32_t>();
    const uint32_t names[] = {kSampleVpRegisters[first % std::size(kSampleVpRegisters)],
                              kSampleVpRegisters[any % std::size(kSampleVpRegisters)], any};
    world_.Put(kInputGpa + sizeof(VpRegistersHeader), names);
    (void)Call(vp, RepCall(kCallGetVpRegisters, 1 + first % 3, static_cast<uint16_t>(start)),
               kInputGpa, kOutputGpa);
  }
  void SetRegisters(uint32_t vp, ScriptArguments& arguments) {
    world_.Put(kInputGpa, HeaderOf(arguments, vp));
    const auto count = static_cast<uint16_t>(1 + arguments.Take<uint8_t>() % 2);
    for (uint32_t i = 0; i < 2; ++i) {
      const auto name = arguments.Take<uint8_t>();
      const VpRegisterAssignment assignment{
          .name = kSampleVpRegisters[name % std::size(kSampleVpRegisters)],
          .padding = {},
          .value_low = arguments.Take<uint64_t>(),
          .value_high = 0};
      world_.Put(kInputGpa + sizeof(VpRegistersHeader) + i * sizeof assignment, assignment);
    }
    (void)Call(vp, RepCall(kCallSetVpRegisters, count), kInputGpa, 0);
  }
  // As an interrupt handler does; or without the EOM, or of a slot that it filled itself.
  void TakeMessage(uint32_t vp, ScriptArguments& arguments) {
    const uint32_t sint = arguments.Take<uint8_t>() % kSintCount;
    const auto manner = arguments.Take<uint8_t>();
    SynicMessage* slot = vp < kVps ? world_.Slot(vp, sint) : nullptr;
    if (slot == nullptr) return;
    std::atomic_ref(slot->type).store(manner == 1 ? kMessageTypeTimer : kMessageTypeNone);
    if (manner != 2 && (slot->flags & kMessageFlagPending) != 0) Write(vp, kRegEom, 0);
  }

  void HostActs(uint8_t kind, ScriptArguments& arguments) {
    switch (kind) {
      case kHostMessage: {
        const uint32_t vp = VpOf(arguments);
        const uint32_t sint = SintOf(arguments);
        const std::array<std::byte, 255> payload{};
        const size_t size = arguments.Take<uint8_t>();
        const bool taken = partition_.PostMessage(vp, sint, std::span(payload).first(size));
        Require(!taken || (vp < kVps && sint < kSintCount && size <= kMessagePayloadMax));
        return;
      }
      case kHostEvent: {
        const uint32_t vp = VpOf(arguments);
        const uint32_t sint = SintOf(arguments);
        const auto flag = arguments.Take<uint16_t>();
        partition_.RaiseInterrupt(vp, static_cast<uint8_t>(flag));
        return (void)partition_.SetEventFlag(vp, sint, flag);
      }
      case kPort:
        return Port(arguments);
      case kMonitor:
        return Monitor(arguments);
      case kRun:
        return RunFor(arguments.Take<uint8_t>());
      case kMigrate:
        // Above 10 MHz.
        return partition_.Migrate(10'000'001 + uint64_t{arguments.Take<uint32_t>()});
      case kReset:
        return Reset();
      case kInspect:
        if (!std::exchange(inspected_, true)) {
          InspectNode node;
          partition_.Inspect(node);
          (void)partition_.crash_report();
        }
        return;
      case kSave:
        return (void)saved_.emplace(Save());
      case kRestore:
        return Restore(arguments);
    }
  }
  struct Saved {
    std::vector<std::byte> bytes;
    std::deque<PartitionFuzzWorld::Message> posted;
    bool believed;
  };
  Saved Save() {
    StateWriter writer;
    partition_.Exchange(writer);
    return {std::move(writer).Take(), world_.posted(), believed_};
  }
  void Restore(ScriptArguments& arguments) {
    const bool old = (arguments.Take<uint8_t>() & 1) != 0 && saved_.has_value();
    Saved saved = old ? *saved_ : Save();
    const bool bent = BendState(saved.bytes, arguments);
    time_believed_ |= bent;
    StateReader reader(saved.bytes);
    partition_.Exchange(reader);
    if (!reader.Finish().ok()) {
      Require(bent);
      return Reset();
    }
    world_.RestorePosted(saved.posted);
    believed_ = saved.believed || bent;
    if (believed_) return world_.ExpectAnything();
    // The same again, but for the TSC page's sequence, which follows the number of processors and the time.
    Saved again = Save();
    constexpr size_t kSequence = sizeof(uint32_t) + sizeof(uint64_t);
    for (Saved* one : {&saved, &again}) std::fill_n(&one->bytes[kSequence], 4, std::byte{0});
    Require(again.bytes == saved.bytes);
  }
  void Port(ScriptArguments& arguments) {
    const auto kind = arguments.Take<uint8_t>();
    const auto id = arguments.Take<uint32_t>();
    switch (kind % 6) {
      case 0:
        return (void)partition_.AddEventPort(id, &world_.signal().event);
      case 1:
        return partition_.RemoveEventPort(id);
      case 2:
        return (void)partition_.AddMessagePort(id, &world_);
      case 3:
        return partition_.RemoveMessagePort(id);
      case 4:
        world_.refuses_messages = !world_.refuses_messages;
        [[fallthrough]];
      default:
        return partition_.ResumeMessages();
    }
  }
  void Monitor(ScriptArguments& arguments) {
    MonitorPages& monitors = partition_.monitor_pages();
    const auto kind = arguments.Take<uint8_t>();
    const uint8_t monitor = arguments.Take<uint8_t>() % kMonitorCount;
    const auto first = arguments.Take<uint64_t>();
    const auto second = arguments.Take<uint64_t>();
    switch (kind % 5) {
      case 0:
        return (void)monitors.Map(first, second);
      case 1:
        return monitors.Unmap();
      case 2:
        return monitors.Connect(monitor, &world_.signal().event);
      case 3:
        return monitors.Connect(monitor, nullptr);
      default:
        return monitors.Poll();
    }
  }
  void RunFor(uint8_t choice) {
    constexpr Duration kDurations[] = {Duration(0), Duration(100), std::chrono::microseconds(5),
                                       std::chrono::milliseconds(1), std::chrono::hours(2)};
    const uint64_t before = partition_.ReferenceTime();
    world_.Run(kDurations[choice % std::size(kDurations)]);
    // One that was made up may be close to the last; a reset does not change it.
    Require(partition_.ReferenceTime() >= before || time_believed_);
  }

  void Check() {
    Require(partition_.shared_pages() <= 2 + 3 * kVps + 2);
    for (uint32_t vp = 0; vp < kVps; ++vp) {
      Require(partition_.messages_waiting(vp, kVmbusSint) <= PartitionFuzzWorld::kQueueMax);
    }
    Require(partition_.messages_waiting(kVps, 0) == 0);
  }
  void Reset() {
    partition_.Reset();
    world_.ForgetPosted();
    believed_ = false;
    Require(partition_.shared_pages() == 0);
    for (uint32_t vp = 0; vp < kVps; ++vp) {
      for (uint32_t reg : {kRegSimp, kRegSiefp, kRegVpAssistPage, kRegStimer0Config}) {
        Require(*partition_.ReadRegister(vp, reg) == 0);
      }
      Require(*partition_.ReadRegister(vp, kRegScontrol) == kScontrolEnable);
      for (uint32_t sint = 0; sint < kSintCount; ++sint) {
        Require(partition_.messages_waiting(vp, sint) == 0);
        Require(*partition_.ReadRegister(vp, kRegSint0 + sint) == kSintReset);
      }
    }
  }
  // A well-behaved guest can start on what is left.
  void NextGuest() {
    world_.refuses_messages = false;
    world_.RunUntilIdle();
    BringUp(1);
    const std::array<std::byte, 8> payload{};
    const int interrupts = world_.interrupt(1).count;
    Require(partition_.PostMessage(1, kVmbusSint, payload));
    world_.RunUntilIdle();
    Require(world_.Slot(1, kVmbusSint)->type == kMessageTypeVmbus);
    Require(world_.interrupt(1).count == interrupts + 1);
    Require(partition_.SetEventFlag(1, kVmbusSint, 7) == EventResult::kInterrupted);
  }

  MessageScript& script_;
  PartitionFuzzWorld world_;
  EmbeddedPartition& partition_;
  bool inspected_ = false;
  std::optional<Saved> saved_;
  bool believed_ = false;  // a state that was not its own
  bool time_believed_ = false;
};

}  // namespace
}  // namespace vmbuskit

VMBUSKIT_MESSAGE_MUTATOR(.messages = false, .operations = vmbuskit::partition_fuzz::kOperations)

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vmbuskit::MessageScript script({data, size});
  vmbuskit::Fuzz(script).Run();
  return 0;
}
