// What programs see of a disk: the requests of block_device.h over SCSI.
#include "devices/storvsc/scsi_disk.h"

#include "devices/storvsc/scsi_disk_testing.h"
#include "platform/allocation_counter.h"
#include "platform/random.h"

namespace vmbuskit {
namespace {

using Op = BlockOperation;
using Ends = std::vector<BlockResult>;

class DiskTest : public ScsiDiskTest {};

TEST_F(DiskTest, WhatWasWrittenIsRead) {
  Open();
  BlockBuffer from = Guest(8192), to = Guest(8192);
  Fill(from.bytes(), 1);
  TestBlock write(Op::kWrite, 1024, {Part(from, 512, 4096)});
  EXPECT_EQ(Do(write), BlockResult::kOk);
  TestBlock read(Op::kRead, 1024, {Part(to, 100, 4096)});  // any alignment
  EXPECT_EQ(Do(read), BlockResult::kOk);
  EXPECT_EQ(std::memcmp(from.bytes().data() + 512, to.bytes().data() + 100, 4096), 0);
  EXPECT_EQ(std::memcmp(host.disk.data() + 1024, to.bytes().data() + 100, 4096), 0);
  ASSERT_EQ(host.commands.size(), 2u);
  EXPECT_EQ(host.commands[0].request.lun, 5);
  EXPECT_EQ(host.commands[0].request.data_in, storvsc::kDataOut);
  EXPECT_EQ(Opcodes(), (std::vector<uint8_t>{scsi::kWrite10, scsi::kRead10}));
}

TEST_F(DiskTest, BadRequestsEndAtTheNextTurnWithTheirReason) {
  Open();
  BlockBuffer buffer = Guest(4096);
  struct Case {
    Op operation;
    uint64_t offset;
    uint32_t bytes;
    BlockResult result;
  };
  for (const Case& each : {Case{Op::kRead, 7, 512, BlockResult::kInvalid},
                           Case{Op::kRead, 0, 100, BlockResult::kInvalid},
                           Case{Op::kRead, kDiskBytes, 512, BlockResult::kOutOfRange},
                           Case{Op::kWrite, kDiskBytes - 512, 1024, BlockResult::kOutOfRange},
                           Case{Op::kDiscard, 0, 512, BlockResult::kNotSupported}}) {
    TestBlock request(each.operation, each.offset, {Part(buffer, 0, each.bytes)});
    EXPECT_EQ(Do(request), each.result);
  }
  EXPECT_EQ(host.count, 0u);
}

TEST_F(DiskTest, ReadOnlyDisksRefuseChanges) {
  options.info.read_only = true;
  Open();
  BlockBuffer buffer = Guest(4096);
  TestBlock write(Op::kWrite, 0, {Part(buffer, 0, 512)});
  EXPECT_EQ(Do(write), BlockResult::kReadOnly);
  TestBlock read(Op::kRead, 0, {Part(buffer, 0, 512)});
  EXPECT_EQ(Do(read), BlockResult::kOk);
}

TEST_F(DiskTest, LargeRequestsAreSplitByTheTransferLimit) {
  options.info.max_transfer_bytes = 64 * 1024;
  Open();
  BlockBuffer buffer = Guest(160 * 1024 + 4096);
  TestBlock read(Op::kRead, 512, {Part(buffer, 512, 160 * 1024)});
  EXPECT_EQ(Do(read), BlockResult::kOk);
  ASSERT_EQ(host.commands.size(), 3u);
  EXPECT_EQ(host.commands[0].request.data_transfer_length, 64u * 1024);
  EXPECT_EQ(host.commands[2].request.data_transfer_length, 32u * 1024);
  EXPECT_EQ(scsi::ReadBig32(host.commands[1].cdb() + 2), 1u + 128);
  EXPECT_EQ(host.commands[2].segments[0].gpa, buffer.gpa(512 + 128 * 1024));
}

TEST_F(DiskTest, ADiskOfDepthOneSplitsToo) {
  options.info.queue_depth = 1;
  options.info.max_transfer_bytes = 4096;
  Open();
  BlockBuffer buffer = Guest(64 * 1024);
  TestBlock first(Op::kRead, 0, {Part(buffer, 0, 16384)}),
      second(Op::kRead, 0, {Part(buffer, 0, 512)});
  queue->Submit(first);
  queue->Submit(second);
  Run();
  EXPECT_EQ(first.ends, Ends{BlockResult::kOk});
  EXPECT_EQ(second.ends, Ends{BlockResult::kOk});
  EXPECT_EQ(host.count, 5u);
}

TEST_F(DiskTest, ScatteredGuestPagesGoWithoutACopy) {
  Open();
  BlockBuffer buffer = Guest(64 * 1024);
  // Page-aligned inside: one command. A boundary inside a page: two.
  TestBlock fits(Op::kRead, 0,
                 {Part(buffer, 512, 3584), Part(buffer, 16384, 4096), Part(buffer, 8192, 512)});
  EXPECT_EQ(Do(fits), BlockResult::kOk);
  EXPECT_EQ(host.commands.size(), 1u);
  TestBlock bent(Op::kRead, 0, {Part(buffer, 512, 8192), Part(buffer, 16384 + 512, 8192)});
  EXPECT_EQ(Do(bent), BlockResult::kOk);
  EXPECT_EQ(host.commands.size(), 3u);
  for (const HostCommand& command : host.commands) {
    for (const GpaSegment& segment : command.segments) {
      EXPECT_GE(segment.gpa, buffer.gpa());
      EXPECT_LT(segment.gpa, buffer.gpa() + 64 * 1024);
    }
  }
}

TEST_F(DiskTest, MemoryOfTheProcessIsCopied) {
  Open();
  BlockBuffer heap = BlockBuffer::OfHeap(200 * 1024), back = BlockBuffer::OfHeap(200 * 1024);
  Fill(heap.bytes(), 3);
  TestBlock write(Op::kWrite, 4096, {Part(heap, 3, 150 * 1024)});
  EXPECT_EQ(Do(write), BlockResult::kOk);
  EXPECT_EQ(std::memcmp(host.disk.data() + 4096, heap.bytes().data() + 3, 150 * 1024), 0);
  TestBlock read(Op::kRead, 4096, {Part(back, 7, 1), Part(back, 8, 150 * 1024 - 1)});
  EXPECT_EQ(Do(read), BlockResult::kOk);
  EXPECT_EQ(std::memcmp(back.bytes().data() + 7, heap.bytes().data() + 3, 150 * 1024), 0);
}

TEST_F(DiskTest, ForcedWritesSaySoOrAreFlushed) {
  options.info.volatile_cache = true;
  Open();
  BlockBuffer buffer = Guest(4096);
  TestBlock forced(Op::kWrite, 0, {Part(buffer, 0, 512)});
  forced.force_unit_access = true;
  EXPECT_EQ(Do(forced), BlockResult::kOk);
  EXPECT_EQ(Opcodes(), (std::vector<uint8_t>{scsi::kWrite10, scsi::kSynchronizeCache10}));
  EXPECT_EQ(host.commands[0].cdb()[1], 0);
}

TEST_F(DiskTest, ForcedWritesCarryTheBitWhereTheDiskKnowsIt) {
  options.info.volatile_cache = options.info.force_unit_access = true;
  Open();
  BlockBuffer buffer = Guest(4096);
  TestBlock forced(Op::kWrite, 0, {Part(buffer, 0, 512)});
  forced.force_unit_access = true;
  EXPECT_EQ(Do(forced), BlockResult::kOk);
  TestBlock flush(Op::kFlush, 0, 0);
  EXPECT_EQ(Do(flush), BlockResult::kOk);
  EXPECT_EQ(Opcodes(), (std::vector<uint8_t>{scsi::kWrite10, scsi::kSynchronizeCache10}));
  EXPECT_EQ(host.commands[0].cdb()[1], 0x08);
  EXPECT_EQ(host.commands[1].request.data_in, storvsc::kNoData);
}

TEST_F(DiskTest, AFailedForcedWriteIsNotFlushed) {
  options.info.volatile_cache = true;
  Open();
  host.intercept = [&](const HostCommand& command) {
    return host.Refuse(command, {scsi::kMediumError, 0x03, 0});
  };
  BlockBuffer buffer = Guest(4096);
  TestBlock forced(Op::kWrite, 0, {Part(buffer, 0, 512)});
  forced.force_unit_access = true;
  EXPECT_EQ(Do(forced), BlockResult::kMediumError);
  EXPECT_EQ(host.count, 1u);
}

TEST_F(DiskTest, DiscardsAreCutToWhatTheDiskTakes) {
  options.info.discard = true;
  options.info.discard_bytes_max = 1 << 20;
  Open();
  Fill(host.disk, 9);
  TestBlock discard(Op::kDiscard, 512, 2 << 20);
  EXPECT_EQ(Do(discard), BlockResult::kOk);
  EXPECT_EQ(Opcodes(), (std::vector<uint8_t>{scsi::kUnmap, scsi::kUnmap}));
  EXPECT_EQ(host.commands[0].request.data_transfer_length, 24u);
  for (size_t i = 0; i < (2 << 20); i += 512) ASSERT_EQ(host.disk[512 + i], std::byte{0});
  EXPECT_NE(std::memcmp(host.disk.data() + 512 + (2 << 20), host.disk.data() + 512, 512), 0);
}

TEST_F(DiskTest, ZerosGoOverTheWireWhereTheDiskKnowsNoBetter) {
  Open();
  Fill(host.disk, 9);
  TestBlock zeroes(Op::kWriteZeroes, 1024, 300 * 1024);
  EXPECT_EQ(Do(zeroes), BlockResult::kOk);
  EXPECT_EQ(Opcodes(), (std::vector<uint8_t>{scsi::kWrite10, scsi::kWrite10}));
  for (size_t i = 0; i < 300 * 1024; ++i) ASSERT_EQ(host.disk[1024 + i], std::byte{0});
  EXPECT_NE(host.disk[1023], std::byte{0});
}

TEST_F(DiskTest, WriteSameWhereTheDiskTakesIt) {
  options.info.write_zeroes = true;
  options.info.write_zeroes_bytes_max = 256 * 1024;
  options.write_same_unmaps = true;
  Open();
  Fill(host.disk, 9);
  TestBlock zeroes(Op::kWriteZeroes, 1024, 300 * 1024);
  EXPECT_EQ(Do(zeroes), BlockResult::kOk);
  EXPECT_EQ(Opcodes(), (std::vector<uint8_t>{scsi::kWriteSame16, scsi::kWriteSame16}));
  EXPECT_EQ(host.commands[0].cdb()[1], 0x08);
  EXPECT_EQ(host.commands[0].request.data_transfer_length, 512u);
  for (size_t i = 0; i < 300 * 1024; ++i) ASSERT_EQ(host.disk[1024 + i], std::byte{0});
  TestBlock kept(Op::kWriteZeroes, 0, 512);
  kept.may_unmap = false;
  EXPECT_EQ(Do(kept), BlockResult::kOk);
  EXPECT_EQ(host.commands[2].cdb()[1], 0);
}

TEST_F(DiskTest, ARefusedWriteSameIsForgottenAndZerosGoInItsPlace) {
  options.info.write_zeroes = options.info.volatile_cache = true;
  options.info.write_zeroes_bytes_max = 1 << 20;
  Open();
  Fill(host.disk, 9);
  host.intercept = [&](const HostCommand& command) {
    return command.opcode() == scsi::kWriteSame16 &&
           host.Refuse(command, {scsi::kIllegalRequest, 0x20, 0}, storvsc::kSrbInvalidRequest);
  };
  TestBlock zeroes(Op::kWriteZeroes, 0, 4096);
  zeroes.force_unit_access = true;
  EXPECT_EQ(Do(zeroes), BlockResult::kOk);
  TestBlock more(Op::kWriteZeroes, 4096, 4096);
  EXPECT_EQ(Do(more), BlockResult::kOk);
  EXPECT_EQ(Opcodes(), (std::vector<uint8_t>{scsi::kWriteSame16, scsi::kWrite10,
                                             scsi::kSynchronizeCache10, scsi::kWrite10}));
  EXPECT_EQ(host.disk[4095], std::byte{0});
}

TEST_F(DiskTest, OfSeveralWriteSamesThatAreRefusedTogetherEachBecomesZeros) {
  options.info.write_zeroes = true;
  options.info.write_zeroes_bytes_max = 4096;
  Open();
  Fill(host.disk, 9);
  host.intercept = [&](const HostCommand& command) {
    return command.opcode() == scsi::kWriteSame16 &&
           host.Refuse(command, {scsi::kIllegalRequest, 0x20, 0}, storvsc::kSrbInvalidRequest);
  };
  TestBlock first(Op::kWriteZeroes, 0, 4096);
  TestBlock second(Op::kWriteZeroes, 4096, 8192);
  queue->Submit(first);
  queue->Submit(second);
  Run();
  EXPECT_EQ(first.ends, Ends{BlockResult::kOk});
  EXPECT_EQ(second.ends, Ends{BlockResult::kOk});
  for (size_t i = 0; i < 3 * 4096; ++i) ASSERT_EQ(host.disk[i], std::byte{0}) << i;
}

TEST_F(DiskTest, ARefusedWriteOfZerosIsNotTriedForEver) {
  Open();
  host.intercept = [&](const HostCommand& command) {
    return host.Refuse(command, {scsi::kIllegalRequest, 0x20, 0}, storvsc::kSrbInvalidRequest);
  };
  TestBlock zeroes(Op::kWriteZeroes, 0, 4096);
  EXPECT_EQ(Do(zeroes), BlockResult::kNotSupported);
}

TEST_F(DiskTest, BlockStatusComesFromTheDisk) {
  options.info.status = true;
  Open();
  host.intercept = [&](const HostCommand& command) {
    EXPECT_EQ(command.cdb()[1], scsi::kGetLbaStatusAction);
    std::vector<std::byte> data(8 + 3 * 16);
    const auto describe = [&](size_t at, uint64_t lba, uint32_t count, uint8_t status) {
      scsi::WriteBig64(data.data() + at, lba);
      scsi::WriteBig32(data.data() + at + 8, count);
      data[at + 12] = std::byte{status};
    };
    describe(8, 0, 16, 0);   // begins before
    describe(24, 16, 8, 1);  // a hole
    describe(40, 24, 1000, 0);
    return host.Answer(command, {.transferred = host.CopyToGuest(command, data)});
  };
  std::vector<BlockExtent> extents(8);
  TestBlock status(Op::kStatus, 4096, 64 * 512);
  status.extents = extents;
  EXPECT_EQ(Do(status), BlockResult::kOk);
  EXPECT_EQ(status.extent_count, 3u);
  EXPECT_EQ(extents[0], (BlockExtent{8 * 512, true}));
  EXPECT_EQ(extents[1], (BlockExtent{8 * 512, false}));
  EXPECT_EQ(extents[2], (BlockExtent{48 * 512, true}));
}

TEST_F(DiskTest, StatusThatMakesNoSenseOrIsRefusedMeansData) {
  options.info.status = true;
  Open();
  std::vector<BlockExtent> extents(2);
  int round = 0;
  host.intercept = [&](const HostCommand& command) {
    if (++round == 1) return host.Refuse(command, {scsi::kIllegalRequest, 0x20, 0});
    std::vector<std::byte> data(8 + 2 * 16);
    scsi::WriteBig64(data.data() + 8, round == 2 ? 500 : 0);  // a gap; then a range of nothing
    return host.Answer(command, {.transferred = host.CopyToGuest(command, data)});
  };
  for (int i = 0; i < 3; ++i) {
    TestBlock status(Op::kStatus, 4096, 8192);
    status.extents = extents;
    EXPECT_EQ(Do(status), BlockResult::kOk);
    EXPECT_EQ(status.extent_count, 1u);
    EXPECT_EQ(extents[0], (BlockExtent{8192, true}));
  }
}

TEST_F(DiskTest, BlocksBeyondThirtyTwoBitsTakeTheLongCommands) {
  Open();
  disk->Resize(uint64_t{1} << 50);
  host.intercept = [&](const HostCommand& command) {
    return host.Answer(command, {.transferred = command.request.data_transfer_length});
  };
  BlockBuffer buffer = Guest(4096);
  TestBlock read(Op::kRead, uint64_t{1} << 42, {Part(buffer, 0, 4096)});
  EXPECT_EQ(Do(read), BlockResult::kOk);
  EXPECT_EQ(host.commands[0].opcode(), scsi::kRead16);
  EXPECT_EQ(scsi::ReadBig64(host.commands[0].cdb() + 2), uint64_t{1} << 33);
  EXPECT_EQ(host.commands[0].request.cdb_length, 16);
}

TEST_F(DiskTest, BatchesAreOneSignal) {
  Open();
  BlockBuffer buffer = Guest(64 * 1024);
  std::vector<std::unique_ptr<TestBlock>> requests;
  std::vector<BlockRequest*> batch;
  for (uint32_t i = 0; i < 8; ++i) {
    batch.push_back(
        requests.emplace_back(new TestBlock(Op::kRead, 4096 * i, {Part(buffer, 4096 * i, 4096)}))
            .get());
  }
  lane().pair.to_host().TakeRaised();
  queue->SubmitAll(batch);
  EXPECT_EQ(lane().pair.to_host().TakeRaised(), 1u);
  Run();
  for (const auto& request : requests) EXPECT_EQ(request->ends, Ends{BlockResult::kOk});
}

TEST_F(DiskTest, NothingIsAllocatedPerRequest) {
  Open();
  host.keep_commands = false;
  BlockBuffer buffer = Guest(64 * 1024), heap = BlockBuffer::OfHeap(8192);
  TestBlock simple(Op::kRead, 0, {Part(buffer, 0, 4096)});
  TestBlock bent(Op::kWrite, 0, {Part(buffer, 512, 4096), Part(buffer, 8192 + 512, 4096)});
  TestBlock copied(Op::kRead, 0, {Part(heap, 1, 4096)});
  TestBlock zeroes(Op::kWriteZeroes, 0, 8192);
  TestBlock* all[] = {&simple, &bent, &copied, &zeroes};
  uint64_t before = 0;
  for (int round = 0; round < 3; ++round) {
    for (TestBlock* each : all) each->ends.clear();
    if (round == 1) before = ThreadAllocations();
    for (TestBlock* each : all) queue->Submit(*each);
    Run();
  }
  EXPECT_EQ(ThreadAllocations() - before, 0u);
  for (TestBlock* each : all) EXPECT_EQ(each->ends, Ends{BlockResult::kOk});
}

// Any mixture of memory, sizes and operations leaves the disk as a model says. Half of it over another executor's lane.
class DiskModelTest : public ScsiDiskTest, public testing::WithParamInterface<int> {};

TEST_P(DiskModelTest, RandomRequestsMatchTheModel) {
  Random random(static_cast<uint32_t>(GetParam()));
  options.info.max_transfer_bytes = GetParam() % 3 == 0 ? 8192 : 64 * 1024;
  options.info.queue_depth = GetParam() % 4 == 0 ? 1 : 6;
  options.info.discard = options.info.write_zeroes = GetParam() % 3 == 1;
  options.info.discard_bytes_max = options.info.write_zeroes_bytes_max = 32 * 1024;
  options.bounce_bytes = GetParam() % 5 == 0 ? 4096 : 128 * 1024;
  Open(GetParam() % 2 == 0 ? &guest : &other);
  host.keep_commands = false;
  std::vector<std::byte> model(kDiskBytes);
  BlockBuffer buffer = Guest(256 * 1024), heap = BlockBuffer::OfHeap(256 * 1024);
  for (int round = 0; round < 300; ++round) {
    const uint64_t offset = random.Next() % 512 * 512;
    std::vector<BlockSegment> parts;
    uint32_t total = 0;
    const uint32_t wanted = (1 + random.Next() % 200) * 512;
    uint32_t in_guest = 0, in_heap = 0;
    while (total < wanted) {
      const bool from_heap = random.Next() % 3 == 0;
      uint32_t& used = from_heap ? in_heap : in_guest;
      used += random.Next() % 2 == 0 ? static_cast<uint32_t>(random.Next() % 300)
                                     : (4096 - used % 4096) % 4096;
      const uint32_t length = std::min<uint32_t>(
          wanted - total,
          random.Next() % 4 == 0 ? random.Next() % 700 : 4096 * (1 + random.Next() % 4));
      parts.push_back(Part(from_heap ? heap : buffer, used, length));
      used += length;
      total += length;
      if (used > 200 * 1024) break;
    }
    if (total % 512 != 0 || total == 0) continue;
    const uint32_t kind = random.Next() % 5;
    const Op operation =
        kind < 2 ? Op::kWrite
        : kind < 4
            ? Op::kRead
            : (options.info.discard && random.Next() % 2 == 0 ? Op::kDiscard : Op::kWriteZeroes);
    TestBlock request(operation, offset, parts);
    size_t at = offset;
    if (operation == Op::kWrite) {
      for (const BlockSegment& part : parts) {
        Fill({part.data, part.bytes}, random.Next());
        std::memcpy(model.data() + at, part.data, part.bytes);
        at += part.bytes;
      }
    } else if (operation != Op::kRead) {
      std::memset(model.data() + at, 0, total);
    }
    ASSERT_EQ(Do(request), BlockResult::kOk) << round;
    ASSERT_EQ(std::memcmp(model.data(), host.disk.data(), 512 * 1024), 0) << round;
    if (operation != Op::kRead) continue;
    for (const BlockSegment& part : parts) {
      ASSERT_EQ(std::memcmp(model.data() + at, part.data, part.bytes), 0) << round;
      at += part.bytes;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, DiskModelTest, testing::Range(0, 20));

}  // namespace
}  // namespace vmbuskit
