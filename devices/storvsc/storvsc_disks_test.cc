// Which disks a controller has, and how that changes.
#include "devices/storvsc/storvsc_disks.h"

#include <utility>

#include "devices/storvsc/storvsc_testing.h"

namespace vmbuskit {
namespace {

using testing::HasSubstr;

class StorvscDisksTest : public StorvscTest {};

TEST_F(StorvscDisksTest, PublishesWhatTheLunsSayOfThemselves) {
  storvsp.luns[{.lun = 7}] = {.blocks = 1 << 20, .id = "seven", .block_bytes = 4096};
  storvsp.luns[{.path = 3, .target = 1, .lun = 63}] = {.write_protected = true};
  Start();
  EXPECT_EQ(listener.journal, "+0:0:0 +0:0:7 +3:1:63 ");
  const std::shared_ptr<BlockDevice> seven = Disk({.lun = 7});
  EXPECT_EQ(seven->bytes(), uint64_t{4} << 30);
  EXPECT_EQ(seven->info().block_bytes, 4096u);
  EXPECT_EQ(seven->info().id, "t10.736576656e");
  EXPECT_EQ(seven->info().vendor, "Msft");
  EXPECT_TRUE(seven->info().volatile_cache);
  EXPECT_TRUE(seven->info().force_unit_access);
  EXPECT_FALSE(seven->info().read_only);
  EXPECT_TRUE(Disk({.path = 3, .target = 1, .lun = 63})->info().read_only);
  EXPECT_THAT(Inspect(), HasSubstr("\"lun 0:0:7\""));
}

TEST_F(StorvscDisksTest, ReportLunsAnswersAlsoWhenLunZeroIsAbsent) {
  storvsp.luns.clear();
  storvsp.luns[{.lun = 5}] = {};
  Start();
  EXPECT_EQ(listener.journal, "+0:0:5 ");
  EXPECT_EQ(storvsp.Count(scsi::kReportLuns), 16u) << "8 paths, 2 targets";
}

TEST_F(StorvscDisksTest, WithoutReportLunsEveryLunIsProbedWhicheverWayAbsentOnesAnswer) {
  storvsp.reports_luns = false;
  storvsp.luns[{.lun = 63}] = {};
  for (const bool fails : {false, true}) {
    storvsp.absent_inquiry_fails = fails;
    listener.journal.clear();
    if (controller == nullptr) {
      Start();
    } else {
      const SimTurn turn = sim.Enter(static_cast<const SimExecutor&>(device_executor()));
      ASSERT_EQ(bus.RestartDevice(kInstance), absl::OkStatus());
    }
    Run();
    EXPECT_EQ(listener.journal, fails ? "-0:0:0 -0:0:63 +0:0:0 +0:0:63 " : "+0:0:0 +0:0:63 ");
  }
}

TEST_F(StorvscDisksTest, DisksComeAndGoWithTheHostsHints) {
  Start();
  storvsp.luns[{.lun = 1}] = {};
  storvsp.luns[{.lun = 2}] = {};
  HostHints();
  EXPECT_EQ(listener.journal, "+0:0:0 +0:0:1 +0:0:2 ");
  storvsp.luns.erase({.lun = 1});
  HostHints(storvsc::kRemoveDevice);
  EXPECT_EQ(listener.journal, "+0:0:0 +0:0:1 +0:0:2 -0:0:1 ");
}

// Else a disk without an id, that needs no flushes, would be there until the next scan.
TEST_F(StorvscDisksTest, ALunThatGoesWhileItIsIdentifiedIsNotPublished) {
  for (const bool fails : {false, true}) {
    for (const uint8_t last : {scsi::kInquiry, scsi::kModeSense6}) {
      storvsp.absent_inquiry_fails = fails;
      storvsp.luns[{.lun = 1}] = {};
      storvsp.intercept = [&](const HostCommand& command) {
        const bool page =
            command.opcode() == scsi::kInquiry && (command.request.cdb_or_sense[1] & 1);
        const bool now = last == scsi::kInquiry ? page : command.opcode() == last;
        if (command.request.lun == 1 && now) storvsp.luns.erase({.lun = 1});
        return false;
      };
      controller == nullptr ? Start() : HostHints();
      EXPECT_EQ(listener.journal, "+0:0:0 ") << fails << " " << int{last};
    }
  }
}

TEST_F(StorvscDisksTest, ALunThatIsAwayForAMomentIsPublishedWithAllThatItSays) {
  Start();
  for (const uint8_t page : {0x00, 0x83}) {
    storvsp.luns.erase({.lun = 1});
    HostHints();
    listener.journal.clear();
    storvsp.luns[{.lun = 1}] = {.id = "one"};
    bool away = true;
    storvsp.intercept = [&](const HostCommand& command) {
      const auto& cdb = command.request.cdb_or_sense;
      if (command.request.lun != 1 || command.opcode() != scsi::kInquiry) return false;
      if ((cdb[1] & 1) == 0 || cdb[2] != page || !std::exchange(away, false)) return false;
      return storvsp.wire.Answer(command, {.srb_status = storvsc::kSrbInvalidRequest,
                                           .scsi_status = scsi::kCheckCondition});
    };
    HostHints();
    Run(std::chrono::seconds(3));
    EXPECT_EQ(listener.journal, "+0:0:1 ") << int{page} << ": looked at again without a hint";
    EXPECT_EQ(Disk({.lun = 1})->info().id, "t10.6f6e65");
  }
}

TEST_F(StorvscDisksTest, AnotherDiskAtTheSameLunIsAnotherDisk) {
  Start();
  const std::shared_ptr<BlockDevice> first = Disk();
  storvsp.luns[{}].id = "another";
  HostHints();
  EXPECT_EQ(listener.journal, "+0:0:0 -0:0:0 +0:0:0 ");
  EXPECT_NE(Disk(), first);
}

TEST_F(StorvscDisksTest, TheSameDiskAgainStaysWhatItIs) {
  Start();
  const std::shared_ptr<BlockDevice> first = Disk();
  HostHints();
  HostHints();
  EXPECT_EQ(listener.journal, "+0:0:0 ");
  EXPECT_EQ(Disk(), first);
}

TEST_F(StorvscDisksTest, AResizedDiskIsToldOf) {
  Start();
  storvsp.luns[{}].blocks = 4096;
  HostHints();
  EXPECT_EQ(listener.journal, "+0:0:0 =0:0:0 ");
  EXPECT_EQ(Disk()->bytes(), 4096u * 512);
}

TEST_F(StorvscDisksTest, ACapacityThatNoDiskHasIsShownAndNotUsed) {
  storvsp.luns[{}].block_bytes = 0;
  storvsp.luns[{.lun = 1}].block_bytes = 520;
  storvsp.luns[{.lun = 2}].blocks = 0;  // its last block would be 2^64 - 1
  storvsp.luns[{.lun = 3}] = {};
  Start();
  EXPECT_EQ(Info().state, DeviceState::kRunning);
  EXPECT_EQ(listener.journal, "+0:0:3 ");
  EXPECT_THAT(Inspect(), HasSubstr("block size is 520"));
  storvsp.luns[{.lun = 1}].block_bytes = 512;
  HostHints();
  EXPECT_EQ(listener.journal, "+0:0:3 +0:0:1 ") << "put right meanwhile";
}

TEST_F(StorvscDisksTest, OtherDevicesAreShownAndLeftAlone) {
  storvsp.luns[{.lun = 1}].type = 8;
  Start();
  EXPECT_EQ(listener.journal, "+0:0:0 ");
  EXPECT_THAT(Inspect(), HasSubstr("no driver for SCSI device type 8"));
  HostHints();
  EXPECT_EQ(listener.journal, "+0:0:0 ") << "also when it is looked at again";
}

TEST_F(StorvscDisksTest, ADiskThatIsTooBusyForAScanIsKept) {
  Start();
  bool busy = true;
  storvsp.intercept = [&](const HostCommand& command) {
    return busy && command.opcode() == scsi::kInquiry && command.request.lun == 0 &&
           storvsp.wire.Answer(command, {.srb_status = storvsc::kSrbBusy});
  };
  storvsp.luns[{.lun = 1}] = {};
  storvsp.luns[{}].blocks = 4096;
  HostHints();
  EXPECT_EQ(listener.journal, "+0:0:0 +0:0:1 ");
  busy = false;
  Run(std::chrono::seconds(3));
  EXPECT_EQ(listener.journal, "+0:0:0 +0:0:1 =0:0:0 ") << "looked at again without a hint";
}

// The ways in which a host fails a command that say nothing about who is there.
constexpr HostAnswer kFailures[] = {
    {.srb_status = storvsc::kSrbTimeout},
    {.srb_status = storvsc::kSrbCommandTimeout},
    {.srb_status = storvsc::kSrbInternalError},
    {.srb_status = storvsc::kSrbError, .scsi_status = scsi::kCheckCondition},
    {.srb_status = storvsc::kSrbError | storvsc::kSrbAutosenseValid,
     .scsi_status = scsi::kCheckCondition,
     .sense = {scsi::kHardwareError, 0x44, 0}},
    {.srb_status = storvsc::kSrbSuccess | storvsc::kSrbQueueFrozen},
    {.srb_status = storvsc::kSrbSuccess, .transferred = 0},
};

// What a scan asks a LUN, but for the modes: those are not needed.
bool AsksWhatItIs(const HostCommand& command) {
  switch (command.opcode()) {
    case scsi::kInquiry:
    case scsi::kReadCapacity10:
    case scsi::kServiceActionIn16:
    case scsi::kModeSense6:
      return true;
    default:
      return false;
  }
}

TEST_F(StorvscDisksTest, ADiskWhoseAnswersFailIsKeptAndLookedAtAgain) {
  Start();
  const std::shared_ptr<BlockDevice> disk = Disk();
  for (const HostAnswer& failure : kFailures) {
    // How many questions are answered before one fails, for as long as the scan asks anything.
    for (int good = 0; good < 6; ++good) {
      int left = good;
      bool failed = false;
      storvsp.intercept = [&](const HostCommand& command) {
        if (!AsksWhatItIs(command) || left-- > 0) return false;
        failed = true;
        return storvsp.wire.Answer(command, failure);
      };
      HostHints();
      ASSERT_TRUE(failed || good == 5);
      EXPECT_EQ(listener.journal, "+0:0:0 ") << int{failure.srb_status} << " after " << good;
      storvsp.intercept = nullptr;
      storvsp.luns[{}].blocks = storvsp.luns[{}].blocks == 2048 ? 4096 : 2048;
      Run(std::chrono::seconds(3));
      const std::string seen = std::exchange(listener.journal, "+0:0:0 ");
      // Without its modes (the last question) the rest is believed: nothing has to be looked at again.
      if (good < 4) {
        EXPECT_EQ(seen, "+0:0:0 =0:0:0 ") << "looked at again without a hint";
      }
      HostHints();
      listener.journal = "+0:0:0 ";
    }
  }
  EXPECT_EQ(Disk(), disk);
}

TEST_F(StorvscDisksTest, ADiskWhoseInquiryFailsAtFirstComesWithoutAHint) {
  for (const HostAnswer& failure : kFailures) {
    const auto lun = static_cast<uint8_t>(1 + (&failure - kFailures));
    bool fails = true;
    storvsp.intercept = [&](const HostCommand& command) {
      return fails && command.request.lun == lun && command.opcode() == scsi::kInquiry &&
             storvsp.wire.Answer(command, failure);
    };
    storvsp.luns[{.lun = lun}] = {};
    controller == nullptr ? Start() : HostHints();
    EXPECT_EQ(Disk({.lun = lun}), nullptr) << int{failure.srb_status};
    fails = false;
    Run(std::chrono::seconds(3));
    EXPECT_NE(Disk({.lun = lun}), nullptr) << int{failure.srb_status};
  }
}

TEST_F(StorvscDisksTest, ATargetWhoseListOfLunsFailsIsAskedAgain) {
  for (const uint8_t path : {0, 1}) {
    storvsp.luns[{.path = path, .lun = 3}] = {};
    bool fails = true;
    storvsp.intercept = [&](const HostCommand& command) {
      return fails && command.request.path_id == path && command.opcode() == scsi::kReportLuns &&
             storvsp.wire.Answer(command, kFailures[0]);
    };
    controller == nullptr ? Start() : HostHints();
    // The target that every controller has is probed as if it did not know the command.
    EXPECT_EQ(listener.journal, "+0:0:0 +0:0:3 ");
    fails = false;
    Run(std::chrono::seconds(3));
  }
  EXPECT_EQ(listener.journal, "+0:0:0 +0:0:3 +1:0:3 ");
}

// Hosts fail this page in ways that say nothing about the disk.
TEST_F(StorvscDisksTest, ADiskWhoseSerialNumberCannotBeHadIsThereAllTheSame) {
  bool fails = true;
  const auto fail = [&](const HostCommand& command) {
    const auto& cdb = command.request.cdb_or_sense;
    if (command.opcode() != scsi::kInquiry || (cdb[1] & 1) == 0) return false;
    static constexpr uint8_t kPages[] = {0, 0x00, 0, 3, 0x00, 0x80, 0x83};
    static constexpr uint8_t kSerial[] = {0, 0x80, 0, 2, 'a', 'b'};
    if (cdb[2] == scsi::kVpdId) return false;
    if (cdb[2] == scsi::kVpdSerial && fails) return storvsp.wire.Answer(command, kFailures[2]);
    const std::span<const uint8_t> page =
        cdb[2] == scsi::kVpdSerial ? std::span<const uint8_t>(kSerial) : kPages;
    return storvsp.wire.Answer(
        command, {.transferred = storvsp.wire.CopyToGuest(command, std::as_bytes(page))});
  };
  storvsp.intercept = fail;
  Start();
  const std::shared_ptr<BlockDevice> disk = Disk();
  ASSERT_NE(disk, nullptr);
  for (const bool next : {false, true, false}) {
    fails = next;
    HostHints();
    EXPECT_EQ(Disk(), disk);
  }
}

TEST_F(StorvscDisksTest, ADiskIsGoneWhenNobodyAnswersForItsTarget) {
  for (const uint8_t code : {storvsc::kSrbSelectionTimeout, storvsc::kSrbNoDevice}) {
    bool gone = false;
    storvsp.intercept = [&](const HostCommand& command) {
      return gone && command.request.lun == 0 && command.opcode() != scsi::kReportLuns &&
             storvsp.wire.Answer(command, {.srb_status = code});
    };
    controller == nullptr ? Start() : HostHints();
    EXPECT_NE(Disk(), nullptr);
    gone = true;
    HostHints();
    EXPECT_EQ(Disk(), nullptr) << int{code};
    gone = false;
  }
}

TEST_F(StorvscDisksTest, ADiskThatIsNotReadyYetComesWhenItIs) {
  bool ready = false;
  storvsp.intercept = [&](const HostCommand& command) {
    const bool capacity =
        command.opcode() == scsi::kReadCapacity10 || command.opcode() == scsi::kServiceActionIn16;
    return !ready && capacity && storvsp.wire.Refuse(command, {scsi::kNotReady, 0x04, 0x01});
  };
  Start();
  EXPECT_EQ(listener.journal, "");
  EXPECT_THAT(Inspect(), HasSubstr("cannot say what it is"));
  ready = true;
  Run(std::chrono::seconds(3));
  EXPECT_EQ(listener.journal, "+0:0:0 ");
}

TEST_F(StorvscDisksTest, ADvdIsThereWhileItHasAMedium) {
  storvsp.luns[{.lun = 1}] = {.blocks = 1000, .type = 5, .block_bytes = 2048, .medium = false};
  Start();
  EXPECT_EQ(listener.journal, "+0:0:0 ");
  storvsp.luns[{.lun = 1}].medium = true;
  Run(std::chrono::seconds(3));
  EXPECT_EQ(listener.journal, "+0:0:0 +0:0:1 ");
  const std::shared_ptr<BlockDevice> dvd = Disk({.lun = 1});
  EXPECT_TRUE(dvd->info().read_only);
  EXPECT_EQ(dvd->info().block_bytes, 2048u);
  EXPECT_EQ(dvd->bytes(), 1000u * 2048);
  storvsp.luns[{.lun = 1}].medium = false;
  HostHints(storvsc::kEventNotification);
  EXPECT_EQ(listener.journal, "+0:0:0 +0:0:1 -0:0:1 ") << "sooner than the next poll";
}

TEST_F(StorvscDisksTest, MediaArePolledOnlyWhereThereAreDrives) {
  Start();
  Run(std::chrono::minutes(1));
  EXPECT_EQ(storvsp.Count(scsi::kGetEventStatus), 0u);
}

TEST_F(StorvscDisksTest, AStormOfHintsCostsAScanNowAndThen) {
  Start();
  const uint32_t before = storvsp.Count(scsi::kReportLuns) / 16;
  {
    const SimTurn turn = EnterHost();
    for (int i = 0; i < 300; ++i) {
      storvsp.wire.Send(*transport.host(kRelid), storvsc::kEnumerateBus);
    }
  }
  Run();
  const uint32_t scans = storvsp.Count(scsi::kReportLuns) / 16 - before;
  EXPECT_GE(scans, 1u);
  EXPECT_LE(scans, 3u);
}

TEST_F(StorvscDisksTest, WhatNobodyKnowsIsIgnoredAndCounted) {
  Start();
  HostHints(99);
  HostHints(storvsc::kFcHbaData);
  EXPECT_EQ(Info().state, DeviceState::kRunning);
  EXPECT_THAT(Inspect(), HasSubstr("\"unsolicited_ignored\": 2"));
}

TEST_F(StorvscDisksTest, UnitAttentionsAndBusyDisksAreAskedAgain) {
  int refusals = 0;
  storvsp.intercept = [&](const HostCommand& command) {
    if (command.opcode() != scsi::kInquiry || ++refusals > 4) return false;
    if (refusals % 2 == 0) return storvsp.wire.Answer(command, {.srb_status = storvsc::kSrbBusy});
    return storvsp.wire.Refuse(command, {scsi::kUnitAttention, 0x29, 0});
  };
  Start();
  EXPECT_EQ(listener.journal, "+0:0:0 ");
}

TEST_F(StorvscDisksTest, ALateListenerIsToldOfWhatIsThere) {
  Start();
  JournalListener late;
  controller->SetListener(&late);
  EXPECT_EQ(late.journal, "+0:0:0 ");
  controller->SetListener(nullptr);
  storvsp.luns.clear();
  HostHints();
  EXPECT_EQ(late.journal, "+0:0:0 ");
  EXPECT_EQ(listener.journal, "+0:0:0 ");
}

}  // namespace
}  // namespace vmbuskit
