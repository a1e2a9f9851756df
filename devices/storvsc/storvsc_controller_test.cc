// A controller's life with requests under way: hosts that are slow, silent or gone, and commands passed through.
#include "devices/storvsc/storvsc_controller.h"

#include "devices/storvsc/fc_hba.h"
#include "devices/storvsc/storvsc_fc.h"
#include "devices/storvsc/storvsc_ide.h"
#include "devices/storvsc/storvsc_testing.h"
#include "framework/channel/payload.h"

namespace vmbuskit {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

class StorvscControllerTest : public StorvscTest {
 protected:
  static constexpr Duration kLong = std::chrono::minutes(5);

  ~StorvscControllerTest() override { CloseQueue(); }

  void OpenQueue() {
    const SimTurn turn = EnterDevice();
    buffer_ = Disk()->AllocateBuffer(4096).value();
    queue_ = Disk()->OpenQueue(device_executor());
  }
  void CloseQueue() {
    const SimTurn turn = EnterDevice();
    queue_.reset();
    buffer_ = {};
  }
  void Submit(RecordedRequest& request, BlockOperation operation = BlockOperation::kRead) {
    segment_ = {buffer_.bytes().data(), 4096, buffer_.gpa()};
    request.operation = operation;
    request.bytes = 4096;
    request.segments = {&segment_, 1};
    const SimTurn turn = EnterDevice();
    queue_->Submit(request);
  }
  // The host keeps data requests and says nothing.
  void HoldReads() {
    storvsp.intercept = [this](const HostCommand& command) {
      return (command.opcode() == scsi::kRead10 || command.opcode() == scsi::kRead16) &&
             storvsp.Hold(command);
    };
  }
  void AnswerHeld(uint8_t srb_status = storvsc::kSrbSuccess) {
    const SimTurn turn = EnterHost();
    for (const HostCommand& command : storvsp.held) {
      storvsp.wire.Answer(
          command, {.srb_status = srb_status, .transferred = command.request.data_transfer_length});
    }
    storvsp.held.clear();
  }
  [[nodiscard]] SimTurn EnterDevice() {
    return sim.Enter(static_cast<const SimExecutor&>(device_executor()));
  }

