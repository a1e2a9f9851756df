// Registers with their #GP rules, partition-wide state, time, and what a reset leaves.
#include "transports/embedded_host/embedded_partition.h"

#include <string>

#include "gtest/gtest.h"
#include "transports/embedded_host/partition_testing.h"

namespace vmbuskit {
namespace {

class EmbeddedPartitionTest : public PartitionTest {
 protected:
  void ExpectGp(const absl::Status& status, const std::string& text) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_NE(std::string(status.message()).find(text), std::string::npos) << status;
  }
  void ExpectGpOnWrite(uint32_t reg, uint64_t value, const std::string& text) {
    ExpectGp(Write(0, reg, value), text);
  }
};

TEST_F(EmbeddedPartitionTest, ReservedBitsOfPageRegistersFault) {
  EnableHypercalls();
  for (uint64_t bit = 2; bit <= 11; ++bit) {
    ExpectGpOnWrite(kRegHypercall, PageRegister(kHypercallGpa) | 1 << bit, "reserved");
  }
  for (uint64_t bit = 1; bit <= 11; ++bit) {
    ExpectGpOnWrite(kRegReferenceTsc, PageRegister(kTscGpa) | 1 << bit, "reserved");
    ExpectGpOnWrite(kRegVpAssistPage, PageRegister(kTscGpa) | 1 << bit, "reserved");
    // The SynIC's page registers keep what is written there.
    EXPECT_TRUE(Write(0, kRegSimp, PageRegister(SimpGpa(0)) | 1 << bit).ok());
    EXPECT_EQ(Read(0, kRegSimp), PageRegister(SimpGpa(0)) | 1 << bit);
  }
}

TEST_F(EmbeddedPartitionTest, PagesThatDoNotExistFault) {
  EnableHypercalls();
  const uint64_t beyond = PageRegister(kPages * kPageSize);
  for (uint32_t reg : {kRegHypercall, kRegReferenceTsc, kRegVpAssistPage, kRegSimp, kRegSiefp}) {
    ExpectGpOnWrite(reg, beyond, "no such guest page");
    EXPECT_NE(Read(0, reg), beyond);
    EXPECT_TRUE(Write(0, reg, beyond & ~kPageRegisterEnable).ok()) << "not enabled: any page";
  }
}

TEST_F(EmbeddedPartitionTest, ReadOnlyRegistersFault) {
  for (uint32_t reg :
       {kRegVpIndex, kRegTimeRefCount, kRegTscFrequency, kRegApicFrequency, kRegSversion}) {
    ExpectGpOnWrite(reg, 0, "read-only");
  }
  ExpectGp(partition_->ReadRegister(0, kRegEoi).status(), "write-only");
}

TEST_F(EmbeddedPartitionTest, UnknownRegistersAndProcessorsFault) {
  for (uint32_t reg : {0x40000004u, 0x40000010u, 0x40000085u, 0x400000A0u, 0x400000B8u, 0x400000F0u,
                       0x40000106u, 0x40000118u, 0x4000FFFFu, 0x10u}) {
    ExpectGpOnWrite(reg, 0, "no such register");
    ExpectGp(partition_->ReadRegister(0, reg).status(), "no such register");
  }
  ExpectGp(Write(2, kRegScontrol, 1), "processor");
  ExpectGp(partition_->ReadRegister(9, kRegScontrol).status(), "processor");
}

TEST_F(EmbeddedPartitionTest, FaultsNameRegisterAndValue) {
  EXPECT_EQ(Write(0, kRegVpIndex, 0x77).message(), "register 0x40000002: value 0x77: read-only");
}

TEST_F(EmbeddedPartitionTest, TheHypercallPageHoldsCodeAndCanBeLocked) {
  ASSERT_TRUE(Write(0, kRegGuestOsId, 1).ok());
  ASSERT_TRUE(Write(0, kRegHypercall, PageRegister(kHypercallGpa) | kHypercallRegisterLocked).ok());
  EXPECT_EQ(Get<uint32_t>(kHypercallGpa), 0xC3C1010Fu) << "VMCALL; RET";
  EXPECT_EQ(Get<uint8_t>(kHypercallGpa + 4), 0xCC);
  ExpectGpOnWrite(kRegHypercall, 0, "locked");
  ExpectGpOnWrite(kRegHypercall, PageRegister(kHypercallGpa), "locked");
}

TEST_F(EmbeddedPartitionTest, WithoutGuestOsIdThereAreNoHypercalls) {
  ASSERT_TRUE(Write(0, kRegHypercall, PageRegister(kHypercallGpa)).ok());
  EXPECT_EQ(Read(0, kRegHypercall), kHypercallGpa) << "the enable bit stays clear";
  EnableHypercalls();
  EXPECT_EQ(Call(0, 0), HypercallStatus::kInvalidHypercallCode);
  ASSERT_TRUE(Write(0, kRegGuestOsId, 0).ok());
  EXPECT_EQ(partition_->Hypercall(0, 0, 0, 0), Partition::kHypercallUndefined);
  EXPECT_EQ(partition_->shared_pages(), 0u);
}

TEST_F(EmbeddedPartitionTest, OrGuestOsIdIsOnlyRecorded) {
  Make({.guest_os_id = GuestOsIdReading::kRecordsOnly});
  ASSERT_TRUE(Write(0, kRegHypercall, PageRegister(kHypercallGpa)).ok());
  EXPECT_EQ(Read(0, kRegHypercall), PageRegister(kHypercallGpa));
  ASSERT_TRUE(Write(0, kRegGuestOsId, 0).ok());
  EXPECT_EQ(Call(0, 0), HypercallStatus::kInvalidHypercallCode);
}

TEST_F(EmbeddedPartitionTest, HiddenRamComesBackInTheKernelDocumentationsReading) {
  for (OverlayReading reading : {OverlayReading::kCopyOver, OverlayReading::kHideRam}) {
    Make({.overlay = reading});
    Put(SimpGpa(0), uint64_t{0x1122334455667788});
    ASSERT_TRUE(Write(0, kRegSimp, PageRegister(SimpGpa(0))).ok());
    EXPECT_EQ(Get<uint64_t>(SimpGpa(0)), 0u);
    ASSERT_TRUE(Write(0, kRegSimp, 0).ok());
    EXPECT_EQ(Get<uint64_t>(SimpGpa(0)),
              reading == OverlayReading::kHideRam ? 0x1122334455667788u : 0u);
  }
}

TEST_F(EmbeddedPartitionTest, VpIndexIsPerProcessorAndOthersArePlain) {
  EXPECT_EQ(Read(0, kRegVpIndex), 0u);
  EXPECT_EQ(Read(1, kRegVpIndex), 1u);
  EXPECT_EQ(Read(0, kRegTscFrequency), 2'500'000'000u);
  ASSERT_TRUE(Write(1, kRegTpr, 0x130).ok());
  EXPECT_EQ(Read(1, kRegTpr), 0x30u);
  EXPECT_EQ(Read(0, kRegTpr), 0u);
  EXPECT_TRUE(Write(0, kRegEoi, 0).ok());
  EXPECT_EQ(partition_->Cpuid(0, kCpuidLeafLimits).eax, 2u);
  EXPECT_EQ(partition_->Cpuid(5, kCpuidLeafLimits).eax, 0u);
}

TEST_F(EmbeddedPartitionTest, InterProcessorInterrupts) {
  partition_->ConnectInterrupt(0, 0x50, &interrupt0_.event);
  partition_->ConnectInterrupt(1, 0x50, &interrupt1_.event);
  auto send = [&](uint64_t icr) {
    interrupt0_.count = interrupt1_.count = 0;
    EXPECT_TRUE(Write(0, kRegIcr, icr | 0x50).ok());
    Run();
    return std::pair(interrupt0_.count, interrupt1_.count);
  };
  EXPECT_EQ(send(uint64_t{1} << 32), std::pair(0, 1)) << "to processor 1";
  EXPECT_EQ(send(1 << 18), std::pair(1, 0)) << "self";
  EXPECT_EQ(send(2 << 18), std::pair(1, 1)) << "all";
  EXPECT_EQ(send(3 << 18), std::pair(0, 1)) << "others";
  EXPECT_EQ(send(4 << 8), std::pair(0, 0)) << "not a fixed interrupt";
  for (uint32_t vp = 0; vp < 2; ++vp) partition_->ConnectInterrupt(vp, 0x50, nullptr);
}

TEST_F(EmbeddedPartitionTest, DevicesRaiseInterruptsOfTheirOwn) {
  partition_->ConnectInterrupt(1, 0x61, &interrupt1_.event);
  partition_->RaiseInterrupt(1, 0x61);
  partition_->RaiseInterrupt(9, 0x61);
  Run();
  EXPECT_EQ(interrupt1_.count, 1);
  partition_->ConnectInterrupt(1, 0x61, nullptr);
}

TEST_F(EmbeddedPartitionTest, ReferenceTimeCountsFromCreation) {
  EXPECT_EQ(Read(0, kRegTimeRefCount), 0u);
  RunFor(std::chrono::milliseconds(3));
  EXPECT_NEAR(static_cast<double>(Read(1, kRegTimeRefCount)), 30'000, 1);
  EXPECT_EQ(partition_->ReferenceTime(), Read(0, kRegTimeRefCount));
}

TEST_F(EmbeddedPartitionTest, TheTscPageTellsTheSameTimeAlsoAfterMigration) {
  RunFor(std::chrono::milliseconds(7));
  ASSERT_TRUE(Write(0, kRegReferenceTsc, PageRegister(kTscGpa)).ok());
  auto page_time = [&] {
    const auto page = Get<ReferenceTscPage>(kTscGpa);
    EXPECT_NE(page.sequence, 0u);
    return ReferenceTimeFromTsc(partition_->ReadTsc(0), page.scale, page.offset);
  };
  EXPECT_EQ(page_time(), Read(0, kRegTimeRefCount));
  const uint32_t sequence = Get<ReferenceTscPage>(kTscGpa).sequence;

  partition_->Migrate(3'100'000'000);
  EXPECT_EQ(Read(0, kRegTscFrequency), 3'100'000'000u);
  EXPECT_NE(Get<ReferenceTscPage>(kTscGpa).sequence, sequence);
  EXPECT_EQ(page_time(), Read(0, kRegTimeRefCount));
  EXPECT_NEAR(static_cast<double>(page_time()), 70'000, 1) << "no step";
  RunFor(std::chrono::milliseconds(7));
  EXPECT_NEAR(static_cast<double>(page_time()), 140'000, 2);

  ASSERT_TRUE(Write(0, kRegReferenceTsc, 0).ok());
  Put(kTscGpa, uint64_t{0});
  partition_->Migrate(2'000'000'000);
  EXPECT_EQ(Get<uint64_t>(kTscGpa), 0u) << "the page is the guest's again";
}

TEST_F(EmbeddedPartitionTest, WithoutInvariantTscThePageSaysSo) {
  Make({.invariant_tsc = false});
  ASSERT_TRUE(Write(0, kRegReferenceTsc, PageRegister(kTscGpa)).ok());
  EXPECT_EQ(Get<ReferenceTscPage>(kTscGpa).sequence, 0u);
}

TEST_F(EmbeddedPartitionTest, ACrashIsReportedWithItsParameters) {
  CountingEvent crashed(host_);
  partition_->SetNotifications({.crash = &crashed.event});
  EXPECT_EQ(Read(0, kRegCrashCtl), kCrashNotify | kCrashMessage) << "what the host supports";
  for (uint32_t i = 0; i < kCrashParameterCount; ++i) {
    ASSERT_TRUE(Write(0, kRegCrashP0 + i, 100 + i).ok());
    EXPECT_EQ(Read(1, kRegCrashP0 + i), 100 + i);
  }
  ASSERT_TRUE(Write(0, kRegCrashCtl, kCrashNoDump).ok());
  EXPECT_FALSE(partition_->crash_report().has_value()) << "no notify bit";
  ASSERT_TRUE(Write(0, kRegCrashCtl, kCrashNotify | kCrashNoDump).ok());
  Run();
  EXPECT_EQ(crashed.count, 1);
  const std::optional<CrashReport> report = partition_->crash_report();
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->parameters[4], 104u);
  EXPECT_EQ(report->control, kCrashNotify | kCrashNoDump);
  EXPECT_EQ(Read(0, kRegCrashCtl), kCrashNotify | kCrashMessage);
}

TEST_F(EmbeddedPartitionTest, TheResetRegisterTellsTheHost) {
  CountingEvent reset(host_);
  partition_->SetNotifications({.reset = &reset.event});
  ASSERT_TRUE(Write(0, kRegReset, 0).ok());
  Run();
  EXPECT_EQ(reset.count, 0);
  ASSERT_TRUE(Write(0, kRegReset, kResetPartition).ok());
  Run();
  EXPECT_EQ(reset.count, 1);
}

TEST_F(EmbeddedPartitionTest, SharedPagesAreCountedAndGoneAfterReset) {
  EnableHypercalls();
  BringUpSynic(0);
  BringUpSynic(1);
  ASSERT_TRUE(Write(0, kRegReferenceTsc, PageRegister(kTscGpa)).ok());
  ASSERT_TRUE(Write(1, kRegVpAssistPage, PageRegister(5 * kPageSize)).ok());
  ASSERT_TRUE(partition_->monitor_pages().Map(20 * kPageSize, 21 * kPageSize).ok());
  EXPECT_EQ(partition_->shared_pages(), 1u + 4 + 1 + 1 + 2);

  partition_->Reset();
  EXPECT_EQ(partition_->shared_pages(), 0u);
  EXPECT_EQ(Read(0, kRegGuestOsId), 0u);
  EXPECT_EQ(Read(0, kRegHypercall), 0u);
  EXPECT_EQ(Read(0, kRegReferenceTsc), 0u);
  EXPECT_EQ(Read(1, kRegVpAssistPage), 0u);
  EXPECT_EQ(Read(1, kRegSimp), 0u);
  EXPECT_EQ(Read(1, kRegSint0 + kVmbusSint), kSintReset);
  EXPECT_EQ(partition_->Hypercall(0, 0, 0, 0), Partition::kHypercallUndefined);
  // The interrupt handlers of the old guest are forgotten.
  interrupt0_.count = 0;
  partition_->RaiseInterrupt(0, kVector);
  Run();
  EXPECT_EQ(interrupt0_.count, 0);
}

}  // namespace
}  // namespace vmbuskit
