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
#include "transports/protocol/hypervisor.h"

namespace vmbuskit {

// An interrupt handler that counts.
class CountingEvent {
 public:
  explicit CountingEvent(Executor& executor)
      : event(executor, Callback::To<&CountingEvent::OnSignal>(this)) {}
  void OnSignal() { ++count; }

  int count = 0;
  Event event;
};

// Reads a SynIC's pages as a guest's interrupt handler does (protocol 01 section 4.3).
struct FetchedMessage {
  uint32_t type = 0;
  bool pending = false;
  std::vector<std::byte> payload;
};
inline std::optional<FetchedMessage> FetchMessage(SynicMessage& slot) {
  std::atomic_ref type(slot.type);
  const uint32_t seen = type.load(std::memory_order_acquire);
  if (seen == kMessageTypeNone) return std::nullopt;
  FetchedMessage message;
  message.type = seen;
  message.payload.assign(slot.payload.begin(), slot.payload.begin() + slot.payload_size);
  uint32_t expected = seen;
  type.compare_exchange_strong(expected, kMessageTypeNone);
  message.pending = (std::atomic_ref(slot.flags).load() & kMessageFlagPending) != 0;
  return message;
}

class PartitionTest : public ::testing::Test {
 protected:
  static constexpr uint64_t kPages = 64;
  static constexpr Gpa kHypercallGpa = 1 * kPageSize;
  static constexpr Gpa kInputGpa = 2 * kPageSize;
  static constexpr Gpa kOutputGpa = 3 * kPageSize;
  static constexpr Gpa kTscGpa = 4 * kPageSize;
  static constexpr uint8_t kVector = 0xF3;
  static constexpr Gpa SimpGpa(uint32_t vp) { return (8 + 2 * vp) * kPageSize; }
  static constexpr Gpa SiefpGpa(uint32_t vp) { return (9 + 2 * vp) * kPageSize; }

  PartitionTest() : memory_(*MemfdMemory::Create({.page_count = kPages})) { Make({}); }
  ~PartitionTest() override {
    for (uint32_t vp = 0; vp < 2; ++vp) partition_->ConnectInterrupt(vp, kVector, nullptr);
  }

  // A fresh partition instead of the present one.
  void Make(const PartitionOptions& options) {
    partition_.reset();
    partition_ = std::make_unique<EmbeddedPartition>(
        *memory_, host_, std::vector<Executor*>{&cpu0_, &cpu1_}, options);
  }

  std::byte* At(Gpa gpa) { return memory_->Translate(gpa, 1)->data(); }
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

  absl::Status Write(uint32_t vp, uint32_t reg, uint64_t value) {
    return partition_->WriteRegister(vp, reg, value);
  }
  uint64_t Read(uint32_t vp, uint32_t reg) { return *partition_->ReadRegister(vp, reg); }

  // GUEST_OS_ID and the hypercall page.
  void EnableHypercalls() {
    ASSERT_TRUE(Write(0, kRegGuestOsId, OpenSourceGuestOsId(1, 0, 0x060100, 0)).ok());
    ASSERT_TRUE(Write(0, kRegHypercall, PageRegister(kHypercallGpa)).ok());
  }
  // Pages, SINT2 and interrupt handler, in the guest's order (section 4.2).
  void BringUpSynic(uint32_t vp) {
    partition_->ConnectInterrupt(vp, kVector, &interrupt(vp).event);
    ASSERT_TRUE(Write(vp, kRegSimp, PageRegister(SimpGpa(vp))).ok());
    ASSERT_TRUE(Write(vp, kRegSiefp, PageRegister(SiefpGpa(vp))).ok());
    ASSERT_TRUE(Write(vp, kRegSint0 + kVmbusSint, kVector).ok());
    ASSERT_TRUE(Write(vp, kRegScontrol, kScontrolEnable).ok());
  }
  CountingEvent& interrupt(uint32_t vp) { return vp == 0 ? interrupt0_ : interrupt1_; }

  SynicMessage& Slot(uint32_t vp, uint32_t sint = kVmbusSint) {
    return reinterpret_cast<SynicMessagePage*>(At(SimpGpa(vp)))->slot[sint];
  }
  // Takes the message out of the slot, with an EOM if the host asks for one, and lets the host act.
  std::optional<FetchedMessage> Fetch(uint32_t vp, uint32_t sint = kVmbusSint) {
    std::optional<FetchedMessage> message = FetchMessage(Slot(vp, sint));
    if (message && message->pending) {
      EXPECT_TRUE(Write(vp, kRegEom, 0).ok());
    }
    Run();
    return message;
  }
  bool FlagSet(uint32_t vp, uint32_t flag, uint32_t sint = kVmbusSint) {
    const auto& page = *reinterpret_cast<SynicEventFlagsPage*>(At(SiefpGpa(vp)));
    return (page.flags[sint][flag / 64] >> flag % 64 & 1) != 0;
  }
  void ClearFlag(uint32_t vp, uint32_t flag, uint32_t sint = kVmbusSint) {
    auto& page = *reinterpret_cast<SynicEventFlagsPage*>(At(SiefpGpa(vp)));
    std::atomic_ref(page.flags[sint][flag / 64]).fetch_and(~(uint64_t{1} << flag % 64));
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
