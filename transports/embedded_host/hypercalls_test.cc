// Every check of protocol 01 sections 3.3 and 3.6, as the guest meets it.
#include "transports/embedded_host/hypercalls.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "transports/embedded_host/partition_testing.h"

namespace vmbuskit {
namespace {

class HypercallsTest : public PartitionTest, public GuestMessageHandler {
 protected:
  HypercallsTest() {
    EnableHypercalls();
    EXPECT_TRUE(partition_->AddMessagePort(kMessageConnection, this).ok());
    EXPECT_TRUE(partition_->AddEventPort(0x2005, &signalled_.event).ok());
  }

  bool OnGuestMessage(uint32_t connection_id, std::span<const std::byte> payload) override {
    if (!taking_) return false;
    connections_.push_back(connection_id);
    messages_.emplace_back(reinterpret_cast<const char*>(payload.data()), payload.size());
    return true;
  }

  HypercallStatus Post(uint32_t connection_id, std::string_view text, uint32_t type = 1,
                       Gpa gpa = kInputGpa) {
    PostMessageInput input{};
    input.connection_id = connection_id;
    input.message_type = type;
    input.payload_size = static_cast<uint32_t>(text.size());
    std::memcpy(input.payload.data(), text.data(), std::min<size_t>(text.size(), 240));
    Put(gpa, input);
    return Call(SimpleCall(kCallPostMessage), gpa);
  }

  // HvGet/SetVpRegisters over memory.
  void PutHeader(uint64_t partition = kPartitionIdSelf, uint32_t vp = kVpIndexSelf,
                 uint8_t vtl = 0) {
    Put(kInputGpa,
        VpRegistersHeader{
            .partition_id = partition, .vp_index = vp, .target_vtl = vtl, .padding = {}});
  }
  void PutNames(const std::vector<uint32_t>& names) {
    PutHeader();
    std::memcpy(At(kInputGpa + sizeof(VpRegistersHeader)), names.data(), names.size() * 4);
  }
  void PutAssignment(uint32_t index, uint32_t name, uint64_t value) {
    Put(kInputGpa + sizeof(VpRegistersHeader) + index * sizeof(VpRegisterAssignment),
        VpRegisterAssignment{.name = name, .padding = {}, .value_low = value, .value_high = 0});
  }

