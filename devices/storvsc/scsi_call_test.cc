#include "devices/storvsc/scsi_call.h"

#include "devices/storvsc/storvsc_testing.h"

namespace vmbuskit {
namespace {

class ScsiCallTest : public StorvscTest {};

TEST_F(ScsiCallTest, BringsBackWhatTheDeviceSays) {
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

TEST_F(ScsiCallTest, SendsDataOfTheCallers) {
  Start();
  std::string seen;
  storvsp.intercept = [&](const HostCommand& command) {
    if (command.opcode() != scsi::kPersistentReserveOut) return false;
    std::vector<std::byte> list(command.request.data_transfer_length);
    storvsp.wire.CopyFromGuest(command, list);
    seen.assign(reinterpret_cast<const char*>(list.data()), list.size());
    return storvsp.wire.Answer(command, {.transferred = 24});
  };
  const std::string list = "a parameter list of 24 b";
  const ScsiCall call =
      ScsiCall::Out({}, {scsi::kPersistentReserveOut}, 10, std::as_bytes(std::span(list)));
  absl::StatusOr<ScsiReply> reply = Await(controller->Execute(call));
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_TRUE(reply->succeeded());
  EXPECT_EQ(seen, list);
}

TEST_F(ScsiCallTest, EndsWithItsDevice) {
  Start();
  storvsp.intercept = [this](const HostCommand& command) { return storvsp.Hold(command); };
  std::optional<absl::StatusOr<ScsiReply>> reply;
  TaskGroup group(device_executor(), "call");
  const ScsiCall call = ScsiCall::NoData({}, {scsi::kTestUnitReady}, 6);
  group.Spawn(KeepResult(controller->Execute(call), &reply));
  Run();
  EXPECT_FALSE(reply.has_value());
  transport.Rescind(kRelid);
  Run();
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(reply->status().message(), "SCSI command 0x00 to 0:0:0: the channel ended");
}

ScsiReply WithStatus(uint8_t srb_status) {
  ScsiReply reply;
  reply.srb_status = srb_status;
  return reply;
}

TEST(ScsiReply, KnowsWhenNobodyIsThere) {
  EXPECT_TRUE(WithStatus(0x20).absent());
  EXPECT_TRUE(WithStatus(0xA0).absent()) << "with sense";
  EXPECT_FALSE(WithStatus(0x01).absent());
  EXPECT_FALSE(WithStatus(0x04).absent());
}

}  // namespace
}  // namespace vmbuskit
