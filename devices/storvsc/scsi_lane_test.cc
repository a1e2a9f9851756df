// Stories about one lane, between a test that submits and a host that a test scripts.
#include "devices/storvsc/scsi_lane.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "devices/storvsc/scripted_host.h"
#include "framework/base/hex.h"
#include "framework/channel/channel_pair.h"
#include "framework/channel/payload.h"
#include "framework/channel/recording.h"
#include "framework/task/spawn.h"
#include "gtest/gtest.h"
#include "platform/allocation_counter.h"
#include "platform/linux/memfd_memory.h"

namespace vmbuskit {
namespace {

using std::chrono::seconds;
using storvsc::kSrbAutosenseValid;

class TestCommand final : public ScsiCommand {
 public:
  explicit TestCommand(uint8_t opcode = scsi::kTestUnitReady) {
    cdb[0] = opcode;
    cdb_bytes = 10;
  }
  void OnScsiDone(ScsiEnd end) override {
    ends.push_back(end);
    if (on_done) on_done(*this);
  }
  // Reads into memory at `gpa`.
  void Read(Gpa gpa, uint32_t length) {
    direction = storvsc::kDataIn;
    segment = {.data = nullptr, .bytes = length, .gpa = gpa};
    segments = {&segment, 1};
    bytes = length;
  }

  std::vector<ScsiEnd> ends;
  BlockSegment segment;
  std::function<void(TestCommand&)> on_done;
};

class TestListener final : public ScsiLaneListener {
 public:
  void OnUnsolicited(ScsiLane&, uint32_t operation, std::span<const std::byte> packet) override {
    unsolicited.push_back(operation);
    unsolicited_bytes = packet.size();
  }
  void OnOverdue(ScsiLane&, const ScsiCommand& command) override {
    overdue.push_back(&command);
    if (on_overdue) on_overdue();
  }
  void OnLaneClosed(ScsiLane&, const absl::Status& reason) override { closed.push_back(reason); }

  std::vector<uint32_t> unsolicited;
  size_t unsolicited_bytes = 0;
  std::vector<const ScsiCommand*> overdue;
  std::vector<absl::Status> closed;
  std::function<void()> on_overdue;
};

class ScsiLaneTest : public testing::Test {
 protected:
  explicit ScsiLaneTest(ChannelPair::Options options = {}) : pair(std::move(options)) {
    lane.Start();
    pair.host().Start(host);
    EXPECT_TRUE(pair.Run());
  }
  ~ScsiLaneTest() override {
    if (!ended) End(ScsiEnd::kGone);
  }
  // As the owner of the channel does; before the commands of a test go.
  void End(ScsiEnd end) {
    pair.guest().Close(absl::CancelledError("the test ends"));
    lane.EndAll(end);
    ended = true;
  }
  std::string closed_reason() const {
    return listener.closed.size() == 1 ? std::string(listener.closed[0].message()) : "";
  }

  std::unique_ptr<MemfdMemory> memory = MemfdMemory::Create({.page_count = 64}).value();
  ScriptedHost host{*memory, 64 * 1024};
  TestListener listener;
  ChannelPair pair;
  ScsiLane lane{pair.guest(), listener};
  bool ended = false;
};

// Looks at the ring itself: a pair without a host, in a state of its own.
class ScsiLaneBytesTest : public testing::Test {
 protected:
  ScsiLaneBytesTest() { lane.Start(); }
  // Without spaces.
  std::string Written(size_t bytes) {
    std::string text = ToHex(std::span(pair.up().data, bytes));
    std::erase(text, ' ');
    return text;
  }

