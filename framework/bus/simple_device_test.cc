// A whole class in the small form, from its protocol to its life on the bus.
#include "framework/bus/simple_device.h"

#include <cstring>

#include "framework/bus/bus_testing.h"
#include "framework/task/deadline.h"

namespace vmbuskit {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;

// Asks the host for a factor at the start, then answers every number times that factor.
class Multiplier final : public SimpleDevice {
 public:
  explicit Multiplier(DeviceContext& context) : SimpleDevice(context) {}

  void OnPacket(Channel& channel, const Packet& packet) override {
    const std::optional<uint64_t> number = packet.PayloadAs<uint64_t>();
    if (!number.has_value()) return;
    const uint64_t product = *number * factor_;
    (void)channel.Send({.payload = std::as_bytes(std::span(&product, 1))});
  }
  void OnStopped(StopReason reason) override {
    EXPECT_EQ(channel(), nullptr);
    stopped.push_back(reason);
  }
  void BreakChannel() { channel()->Close(absl::DataLossError("write_index is 3")); }
  bool has_channel() const { return channel() != nullptr; }
  // Work that outlives a packet callback: the device waits for it.
  void Linger(Duration duration) { Spawn(context().executor(), Hold(duration)); }

  static std::unique_ptr<Device> Create(DeviceContext& context) {
    auto device = std::make_unique<Multiplier>(context);
    last = device.get();
    return device;
  }
  static inline Multiplier* last = nullptr;
  static inline std::vector<StopReason> stopped;

 private:
  Task<absl::Status> Negotiate(Channel& channel) override {
    absl::StatusOr<uint32_t> reply =
        co_await Call(channel, {.payload = TextBytes("factor?")},
                      std::as_writable_bytes(std::span(&factor_, 1)), seconds(5));
    co_return reply.status();
  }
  Task<void> Hold(Duration duration) {
    const Gate::Holder holder = gate().Enter();
    OneShot<void> never(context().executor(), "nothing");
    (void)co_await never.Wait(context().executor().Now() + duration);
  }

  uint64_t factor_ = 0;
};

constexpr DeviceClass kMultiplier{
    .name = "multiplier", .class_ids = {&kUnknownClass, 1}, .create = &Multiplier::Create};
constexpr const DeviceClass* kMultipliers[] = {&kMultiplier};

class SimpleDeviceTest : public BusTest {
 protected:
  SimpleDeviceTest() {
    Multiplier::stopped.clear();
    host_.on_packet = [](Channel& channel, const Packet& packet) {
      const uint64_t factor = 6;
      if (packet.completion_requested) {
        EXPECT_EQ(channel.Complete(packet.transaction_id, std::as_bytes(std::span(&factor, 1))),
                  SendResult::kOk);
      }
    };
    transport().SetHost(kDisk1, host_);
    EXPECT_EQ(bus().RegisterClasses(kMultipliers), absl::OkStatus());
  }
  ~SimpleDeviceTest() override { EXPECT_EQ(Await(bus().Stop()), absl::OkStatus()); }

  void StartMultiplier() {
    Start();
    Offer(5, kDisk1, 0, kUnknownClass);
    Run();
    ASSERT_EQ(State(kDisk1), "running");
  }
  void HostSends(uint64_t number) {
    const SimTurn turn = sim_.Enter(static_cast<const SimExecutor&>(transport().host_executor()));
    ASSERT_EQ(transport().host(5)->Send({.payload = std::as_bytes(std::span(&number, 1))}),
              SendResult::kOk);
  }

  RecordingHandler host_;
};
INSTANTIATE_TEST_SUITE_P(Seeds, SimpleDeviceTest, testing::Range<uint64_t>(0, 4));

TEST_P(SimpleDeviceTest, NegotiatesAndServes) {
  StartMultiplier();
  HostSends(7);
  Run();
  ASSERT_EQ(host_.packets.size(), 2u);
  uint64_t product = 0;
  std::memcpy(&product, host_.packets[1].payload.data(), sizeof product);
  EXPECT_EQ(product, 42u);
  EXPECT_EQ(Await(bus().Stop()), absl::OkStatus());
  EXPECT_THAT(Multiplier::stopped, ElementsAre(StopReason::kShutdown));
  EXPECT_THAT(transport().log(), ElementsAre("connect", "open 5", "close 5", "disconnect"));
}

TEST_P(SimpleDeviceTest, ASilentHostFailsTheStart) {
  host_.on_packet = nullptr;
  Start();
  Offer(5, kDisk1, 0, kUnknownClass);
  Run(seconds(6));
  EXPECT_EQ(State(kDisk1), "failed");
  EXPECT_THAT(Multiplier::stopped, ElementsAre(StopReason::kFailed));
}

TEST_P(SimpleDeviceTest, AHostThatBreaksTheRingFailsTheDevice) {
  StartMultiplier();
  {
    const SimTurn turn = sim_.Enter(static_cast<const SimExecutor&>(bus_executor()));
    Multiplier::last->BreakChannel();
  }
  Run();
  EXPECT_EQ(State(kDisk1), "failed");
  EXPECT_EQ(Info(kDisk1).status, "write_index is 3");
  EXPECT_EQ(OnBus([](Bus& bus) { return bus.RestartDevice(kDisk1); }), absl::OkStatus());
  Run();
  EXPECT_EQ(State(kDisk1), "running");
}

// Found by tests/fuzz/guest_fuzz: what a class does on its own account, between the end of its
// channel and the end of its stop, met a channel that the transport had destroyed.
TEST_P(SimpleDeviceTest, TheClassHasNoChannelFromTheMomentItEnds) {
  StartMultiplier();
  ASSERT_TRUE(Multiplier::last->has_channel());
  {
    const SimTurn turn = sim_.Enter(static_cast<const SimExecutor&>(bus_executor()));
    Multiplier::last->BreakChannel();
    EXPECT_FALSE(Multiplier::last->has_channel());
  }
  Run();
  EXPECT_EQ(OnBus([](Bus& bus) { return bus.RestartDevice(kDisk1); }), absl::OkStatus());
  Run();
  EXPECT_TRUE(Multiplier::last->has_channel());
}

TEST_P(SimpleDeviceTest, StoppingWaitsForWorkInProgress) {
  StartMultiplier();
  Multiplier::last->Linger(seconds(3));
  Run();
  const Instant before = sim_.Now();
  EXPECT_EQ(Await(bus().Stop()), absl::OkStatus());
  EXPECT_GE(sim_.Now() - before, seconds(2));
}

TEST_P(SimpleDeviceTest, RescindStopsItWithTheReason) {
  StartMultiplier();
  transport().Rescind(5);
  Run();
  EXPECT_THAT(Multiplier::stopped, ElementsAre(StopReason::kRescinded));
  EXPECT_EQ(transport().relids_held(), 0u);
  EXPECT_EQ(host_.closed.size(), 1u);
}

}  // namespace
}  // namespace vmbuskit
