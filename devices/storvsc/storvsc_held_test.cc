// What is done for late requests goes from executor to executor. Here a sub-channel's executor is held up at each of
// its turns in this way, one test for each, while the rest of the world goes on.
#include <algorithm>
#include <array>
#include <memory>

#include "devices/storvsc/storvsc_testing.h"

namespace vmbuskit {
namespace {

using testing::ElementsAre;

class StorvscHeldTest : public StorvscTest, public testing::WithParamInterface<int> {
 protected:
  StorvscHeldTest() {
    profile.timeout_seconds = 10;
    storvsp.luns[{.lun = 1}] = {.id = "another"};
    storvsp.properties.max_channel_count = 2;
    storvsp.on_create_subchannels = [this](uint16_t count) {
      for (uint16_t index = 1; index <= count; ++index) OfferSubchannel(index);
    };
    storvsp.intercept = [this](const HostCommand& command) {
      return holds_reads && command.opcode() == scsi::kRead10 && storvsp.Hold(command);
    };
  }
  ~StorvscHeldTest() override {
    for (Late& late : lates) late.queue.reset();
    for (Late& late : lates) late.buffer = {};
  }

  struct Late {
    std::unique_ptr<BlockQueue> queue;
    BlockBuffer buffer;
    BlockSegment segment;
    RecordedRequest request;
  };

  SimExecutor& other() {
    const uint32_t cpu = transport.vp(kRelid + 12);  // of the last that is asked
    return static_cast<SimExecutor&>(transport.executor(cpu));
  }
  // On the primary, which is the device's.
  void Read(Late& late, const BlockAddress& address) {
    const SimTurn turn = sim.Enter(static_cast<const SimExecutor&>(device_executor()));
    late.buffer = Disk(address)->AllocateBuffer(4096).value();
    late.queue = Disk(address)->OpenQueue(device_executor());
    late.segment = {late.buffer.bytes().data(), 4096, late.buffer.gpa()};
    late.request.operation = BlockOperation::kRead;
    late.request.bytes = 4096;
    late.request.segments = {&late.segment, 1};
    late.queue->Submit(late.request);
  }
  void AnswerHeld(uint8_t lun) {
    const SimTurn turn = EnterHost();
    for (const HostCommand& command : storvsp.held) {
      if (command.request.lun != lun) continue;
      storvsp.wire.Answer(command, {.srb_status = storvsc::kSrbSuccess,
                                    .transferred = command.request.data_transfer_length});
    }
    std::erase_if(storvsp.held,
                  [&](const HostCommand& command) { return command.request.lun == lun; });
  }
  // Goes on to the n-th time from now that the other executor has something to do, and holds it before it does.
  bool HoldAtVisit(int n) {
    for (int visit = 1;; ++visit) {
      if (!sim.RunUntil([&] { return other().Runnable() != 0; }, std::chrono::seconds(40))) {
        return false;
      }
      if (visit == n) break;
      if (!sim.RunUntil([&] { return other().Runnable() == 0; }, Duration::zero())) return false;
    }
    sim.Hold(other());
    return true;
  }
  bool RunUntilResets(int count) {
    return sim.RunUntil(
        [&] {
          return std::ranges::count(storvsp.control, uint32_t{storvsc::kResetLun}) +
                     std::ranges::count(storvsp.control, uint32_t{storvsc::kResetBus}) >=
                 count;
        },
        std::chrono::seconds(40));
  }

  bool holds_reads = false;
  std::array<Late, 2> lates;
};

INSTANTIATE_TEST_SUITE_P(Visits, StorvscHeldTest, testing::Range(1, 9));

// The second request is late while the round that helped the first has been at its lane already.
TEST_P(StorvscHeldTest, AnotherLateRequestIsHelpedToo) {
  Start();
  ASSERT_EQ(Info().channel_count, 3u);
  holds_reads = true;
  Read(lates[0], {});
  Run(std::chrono::seconds(3));
  Read(lates[1], {.lun = 1});
  ASSERT_TRUE(RunUntilResets(1));
  AnswerHeld(0);
  ASSERT_TRUE(HoldAtVisit(GetParam()));
  Run(std::chrono::seconds(5));  // the second one is late now
  sim.Release(other());
  EXPECT_TRUE(RunUntilResets(2));
  AnswerHeld(1);
  Run(std::chrono::seconds(5));
  EXPECT_THAT(lates[0].request.results, ElementsAre(BlockResult::kOk));
  EXPECT_THAT(lates[1].request.results, ElementsAre(BlockResult::kOk));
  EXPECT_EQ(Info().state, DeviceState::kRunning);
}

// The channels go while the task that would use them is away.
TEST_P(StorvscHeldTest, RescindWhileLateRequestsAreHelped) {
  Start();
  ASSERT_EQ(Info().channel_count, 3u);
  holds_reads = true;
  Read(lates[0], {});
  ASSERT_TRUE(HoldAtVisit(GetParam()));
  for (const uint32_t relid : {kRelid + 12, kRelid + 11, kRelid}) transport.Rescind(relid);
  Run(std::chrono::seconds(5));
  sim.Release(other());
  Run(std::chrono::seconds(5));
  EXPECT_EQ(Info().state, DeviceState::kGone);
  EXPECT_THAT(lates[0].request.results, ElementsAre(BlockResult::kGone));
}

}  // namespace
}  // namespace vmbuskit
