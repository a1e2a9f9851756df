// For tests: an embedded partition with two processors in virtual time, and a guest that speaks bytes.
//
//   class RegisterTest : public PartitionTest {};
//   TEST_F(RegisterTest, ...) { EXPECT_EQ(Call(SimpleCall(kCallPostMessage), kInputGpa, 0), ...); }
//
// Thread safety: one thread, the test's.
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_PARTITION_TESTING_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_PARTITION_TESTING_H_

#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "platform/linux/memfd_memory.h"
#include "platform/sim/scheduler.h"
#include "transports/embedded_host/embedded_partition.h"
#include "transports/embedded_host/raw_guest.h"
#include "transports/protocol/hypervisor.h"

namespace vmbuskit {

class PartitionTest : public ::testing::Test, protected RawGuest {
 protected:
  static constexpr uint64_t kPages = 64;
  static constexpr Gpa kTscGpa = 4 * kPageSize;

  PartitionTest() : memory_(*MemfdMemory::Create({.page_count = kPages})) { Make({}); }
  ~PartitionTest() override { DisconnectInterrupts(); }

  // A fresh partition instead of the present one.
  void Make(const PartitionOptions& options) {
    partition_.reset();
    partition_ = std::make_unique<EmbeddedPartition>(
        *memory_, host_, std::vector<Executor*>{&cpu0_, &cpu1_}, options);
  }

  Partition& partition() override { return *partition_; }
  template <typename T>
  void Put(Gpa gpa, const T& value) {
    std::memcpy(At(gpa), &value, sizeof value);
  }
  template <typename T>
  T Get(Gpa gpa) {
    T value;
    std::memcpy(&value, At(gpa), sizeof value);
    return value;
  }

  uint64_t Read(uint32_t vp, uint32_t reg) { return *partition_->ReadRegister(vp, reg); }

  void EnableHypercalls() { ASSERT_EQ(RawGuest::EnableHypercalls(), absl::OkStatus()); }
  void BringUpSynic(uint32_t vp) {
    partition_->ConnectInterrupt(vp, kVector, &interrupt(vp).event);
    ASSERT_EQ(RawGuest::BringUpSynic(vp), absl::OkStatus());
  }
  CountingEvent& interrupt(uint32_t vp) { return vp == 0 ? interrupt0_ : interrupt1_; }

  SynicMessage& Slot(uint32_t vp, uint32_t sint = kVmbusSint) {
    return reinterpret_cast<SynicMessagePage*>(At(SimpGpa(vp)))->slot[sint];
  }
  // Takes the message out of the slot, and lets the host act.
  std::optional<FetchedMessage> Fetch(uint32_t vp, uint32_t sint = kVmbusSint) {
    std::optional<FetchedMessage> message = FetchSlot(vp, sint);
    Run();
    return message;
  }
  bool FlagSet(uint32_t vp, uint32_t flag, uint32_t sint = kVmbusSint) {
    const auto& page = *reinterpret_cast<SynicEventFlagsPage*>(At(SiefpGpa(vp)));
    return (page.flags[sint][flag / 64] >> flag % 64 & 1) != 0;
  }

  HypercallStatus Call(uint64_t control, uint64_t input, uint64_t output = 0, uint32_t vp = 0) {
    return ResultStatus(partition_->Hypercall(vp, control, input, output));
  }

  void Run() { ASSERT_TRUE(sim_.RunUntilIdle().ok()); }
  void RunFor(Duration duration) { ASSERT_TRUE(sim_.RunFor(duration).ok()); }

  std::unique_ptr<MemfdMemory> memory_;
  SimScheduler sim_{0};
  SimExecutor& host_ = sim_.NewExecutor(0);
  SimExecutor& cpu0_ = sim_.NewExecutor(1);
  SimExecutor& cpu1_ = sim_.NewExecutor(2);
  CountingEvent interrupt0_{cpu0_};
  CountingEvent interrupt1_{cpu1_};
  std::unique_ptr<EmbeddedPartition> partition_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_PARTITION_TESTING_H_