  std::unique_ptr<BlockQueue> queue_;
  BlockBuffer buffer_;
  BlockSegment segment_;
};

TEST_F(StorvscControllerTest, ReadsAndWrites) {
  Start();
  OpenQueue();
  buffer_.bytes()[17] = std::byte{0x42};
  RecordedRequest write;
  Submit(write, BlockOperation::kWrite);
  Run();
  EXPECT_THAT(write.results, ElementsAre(BlockResult::kOk));
  EXPECT_EQ(storvsp.wire.disk[17], std::byte{0x42});
}

TEST_F(StorvscControllerTest, ShutdownWaitsForWhatIsUnderWay) {
  HoldReads();
  Start();
  OpenQueue();
  RecordedRequest read;
  Submit(read);
  Run();
  std::optional<absl::Status> stopped;
  TaskGroup group(transport.executor(0), "stop");
  group.Spawn(KeepResult(bus.Stop(), &stopped));
  Run(std::chrono::seconds(5));
  EXPECT_FALSE(stopped.has_value());
  EXPECT_EQ(listener.journal, "+0:0:0 -0:0:0 ") << "nobody uses it any more";
  RecordedRequest late;
  Submit(late);
  AnswerHeld();
  Run();
  EXPECT_THAT(read.results, ElementsAre(BlockResult::kOk));
  EXPECT_THAT(late.results, ElementsAre(BlockResult::kGone));
  EXPECT_EQ(stopped, absl::OkStatus());
}

TEST_F(StorvscControllerTest, ShutdownDoesNotWaitForEver) {
  HoldReads();
  Start();
  OpenQueue();
  RecordedRequest read;
  Submit(read);
  Run();
  const Instant begin = sim.Now();
  EXPECT_EQ(Await(bus.Stop()), absl::OkStatus());
  EXPECT_THAT(read.results, ElementsAre(BlockResult::kGone)) << "the channel was torn down";
  EXPECT_LT(sim.Now() - begin, std::chrono::seconds(15));
}

TEST_F(StorvscControllerTest, RescindEndsRequestsWithGone) {
  HoldReads();
  Start();
  OpenQueue();
  RecordedRequest read;
  Submit(read);
  Run();
  transport.Rescind(kRelid);
  Run();
  EXPECT_EQ(Info().state, DeviceState::kGone);
  EXPECT_THAT(read.results, ElementsAre(BlockResult::kGone));
  EXPECT_EQ(listener.journal, "+0:0:0 -0:0:0 ");
}

TEST_F(StorvscControllerTest, ALunResetHelpsWhenTheHostThenAnswers) {
  HoldReads();
  Start();
  OpenQueue();
  RecordedRequest read;
  Submit(read);
  Run(std::chrono::seconds(70));
  EXPECT_THAT(storvsp.control, Contains(storvsc::kResetLun));
  EXPECT_TRUE(read.results.empty()) << "the host has its memory";
  AnswerHeld();
  Run(std::chrono::seconds(5));
  EXPECT_THAT(read.results, ElementsAre(BlockResult::kOk));
  Run(std::chrono::minutes(3));
  EXPECT_EQ(Info().state, DeviceState::kRunning);
  EXPECT_EQ(std::ranges::count(storvsp.control, uint32_t{storvsc::kResetBus}), 0);
}

TEST_F(StorvscControllerTest, ABusResetFollowsAndThenTheDeviceFails) {
  HoldReads();
  Start();
  OpenQueue();
  RecordedRequest read;
  Submit(read);
  Run(kLong);
  EXPECT_THAT(storvsp.control,
              testing::IsSupersetOf({uint32_t{storvsc::kResetLun}, uint32_t{storvsc::kResetBus}}));
  EXPECT_EQ(Info().state, DeviceState::kFailed);
  EXPECT_THAT(Info().status, HasSubstr("1 request without an answer, the first to LUN 0:0:0"));
  EXPECT_THAT(read.results, ElementsAre(BlockResult::kGone)) << "its channel was torn down";
}

TEST_F(StorvscControllerTest, AHostThatAnswersNothingAtAllFailsTheDevice) {
  HoldReads();
  storvsp.silent = {storvsc::kResetLun, storvsc::kResetBus};
  Start();
  OpenQueue();
  RecordedRequest read;
  Submit(read);
  Run(kLong);
  EXPECT_EQ(Info().state, DeviceState::kFailed);
  EXPECT_THAT(read.results, ElementsAre(BlockResult::kGone));
}

TEST_F(StorvscControllerTest, WhatAHostDoesNotLetGoOfIsLostAndItsPagesStayOutOfUse) {
  HoldReads();
  Start();
  OpenQueue();
  RecordedRequest read;
  Submit(read);
  Run();
  transport.Script(FakeOperation::kClose, FakeAnswer::kNever, kRelid);
  storvsp.silent = {storvsc::kResetLun, storvsc::kResetBus};
  Run(kLong);
  EXPECT_THAT(read.results, ElementsAre(BlockResult::kLost));
  const Gpa held = buffer_.gpa();
  CloseQueue();
  EXPECT_GT(transport.pages().withheld(), 0u);
  PageRun other = transport.pages().Allocate(1).value();
  EXPECT_NE(other.gpa(), held);
  other.Reset();
  EXPECT_EQ(Await(bus.Stop()), absl::OkStatus());
  EXPECT_EQ(transport.pages().withheld(), 0u) << "the connection ended";
}

TEST_F(StorvscControllerTest, ASilentHostInTheFirstScanFailsTheStart) {
  storvsp.intercept = [this](const HostCommand& command) { return storvsp.Hold(command); };
  Start();
  EXPECT_EQ(Info().state, DeviceState::kStarting);
  Run(kLong);
  EXPECT_EQ(Info().state, DeviceState::kFailed);
  EXPECT_THAT(Info().status, HasSubstr("without an answer"));
}

TEST_F(StorvscControllerTest, RescindInTheFirstScan) {
  storvsp.intercept = [this](const HostCommand& command) { return storvsp.Hold(command); };
  Start();
  transport.Rescind(kRelid);
  Run();
  EXPECT_EQ(Info().state, DeviceState::kGone);
  EXPECT_EQ(listener.journal, "");
}

TEST_F(StorvscControllerTest, ALunThatTheHostDisownsIsRemoved) {
  Start();
  OpenQueue();
  storvsp.luns.clear();
  storvsp.intercept = [this](const HostCommand& command) {
    return command.opcode() == scsi::kRead10 &&
           storvsp.wire.Answer(command, {.srb_status = storvsc::kSrbInvalidLun});
  };
  RecordedRequest read;
  Submit(read);
  Run();
  EXPECT_THAT(read.results, ElementsAre(BlockResult::kGone));
  EXPECT_EQ(listener.journal, "+0:0:0 -0:0:0 ");
}

TEST_F(StorvscControllerTest, AChangedCapacityIsSeenByTheNextRequest) {
  Start();
  OpenQueue();
  storvsp.luns[{}].blocks = 1024;
  bool told = false;
  storvsp.intercept = [&](const HostCommand& command) {
    if (command.opcode() != scsi::kRead10 || std::exchange(told, true)) return false;
    return storvsp.wire.Refuse(command, {scsi::kUnitAttention, 0x2A, 0x09});
  };
  RecordedRequest read;
  Submit(read);
  Run();
  EXPECT_THAT(read.results, ElementsAre(BlockResult::kOk)) << "sent again";
  EXPECT_EQ(listener.journal, "+0:0:0 =0:0:0 ");
}

TEST_F(StorvscControllerTest, CommandsArePassedThrough) {
  Start();
  storvsp.intercept = [this](const HostCommand& command) {
    if (command.opcode() != scsi::kPersistentReserveIn) return false;
    static constexpr uint8_t kKeys[] = {0, 0, 0, 7, 0, 0, 0, 0};
    const uint32_t bytes = storvsp.wire.CopyToGuest(command, std::as_bytes(std::span(kKeys)));
    return storvsp.wire.Answer(command, {.transferred = bytes});
  };
  std::vector<std::byte> data(24, std::byte{0xEE});
  ScsiCdb cdb = {scsi::kPersistentReserveIn};
  cdb[8] = 24;
  ScsiCall call = ScsiCall::In({}, cdb, 10, data);
  absl::StatusOr<ScsiReply> reply = Await(controller->Execute(call));
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_TRUE(reply->succeeded());
  EXPECT_EQ(reply->transferred, 8u);
  EXPECT_EQ(data[3], std::byte{7});
  EXPECT_EQ(data[8], std::byte{0}) << "what the host did not write is zero";

  call = ScsiCall::NoData({}, {0xFE}, 6);
  reply = Await(controller->Execute(call));
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->ToString(), "srb 0x86, scsi 0x02, sense 5/20/00");
  call.cdb_bytes = 0;
  EXPECT_EQ(Await(controller->Execute(call)).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(StorvscControllerTest, ShowsCountersOfLanesAndDisks) {
  Start();
  const std::string shown = Inspect();
  EXPECT_THAT(shown, HasSubstr("\"version\": \"6.2\""));
  EXPECT_THAT(shown, HasSubstr("\"lane 0\""));
  EXPECT_THAT(shown, HasSubstr("\"overdue_now\": 0"));
  EXPECT_THAT(shown, HasSubstr("\"product\": \"Virtual Disk\""));
}

class StorvscIdeTest : public DriverTest {
 protected:
  static constexpr Guid kSecond = Guid::Parse("00000001-0001-8899-0000-000000000000");

  StorvscIdeTest() : DriverTest(StorvscIdeClass()) { transport.SetHost(kSecond, storvsp); }
  ~StorvscIdeTest() override { EXPECT_EQ(Await(bus.Stop()), absl::OkStatus()); }

  FakeStorvsp storvsp{transport.memory()};
};

TEST_F(StorvscIdeTest, TheInstanceNamesTheTargetAndThereIsNoMore) {
  storvsp.properties.max_channel_count = 4;
  storvsp.luns[{.target = 1}] = {};
  ASSERT_EQ(Await(bus.Start()), absl::OkStatus());
  transport.Offer(FakeTransport::MakeOffer(kRelid, storvsc::kIdeClassId, kSecond));
  Run();
  EXPECT_EQ(Info().state, DeviceState::kRunning);
  EXPECT_THAT(Inspect(), HasSubstr("\"lun 0:1:0\""));
  EXPECT_EQ(storvsp.Count(scsi::kReportLuns), 0u);
  EXPECT_EQ(std::ranges::count(storvsp.control, uint32_t{storvsc::kCreateSubchannels}), 0);
}

class StorvscFcTest : public DriverTest {
 protected:
  StorvscFcTest() : DriverTest(StorvscFcClass()) {
    transport.SetHost(kInstance, storvsp);
    storvsp.fc_hba = {.primary_active = 1,
                      .reserved = {},
                      .primary_port = {0x50, 6, 0xB, 0, 0, 0xC2, 0x62, 0},
                      .primary_node = {0x50, 6, 0xB, 0, 0, 0xC2, 0x62, 1},
                      .secondary_port = {0x50, 6, 0xB, 0, 0, 0xC2, 0x62, 2},
                      .secondary_node = {0x50, 6, 0xB, 0, 0, 0xC2, 0x62, 3}};
    storvsp.properties.max_transfer_bytes = 4 << 20;
    storvsp.luns[{.target = 100}] = {};
  }
  ~StorvscFcTest() override { EXPECT_EQ(Await(bus.Stop()), absl::OkStatus()); }

  FakeStorvsp storvsp{transport.memory()};
};

TEST_F(StorvscFcTest, KnowsItsPortsAlsoAfterAFailover) {
  Start();
  Run();
  EXPECT_EQ(Info().state, DeviceState::kRunning) << Info().status;
  std::string shown = Inspect();
  EXPECT_THAT(shown, HasSubstr("\"port_name\": \"50:06:0b:00:00:c2:62:00\""));
  EXPECT_THAT(shown, HasSubstr("\"max_transfer_bytes\": 524288"));
  EXPECT_THAT(shown, HasSubstr("\"lun 0:100:0\""));
  storvsc::PacketOf<storvsc::FcHbaData> update{};
  update.header.operation = storvsc::kFcHbaData;
  update.body = storvsp.fc_hba;
  update.body.primary_active = 0;
  HostSends({.payload = BytesOf(update)});
  EXPECT_THAT(Inspect(), HasSubstr("\"node_name\": \"50:06:0b:00:00:c2:62:03\""));
  HostSends({.payload = BytesOf(update).first(16)});
  EXPECT_EQ(Info().state, DeviceState::kRunning) << "too short: ignored";
}

}  // namespace
}  // namespace vmbuskit
