// For tests of a driver: a bus with one device of its class, and a host that the test plays, in virtual time.
//
//   class EchoTest : public DriverTest { protected: EchoTest() : DriverTest(EchoClass()) { host.on_packet = ...; } };
//   TEST_F(EchoTest, Negotiates) {
//     Start();
//     EXPECT_EQ(Info().state, DeviceState::kRunning);
//     HostSends({.payload = bytes});
//   }
//
// At the end the bus stops, and nothing may be left behind. Thread safety: the simulation's thread.
#ifndef VMBUSKIT_FRAMEWORK_BUS_DRIVER_TESTING_H_
#define VMBUSKIT_FRAMEWORK_BUS_DRIVER_TESTING_H_

#include <optional>
#include <utility>

#include "framework/bus/bus.h"
#include "framework/bus/fake_transport.h"
#include "framework/channel/recording.h"
#include "framework/task/run_task.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "platform/sim/scheduler.h"

namespace vmbuskit {

class DriverTest : public testing::Test {
 protected:
  static constexpr uint32_t kRelid = 5;
  static constexpr Guid kInstance = Guid::Parse("00000000-0000-0000-0000-0000000000d1");

  explicit DriverTest(const DeviceClass& device_class) : device_class_(device_class) {
    const DeviceClass* const classes[] = {&device_class};
    EXPECT_EQ(bus.RegisterClasses(classes), absl::OkStatus());
    transport.SetHost(kInstance, host);
  }
  ~DriverTest() override {
    EXPECT_EQ(Await(bus.Stop()), absl::OkStatus());
    EXPECT_THAT(transport.errors(), testing::IsEmpty());
    EXPECT_EQ(transport.pages().allocated(), 0u);
    EXPECT_EQ(transport.open_channels(), 0u);
  }

  // Offers the device; then a second passes.
  void Start() {
    ASSERT_EQ(Await(bus.Start()), absl::OkStatus());
    transport.Offer(FakeTransport::MakeOffer(kRelid, device_class_.class_ids[0], kInstance));
    Run();
  }
  void Run(Duration duration = std::chrono::seconds(1)) {
    ASSERT_EQ(sim.RunFor(duration), absl::OkStatus());
  }
  template <typename T>
  T Await(Task<T> task) {
    std::optional<T> result = RunTask(sim, transport.executor(0), std::move(task));
    EXPECT_TRUE(result.has_value()) << "the task did not end";
    return *std::move(result);
  }
  DeviceInfo Info() {
    const std::vector<DeviceInfo> devices = Await(bus.Describe());
    return devices.empty() ? DeviceInfo{} : devices.front();
  }
  // Everything the driver shows of itself.
  std::string Inspect() {
    InspectNode node;
    EXPECT_TRUE(RunTask(sim, transport.executor(0), bus.Inspect(node)));
    return node.ToJson();
  }
  void HostSends(const OutgoingPacket& packet) {
    {
      const SimTurn turn = EnterHost();
      ASSERT_EQ(transport.host(kRelid)->Send(packet), SendResult::kOk);
    }
    Run(std::chrono::milliseconds(1));
  }
  void HostAsks(const OutgoingPacket& packet, Request& request) {
    {
      const SimTurn turn = EnterHost();
      ASSERT_EQ(
          transport.host(kRelid)->SendRequest(packet, request, sim.Now() + std::chrono::seconds(1)),
          SendResult::kOk);
    }
    Run(std::chrono::milliseconds(1));
  }
  [[nodiscard]] SimTurn EnterHost() {
    return sim.Enter(static_cast<const SimExecutor&>(transport.host_executor()));
  }

  SimScheduler sim{0};
  RecordingHandler host;
  FakeTransport transport{sim, {}};
  Bus bus{transport, {}};

 private:
  const DeviceClass& device_class_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_BUS_DRIVER_TESTING_H_
