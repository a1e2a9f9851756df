// For the bus's own tests: a bus over a FakeTransport, and a driver that does what a test's plan
// says and writes down what happens to it.
//
//   class RescindTest : public BusTest {};
//   TEST_P(RescindTest, WhileOpening) {
//     Plan(kDisk1).open_answer ...
//     Offer(5, kDisk1);
//     Run();
//     EXPECT_EQ(State(kDisk1), DeviceState::kRunning);
//   }
//
// Thread safety: the simulation's thread.
#ifndef VMBUSKIT_FRAMEWORK_BUS_BUS_TESTING_H_
#define VMBUSKIT_FRAMEWORK_BUS_BUS_TESTING_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "framework/bus/bus.h"
#include "framework/bus/fake_transport.h"
#include "framework/channel/call.h"
#include "framework/channel/recording.h"
#include "framework/task/one_shot.h"
#include "framework/task/run_task.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "platform/sim/scheduler.h"

namespace vmbuskit {

inline constexpr Guid kDiskClass = Guid::Parse("ba6163d9-04a1-4d29-b605-72e2ffb1dc7f");
inline constexpr Guid kBeatClass = Guid::Parse("57164f39-9115-4e78-ab55-382f3bd5422d");
inline constexpr Guid kUnknownClass = Guid::Parse("276aacf4-ac15-426c-98dd-7521ad3f01fe");
inline constexpr Guid kDisk1 = Guid::Parse("00000000-0000-0000-0000-0000000000d1");
inline constexpr Guid kDisk2 = Guid::Parse("00000000-0000-0000-0000-0000000000d2");
inline constexpr Guid kDisk3 = Guid::Parse("00000000-0000-0000-0000-0000000000d3");
inline constexpr Guid kBeat1 = Guid::Parse("00000000-0000-0000-0000-0000000000b1");

// What the driver of one instance does.
struct DevicePlan {
  bool start_fails = false;
  bool start_calls = false;    // asks the host something, which does not answer, for an hour
  Duration start_sleeps{};     // for that long, whatever happens to its channel
  Duration stop_sleeps{};      // the same in PrepareStop
  bool stop_calls = false;     // asks the host in PrepareStop, as start_calls
  bool closes_itself = false;  // CloseChannels in PrepareStop
  uint32_t wants_subchannels = 0;
  uint32_t shares_bytes = 0;
};

class TestDevice;

// What happened to the drivers, in order: "d1 start", "d1 prepare_stop rescinded", ...
struct DeviceJournal {
  std::map<Guid, DevicePlan> plans;
  std::vector<std::string> lines;
  std::map<Guid, TestDevice*> alive;
  uint32_t made = 0;
};

class TestDevice final : public Device, public ChannelHandler {
 public:
  TestDevice(DeviceContext& context, DeviceJournal& journal)
      : context_(context), journal_(journal), plan_(journal.plans[context.offer().instance_id]) {
    ++journal_.made;
    journal_.alive[context_.offer().instance_id] = this;
  }
  ~TestDevice() override {
    EXPECT_TRUE(context_.executor().IsCurrent());
    Note("destroyed");
    journal_.alive.erase(context_.offer().instance_id);
  }

  Task<absl::Status> Start() override {
    EXPECT_TRUE(context_.executor().IsCurrent());
    Note("start");
    absl::StatusOr<Channel*> opened = co_await context_.OpenChannel();
    EXPECT_TRUE(context_.executor().IsCurrent());
    if (!opened.ok()) co_return opened.status();
    channel = *opened;
    channel->Start(*this);
    if (plan_.start_fails) co_return absl::FailedPreconditionError("no version in common");
    if (plan_.shares_bytes != 0) {
      absl::StatusOr<DeviceContext::SharedBuffer> shared =
          co_await context_.ShareBuffer(plan_.shares_bytes);
      if (!shared.ok()) co_return shared.status();
      buffer = *shared;
    }
    if (plan_.start_calls) {
      absl::StatusOr<uint32_t> answer =
          co_await Call(*channel, {.payload = TextBytes("hello")}, {}, std::chrono::hours(1));
      if (!answer.ok()) co_return answer.status();
    }
    if (plan_.start_sleeps != Duration::zero()) co_await Sleep(plan_.start_sleeps);
    absl::Status status = co_await OpenSubchannels();
    co_return status;
  }