  bool taking_ = true;
  std::vector<uint32_t> connections_;
  std::vector<std::string> messages_;
  CountingEvent signalled_{host_};
};

using Messages = std::vector<std::string>;
using Status = HypercallStatus;

TEST_F(HypercallsTest, WithoutTheHypercallPageEveryCallIsUndefined) {
  ASSERT_TRUE(Write(0, kRegHypercall, 0).ok());
  EXPECT_EQ(partition_->Hypercall(0, kCallSignalEventFast, 0x2005, 0),
            Partition::kHypercallUndefined);
  EnableHypercalls();
  EXPECT_EQ(partition_->Hypercall(2, kCallSignalEventFast, 0x2005, 0),
            Partition::kHypercallUndefined)
      << "no such processor";
}

TEST_F(HypercallsTest, UnknownCodes) {
  for (uint64_t code : {0x0000u, 0x0001u, 0x005Bu, 0x005Eu, 0x0106u, 0x8003u, 0xFFFFu}) {
    EXPECT_EQ(Call(code, kInputGpa), Status::kInvalidHypercallCode) << std::hex << code;
  }
}

TEST_F(HypercallsTest, ControlWordsThatDoNotFitTheCall) {
  ASSERT_EQ(Post(kMessageConnection, "x"), Status::kSuccess);
  const uint64_t post = SimpleCall(kCallPostMessage);
  const uint64_t bad[] = {
      post | uint64_t{1} << 32,                        // rep count of a simple call
      post | uint64_t{1} << 48,                        // rep start
      post | VariableHeader(1),                        // no variable header
      post | uint64_t{1} << 27,                        // reserved
      post | uint64_t{1} << 44,                        // reserved
      post | uint64_t{1} << 63,                        // reserved
      post | kControlFast,                             // 256 bytes do not fit the registers
      RepCall(kCallGetVpRegisters, 0),                 // at least one
      RepCall(kCallGetVpRegisters, 1, 1),              // start below count
      RepCall(kCallGetVpRegisters, 2, 5),              // the same
      RepCall(kCallGetVpRegisters, 1) | kControlFast,  // fast output needs registers
      FastCall(kCallGetPartitionId),                   // the same
  };
  for (uint64_t control : bad) {
    EXPECT_EQ(Call(control, kInputGpa, kOutputGpa), Status::kInvalidHypercallInput)
        << std::hex << control;
  }
}

TEST_F(HypercallsTest, BuffersThatCannotBeRead) {
  const uint64_t post = SimpleCall(kCallPostMessage);
  EXPECT_EQ(Call(post, kInputGpa + 4096 - 248), Status::kInvalidHypercallInput) << "crosses";
  EXPECT_EQ(Call(post, kInputGpa + 4096 - 255), Status::kInvalidHypercallInput)
      << "crossing is tested before alignment";
  EXPECT_EQ(Call(post, kInputGpa + 4), Status::kInvalidAlignment);
  EXPECT_EQ(Call(post, kPages * kPageSize), Status::kInvalidHypercallInput) << "no such page";
  EXPECT_EQ(Call(post, ~uint64_t{0} << 12), Status::kInvalidHypercallInput);
  EXPECT_EQ(Call(SimpleCall(kCallGetPartitionId), 0, kOutputGpa + 1), Status::kInvalidAlignment);
  EXPECT_EQ(Call(SimpleCall(kCallGetPartitionId), 0, kPages * kPageSize),
            Status::kInvalidHypercallInput);
  // The last place that fits.
  EXPECT_EQ(Post(kMessageConnection, "end", 1, kInputGpa + 4096 - 256), Status::kSuccess);
}

TEST_F(HypercallsTest, MessagesArriveInOrderOnTheHost) {
  ASSERT_TRUE(partition_->AddMessagePort(kMessageConnectionLegacy, this).ok());
  EXPECT_EQ(Post(kMessageConnection, "first"), Status::kSuccess);
  EXPECT_EQ(Post(kMessageConnectionLegacy, "second"), Status::kSuccess);
  EXPECT_EQ(Post(kMessageConnection, ""), Status::kSuccess);
  EXPECT_TRUE(messages_.empty()) << "success means queued";
  Run();
  EXPECT_EQ(messages_, (Messages{"first", "second", ""}));
  EXPECT_EQ(connections_, (std::vector<uint32_t>{4, 1, 4}));
}

TEST_F(HypercallsTest, TheContactOfSection8_2Arrives) {
  const uint32_t words[14] = {4, 0, 1, 0x28, 14, 0, 0x00050002, 0, 2, 0, 0x11000, 0, 0x12000, 0};
  std::memset(At(kInputGpa), 0, 256);
  std::memcpy(At(kInputGpa), words, sizeof words);
  EXPECT_EQ(Call(0x5C, kInputGpa), Status::kSuccess);
  Run();
  ASSERT_EQ(messages_.size(), 1u);
  EXPECT_EQ(messages_[0], std::string(reinterpret_cast<const char*>(words + 4), 40));
}

TEST_F(HypercallsTest, WhatThePostItselfCanGetWrong) {
  EXPECT_EQ(Post(kMessageConnection, std::string(240, 'x')), Status::kSuccess);
  EXPECT_EQ(Post(kMessageConnection, std::string(241, 'x')), Status::kInvalidParameter);
  EXPECT_EQ(Post(kMessageConnection, "x", 0), Status::kInvalidParameter);
  EXPECT_EQ(Post(kMessageConnection, "x", 0x80000001), Status::kInvalidParameter);
  EXPECT_EQ(Post(5, "x"), Status::kInvalidConnectionId) << "unknown";
  EXPECT_EQ(Post(0x2005, "x"), Status::kInvalidConnectionId) << "an event port";
  EXPECT_EQ(Post(0x01000004, "x"), Status::kInvalidConnectionId) << "reserved bits";
  Run();
  EXPECT_EQ(messages_.size(), 1u);
}

TEST_F(HypercallsTest, AFullInboxIsInsufficientBuffersAndLosesNothing) {
  taking_ = false;
  int accepted = 0;
  while (Post(kMessageConnection, std::to_string(accepted)) == Status::kSuccess) ++accepted;
  EXPECT_EQ(accepted, 128);
  EXPECT_EQ(Post(kMessageConnection, "x"), Status::kInsufficientBuffers);
  Run();
  EXPECT_TRUE(messages_.empty());
  taking_ = true;
  partition_->ResumeMessages();
  Run();
  ASSERT_EQ(messages_.size(), 128u);
  for (int i = 0; i < 128; ++i) EXPECT_EQ(messages_[i], std::to_string(i));
}

TEST_F(HypercallsTest, ARefusedMessageComesAgainWhenTheGuestFetchesOnes) {
  BringUpSynic(0);
  taking_ = false;
  EXPECT_EQ(Post(kMessageConnection, "held"), Status::kSuccess);
  Run();
  taking_ = true;
  Run();
  EXPECT_TRUE(messages_.empty()) << "nothing says that it could be taken";
  ASSERT_TRUE(Write(0, kRegEom, 0).ok());
  Run();
  EXPECT_EQ(messages_, Messages{"held"});
}

TEST_F(HypercallsTest, APortThatWentTakesItsMessagesAlong) {
  EXPECT_EQ(Post(kMessageConnection, "late"), Status::kSuccess);
  partition_->RemoveMessagePort(kMessageConnection);
  Run();
  EXPECT_TRUE(messages_.empty());
  EXPECT_EQ(Post(kMessageConnection, "later"), Status::kInvalidConnectionId);
}

TEST_F(HypercallsTest, SignalEventFastAndFromMemory) {
  EXPECT_EQ(Call(kCallSignalEventFast, 0x2005), Status::kSuccess);
  Run();
  EXPECT_EQ(signalled_.count, 1);
  Put(kInputGpa, uint64_t{0x2005});
  EXPECT_EQ(Call(SimpleCall(kCallSignalEvent), kInputGpa), Status::kSuccess);
  Run();
  EXPECT_EQ(signalled_.count, 2);
  EXPECT_EQ(Call(kCallSignalEventFast, 0x2006), Status::kInvalidConnectionId);
  EXPECT_EQ(Call(kCallSignalEventFast, kMessageConnection), Status::kInvalidConnectionId);
  EXPECT_EQ(Call(kCallSignalEventFast, 0x2005 | uint64_t{2048} << 32), Status::kInvalidParameter)
      << "flag number";
  partition_->RemoveEventPort(0x2005);
  EXPECT_EQ(Call(kCallSignalEventFast, 0x2005), Status::kInvalidConnectionId);
}

TEST_F(HypercallsTest, GetPartitionIdAndCapabilities) {
  EXPECT_EQ(Call(SimpleCall(kCallGetPartitionId), 0, kOutputGpa), Status::kSuccess);
  EXPECT_EQ(Get<uint64_t>(kOutputGpa), 1u);
  Put(kOutputGpa, ~uint64_t{0});
  EXPECT_EQ(Call(SimpleCall(kCallExtQueryCapabilities), 0, kOutputGpa), Status::kSuccess);
  EXPECT_EQ(Get<uint64_t>(kOutputGpa), 0u);
  Make({.extended_hypercalls = false});
  EnableHypercalls();
  EXPECT_EQ(Call(SimpleCall(kCallExtQueryCapabilities), 0, kOutputGpa), Status::kAccessDenied);
}

TEST_F(HypercallsTest, RegistersByName) {
  ASSERT_TRUE(Write(0, kRegScontrol, 1).ok());
  PutNames({kVpRegVpIndex, kVpRegScontrol, kVpRegLimits});
  const uint64_t result =
      partition_->Hypercall(0, RepCall(kCallGetVpRegisters, 3), kInputGpa, kOutputGpa);
  EXPECT_EQ(ResultStatus(result), Status::kSuccess);
  EXPECT_EQ(ResultReps(result), 3u);
  EXPECT_EQ(Get<VpRegisterValue>(kOutputGpa).low, 0u);
  EXPECT_EQ(Get<VpRegisterValue>(kOutputGpa + 16).low, 1u);
  EXPECT_EQ(Get<VpRegisterValue>(kOutputGpa + 32).low, uint64_t{2} << 32 | 2);

  PutHeader();
  PutAssignment(0, kVpRegSint0 + 2, 0x41);
  PutAssignment(1, kVpRegSimp, PageRegister(SimpGpa(0)));
  EXPECT_EQ(Call(RepCall(kCallSetVpRegisters, 2), kInputGpa), Status::kSuccess);
  EXPECT_EQ(Read(0, kRegSint0 + 2), 0x41u);
  EXPECT_EQ(Read(0, kRegSimp), PageRegister(SimpGpa(0)));
}

TEST_F(HypercallsTest, ARepCallStopsAtTheFirstFailureAndCountsFromTheStart) {
  PutNames({kVpRegScontrol, kVpRegSversion, 0x12345, kVpRegScontrol});
  std::memset(At(kOutputGpa), 0xEE, 64);
  const uint64_t result =
      partition_->Hypercall(0, RepCall(kCallGetVpRegisters, 4, 1), kInputGpa, kOutputGpa);
  EXPECT_EQ(ResultStatus(result), Status::kUnknownRegisterName);
  EXPECT_EQ(ResultReps(result), 2u) << "absolute: the start is included";
  EXPECT_EQ(Get<uint64_t>(kOutputGpa), 0xEEEEEEEEEEEEEEEEu) << "before the start";
  EXPECT_EQ(Get<uint64_t>(kOutputGpa + 16), 1u);
  EXPECT_EQ(Get<uint64_t>(kOutputGpa + 32), 0xEEEEEEEEEEEEEEEEu) << "not completed";
}

TEST_F(HypercallsTest, RegistersOfOthersAndFaultsByName) {
  const uint64_t get = RepCall(kCallGetVpRegisters, 1);
  PutHeader(/*partition=*/77);
  EXPECT_EQ(Call(get, kInputGpa, kOutputGpa), Status::kInvalidPartitionId);
  PutHeader(kPartitionIdSelf, 2);
  EXPECT_EQ(Call(get, kInputGpa, kOutputGpa), Status::kInvalidVpIndex);
  PutHeader(kPartitionIdSelf, 1);
  EXPECT_EQ(Call(get, kInputGpa, kOutputGpa), Status::kAccessDenied);
  PutHeader(kPartitionIdSelf, 0, 0x12);
  EXPECT_EQ(Call(get, kInputGpa, kOutputGpa), Status::kAccessDenied) << "VTL 2";
  PutHeader(1, 0, 0x10);
  PutAssignment(0, kVpRegSversion, 5);
  EXPECT_EQ(Call(RepCall(kCallSetVpRegisters, 1), kInputGpa), Status::kInvalidParameter)
      << "read-only";
  PutAssignment(0, 0x90001, 5);
  EXPECT_EQ(Call(RepCall(kCallSetVpRegisters, 1), kInputGpa), Status::kUnknownRegisterName);
}

TEST_F(HypercallsTest, CallsAreCounted) {
  (void)Call(kCallSignalEventFast, 0x2005);
  (void)Call(kCallSignalEventFast, 0x2006);
  (void)Post(kMessageConnection, "x");
  InspectNode node;
  partition_->Inspect(node);
  const InspectNode* vp = node.Find("vp0");
  ASSERT_NE(vp, nullptr);
  auto value = [&](std::string_view name) {
    for (const auto& [key, entry] : vp->values()) {
      if (key == name) return std::get<uint64_t>(entry);
    }
    return ~uint64_t{0};
  };
  EXPECT_EQ(value("hypercalls"), 3u);
  EXPECT_EQ(value("hypercalls_failed"), 1u);
  EXPECT_EQ(value("signals"), 1u);
  EXPECT_EQ(value("messages"), 1u);
}

}  // namespace
}  // namespace vmbuskit
