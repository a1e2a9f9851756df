// A partition between real threads: one for the host, one for the guest's processor. What the thread sanitizer sees
// here is what a product does.
#include <atomic>
#include <cstring>
#include <future>
#include <memory>

#include "gtest/gtest.h"
#include "platform/linux/executor_thread.h"
#include "platform/linux/memfd_memory.h"
#include "platform/random.h"
#include "transports/embedded_host/embedded_partition.h"
#include "transports/embedded_host/partition_testing.h"

namespace vmbuskit {
namespace {

constexpr uint8_t kVector = 0xF3;
constexpr Gpa kHypercallGpa = 1 * kPageSize;
constexpr Gpa kInputGpa = 2 * kPageSize;
constexpr Gpa kSimpGpa = 8 * kPageSize;
constexpr Gpa kSiefpGpa = 9 * kPageSize;
constexpr uint32_t kEventConnection = 0x2005;
constexpr uint32_t kFlag = 5;

// Answers every message with the same bytes, and every signal with an event flag. Lives on the host's thread.
class EchoHost : public GuestMessageHandler {
 public:
  EchoHost(EmbeddedPartition& partition, Executor& executor)
      : partition_(partition), signal_(executor, Callback::To<&EchoHost::OnSignal>(this)) {
    EXPECT_TRUE(partition_.AddMessagePort(kMessageConnection, this).ok());
    EXPECT_TRUE(partition_.AddEventPort(kEventConnection, &signal_).ok());
  }
  ~EchoHost() override {
    partition_.RemoveMessagePort(kMessageConnection);
    partition_.RemoveEventPort(kEventConnection);
  }

  bool OnGuestMessage(uint32_t, std::span<const std::byte> payload) override {
    if (partition_.messages_waiting(0, kVmbusSint) > 8) return false;
    EXPECT_TRUE(partition_.PostMessage(0, kVmbusSint, payload));
    return true;
  }

 private:
  void OnSignal() { (void)partition_.SetEventFlag(0, kVmbusSint, kFlag); }

  EmbeddedPartition& partition_;
  Event signal_;
};

// Posts numbered messages and signals, and waits for the answers to all. Lives on the processor's thread.
class CountingGuest {
 public:
  static constexpr uint32_t kRounds = 4000;

  CountingGuest(EmbeddedPartition& partition, GuestMemory& memory, Executor& executor)
      : partition_(partition),
        memory_(memory),
        interrupt_(executor, Callback::To<&CountingGuest::OnInterrupt>(this)),
        post_(executor, Callback::To<&CountingGuest::OnPost>(this)) {
    partition_.ConnectInterrupt(0, kVector, &interrupt_);
    const std::pair<uint32_t, uint64_t> bring_up[] = {{kRegGuestOsId, 1},
                                                      {kRegHypercall, PageRegister(kHypercallGpa)},
                                                      {kRegSimp, PageRegister(kSimpGpa)},
                                                      {kRegSiefp, PageRegister(kSiefpGpa)},
                                                      {kRegSint0 + kVmbusSint, kVector}};
    for (const auto& [reg, value] : bring_up) {
      EXPECT_TRUE(partition_.WriteRegister(0, reg, value).ok());
    }
    post_.Signal();
    Signal();
  }
  ~CountingGuest() { partition_.ConnectInterrupt(0, kVector, nullptr); }

  std::future<void> done() { return done_.get_future(); }
  uint64_t refused() const { return refused_; }

 private:
  template <typename T>
  T& At(Gpa gpa) {
    return *reinterpret_cast<T*>(memory_.Translate(gpa, sizeof(T))->data());
  }

  void OnPost() {
    if (posted_ == kRounds) return;
    auto& input = At<PostMessageInput>(kInputGpa);
    input.connection_id = kMessageConnection;
    input.message_type = kMessageTypeVmbus;
    input.payload_size = sizeof posted_;
    std::memcpy(input.payload.data(), &posted_, sizeof posted_);
    const HypercallStatus status =
        ResultStatus(partition_.Hypercall(0, kCallPostMessage, kInputGpa, 0));
    if (status == HypercallStatus::kSuccess) {
      ++posted_;
    } else {
      EXPECT_EQ(status, HypercallStatus::kInsufficientBuffers);
      ++refused_;
    }
    post_.Signal();
  }

  void Signal() {
    EXPECT_EQ(ResultStatus(partition_.Hypercall(0, kCallSignalEventFast, kEventConnection, 0)),
              HypercallStatus::kSuccess);
  }