  Task<void> PrepareStop(StopReason reason) override {
    EXPECT_TRUE(context_.executor().IsCurrent());
    static constexpr const char* kReasons[] = {"shutdown", "rescinded", "failed"};
    Note(absl::StrCat("prepare_stop ", kReasons[static_cast<int>(reason)]));
    if (plan_.stop_sleeps != Duration::zero()) co_await Sleep(plan_.stop_sleeps);
    if (plan_.stop_calls && channel != nullptr) {
      (void)co_await Call(*channel, {.payload = TextBytes("bye")}, {}, std::chrono::hours(1));
    }
    if (plan_.closes_itself) {
      (void)co_await context_.CloseChannels();
      EXPECT_TRUE(context_.executor().IsCurrent());
    }
  }

  void Stop() override {
    EXPECT_TRUE(context_.executor().IsCurrent());
    Note("stop");
  }
  void OnSubchannelOffered(uint16_t index) override {
    EXPECT_TRUE(context_.executor().IsCurrent());
    Note(absl::StrCat("sub ", index, " offered"));
  }
  void OnSubchannelRescinded(uint16_t index) override {
    EXPECT_TRUE(context_.executor().IsCurrent());
    subchannels.erase(index);
    Note(absl::StrCat("sub ", index, " rescinded"));
  }
  std::string NegotiatedVersions() const override { return "7.1"; }
  void Inspect(InspectNode& node) const override {
    node.Set("subchannels", uint64_t{subchannels.size()});
  }

  void OnPacket(Channel& from, const Packet& packet) override {
    EXPECT_TRUE(from.executor().IsCurrent());
    (void)from.Send({.payload = packet.payload});
  }

  // Opens what is offered, of the sub-channels that the plan wants.
  Task<absl::Status> OpenSubchannels() {
    if (plan_.wants_subchannels == 0) co_return absl::OkStatus();
    const uint32_t offered =
        co_await context_.WaitForSubchannels(plan_.wants_subchannels, std::chrono::seconds(5));
    Note(absl::StrCat(offered, " subs"));
    for (uint16_t index = 1; index <= plan_.wants_subchannels; ++index) {
      absl::StatusOr<Channel*> opened = co_await context_.OpenSubchannel(index);
      EXPECT_TRUE(context_.executor().IsCurrent());
      if (!opened.ok()) {
        Note(absl::StrCat("sub ", index, " ", absl::StatusCodeToString(opened.status().code())));
        continue;
      }
      subchannels[index] = *opened;
    }
    co_return absl::OkStatus();
  }

  Task<absl::Status> CloseChannels() { return context_.CloseChannels(); }
  void Fail(const absl::Status& reason) { context_.Fail(reason); }

  Channel* channel = nullptr;
  std::map<uint16_t, Channel*> subchannels;
  DeviceContext::SharedBuffer buffer;

 private:
  Task<void> Sleep(Duration duration) {
    OneShot<void> never(context_.executor(), "nothing");
    (void)co_await never.Wait(context_.executor().Now() + duration);
  }
  void Note(std::string what) {
    const std::string instance = context_.offer().instance_id.ToString();
    journal_.lines.push_back(instance.substr(instance.size() - 2) + " " + what);
  }

