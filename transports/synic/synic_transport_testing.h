// A guest with two processors over a fake partition and a scripted host, in virtual time; for the
// transport's tests.
//
//   class MyTest : public SynicTransportFixture {};
//   TEST_F(MyTest, Story) { Connect(); host_.offers = ...; auto channel = Open(5); ... }
#ifndef VMBUSKIT_TRANSPORTS_SYNIC_SYNIC_TRANSPORT_TESTING_H_
#define VMBUSKIT_TRANSPORTS_SYNIC_SYNIC_TRANSPORT_TESTING_H_

#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "framework/task/run_task.h"
#include "platform/linux/memfd_memory.h"
#include "platform/page_allocator.h"
#include "platform/sim/scheduler.h"
#include "transports/synic/fake_host.h"
#include "transports/synic/fake_partition.h"
#include "transports/synic/synic_transport.h"

namespace vmbuskit {

// Counts what a channel gets.
class CountingHandler : public ChannelHandler {
 public:
  void OnPacket(Channel&, const Packet&) override { ++packets; }
  void OnClosed(Channel&, const absl::Status& why) override { reason = why; }
  int packets = 0;
  absl::Status reason;
};

class SynicTransportFixture : public testing::Test, public BusListener {
 protected:
  explicit SynicTransportFixture(uint64_t seed = 0) : sim_(seed) { Make({}); }
  ~SynicTransportFixture() override { (void)Run(transport_->Disconnect()); }

  void Make(const SynicTransport::Options& options) {
    transport_ = std::make_unique<SynicTransport>(
        partition_, std::vector<Executor*>{&cpu0_, &cpu1_}, pages_, options);
  }

  // BusListener. A rescinded channel is given back only when the test says so.
  void OnOffer(const Offer& offer) override { offers_.push_back(offer.relid); }
  void OnAllOffersDelivered() override { ++all_offers_; }
  void OnRescind(uint32_t relid) override { rescinds_.push_back(relid); }
  void OnConnectionLost(const absl::Status& reason) override { losses_.push_back(reason); }

  template <typename T>
  T Run(Task<T> task) {
    std::optional<T> result = RunTask(sim_, cpu0_, std::move(task));
    EXPECT_TRUE(result.has_value()) << "the task did not end";
    return *std::move(result);
  }
  void Settle() { ASSERT_TRUE(sim_.RunUntilIdle().ok()); }
  void Connect() {
    const absl::Status connected = Run(transport_->Connect(*this));
    ASSERT_TRUE(connected.ok()) << connected;
    Settle();
  }
  OpenParameters Parameters(uint32_t relid, uint32_t vp = 0) {
    OpenParameters parameters;
    parameters.relid = relid;
    parameters.send_ring_bytes = 2 * 4096;
    parameters.receive_ring_bytes = 4096;
    parameters.target_vp = vp;
    parameters.channel.name = "test channel";
    return parameters;
  }
  std::unique_ptr<Channel> Open(uint32_t relid, uint32_t vp = 0) {
    auto channel = Run(transport_->Open(Parameters(relid, vp)));
    EXPECT_TRUE(channel.ok()) << channel.status();
    return *std::move(channel);
  }
  // Starts a task and leaves it running; its result goes to `result`.
  template <typename T>
  void Start(Task<T> task, std::optional<T>& result) {
    background_.Spawn(KeepResult(std::move(task), &result));
  }
  void ExpectNothingShared() {
    EXPECT_EQ(transport_->shared_pages(), 0u);
    EXPECT_EQ(transport_->lost_pages(), 0u);
    EXPECT_EQ(transport_->open_channels(), 0u);
    EXPECT_EQ(pages_.allocated(), 0u);
    EXPECT_EQ(pages_.leaked(), 0u);
  }

  std::unique_ptr<MemfdMemory> memory_ = *MemfdMemory::Create({.page_count = 9000});
  FirstFitPageAllocator pages_{*memory_, 1, 8999};
  FakePartition partition_{*memory_, 2};
  FakeHost host_{partition_};
  SimScheduler sim_;
  SimExecutor& cpu0_ = sim_.NewExecutor(0);
  SimExecutor& cpu1_ = sim_.NewExecutor(1);
  std::vector<uint32_t> offers_;
  std::vector<uint32_t> rescinds_;
  std::vector<absl::Status> losses_;
  int all_offers_ = 0;
  std::unique_ptr<SynicTransport> transport_;
  TaskGroup background_{cpu0_, "background"};
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_SYNIC_SYNIC_TRANSPORT_TESTING_H_