  void OnInterrupt() {
    SynicMessage& slot = At<SynicMessagePage>(kSimpGpa).slot[kVmbusSint];
    if (const std::optional<FetchedMessage> message = FetchMessage(slot)) {
      uint32_t number;
      std::memcpy(&number, message->payload.data(), sizeof number);
      EXPECT_EQ(number, answered_++);
      if (message->pending) {
        EXPECT_TRUE(partition_.WriteRegister(0, kRegEom, 0).ok());
      }
    }
    std::atomic_ref word(At<SynicEventFlagsPage>(kSiefpGpa).flags[kVmbusSint][0]);
    if ((word.fetch_and(~(uint64_t{1} << kFlag)) >> kFlag & 1) != 0 && ++flags_ < kRounds) {
      Signal();
    }
    if (answered_ == kRounds && flags_ == kRounds && !std::exchange(finished_, true)) {
      done_.set_value();
    }
  }

  EmbeddedPartition& partition_;
  GuestMemory& memory_;
  Event interrupt_;
  Event post_;
  uint32_t posted_ = 0;
  uint32_t answered_ = 0;
  uint32_t flags_ = 0;
  uint64_t refused_ = 0;
  bool finished_ = false;
  std::promise<void> done_;
};

class PartitionThreadsTest : public ::testing::Test {
 protected:
  PartitionThreadsTest()
      : memory_(*MemfdMemory::Create({.page_count = 64})),
        host_(*ExecutorThread::Start({.executor = {.cpu = 0}})),
        guest_(*ExecutorThread::Start({.executor = {.cpu = 1}})) {
    PartitionOptions options;
    options.inbox_messages_max = 4;
    host_->Invoke([&] {
      partition_ = std::make_unique<EmbeddedPartition>(
          *memory_, host_->executor(), std::vector<Executor*>{&guest_->executor()}, options);
    });
  }
  ~PartitionThreadsTest() override {
    guest_->Stop();
    host_->Stop();
    partition_.reset();
  }

  std::unique_ptr<MemfdMemory> memory_;
  std::unique_ptr<ExecutorThread> host_;
  std::unique_ptr<ExecutorThread> guest_;
  std::unique_ptr<EmbeddedPartition> partition_;
};

TEST_F(PartitionThreadsTest, EveryMessageAndEverySignalIsAnswered) {
  std::unique_ptr<EchoHost> echo;
  std::unique_ptr<CountingGuest> counting;
  host_->Invoke([&] { echo = std::make_unique<EchoHost>(*partition_, host_->executor()); });
  std::future<void> done;
  guest_->Invoke([&] {
    counting = std::make_unique<CountingGuest>(*partition_, *memory_, guest_->executor());
    done = counting->done();
  });
  // A lost message, EOM or signal would leave both sides waiting for ever.
  EXPECT_EQ(done.wait_for(std::chrono::seconds(60)), std::future_status::ready);
  guest_->Invoke([&] { counting.reset(); });
  host_->Invoke([&] { echo.reset(); });
}

// The host resets the partition over and over while the guest goes on programming it: no step is waited for by both,
// and the last reset leaves nothing.
TEST_F(PartitionThreadsTest, ResetsWhileTheGuestRuns) {
  std::unique_ptr<EchoHost> echo;
  host_->Invoke([&] { echo = std::make_unique<EchoHost>(*partition_, host_->executor()); });
  std::atomic<bool> stop = false;
  std::thread processor([&] {
    guest_->Invoke([&] {
      Random random(7);
      constexpr std::pair<uint32_t, uint64_t> kWrites[] = {
          {kRegGuestOsId, 1},
          {kRegHypercall, PageRegister(kHypercallGpa)},
          {kRegSimp, PageRegister(kSimpGpa)},
          {kRegSiefp, PageRegister(kSiefpGpa)},
          {kRegSint0 + kVmbusSint, kVector},
          {kRegSimp, 0},
          {kRegSiefp, 0},
          {kRegEom, 0},
          {kRegStimer0Config, kStimerEnable | kStimerPeriodic | StimerSint(kVmbusSint)},
          {kRegStimer0Count, 1000},
          {kRegReferenceTsc, PageRegister(10 * kPageSize)},
          {kRegReferenceTsc, 0}};
      while (!stop.load(std::memory_order_relaxed)) {
        const auto& [reg, value] = kWrites[random.Below(std::size(kWrites))];
        EXPECT_TRUE(partition_->WriteRegister(0, reg, value).ok());
        (void)partition_->Hypercall(0, kCallSignalEventFast, kEventConnection, 0);
        (void)partition_->ReadRegister(0, kRegTimeRefCount);
      }
    });
  });
  for (int i = 0; i < 300; ++i) {
    host_->Invoke([&] {
      if (i % 10 == 0) partition_->Migrate(2'000'000'000 + i);
      const uint32_t word = static_cast<uint32_t>(i);
      (void)partition_->PostMessage(0, kVmbusSint, std::as_bytes(std::span(&word, 1)));
      partition_->Reset();
    });
  }
  stop.store(true);
  processor.join();
  host_->Invoke([&] {
    partition_->Reset();
    EXPECT_EQ(partition_->shared_pages(), 0u);
    echo.reset();
  });
}

}  // namespace
}  // namespace vmbuskit