  DeviceContext& context_;
  DeviceJournal& journal_;
  const DevicePlan plan_;
};

// Run with several seeds: each is another interleaving.
class BusTest : public testing::TestWithParam<uint64_t> {
 protected:
  BusTest() { journal_ = &own_journal_; }
  ~BusTest() override {
    if (bus_ != nullptr) {
      EXPECT_EQ(RunTask(sim_, bus_executor(), bus_->Stop()), absl::OkStatus());
    }
    // Nothing is left, and no rule was broken on the way.
    EXPECT_THAT(transport().errors(), testing::IsEmpty());
    EXPECT_EQ(transport().pages().allocated(), 0u);
    EXPECT_EQ(transport().gpadls(), 0u);
    EXPECT_EQ(transport().open_channels(), 0u);
    EXPECT_TRUE(journal().alive.empty());
  }

  // With other options than the defaults, before anything else.
  void Make(const Bus::Options& options, const FakeTransport::Options& transport = {}) {
    transport_ = std::make_unique<FakeTransport>(sim_, transport);
    bus_ = std::make_unique<Bus>(*transport_, options);
    EXPECT_EQ(bus_->RegisterClasses(kClasses), absl::OkStatus());
  }
  Bus& bus() {
    if (bus_ == nullptr) Make({});
    return *bus_;
  }
  FakeTransport& transport() {
    (void)bus();
    return *transport_;
  }
  Executor& bus_executor() { return transport().executor(0); }
  DeviceJournal& journal() { return own_journal_; }
  DevicePlan& Plan(const Guid& instance) { return own_journal_.plans[instance]; }
  TestDevice& device(const Guid& instance) { return *own_journal_.alive.at(instance); }

  void Start() { ASSERT_EQ(Await(bus().Start()), absl::OkStatus()); }
  template <typename T>
  T Await(Task<T> task) {
    std::optional<T> result = RunTask(sim_, bus_executor(), std::move(task), std::chrono::hours(2));
    EXPECT_TRUE(result.has_value()) << "the task did not end";
    return *std::move(result);
  }
  void Offer(uint32_t relid, const Guid& instance, uint16_t subchannel_index = 0,
             const Guid& class_id = kDiskClass) {
    transport().Offer(FakeTransport::MakeOffer(relid, class_id, instance, subchannel_index));
  }
  // What happens within a second.
  void Run(Duration duration = std::chrono::seconds(1)) { ASSERT_TRUE(sim_.RunFor(duration).ok()); }

  // Calls into the bus from outside of a turn.
  template <typename F>
  auto OnBus(F call) {
    const SimTurn turn = sim_.Enter(static_cast<const SimExecutor&>(bus_executor()));
    return call(bus());
  }

  std::vector<DeviceInfo> Describe() { return Await(bus().Describe()); }
  // Of the newest device of that instance that is not gone; of the last gone one when there is
  // none.
  DeviceInfo Info(const Guid& instance) {
    DeviceInfo found;
    for (const DeviceInfo& info : Describe()) {
      if (info.instance_id != instance) continue;
      if (found.relid != 0 && info.state == DeviceState::kGone &&
          found.state != DeviceState::kGone) {
        continue;
      }
      found = info;
    }
    return found;
  }
  std::string State(const Guid& instance) { return std::string(ToString(Info(instance).state)); }
  uint32_t Released() const {
    uint32_t count = 0;
    for (const std::string& line : transport_->log()) count += line.starts_with("release ");
    return count;
  }

  static std::unique_ptr<Device> Create(DeviceContext& context) {
    return std::make_unique<TestDevice>(context, *journal_);
  }
  static inline DeviceJournal* journal_ = nullptr;
  static constexpr DeviceClass kDisk{.name = "disk",
                                     .class_ids = {&kDiskClass, 1},
                                     .speed = DeviceSpeed::kFast,
                                     .create = &BusTest::Create};
  static constexpr DeviceClass kBeat{
      .name = "beat", .class_ids = {&kBeatClass, 1}, .create = &BusTest::Create};
  static constexpr const DeviceClass* kClasses[] = {&kDisk, &kBeat};

  SimScheduler sim_{GetParam()};

 private:
  DeviceJournal own_journal_;
  std::unique_ptr<FakeTransport> transport_;
  std::unique_ptr<Bus> bus_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_BUS_BUS_TESTING_H_
