// Disks through the whole system: guest driver, bus, transport, partition, server, storvsp and a disk in memory.
#include "devices/storvsc/storvsc.h"

#include <array>
#include <chrono>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "devices/storvsc/host/ram_disk.h"
#include "devices/storvsc/host/reservations.h"
#include "devices/storvsc/host/slow_disk.h"
#include "devices/storvsc/host/storvsc_fc_host.h"
#include "devices/storvsc/host/storvsc_host.h"
#include "devices/storvsc/host/storvsc_ide_host.h"
#include "devices/storvsc/host/storvsp.h"
#include "devices/storvsc/storvsc_fc.h"
#include "devices/storvsc/storvsc_ide.h"
#include "tests/system/disk_traffic.h"
#include "tests/system/world.h"

namespace vmbuskit {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Takes what every back end is asked, and answers when told to.
class HeldDisk final : public BlockDevice {
 public:
  const BlockInfo& info() const override { return info_; }
  uint64_t bytes() const override { return 1 << 20; }
  std::unique_ptr<BlockQueue> OpenQueue(Executor&) override {
    return std::make_unique<Queue>(*this);
  }
  absl::StatusOr<BlockBuffer> AllocateBuffer(size_t bytes) override {
    return BlockBuffer::OfHeap(bytes);
  }
  // On the host executor.
  void Answer(BlockResult result) {
    for (BlockRequest* request : std::exchange(held, {})) request->OnDone(result);
  }

  std::vector<BlockRequest*> held;

 private:
  struct Queue final : BlockQueue {
    explicit Queue(HeldDisk& owner) : disk(owner) {}
    void Submit(BlockRequest& request) override { disk.held.push_back(&request); }
    HeldDisk& disk;
  };
  const BlockInfo info_;
};

class StorvscSystem : public DeviceObserver, public BlockControllerListener {
 public:
  StorvscSystem(uint64_t seed, uint32_t vps, const DeviceClass& device_class = StorvscClass())
      : world(Options(seed, vps)) {
    const DeviceClass* const classes[] = {&device_class};
    EXPECT_EQ(world.bus->RegisterClasses(classes), absl::OkStatus());
  }

  DeviceId AddController(uint32_t instance = 1) {
    const Guid id = Instance(instance);
    auto added = world.OnHost([&](EmbeddedHost& host) {
      return host.AddDevice(StorvscVspClass(), id, [this](VspContext& context) {
        auto made = std::make_unique<Storvsp>(context, options);
        storvsp = made.get();
        for (const auto& [address, disk] : disks) {
          EXPECT_EQ(made->Attach(address, disk, disk_options), absl::OkStatus());
        }
        return made;
      });
    });
    EXPECT_TRUE(added.ok()) << added.status();
    return *added;
  }
  std::shared_ptr<RamDisk> AddRamDisk(const BlockAddress& address) {
    auto disk = std::make_shared<RamDisk>(
        RamDisk::Options{.bytes = DiskModel::kBytes, .id = "disk " + std::to_string(address.lun)});
    disks[address] = disk;
    return disk;
  }
  DiskTraffic& Use(DiskModel& model, const BlockAddress& address, uint32_t cpu,
                   DiskTraffic::Options traffic) {
    traffics.push_back(
        std::make_unique<DiskTraffic>(model, published.at(address), world.cpu(cpu), traffic));
    traffics.back()->Start();
    return *traffics.back();
  }

  // A disk in memory takes no time, so time does not pass while it is used.
  void RunTurns(uint64_t turns) {
    (void)world.sim.RunUntil([&] { return turns-- == 0; }, 1s);
    EXPECT_EQ(world.sim.status(), absl::OkStatus());
  }