  ChannelPair pair{{.with_host = false}};
  TestListener listener;
  ScsiLane lane{pair.guest(), listener};
};

std::string Zeros(size_t bytes) { return std::string(2 * bytes, '0'); }

// Protocol 10 section 10.2, but for the transaction id (ours are small) and the port number.
TEST_F(ScsiLaneBytesTest, ReadOfTwoPagesLooksAsInTheReference) {
  TestCommand read(scsi::kRead10);
  BlockSegment segments[] = {{nullptr, 0xE00, 0x12345200}, {nullptr, 0x200, 0x6789A000}};
  read.direction = storvsc::kDataIn;
  read.segments = segments;
  read.bytes = 4096;
  read.address.lun = 1;
  read.cdb = {0x28, 0, 0, 0, 0x08, 0, 0, 0, 8, 0};
  lane.Submit(read);
  EXPECT_EQ(Written(112),
            "090006000e000100"
            "0100000000000000"
            "0000000001000000"
            "0010000000020000"
            "4523010000000000"
            "9a78060000000000"
            "0300000001000000"
            "0000000034000000"
            "000000010a140100"
            "0010000028000000"
            "0800000008000000"
            "0000000000000000"
            "0000ff204a010000"
            "3c00000000000000");
  EXPECT_EQ(lane.outstanding(), 1u);
  pair.guest().Close(absl::CancelledError("end"));
  EXPECT_TRUE(read.ends.empty());  // the host may still use the memory
  lane.EndAll(ScsiEnd::kLost);
  EXPECT_EQ(read.ends, std::vector{ScsiEnd::kLost});
}

TEST_F(ScsiLaneBytesTest, OldHostsGetShortPacketsAndSmallSense) {
  lane.SetVersion(storvsc::kVersion4_2);
  TestCommand ready;
  ready.cdb_bytes = 6;
  ready.address = {.path = 1, .target = 2, .lun = 3};
  lane.Submit(ready);
  EXPECT_EQ(Written(72),
            "0600020008000100"
            "0100000000000000"
            "0300000001000000"
            "0000000024000000"
            "0001020306120200"
            "00000000" +
                Zeros(20) + Zeros(8));
  pair.guest().Close(absl::CancelledError("end"));
  lane.EndAll(ScsiEnd::kGone);
}

storvsc::PacketOf<storvsc::NoBody> Bare(uint32_t operation) {
  storvsc::PacketOf<storvsc::NoBody> packet{};
  packet.header.operation = operation;
  return packet;
}

TEST_F(ScsiLaneTest, DataArriveAndTheResultIsBelieved) {
  host.disk[512] = std::byte{0x5A};
  TestCommand read(scsi::kRead10);
  read.cdb = {scsi::kRead10, 0, 0, 0, 0, 1, 0, 0, 2, 0};
  read.Read(5 * kPageSize + 100, 1024);
  lane.Submit(read);
  EXPECT_TRUE(read.ends.empty());
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(read.ends, std::vector{ScsiEnd::kCompleted});
  EXPECT_TRUE(read.succeeded());
  EXPECT_EQ(read.transferred, 1024u);
  EXPECT_EQ(memory->Translate(5 * kPageSize + 100, 1)->front(), std::byte{0x5A});
  EXPECT_EQ(lane.outstanding(), 0u);
  ASSERT_EQ(host.commands.size(), 1u);
  EXPECT_EQ(host.commands[0].request.data_in, storvsc::kDataIn);
  EXPECT_EQ(host.commands[0].segments, (std::vector<GpaSegment>{{5 * kPageSize + 100, 1024}}));
}

TEST_F(ScsiLaneTest, BytesBeginWhereSkipSaysAndEndWithTheCount) {
  TestCommand read(scsi::kRead10);
  BlockSegment segments[] = {
      {nullptr, 3 * kPageSize, 2 * kPageSize}, {nullptr, 0, 77}, {nullptr, 9999, 8 * kPageSize}};
  read.direction = storvsc::kDataIn;
  read.segments = segments;
  read.skip_bytes = kPageSize + 512;
  read.bytes = 2 * kPageSize;
  lane.Submit(read);
  ASSERT_TRUE(pair.Run());
  ASSERT_EQ(host.commands.size(), 1u);
  EXPECT_EQ(
      host.commands[0].segments,
      (std::vector<GpaSegment>{{3 * kPageSize + 512, 2 * kPageSize - 512}, {8 * kPageSize, 512}}));
}

TEST_F(ScsiLaneTest, CommandsThatBreakARuleAreRefusedAtTheNextTurn) {
  BlockSegment hole[] = {{nullptr, 512, 0}, {nullptr, 512, kPageSize}};       // ends inside a page
  BlockSegment bent[] = {{nullptr, 4096, 0}, {nullptr, 512, kPageSize + 8}};  // begins inside one
  BlockSegment heap[] = {{nullptr, 1024, BlockSegment::kNoGpa}};
  BlockSegment wraps[] = {{nullptr, 1024, ~Gpa{0} - 1000}};
  BlockSegment enough[] = {{nullptr, 4096, 0}};
  struct Case {
    const char* what;
    std::span<const BlockSegment> segments;
    uint32_t skip, bytes;
    storvsc::DataDirection direction;
    uint8_t cdb_bytes;
  };
  const Case cases[] = {
      {"hole", hole, 0, 1024, storvsc::kDataIn, 10},
      {"bent", bent, 0, 4096 + 512, storvsc::kDataIn, 10},
      {"no guest memory", heap, 0, 1024, storvsc::kDataIn, 10},
      {"past the last address", wraps, 0, 1024, storvsc::kDataIn, 10},
      {"too few", enough, 0, 8192, storvsc::kDataIn, 10},
      {"too few after skip", enough, 1, 4096, storvsc::kDataIn, 10},
      {"skips it all", enough, 4096, 1, storvsc::kDataIn, 10},
      {"no segments", {}, 0, 512, storvsc::kDataOut, 10},
      {"bytes without direction", enough, 0, 512, storvsc::kNoData, 10},
      {"direction without bytes", enough, 0, 0, storvsc::kDataIn, 10},
      {"short CDB", enough, 0, 512, storvsc::kDataIn, 5},
      {"long CDB", enough, 0, 512, storvsc::kDataIn, 17},
  };
  for (const Case& each : cases) {
    SCOPED_TRACE(each.what);
    TestCommand command;
    command.segments = each.segments;
    command.skip_bytes = each.skip;
    command.bytes = each.bytes;
    command.direction = each.direction;
    command.cdb_bytes = each.cdb_bytes;
    lane.Submit(command);
    EXPECT_TRUE(command.ends.empty());
    ASSERT_TRUE(pair.Run());
    EXPECT_EQ(command.ends, std::vector{ScsiEnd::kRefused});
  }
  EXPECT_EQ(lane.counters().refused, std::size(cases));
  EXPECT_EQ(host.count, 0u);
}

TEST_F(ScsiLaneTest, TheLargestCommandFitsAndOneMorePageDoesNot) {
  // (4096 + 512 - 16 - 16 - 64) / 8 = 564 pages, one of which an unaligned start costs.
  EXPECT_EQ(lane.max_bytes(), 563 * kPageSize);
  TestCommand fits, too_large;
  fits.Read(512, lane.max_bytes());
  lane.Submit(fits);
  too_large.Read(512, 564 * kPageSize);
  lane.Submit(too_large);
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(fits.ends, std::vector{ScsiEnd::kCompleted});
  EXPECT_EQ(too_large.ends, std::vector{ScsiEnd::kRefused});
}

TEST_F(ScsiLaneTest, WhatFindsNoRoomWaitsItsTurn) {
  std::vector<HostCommand> parked;
  host.intercept = [&](const HostCommand& command) {
    parked.push_back(command);
    return true;
  };
  // 256 slots in the request table, and about 180 packets in the ring.
  std::vector<std::unique_ptr<TestCommand>> commands;
  std::vector<int> order;
  for (int i = 0; i < 600; ++i) {
    auto& command = *commands.emplace_back(std::make_unique<TestCommand>());
    command.cdb[1] = static_cast<uint8_t>(i);
    command.on_done = [&order, i](TestCommand&) { order.push_back(i); };
    lane.Submit(command);
  }
  EXPECT_EQ(lane.outstanding(), 600u);
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(parked.size(), 256u);
  for (size_t next = 0; next < parked.size(); ++next) {
    const HostCommand command = parked[next];
    EXPECT_EQ(command.cdb()[1], static_cast<uint8_t>(next));
    host.Answer(command, {});
    ASSERT_TRUE(pair.Run());
  }
  EXPECT_EQ(order.size(), 600u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
  EXPECT_EQ(lane.outstanding(), 0u);
  EXPECT_GE(lane.counters().waited, 1u);
}

TEST_F(ScsiLaneTest, ABatchCostsOneSignal) {
  pair.to_host().TakeRaised();
  std::vector<TestCommand> commands(16);
  {
    Channel::Batch batch(pair.guest());
    for (TestCommand& command : commands) lane.Submit(command);
  }
  EXPECT_EQ(pair.to_host().TakeRaised(), 1u);
  ASSERT_TRUE(pair.Run());
  for (TestCommand& command : commands) EXPECT_EQ(command.ends, std::vector{ScsiEnd::kCompleted});
}

TEST_F(ScsiLaneTest, SubmittedAgainFromItsOwnEnd) {
  TestCommand again;
  int left = 5;
  again.on_done = [&](TestCommand& command) {
    if (--left > 0) lane.Submit(command);
  };
  lane.Submit(again);
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(again.ends.size(), 5u);
  EXPECT_EQ(host.count, 5u);
}

TEST_F(ScsiLaneTest, SenseIsCopiedWhenItIsValidAndNotOtherwise) {
  TestCommand command;
  host.intercept = [&](const HostCommand& asked) {
    return host.Refuse(asked, {scsi::kIllegalRequest, 0x21, 0}, storvsc::kSrbInvalidRequest);
  };
  lane.Submit(command);
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(command.srb_code(), storvsc::kSrbInvalidRequest);
  EXPECT_EQ(command.scsi_status, scsi::kCheckCondition);
  EXPECT_EQ(command.sense_bytes, 20);
  EXPECT_EQ(command.sense[2], scsi::kIllegalRequest);
  EXPECT_EQ(command.sense[12], 0x21);
  EXPECT_FALSE(command.succeeded());

  host.intercept = [&](const HostCommand& asked) {
    return host.Answer(asked, {.srb_status = storvsc::kSrbInvalidLun, .scsi_status = 2});
  };
  lane.Submit(command);
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(command.sense_bytes, 0);
  EXPECT_EQ(command.srb_code(), storvsc::kSrbInvalidLun);
}

TEST_F(ScsiLaneTest, LengthsOfTheHostAreBounded) {
  TestCommand command;
  command.Read(kPageSize, 512);
  struct Case {
    uint8_t srb_status;
    uint32_t says, believed;
  };
  for (const Case& each :
       {Case{storvsc::kSrbSuccess, 0xFFFFFFFF, 512}, Case{storvsc::kSrbSuccess, 100, 100},
        Case{storvsc::kSrbDataOverrun, 200, 200},
        Case{storvsc::kSrbDataOverrun | kSrbAutosenseValid, 200, 0},
        Case{storvsc::kSrbSuccess | storvsc::kSrbQueueFrozen, 512, 0},
        Case{storvsc::kSrbError, 512, 0}}) {
    host.intercept = [&](const HostCommand& asked) {
      return host.Answer(asked, {.srb_status = each.srb_status, .transferred = each.says});
    };
    lane.Submit(command);
    ASSERT_TRUE(pair.Run());
    EXPECT_EQ(command.transferred, each.believed) << int{each.srb_status};
  }
  // A sense length beyond the space.
  host.intercept = [&](const HostCommand& asked) {
    storvsc::PacketOf<storvsc::ScsiRequest> packet{};
    packet.header.operation = storvsc::kCompleteIo;
    packet.body.srb_status = storvsc::kSrbError | kSrbAutosenseValid;
    packet.body.sense_info_length = 255;
    packet.body.cdb_or_sense[19] = 7;
    packet.body.extension_reserved = 0xFFFF;
    return asked.channel->Complete(asked.id, BytesOf(packet)) == SendResult::kOk;
  };
  lane.Submit(command);
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(command.sense_bytes, 20);
  EXPECT_EQ(command.sense[19], 7);
}

TEST_F(ScsiLaneTest, ShortCompletionFailsTheChannelAndHoldsTheCommand) {
  TestCommand command, other;
  int asked = 0;
  host.intercept = [&](const HostCommand& got) {
    if (++asked == 2) return true;
    const auto packet = Bare(1);
    return got.channel->Complete(got.id, BytesOf(packet).first(48)) == SendResult::kOk;
  };
  lane.Submit(command);
  lane.Submit(other);
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(closed_reason(),
            "guest end: completion bytes is 48: is less than a packet of the version");
  EXPECT_TRUE(command.ends.empty());
  EXPECT_EQ(lane.outstanding(), 2u);
  End(ScsiEnd::kGone);
  EXPECT_EQ(command.ends, std::vector{ScsiEnd::kGone});
  EXPECT_EQ(other.ends, std::vector{ScsiEnd::kGone});
}

TEST_F(ScsiLaneTest, CompletionWithAnotherOperationFailsTheChannel) {
  TestCommand command;
  host.intercept = [&](const HostCommand& got) {
    const auto packet = Bare(3);
    return got.channel->Complete(got.id, BytesOf(packet)) == SendResult::kOk;
  };
  lane.Submit(command);
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(closed_reason(), "guest end: completion operation is 3: is not COMPLETE_IO");
  End(ScsiEnd::kGone);
}

TEST_F(ScsiLaneTest, SecondCompletionFailsTheChannel) {
  TestCommand command;
  host.intercept = [&](const HostCommand& got) {
    host.Answer(got, {});
    return host.Answer(got, {});
  };
  lane.Submit(command);
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(command.ends, std::vector{ScsiEnd::kCompleted});
  EXPECT_EQ(closed_reason(), "guest end: completion transaction_id is 1: was completed already");
}

TEST_F(ScsiLaneTest, UnsolicitedPacketsGoToTheListener) {
  host.Send(pair.host(), storvsc::kEnumerateBus);
  host.Send(pair.host(), 4711);  // nobody knows it: the listener is to ignore it
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(listener.unsolicited, (std::vector<uint32_t>{11, 4711}));
  EXPECT_EQ(listener.unsolicited_bytes, 64u);
  (void)pair.host().Send({.payload = TextBytes("\x02")});  // four bytes are enough
  (void)pair.host().Send({});                              // none are not
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(listener.unsolicited, (std::vector<uint32_t>{11, 4711, 2}));
  EXPECT_EQ(closed_reason(), "guest end: unsolicited packet bytes is 0: holds no operation");
}

TEST_F(ScsiLaneTest, PacketsWithAnIdThatNobodyWaitsForAreIgnored) {
  const auto packet = Bare(11);
  (void)pair.host().Send({.transaction_id = 9, .payload = BytesOf(packet)});
  ASSERT_TRUE(pair.Run());
  EXPECT_TRUE(listener.unsolicited.empty());
  EXPECT_EQ(lane.counters().ignored, 1u);
  EXPECT_FALSE(lane.closed());
}

TEST_F(ScsiLaneTest, UnsolicitedCompletionFailsTheChannel) {
  host.Send(pair.host(), storvsc::kCompleteIo);
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(closed_reason(), "guest end: unsolicited packet operation is 1: completes nothing");
}

TEST_F(ScsiLaneTest, OverdueIsSaidOnceAndTheCommandGoesOn) {
  std::vector<HostCommand> parked;
  host.intercept = [&](const HostCommand& command) {
    parked.push_back(command);
    return true;
  };
  TestCommand quick, slow;
  quick.timeout_seconds = 10;
  slow.timeout_seconds = 30;
  lane.Submit(quick);
  lane.Submit(slow);
  ASSERT_TRUE(pair.RunFor(seconds(10)));
  EXPECT_TRUE(listener.overdue.empty());
  ASSERT_TRUE(pair.RunFor(seconds(2)));
  EXPECT_EQ(listener.overdue, std::vector<const ScsiCommand*>{&quick});
  EXPECT_EQ(lane.overdue(), 1u);
  ASSERT_TRUE(pair.RunFor(seconds(10)));
  EXPECT_EQ(listener.overdue.size(), 1u);
  ASSERT_TRUE(pair.RunFor(seconds(10)));
  EXPECT_EQ(listener.overdue, (std::vector<const ScsiCommand*>{&quick, &slow}));
  EXPECT_TRUE(quick.ends.empty());
  for (const HostCommand& command : parked) host.Answer(command, {});
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(quick.ends, std::vector{ScsiEnd::kCompleted});
  EXPECT_EQ(lane.overdue(), 0u);
  EXPECT_EQ(lane.counters().overdue, 2u);
}

TEST_F(ScsiLaneTest, TheListenerMayCloseTheChannelWhenACommandIsOverdue) {
  host.intercept = [&](const HostCommand&) { return true; };
  listener.on_overdue = [&] { pair.guest().Close(absl::DeadlineExceededError("too late")); };
  TestCommand first, second;
  first.timeout_seconds = second.timeout_seconds = 1;
  lane.Submit(first);
  lane.Submit(second);
  ASSERT_TRUE(pair.RunFor(seconds(5)));
  EXPECT_EQ(listener.overdue.size(), 1u);
  EXPECT_EQ(closed_reason(), "too late");
  EXPECT_EQ(lane.outstanding(), 2u);
  End(ScsiEnd::kGone);
}

TEST_F(ScsiLaneTest, AfterTheEndCommandsEndAtTheNextTurn) {
  host.intercept = [&](const HostCommand&) { return true; };
  TestCommand sent, late, later;
  lane.Submit(sent);
  ASSERT_TRUE(pair.Run());
  pair.guest().Close(absl::UnavailableError("rescinded"));
  lane.Submit(late);  // the channel is gone, nobody has said how that went
  ASSERT_TRUE(pair.Run());
  EXPECT_TRUE(late.ends.empty());
  sent.on_done = [&](TestCommand&) { lane.Submit(later); };
  End(ScsiEnd::kLost);
  EXPECT_EQ(sent.ends, std::vector{ScsiEnd::kLost});
  EXPECT_EQ(late.ends, std::vector{ScsiEnd::kGone});  // nobody ever saw its memory
  EXPECT_TRUE(later.ends.empty());
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(later.ends, std::vector{ScsiEnd::kGone});
}

Task<void> Wait(ScsiLane& lane, Duration deadline, std::vector<bool>& results) {
  const bool drained = co_await lane.Drained(deadline);
  results.push_back(drained);
}

TEST_F(ScsiLaneTest, DrainedWaitsForTheLastAnswerAndNotForEver) {
  std::vector<HostCommand> parked;
  host.intercept = [&](const HostCommand& command) {
    parked.push_back(command);
    return true;
  };
  std::vector<bool> results;
  TestCommand command;
  lane.Submit(command);
  TaskGroup waits(pair.guest_executor(), "waits");
  waits.Spawn(Wait(lane, seconds(2), results));
  waits.Spawn(Wait(lane, seconds(60), results));
  ASSERT_TRUE(pair.RunFor(seconds(5)));
  EXPECT_EQ(results, std::vector<bool>{false});
  host.Answer(parked.at(0), {});
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(results, (std::vector<bool>{false, true}));
}

TEST_F(ScsiLaneTest, NothingIsAllocatedPerCommand) {
  host.keep_commands = false;
  std::vector<TestCommand> commands(8);
  for (TestCommand& command : commands) {
    command.cdb = {scsi::kRead10, 0, 0, 0, 0, 1, 0, 0, 8, 0};
    command.Read(3 * kPageSize, 4096);
    command.ends.reserve(3);
  }
  uint64_t before = 0;
  for (int round = 0; round < 3; ++round) {
    if (round == 1) before = ThreadAllocations();
    for (TestCommand& command : commands) lane.Submit(command);
    ASSERT_TRUE(pair.Run());
  }
  EXPECT_EQ(ThreadAllocations() - before, 0u);
  EXPECT_EQ(commands[7].ends.size(), 3u);
}

TEST_F(ScsiLaneTest, InspectShowsTheCounters) {
  TestCommand command;
  lane.Submit(command);
  ASSERT_TRUE(pair.Run());
  InspectNode node;
  lane.Inspect(node);
  const std::string json = node.ToJson();
  EXPECT_NE(json.find("\"submitted\": 1"), std::string::npos) << json;
  EXPECT_NE(json.find("\"completed\": 1"), std::string::npos) << json;
}

}  // namespace
}  // namespace vmbuskit
