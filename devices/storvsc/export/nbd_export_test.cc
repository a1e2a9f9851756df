#include "devices/storvsc/export/nbd_export.h"

#include <gtest/gtest.h>

#include "devices/storvsc/export/nbd_testing.h"

namespace vmbuskit {
namespace {

nbd::Request RequestOf(uint16_t command, uint64_t offset, uint32_t bytes, uint16_t flags = 0) {
  nbd::Request request;
  request.command = command;
  request.offset = offset;
  request.bytes = bytes;
  request.flags = flags;
  return request;
}

TEST(NbdExport, SaysWhatTheDiskCan) {
  TestDisk disk(1 << 20);
  const NbdExportInfo info = DescribeNbdExport(disk, {.name = "x"});
  EXPECT_EQ(info.name, "x");
  EXPECT_EQ(info.description, "vmbuskit RAM disk");
  EXPECT_EQ(info.bytes, 1u << 20);
  EXPECT_EQ(info.flags, nbd::kHasFlags | nbd::kSendFlush | nbd::kSendFua | nbd::kSendTrim |
                            nbd::kSendWriteZeroes | nbd::kSendDf | nbd::kCanMultiConn |
                            nbd::kSendCache | nbd::kSendFastZero);
  EXPECT_EQ(info.block_bytes, 512u);
  EXPECT_EQ(info.preferred_bytes, 4096u);
  EXPECT_EQ(info.payload_bytes_max, 1u << 25);
}

TEST(NbdExport, SaysWhatTheDiskCannot) {
  TestDisk disk(1 << 20);
  disk.mutable_info().discard = disk.mutable_info().write_zeroes = false;
  disk.mutable_info().rotational = true;
  EXPECT_EQ(DescribeNbdExport(disk, {}).flags, nbd::kHasFlags | nbd::kSendFlush | nbd::kSendFua |
                                                   nbd::kSendDf | nbd::kCanMultiConn |
                                                   nbd::kSendCache | nbd::kRotational);
  const uint16_t read_only = DescribeNbdExport(disk, {.read_only = true}).flags;
  EXPECT_TRUE(read_only & nbd::kReadOnly);
  disk.mutable_info().read_only = true;
  EXPECT_EQ(DescribeNbdExport(disk, {}).flags, read_only);
}

TEST(NbdExport, LimitsAreOnesThatTheProtocolAllows) {
  TestDisk disk(3 * 4096, 4096);
  disk.mutable_info().preferred_bytes = 3 << 20;  // neither a power of two nor small
  disk.mutable_info().vendor = std::string(5000, 'v');
  const NbdExportInfo info = DescribeNbdExport(disk, {.name = {}, .payload_bytes_max = 1});
  EXPECT_EQ(info.block_bytes, 4096u);
  EXPECT_EQ(info.preferred_bytes, 65536u);
  EXPECT_EQ(info.payload_bytes_max, 65536u);
  EXPECT_EQ(info.description.size(), 4096u);
}

TEST(NbdExport, TheRestOfABlockAtTheEndIsLeftOut) {
  TestDisk disk(8192 + 512, 4096);
  EXPECT_EQ(DescribeNbdExport(disk, {}).bytes, 8192u);
}

TEST(NbdExport, ResultsAreErrorsThatTheProtocolKnows) {
  EXPECT_EQ(NbdErrorOf(BlockResult::kOk, nbd::kCmdRead), nbd::kOk);
  EXPECT_EQ(NbdErrorOf(BlockResult::kInvalid, nbd::kCmdRead), nbd::kEInval);
  EXPECT_EQ(NbdErrorOf(BlockResult::kNotSupported, nbd::kCmdTrim), nbd::kEInval);
  EXPECT_EQ(NbdErrorOf(BlockResult::kOutOfRange, nbd::kCmdRead), nbd::kEInval);
  EXPECT_EQ(NbdErrorOf(BlockResult::kOutOfRange, nbd::kCmdWrite), nbd::kENoSpc);
  EXPECT_EQ(NbdErrorOf(BlockResult::kReadOnly, nbd::kCmdWrite), nbd::kEPerm);
  EXPECT_EQ(NbdErrorOf(BlockResult::kConflict, nbd::kCmdWrite), nbd::kEPerm);
  EXPECT_EQ(NbdErrorOf(BlockResult::kNoSpace, nbd::kCmdWrite), nbd::kENoSpc);
  EXPECT_EQ(NbdErrorOf(BlockResult::kMediumError, nbd::kCmdRead), nbd::kEIo);
  EXPECT_EQ(NbdErrorOf(BlockResult::kTimedOut, nbd::kCmdRead), nbd::kEIo);
  EXPECT_EQ(NbdErrorOf(BlockResult::kGone, nbd::kCmdRead), nbd::kEShutdown);
  EXPECT_EQ(NbdErrorOf(BlockResult::kLost, nbd::kCmdRead), nbd::kEShutdown);
  EXPECT_EQ(NbdErrorOf(static_cast<BlockResult>(99), nbd::kCmdRead), nbd::kEIo);
}

class CheckNbdRequestTest : public testing::Test {
 protected:
  nbd::Error Check(const nbd::Request& request) const {
    return CheckNbdRequest(request, agreement_);
  }
  TestDisk disk_{1 << 20, 4096};
  NbdAgreement agreement_{.info = DescribeNbdExport(disk_, {.payload_bytes_max = 1 << 16}),
                          .structured_replies = true,
                          .base_allocation = true};
};

TEST_F(CheckNbdRequestTest, RangesAndAlignment) {
  EXPECT_EQ(Check(RequestOf(nbd::kCmdRead, 0, 4096)), nbd::kOk);
  EXPECT_EQ(Check(RequestOf(nbd::kCmdRead, (1 << 20) - 4096, 4096)), nbd::kOk);
  EXPECT_EQ(Check(RequestOf(nbd::kCmdRead, 1 << 20, 4096)), nbd::kEInval);
  EXPECT_EQ(Check(RequestOf(nbd::kCmdRead, ~uint64_t{4095}, 8192)), nbd::kEInval);
  EXPECT_EQ(Check(RequestOf(nbd::kCmdTrim, 1 << 20, 4096)), nbd::kEInval);
  EXPECT_EQ(Check(RequestOf(nbd::kCmdWrite, 1 << 20, 4096)), nbd::kENoSpc);
  EXPECT_EQ(Check(RequestOf(nbd::kCmdWriteZeroes, 0, 0xfffff000)), nbd::kENoSpc);
  EXPECT_EQ(Check(RequestOf(nbd::kCmdRead, 512, 4096)), nbd::kEInval);
  EXPECT_EQ(Check(RequestOf(nbd::kCmdWrite, 0, 512)), nbd::kEInval);
  EXPECT_EQ(Check(RequestOf(nbd::kCmdBlockStatus, 4096, 1 << 17)), nbd::kOk);
  EXPECT_EQ(Check(RequestOf(nbd::kCmdBlockStatus, 0, 0)), nbd::kEInval);
}

TEST_F(CheckNbdRequestTest, PayloadsAreBoundedButNotOtherLengths) {
  EXPECT_EQ(Check(RequestOf(nbd::kCmdRead, 0, 1 << 16)), nbd::kOk);
  EXPECT_EQ(Check(RequestOf(nbd::kCmdRead, 0, 1 << 17)), nbd::kEOverflow);
  EXPECT_EQ(Check(RequestOf(nbd::kCmdWrite, 0, 1 << 17)), nbd::kEInval);
  EXPECT_EQ(Check(RequestOf(nbd::kCmdTrim, 0, 1 << 20)), nbd::kOk);
  EXPECT_EQ(Check(RequestOf(nbd::kCmdWriteZeroes, 0, 1 << 20)), nbd::kOk);
  agreement_.structured_replies = false;
  EXPECT_EQ(Check(RequestOf(nbd::kCmdRead, 0, 1 << 17)), nbd::kEInval);
}

TEST_F(CheckNbdRequestTest, FlagsBelongToTheirCommands) {
  EXPECT_EQ(Check(RequestOf(nbd::kCmdRead, 0, 4096, nbd::kFlagDf)), nbd::kOk);
  EXPECT_EQ(Check(RequestOf(nbd::kCmdRead, 0, 4096, nbd::kFlagFua)), nbd::kEInval);
  EXPECT_EQ(Check(RequestOf(nbd::kCmdWrite, 0, 4096, nbd::kFlagFua)), nbd::kOk);
  EXPECT_EQ(Check(RequestOf(nbd::kCmdWrite, 0, 4096, nbd::kFlagDf)), nbd::kEInval);
  EXPECT_EQ(Check(RequestOf(nbd::kCmdTrim, 0, 4096, nbd::kFlagFua)), nbd::kOk);
  EXPECT_EQ(Check(RequestOf(nbd::kCmdFlush, 0, 0, nbd::kFlagFua)), nbd::kEInval);
  EXPECT_EQ(Check(RequestOf(nbd::kCmdCache, 0, 4096)), nbd::kOk);
  EXPECT_EQ(Check(RequestOf(nbd::kCmdCache, 0, 4096, nbd::kFlagFua)), nbd::kEInval);
  EXPECT_EQ(Check(RequestOf(nbd::kCmdBlockStatus, 0, 4096, nbd::kFlagReqOne)), nbd::kOk);
  EXPECT_EQ(Check(RequestOf(nbd::kCmdWriteZeroes, 0, 4096, nbd::kFlagFua | nbd::kFlagNoHole)),
            nbd::kOk);
  EXPECT_EQ(Check(RequestOf(nbd::kCmdWriteZeroes, 0, 4096, nbd::kFlagFastZero)), nbd::kOk);
  EXPECT_EQ(Check(RequestOf(nbd::kCmdWriteZeroes, 0, 4096, nbd::kFlagFastZero | nbd::kFlagNoHole)),
            nbd::kENotSup);
  agreement_.structured_replies = false;
  EXPECT_EQ(Check(RequestOf(nbd::kCmdRead, 0, 4096, nbd::kFlagDf)), nbd::kEInval);
}

TEST_F(CheckNbdRequestTest, CommandsThatWereNotOfferedAreInvalid) {
  agreement_.info.flags &= ~(nbd::kSendTrim | nbd::kSendWriteZeroes);
  agreement_.base_allocation = false;
  EXPECT_EQ(Check(RequestOf(nbd::kCmdTrim, 0, 4096)), nbd::kEInval);
  EXPECT_EQ(Check(RequestOf(nbd::kCmdWriteZeroes, 0, 4096)), nbd::kEInval);
  EXPECT_EQ(Check(RequestOf(nbd::kCmdBlockStatus, 0, 4096)), nbd::kEInval);
  EXPECT_EQ(Check(RequestOf(8, 0, 4096)), nbd::kEInval);
  EXPECT_EQ(Check(RequestOf(0xffff, 0, 0)), nbd::kEInval);
  EXPECT_EQ(Check(RequestOf(nbd::kCmdFlush, 4096, 0)), nbd::kEInval);
  EXPECT_EQ(Check(RequestOf(nbd::kCmdFlush, 0, 0)), nbd::kOk);
}

TEST_F(CheckNbdRequestTest, AReadOnlyExportIsNotChanged) {
  agreement_.info = DescribeNbdExport(disk_, {.read_only = true});
  EXPECT_EQ(Check(RequestOf(nbd::kCmdRead, 0, 4096)), nbd::kOk);
  EXPECT_EQ(Check(RequestOf(nbd::kCmdWrite, 0, 4096)), nbd::kEPerm);
  EXPECT_EQ(Check(RequestOf(nbd::kCmdTrim, 0, 4096)), nbd::kEPerm);
  EXPECT_EQ(Check(RequestOf(nbd::kCmdWriteZeroes, 0, 4096)), nbd::kEPerm);
  EXPECT_EQ(Check(RequestOf(nbd::kCmdFlush, 0, 0)), nbd::kOk);
}

}  // namespace
}  // namespace vmbuskit
