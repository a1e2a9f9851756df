// A guest that does anything at all: whatever it writes to registers and passes to hypercalls, the host stays alive,
// keeps its accounting, and a reset finds everything.
#include <vector>

#include "gtest/gtest.h"
#include "platform/random.h"
#include "transports/embedded_host/partition_testing.h"
#include "transports/embedded_host/sample_registers.h"

namespace vmbuskit {
namespace {

constexpr uint64_t kControls[] = {SimpleCall(kCallPostMessage),
                                  SimpleCall(kCallSignalEvent),
                                  FastCall(kCallSignalEvent),
                                  FastCall(kCallPostMessage),
                                  SimpleCall(kCallGetPartitionId),
                                  SimpleCall(kCallExtQueryCapabilities),
                                  RepCall(kCallGetVpRegisters, 1),
                                  RepCall(kCallGetVpRegisters, 200),
                                  RepCall(kCallGetVpRegisters, 0xFFF, 0xFFE),
                                  RepCall(kCallSetVpRegisters, 3),
                                  RepCall(kCallSetVpRegisters, 127),
                                  SimpleCall(kCallRetargetDeviceInterrupt)};

class PartitionChaosTest : public PartitionTest, public GuestMessageHandler {
 protected:
  bool OnGuestMessage(uint32_t, std::span<const std::byte> payload) override {
    EXPECT_LE(payload.size(), kMessagePayloadMax);
    return !random_.OneIn(4);
  }

  // Plausible, at a boundary, or anything.
  uint64_t Value() {
    switch (random_.Below(6)) {
      case 0:
        return random_.Next();
      case 1:
        return PageRegister(random_.Below(kPages + 2) * kPageSize);
      case 2:
        return random_.Below(kPages) * kPageSize + random_.Below(32) * 128;
      case 3:
        return uint64_t{1} << random_.Below(64);
      case 4:
        return random_.Below(0x100) | (random_.OneIn(2) ? kSintMasked : 0);
      default:
        return random_.Below(4);
    }
  }
  void ScribbleInput() {
    std::byte* const page = At(kInputGpa);
    for (size_t i = 0; i < 64; ++i) page[random_.Below(kPageSize)] = std::byte(random_.Next());
    Put(kInputGpa, static_cast<uint32_t>(random_.Below(8)));
    Put(kInputGpa + 8, static_cast<uint32_t>(random_.Below(3)));
    Put(kInputGpa + 12, static_cast<uint32_t>(random_.Below(250)));
    if (random_.OneIn(3)) Put(kInputGpa, VpRegistersHeader{kPartitionIdSelf, kVpIndexSelf, 0, {}});
  }
  void Step() {
    const auto vp = static_cast<uint32_t>(random_.Below(3));
    switch (random_.Below(8)) {
      case 0:
      case 1:
      case 2:
        (void)partition_->WriteRegister(
            vp, kSampleRegisters[random_.Below(std::size(kSampleRegisters))], Value());
        break;
      case 3:
        (void)partition_->ReadRegister(
            vp, kSampleRegisters[random_.Below(std::size(kSampleRegisters))]);
        break;
      case 4:
        ScribbleInput();
        (void)partition_->Hypercall(vp, kControls[random_.Below(std::size(kControls))],
                                    random_.OneIn(3) ? Value() : kInputGpa,
                                    random_.OneIn(3) ? Value() : kOutputGpa);
        break;
      case 5:
        (void)partition_->Hypercall(vp, random_.Next(), Value(), Value());
        break;
      case 6:
        (void)partition_->SetEventFlag(vp, static_cast<uint32_t>(random_.Below(17)),
                                       static_cast<uint32_t>(random_.Below(2100)));
        break;
      default:
        (void)partition_->PostMessage(vp, static_cast<uint32_t>(random_.Below(17)),
                                      std::span(At(kInputGpa), random_.Below(242)));
        break;
    }
  }

  Random random_{1};
};

TEST_F(PartitionChaosTest, AnythingGoes) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    random_ = Random(seed);
    PartitionOptions options;
    options.overlay = seed % 2 == 0 ? OverlayReading::kHideRam : OverlayReading::kCopyOver;
    options.masked_events = seed % 3 == 0 ? MaskedEvents::kLatch : MaskedEvents::kLose;
    options.masked_messages = seed % 5 == 0 ? MaskedMessages::kDrop : MaskedMessages::kKeep;
    options.synic_queue_messages_max = 16;
    Make(options);
    ASSERT_TRUE(partition_->AddMessagePort(kMessageConnection, this).ok());
    EnableHypercalls();
    for (int i = 0; i < 5000; ++i) {
      Step();
      // Bounded: a timer with a period of one tick keeps the clock's hands full.
      if (i % 50 == 0) RunFor(std::chrono::microseconds(2));
    }
    const uint64_t pages = partition_->shared_pages();
    EXPECT_LE(pages, 2u + 2 * 3) << "hypercall and TSC page, three for each processor";
    partition_->Reset();
    EXPECT_EQ(partition_->shared_pages(), 0u);
    for (uint32_t vp = 0; vp < 2; ++vp) {
      EXPECT_EQ(Read(vp, kRegSimp) | Read(vp, kRegSiefp) | Read(vp, kRegVpAssistPage), 0u);
      EXPECT_EQ(Read(vp, kRegScontrol), 1u);
      for (uint32_t sint = 0; sint < kSintCount; ++sint) {
        EXPECT_EQ(Read(vp, kRegSint0 + sint), kSintReset);
        EXPECT_EQ(partition_->messages_waiting(vp, sint), 0u);
      }
    }
    // A well-behaved guest can start on what is left.
    EnableHypercalls();
    BringUpSynic(0);
    ASSERT_TRUE(partition_->PostMessage(0, kVmbusSint, std::span(At(kInputGpa), 8)));
    Run();
    EXPECT_TRUE(Fetch(0).has_value());
  }
}

}  // namespace
}  // namespace vmbuskit
