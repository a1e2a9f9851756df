// Whole systems on real threads: up, looked at, down.
#include "products/system.h"

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "devices/echo/echo.h"
#include "devices/echo/host/echo_host.h"
#include "devices/util/heartbeat/heartbeat.h"
#include "devices/util/heartbeat/host/heartbeat_host.h"
#include "framework/task/spawn.h"
#include "gtest/gtest.h"
#include "products/device_table.h"
#include "transports/protocol/versions.h"

namespace vmbuskit {
namespace {

constexpr Duration kPatience = std::chrono::seconds(40);

System::Options EchoAndHeartbeat(uint32_t cpus) {
  return {.cpus = cpus,
          .classes = {&EchoClass(), &HeartbeatClass()},
          .vsp_classes = {&EchoVspClass(), &HeartbeatVspClass()},
          .max_version = 0};
}

std::unique_ptr<System> Make(const System::Options& options) {
  absl::StatusOr<std::unique_ptr<System>> system = System::Create(options);
  EXPECT_TRUE(system.ok()) << system.status();
  return system.ok() ? *std::move(system) : nullptr;
}

Task<void> StopAfter(LinuxExecutor& executor, Task<void> story) {
  co_await story;
  executor.Stop();
}

// This thread is virtual processor 0 until the story ends.
void RunStory(System& system, Task<void> story) {
  Spawn(system.executor(), StopAfter(system.executor(), std::move(story)));
  system.executor().Run();
}

// Everything has run when the bus has settled: the counters follow with the first packets.
Task<void> BringUp(System& system) {
  const absl::Status started = co_await system.Start();
  EXPECT_TRUE(started.ok()) << started;
  const absl::Status settled = co_await system.bus().WaitUntilSettled(kPatience);
  EXPECT_TRUE(settled.ok()) << settled;
}

Task<void> TakeDown(System& system) {
  const absl::Status stopped = co_await system.Stop();
  EXPECT_TRUE(stopped.ok()) << stopped;
  const uint64_t shared = co_await system.SharedPages();
  EXPECT_EQ(shared, 0u);
}

Task<void> UpAndDown(System& system) {
  co_await BringUp(system);
  const uint64_t shared = co_await system.SharedPages();
  EXPECT_GT(shared, 0u);
  const std::vector<DeviceInfo> devices = co_await system.Describe();
  int running = 0;
  for (const DeviceInfo& device : devices) {
    if (device.state == DeviceState::kGone) continue;  // of an earlier life
    EXPECT_EQ(device.state, DeviceState::kRunning) << device.class_name << ": " << device.status;
    ++running;
  }
  EXPECT_EQ(running, 2);
  co_await TakeDown(system);
}

TEST(System, ComesUpAndGivesEveryPageBack) {
  for (uint32_t cpus : {1u, 2u, 5u}) {
    std::unique_ptr<System> system = Make(EchoAndHeartbeat(cpus));
    ASSERT_NE(system, nullptr);
    RunStory(*system, UpAndDown(*system));
  }
}

Task<void> TwoLives(System& system) {
  co_await UpAndDown(system);
  co_await UpAndDown(system);
}

TEST(System, MayBeStartedAgain) {
  std::unique_ptr<System> system = Make(EchoAndHeartbeat(2));
  ASSERT_NE(system, nullptr);
  RunStory(*system, TwoLives(*system));
}

Task<void> LookInside(System& system, std::string version) {
  co_await BringUp(system);
  const InspectNode tree = co_await system.Inspect();
  for (const char* path : {"guest/devices", "transport", "host/partition", "host/server",
                           "executors/vp0", "executors/vp1", "executors/host"}) {
    EXPECT_NE(tree.Find(path), nullptr) << path;
  }
  EXPECT_NE(tree.ToJson().find("\"version\": \"" + version + "\""), std::string::npos);
  co_await TakeDown(system);
}

Task<void> LookForPolling(System& system, bool polled) {
  co_await BringUp(system);
  const std::string tree = (co_await system.Inspect()).ToJson();
  EXPECT_EQ(tree.find("\"polled\": true") != tree.npos, polled) << tree;
  EXPECT_EQ(tree.find("\"polled\": false") != tree.npos, !polled) << tree;
  co_await TakeDown(system);
}

TEST(System, ChannelsArePolledWhereExecutorsPoll) {
  for (const bool poll : {false, true}) {
    System::Options options = EchoAndHeartbeat(1);
    options.poll = poll;
    std::unique_ptr<System> system = Make(options);
    ASSERT_NE(system, nullptr);
    RunStory(*system, LookForPolling(*system, poll));
  }
}

TEST(System, SpeaksTheNewestVersionThatTheHostAccepts) {
  for (uint32_t version : kVersionsNewestFirst) {
    System::Options options = EchoAndHeartbeat(2);
    options.max_version = version;
    std::unique_ptr<System> system = Make(options);
    ASSERT_NE(system, nullptr);
    RunStory(*system, LookInside(*system, VersionText(version)));
  }
}

// Devices run on more than one executor, so the counts are shared.
class CountingObserver final : public DeviceObserver {
 public:
  void OnDeviceRunning(const RunningDevice&) override { running.fetch_add(1); }
  void OnDeviceStopping(const RunningDevice&) override { stopping.fetch_add(1); }
  std::atomic<int> running = 0;
  std::atomic<int> stopping = 0;
};

TEST(System, TellsAnObserverOfEveryDevice) {
  CountingObserver observer;
  System::Options options = EchoAndHeartbeat(2);
  options.observer = &observer;
  std::unique_ptr<System> system = Make(options);
  ASSERT_NE(system, nullptr);
  RunStory(*system, UpAndDown(*system));
  EXPECT_EQ(observer.running, 2);
  EXPECT_EQ(observer.stopping, 2);
}

TEST(System, NeedNeverBeStarted) { EXPECT_NE(Make(EchoAndHeartbeat(3)), nullptr); }

TEST(System, RefusesWhatItCannotHave) {
  EXPECT_EQ(System::Create({.cpus = 65, .classes = {}, .vsp_classes = {}, .max_version = 0})
                .status()
                .message(),
            "cpus is 65, at most 64");
  System::Options twice = EchoAndHeartbeat(1);
  twice.vsp_classes.push_back(&EchoVspClass());
  EXPECT_EQ(System::Create(twice).status().code(), absl::StatusCode::kAlreadyExists);
  System::Options clash = EchoAndHeartbeat(1);
  clash.classes.push_back(&EchoClass());
  EXPECT_EQ(System::Create(clash).status().code(), absl::StatusCode::kAlreadyExists);
}

}  // namespace
}  // namespace vmbuskit
