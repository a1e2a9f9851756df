// Stories of disks that are busy, change, or go: what is tried again, what ends, and over which lane.
#include "devices/storvsc/scsi_queue.h"

#include "devices/storvsc/scsi_disk_testing.h"

namespace vmbuskit {
namespace {

using Op = BlockOperation;
using Ends = std::vector<BlockResult>;

class QueueTest : public ScsiDiskTest {
 protected:
  // Keeps what comes, for the test to answer.
  void Park() {
    host.intercept = [this](const HostCommand& command) {
      parked.push_back(command);
      return true;
    };
  }
  void AddLane(SimExecutor& executor) {
    lanes_open.emplace_back(std::make_unique<TestLane>(executor, host_cpu, host, *lanes, pages));
  }
  std::vector<HostCommand> parked;
};

TEST_F(QueueTest, MoreThanTheDepthWaitsInOrder) {
  Open();
  BlockBuffer buffer = Guest(4096);
  Park();
  std::vector<std::unique_ptr<TestBlock>> requests;
  for (uint64_t i = 0; i < 30; ++i) {
    requests.emplace_back(new TestBlock(Op::kRead, 512 * i, {Part(buffer, 0, 512)}));
    queue->Submit(*requests.back());
  }
  Run();
  EXPECT_EQ(parked.size(), 8u);  // the depth
  for (size_t i = 0; i < 30; ++i) {
    ASSERT_LT(i, parked.size());
    EXPECT_EQ(scsi::ReadBig32(parked[i].cdb() + 2), i);
    host.Answer(parked[i], {.transferred = 512});
    Run();
    EXPECT_EQ(requests[i]->ends, Ends{BlockResult::kOk});
  }
}

TEST_F(QueueTest, UnitAttentionIsTriedAgainAndAsksForARescan) {
  Open();
  BlockBuffer buffer = Guest(4096);
  host.intercept = [&](const HostCommand& command) {
    return host.count <= 2 && host.Refuse(command, {scsi::kUnitAttention, 0x2A, 0x09});
  };
  TestBlock read(Op::kRead, 0, {Part(buffer, 0, 512)});
  EXPECT_EQ(Do(read), BlockResult::kOk);
  EXPECT_EQ(host.count, 3u);
  EXPECT_EQ(attentions, 1);
  EXPECT_TRUE(disk->TakeRescanWanted());
  EXPECT_FALSE(disk->TakeRescanWanted());
  EXPECT_FALSE(disk->TakeLunGone());
}

TEST_F(QueueTest, AttentionForEverEndsTheRequest) {
  Open();
  BlockBuffer buffer = Guest(4096);
  host.intercept = [&](const HostCommand& command) {
    return host.Refuse(command, {scsi::kUnitAttention, 0x29, 0});
  };
  TestBlock read(Op::kRead, 0, {Part(buffer, 0, 512)});
  EXPECT_EQ(Do(read), BlockResult::kAborted);
  EXPECT_EQ(host.count, 1u + ScsiQueue::kRetriesMax);
}

TEST_F(QueueTest, ABusyDiskIsAskedAgainAfterAPause) {
  Open();
  BlockBuffer buffer = Guest(4096);
  host.intercept = [&](const HostCommand& command) {
    return host.count <= 3 && host.Answer(command, {.srb_status = storvsc::kSrbBusy});
  };
  TestBlock read(Op::kRead, 0, {Part(buffer, 0, 512)});
  queue->Submit(read);
  Run();
  EXPECT_EQ(host.count, 1u);
  RunFor(std::chrono::microseconds(1500));
  EXPECT_EQ(host.count, 2u);
  RunFor(std::chrono::milliseconds(10));
  EXPECT_EQ(read.ends, Ends{BlockResult::kOk});
}

TEST_F(QueueTest, ADiskThatStaysBusyIsGivenUpAfterAMinute) {
  Open();
  BlockBuffer buffer = Guest(4096);
  host.keep_commands = false;
  host.intercept = [&](const HostCommand& command) {
    return host.Answer(command, {.srb_status = storvsc::kSrbBusy});
  };
  TestBlock read(Op::kRead, 0, {Part(buffer, 0, 512)});
  queue->Submit(read);
  RunFor(std::chrono::seconds(55));
  EXPECT_TRUE(read.ends.empty());
  RunFor(std::chrono::seconds(15));
  EXPECT_EQ(read.ends, Ends{BlockResult::kTimedOut});
}

TEST_F(QueueTest, AnAbsentLunEndsRequestsAndIsReported) {
  Open();
  BlockBuffer buffer = Guest(4096);
  host.intercept = [&](const HostCommand& command) {
    return host.Answer(command, {.srb_status = storvsc::kSrbInvalidLun, .scsi_status = 2});
  };
  TestBlock read(Op::kRead, 0, {Part(buffer, 0, 512)});
  EXPECT_EQ(Do(read), BlockResult::kGone);
  EXPECT_TRUE(disk->TakeLunGone());
  EXPECT_EQ(attentions, 1);
}

TEST_F(QueueTest, AShortTransferIsNoSuccess) {
  Open();
  BlockBuffer buffer = Guest(4096);
  host.intercept = [&](const HostCommand& command) {
    return host.Answer(command, {.transferred = 511});
  };
  TestBlock read(Op::kRead, 0, {Part(buffer, 0, 512)});
  EXPECT_EQ(Do(read), BlockResult::kMediumError);
}

TEST_F(QueueTest, AReadThatTheDeviceRecoveredIsReadAgain) {
  Open();
  BlockBuffer buffer = Guest(4096);
  const HostAnswer recovered = {.srb_status = storvsc::kSrbError | storvsc::kSrbAutosenseValid,
                                .scsi_status = scsi::kCheckCondition,
                                .transferred = 512,
                                .sense = {0x1, 0x17, 0}};
  uint32_t left = 1;
  host.intercept = [&](const HostCommand& command) {
    return left != 0 && left-- != 0 && host.Answer(command, recovered);
  };
  TestBlock once(Op::kRead, 0, {Part(buffer, 0, 512)}),
      always(Op::kRead, 0, {Part(buffer, 0, 512)});
  EXPECT_EQ(Do(once), BlockResult::kOk);
  EXPECT_EQ(left, 0u);
  left = 1000;
  EXPECT_EQ(Do(always), BlockResult::kMediumError);
}

TEST_F(QueueTest, ARetiredDiskTakesNothingMore) {
  Open();
  BlockBuffer buffer = Guest(4096);
  Park();
  TestBlock under_way(Op::kRead, 0, {Part(buffer, 0, 512)}),
      late(Op::kRead, 0, {Part(buffer, 0, 512)});
  queue->Submit(under_way);
  Run();
  disk->Retire();
  EXPECT_EQ(Do(late), BlockResult::kGone);
  host.Refuse(parked.at(0), {scsi::kUnitAttention, 0x29, 0});
  Run();
  EXPECT_EQ(under_way.ends, Ends{BlockResult::kGone});
  EXPECT_FALSE(disk->AllocateBuffer(4096).ok());
}

TEST_F(QueueTest, WithoutALaneRequestsEnd) {
  Open();
  BlockBuffer buffer = Guest(4096);
  lane().End(ScsiEnd::kGone);
  TestBlock read(Op::kRead, 0, {Part(buffer, 0, 512)});
  EXPECT_EQ(Do(read), BlockResult::kGone);
}

TEST_F(QueueTest, AnotherLaneTakesOverWhatALostOneHad) {
  Open();
  AddLane(other);
  BlockBuffer buffer = Guest(4096);
  Park();
  TestBlock read(Op::kRead, 0, {Part(buffer, 0, 512)});
  queue->Submit(read);
  Run();
  ASSERT_EQ(parked.size(), 1u);
  host.intercept = nullptr;
  lane().End(ScsiEnd::kGone);
  Run();
  EXPECT_EQ(read.ends, Ends{BlockResult::kOk});
  EXPECT_EQ(lanes_open[1]->lane.counters().completed, 1u);
}

// Found by the storage campaign: it said "not supported", which no other disk of that kind would mend.
TEST_F(QueueTest, WhatWaitsForMemoryThatIsLostEndsAsGone) {
  options.bounce_bytes = kPageSize;  // one request's
  Open();
  Park();
  std::array<std::byte, 512> own;
  TestBlock first(Op::kRead, 0, {{.data = own.data(), .bytes = 512}}),
      second(Op::kRead, 0, {{.data = own.data(), .bytes = 512}});
  queue->Submit(first);
  queue->Submit(second);
  Run();
  ASSERT_EQ(parked.size(), 1u) << "the second waits";
  lane().End(ScsiEnd::kLost);
  Run();
  EXPECT_EQ(first.ends, Ends{BlockResult::kLost});
  EXPECT_EQ(second.ends, Ends{BlockResult::kGone});
  queue.reset();
  pages.EndWithholding(/*host_let_go=*/true);  // UNLOAD_RESPONSE
}

TEST_F(QueueTest, LostMemoryStaysOutOfUse) {
  Open();
  AddLane(other);  // to which it must not go: the host may still write the memory
  Park();
  {
    BlockBuffer buffer = Guest(8192);
    TestBlock read(Op::kRead, 0, {Part(buffer, 0, 8192)});
    queue->Submit(read);
    Run();
    lane().End(ScsiEnd::kLost);
    EXPECT_EQ(read.ends, Ends{BlockResult::kLost});
  }
  EXPECT_EQ(parked.size(), 1u);
  EXPECT_EQ(pages.withheld(), 2u);
  pages.EndWithholding(/*host_let_go=*/true);  // UNLOAD_RESPONSE
  EXPECT_EQ(pages.withheld(), 0u);
}

TEST_F(QueueTest, ALaneOfItsOwnExecutorIsPreferred) {
  Open(&other);
  AddLane(other);
  BlockBuffer buffer = Guest(4096);
  TestBlock read(Op::kRead, 0, {Part(buffer, 0, 512)});
  EXPECT_EQ(Do(read), BlockResult::kOk);
  EXPECT_EQ(lane(0).lane.counters().submitted, 0u);
  EXPECT_EQ(lane(1).lane.counters().submitted, 1u);
}

TEST_F(QueueTest, MailForALaneThatGoesIsNotLost) {
  Open(&other);
  BlockBuffer buffer = Guest(4096);
  TestBlock read(Op::kRead, 0, {Part(buffer, 0, 512)});
  queue->Submit(read);         // on its way to another executor
  lane().End(ScsiEnd::kGone);  // which closes the lane first
  Run();
  EXPECT_EQ(read.ends, Ends{BlockResult::kGone});
}

}  // namespace
}  // namespace vmbuskit