  void OnDeviceRunning(const RunningDevice& device) override {
    ASSERT_NE(device.device.block_controller(), nullptr);
    device.device.block_controller()->SetListener(this);
    controllers.emplace_back(device.offer.instance_id, &StorvscControllerOf(device.device));
  }
  void OnDeviceStopping(const RunningDevice&) override {}
  void OnDiskAdded(const BlockAddress& address, std::shared_ptr<BlockDevice> disk) override {
    EXPECT_TRUE(published.emplace(address, std::move(disk)).second);
  }
  void OnDiskRemoved(const BlockAddress& address) override {
    EXPECT_EQ(published.erase(address), 1u);
  }
  void OnDiskResized(const BlockAddress&) override { ++resized; }

  StorvspOptions options;
  std::map<BlockAddress, std::shared_ptr<BlockDevice>> disks;  // of the next controller
  DiskOptions disk_options;                                    // theirs
  Storvsp* storvsp = nullptr;                                  // the newest
  std::map<BlockAddress, std::shared_ptr<BlockDevice>> published;
  std::vector<std::pair<Guid, StorvscController*>> controllers;  // that ran once
  uint32_t resized = 0;
  World world;
  std::vector<std::unique_ptr<DiskTraffic>> traffics;  // go first

 private:
  World::Options Options(uint64_t seed, uint32_t vps) {
    World::Options options;
    options.seed = seed;
    options.vp_count = vps;
    options.bus.observer = this;
    return options;
  }
};

// What a product lists: the guest's class beside the host's, which brings a disk of its own.
struct ListedClasses {
  const DeviceClass& guest;
  const VspClass& host;
};

class StorvscListedTest : public ::testing::TestWithParam<ListedClasses> {};

TEST_P(StorvscListedTest, ShowsItsDisk) {
  const VspClass& host = GetParam().host;
  StorvscSystem system(1, 2, GetParam().guest);
  ASSERT_TRUE(system.world
                  .OnHost([&host](EmbeddedHost& embedded) {
                    return embedded.AddDevice(host, host.default_instance_id);
                  })
                  .ok());
  system.world.Start();
  system.world.Settle();
  EXPECT_EQ(system.world.Info(host.default_instance_id).class_name, host.name);
  ASSERT_EQ(system.published.size(), 1u);
  const auto& [address, disk] = *system.published.begin();
  EXPECT_EQ(address, BlockAddress());
  EXPECT_EQ(disk->bytes(), 64u << 20);
}

INSTANTIATE_TEST_SUITE_P(Class, StorvscListedTest,
                         ::testing::Values(ListedClasses{StorvscClass(), StorvscVspClass()},
                                           ListedClasses{StorvscIdeClass(), StorvscIdeVspClass()},
                                           ListedClasses{StorvscFcClass(), StorvscFcVspClass()}),
                         [](const auto& info) { return std::string(info.param.host.name); });

class StorvscVersionTest : public ::testing::TestWithParam<uint16_t> {};

TEST_P(StorvscVersionTest, ReadsWritesAndFlushes) {
  StorvscSystem system(GetParam(), 2);
  const auto disk = system.AddRamDisk({.lun = 0});
  const auto other = system.AddRamDisk({.lun = 9});
  system.options.version_max = GetParam();
  system.AddController();
  system.world.Start();
  system.world.Settle();
  EXPECT_EQ(system.world.Info(Instance(1)).versions, StorvscVersionName(GetParam()));
  ASSERT_EQ(system.published.size(), 2u);
  DiskModel model(*disk);
  DiskModel other_model(*other);
  DiskTraffic& first = system.Use(model, {.lun = 0}, 0, {.seed = 1});
  DiskTraffic& second = system.Use(model, {.lun = 0}, 1, {.seed = 2, .first_slot = 16});
  DiskTraffic& third = system.Use(other_model, {.lun = 9}, 1, {.seed = 3});
  system.world.Run(10s);
  for (DiskTraffic* each : {&first, &second, &third}) {
    EXPECT_TRUE(each->ended());
    EXPECT_EQ(each->count(BlockResult::kOk), 200u);
  }
  model.Check();
  other_model.Check();
}

INSTANTIATE_TEST_SUITE_P(Version, StorvscVersionTest, ::testing::ValuesIn(storvsc::kVersions),
                         [](const auto& info) {
                           return "v" + std::to_string(info.param >> 8) + "_" +
                                  std::to_string(info.param & 0xFF);
                         });

std::unique_ptr<Device> CreateAsWindows(DeviceContext& context) {
  return std::make_unique<StorvscController>(context,
                                             StorvscProfile{.subchannels_before_end = true});
}
const DeviceClass& WindowsClass() {
  static const DeviceClass device_class = [] {
    DeviceClass value = StorvscClass();
    value.create = &CreateAsWindows;
    return value;
  }();
  return device_class;
}

TEST(StorvscSystemTest, SubchannelsAskedForBeforeAndAfterTheEnd) {
  for (const DeviceClass* device_class : {&StorvscClass(), &WindowsClass()}) {
    StorvscSystem system(3, 4, *device_class);
    const auto disk = system.AddRamDisk({});
    system.AddController();
    system.world.Start();
    system.world.Settle();
    EXPECT_EQ(system.world.Info(Instance(1)).channel_count, 4u);
    DiskModel model(*disk);
    for (uint32_t cpu = 0; cpu < 4; ++cpu) {
      system.Use(model, {}, cpu, {.seed = cpu, .slots = 4, .first_slot = 4 * cpu});
    }
    system.world.Run(10s);
    for (const auto& each : system.traffics) EXPECT_EQ(each->count(BlockResult::kOk), 200u);
    model.Check();
    system.traffics.clear();
  }
}

TEST(StorvscSystemTest, DisksComeAndGoUnderLoad) {
  StorvscSystem system(5, 2);
  const auto stays = system.AddRamDisk({});
  system.AddController();
  system.world.Start();
  system.world.Settle();
  DiskModel model(*stays);
  const auto guest = system.AddRamDisk({.lun = 3});
  DiskModel guest_model(*guest);
  for (uint64_t round = 0; round < 10; ++round) {
    system.world.OnHost([&](EmbeddedHost&) {
      EXPECT_EQ(system.storvsp->Attach({.lun = 3}, guest), absl::OkStatus());
    });
    system.world.Run(1s);
    ASSERT_TRUE(system.published.contains({.lun = 3})) << round;
    DiskTraffic& load =
        system.Use(guest_model, {.lun = 3}, round % 2, {.seed = round, .requests = 1'000'000});
    DiskTraffic& steady = system.Use(model, {}, 1, {.seed = round, .requests = 300});
    system.RunTurns(300 + 200 * round);
    system.world.OnHost(
        [&](EmbeddedHost&) { EXPECT_EQ(system.storvsp->Detach({.lun = 3}), absl::OkStatus()); });
    system.world.Run(1s);
    EXPECT_EQ(steady.count(BlockResult::kOk), 300u) << "nobody else noticed";
    EXPECT_TRUE(load.ended()) << round;
    EXPECT_GT(load.count(BlockResult::kGone), 0u);
    EXPECT_EQ(load.count(BlockResult::kGone) + load.count(BlockResult::kOk), load.total());
    EXPECT_FALSE(system.published.contains({.lun = 3})) << round;
    guest_model.Check();
  }
  model.Check();
}

TEST(StorvscSystemTest, AResizeIsSeen) {
  StorvscSystem system(6, 1);
  const auto disk = system.AddRamDisk({});
  system.AddController();
  system.world.Start();
  system.world.Settle();
  disk->Resize(2 * DiskModel::kBytes);
  DiskModel model(*disk);
  DiskTraffic& load = system.Use(model, {}, 0, {.requests = 50});
  system.world.Run(5s);
  EXPECT_EQ(load.count(BlockResult::kOk), 50u);
  EXPECT_EQ(system.published.at({})->bytes(), 2 * DiskModel::kBytes);
  EXPECT_EQ(system.resized, 1u);
}

// Seeds are interleavings; the moment wanders from the first message of the start far into the traffic.
class StorvscRescindTest : public ::testing::TestWithParam<uint64_t> {};

TEST_P(StorvscRescindTest, AtAnyMomentEndsEveryRequestOnceAndLosesNothing) {
  StorvscSystem system(GetParam(), 1 + GetParam() % 3);
  const uint32_t vps = 1 + GetParam() % 3;
  const auto disk = system.AddRamDisk({});
  DiskModel model(*disk);
  Random random(GetParam() + 99);
  system.world.Start();
  for (uint64_t round = 0; round < 3; ++round) {
    const DeviceId id = system.AddController();
    uint64_t steps = random.Below(random.Below(2) == 0 ? 400 : 3'000);
    bool used = false;
    (void)system.world.sim.RunUntil(
        [&] {
          if (!used && !system.published.empty()) {
            used = true;
            for (uint32_t cpu = 0; cpu < vps; ++cpu) {
              system.Use(model, {}, cpu,
                         {.seed = round, .requests = 1'000'000, .first_slot = 8 * cpu});
            }
          }
          return steps-- == 0;
        },
        10s);
    system.world.Remove(id);
    system.world.Run(5s);
    EXPECT_TRUE(system.published.empty());
    for (const auto& each : system.traffics) {
      EXPECT_TRUE(each->ended());
      EXPECT_EQ(each->count(BlockResult::kOk) + each->count(BlockResult::kGone), each->total());
    }
    system.traffics.clear();
    model.Check();
  }
}

INSTANTIATE_TEST_SUITE_P(Seed, StorvscRescindTest, ::testing::Range<uint64_t>(0, 12));

TEST(StorvscSystemTest, ABackEndThatHangsIsResetThenGivenUpAndItsPagesComeBackWithTheUnload) {
  StorvscSystem system(8, 2);
  const auto hangs = std::make_shared<HeldDisk>();
  system.disks[{}] = hangs;
  system.AddController();
  system.world.Start();
  system.world.Settle();
  // A disk of its own: nobody checks what is read.
  const RamDisk nothing(RamDisk::Options{.bytes = DiskModel::kBytes});
  DiskModel model(nothing);
  DiskTraffic& load = system.Use(model, {}, 1, {.requests = 4, .slots = 4, .flushes = false});
  system.world.Run(50s);
  EXPECT_FALSE(load.ended());
  EXPECT_EQ(system.world.State(Instance(1)), "running");
  system.world.Run(10min);
  EXPECT_EQ(system.world.State(Instance(1)), "failed");
  EXPECT_THAT(system.world.Info(Instance(1)).status, HasSubstr("without an answer"));
  EXPECT_TRUE(load.ended());
  // The host does not let go of the channel before its back end does, so the pages stay out of use.
  EXPECT_EQ(load.count(BlockResult::kLost), 4u);
  EXPECT_NE(system.world.pages->withheld(), 0u);
  system.world.OnHost([&](EmbeddedHost&) { hangs->Answer(BlockResult::kMediumError); });
  system.world.Stop();
  EXPECT_EQ(system.world.pages->withheld(), 0u);
  EXPECT_EQ(system.world.pages->leaked(), 0u);
}

TEST(StorvscSystemTest, AHostThatAbortsOnResetLetsTheRequestGoOn) {
  StorvscSystem system(9, 1);
  const auto slow = std::make_shared<HeldDisk>();
  system.disks[{}] = slow;
  system.options.reset = StorvspOptions::Reset::kAbort;
  system.AddController();
  system.world.Start();
  system.world.Settle();
  const RamDisk nothing(RamDisk::Options{.bytes = DiskModel::kBytes});
  DiskModel model(nothing);
  DiskTraffic& load = system.Use(model, {}, 0, {.requests = 1, .slots = 1, .flushes = false});
  system.world.Run(70s);
  EXPECT_FALSE(load.ended());
  system.world.OnHost([&](EmbeddedHost&) { slow->Answer(BlockResult::kOk); });
  system.world.Run(1s);
  // Aborted by the reset, sent again, and held again.
  system.world.OnHost([&](EmbeddedHost&) { slow->Answer(BlockResult::kOk); });
  system.world.Run(1s);
  EXPECT_TRUE(load.ended());
  EXPECT_EQ(system.world.State(Instance(1)), "running");
}

// The host is saved and restored every few turns, with requests at its back end, which ends some now and then.
class StorvscRestoreTest : public ::testing::TestWithParam<uint64_t> {};

TEST_P(StorvscRestoreTest, InMidFlightLosesAndRepeatsNothing) {
  constexpr uint32_t kRequests = 300;
  const uint64_t seed = GetParam();
  StorvscSystem system(seed, 2);
  const auto slow = std::make_shared<SlowDisk>(RamDisk::Options{.bytes = DiskModel::kBytes});
  system.disks[{}] = slow;
  system.AddController();
  system.world.Start();
  system.world.Settle();
  DiskModel model(slow->ram);
  for (uint32_t cpu = 0; cpu < 2; ++cpu) {
    system.Use(model, {}, cpu, {.seed = seed, .requests = kRequests, .first_slot = 8 * cpu});
  }
  Random random(seed);
  size_t restored_with_work = 0;
  const auto ended = [&] { return system.traffics[0]->ended() && system.traffics[1]->ended(); };
  for (uint32_t step = 0; step < 20 * kRequests && !ended(); ++step) {
    uint64_t turns = random.Below(30);
    (void)system.world.sim.RunUntil([&] { return turns-- == 0; }, 1ms);
    const absl::Status status = system.world.OnHost([&](EmbeddedHost& host) {
      for (uint64_t ends = random.Below(4); ends != 0 && slow->waiting() != 0; --ends) slow->End();
      if (random.Below(4) != 0) return absl::OkStatus();
      restored_with_work += slow->waiting() != 0;
      absl::StatusOr<std::vector<std::byte>> bytes = host.Save();
      return bytes.ok() ? host.Restore(*bytes) : bytes.status();
    });
    ASSERT_EQ(status, absl::OkStatus()) << "step " << step;
  }
  EXPECT_GT(restored_with_work, 20u);
  for (const auto& traffic : system.traffics) {
    EXPECT_TRUE(traffic->ended());
    EXPECT_EQ(traffic->count(BlockResult::kOk), kRequests);
  }
  system.world.OnHost([&](EmbeddedHost&) { slow->EndAll(); });
  model.Check();
  EXPECT_EQ(system.world.State(Instance(1)), "running");
}

INSTANTIATE_TEST_SUITE_P(Seed, StorvscRestoreTest, ::testing::Range<uint64_t>(0, 6));

TEST(StorvscSystemTest, StopAndStartAgainUnderLoad) {
  StorvscSystem system(10, 2);
  const auto disk = system.AddRamDisk({});
  system.AddController();
  DiskModel model(*disk);
  for (uint64_t round = 0; round < 3; ++round) {
    system.world.Start();
    system.world.Settle();
    DiskTraffic& load = system.Use(model, {}, 1, {.seed = round, .requests = 1'000'000});
    system.RunTurns(1'000);
    system.world.Stop();
    EXPECT_TRUE(load.ended());
    EXPECT_EQ(load.count(BlockResult::kOk) + load.count(BlockResult::kGone), load.total());
    EXPECT_TRUE(system.published.empty());
    model.Check();
  }
}

// Two controllers that show the same disk: two initiators, whose commands the guest driver takes as they are.
class StorvscReservationTest : public ::testing::Test {
 protected:
  StorvscReservationTest() {
    const auto disk = std::make_shared<RamDisk>(RamDisk::Options{.bytes = 1 << 20});
    system_.disk_options.reservations = std::make_shared<Reservations>();
    for (const uint8_t number : {uint8_t{1}, uint8_t{2}}) {
      system_.disks = {{{.lun = number}, disk}};
      system_.options.initiator = number;
      system_.AddController(number);
    }
    system_.world.Start();
    system_.world.Settle();
  }
  ScsiReply Ask(uint8_t number, ScsiCall call) {
    call.address = {.lun = number};
    for (const auto& [instance, controller] : system_.controllers) {
      if (instance != Instance(number)) continue;
      absl::StatusOr<ScsiReply> reply = system_.world.Await(controller->Execute(call));
      EXPECT_TRUE(reply.ok()) << reply.status();
      return reply.value_or(ScsiReply{});
    }
    ADD_FAILURE() << "controller " << int{number} << " does not run";
    return {};
  }
  ScsiReply ReserveOut(uint8_t number, uint8_t action, uint8_t type, uint8_t key, uint8_t other) {
    std::array<std::byte, 24> list{};
    list[7] = std::byte{key};
    list[15] = std::byte{other};
    ScsiCdb cdb = {scsi::kPersistentReserveOut, action, type};
    cdb[8] = list.size();
    return Ask(number, ScsiCall::Out({}, cdb, 10, list));
  }
  ScsiReply Write(uint8_t number) {
    const std::vector<std::byte> block(512, std::byte{number});
    ScsiCdb cdb = {scsi::kWrite10};
    cdb[8] = 1;
    return Ask(number, ScsiCall::Out({}, cdb, 10, block));
  }
  // The first byte of the disk.
  int Read(uint8_t number) {
    std::vector<std::byte> block(512);
    ScsiCdb cdb = {scsi::kRead10};
    cdb[8] = 1;
    const ScsiReply reply = Ask(number, ScsiCall::In({}, cdb, 10, block));
    return reply.succeeded() ? static_cast<int>(block[0]) : -1;
  }

  StorvscSystem system_{11, 1};
};

TEST_F(StorvscReservationTest, ArePassedThroughFromEndToEnd) {
  constexpr uint8_t kRegister = 0, kReserve = 1, kRelease = 2, kPreempt = 4;
  constexpr uint8_t kWriteExclusive = Reservations::kWriteExclusive;
  EXPECT_TRUE(ReserveOut(1, kRegister, 0, 0, 0x11).succeeded());
  EXPECT_TRUE(ReserveOut(2, kRegister, 0, 0, 0x22).succeeded());
  const ScsiReply reserved = ReserveOut(1, kReserve, kWriteExclusive, 0x11, 0);
  EXPECT_TRUE(reserved.succeeded()) << reserved.ToString();
  EXPECT_EQ(reserved.transferred, 24u);

  std::vector<std::byte> keys(32);
  ScsiCdb cdb = {scsi::kPersistentReserveIn};
  cdb[8] = static_cast<uint8_t>(keys.size());
  const ScsiReply told = Ask(2, ScsiCall::In({}, cdb, 10, keys));
  EXPECT_TRUE(told.succeeded()) << told.ToString();
  EXPECT_EQ(told.transferred, 24u);
  EXPECT_EQ(keys[15], std::byte{0x11});
  EXPECT_EQ(keys[23], std::byte{0x22});

  EXPECT_TRUE(Write(1).succeeded());
  const ScsiReply refused = Write(2);
  EXPECT_EQ(refused.scsi_status, scsi::kReservationConflict) << refused.ToString();
  EXPECT_EQ(refused.judge().result, BlockResult::kConflict);
  EXPECT_EQ(Read(2), 1) << "what the holder wrote";

  EXPECT_EQ(ReserveOut(2, kRelease, kWriteExclusive, 0x99, 0).scsi_status,
            scsi::kReservationConflict)
      << "by another key";
  EXPECT_TRUE(ReserveOut(2, kPreempt, kWriteExclusive, 0x22, 0x11).succeeded());
  EXPECT_EQ(Write(1).scsi_status, scsi::kReservationConflict);
  EXPECT_TRUE(Write(2).succeeded());
  EXPECT_EQ(Read(1), 2);
  EXPECT_TRUE(ReserveOut(2, kRelease, kWriteExclusive, 0x22, 0).succeeded());
  EXPECT_TRUE(Write(1).succeeded());
}

}  // namespace
}  // namespace vmbuskit
